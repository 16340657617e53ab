package store

import (
	"context"
	"fmt"
	"strings"
	"time"
)

// setAsideScript moves what cannot be read out of the way.
//
//	KEYS 1 due or purge, 2 broken
//	ARGV 1 member, 2 member of broken, 3 now
//
// Returns 1 if it was there, else 0. Safe to run twice: the second run finds
// nothing to move.
const setAsideScript = `
if redis.call('ZREM', KEYS[1], ARGV[1]) == 0 then return 0 end
redis.call('ZADD', KEYS[2], ARGV[3], ARGV[2])
return 1
`

func (m *Messages) setAside(ctx context.Context, k shardKeys, set, member string, now time.Time) error {
	name := strings.TrimPrefix(set, k.prefix) + ":" + member
	if err := m.scripts.setAside.Run(ctx, m.rdb, []string{set, k.broken()}, member, name, toMS(now)).Err(); err != nil {
		return fmt.Errorf("set %s aside: %w", name, err)
	}
	return nil
}

// SetAside takes an envelope whose record cannot be read out of the due set, so
// that nobody tries it again and again. It is kept in the set broken, where Check
// names it.
func (m *Messages) SetAside(ctx context.Context, e Entry, now time.Time) error {
	keys, id, err := m.locate(e.World, e.Message)
	if err != nil {
		return fmt.Errorf("set aside %q: %w", e.Message, err)
	}
	return m.setAside(ctx, keys, keys.due(), dueMember(id, e.Envelope), now)
}
