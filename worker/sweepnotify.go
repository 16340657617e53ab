package worker

import (
	"context"
	"errors"
	"fmt"

	"postrider/internal/queue"
	"postrider/internal/store"
)

// sweepDeliveries looks once at every delivery to a webhook that is due, in every
// shard that no other worker holds.
func (w *Worker) sweepDeliveries(ctx context.Context) error {
	var errs []error
	for _, s := range w.shards() {
		if err := w.sweepShard(ctx, s); err != nil {
			errs = append(errs, err)
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	return errors.Join(errs...)
}

func (w *Worker) sweepShard(ctx context.Context, s shardID) error {
	lease := fmt.Sprintf("sweep-notify:%s:%d", s.world, s.shard)
	var errs []error
	for range sweepBatches {
		held, err := w.o.Store.Leases.Hold(ctx, lease, w.o.ID, sweepLease)
		if err != nil || !held {
			return errors.Join(append(errs, err)...)
		}
		list, err := w.o.Store.Deliveries.Due(ctx, s.world, s.shard, w.o.Now(), sweepBatch)
		errs = append(errs, err)
		for _, d := range list {
			if err := w.lookAt(ctx, d); err != nil {
				errs = append(errs, fmt.Errorf("look at delivery %s: %w", d.ID, err))
				// It must not stand before the others again.
				_ = w.o.Store.Deliveries.LookAgain(ctx, d, w.o.Now().Add(lookAfter))
			}
			if ctx.Err() != nil {
				return ctx.Err()
			}
		}
		if len(list) < sweepBatch {
			break
		}
	}
	return errors.Join(errs...)
}

// lookAt makes sure that a job will wake a delivery. Whatever it does gives the
// delivery a later time.
func (w *Worker) lookAt(ctx context.Context, d *store.Delivery) error {
	now := w.o.Now()
	at := d.NextAt
	if at.Sub(now) > jobAhead {
		return w.o.Store.Deliveries.LookAgain(ctx, d, at.Add(-jobAhead))
	}
	if at.Before(now) {
		at = now
	}
	job := queue.Notification{World: d.World, Delivery: d.ID, Generation: d.Generation}
	state, err := w.o.Queue.NotificationState(ctx, job)
	if err != nil {
		return err
	}
	switch state {
	case queue.Absent, queue.Archived:
	default:
		// It will run, or runs; the job of a worker that died comes back by itself once
		// its lease in the queue has ended.
		return w.o.Store.Deliveries.LookAgain(ctx, d, at.Add(lookAfter))
	}
	if d, err = w.o.Store.Deliveries.Advance(ctx, d, now); err == nil {
		w.wakeDelivery(ctx, d)
	}
	if errors.Is(err, store.ErrLostFence) {
		return nil // it was settled while we looked
	}
	return err
}
