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

// Listed is what the copy of a shard says about addresses: by normalized address, as it
// is stored. Addresses that it does not hold are not suppressed.
type Listed map[string]string

// Find gives the suppression that forbids mail of a sending domain and stream to an
// address at a time, nil if there is none.
func (l Listed) Find(m *email.Message, to email.Address) (*email.Suppression, error) {
	address := to.Normalized()
	list, err := decodeSuppressions(m.World, address, l[address])
	if err != nil {
		return nil, err
	}
	stream := m.Stream
	if stream == "" {
		stream = defaultStream
	}
	for i := range list {
		if list[i].Applies(m.From.Domain(), stream, m.CreatedAt) {
			return &list[i], nil
		}
	}
	return nil, nil
}

// ListChanged is Accept's answer to a submission that was judged by another list of
// suppressions than the shard's: Listed is what the shard says of its recipients.
type ListChanged struct{ Listed Listed }

func (*ListChanged) Error() string { return "the suppressions of its recipients are others" }

// earlySuppressionsScript copies changes to a shard before the follower does.
//
//	KEYS 1 copy, 2 cursor
//	ARGV per change: address, its number, the entries (empty: none)
//
// Returns 1. A change behind the cursor, or behind what stands there, is left alone, so
// that no older one stands over a newer: therefore it is safe to run twice. Of an
// address without entries the bare number stays, until the follower comes by.
const earlySuppressionsScript = `
local cursor = tonumber(redis.call('GET', KEYS[2]) or '0')
for i = 1, #ARGV, 3 do
  local n = tonumber(ARGV[i + 1])
  local standing = string.match(redis.call('HGET', KEYS[1], ARGV[i]) or '', '^%d+') or '0'
  if n > cursor and n > tonumber(standing) then
    redis.call('HSET', KEYS[1], ARGV[i], ARGV[i + 1] .. ' ' .. ARGV[i + 2])
  end
end
return 1
`

// copyEarly copies changes to every shard. What it cannot do the follower does.
func (s *Suppressions) copyEarly(ctx context.Context, w email.World, edits []*edit) {
	for len(edits) > 0 {
		n := min(len(edits), editBatch)
		var args []any
		for _, e := range edits[:n] {
			copied, err := encodeSuppressions(e.after, toListed)
			if err != nil {
				return
			}
			args = append(args, e.address, e.number, copied)
		}
		for shard := range s.shards {
			keys := keysOf(w, uint8(shard))
			if s.early.Run(ctx, s.rdb, []string{keys.listed(), keys.listedCursor()}, args...).Err() != nil {
				return
			}
		}
		edits = edits[n:]
	}
}

// suppressionLog is one change as the log has it.
type suppressionLog struct {
	number  int64
	address string
	copied  string
	events  []string
}

// followSuppressionsScript copies changes to a shard, in the order of their numbers,
// appends their events to its stream, and moves its cursor behind them.
//
//	KEYS 1 copy, 2 cursor, 3 stream
//	ARGV per change: its number, address, entries (empty: none), number of events to
//	     append here, the events
//
// Returns 1. Safe to run twice: what lies behind the cursor is left alone.
const followSuppressionsScript = `
local cursor, at = tonumber(redis.call('GET', KEYS[2]) or '0'), 1
while at <= #ARGV do
  local n, address, entries, count = tonumber(ARGV[at]), ARGV[at + 1], ARGV[at + 2], tonumber(ARGV[at + 3])
  if n > cursor then
    cursor = n
    local standing = string.match(redis.call('HGET', KEYS[1], address) or '', '^%d+') or '0'
    if n >= tonumber(standing) then
      if entries == '' then
        redis.call('HDEL', KEYS[1], address)
      else
        redis.call('HSET', KEYS[1], address, ARGV[at] .. ' ' .. entries)
      end
    end
    for i = 1, count do redis.call('XADD', KEYS[3], '*', 'g', ARGV[at + 3 + i]) end
  end
  at = at + 4 + count
end
redis.call('SET', KEYS[2], string.format('%d', cursor))
return 1
`

