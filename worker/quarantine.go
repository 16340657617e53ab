package worker

import (
	"context"
	"errors"
	"runtime/debug"
	"time"

	"postrider/internal/email"
	"postrider/internal/queue"
	"postrider/internal/store"
)

// survive keeps a panic from ending the worker. The attempt counts as one that
// killed it: five in a row, and its envelope is quarantined.
func (d *delivery) survive(ctx context.Context, failed *error) {
	cause := recover()
	if cause == nil {
		return
	}
	// The value may quote the mail; the stack says where it was.
	d.w.o.Log.ErrorContext(ctx, "panic", "message", d.m.ID, "envelope", d.job.Envelope, "fence", d.claim.Fence, "stack", string(debug.Stack()))
	*failed = d.died(context.WithoutCancel(ctx))
}

// died does for an attempt of this worker what the sweeper does for a dead one's.
func (d *delivery) died(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, d.w.o.Insist)
	defer cancel()
	m, err := d.w.o.Store.Messages.Get(ctx, d.job.World, d.m.ID)
	if err != nil {
		return err // the sweeper finds the attempt
	}
	state := m.Envelopes[d.job.Envelope].State
	s := &sweeper{w: d.w, panicked: true}
	e := store.Entry{
		World: d.job.World, Message: d.m.ID, Envelope: d.job.Envelope, Class: m.Class, State: state, ExpiresAt: m.ExpiresAt,
	}
	switch {
	case state.Fence != d.claim.Fence:
		return nil // another has it already
	case state.Phase == email.Marked:
		err = s.repairMarked(ctx, e)
	case state.Phase == email.InFlight:
		err = s.repair(ctx, e)
	}
	if errors.Is(err, store.ErrLostFence) {
		return nil
	}
	return err
}

// unreadable puts what Begin could not read out of the way, so that it does not
// come back for ever. A message whose content alone is broken can still be shown.
func (w *Worker) unreadable(ctx context.Context, job queue.Delivery, start *store.Start, err error) error {
	if !errors.Is(err, store.ErrBroken) {
		return err
	}
	if start != nil && start.Message != nil {
		w.o.Log.Error("quarantined: the content cannot be read", "message", job.Message, "envelope", job.Envelope, "error", printable(err.Error(), maxDetail))
		claim := store.Claim{World: job.World, Message: job.Message, Envelope: job.Envelope, Fence: start.Fence, Known: start.Message}
		_, err := w.o.Store.Messages.Quarantine(ctx, claim, "its content cannot be read", w.o.Now())
		if errors.Is(err, store.ErrLostFence) {
			return nil
		}
		return err
	}
	w.o.Log.Error("set aside: the record cannot be read", "message", job.Message, "envelope", job.Envelope, "error", printable(err.Error(), maxDetail))
	return w.o.Store.Messages.SetAside(ctx, store.Entry{World: job.World, Message: job.Message, Envelope: job.Envelope}, w.o.Now())
}

// quarantined gives up on an envelope whose message's life is over.
func (s *sweeper) quarantined(ctx context.Context, e store.Entry) error {
	now := s.w.o.Now()
	gaveUp, err := s.w.o.Store.Messages.GiveUp(ctx, e, now)
	if err != nil {
		return err
	}
	if gaveUp {
		s.w.o.Log.Error("quarantined until it expired", "message", e.Message, "envelope", e.Envelope)
		return nil
	}
	again := now.Add(lookAfter)
	if e.ExpiresAt.After(again) {
		again = e.ExpiresAt
	}
	return s.w.o.Store.Messages.LookAgain(ctx, e, again)
}

// putOff sees to it that an entry that failed does not stand before the others
// again: what cannot be read is set aside, the rest is looked at later.
func (s *sweeper) putOff(ctx context.Context, e store.Entry, err error) {
	now := s.w.o.Now()
	if errors.Is(err, store.ErrBroken) {
		err = s.w.o.Store.Messages.SetAside(ctx, e, now)
	} else {
		err = s.w.o.Store.Messages.LookAgain(ctx, e, now.Add(lookAfter))
	}
	if err != nil && ctx.Err() == nil {
		s.w.o.Log.Debug("entry not put off", "message", e.Message, "envelope", e.Envelope, "error", err)
	}
}

// giveBack ends an attempt that nobody will end; a is nil if it came to no mark. It
// counts as a death if its worker died, not if its end was lost on the way to the store.
func (s *sweeper) giveBack(ctx context.Context, e store.Entry, a *email.Attempt, nextAt, now time.Time) (done *store.Concluded, err error) {
	messages := s.w.o.Store.Messages
	switch {
	case s.panicked || e.State.Worker != s.w.o.ID:
		done, err = messages.Died(ctx, repairOf(e), a, nextAt, now)
	case a != nil:
		done, err = messages.Conclude(ctx, repairOf(e), a, nextAt, now)
	default:
		done, err = messages.Release(ctx, repairOf(e), store.Wait{Until: nextAt}, now)
	}
	if err == nil && done.Held {
		s.w.o.Log.Error("quarantined: its attempts killed their workers", "message", e.Message, "envelope", e.Envelope)
	}
	return done, err
}
