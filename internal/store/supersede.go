package store

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"postrider/internal/email"
)

// Supersede cancels, recipient by recipient, what a newer message with the same
// Supersede key makes pointless: in older messages, and in this one if a newer was
// accepted first. Newer is the greater id. Attempts that are running go on to their
// mark, as with Cancel.
//
// Each message is in the index of its key and recipient in its own shard from the
// moment it is accepted, and all shards are looked through after that: of two that
// are accepted at the same time at least one sees the other, wherever they are. So
// the key decides no shard, and a message may have an Idempotency-Key beside it.
//
// Several messages are looked at in one round trip, and then in their order.
func (m *Messages) Supersede(ctx context.Context, now time.Time, messages ...*email.Message) error {
	messages = slices.DeleteFunc(slices.Clone(messages), func(msg *email.Message) bool { return msg.Supersede == "" })
	if len(messages) == 0 {
		return nil
	}
	all, err := m.rivals(ctx, messages)
	if err != nil {
		return fmt.Errorf("look for what %s supersedes: %w", messages[0].ID, err)
	}
	for i, msg := range messages {
		for id, addresses := range all[i] {
			older := id
			if long(id) > msg.ID {
				older = short(msg.ID)
			}
			if err := m.supersede(ctx, msg, older, addresses, now); err != nil {
				return err
			}
		}
	}
	return nil
}

// rivals are, for each of some messages, the others with the same key, and whom they
// have in common.
func (m *Messages) rivals(ctx context.Context, messages []*email.Message) ([]map[string][]string, error) {
	type question struct {
		message int
		whose   string
		found   *redis.StringSliceCmd
	}
	var asked []question
	if _, err := m.rdb.Pipelined(ctx, func(p redis.Pipeliner) error {
		for i, msg := range messages {
			for shard := range m.options.Shards {
				keys := keysOf(msg.World, uint8(shard))
				for _, r := range msg.Recipients {
					if r.State.Status != email.Suppressed {
						found := p.ZRange(ctx, keys.supersede(msg.Supersede, r.Address.Email), 0, -1)
						asked = append(asked, question{i, r.Address.Normalized(), found})
					}
				}
			}
		}
		return nil
	}); err != nil {
		return nil, err
	}
	rivals := make([]map[string][]string, len(messages))
	for _, q := range asked {
		for _, id := range q.found.Val() {
			if id == short(messages[q.message].ID) || !isShort(id) {
				continue
			}
			if rivals[q.message] == nil {
				rivals[q.message] = make(map[string][]string)
			}
			rivals[q.message][id] = append(rivals[q.message][id], q.whose)
		}
	}
	return rivals, nil
}

// supersede cancels some recipients of a message, and takes it out of the index once
// there is nothing left of it to cancel.
func (m *Messages) supersede(ctx context.Context, newer *email.Message, older string, addresses []string, now time.Time) error {
	msg, err := m.Get(ctx, newer.World, long(older))
	if errors.Is(err, ErrNotFound) || errors.Is(err, ErrBroken) {
		return nil // forgotten meanwhile, or for the sweeper to set aside
	}
	if err != nil {
		return err
	}
	args := []any{superseded}
	for i, r := range msg.Recipients {
		if slices.Contains(addresses, r.Address.Normalized()) && !r.State.Status.Final() {
			args = append(args, i)
		}
	}
	if len(args) > 1 {
		msg, err = m.cancel(ctx, msg.World, msg.ID, now, args...)
		if err != nil && !errors.Is(err, ErrNotCancelable) {
			return err
		}
	}
	if msg == nil || msg.CompletedAt.IsZero() {
		return nil
	}
	keys, id, err := m.locate(msg.World, msg.ID)
	if err != nil {
		return err
	}
	_, err = m.rdb.Pipelined(ctx, func(p redis.Pipeliner) error {
		for _, index := range keys.supersedes(msg) {
			p.ZRem(ctx, index, id)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("take %s out of the index of its key: %w", msg.ID, err)
	}
	return nil
}

// supersedes are the indexes of a message's key and recipients: it is in all of them
// as long as it can be superseded.
func (k shardKeys) supersedes(m *email.Message) []string {
	if m.Supersede == "" {
		return nil
	}
	keys := make([]string, len(m.Recipients))
	for i, r := range m.Recipients {
		keys[i] = k.supersede(m.Supersede, r.Address.Email)
	}
	return keys
}

func (k shardKeys) supersede(key, address string) string {
	return k.prefix + "ix:k:" + hashWord(key+"\x00"+strings.ToLower(address), 16)
}
