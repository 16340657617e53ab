package worker

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"postrider/internal/email"
	"postrider/internal/queue"
	"postrider/internal/redistest"
	"postrider/internal/shape"
	"postrider/internal/store"
)

// pass lets half a minute go by and sweeps once.
func (r *rig) pass() {
	r.t.Helper()
	r.skip(30 * time.Second)
	r.sweepAs(r.Worker)
}

func (r *rig) sweepAs(w *Worker) {
	r.t.Helper()
	if err := w.sweep(r.t.Context()); err != nil {
		r.t.Fatal(err)
	}
}

func (r *rig) jobState(m *email.Message) queue.State {
	r.t.Helper()
	s, err := r.queue.State(r.t.Context(), queue.Default, r.job(r.get(m), 0))
	if err != nil {
		r.t.Fatal(err)
	}
	return s
}

// begun makes another worker take an attempt, and marks it if asked to.
func (r *rig) begun(m *email.Message, worker string, marked ...int) store.Claim {
	r.t.Helper()
	s, err := r.store.Messages.Begin(r.t.Context(), m.World, m.ID, 0, m.Envelopes[0].State.Generation, worker, r.now())
	if err != nil || s.Verdict != store.Begun {
		r.t.Fatalf("begin: %v, %v", s, err)
	}
	c := store.Claim{World: m.World, Message: m.ID, Fence: s.Fence}
	if len(marked) > 0 {
		if err := r.store.Messages.Mark(r.t.Context(), c, marked, nil, r.now()); err != nil {
			r.t.Fatal(err)
		}
	}
	return c
}

func TestSweeperAddsALostJob(t *testing.T) {
	each(t, func(t *testing.T, r *rig) {
		m := r.accept(draft("a@b.test")) // and its job is never added
		if err := r.sweep(t.Context()); err != nil || r.jobState(m) != queue.Absent {
			t.Fatalf("looked before its time: %v", err)
		}
		r.pass()
		if got := r.get(m).Envelopes[0].State.Generation; got != 1 || r.jobState(m) != queue.Pending {
			t.Errorf("generation %d, job %s", got, r.jobState(m))
		}
		r.pass() // the job lives: no other is added
		if got := r.get(m).Envelopes[0].State.Generation; got != 1 {
			t.Errorf("a living job was replaced: generation %d", got)
		}
		if m = r.deliver(m); statuses(m) != "delivered" {
			t.Errorf("ended %s", statuses(m))
		}
	})
}

func TestSweeperTakesScheduledMailAhead(t *testing.T) {
	each(t, func(t *testing.T, r *rig) {
		m := draft("a@b.test")
		m.ScheduledAt = m.CreatedAt.Add(time.Hour)
		m.Recipients[0].State.Status, m.Recipients[0].State.AtAccept = email.Scheduled, email.Scheduled
		m = r.accept(m)
		r.pass()
		if s := r.jobState(m); s != queue.Absent {
			t.Fatalf("an hour ahead its job is %s", s)
		}
		r.skip(58 * time.Minute)
		r.pass()
		if s := r.jobState(m); s != queue.Scheduled {
			t.Errorf("two minutes ahead its job is %s", s)
		}
	})
}

// An envelope that waits for its provider is woken at the end of its life.
func TestWaitingEndsWithLife(t *testing.T) {
	each(t, func(t *testing.T, r *rig) {
		m := draft("a@b.test")
		m.ExpiresAt = m.CreatedAt.Add(5 * time.Minute)
		r.o.Shaper = shape.New(shape.Options{Pause: time.Hour})
		slot, _ := r.o.Shaper.Acquire("provider.test", queue.Default)
		slot.Release(shape.Pushback)
		m = r.deliver(r.accept(m))
		if at := m.Envelopes[0].State.NextAt; !at.Equal(m.ExpiresAt) {
			t.Fatalf("next at %v, expires at %v", at, m.ExpiresAt)
		}
		r.skip(4 * time.Minute)
		r.pass()
		if s := r.jobState(m); s != queue.Scheduled {
			t.Errorf("before its end its job is %s", s)
		}
		r.skip(time.Minute)
		if m = r.deliver(m); statuses(m) != "failed/expired" || len(r.sender.transactions()) != 0 {
			t.Errorf("ended %s", statuses(m))
		}
	})
}

