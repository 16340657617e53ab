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

// unheardMargin is how much earlier than an endpoint's first failure the event may be
// that it was not told of: a post may wait its turn.
const unheardMargin = time.Hour

// unheard is since when an endpoint that is being disabled was not told of all: what is
// pending fails now, and what failed before lies behind its first failure.
func (s *Webhooks) unheard(ctx context.Context, hook *Webhook, now time.Time) (time.Time, error) {
	if err := s.fillHealth(ctx, hook.World, []*Webhook{hook}); err != nil {
		return time.Time{}, err
	}
	since := now
	if first := hook.Health.FailingSince; !first.IsZero() {
		since = first.Add(-unheardMargin)
	}
	for shard := range s.shards {
		// Ids sort by the time of their events.
		oldest, err := s.rdb.ZRange(ctx, keysOf(hook.World, uint8(shard)).pending(hook.ID), 0, 0).Result()
		if err != nil {
			return time.Time{}, fmt.Errorf("read what is pending for webhook %s: %w", hook.ID, err)
		}
		for _, name := range oldest {
			if id, err := email.ParseID(email.DeliveryPrefix, email.DeliveryPrefix+"_"+name); err == nil && email.IDTime(id).Before(since) {
				since = email.IDTime(id)
			}
		}
	}
	return since, nil
}

// freshHealth forgets how an endpoint answered before it was enabled again: it is judged
// by what it answers now.
func (s *Webhooks) freshHealth(ctx context.Context, hook *Webhook) error {
	for shard := range s.shards {
		if err := s.rdb.Del(ctx, keysOf(hook.World, uint8(shard)).health(hook.ID)).Err(); err != nil {
			return fmt.Errorf("forget the health of webhook %s: %w", hook.ID, err)
		}
	}
	return nil
}