// Follow copies the next changes of a world's list, at most limit, to every shard, with
// their events to one of them, and takes them off the log. more says whether there are
// others. Whoever runs beside it does no harm.
func (s *Suppressions) Follow(ctx context.Context, w email.World, limit int) (more bool, err error) {
	keys := suppressionsOf(w)
	found, err := s.rdb.XRangeN(ctx, keys.log(), "-", "+", int64(limit)).Result()
	if err != nil || len(found) == 0 {
		return false, err
	}
	changes := make([]suppressionLog, len(found))
	for i, x := range found {
		changes[i] = readSuppressionLog(x)
	}
	for shard := range s.shards {
		if err := s.followTo(ctx, w, uint8(shard), changes); err != nil {
			return false, fmt.Errorf("copy suppressions to shard %d of %s: %w", shard, w, err)
		}
	}
	last := changes[len(changes)-1].number
	if err := s.rdb.XTrimMinID(ctx, keys.log(), strconv.FormatInt(last, 10)+"-1").Err(); err != nil {
		return false, fmt.Errorf("trim the log of suppressions of %s: %w", w, err)
	}
	return len(found) == limit, nil
}

func readSuppressionLog(x redis.XMessage) suppressionLog {
	c := suppressionLog{number: Position(x.ID).ms()}
	c.address, _ = x.Values["a"].(string)
	c.copied, _ = x.Values["c"].(string)
	for i := 0; ; i++ {
		raw, ok := x.Values["e"+strconv.Itoa(i)].(string)
		if !ok {
			return c
		}
		c.events = append(c.events, raw)
	}
}

// followTo copies changes to one shard. One that has no cursor is new, and gets the
// whole list first.
func (s *Suppressions) followTo(ctx context.Context, w email.World, shard uint8, changes []suppressionLog) error {
	keys := keysOf(w, shard)
	n, err := s.rdb.Exists(ctx, keys.listedCursor()).Result()
	if err != nil {
		return err
	}
	if n == 0 && changes[0].number > 1 {
		if err := s.copyAll(ctx, w, keys, changes[0].number-1); err != nil {
			return err
		}
	}
	var args []any
	for _, c := range changes {
		events := c.events
		if c.number%int64(s.shards) != int64(shard) {
			events = nil // told in another shard
		}
		args = append(args, c.number, c.address, c.copied, len(events))
		for _, raw := range events {
			args = append(args, raw)
		}
	}
	return s.follow.Run(ctx, s.rdb, []string{keys.listed(), keys.listedCursor(), keys.stream()}, args...).Err()
}

// copyAll copies the list to a shard that has nothing yet, and says that it has followed
// to a number: what changes meanwhile has greater ones.
func (s *Suppressions) copyAll(ctx context.Context, w email.World, keys shardKeys, followed int64) error {
	var args []any
	flush := func() error {
		if len(args) == 0 {
			return nil
		}
		defer func() { args = nil }()
		return s.early.Run(ctx, s.rdb, []string{keys.listed(), keys.listedCursor()}, args...).Err()
	}
	scan := s.rdb.HScan(ctx, suppressionsOf(w).entries(), 0, "", 1000).Iterator()
	for scan.Next(ctx) {
		address := scan.Val()
		if !scan.Next(ctx) {
			break
		}
		list, err := decodeSuppressions(w, address, scan.Val())
		if err != nil {
			return err
		}
		copied, err := encodeSuppressions(list, toListed)
		if err != nil {
			return err
		}
		if args = append(args, address, number(scan.Val()), copied); len(args) >= 3*editBatch {
			if err := flush(); err != nil {
				return err
			}
		}
	}
	if err := errors.Join(scan.Err(), flush()); err != nil {
		return err
	}
	return s.rdb.SetNX(ctx, keys.listedCursor(), followed, 0).Err()
}

// Recopy gives every shard that never followed the list a copy of it: for a number of
// shards that has grown. It costs one question where there is nothing to do.
func (s *Suppressions) Recopy(ctx context.Context, w email.World) error {
	n, err := s.rdb.Get(ctx, suppressionsOf(w).counter()).Int64()
	if errors.Is(err, redis.Nil) {
		return nil // the list was never used
	}
	if err != nil {
		return fmt.Errorf("read the number of suppressions: %w", err)
	}
	for shard := range s.shards {
		keys := keysOf(w, uint8(shard))
		there, err := s.rdb.Exists(ctx, keys.listedCursor()).Result()
		if err != nil {
			return fmt.Errorf("look at the suppressions of shard %d: %w", shard, err)
		}
		if there == 0 {
			// Not further than what the log no longer has, or its events would be lost.
			if first, err := s.rdb.XRangeN(ctx, suppressionsOf(w).log(), "-", "+", 1).Result(); err != nil {
				return fmt.Errorf("read the log of suppressions: %w", err)
			} else if len(first) > 0 {
				n = Position(first[0].ID).ms() - 1
			}
			if err := s.copyAll(ctx, w, keys, n); err != nil {
				return fmt.Errorf("copy suppressions to shard %d: %w", shard, err)
			}
		}
	}
	return nil
}

