package store

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"

	"postrider/internal/email"
)

// shardHealth is how an endpoint answered in one shard.
type shardHealth struct {
	fields  *redis.MapStringStringCmd
	pending *redis.IntCmd
}

// fillHealth reads the health of endpoints.
func (s *Webhooks) fillHealth(ctx context.Context, w email.World, hooks []*Webhook) error {
	read := make([][]shardHealth, len(hooks))
	if _, err := s.rdb.Pipelined(ctx, func(p redis.Pipeliner) error {
		for i, h := range hooks {
			for shard := range s.shards {
				keys := keysOf(w, uint8(shard))
				read[i] = append(read[i], shardHealth{p.HGetAll(ctx, keys.health(h.ID)), p.ZCard(ctx, keys.pending(h.ID))})
			}
		}
		return nil
	}); err != nil {
		return fmt.Errorf("read the health of webhooks: %w", err)
	}
	for i, h := range hooks {
		h.Health = mergeHealth(read[i])
	}
	return nil
}

// mergeHealth joins what the shards know. Failures of a shard that lie before
// another's success count no more.
func mergeHealth(shards []shardHealth) WebhookHealth {
	var h WebhookHealth
	for _, s := range shards {
		h.LastSuccessAt = latest(h.LastSuccessAt, healthTime(s, "s"))
		h.LastFailureAt = latest(h.LastFailureAt, healthTime(s, "f"))
		h.Pending += int(s.pending.Val())
	}
	for _, s := range shards {
		first := healthTime(s, "b")
		if first.IsZero() || healthTime(s, "f").Before(h.LastSuccessAt) {
			continue
		}
		n, _ := strconv.Atoi(s.fields.Val()["n"])
		h.ConsecutiveFailures += n
		if h.FailingSince.IsZero() || first.Before(h.FailingSince) {
			h.FailingSince = first
		}
	}
	if h.FailingSince.Before(h.LastSuccessAt) && !h.FailingSince.IsZero() {
		h.FailingSince = h.LastSuccessAt
	}
	return h
}

func healthTime(s shardHealth, field string) time.Time {
	ms, _ := strconv.ParseInt(s.fields.Val()[field], 10, 64) // absent: never
	return fromMS(ms)
}

func latest(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}
