package store

import (
	"context"
	"crypto/rand"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"

	"postrider/internal/email"
)

// Rates is how much of its rate each API key has used, over all processes.
type Rates struct {
	rdb   redis.UniversalClient
	lease *redis.Script
}

// leaseScript takes tokens from a key's bucket, by the clock of Redis.
//
//	KEYS 1 bucket
//	ARGV 1 tokens a second, 2 the most it holds, 3 how many are wanted at most, 4 nonce
//
// Returns how many were given, how many are left, and how many milliseconds it takes
// until there is another one (0: there is). Safe to run twice in a row: the second run
// finds its nonce and gives the same.
const leaseScript = `
local rate, burst, wanted = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local clock = redis.call('TIME')
local now = tonumber(clock[1]) * 1000 + math.floor(tonumber(clock[2]) / 1000)
local standing = redis.call('GET', KEYS[1])
local tokens, at = burst, now
if standing then
  local t, a, nonce, gave = string.match(standing, '^([%d.]+) (%d+) (%w+) (%d+)$')
  if nonce == ARGV[4] then return {tonumber(gave), math.floor(tonumber(t)), math.ceil(math.max(0, 1 - tonumber(t)) / rate * 1000)} end
  tokens, at = tonumber(t) or burst, tonumber(a) or now
end
tokens = math.min(burst, tokens + math.max(0, now - at) * rate / 1000)
local given = math.min(wanted, math.floor(tokens))
tokens = tokens - given
redis.call('SET', KEYS[1], string.format('%.3f %.0f %s %d', tokens, math.max(now, at), ARGV[4], given), 'PX', math.ceil(burst / rate * 1000) + 1000)
local wait = 0
if tokens < 1 then wait = math.ceil((1 - tokens) / rate * 1000) end
return {given, math.floor(tokens), wait}
`

// Leased is what Lease gave.
type Leased struct {
	Given int           // tokens, none: over the limit
	Left  int           // in the bucket, for whoever asks next
	Wait  time.Duration // until there is another one
}

// Lease takes at most wanted tokens of a key's bucket, which gains rate a second and
// holds at most burst.
func (r *Rates) Lease(ctx context.Context, w email.World, key string, rate, burst, wanted int) (Leased, error) {
	got, err := r.lease.Run(ctx, r.rdb, []string{rateKey(w, key)}, rate, burst, wanted, rand.Text()[:12]).Int64Slice()
	if err != nil {
		return Leased{}, fmt.Errorf("lease the rate of %s: %w", key, err)
	}
	if len(got) != 3 {
		return Leased{}, fmt.Errorf("lease the rate of %s: %w", key, ErrBroken)
	}
	return Leased{int(got[0]), int(got[1]), time.Duration(got[2]) * time.Millisecond}, nil
}
