package worker

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"postrider/internal/email"
	"postrider/internal/events"
	"postrider/internal/queue"
	"postrider/internal/store"
	"postrider/smtpclient/mx"
)

const (
	// followLease is how long a shard without its follower waits for the next one.
	followLease = 8 * time.Second
	// followBatch entries are read at a time; followBatches end one turn of a shard.
	followBatch, followBatches = 200, 100
	// followEach keeps what many idle shards cost at 500 looks a second.
	followEach = 2 * time.Millisecond
	// followRest is how long a store that is away is left alone.
	followRest = time.Second
	// adders add jobs side by side.
	adders = 8
)

// shardID names one shard of one world.
type shardID struct {
	world email.World
	shard uint8
}

func (w *Worker) shards() []shardID {
	var list []shardID
	for _, world := range []email.World{email.Live, email.Test} {
		for shard := range w.o.Store.Messages.Shards() {
			list = append(list, shardID{world, uint8(shard)})
		}
	}
	return list
}

func (s shardID) lease() string { return fmt.Sprintf("follow:%s:%d", s.world, s.shard) }

// follower reads the event streams and makes what follows from them: suppressions,
// deliveries to webhooks. It also copies the changes of the suppressions to the shards. It holds a lease on each shard that it follows, so that others do not
// read the same; that nothing is made twice or left out is the store's doing, which
// moves the cursor in the script that keeps the deliveries.
type follower struct {
	w      *Worker
	leases map[string]lease // by name
}

// lease is what we know of a lease, until when.
type lease struct {
	ours  bool
	until time.Time
}

// follow follows all shards until ctx ends.
func (w *Worker) follow(ctx context.Context) {
	f := &follower{w: w, leases: make(map[string]lease)}
	interval := max(w.o.FollowEvery, time.Duration(len(w.shards()))*followEach)
	w.every(ctx, interval, w.logged("follow", func(ctx context.Context) error {
		err := errors.Join(f.turn(ctx), f.copySuppressions(ctx))
		if err != nil {
			pause(ctx, followRest)
		}
		return err
	}), nil)
	late, cancel := context.WithTimeout(context.WithoutCancel(ctx), flushLimit)
	defer cancel()
	for name, l := range f.leases {
		if l.ours && late.Err() == nil {
			_ = w.o.Store.Leases.Drop(late, name, w.o.ID) // or it ends by itself
		}
	}
}

// pause waits, or until ctx ends.
func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// turn follows each shard as far as it goes, or for a while.
func (f *follower) turn(ctx context.Context) error {
	var errs []error
	for _, s := range f.w.shards() {
		for range followBatches {
			more, err := f.some(ctx, s)
			errs = append(errs, err)
			if !more || err != nil || ctx.Err() != nil {
				break
			}
		}
	}
	return errors.Join(errs...)
}

// some follows the next part of a shard, if it is ours to follow.
func (f *follower) some(ctx context.Context, s shardID) (more bool, err error) {
	if ours, err := f.holds(ctx, s.lease()); !ours {
		return false, err
	}
	return f.w.followSome(ctx, s)
}

// holds takes or renews a lease, if it is time to.
func (f *follower) holds(ctx context.Context, name string) (bool, error) {
	now := time.Now()
	if l := f.leases[name]; !now.Before(l.until) {
		ours, err := f.w.o.Store.Leases.Hold(ctx, name, f.w.o.ID, followLease)
		if err != nil {
			return false, err
		}
		f.leases[name] = lease{ours, now.Add(followLease / 4)}
	}
	return f.leases[name].ours, nil
}

// followSome makes what follows from the next events of a shard, and then the jobs of
// the deliveries. If we die between the two, the sweeper adds the jobs.
func (w *Worker) followSome(ctx context.Context, s shardID) (more bool, err error) {
	part, err := w.o.Store.Deliveries.Unfollowed(ctx, s.world, s.shard, followBatch)
	if err != nil || part.To == part.From {
		return false, err
	}
	// Read after the events: an endpoint that was there when one happened is seen.
	hooks, broken, err := w.o.Store.Webhooks.Enabled(ctx, s.world)
	if err != nil {
		return false, err
	}
	w.complain("webhook cannot be read", broken)
	entries := part.Entries
	happened, broken, err := w.o.Store.Deliveries.Briefly(ctx, part.World, unread(entries, hooks))
	if err != nil {
		return false, err
	}
	w.complain("event cannot be read", broken)
	// First, so that the events tell of them.
	if err := w.suppress(ctx, s.world, entries, happened); err != nil {
		return false, err
	}
	part.Tally = tally(entries, happened)
	list := wanted(entries, happened, hooks)
	moved, err := w.o.Store.Deliveries.Follow(ctx, part, part.To, list, w.o.Now())
	if err != nil || !moved {
		return false, err
	}
	w.notify(ctx, list)
	return part.To != part.End, nil
}

// wanted are the deliveries that follow from entries of the stream.
func wanted(entries []store.StreamEntry, happened map[string]*store.Happened, hooks []*store.Webhook) []*store.Delivery {
	var list []*store.Delivery
	for _, entry := range entries {
		for _, hook := range hooks {
			if !hook.Wants(entry.At) {
				continue
			}
			if d := hook.DeliveryOf(entry, happened[entry.Message], events.Match); d != nil {
				list = append(list, d)
			}
		}
	}
	return list
}

// unread are the entries of which more must be known than they tell: all if somebody
// wants to hear of events.
func unread(entries []store.StreamEntry, hooks []*store.Webhook) []store.StreamEntry {
	if len(hooks) > 0 {
		return entries
	}
	return slices.DeleteFunc(slices.Clone(entries), func(e store.StreamEntry) bool { return e.Sample != nil && !e.Suppresses })
}

// tally counts the events of messages.
func tally(entries []store.StreamEntry, happened map[string]*store.Happened) *store.Tally {
	t := store.NewTally()
	for _, entry := range entries {
		e, ok := happened[entry.Message].Sample(entry.Index)
		if entry.Sample != nil {
			e, ok = *entry.Sample, true
		}
		if ok {
			t.Count(e, providerOf(e))
		}
	}
	return t
}

// providerOf is who answered, as far as an event tells.
func providerOf(e store.Sample) string {
	if e.MXHost == "" {
		return ""
	}
	return mx.Provider(e.MXHost)
}

func (w *Worker) complain(what string, broken []error) {
	for _, err := range broken {
		w.o.Log.Error(what, "error", printable(err.Error(), maxReply))
	}
}

// notify adds the jobs of new deliveries. One that cannot be added is found missing
// by the sweeper.
func (w *Worker) notify(ctx context.Context, list []*store.Delivery) {
	work := make(chan *store.Delivery)
	var adding sync.WaitGroup
	for range min(adders, len(list)) {
		adding.Go(func() {
			for d := range work {
				w.wakeDelivery(ctx, d)
			}
		})
	}
	for _, d := range list {
		work <- d
	}
	close(work)
	adding.Wait()
}

// wakeDelivery adds the job that is to wake a pending delivery, if that is within
// two minutes.
func (w *Worker) wakeDelivery(ctx context.Context, d *store.Delivery) {
	if d.Status != store.DeliveryPending || d.NextAt.Sub(w.o.Now()) > jobAhead {
		return
	}
	job := queue.Notification{World: d.World, Delivery: d.ID, Generation: d.Generation}
	if err := w.o.Queue.AddNotification(ctx, job, d.NextAt); err != nil {
		w.o.Log.Warn("job not added", "delivery", d.ID, "error", err)
	}
}
