package worker

import (
	"context"
	"errors"
	"fmt"
	"time"

	"postrider/internal/email"
	"postrider/internal/queue"
	"postrider/internal/store"
)

// postLimit is longer than any post to an endpoint takes.
const postLimit = time.Minute

// sweepDeliveries looks once at every delivery to a webhook that is due, in every
// shard that no other worker holds.
func (w *Worker) sweepDeliveries(ctx context.Context) error {
	var errs []error
	for _, world := range []email.World{email.Live, email.Test} {
		due, err := w.o.Store.Deliveries.DueShards(ctx, world, w.o.Now())
		errs = append(errs, err)
		for _, shard := range due {
			if err := w.sweepShard(ctx, shardID{world, shard}); err != nil {
				errs = append(errs, err)
			}
			if ctx.Err() != nil {
				return ctx.Err()
			}
		}
	}
	return errors.Join(errs...)
}

func (w *Worker) sweepShard(ctx context.Context, s shardID) error {
	lease := fmt.Sprintf("sweep-notify:%s:%d", s.world, s.shard)
	defer func() { _ = w.o.Store.Leases.Drop(context.WithoutCancel(ctx), lease, w.o.ID) }()
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
	case queue.Active:
		// It runs, or its worker died: then the queue gives it out again once its lease
		// has ended. If it has not by the time that no attempt takes, we do.
		if now.Sub(d.NextAt) < w.o.Insist+postLimit {
			return w.o.Store.Deliveries.LookAgain(ctx, d, at.Add(lookAfter))
		}
	default:
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
