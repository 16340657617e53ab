package intake

import (
	"context"
	"errors"
	"fmt"

	"golang.org/x/sync/errgroup"

	"postrider/internal/email"
	"postrider/internal/store"
)

// BatchRequest is several messages to accept together. The World and KeyID of the
// items are its own.
type BatchRequest struct {
	World          email.World
	KeyID          string
	Rights         Rights // of all items
	IdempotencyKey string // of the whole; empty: none
	Fingerprint    [32]byte
	Partial        bool // those without fault are accepted, whatever the others are
	Items          []Request
	Faults         []Fault // of the whole: it is refused, and its messages are looked at all the same
}

// BatchItem is what became of one item: a message, or what is wrong with it, one of
// the errors of Accept.
type BatchItem struct {
	Message  *email.Message
	Replayed bool // its own Idempotency-Key had been used for the same message
	Err      error
}

// Batch is what became of a batch.
type Batch struct {
	ID    string
	Items []BatchItem
	// Earlier is the answer that was given to the same request before: then nothing
	// else is set.
	Earlier []byte
}

// Accepted counts the items with a message.
func (b *Batch) Accepted() int {
	n := 0
	for _, item := range b.Items {
		if item.Err == nil {
			n++
		}
	}
	return n
}

// ErrBatchRefused is a batch of which nothing was kept, since an item has a fault (one
// that is not partial) or all have.
var ErrBatchRefused = errors.New("the batch was refused")

// commitTries bounds how often a batch is committed anew since one of its items was
// accepted meanwhile under the same Idempotency-Key.
const commitTries = 20

// AcceptBatch checks all items and keeps those that it accepts, in one shard and all at
// once. answer makes of what became of them the octets that a repetition is answered
// with. Errors: ErrBatchRefused with what is wrong with each item, *[Invalid] for too
// many recipients together, [store.ErrIdempotencyReused], else internal.
func (d *Desk) AcceptBatch(ctx context.Context, r *BatchRequest, answer func(*Batch) ([]byte, error)) (*Batch, error) {
	shard := d.options.Store.Messages.ShardFor(r.World, r.IdempotencyKey)
	out := &Batch{ID: email.NewID(email.BatchPrefix), Items: make([]BatchItem, len(r.Items))}
	prepared := make([]*ready, len(r.Items))
	recipients := 0
	made := &rendering{}
	for i := range r.Items {
		item := &r.Items[i]
		item.World, item.KeyID, item.Rights, item.rendering = r.World, r.KeyID, r.Rights, made
		ready, err := d.prepareItem(ctx, item, shard, out.ID)
		if errors.Is(err, ErrPaused) {
			return nil, err // of all of them
		}
		if err != nil && !ofCaller(err) {
			return nil, fmt.Errorf("check message %d of a batch: %w", i, err)
		}
		if out.Items[i].Err = err; err == nil {
			prepared[i] = ready
			recipients += len(ready.Message.Recipients)
		}
	}
	if most := d.options.Limits.BatchRecipients; recipients > most {
		fault := Fault{Pointer: "#/messages", Code: TooMany, Detail: fmt.Sprintf("have more than %d recipients together", most)}
		return nil, &Invalid{Faults: []Fault{fault}}
	}
	kept, refused, err := d.completeBatch(ctx, out, prepared)
	if err != nil {
		return nil, err
	}
	if len(r.Faults) > 0 || refused == len(r.Items) || refused > 0 && !r.Partial {
		return out, ErrBatchRefused
	}
	// A caller who hangs up must not stop it halfway.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), commitTimeout)
	defer cancel()
	release, err := d.takeQuota(ctx, r.World, r.KeyID, r.Rights, recipients)
	if err != nil {
		return nil, err
	}
	err = d.keepBatch(ctx, r, out, kept, answer)
	if !errors.Is(err, store.ErrUnavailable) { // then it may have been kept
		release(recipients - out.fresh(err))
	}
	return out, err
}

// fresh counts the recipients of the messages that were kept now.
func (b *Batch) fresh(err error) int {
	n := 0
	if err != nil {
		return n
	}
	for _, item := range b.Items {
		if item.Err == nil && !item.Replayed {
			n += len(item.Message.Recipients)
		}
	}
	return n
}

// completeBatch completes what was prepared, nil apart, by one look at the suppressions
// of all recipients. refused counts what is not kept, for one reason or another.
func (d *Desk) completeBatch(ctx context.Context, out *Batch, prepared []*ready) (kept []*store.Submission, refused int, err error) {
	var messages []*email.Message
	for _, r := range prepared {
		if r != nil {
			messages = append(messages, r.Message)
		}
	}
	listed, err := d.options.Store.Messages.Listed(ctx, messages...)
	if err != nil {
		return nil, 0, fmt.Errorf("check a batch: %w", err)
	}
	kept = make([]*store.Submission, len(prepared))
	for i, r := range prepared {
		if r == nil {
			refused++
			continue
		}
		r.Listed, listed = listed[0], listed[1:]
		err := d.complete(r.checker, r.returnPath, r.Listed)
		if err != nil && !ofCaller(err) {
			return nil, 0, fmt.Errorf("check message %d of a batch: %w", i, err)
		}
		if out.Items[i].Err = err; err != nil {
			refused++
			continue
		}
		kept[i] = r.Submission
	}
	return kept, refused, nil
}

