package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"
)

// Leases is what processes agree on among themselves: who does upkeep, who is
// alive, and that all have the same secret.
type Leases struct {
	rdb              redis.UniversalClient
	hold, drop, beat *redis.Script
}

func newLeases(rdb redis.UniversalClient) *Leases {
	return &Leases{
		rdb: rdb, hold: redis.NewScript(holdScript), drop: redis.NewScript(dropScript), beat: redis.NewScript(whenFull + beatScript),
	}
}

// holdScript takes or renews a lease.
//
//	KEYS 1 lease
//	ARGV 1 holder, 2 ttl in ms
//
// Returns 1, or 0 if another holds it. Safe to run twice: the second run renews.
// DEL comes first because a full Redis lets SET through only after a write (whenFull).
const holdScript = `
local holder = redis.call('GET', KEYS[1])
if holder and holder ~= ARGV[1] then return 0 end
redis.call('DEL', KEYS[1])
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1
`

// dropScript gives a lease up.
//
//	KEYS 1 lease
//	ARGV 1 holder
//
// Returns 1 if it was the holder's, else 0. Safe to run twice: it removes only
// the holder's own.
const dropScript = `
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('DEL', KEYS[1])
`

// Hold takes or renews a named lease for holder; false if another holds it. ttl
// is at least a millisecond.
func (l *Leases) Hold(ctx context.Context, name, holder string, ttl time.Duration) (bool, error) {
	held, err := l.hold.Run(ctx, l.rdb, []string{leasePrefix + name}, holder, ttl.Milliseconds()).Int()
	if err != nil {
		return false, fmt.Errorf("hold lease %s: %w", name, err)
	}
	return held == 1, nil
}

// Drop gives a lease up if holder holds it.
func (l *Leases) Drop(ctx context.Context, name, holder string) error {
	if err := l.drop.Run(ctx, l.rdb, []string{leasePrefix + name}, holder).Err(); err != nil {
		return fmt.Errorf("drop lease %s: %w", name, err)
	}
	return nil
}

// SecretClaimed reports whether the check value of a secret stands.
func (l *Leases) SecretClaimed(ctx context.Context) (bool, error) {
	n, err := l.rdb.Exists(ctx, secretKey).Result()
	if err != nil {
		return false, fmt.Errorf("look for the secret in use: %w", err)
	}
	return n == 1, nil
}

// ClaimSecret writes the check value of the installation's secret once; false if
// another value stands there.
func (l *Leases) ClaimSecret(ctx context.Context, check string) (bool, error) {
	// A full Redis refuses even a SETNX that would do nothing.
	standing, err := l.rdb.Get(ctx, secretKey).Result()
	if errors.Is(err, redis.Nil) {
		// SETNX and then GET: a retry after a lost reply finds its own value.
		if err := l.rdb.SetNX(ctx, secretKey, check, 0).Err(); err != nil && !errors.Is(err, redis.Nil) {
			return false, fmt.Errorf("claim the secret: %w", err)
		}
		standing, err = l.rdb.Get(ctx, secretKey).Result()
	}
	if err != nil {
		return false, fmt.Errorf("claim the secret: %w", err)
	}
	return standing == check, nil
}
