package store

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

// webhooks looks at one key of what is sent to endpoints: w:<rest>.
func (c *checker) webhooks(ctx context.Context, key, rest string) error {
	switch stem, _, _ := strings.Cut(rest, ":"); stem {
	case "due", "purge", "p", "f":
		return c.deliveries(ctx, key)
	case "h":
		return nil // says nothing of single deliveries, and ends by itself
	}
	return c.delivery(ctx, rest)
}

// deliveries looks for the records of a set's members.
func (c *checker) deliveries(ctx context.Context, set string) error {
	return c.members(ctx, set, func(name string) error {
		stands, exist, err := c.member(ctx, set, name, c.keys.delivery(name))
		if err == nil && stands && !exist[0] {
			c.found(KindDelivery, deliveryID(name), "%s names it, but it does not exist", set)
		}
		return err
	})
}

// deliveryFacts are what is stored about one delivery, at one moment.
type deliveryFacts struct {
	d                             *Delivery
	fields                        map[string]string
	due, purge, pending, finished bool
	at                            time.Time // of its due entry
}

// delivery compares everything about one delivery.
func (c *checker) delivery(ctx context.Context, name string) error {
	f, err := c.readDelivery(ctx, name)
	if errors.Is(err, ErrBroken) {
		c.found(KindRecord, deliveryID(name), "%v", err)
		return nil
	}
	if err != nil || f == nil {
		return err
	}
	id := f.d.ID
	if want, err := DeliveryID(f.d.Event, f.d.Webhook, c.shard); err != nil || want != id {
		c.found(KindDelivery, id, "its id is not that of its event and endpoint")
	}
	open := f.d.Status == DeliveryPending
	for _, s := range []struct {
		set    string
		stands bool
		want   bool
	}{
		{c.keys.deliveryDue(), f.due, open},
		{c.keys.pending(f.d.Webhook), f.pending, open},
		{c.keys.deliveryPurge(), f.purge, !open},
		{c.keys.finished(f.d.Webhook), f.finished, !open},
	} {
		if s.stands != s.want {
			c.found(KindDelivery, id, "it is %s, but stands in %s: %t", f.d.Status, s.set, s.stands)
		}
	}
	first, kept := max(1, f.d.Attempts-maxPosts+1), len(f.fields)-1
	for n := first; n <= max(kept, f.d.Attempts); n++ {
		if _, ok := f.fields["a"+strconv.Itoa(n)]; !ok || kept != f.d.Attempts-first+1 {
			c.found(KindDelivery, id, "%d attempts were counted, %d of the last %d are kept", f.d.Attempts, kept, maxPosts)
			break
		}
	}
	if c.o.Pending != nil && open && f.due {
		return c.o.Pending(ctx, f.d, f.at)
	}
	return nil
}

// readDelivery gathers the facts, nil if the delivery is gone or does not come to rest.
func (c *checker) readDelivery(ctx context.Context, name string) (*deliveryFacts, error) {
	key := c.keys.delivery(name)
	for range readTries {
		raw, err := c.m.rdb.HGet(ctx, key, "d").Result()
		if errors.Is(err, redis.Nil) {
			exist, err := c.exist(ctx, key)
			if err == nil && exist[0] {
				c.found(KindRecord, deliveryID(name), "it has attempts, but no record")
			}
			return nil, err
		}
		if err != nil {
			return nil, err
		}
		d, err := decodeDelivery(c.world, deliveryID(name), raw)
		if err != nil {
			return nil, err
		}
		var fields *redis.MapStringStringCmd
		var scores []*redis.FloatCmd
		_, err = c.m.rdb.TxPipelined(ctx, func(p redis.Pipeliner) error {
			fields = p.HGetAll(ctx, key)
			for _, set := range []string{c.keys.deliveryDue(), c.keys.deliveryPurge(), c.keys.pending(d.Webhook), c.keys.finished(d.Webhook)} {
				scores = append(scores, p.ZScore(ctx, set, name))
			}
			return nil
		})
		if err != nil && !errors.Is(err, redis.Nil) {
			return nil, err
		}
		if fields.Val()["d"] != raw {
			continue
		}
		stands := func(i int) bool { return scores[i].Err() == nil }
		return &deliveryFacts{
			d: d, fields: fields.Val(), at: fromMS(int64(scores[0].Val())),
			due: stands(0), purge: stands(1), pending: stands(2), finished: stands(3),
		}, nil
	}
	return nil, nil
}

// followedWithin is how soon a follower that runs has followed an event.
const followedWithin = 45 * time.Second

// cursor compares how far the events were followed with how far they go.
func (c *checker) cursor(ctx context.Context) error {
	var at *redis.StringCmd
	var last *redis.XMessageSliceCmd
	// At one moment, for the cursor is moved to the last entry.
	_, err := c.m.rdb.TxPipelined(ctx, func(p redis.Pipeliner) error {
		at, last = p.Get(ctx, c.keys.cursor()), p.XRevRangeN(ctx, c.keys.stream(), "+", "-", 1)
		return nil
	})
	if errors.Is(err, ErrBroken) {
		c.found(KindCursor, c.keys.cursor(), "it cannot be read, or the stream cannot")
		return nil
	}
	if err != nil && !errors.Is(err, redis.Nil) {
		return err
	}
	if at.Val() != "" && Position(at.Val()).ms() == 0 {
		c.found(KindCursor, c.keys.cursor(), "%q is no place in the stream", at.Val())
		return nil
	}
	if entries := last.Val(); len(entries) > 0 && before(entries[0].ID, at.Val()) {
		c.found(KindCursor, c.keys.cursor(), "it is at %s, but the events end at %s: what comes next would be told to nobody", at.Val(), entries[0].ID)
		return nil
	}
	first, err := unfollowed(ctx, c.m.rdb, c.keys)
	if err != nil || first == "" {
		return err
	}
	now, err := c.m.rdb.Time(ctx).Result() // by the clock that stamps the stream
	if late := now.Sub(fromMS(first.ms())); err == nil && late > followedWithin {
		c.found(KindCursor, c.keys.cursor(), "the event %s has not been followed for %v: is a worker running?", first, late.Round(time.Second))
	}
	return err
}
