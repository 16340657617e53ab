package queue

import (
	"bytes"
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

	"postrider/internal/email"
	"postrider/internal/redistest"
)

func connect(t *testing.T, url string) *redis.Client {
	t.Helper()
	o, err := redis.ParseURL(url)
	if err != nil {
		t.Fatal(err)
	}
	o.DisableIdentity = true
	rdb := redis.NewClient(o)
	t.Cleanup(func() { _ = rdb.Close() })
	return rdb
}

func job(generation int) Delivery {
	return Delivery{World: email.Live, Message: email.NewMessageID(0), Envelope: 1, Generation: generation}
}

// await polls until ok, and fails the test after a long time.
func await(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for range 3000 {
		if ok() {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatalf("%s: not within 30 s", what)
}

func (c *Client) is(t *testing.T, d Delivery, want State) bool {
	t.Helper()
	got, err := c.State(t.Context(), Default, d)
	if err != nil {
		t.Fatal(err)
	}
	return got == want
}

func TestAddAndState(t *testing.T) {
	redistest.Each(t, func(t *testing.T, url string) {
		c := NewClient(connect(t, url))
		d := job(0)
		if !c.is(t, d, Absent) {
			t.Error("a job in a queue that never was: want absent")
		}
		for _, again := range []string{"first", "again"} {
			if err := c.Add(t.Context(), Default, d, time.Now()); err != nil {
				t.Errorf("Add %s = %v", again, err)
			}
		}
		if !c.is(t, d, Pending) {
			t.Error("a job that is due: want pending")
		}
		next := d
		next.Generation++
		if !c.is(t, next, Absent) {
			t.Error("the next generation: want absent")
		}
		if err := c.Add(t.Context(), Default, next, time.Now().Add(time.Hour)); err != nil {
			t.Fatal(err)
		}
		if !c.is(t, next, Scheduled) {
			t.Error("a job to come: want scheduled")
		}
		// Another time does not move it.
		if err := c.Add(t.Context(), Default, next, time.Now()); err != nil || !c.is(t, next, Scheduled) {
			t.Errorf("Add for another time = %v; want it to stay scheduled", err)
		}
		past := job(0)
		if err := c.Add(t.Context(), Bulk, past, time.Now().Add(-time.Hour)); err != nil {
			t.Fatal(err)
		}
		if got, err := c.State(t.Context(), Bulk, past); err != nil || got != Pending {
			t.Errorf("a job of the past = %s, %v; want pending", got, err)
		}
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
}

func TestAddReportsADeadRedis(t *testing.T) {
	rdb := redis.NewClient(&redis.Options{Addr: "127.0.0.1:1", MaxRetries: -1, DialTimeout: time.Second})
	defer rdb.Close()
	c := NewClient(rdb)
	if err := c.Add(t.Context(), Default, job(0), time.Now()); err == nil {
		t.Error("Add without a Redis: want an error")
	}
	if _, err := c.State(t.Context(), Default, job(0)); err == nil {
		t.Error("State without a Redis: want an error")
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := c.State(ended, Default, job(0)); !errors.Is(err, context.Canceled) {
		t.Errorf("State after its context = %v, want context.Canceled", err)
	}
}

func TestRoundUp(t *testing.T) {
	second := time.Unix(1000, 0)
	for _, c := range []struct {
		name     string
		in, want time.Time
	}{
		{"whole", second, second},
		{"a nanosecond more", second.Add(1), second.Add(time.Second)},
		{"a nanosecond less", second.Add(-1), second},
	} {
		if got := roundUp(c.in); !got.Equal(c.want) {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
}

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
		var log lockedBuffer
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

func FuzzDecode(f *testing.F) {
	f.Add([]byte(`{"w":"live","m":"msg_06h0jqec49zeqepd0scjz25a00","e":0,"g":1}`))
	f.Add([]byte(`{"w":"live","m":"msg_1"}`))
	f.Add([]byte("null"))
	f.Add([]byte(`{"w":"test","d":"dlv_06h0jqec49zeqepd0scjz25a00","g":1}`))
	f.Fuzz(func(t *testing.T, payload []byte) {
		if n, err := decode[Notification](payload); err == nil {
			if _, err := email.ParseID(email.DeliveryPrefix, n.Delivery); err != nil || n.Generation < 0 {
				t.Errorf("decode(%q) = %+v, no job of ours", payload, n)
			}
		}
		d, err := decode[Delivery](payload)
		if err != nil {
			return
		}
		if _, idErr := email.ParseID(email.MessagePrefix, d.Message); idErr != nil || d.Envelope < 0 || d.Generation < 0 {
			t.Errorf("decode(%q) = %+v, no job of ours", payload, d)
		}
	})
}

// lockedBuffer is a bytes.Buffer for several writers.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}
