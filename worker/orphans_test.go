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

// An attempt whose Begin was lost on its way back to us is repaired within 45 s,
// although our heart beats on and another worker holds the sweep.
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
		r.skip(15 * time.Second)
		r.sweepAs(r.Worker)
		if e := r.get(m).Envelopes[0].State; e.Phase != email.InFlight {
			t.Fatalf("repaired while its Begin may still be on its way: %+v", e)
		}
		r.skip(15 * time.Second)
		r.sweepAs(r.Worker)
		if e := r.get(m).Envelopes[0].State; e.Phase != email.Waiting || len(r.orphans.list()) != 0 {
			t.Errorf("after 30 s: %+v", e)
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
		r.orphans.add(r.job(m, 0))
		r.orphans.add(queue.Delivery{World: email.Live, Message: email.NewMessageID(0)})
		r.sweepAs(r.Worker)
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
					if err := r.store.Leases.Beat(ctx, "w2", time.Hour); err != nil {
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

// After an outage all heartbeats are gone. Who comes back first must not take the
// others for dead before they had time to come back as well.
func TestNobodyIsDeadRightAfterAnOutage(t *testing.T) {
	each(t, func(t *testing.T, r *rig) {
		m := r.accept(draft("a@b.test"))
		c := r.begun(m, "w2", 0)
		r.skip(time.Minute)
		r.beat(t.Context()) // the first after a minute
		if err := r.sweep(t.Context()); err != nil {
			t.Fatal(err)
		}
		if e := r.get(m).Envelopes[0].State; e.Phase != email.Marked || e.Fence != c.Fence {
			t.Errorf("called dead: %+v", e)
		}
		r.pass()
		if e := r.get(m).Envelopes[0].State; e.Phase != email.Waiting {
			t.Errorf("never repaired: %+v", e)
		}
	})
}

func TestPulse(t *testing.T) {
	p := &pulse{life: 20 * time.Second}
	at := func(s int) time.Time { return time.Unix(1000+int64(s), 0) }
	for _, c := range []struct {
		beat, now int // beat 0: none
		want      bool
	}{
		{0, 1, false},
		{1, 2, false},
		{6, 7, false},
		{11, 12, false},
		{21, 22, true},
		{0, 41, false}, // no beat for long
		{42, 43, false},
		{52, 53, false},
		{62, 63, true},
	} {
		if c.beat > 0 {
			p.beat(at(c.beat))
		}
		if got := p.steady(at(c.now)); got != c.want {
			t.Errorf("at %d s: %v", c.now, got)
		}
	}
}
