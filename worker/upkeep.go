package worker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"postrider/internal/email"
	"postrider/internal/store"
)

const (
	// A worker is dead once it was not heard for beatLives beats; a gap of beatGap
	// beats in all that is heard is an outage, which is nobody's silence.
	beatLives, beatGap = 4, 2
	// beatTries is how many tries of a heartbeat, as long as nobody answers, fit
	// between two.
	beatTries = 10
	// quietFor is how long an upkeep that goes on failing is not logged again.
	quietFor = 30 * time.Second
	// lastBeats is how long Run goes on beating for deliveries that still run.
	lastBeats = 2 * time.Minute
	// flushLimit bounds the last adding of jobs.
	flushLimit = 5 * time.Second
	// forgetBatch messages are forgotten by one script after the other.
	forgetBatch = 500
)

// SweepNow has Run sweep at once: Redis was started anew, and what it forgot of
// the queue is to be found.
func (w *Worker) SweepNow() {
	select {
	case w.sweepNow <- struct{}{}:
	default: // it is asked for already
	}
}

// Run does what is not a job, until ctx ends: heartbeat, sweeper, forgetting, and
// following the events. It returns nil then. End it only after the queue's servers have shut down: without
// a heartbeat other workers take this one's attempts for dead. Deliveries that
// still run then are given two more minutes of it.
func (w *Worker) Run(ctx context.Context) error {
	// The beat outlives ctx, so that it ends last.
	beat, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	_ = w.beat(beat) // and again below
	var beating, working sync.WaitGroup
	beating.Go(func() { w.beats(beat) })
	working.Go(func() { w.every(ctx, w.o.SweepEvery, w.logged("sweep", w.sweep), w.sweepNow) })
	working.Go(func() { w.every(ctx, w.o.SweepEvery, w.logged("yield", w.yield), nil) })
	working.Go(func() { w.every(ctx, w.o.ForgetEvery, w.logged("forget", w.forget), nil) })
	working.Go(func() { w.every(ctx, w.o.SweepEvery, w.logged("sweep deliveries", w.sweepDeliveries), nil) })
	working.Go(func() { w.follow(ctx) })
	<-ctx.Done()
	working.Wait()
	w.drain(beat)
	w.end()
	flush, cancel := context.WithTimeout(beat, flushLimit)
	defer cancel()
	w.alarms.flush(flush)
	stop()
	beating.Wait()
	if w.running.none() {
		w.leave(context.WithoutCancel(ctx))
	}
	return nil
}

// leave says that this worker ended: an attempt that it left behind all the same,
// since its Begin or its end was lost, need not wait for its silence.
func (w *Worker) leave(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, flushLimit)
	defer cancel()
	if err := w.o.Store.Leases.Leave(ctx, w.o.ID); err != nil {
		w.o.Log.Info("the end of this worker is not known to others yet", "error", err)
	}
}

// every calls do at once, and then again and again until ctx ends: after each
// interval, and when now asks for it (nil: never).
func (w *Worker) every(ctx context.Context, interval time.Duration, do func(context.Context), now <-chan struct{}) {
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	for ctx.Err() == nil {
		do(ctx)
		select {
		case <-ticker.C:
		case <-now:
		case <-ctx.Done():
		}
	}
}

func (w *Worker) logged(what string, do func(context.Context) error) func(context.Context) {
	var last time.Time // when it was said that Redis is away
	return func(ctx context.Context) {
		err := do(ctx)
		if err == nil || ctx.Err() != nil {
			return
		}
		level := slog.LevelWarn
		switch {
		case errors.Is(err, store.ErrBroken):
			level = slog.LevelError // something was lost, and somebody has to look
		case errors.Is(err, store.ErrUnavailable):
			if time.Since(last) < quietFor {
				return
			}
			last = time.Now()
		}
		w.o.Log.Log(ctx, level, "upkeep failed", "what", what, "error", printable(err.Error(), maxReply))
	}
}

// beats beats until ctx ends. After an outage the heart is soon heard again: others
// look for it.
func (w *Worker) beats(ctx context.Context) {
	failing := false
	for ctx.Err() == nil {
		err := w.beat(ctx)
		if err != nil && !failing && ctx.Err() == nil {
			w.o.Log.Warn("heartbeat failed", "error", err)
		}
		failing = err != nil
		wait := w.o.BeatEvery
		if failing {
			wait /= beatTries
		}
		pause(ctx, wait)
	}
}

func (w *Worker) beat(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, w.o.BeatEvery/2)
	defer cancel()
	return w.o.Store.Leases.Beat(ctx, w.o.ID, beatGap*w.o.BeatEvery)
}

// drain waits for running deliveries, while the heart beats on.
func (w *Worker) drain(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, lastBeats)
	defer cancel()
	for !w.running.none() && ctx.Err() == nil {
		timer := time.NewTimer(20 * time.Millisecond)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
		}
	}
}

// forget removes what has been kept long enough, shard by shard, each under a
// lease, for at most half the time until the next run.
func (w *Worker) forget(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, max(w.o.ForgetEvery/2, time.Second))
	defer cancel()
	var errs []error
	for _, world := range []email.World{email.Live, email.Test} {
		for shard := range w.o.Store.Messages.Shards() {
			if err := w.forgetShard(ctx, world, uint8(shard)); err != nil {
				errs = append(errs, err)
			}
		}
		errs = append(errs, w.expireSuppressions(ctx, world))
	}
	return errors.Join(errs...)
}

func (w *Worker) forgetShard(ctx context.Context, world email.World, shard uint8) error {
	lease := fmt.Sprintf("forget:%s:%d", world, shard)
	for ctx.Err() == nil {
		held, err := w.o.Store.Leases.Hold(ctx, lease, w.o.ID, w.o.ForgetEvery)
		if err != nil || !held {
			return err
		}
		n, err := w.o.Store.Messages.Forget(ctx, world, shard, w.o.Now(), forgetBatch)
		posted, postedErr := w.o.Store.Deliveries.Forget(ctx, world, shard, w.o.Now(), forgetBatch)
		if err := errors.Join(err, postedErr); err != nil || max(n, posted) < forgetBatch {
			return err
		}
	}
	return nil
}
