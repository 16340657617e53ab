package worker

import (
	"context"
	"errors"
	"time"

	"postrider/internal/store"
)

// attemptLimit is how long the end of an attempt is offered to a store that is away.
const attemptLimit = 45 * time.Minute

// giveBack tells the store what became of the attempt. If that takes too long to
// hold a handler for it, it goes on behind the scenes.
func (d *delivery) giveBack(ctx context.Context, do func(context.Context) (*store.Concluded, error)) error {
	short, cancel := context.WithTimeout(context.WithoutCancel(ctx), d.w.o.Insist)
	defer cancel()
	done, err := insist(short, do)
	if err == nil || errors.Is(err, store.ErrLostFence) {
		d.ended(ctx, done, err)
		return nil
	}
	d.w.o.Log.Warn("outcome not written yet", "message", d.m.ID, "envelope", d.job.Envelope, "error", printable(err.Error(), maxReply))
	d.w.running.add(idOfJob(d.job))
	go d.later(context.WithoutCancel(ctx), do)
	return nil
}

// later goes on until the store listens, the worker ends, or long after anybody
// waits for it. Till then the attempt counts as running, so that nobody calls it
// an orphan: its outcome is not to be had again.
func (d *delivery) later(ctx context.Context, do func(context.Context) (*store.Concluded, error)) {
	defer d.w.running.remove(idOfJob(d.job))
	ctx, cancel := context.WithTimeout(ctx, attemptLimit)
	defer cancel()
	defer context.AfterFunc(d.w.over, cancel)()
	done, err := insist(ctx, do)
	d.ended(ctx, done, err)
}

// ended wakes what is left of the envelope.
func (d *delivery) ended(ctx context.Context, done *store.Concluded, err error) {
	switch {
	case errors.Is(err, store.ErrLostFence):
		d.w.o.Metrics.lateFence.Inc()
		d.w.o.Log.Warn("outcome not written: another holds the envelope", "message", d.m.ID, "envelope", d.job.Envelope)
	case err != nil:
		d.w.orphans.add(d.job, d.w.o.Now())
		d.w.o.Log.Error("outcome not written", "message", d.m.ID, "envelope", d.job.Envelope, "error", printable(err.Error(), maxReply))
	default:
		d.w.wake(ctx, d.m.Class, d.job, done)
	}
}

// insist tells the store what happened until it listens or ctx ends. The fence
// keeps a late word harmless.
func insist[T any](ctx context.Context, do func(context.Context) (*T, error)) (*T, error) {
	for pause := 20 * time.Millisecond; ; pause = min(2*pause, time.Second) {
		done, err := do(ctx)
		if err == nil || errors.Is(err, store.ErrLostFence) {
			return done, err
		}
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return nil, err
		}
	}
}