// decodeSuppressionEvent reads an event as a shard's stream has it.
func decodeSuppressionEvent(w email.World, raw string) (*email.SuppressionEvent, error) {
	var v storedSuppressionEvent
	if err := json.Unmarshal([]byte(raw), &v); err != nil {
		return nil, fmt.Errorf("%w: an event: %w", ErrBroken, err)
	}
	e := &email.SuppressionEvent{ID: email.EventPrefix + "_" + v.ID, Type: v.Type, At: fromMS(v.At), Suppression: v.Suppression.decode(w, v.Address)}
	if _, err := email.ParseID(email.EventPrefix, e.ID); err != nil || v.Address == "" {
		return nil, fmt.Errorf("%w: an event of a suppression", ErrBroken)
	}
	return e, nil
}

// linkScript writes the suppression that a bounce made into its recipient.
//
//	KEYS 1 record
//	ARGV 1 recipient, 2 id of the suppression
//
// Returns 1, or 0 if there is no such recipient. Safe to run twice: the first one stays.
const linkScript = `
local raw = redis.call('HGET', KEYS[1], 's')
if not raw then return 0 end
local s = cjson.decode(raw)
local r = s.r[tonumber(ARGV[1]) + 1]
if not r then return 0 end
if not r.p then
  r.p = ARGV[2]
  redis.call('HSET', KEYS[1], 's', cjson.encode(s))
end
return 1
`

// LinkSuppression writes the suppression that a bounce made into its recipient, and into
// m. A message that is gone is no error.
func (m *Messages) LinkSuppression(ctx context.Context, msg *email.Message, recipient int, id string) error {
	keys, name, err := m.locate(msg.World, msg.ID)
	if err != nil {
		return err
	}
	state := &msg.Recipients[recipient].State
	if state.SuppressionID != "" {
		return nil
	}
	if err := m.scripts.link.Run(ctx, m.rdb, []string{keys.record(name)}, recipient, id).Err(); err != nil {
		return fmt.Errorf("link a suppression to %s: %w", msg.ID, err)
	}
	state.SuppressionID = id
	return nil
}

// Expire removes at most limit entries of a world's list whose time is over,
// and returns how many it looked at.
func (s *Suppressions) Expire(ctx context.Context, w email.World, now time.Time, limit int) (int, error) {
	keys := suppressionsOf(w)
	members, err := s.rdb.ZRangeByScore(ctx, keys.expiries(), &redis.ZRangeBy{
		Min: "-inf", Max: strconv.FormatInt(toMS(now), 10), Count: int64(limit),
	}).Result()
	if err != nil || len(members) == 0 {
		return 0, err
	}
	wanted := make(map[string]decide, len(members))
	for _, member := range members {
		_, address := cutMember(member)
		wanted[address] = func(e *edit) {
			e.remove(func(s *email.Suppression) bool { return !s.ExpiresAt.IsZero() && !now.Before(s.ExpiresAt) })
		}
	}
	if _, err := s.editAll(ctx, w, wanted, now); err != nil {
		return 0, fmt.Errorf("remove expired suppressions of %s: %w", w, err)
	}
	// A member without its entry must not stand before the others.
	stale := make([]any, len(members))
	for i, member := range members {
		stale[i] = member
	}
	return len(members), s.rdb.ZRem(ctx, keys.expiries(), stale...).Err()
}

// Listed reads what their shard knows of the suppressions of the recipients of some
// messages, all of one world and shard, at once.
func (m *Messages) Listed(ctx context.Context, messages ...*email.Message) ([]Listed, error) {
	if len(messages) == 0 {
		return nil, nil
	}
	keys, _, err := m.locate(messages[0].World, messages[0].ID)
	if err != nil {
		return nil, err
	}
	var addresses []string
	for _, msg := range messages {
		for _, r := range msg.Recipients {
			addresses = append(addresses, r.Address.Normalized())
		}
	}
	listed, err := m.rdb.HMGet(ctx, keys.listed(), addresses...).Result()
	if err != nil {
		return nil, fmt.Errorf("read the suppressions of recipients: %w", err)
	}
	out := make([]Listed, len(messages))
	for i, msg := range messages {
		n := min(len(msg.Recipients), len(listed))
		out[i], listed = listChanged(msg, listed[:n]).Listed, listed[n:]
	}
	return out, nil
}