func TestSweeperLeavesTheLivingAlone(t *testing.T) {
	each(t, func(t *testing.T, r *rig) {
		m := r.accept(draft("a@b.test"))
		c := r.begun(m, "w2", 0)
		r.o.BeatEvery = time.Hour
		if err := r.another("w2").beat(t.Context()); err != nil {
			t.Fatal(err)
		}
		for range 3 {
			r.pass()
		}
		if e := r.get(m).Envelopes[0].State; e.Phase != email.Marked || e.Fence != c.Fence {
			t.Errorf("%+v", e)
		}
	})
}

func TestSweeperRepairsTheDead(t *testing.T) {
	for _, c := range []struct {
		name   string
		worker string
		marked []int
		want   string
		phase  email.Phase
		tries  int
	}{
		{"unmarked", "w2", nil, "queued queued", email.Waiting, 0},
		{"marked", "w2", []int{0, 1}, "deferred deferred", email.Waiting, 1},
		{"one of two marked", "w2", []int{1}, "queued deferred", email.Waiting, 1},
		{"our own, lost", "w1", []int{0}, "deferred queued", email.Waiting, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			each(t, func(t *testing.T, r *rig) {
				m := r.accept(draft("a@b.test", "b@b.test"))
				claim := r.begun(m, c.worker, c.marked...)
				r.pass()
				m = r.get(m)
				if got := statuses(m); got != c.want || m.Envelopes[0].State.Phase != c.phase {
					t.Errorf("%s, %s", got, m.Envelopes[0].State.Phase)
				}
				list := r.attempts(m)
				if len(list) != c.tries {
					t.Fatalf("%d attempts", len(list))
				}
				for _, i := range c.marked {
					if s := m.Recipients[i].State; s.Unknowns != 1 {
						t.Errorf("recipient %d has %d unknown outcomes", i, s.Unknowns)
					}
				}
				if c.tries == 1 && (!strings.Contains(list[0].Error, "worker died") || len(list[0].Outcomes) != len(c.marked) || !list[0].Outcomes[0].Unknown || list[0].Worker != c.worker) {
					t.Errorf("%+v", list[0])
				}
				late := &email.Attempt{StartedAt: r.now(), Outcomes: []email.Outcome{{Status: email.Deferred}, {Recipient: 1, Status: email.Deferred}}}
				if _, err := r.store.Messages.Conclude(t.Context(), claim, late, r.now(), r.now()); !errors.Is(err, store.ErrLostFence) {
					t.Errorf("the dead one could still write: %v", err)
				}
				if got := statuses(r.get(m)); got != c.want {
					t.Errorf("the dead one wrote: %s", got)
				}
				r.until(m, "queued again", func(*email.Message) bool { return r.jobState(m) != queue.Absent })
				if m = r.deliver(m); statuses(m) != "delivered delivered" {
					t.Errorf("ended %s", statuses(m))
				}
			})
		})
	}
}

// A worker that was taken for dead, and then hears what the server said, is
// believed: the mail does not go out again.
func TestTheLivingCorrectTheSweeper(t *testing.T) {
	each(t, func(t *testing.T, r *rig) {
		w2 := r.another("w2") // whose heartbeats do not arrive
		m := r.accept(draft("a@b.test"))
		r.sender.acts = []act{{after: func(context.Context) { r.pass() }}}
		if err := w2.Deliver(t.Context(), r.job(m, 0)); err != nil {
			t.Fatal(err)
		}
		m = r.get(m)
		if s := m.Recipients[0].State; s.Status != email.Delivered || s.Attempts != 1 || m.CompletedAt.IsZero() {
			t.Errorf("ended %s: %+v", statuses(m), s)
		}
		if list := r.attempts(m); len(list) != 2 || !list[0].Outcomes[0].Unknown || list[1].Host == "" || list[1].Number != 1 {
			t.Errorf("%+v", list)
		}
	})
}

func TestTheFourthDeathIsTheEnd(t *testing.T) {
	each(t, func(t *testing.T, r *rig) {
		m := r.accept(draft("a@b.test"))
		for range 4 {
			r.begun(r.get(m), "w2", 0)
			r.pass()
		}
		if m = r.get(m); statuses(m) != "failed/outcome_unknown" || m.Envelopes[0].State.Phase != email.Done {
			t.Errorf("ended %s", statuses(m))
		}
	})
}

