package worker

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"postrider/internal/email"
	"postrider/internal/queue"
)

// lossy drops the reply of every script while lost is set: it ran, and nobody knows.
type lossy struct {
	outage
	lost *atomic.Bool
}

func (l lossy) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		err := next(ctx, cmd)
		if err == nil && l.lost.Load() && (cmd.Name() == "evalsha" || cmd.Name() == "eval") {
			err = errAway
			cmd.SetErr(err)
		}
		return err
	}
}

// An attempt whose Begin was lost on its way back to us is repaired by our next
// sweep, although our heart beats on and another worker holds the lease.
func TestALostBeginIsRepaired(t *testing.T) {
	each(t, func(t *testing.T, r *rig) {
		var lost atomic.Bool
		r.rdb.AddHook(lossy{lost: &lost})
		m := r.accept(draft("a@b.test"))
		lost.Store(true)
		if err := r.Deliver(t.Context(), r.job(m, 0)); !errors.Is(err, errAway) {
			t.Fatal(err)
		}
		lost.Store(false)
		if e := r.get(m).Envelopes[0].State; e.Phase != email.InFlight {
			t.Fatalf("%+v", e)
		}
		if held, err := r.store.Leases.Hold(t.Context(), "sweep:live:0", "w2", time.Hour); err != nil || !held {
			t.Fatal(held, err)
		}
		r.sweepAs(r.Worker)
		if e := r.get(m).Envelopes[0].State; e.Phase != email.Waiting {
			t.Errorf("%+v", e)
		}
		if m = r.deliver(m); statuses(m) != "delivered" || len(r.sender.transactions()) != 1 {
			t.Errorf("ended %s", statuses(m))
		}
	})
}

// What is remembered as an orphan is forgotten when another has it by now.
func TestOrphansAreForgotten(t *testing.T) {
	each(t, func(t *testing.T, r *rig) {
		m := r.accept(draft("a@b.test"))
		r.begun(m, "w2")
		if err := r.another("w2").beat(t.Context()); err != nil {
			t.Fatal(err)
		}
		r.orphans.add(r.job(m, 0), r.now())
		r.orphans.add(queue.Delivery{World: email.Live, Message: email.NewMessageID(0)}, r.now())
		r.sweepAs(r.Worker)
		if n := len(r.orphans.list()); n != 2 {
			t.Errorf("%d remembered while their Begins may be on their way", n)
		}
		r.skip(stray)
		if err := (&sweeper{w: r.Worker}).own(t.Context()); err != nil {
			t.Fatal(err)
		}
		if n := len(r.orphans.list()); n != 0 || r.get(m).Envelopes[0].State.Phase != email.InFlight {
			t.Errorf("%d remembered", n)
		}
	})
}

// The lease of a sweep ends with the sweep, so that the next worker need not wait.
func TestTheSweepLeaseIsGivenBack(t *testing.T) {
	each(t, func(t *testing.T, r *rig) {
		m := r.accept(draft("a@b.test"))
		r.pass()
		r.skip(time.Minute)
		if held, err := r.store.Leases.Hold(t.Context(), "sweep:live:0", "w2", time.Second); err != nil || !held {
			t.Errorf("the lease is still held: %v", err)
		}
		if s := r.jobState(m); s != queue.Pending {
			t.Error("it did not sweep")
		}
	})
}

// A clock that steps ends no attempt that runs: not our own, nor that of another
// whose heart beats.
func TestAClockStepEndsNoAttempt(t *testing.T) {
	for _, holder := range []string{"w1", "w2"} {
		t.Run(holder, func(t *testing.T) {
			each(t, func(t *testing.T, r *rig) {
				w := r.Worker
				if holder != "w1" {
					w = r.another(holder)
				}
				m := r.accept(draft("a@b.test"))
				r.sender.acts = []act{{after: func(ctx context.Context) {
					r.o.BeatEvery = time.Hour // a life that no machine is slower than
					if err := r.another("w2").beat(ctx); err != nil {
						t.Error(err)
					}
					r.skip(2 * time.Hour)
					r.sweepAs(r.Worker)
				}}}
				if err := w.Deliver(t.Context(), r.job(m, 0)); err != nil {
					t.Fatal(err)
				}
				if m = r.get(m); statuses(m) != "delivered" || m.Recipients[0].State.Unknowns != 0 {
					t.Errorf("ended %s with %d unknown outcomes", statuses(m), m.Recipients[0].State.Unknowns)
				}
			})
		})
	}
}

// After an outage all heartbeats are old. Who comes back first must not take the
// others for dead before they had time to come back as well.
func TestNobodyIsDeadRightAfterAnOutage(t *testing.T) {
	each(t, func(t *testing.T, r *rig) {
		r.o.BeatEvery = 5 * time.Second
		m := r.accept(draft("a@b.test"))
		c := r.begun(m, "w2", 0)
		if err := r.another("w2").beat(t.Context()); err != nil {
			t.Fatal(err)
		}
		clock := func(field string, ms int64) {
			t.Helper()
			if err := r.rdb.HIncrBy(t.Context(), "install:{beats}:clock", field, ms).Err(); err != nil {
				t.Fatal(err)
			}
		}
		for range 5 { // each longer than a life, and longer than what counts
			clock("a", -60_000)
			r.pass()
			if e := r.get(m).Envelopes[0].State; e.Phase != email.Marked || e.Fence != c.Fence {
				t.Fatalf("called dead: %+v", e)
			}
		}
		for range 2 {
			clock("a", -9_000) // others were heard, w2 was not
			r.pass()
		}
		if e := r.get(m).Envelopes[0].State; e.Phase != email.Marked {
			t.Fatalf("called dead after less than a life: %+v", e)
		}
		clock("a", -9_000)
		r.pass()
		if e := r.get(m).Envelopes[0].State; e.Phase != email.Waiting {
			t.Errorf("never repaired: %+v", e)
		}
	})
}

// A worker that was started a moment ago knows at once who died before.
func TestANewWorkerKnowsTheDead(t *testing.T) {
	each(t, func(t *testing.T, r *rig) {
		r.o.BeatEvery = 5 * time.Second
		m := r.accept(draft("a@b.test"))
		r.begun(m, "w2")
		if err := r.another("w2").beat(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := r.rdb.HIncrBy(t.Context(), "install:{beats}:clock", "c", 20_000).Err(); err != nil {
			t.Fatal(err)
		}
		fresh := r.another("w3")
		fresh.o.BeatEvery = 5 * time.Second
		r.skip(lookAfter)
		r.sweepAs(fresh)
		if e := r.get(m).Envelopes[0].State; e.Phase != email.Waiting {
			t.Errorf("%+v", e)
		}
	})
}
