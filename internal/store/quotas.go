package store

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"postrider/internal/email"
)

// Quotas is how many recipients each API key with a quota was given today, over all
// processes. A day is one of UTC.
type Quotas struct {
	rdb  redis.UniversalClient
	take *redis.Script
}

// quotaLife is how long a day's count is kept.
const quotaLife = 49 * time.Hour

// takeQuotaScript takes recipients of a day's quota, all or none.
//
//	KEYS 1 count of the day: "<count> <nonce> <1 if they were given>"
//	ARGV 1 how many (negative: gives back), 2 the quota, 3 life in ms, 4 nonce
//
// Returns 1, or 0 if they are more than are left. Safe to run twice in a row: the second
// run finds its nonce. If another came between, they are taken twice: then the key has
// less of this day, never more.
const takeQuotaScript = `
local count, nonce, gave = string.match(redis.call('GET', KEYS[1]) or '', '^(%d+) (%w+) (%d)$')
if nonce == ARGV[4] then return tonumber(gave) end
local taken, wanted, given = tonumber(count or '0'), tonumber(ARGV[1]), 1
if wanted > 0 and taken + wanted > tonumber(ARGV[2]) then wanted, given = 0, 0 end
taken = math.max(0, taken + wanted)
redis.call('SET', KEYS[1], string.format('%.0f %s %d', taken, ARGV[4], given), 'PX', ARGV[3])
return given
`

// Take takes so many recipients of a key's quota for the day of now: all of them, or
// none and ok is false. A negative number gives back.
func (q *Quotas) Take(ctx context.Context, w email.World, key string, recipients, quota int, now time.Time) (ok bool, err error) {
	given, err := q.take.Run(ctx, q.rdb, []string{quotaKey(w, key, day(now))}, recipients, quota, quotaLife.Milliseconds(), nonce()).Int()
	if err != nil {
		return false, fmt.Errorf("take of the quota of %s: %w", key, err)
	}
	return given == 1, nil
}

// Taken is how many recipients a key was given on the day of now.
func (q *Quotas) Taken(ctx context.Context, w email.World, key string, now time.Time) (int, error) {
	text, err := q.rdb.Get(ctx, quotaKey(w, key, day(now))).Result()
	if errors.Is(err, redis.Nil) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("read the quota of %s: %w", key, err)
	}
	count, _, _ := strings.Cut(text, " ")
	n, err := strconv.Atoi(count)
	if err != nil {
		return 0, fmt.Errorf("read the quota of %s: %w", key, ErrBroken)
	}
	return n, nil
}

// QuotaResets is when the day of a time ends.
func QuotaResets(now time.Time) time.Time {
	y, m, d := now.UTC().Date()
	return time.Date(y, m, d+1, 0, 0, 0, 0, time.UTC)
}

func day(at time.Time) string { return at.UTC().Format("20060102") }
