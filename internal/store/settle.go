package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"

	"postrider/internal/email"
)

// unreadRest is how long a delivery is left alone that cannot be read.
const unreadRest = time.Hour

// settleScript replaces a delivery's record if it is still what was read.
//
//	KEYS 1 record, 2 due, 3 purge, 4 pending, 5 finished, 6 health
//	ARGV 1 id, 2 record as read, 3 new record, 4 score: of due while it is pending,
//	     else of purge, 5 1 if it is finished else 0, 6 attempt (its number, empty:
//	     none), 7 the attempt, 8 1 if it succeeded else 0, 9 now, 10 TTL of health in ms,
//	     11 number of the attempt that is no longer kept
//
// Returns 1, or 0 if another record stands there. Safe to run twice: no two records
// of a delivery are alike, since each counts its generation or ends it.
const settleScript = `
local id, standing = ARGV[1], redis.call('HGET', KEYS[1], 'd')
if standing == ARGV[3] then return 1 end
if standing ~= ARGV[2] then return 0 end
redis.call('HSET', KEYS[1], 'd', ARGV[3])
if ARGV[5] == '1' then
  redis.call('ZREM', KEYS[2], id)
  redis.call('ZREM', KEYS[4], id)
  redis.call('ZADD', KEYS[3], ARGV[4], id)
  redis.call('ZADD', KEYS[5], 0, id)
else
  redis.call('ZADD', KEYS[2], ARGV[4], id)
end
if ARGV[6] ~= '' then
  redis.call('HSET', KEYS[1], 'a' .. ARGV[6], ARGV[7])
  redis.call('HDEL', KEYS[1], 'a' .. ARGV[11])
  if ARGV[8] == '1' then
    redis.call('HSET', KEYS[6], 's', ARGV[9])
    redis.call('HDEL', KEYS[6], 'b', 'n')
  else
    redis.call('HSET', KEYS[6], 'f', ARGV[9])
    redis.call('HSETNX', KEYS[6], 'b', ARGV[9])
    redis.call('HINCRBY', KEYS[6], 'n', 1)
  end
  redis.call('PEXPIRE', KEYS[6], ARGV[10])
end
return 1
`

// Succeed ends a delivery whose attempt was answered well. This and the other
// changes return it as stored, or ErrLostFence if it changed since it was read.
func (s *Deliveries) Succeed(ctx context.Context, d *Delivery, p *Post, now time.Time) (*Delivery, error) {
	return s.settled(ctx, d, p, now, func(d *Delivery) { d.Status, d.LastError = DeliverySucceeded, "" })
}

// Fail ends a delivery without success. p is nil if there was no attempt; why says
// what is not said by p.
func (s *Deliveries) Fail(ctx context.Context, d *Delivery, p *Post, why string, now time.Time) (*Delivery, error) {
	return s.settled(ctx, d, p, now, func(d *Delivery) {
		d.Status = DeliveryFailed
		if why != "" {
			d.LastError = why
		}
	})
}

// Retry puts a delivery off until the next attempt, after one that failed; p is nil
// if none was made.
func (s *Deliveries) Retry(ctx context.Context, d *Delivery, p *Post, next, now time.Time) (*Delivery, error) {
	return s.settled(ctx, d, p, now, func(d *Delivery) { d.NextAt = fromMS(toMS(next)) })
}

// Advance makes the next generation of a delivery whose job was lost, and looks at
// it again in 25 s.
func (s *Deliveries) Advance(ctx context.Context, d *Delivery, now time.Time) (*Delivery, error) {
	return s.settled(ctx, d, nil, now, func(*Delivery) {})
}

