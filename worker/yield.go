package worker

import (
	"context"
	"errors"
	"fmt"

	"postrider/internal/email"
	"postrider/internal/store"
)

// yieldBatch messages give way between two measurements of memory.
const yieldBatch = 100

// yield lets finished history go before its time while memory is short, so that
// it never stands in the way of mail: all content first, then metadata.
func (w *Worker) yield(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, max(w.o.SweepEvery, sweepLease))
	defer cancel()
	if _, err := w.o.Store.Measure(ctx); err != nil {
		return err
	}
	for _, what := range []store.History{store.HistoryContent, store.HistoryMetadata} {
		total := 0
		for w.o.Store.Messages.Pressed() {
			gone, err := w.yieldOnce(ctx, what)
			if err != nil {
				return err
			}
			if gone == 0 {
				break
			}
			total += gone
			if _, err := w.o.Store.Measure(ctx); err != nil {
				return err
			}
		}
		if total > 0 {
			w.o.Log.Warn("Redis is short of memory: what is finished lost its history early", "what", string(what), "records", total)
		}
	}
	return nil
}

// yieldOnce goes once through all shards that no other worker holds.
func (w *Worker) yieldOnce(ctx context.Context, what store.History) (gone int, err error) {
	var errs []error
	for _, world := range []email.World{email.Live, email.Test} {
		for shard := range w.o.Store.Messages.Shards() {
			held, err := w.o.Store.Leases.Hold(ctx, fmt.Sprintf("yield:%s:%d", world, shard), w.o.ID, sweepLease)
			if err != nil || !held {
				errs = append(errs, err)
				continue
			}
			n, err := w.o.Store.Messages.Yield(ctx, world, uint8(shard), what, yieldBatch)
			gone += n
			errs = append(errs, err)
			if what == store.HistoryMetadata {
				n, err := w.o.Store.Deliveries.Yield(ctx, world, uint8(shard), w.o.Now(), yieldBatch)
				gone += n
				errs = append(errs, err)
			}
		}
	}
	return gone, errors.Join(errs...)
}
