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
	Envelopes int64     // that are not final
	Next      time.Time // when the first is to be looked at; zero if there is none
}

// Backlog measures the due sets of a world: one round trip.
func (m *Messages) Backlog(ctx context.Context, w email.World) (Backlog, error) {
	sizes := make([]*redis.IntCmd, m.options.Shards)
	firsts := make([]*redis.ZSliceCmd, m.options.Shards)
	_, err := m.rdb.Pipelined(ctx, func(p redis.Pipeliner) error {
		for shard := range m.options.Shards {
			due := keysOf(w, uint8(shard)).due()
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
		b.Envelopes += sizes[shard].Val()
		for _, z := range firsts[shard].Val() {
			if at := fromMS(int64(z.Score)); b.Next.IsZero() || at.Before(b.Next) {
				b.Next = at
			}
		}
	}
	return b, nil
}
