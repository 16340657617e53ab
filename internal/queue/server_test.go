package queue

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"

	"postrider/internal/logtest"
	"postrider/internal/redistest"
)

func TestServe(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, url string) {
		rdb := connect(t, url)
		c := NewClient(rdb)
		var mu sync.Mutex
		ran := map[Delivery]int{}
		first := job(0)
		s := NewServer(rdb, ServerOptions{Class: Default, Concurrency: 4}, func(ctx context.Context, d Delivery) error {
			mu.Lock()
			defer mu.Unlock()
			ran[d]++
			if d == first && ran[d] == 1 {
				// While it runs, its successor can be added already.
				next := d
				next.Generation++
				return c.Add(ctx, Default, next, time.Now())
			}
			return nil
		})
		if err := s.Start(); err != nil {
			t.Fatal(err)
		}
		defer s.Shutdown()
		soon := job(3)
		for _, add := range []struct {
			d  Delivery
			at time.Time
		}{{first, time.Now()}, {soon, time.Now().Add(time.Second)}} {
			if err := c.Add(t.Context(), Default, add.d, add.at); err != nil {
				t.Fatal(err)
			}
		}
		next := first
		next.Generation++
		await(t, "all jobs done", func() bool {
			return c.is(t, first, Absent) && c.is(t, next, Absent) && c.is(t, soon, Absent)
		})
		mu.Lock()
		defer mu.Unlock()
		want := map[Delivery]int{first: 1, next: 1, soon: 1}
		if diff := cmp.Diff(want, ran); diff != "" {
			t.Errorf("runs (-want +got):\n%s", diff)
		}
	})
}

func TestTakersShareTheConcurrency(t *testing.T) {
	redistest.Each(t, func(t *testing.T, url string) {
		const concurrency = 5
		rdb := connect(t, url)
		c := NewClient(rdb)
		var running, most atomic.Int64
		release := make(chan struct{})
		s := NewServer(rdb, ServerOptions{Class: Default, Concurrency: concurrency, Takers: 3}, func(context.Context, Delivery) error {
			if n := running.Add(1); n > most.Load() {
				most.Store(n)
			}
			<-release
			running.Add(-1)
			return nil
		})
		jobs := make([]Delivery, 2*concurrency)
		for i := range jobs {
			jobs[i] = job(0)
			if err := c.Add(t.Context(), Default, jobs[i], time.Now()); err != nil {
				t.Fatal(err)
			}
		}
		if err := s.Start(); err != nil {
			t.Fatal(err)
		}
		defer s.Shutdown()
		await(t, "as many run as may", func() bool { return running.Load() == concurrency })
		time.Sleep(200 * time.Millisecond) // time enough for one too many
		if n := most.Load(); n != concurrency {
			t.Errorf("%d ran at once, want %d", n, concurrency)
		}
		close(release)
		await(t, "all are done", func() bool { return c.is(t, jobs[0], Absent) && c.is(t, jobs[2*concurrency-1], Absent) })
	})
}

// Beside an idle queue the first taker alone looks as often as was asked for.
func TestCheckIntervals(t *testing.T) {
	for _, c := range []struct{ asked, first, others time.Duration }{
		{10 * time.Millisecond, 10 * time.Millisecond, helpInterval},
		{time.Second, time.Second, time.Second},
	} {
		o := ServerOptions{CheckInterval: c.asked}
		if first, others := checkInterval(o, 0), checkInterval(o, 5); first != c.first || others != c.others {
			t.Errorf("asked for %v: the first every %v, others every %v", c.asked, first, others)
		}
	}
}

func TestFailedAndPanickingJobsRunAgain(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, url string) {
		rdb := connect(t, url)
		c := NewClient(rdb)
		var runs atomic.Int32
		s := NewServer(rdb, ServerOptions{Class: Default, Concurrency: 1}, func(context.Context, Delivery) error {
			switch runs.Add(1) {
			case 1:
				return errors.New("no")
			case 2:
				panic("no")
			}
			return nil
		})
		if err := s.Start(); err != nil {
			t.Fatal(err)
		}
		defer s.Shutdown()
		d := job(0)
		if err := c.Add(t.Context(), Default, d, time.Now()); err != nil {
			t.Fatal(err)
		}
		await(t, "retried after an error", func() bool { return runs.Load() > 0 && c.is(t, d, Retrying) })
		await(t, "done after a panic", func() bool { return runs.Load() == 3 && c.is(t, d, Absent) })
	})
}

func TestUnreadableJobIsArchived(t *testing.T) {
	redistest.Each(t, func(t *testing.T, url string) {
		rdb := connect(t, url)
		c := NewClient(rdb)
		var log logtest.Buffer
		s := NewServer(rdb, ServerOptions{Class: Default, Concurrency: 1, Log: slog.New(slog.NewTextHandler(&log, nil))},
			func(context.Context, Delivery) error { t.Error("the handler ran"); return nil })
		if err := s.Start(); err != nil {
			t.Fatal(err)
		}
		defer s.Shutdown()
		d := job(0)
		task := asynq.NewTask(d.taskType(), []byte("secret"))
		if _, err := c.tasks.EnqueueContext(t.Context(), task, asynq.Queue(Default), asynq.TaskID(d.taskID())); err != nil {
			t.Fatal(err)
		}
		await(t, "archived", func() bool { return c.is(t, d, Archived) })
		if got := log.String(); !strings.Contains(got, d.taskID()) || strings.Contains(got, "secret") {
			t.Errorf("log %q, want the task's id and not its payload", got)
		}
	})
}

