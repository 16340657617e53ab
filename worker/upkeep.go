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
	// beatLives is how many beats a heartbeat lives.
	beatLives = 4
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
	w.beat(beat)
	var beating, working sync.WaitGroup
	beating.Go(func() { w.every(beat, w.o.BeatEvery, w.beat, nil) })
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
	return nil
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
	return func(ctx context.Context) {
		if err := do(ctx); err != nil && ctx.Err() == nil {
			level := slog.LevelWarn
			if errors.Is(err, store.ErrBroken) {
				level = slog.LevelError // something was lost, and somebody has to look
			}
			w.o.Log.Log(ctx, level, "upkeep failed", "what", what, "error", printable(err.Error(), maxReply))
		}
	}
}

func (w *Worker) beat(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, w.o.BeatEvery)
	defer cancel()
	switch err := w.o.Store.Leases.Beat(ctx, w.o.ID, beatLives*w.o.BeatEvery); {
	case err == nil:
		w.pulse.beat(w.o.Now())
	case !errors.Is(ctx.Err(), context.Canceled):
		w.o.Log.Warn("heartbeat failed", "error", err)
	}
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