func (s *Deliveries) settled(ctx context.Context, before *Delivery, p *Post, now time.Time, change func(*Delivery)) (*Delivery, error) {
	keys, name, err := s.locate(before.World, before.ID)
	if err != nil {
		return nil, err
	}
	d := *before
	d.Generation++
	number, packed, success := "", []byte(nil), 0
	if p != nil {
		d.Attempts++
		d.LastStatus, d.LastError = p.Status, p.Error
		number = strconv.Itoa(d.Attempts)
		if packed, err = s.packer.packPost(p); err != nil {
			return nil, fmt.Errorf("settle delivery %s: %w", d.ID, err)
		}
	}
	change(&d)
	score, finished := dueScore(d.NextAt, now), 0
	if d.Status != DeliveryPending {
		d.NextAt, d.EndedAt = time.Time{}, fromMS(toMS(now))
		score, finished = toMS(now.Add(s.options.MetadataRetention)), 1
	}
	if d.Status == DeliverySucceeded {
		success = 1
	}
	if d.raw, err = encodeDelivery(&d); err != nil {
		return nil, fmt.Errorf("settle delivery %s: %w", d.ID, err)
	}
	names := []string{
		keys.delivery(name), keys.deliveryDue(), keys.deliveryPurge(), keys.pending(d.Webhook), keys.finished(d.Webhook), keys.health(d.Webhook),
	}
	ok, err := s.settle.Run(ctx, s.rdb, names, name, before.raw, d.raw, score, finished, number, packed, success,
		toMS(now), s.options.MetadataRetention.Milliseconds(), d.Attempts-maxPosts).Int()
	if err != nil {
		return nil, fmt.Errorf("settle delivery %s: %w", d.ID, err)
	}
	if ok == 0 {
		return nil, ErrLostFence
	}
	return &d, nil
}

func (p *packer) packPost(v *Post) ([]byte, error) {
	return p.pack(storedPost{At: toMS(v.At), Duration: v.Duration.Milliseconds(), Status: v.Status, Error: v.Error, Body: v.Body})
}

func (p *packer) decodePost(packed string) (Post, error) {
	raw, err := p.decompress(packed, maxAttempt)
	if err != nil {
		return Post{}, err
	}
	var v storedPost
	if err := json.Unmarshal(raw, &v); err != nil {
		return Post{}, fmt.Errorf("%w: %w", ErrBroken, err)
	}
	return Post{At: fromMS(v.At), Duration: time.Duration(v.Duration) * time.Millisecond, Status: v.Status, Error: v.Error, Body: v.Body}, nil
}

// dropDeliveryScript removes a delivery.
//
//	KEYS 1 record, 2 due, 3 purge, then the sets of its endpoint
//	ARGV 1 id
//
// Safe to run twice: it only removes.
const dropDeliveryScript = `
redis.call('DEL', KEYS[1])
for i = 2, #KEYS do redis.call('ZREM', KEYS[i], ARGV[1]) end
return 1
`

// Drop removes a delivery without a trace, as when its endpoint was deleted.
func (s *Deliveries) Drop(ctx context.Context, d *Delivery) error {
	keys, name, err := s.locate(d.World, d.ID)
	if err != nil {
		return err
	}
	return s.remove(ctx, keys, name, d.Webhook)
}

// remove is Drop by the bare id; hook is empty if it is not known.
func (s *Deliveries) remove(ctx context.Context, keys shardKeys, name, hook string) error {
	names := []string{keys.delivery(name), keys.deliveryDue(), keys.deliveryPurge()}
	if hook != "" {
		names = append(names, keys.pending(hook), keys.finished(hook))
	}
	if err := s.drop.Run(ctx, s.rdb, names, name).Err(); err != nil {
		return fmt.Errorf("drop delivery %s: %w", name, err)
	}
	return nil
}

// Forget removes at most limit finished deliveries of a shard whose retention is
// over (MetadataRetention), and returns how many.
func (s *Deliveries) Forget(ctx context.Context, w email.World, shard uint8, now time.Time, limit int) (int, error) {
	keys := keysOf(w, shard)
	names, records, err := s.past(ctx, keys, keys.deliveryPurge(), now, limit)
	if err != nil {
		return 0, fmt.Errorf("forget deliveries of shard %d: %w", shard, err)
	}
	for i, name := range names {
		hook := ""
		if d, err := decodeDelivery(w, deliveryID(name), records[i].Val()); err == nil {
			hook = d.Webhook
		}
		if err := s.remove(ctx, keys, name, hook); err != nil {
			return i, err
		}
	}
	return len(names), nil
}

