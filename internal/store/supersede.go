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
func (m *Messages) Supersede(ctx context.Context, msg *email.Message, now time.Time) error {
	if msg.Supersede == "" {
		return nil
	}
	rivals, err := m.rivals(ctx, msg)
	if err != nil {
		return fmt.Errorf("look for what %s supersedes: %w", msg.ID, err)
	}
	for id, addresses := range rivals {
		older, theirs := id, addresses
		if long(id) > msg.ID {
			older = short(msg.ID)
		}
		if err := m.supersede(ctx, msg, older, theirs, now); err != nil {
			return err
		}
	}
	return nil
}

// rivals are the other messages with the same key, and whom they have in common.
func (m *Messages) rivals(ctx context.Context, msg *email.Message) (map[string][]string, error) {
	var (
		found []*redis.StringSliceCmd
		whose []string
	)
	if _, err := m.rdb.Pipelined(ctx, func(p redis.Pipeliner) error {
		for shard := range m.options.Shards {
			keys := keysOf(msg.World, uint8(shard))
			for _, r := range msg.Recipients {
				if r.State.Status != email.Suppressed {
					found = append(found, p.ZRange(ctx, keys.supersede(msg.Supersede, r.Address.Email), 0, -1))
					whose = append(whose, r.Address.Normalized())
				}
			}
		}
		return nil
	}); err != nil {
		return nil, err
	}
	rivals := make(map[string][]string)
	for i, ids := range found {
		for _, id := range ids.Val() {
			if id != short(msg.ID) && isShort(id) {
				rivals[id] = append(rivals[id], whose[i])
			}
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