// prepareItem is prepare for an item of a batch.
func (d *Desk) prepareItem(ctx context.Context, r *Request, shard uint8, batch string) (*ready, error) {
	if r.IdempotencyKey != "" && d.options.Store.Messages.ShardFor(r.World, r.IdempotencyKey) != shard {
		r.Faults = append(r.Faults, Fault{
			Pointer: "#/idempotency_key", Code: UnsupportedFeature, Detail: "is not supported by a store of several shards",
		})
	}
	ready, err := d.prepare(ctx, r, shard)
	if err != nil {
		return nil, err
	}
	ready.Message.BatchID = batch
	return ready, nil
}

// ofCaller tells what is wrong with a message from what is wrong with us.
func ofCaller(err error) bool {
	var (
		invalid     *Invalid
		notVerified *NotVerified
		tooLarge    *TooLarge
		notAllowed  *FromNotAllowed
		template    *TemplateRefused
	)
	return errors.As(err, &invalid) || errors.As(err, &template) || errors.As(err, &notAllowed) || errors.As(err, &notVerified) || errors.As(err, &tooLarge) || errors.Is(err, store.ErrIdempotencyReused)
}

// keepBatch stages and commits what was accepted. kept has no submission for an item
// that was not.
func (d *Desk) keepBatch(ctx context.Context, r *BatchRequest, out *Batch, kept []*store.Submission, answer func(*Batch) ([]byte, error)) error {
	if err := d.stage(ctx, out, kept); err != nil {
		return err
	}
	for range commitTries {
		if err := d.replayItems(ctx, out, kept); err != nil {
			return err
		}
		items, fresh := pick(out, kept)
		if out.Accepted() == 0 || out.Accepted() < len(out.Items) && !r.Partial {
			return errors.Join(ErrBatchRefused, d.options.Store.Batches.Discard(ctx, items))
		}
		raw, err := answer(out)
		if err != nil {
			return err
		}
		earlier, err := d.options.Store.Batches.Commit(ctx, &store.Batch{
			World: r.World, Shard: d.options.Store.Messages.ShardFor(r.World, r.IdempotencyKey), Items: items,
			IdempotencyKey: r.IdempotencyKey, Fingerprint: r.Fingerprint, Answer: raw,
		})
		var taken *store.KeyTaken
		switch {
		case errors.As(err, &taken):
			continue // its message is there now
		case err != nil:
			return fmt.Errorf("keep a batch: %w", err)
		case earlier != nil:
			*out = Batch{Earlier: earlier}
			return d.options.Store.Batches.Discard(ctx, items)
		}
		return d.deliverBatch(ctx, fresh)
	}
	return fmt.Errorf("keep a batch: its items are accepted by others again and again: %w", store.ErrInProgress)
}

// stage writes down what is to be committed.
func (d *Desk) stage(ctx context.Context, out *Batch, kept []*store.Submission) error {
	var items []*store.Submission
	for _, s := range kept {
		if s != nil {
			items = append(items, s)
		}
	}
	staged, err := d.options.Store.Batches.Stage(ctx, items)
	if err != nil {
		return fmt.Errorf("keep a batch: %w", err)
	}
	for i, s := range kept {
		if s != nil {
			out.Items[i].Message, staged = staged[0], staged[1:]
		}
	}
	return nil
}

// replayItems looks up the items that have an Idempotency-Key of their own.
func (d *Desk) replayItems(ctx context.Context, out *Batch, kept []*store.Submission) error {
	asked := make([]*store.Submission, len(kept))
	none := true
	for i, s := range kept {
		if s != nil && s.IdempotencyKey != "" && !out.Items[i].Replayed {
			asked[i], none = s, false
		}
	}
	if none {
		return nil
	}
	earlier, err := d.options.Store.Batches.Earlier(ctx, asked)
	if err != nil {
		return err
	}
	for i, e := range earlier {
		switch {
		case e.Reused:
			out.Items[i] = BatchItem{Err: store.ErrIdempotencyReused}
		case e.Message != nil:
			out.Items[i] = BatchItem{Message: e.Message, Replayed: true}
		}
	}
	return nil
}

// pick lists what is to be committed. An item that turned out to be there already, or
// to be refused, stays staged and goes after an hour.
func pick(out *Batch, kept []*store.Submission) (items []*store.Submission, fresh []*email.Message) {
	for i, s := range kept {
		if item := out.Items[i]; s != nil && item.Err == nil && !item.Replayed {
			items, fresh = append(items, s), append(fresh, item.Message)
		}
	}
	return items, fresh
}

// deliverBatch does for the messages of a batch what keep does for one.
func (d *Desk) deliverBatch(ctx context.Context, messages []*email.Message) error {
	if err := d.options.Store.Messages.Supersede(ctx, d.options.Now(), messages...); err != nil {
		return fmt.Errorf("supersede older messages: %w", err)
	}
	// As many as fill the pipelines to Redis; what is not enqueued is left to the sweeper.
	const atOnce = 128
	var group errgroup.Group
	group.SetLimit(atOnce)
	for _, m := range messages {
		group.Go(func() error {
			d.wake(ctx, m, m.CreatedAt)
			return nil
		})
	}
	return group.Wait()
}