// Yield removes at most limit finished deliveries of a shard, the oldest first,
// though their retention is not over, and returns how many.
func (s *Deliveries) Yield(ctx context.Context, w email.World, shard uint8, now time.Time, limit int) (int, error) {
	// A delivery stands in the purge set with the end of its retention.
	return s.Forget(ctx, w, shard, now.Add(s.options.MetadataRetention), limit)
}

// past reads the members of a sorted set up to a time, and their records.
func (s *Deliveries) past(ctx context.Context, keys shardKeys, set string, now time.Time, limit int) ([]string, []*redis.StringCmd, error) {
	names, err := s.rdb.ZRangeByScore(ctx, set, &redis.ZRangeBy{Min: "-inf", Max: strconv.FormatInt(toMS(now), 10), Count: int64(limit)}).Result()
	if err != nil {
		return nil, nil, err
	}
	records := make([]*redis.StringCmd, len(names))
	_, err = s.rdb.Pipelined(ctx, func(p redis.Pipeliner) error {
		for i, name := range names {
			records[i] = p.HGet(ctx, keys.delivery(name), "d")
		}
		return nil
	})
	if err != nil && !errors.Is(err, redis.Nil) {
		return nil, nil, err
	}
	return names, records, nil
}

// Due lists at most limit deliveries of a shard past their time to be looked at,
// oldest first. Those that are gone or finished are taken off the list; what cannot
// be read is put off by an hour and named in the error, which comes with the others.
func (s *Deliveries) Due(ctx context.Context, w email.World, shard uint8, now time.Time, limit int) ([]*Delivery, error) {
	keys := keysOf(w, shard)
	names, records, err := s.past(ctx, keys, keys.deliveryDue(), now, limit)
	if err != nil {
		return nil, fmt.Errorf("read due deliveries of shard %d: %w", shard, err)
	}
	var list []*Delivery
	var broken []error
	for i, name := range names {
		raw, err := records[i].Result()
		if errors.Is(err, redis.Nil) {
			broken = append(broken, s.remove(ctx, keys, name, ""))
			continue
		}
		var d *Delivery
		if err == nil {
			d, err = decodeDelivery(w, deliveryID(name), raw)
		}
		if err != nil {
			broken = append(broken, fmt.Errorf("read due delivery %q: %w", name, err))
			broken = append(broken, s.putOff.Run(ctx, s.rdb, []string{keys.deliveryDue()}, name, toMS(now.Add(unreadRest))).Err())
			continue
		}
		list = append(list, d)
	}
	return list, errors.Join(broken...)
}

// putOffScript moves a due entry, whatever stands behind it.
//
//	KEYS 1 due
//	ARGV 1 id, 2 score
//
// Safe to run twice: the same score again.
const putOffScript = `
redis.call('ZADD', KEYS[1], 'XX', ARGV[2], ARGV[1])
return 1
`

// lookDeliveryScript moves the due entry of a delivery that is still as it was seen.
//
//	KEYS 1 record, 2 due
//	ARGV 1 id, 2 record as read, 3 score
//
// Safe to run twice: the same score again.
const lookDeliveryScript = `
if redis.call('HGET', KEYS[1], 'd') ~= ARGV[2] then return 0 end
redis.call('ZADD', KEYS[2], ARGV[3], ARGV[1])
return 1
`

// LookAgain sets when the sweeper looks at a pending delivery next, unless it
// changed since it was read.
func (s *Deliveries) LookAgain(ctx context.Context, d *Delivery, at time.Time) error {
	keys, name, err := s.locate(d.World, d.ID)
	if err != nil {
		return err
	}
	if err := s.look.Run(ctx, s.rdb, []string{keys.delivery(name), keys.deliveryDue()}, name, d.raw, toMS(at)).Err(); err != nil {
		return fmt.Errorf("look again at delivery %s: %w", d.ID, err)
	}
	return nil
}
