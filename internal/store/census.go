package store

import (
	"context"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"

	"postrider/internal/email"
)

// Count is how many messages are in a status, and when the oldest of them was made.
type Count struct {
	Messages int64
	Oldest   time.Time // zero: there is none
}

// Census counts the messages of a world by their status: one round trip.
func (m *Messages) Census(ctx context.Context, w email.World) (map[email.Status]Count, error) {
	type answer struct {
		status email.Status
		size   *redis.IntCmd
		first  *redis.StringSliceCmd
	}
	var answers []answer
	if _, err := m.rdb.Pipelined(ctx, func(p redis.Pipeliner) error {
		for shard := range m.options.Shards {
			for _, s := range email.MessageStatuses() {
				key := keysOf(w, uint8(shard)).status(s)
				answers = append(answers, answer{s, p.ZCard(ctx, key), p.ZRange(ctx, key, 0, 0)})
			}
		}
		return nil
	}); err != nil {
		return nil, fmt.Errorf("count messages: %w", err)
	}
	out := make(map[email.Status]Count)
	for _, a := range answers {
		c := out[a.status]
		c.Messages += a.size.Val()
		for _, name := range a.first.Val() {
			id, err := email.ParseID(email.MessagePrefix, long(name))
			if err != nil {
				continue
			}
			if at := email.IDTime(id); c.Oldest.IsZero() || at.Before(c.Oldest) {
				c.Oldest = at
			}
		}
		out[a.status] = c
	}
	return out, nil
}
