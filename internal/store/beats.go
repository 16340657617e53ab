package store

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/redis/go-redis/v9"
)

// Heartbeats are measured by a clock of their own, which Redis keeps. It goes only
// while heartbeats arrive: each one moves it on by the time since the one before,
// whoever sent that; after a longer gap nobody could reach Redis, and it stood
// still. So a worker is silent for so long as the others were heard without it: an
// outage makes nobody look dead, and a process that has just been started knows of
// the others what those before it knew.

// Forever is the silence of a worker that was never heard, or left.
const Forever = time.Duration(math.MaxInt64)

// beatMemory is how long a silent worker is remembered. Who is forgotten was silent
// for far longer than anybody waits.
const beatMemory = time.Hour

// beatScript notes a heartbeat, on a full Redis too (whenFull).
//
//	KEYS 1 clock, 2 beats
//	ARGV 1 worker, 2 longest gap in ms that counts, 3 memory in ms
//
// Returns 1. Safe to run twice: the second run moves the clock by the time between.
const beatScript = `
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local at = tonumber(redis.call('HGET', KEYS[1], 'a') or now)
local clock = tonumber(redis.call('HGET', KEYS[1], 'c') or 0)
local gap = now - at
if gap > 0 and gap <= tonumber(ARGV[2]) then clock = clock + gap end
redis.call('HSET', KEYS[1], 'a', string.format('%.0f', now), 'c', string.format('%.0f', clock))
redis.call('ZADD', KEYS[2], string.format('%.0f', clock), ARGV[1])
redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', string.format('(%.0f', clock - ARGV[3]))
return 1
`

// Beat notes a worker's heartbeat. A gap between two heartbeats, of any workers,
// that is longer than longest was an outage, which counts for nobody.
func (l *Leases) Beat(ctx context.Context, worker string, longest time.Duration) error {
	err := l.beat.Run(ctx, l.rdb, []string{beatClock, beatsKey}, worker, longest.Milliseconds(), beatMemory.Milliseconds()).Err()
	if err != nil {
		return fmt.Errorf("note the heartbeat of %s: %w", worker, err)
	}
	return nil
}

// Silence is how long nothing was heard of a worker, as of the last heartbeat of
// any, or Forever.
func (l *Leases) Silence(ctx context.Context, worker string) (time.Duration, error) {
	var clock *redis.StringCmd
	var heard *redis.FloatCmd
	// The clock first: a heartbeat in between makes nobody silent.
	_, err := l.rdb.Pipelined(ctx, func(p redis.Pipeliner) error {
		clock, heard = p.HGet(ctx, beatClock, "c"), p.ZScore(ctx, beatsKey, worker)
		return nil
	})
	if err != nil && !errors.Is(err, redis.Nil) {
		return 0, fmt.Errorf("read the heartbeats of %s: %w", worker, err)
	}
	if errors.Is(heard.Err(), redis.Nil) {
		return Forever, nil
	}
	now, err := clock.Int64()
	if err != nil {
		return 0, fmt.Errorf("read the clock of the heartbeats: %w: %w", ErrBroken, err)
	}
	return max(0, time.Duration(now-int64(heard.Val()))*time.Millisecond), nil
}

// Leave forgets a worker that ended and left nothing behind.
func (l *Leases) Leave(ctx context.Context, worker string) error {
	if err := l.rdb.ZRem(ctx, beatsKey, worker).Err(); err != nil {
		return fmt.Errorf("forget the heartbeats of %s: %w", worker, err)
	}
	return nil
}
