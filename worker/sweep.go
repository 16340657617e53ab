package worker

import (
	"context"
	"errors"
	"fmt"
	"time"

	"postrider/internal/bounce"
	"postrider/internal/email"
	"postrider/internal/queue"
	"postrider/internal/store"
)

const (
	sweepLease = 8 * time.Second
	// sweepBatch entries are read at a time; sweepBatches end one pass.
	sweepBatch, sweepBatches = 200, 100
	// lookAlive is when an attempt of a living worker is looked at again: should it
	// have died just now, its silence (20 s), this, the next sweep (2 s) and the lease
	// of a sweeper that died as well (8 s) make 35 s, and an orphan is to be repaired
	// within 45.
	lookAlive = 5 * time.Second
	// stray is how long a Begin of ours that failed may still reach the store.
	stray = time.Minute
)

// sweep looks once at every entry that is due, in every shard of both worlds that
// no other worker holds.
func (w *Worker) sweep(ctx context.Context) error {
	s := &sweeper{w: w, died: make(map[string]bool)}
	errs := []error{s.own(ctx)}
	for _, world := range []email.World{email.Live, email.Test} {
		due, err := w.o.Store.Messages.DueShards(ctx, world, w.o.Now())
		errs = append(errs, err)
		for _, shard := range due {
			if err := s.shard(ctx, world, shard); err != nil {
				errs = append(errs, err)
			}
			if ctx.Err() != nil {
				return ctx.Err()
			}
		}
	}
	return errors.Join(errs...)
}

// sweeper is one pass. What it learned of workers holds for the pass.
type sweeper struct {
	w        *Worker
	died     map[string]bool // by worker
	panicked bool            // it repairs an attempt of this very worker
}

// own looks at what this process left behind, whoever sweeps the shard: jobs whose
// Begin or end was lost between us and the store.
func (s *sweeper) own(ctx context.Context) error {
	var errs []error
	for job, since := range s.w.orphans.list() {
		e, err := s.w.o.Store.Messages.Entry(ctx, job.World, job.Message, job.Envelope)
		ours := err == nil && e.State.Worker == s.w.o.ID
		if ours {
			err = s.look(ctx, e)
		}
		switch {
		case err != nil && !errors.Is(err, store.ErrBroken): // that is for who finds it due
			errs = append(errs, fmt.Errorf("look at %s envelope %d: %w", job.Message, job.Envelope, err))
		case !ours && s.w.o.Now().Sub(since) >= stray:
			s.w.orphans.remove(job)
		}
	}
	return errors.Join(errs...)
}

func (s *sweeper) shard(ctx context.Context, world email.World, shard uint8) error {
	lease := fmt.Sprintf("sweep:%s:%d", world, shard)
	// Not kept past the pass: another may be needed before it would run out.
	defer func() { _ = s.w.o.Store.Leases.Drop(context.WithoutCancel(ctx), lease, s.w.o.ID) }()
	var errs []error
	for range sweepBatches {
		// One holder for each batch: what another does in parallel is fenced, but wasted.
		held, err := s.w.o.Store.Leases.Hold(ctx, lease, s.w.o.ID, sweepLease)
		if err != nil || !held {
			return errors.Join(append(errs, err)...)
		}
		entries, err := s.w.o.Store.Messages.Due(ctx, world, shard, s.w.o.Now(), sweepBatch)
		if err != nil {
			errs = append(errs, err)
		}
		// All that was due has been seen, unless the batch was full, held what
		// cannot be read, or took too long.
		more := len(entries) == sweepBatch || errors.Is(err, store.ErrBroken)
		until := time.Now().Add(sweepLease / 2)
		for i, e := range entries {
			if err := s.look(ctx, e); err != nil {
				errs = append(errs, fmt.Errorf("look at %s envelope %d: %w", e.Message, e.Envelope, err))
				s.putOff(ctx, e, err)
			}
			if i+1 < len(entries) && (ctx.Err() != nil || time.Now().After(until)) {
				more = true
				break
			}
		}
		if !more || ctx.Err() != nil {
			break
		}
	}
	return errors.Join(errs...)
}

// look does what one entry needs. Whatever it does gives the entry a later time.
func (s *sweeper) look(ctx context.Context, e store.Entry) error {
	switch e.State.Phase {
	case email.Waiting:
		return s.waiting(ctx, e)
	case email.Quarantined:
		return s.quarantined(ctx, e)
	case email.InFlight, email.Marked:
		dead, err := s.dead(ctx, e)
		switch {
		case err != nil:
			return err
		case !dead:
			return s.w.o.Store.Messages.LookAgain(ctx, e, s.w.o.Now().Add(lookAlive))
		case e.State.Phase == email.Marked:
			err = s.repairMarked(ctx, e)
		default:
			err = s.repair(ctx, e)
		}
		if errors.Is(err, store.ErrLostFence) {
			return nil // it ended while we looked
		}
		return err
	}
	return s.w.o.Store.Messages.LookAgain(ctx, e, time.Time{})
}