func TestStopAndShutdown(t *testing.T) {
	redistest.Each(t, func(t *testing.T, url string) {
		rdb := connect(t, url)
		c := NewClient(rdb)
		running, finish := make(chan struct{}), make(chan struct{})
		var ended atomic.Bool
		s := NewServer(rdb, ServerOptions{Class: Default, Concurrency: 2}, func(context.Context, Delivery) error {
			close(running)
			<-finish
			ended.Store(true)
			return nil
		})
		if err := s.Start(); err != nil {
			t.Fatal(err)
		}
		first, second := job(0), job(0)
		if err := c.Add(t.Context(), Default, first, time.Now()); err != nil {
			t.Fatal(err)
		}
		<-running
		s.Stop()
		if err := c.Add(t.Context(), Default, second, time.Now()); err != nil {
			t.Fatal(err)
		}
		if !c.is(t, first, Active) {
			t.Error("the running job: want active")
		}
		close(finish)
		s.Shutdown()
		if !ended.Load() || !c.is(t, first, Absent) || !c.is(t, second, Pending) {
			t.Errorf("after Shutdown: handler ended %t; want the first job done, the second untouched", ended.Load())
		}
	})
}

// Takers that cannot all start leave none behind.
func TestStartFailsWhole(t *testing.T) {
	rdb := connect(t, redistest.InProcess(t))
	c := NewClient(rdb)
	s := NewServer(rdb, ServerOptions{Class: Default, Concurrency: 3, Takers: 3}, func(context.Context, Delivery) error {
		t.Error("a job ran")
		return nil
	})
	if err := s.takers[1].Start(asynq.HandlerFunc(s.process)); err != nil { // it cannot start twice
		t.Fatal(err)
	}
	if err := s.Start(); err == nil {
		t.Error("Start of a taker that runs: want an error")
	}
	d := job(0)
	if err := c.Add(t.Context(), Default, d, time.Now()); err != nil {
		t.Fatal(err)
	}
	time.Sleep(200 * time.Millisecond)
	if !c.is(t, d, Pending) {
		t.Error("a taker goes on after Start failed")
	}
	s.Shutdown()
}

// Each taker waits for the answer of a Redis that hangs before it stops: all at once,
// and none begins a job when Redis goes on meanwhile.
func TestStopWhileRedisHangs(t *testing.T) {
	const patience = time.Second
	p := redistest.NewProxy(t, redistest.InProcess(t))
	o, err := redis.ParseURL(p.URL)
	if err != nil {
		t.Fatal(err)
	}
	o.DisableIdentity, o.ReadTimeout, o.MaxRetries = true, patience, -1
	rdb := redis.NewClient(o)
	defer rdb.Close()
	s := NewServer(rdb, ServerOptions{Class: Default, Concurrency: 6, Takers: 6}, func(context.Context, Delivery) error { return nil })
	if err := s.Start(); err != nil {
		t.Fatal(err)
	}
	defer s.Shutdown()
	defer p.Hold(false)
	time.Sleep(100 * time.Millisecond) // scripts are loaded, connections open
	p.Hold(true)
	time.Sleep(100 * time.Millisecond) // every taker waits
	begun := time.Now()
	s.Stop()
	if took := time.Since(begun); took > 2*patience {
		t.Errorf("Stop took %v: the takers stopped one after the other", took)
	}
}

func TestShutdownEndsAHandlersContext(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, url string) {
		rdb := connect(t, url)
		c := NewClient(rdb)
		running := make(chan struct{})
		var ended atomic.Bool
		s := NewServer(rdb, ServerOptions{Class: Default, Concurrency: 1, DrainTimeout: time.Second}, func(ctx context.Context, _ Delivery) error {
			close(running)
			<-ctx.Done()
			time.Sleep(100 * time.Millisecond) // closes its connection
			ended.Store(true)
			return ctx.Err()
		})
		if err := s.Start(); err != nil {
			t.Fatal(err)
		}
		d := job(0)
		if err := c.Add(t.Context(), Default, d, time.Now()); err != nil {
			t.Fatal(err)
		}
		<-running
		s.Shutdown()
		if !ended.Load() {
			t.Error("Shutdown returned before the handler")
		}
		if !c.is(t, d, Pending) {
			t.Error("the job of an ended handler: want it back in the queue")
		}
	})
}

// asynq ends the context of a job whose lease it could not renew. The handler goes
// on, and is waited for like the others.
func TestAHandlerOutlivesItsLease(t *testing.T) {
	running, goOn, result := make(chan struct{}), make(chan struct{}), make(chan error, 1)
	o := ServerOptions{Class: Default, Concurrency: 1, DrainTimeout: time.Minute}
	s := NewServer(connect(t, redistest.InProcess(t)), o, func(ctx context.Context, _ Delivery) error {
		close(running)
		<-goOn
		return ctx.Err()
	})
	if err := s.Start(); err != nil {
		t.Fatal(err)
	}
	payload, err := json.Marshal(job(0))
	if err != nil {
		t.Fatal(err)
	}
	leased, lose := context.WithCancel(t.Context())
	go func() { result <- s.process(leased, asynq.NewTask("deliver", payload)) }()
	<-running
	lose()
	stopped := make(chan struct{})
	go func() {
		s.Shutdown()
		close(stopped)
	}()
	select {
	case <-stopped:
		t.Error("Shutdown did not wait for it")
	case <-time.After(100 * time.Millisecond):
	}
	close(goOn)
	if err := <-result; err != nil {
		t.Errorf("its context ended with the lease: %v", err)
	}
	<-stopped
}