func TestSweeperForgetsWhatIsGone(t *testing.T) {
	each(t, func(t *testing.T, r *rig) {
		m := r.accept(draft("a@b.test"))
		keys, err := r.rdb.Keys(t.Context(), "*:m:*").Result()
		if err != nil || len(keys) != 1 {
			t.Fatalf("%v, %v", keys, err)
		}
		if err := r.rdb.Del(t.Context(), keys[0]).Err(); err != nil {
			t.Fatal(err)
		}
		r.pass()
		r.skip(time.Hour)
		shard, err := email.Shard(m.ID)
		if err != nil {
			t.Fatal(err)
		}
		if due, err := r.store.Messages.Due(t.Context(), m.World, shard, r.now(), 10); err != nil || len(due) != 0 {
			t.Errorf("still due: %v, %v", due, err)
		}
	})
}

func TestOneSweeperAtATime(t *testing.T) {
	each(t, func(t *testing.T, r *rig) {
		m := r.accept(draft("a@b.test"))
		if held, err := r.store.Leases.Hold(t.Context(), "sweep:live:0", "w2", time.Minute); err != nil || !held {
			t.Fatal(held, err)
		}
		r.pass()
		if s := r.jobState(m); s != queue.Absent {
			t.Errorf("swept beside the holder: %s", s)
		}
	})
}

// A backlog larger than a batch is worked off in one pass.
func TestSweeperWorksOffABacklog(t *testing.T) {
	r := newRig(t, redistest.InProcess(t))
	const n = sweepBatch + 50
	var last *email.Message
	for range n {
		last = r.accept(draft("a@b.test"))
	}
	r.pass()
	if s := r.jobState(last); s != queue.Pending {
		t.Errorf("the last of %d is %s", n, s)
	}
}

func TestRunBeatsAndStops(t *testing.T) {
	r := newRig(t, redistest.Server(t)) // one whose connections are no goroutines of ours
	r.o.SweepEvery, r.o.ForgetEvery = 10*time.Millisecond, 10*time.Millisecond
	existing := goleak.IgnoreCurrent()
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() {
		if err := r.Run(ctx); err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	m := r.accept(draft("a@b.test"))
	r.skip(time.Minute)
	r.until(m, "swept", func(*email.Message) bool { return r.jobState(m) == queue.Pending })
	if silence, err := r.store.Leases.Silence(t.Context(), "w1"); err != nil || silence == store.Forever {
		t.Errorf("no heartbeat: %v", err)
	}
	cancel()
	running.Wait()
	if silence, err := r.store.Leases.Silence(t.Context(), "w1"); err != nil || silence != store.Forever {
		t.Errorf("it did not say that it left: %v, %v", silence, err)
	}
	goleak.VerifyNone(t, existing)
}

// The heart beats on while deliveries run, whatever order the process stops in.
func TestRunBeatsUntilDeliveriesEnd(t *testing.T) {
	r := newRig(t, redistest.InProcess(t))
	in := envelopeID{message: "msg_x"}
	r.running.add(in)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		_ = r.Run(ctx)
		close(ended)
	}()
	cancel()
	select {
	case <-ended:
		t.Error("Run ended before the delivery")
	case <-time.After(600 * time.Millisecond):
	}
	// A later beat must come than those so far.
	if err := r.store.Leases.Leave(t.Context(), "w1"); err != nil {
		t.Fatal(err)
	}
	for silence := store.Forever; silence == store.Forever; {
		var err error
		if silence, err = r.store.Leases.Silence(t.Context(), "w1"); err != nil {
			t.Fatal(err)
		}
	}
	r.running.remove(in)
	<-ended
}

func TestForget(t *testing.T) {
	each(t, func(t *testing.T, r *rig) {
		m := r.deliver(r.accept(draft("a@b.test")))
		if _, err := r.followSome(t.Context(), live()); err != nil { // else it waits
			t.Fatal(err)
		}
		r.skip(40 * day)
		if err := r.forget(t.Context()); err != nil {
			t.Fatal(err)
		}
		if _, err := r.store.Messages.Get(t.Context(), m.World, m.ID); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("still there: %v", err)
		}
	})
}

func TestAlarms(t *testing.T) {
	a := newAlarms()
	rang := make(chan string, 3)
	ring := func(name string) func(context.Context) { return func(context.Context) { rang <- name } }
	if !a.after(time.Millisecond, ring("soon")) || !a.after(time.Hour, ring("flushed")) {
		t.Fatal("not taken")
	}
	if got := <-rang; got != "soon" {
		t.Errorf("%s rang first", got)
	}
	a.flush(t.Context())
	if got := <-rang; got != "flushed" || len(rang) != 0 {
		t.Errorf("%s rang at the flush, and %d more", got, len(rang))
	}
	if a.after(time.Millisecond, ring("late")) {
		t.Error("taken after the flush")
	}
}
