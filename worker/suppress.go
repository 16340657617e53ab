package worker

import (
	"context"
	"errors"
	"fmt"

	"postrider/internal/email"
	"postrider/internal/store"
)

// suppressionBatch changes of the list are copied, or expired entries removed, at a time.
const suppressionBatch = 100

// suppress puts the recipients of hard bounces on the list, and writes into each which
// entry that is. Followed twice it makes the same: the entry has the event's own id.
func (w *Worker) suppress(ctx context.Context, world email.World, entries []store.StreamEntry, happened map[string]*store.Happened) error {
	var list []email.Suppression
	var from []*store.Happened
	var recipients []int
	for _, entry := range entries {
		e, ok := happened[entry.Message].Event(entry.Index)
		if !ok || !entry.Suppresses || !e.Suppress {
			continue
		}
		h := happened[entry.Message]
		list = append(list, email.Suppression{
			ID: suppressionOf(e.ID), World: world, Email: h.Message.Recipients[e.Recipient].Address.Email,
			Reason: email.SuppressedHardBounce, SourceMessage: entry.Message, SourceEvent: e.ID, CreatedAt: e.At,
		})
		from, recipients = append(from, h), append(recipients, e.Recipient)
	}
	if len(list) == 0 {
		return nil
	}
	added, err := w.o.Store.Suppressions.Add(ctx, world, list, w.o.Now())
	if err != nil {
		return fmt.Errorf("suppress after bounces: %w", err)
	}
	for i, a := range added {
		if err := w.o.Store.Messages.LinkSuppression(ctx, from[i].Message, recipients[i], a.Suppression.ID); err != nil {
			return err
		}
	}
	return nil
}

// suppressionOf is the id of the suppression that an event makes.
func suppressionOf(event string) string {
	id, err := email.ParseID(email.EventPrefix, event)
	if err != nil {
		return email.NewID(email.SuppressionPrefix)
	}
	return email.FormatID(email.SuppressionPrefix, id)
}

// copySuppressions copies what changed in the lists to every shard.
func (f *follower) copySuppressions(ctx context.Context) error {
	var errs []error
	for _, world := range []email.World{email.Live, email.Test} {
		ours, err := f.holds(ctx, "follow:"+string(world)+":suppressions")
		for more := ours && err == nil; more && ctx.Err() == nil; {
			more, err = f.w.o.Store.Suppressions.Follow(ctx, world, suppressionBatch)
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// expireSuppressions removes the entries of a world whose time is over.
func (w *Worker) expireSuppressions(ctx context.Context, world email.World) error {
	held, err := w.o.Store.Leases.Hold(ctx, "expire:"+string(world), w.o.ID, w.o.ForgetEvery)
	if err != nil || !held {
		return err
	}
	if err := w.o.Store.Suppressions.Recopy(ctx, world); err != nil {
		return err
	}
	for ctx.Err() == nil {
		n, err := w.o.Store.Suppressions.Expire(ctx, world, w.o.Now(), suppressionBatch)
		if err != nil || n < suppressionBatch {
			return err
		}
	}
	return nil
}