// waiting makes sure that a job will wake the envelope. No envelope waits past the
// end of its life: who gave it back saw to that.
func (s *sweeper) waiting(ctx context.Context, e store.Entry) error {
	now := s.w.o.Now()
	at := e.State.NextAt
	if at.Sub(now) > jobAhead {
		return s.w.o.Store.Messages.LookAgain(ctx, e, at.Add(-jobAhead))
	}
	job := queue.Delivery{World: e.World, Message: e.Message, Envelope: e.Envelope, Generation: e.State.Generation}
	state, err := s.w.o.Queue.State(ctx, e.Class, job)
	if err != nil {
		return err
	}
	switch state {
	case queue.Pending, queue.Scheduled, queue.Retrying:
		if at.Before(now) {
			at = now
		}
		return s.w.o.Store.Messages.LookAgain(ctx, e, at.Add(lookAfter))
	}
	// Absent, archived, or active although the envelope waits: that job wakes nobody.
	job.Generation, err = s.w.o.Store.Messages.Advance(ctx, e, now)
	switch {
	case errors.Is(err, store.ErrNotFound):
		return s.w.o.Store.Messages.LookAgain(ctx, e, time.Time{})
	case err != nil:
		return err
	}
	return s.w.o.Queue.Add(ctx, e.Class, job, at)
}

// dead reports whether the worker that holds an attempt will never end it. How old
// the attempt is says nothing: clocks step, and each worker sees to its own.
func (s *sweeper) dead(ctx context.Context, e store.Entry) (bool, error) {
	if e.State.Worker == s.w.o.ID {
		// Ours, but not in hand: its Begin or its end was lost between us and the store.
		return !s.w.running.has(idOfEntry(e)), nil
	}
	if len(s.died) == 0 {
		// What is not heard of others is measured by what is heard of us.
		if err := s.w.beat(ctx); err != nil {
			return false, err
		}
	}
	died, known := s.died[e.State.Worker]
	if !known {
		silence, err := s.w.o.Store.Leases.Silence(ctx, e.State.Worker)
		if err != nil {
			return false, err
		}
		died = silence >= beatLives*s.w.o.BeatEvery
		s.died[e.State.Worker] = died
	}
	return died, nil
}

func claimOf(e store.Entry) store.Claim {
	return store.Claim{World: e.World, Message: e.Message, Envelope: e.Envelope, Fence: e.State.Fence}
}

// repairOf is the claim by which the sweeper ends an attempt in its worker's place.
func repairOf(e store.Entry) store.Claim {
	c := claimOf(e)
	c.Repair = true
	return c
}

// repair gives an envelope back whose attempt never came to its mark: nothing of
// it can have been accepted.
func (s *sweeper) repair(ctx context.Context, e store.Entry) error {
	now := s.w.o.Now()
	done, err := s.giveBack(ctx, e, nil, now, now)
	if err != nil {
		return err
	}
	s.w.o.Log.Warn("attempt of a dead worker given back", "message", e.Message, "envelope", e.Envelope, "fence", e.State.Fence, "worker", e.State.Worker, "begun", e.State.BegunAt)
	s.wake(ctx, e, done)
	return nil
}

// repairMarked ends an attempt past its mark: for the marked recipients its
// outcome is unknown, the others just wait.
func (s *sweeper) repairMarked(ctx context.Context, e store.Entry) error {
	m, err := s.w.o.Store.Messages.Get(ctx, e.World, e.Message)
	if errors.Is(err, store.ErrNotFound) {
		return s.w.o.Store.Messages.LookAgain(ctx, e, time.Time{})
	}
	if err != nil {
		return err
	}
	now := s.w.o.Now()
	t := &trial{m: m, envelope: e.Envelope, expires: s.w.o.Schedule.expires(m, e.Envelope), now: now, schedule: s.w.o.Schedule}
	a := &email.Attempt{
		Number: e.State.Attempts + 1, Envelope: e.Envelope, Fence: e.State.Fence, Worker: e.State.Worker,
		StartedAt: e.State.BegunAt, EndedAt: now, ReversePath: m.Envelopes[e.Envelope].ReversePath,
		Error: "the worker died after the final dot may have been sent",
	}
	v := t.orphaned(e.State.Marked, a.Error)
	a.Outcomes = v.outcomes
	done, err := s.giveBack(ctx, e, a, v.nextAt, now)
	if err != nil {
		return err
	}
	s.w.o.Metrics.concluded(m, a, now)
	s.w.o.Log.Warn("attempt of a dead worker is an unknown outcome", "message", e.Message, "envelope", e.Envelope, "fence", e.State.Fence, "worker", e.State.Worker, "begun", e.State.BegunAt)
	s.wake(ctx, e, done)
	return nil
}

func (s *sweeper) wake(ctx context.Context, e store.Entry, done *store.Concluded) {
	job := queue.Delivery{World: e.World, Message: e.Message, Envelope: e.Envelope}
	s.w.wake(ctx, e.Class, job, done)
}

// orphaned is the verdict on the marked recipients of an attempt that nobody ended.
func (t *trial) orphaned(marked []int, detail string) verdict {
	var v verdict
	waits := []wait{{pace: bounce.Normal}} // of those that were not marked
	for _, i := range marked {
		if t.m.Recipients[i].State.Status.Final() {
			continue
		}
		o, w := t.unknown(email.Outcome{Recipient: i, Status: email.Deferred}, detail)
		v.outcomes = append(v.outcomes, o)
		waits = append(waits, w)
	}
	t.plan(&v, t.m.Envelopes[t.envelope].State.Attempts+1, waits)
	return v
}
