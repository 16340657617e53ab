package store

import (
	"context"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"

	"postrider/internal/email"
)

// Backlog is what a world's due sets hold.
type Backlog struct {
	Size int64     // envelopes that are not final, deliveries that are pending
	Next time.Time // when the first is to be looked at; zero if there is none
}

// Backlog measures what is still to be delivered in a world: one round trip.
func (m *Messages) Backlog(ctx context.Context, w email.World) (Backlog, error) {
	return backlog(ctx, m.rdb, m.options.Shards, func(shard uint8) string { return keysOf(w, shard).due() })
}

// Backlog measures what webhooks are still to be told in a world: one round trip.
func (s *Deliveries) Backlog(ctx context.Context, w email.World) (Backlog, error) {
	return backlog(ctx, s.rdb, s.options.Shards, func(shard uint8) string { return keysOf(w, shard).deliveryDue() })
}

func backlog(ctx context.Context, rdb redis.UniversalClient, shards int, name func(uint8) string) (Backlog, error) {
	sizes := make([]*redis.IntCmd, shards)
	firsts := make([]*redis.ZSliceCmd, shards)
	_, err := rdb.Pipelined(ctx, func(p redis.Pipeliner) error {
		for shard := range shards {
			due := name(uint8(shard))
			sizes[shard] = p.ZCard(ctx, due)
			firsts[shard] = p.ZRangeWithScores(ctx, due, 0, 0)
		}
		return nil
	})
	if err != nil {
		return Backlog{}, fmt.Errorf("measure the due sets: %w", err)
	}
	var b Backlog
	for shard := range sizes {
		b.Size += sizes[shard].Val()
		for _, z := range firsts[shard].Val() {
			if at := fromMS(int64(z.Score)); b.Next.IsZero() || at.Before(b.Next) {
				b.Next = at
			}
		}
	}
	return b, nil
}

// DueShards lists the shards of a world that hold an envelope to be looked at: one
// round trip, so that it may be asked often.
func (m *Messages) DueShards(ctx context.Context, w email.World, now time.Time) ([]uint8, error) {
	return dueShards(ctx, m.rdb, now, m.options.Shards, func(shard uint8) string { return keysOf(w, shard).due() })
}

// DueShards is that of Messages for deliveries to webhooks.
func (s *Deliveries) DueShards(ctx context.Context, w email.World, now time.Time) ([]uint8, error) {
	return dueShards(ctx, s.rdb, now, s.options.Shards, func(shard uint8) string { return keysOf(w, shard).deliveryDue() })
}

func dueShards(ctx context.Context, rdb redis.UniversalClient, now time.Time, shards int, name func(uint8) string) ([]uint8, error) {
	firsts := make([]*redis.ZSliceCmd, shards)
	if _, err := rdb.Pipelined(ctx, func(p redis.Pipeliner) error {
		for shard := range firsts {
			firsts[shard] = p.ZRangeWithScores(ctx, name(uint8(shard)), 0, 0)
		}
		return nil
	}); err != nil {
		return nil, fmt.Errorf("look what is due: %w", err)
	}
	var due []uint8
	for shard, first := range firsts {
		if z := first.Val(); len(z) > 0 && int64(z[0].Score) <= toMS(now) {
			due = append(due, uint8(shard))
		}
	}
	return due, nil
}
