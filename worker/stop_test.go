package worker

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"postrider/internal/email"
	"postrider/internal/queue"
	"postrider/internal/redistest"
	"postrider/internal/store"
	"postrider/smtpclient"
)

// A stopped worker gives back what it had not begun, and counts no attempt.
func TestStopBeforeAnything(t *testing.T) {
	each(t, func(t *testing.T, r *rig) {
		ctx, cancel := context.WithCancel(t.Context())
		m := r.accept(draft("a@b.test"))
		r.router.plan = func(*email.Message, int) (smtpclient.Plan, error) {
			cancel()
			return smtpclient.Plan{}, ctx.Err()
		}
		if err := r.Deliver(ctx, r.job(m, 0)); err != nil {
			t.Fatal(err)
		}
		m = r.get(m)
		if e := m.Envelopes[0].State; e.Phase != email.Waiting || e.Attempts != 0 || e.NextAt.After(r.now()) {
			t.Errorf("%+v", e)
		}
		if state, err := r.queue.State(t.Context(), queue.Default, r.job(m, 0)); err != nil || state != queue.Pending {
			t.Errorf("its next job is %s, %v", state, err)
		}
	})
}

// What a server said is written down although the context has ended.
func TestStopAfterTheDot(t *testing.T) {
	each(t, func(t *testing.T, r *rig) {
		ctx, cancel := context.WithCancel(t.Context())
		m := r.accept(draft("a@b.test"))
		r.sender.acts = []act{{after: func(context.Context) { cancel() }}}
		if err := r.Deliver(ctx, r.job(m, 0)); err != nil {
			t.Fatal(err)
		}
		if m = r.get(m); statuses(m) != "delivered" {
			t.Errorf("ended %s", statuses(m))
		}
	})
}

// An outcome is written down when Redis comes back, and is not sent for again.
func TestRedisAwayAtTheEnd(t *testing.T) {
	each(t, func(t *testing.T, r *rig) {
		var away atomic.Bool
		r.rdb.AddHook(outage{&away})
		m := r.accept(draft("a@b.test"))
		r.sender.acts = []act{{after: func(context.Context) {
			away.Store(true)
			time.AfterFunc(200*time.Millisecond, func() { away.Store(false) })
		}}}
		if m = r.deliver(m); statuses(m) != "delivered" || len(r.sender.transactions()) != 1 {
			t.Errorf("ended %s after %d transactions", statuses(m), len(r.sender.transactions()))
		}
	})
}

// An outage longer than a handler may be held: the outcome is still written, and
// no sweeper takes the attempt for an orphan meanwhile.
func TestRedisAwayForLong(t *testing.T) {
	each(t, func(t *testing.T, r *rig) {
		var away atomic.Bool
		r.rdb.AddHook(outage{&away})
		r.o.Insist = time.Millisecond
		m := r.accept(draft("a@b.test"))
		r.sender.acts = []act{{after: func(context.Context) { away.Store(true) }}}
		if err := r.Deliver(t.Context(), r.job(m, 0)); err != nil {
			t.Fatal(err)
		}
		if r.running.none() {
			t.Fatal("nobody offers the outcome any more")
		}
		r.skip(time.Hour)
		away.Store(false)
		for range 3 {
			r.pass()
		}
		if m = r.final(m); statuses(m) != "delivered" || m.Recipients[0].State.Unknowns != 0 || len(r.sender.transactions()) != 1 {
			t.Errorf("ended %s after %d transactions", statuses(m), len(r.sender.transactions()))
		}
		for !r.running.none() {
			time.Sleep(time.Millisecond)
		}
	})
}

// The end of the worker ends what is still offered.
func TestNothingIsOfferedPastTheEnd(t *testing.T) {
	r := newRig(t, redistest.InProcess(t))
	var away atomic.Bool
	r.rdb.AddHook(outage{&away})
	r.o.Insist = time.Millisecond
	m := r.accept(draft("a@b.test"))
	r.sender.acts = []act{{after: func(context.Context) { away.Store(true) }}}
	if err := r.Deliver(t.Context(), r.job(m, 0)); err != nil {
		t.Fatal(err)
	}
	r.end()
	for !r.running.none() {
		time.Sleep(time.Millisecond)
	}
}

// insist does not stop at an error, and does at a lost fence and with its context.
func TestInsist(t *testing.T) {
	away, n := errors.New("redis is away"), 0
	done, err := insist(t.Context(), func(context.Context) (*store.Concluded, error) {
		if n++; n < 4 {
			return nil, away
		}
		return &store.Concluded{Done: true}, nil
	})
	if err != nil || !done.Done || n != 4 {
		t.Errorf("%v, %v after %d tries", done, err, n)
	}
	n = 0
	if _, err := insist(t.Context(), func(context.Context) (*store.Concluded, error) {
		n++
		return nil, store.ErrLostFence
	}); !errors.Is(err, store.ErrLostFence) || n != 1 {
		t.Errorf("a lost fence was tried %d times: %v", n, err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := insist(ended, func(context.Context) (*store.Concluded, error) { return nil, away }); !errors.Is(err, away) {
		t.Errorf("ended with %v", err)
	}
}

// While Redis is away at the mark the dot does not go out.
func TestRedisAwayAtTheMark(t *testing.T) {
	each(t, func(t *testing.T, r *rig) {
		var away atomic.Bool
		r.rdb.AddHook(outage{&away})
		m := r.accept(draft("a@b.test"))
		r.sender.acts = []act{{before: func(context.Context) {
			away.Store(true)
			time.AfterFunc(100*time.Millisecond, func() { away.Store(false) })
		}}, {}}
		m = r.deliver(m)
		if s := m.Recipients[0].State; s.Status != email.Queued || s.Unknowns != 0 || len(r.attempts(m)) != 0 || s.NextAttemptAt.After(r.now().Add(unmarkedRest)) {
			t.Errorf("%+v", s)
		}
		r.skip(2 * unmarkedRest)
		if m = r.deliver(m); statuses(m) != "delivered" || len(r.attempts(m)) != 1 {
			t.Errorf("ended %s", statuses(m))
		}
	})
}

// The mark was set, and its answer lost: the dot never left.
func TestAnswerToTheMarkIsLost(t *testing.T) {
	each(t, func(t *testing.T, r *rig) {
		var lost atomic.Bool
		r.rdb.AddHook(lossy{lost: &lost})
		m := r.accept(draft("a@b.test", "no@b.test"))
		r.sender.acts = []act{{
			rcpt: map[string]*smtpclient.Error{"no@b.test": fault("rcpt", 550, "5.1.1", "no")},
			before: func(context.Context) {
				lost.Store(true)
				time.AfterFunc(100*time.Millisecond, func() { lost.Store(false) })
			},
		}, {}}
		m = r.deliver(m)
		if got := statuses(m); got != "queued bounced" || m.Envelopes[0].State.Phase != email.Waiting || m.Recipients[0].State.Unknowns != 0 {
			t.Errorf("%s, %+v", got, m.Envelopes[0].State)
		}
		r.skip(2 * unmarkedRest)
		if m = r.deliver(m); statuses(m) != "delivered bounced" {
			t.Errorf("ended %s", statuses(m))
		}
	})
}
