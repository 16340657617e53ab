package store

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"postrider/internal/email"
)

// Position is a place in a shard's event stream: an entry's id, which Redis makes
// of its clock and a counter. Empty is before the first.
type Position string

// ms is the time at which the stream took the entry in.
func (p Position) ms() int64 {
	digits, _, _ := strings.Cut(string(p), "-")
	ms, _ := strconv.ParseInt(digits, 10, 64) // 0, the beginning, for what is none
	return ms
}

// StreamEntry names one event in a shard's stream: of a message, or of a suppression.
type StreamEntry struct {
	At         Position
	Message    string
	Index      int  // of the event in the message's list
	Suppresses bool // it is a bounce whose recipient is to be suppressed
	// Sample is what it adds to the statistics; nil if the entry does not tell, or cannot
	// be read on that: then the message tells.
	Sample *Sample

	Suppression *email.SuppressionEvent // nil: it is a message's
}

// Stretch is a part of a shard's events that was not followed yet.
type Stretch struct {
	World   email.World
	Shard   uint8
	From    Position // the cursor: the last entry that was followed
	Entries []StreamEntry
	To      Position // the last entry of this part; From if there is none
	End     Position // the last entry of the stream
	Tally   *Tally   // what its events add to the statistics; nil: nothing
}

// Unfollowed reads at most limit entries behind the cursor. What is no entry of ours
// is passed over: Entries does not hold it, To may be it.
func (s *Deliveries) Unfollowed(ctx context.Context, w email.World, shard uint8, limit int) (*Stretch, error) {
	keys := keysOf(w, shard)
	at, err := s.rdb.Get(ctx, keys.cursor()).Result()
	if err != nil && !errors.Is(err, redis.Nil) {
		return nil, fmt.Errorf("read the cursor of shard %d: %w", shard, err)
	}
	var found, last *redis.XMessageSliceCmd
	if _, err := s.rdb.Pipelined(ctx, func(p redis.Pipeliner) error {
		found = p.XRangeN(ctx, keys.stream(), after(Position(at)), "+", int64(limit))
		last = p.XRevRangeN(ctx, keys.stream(), "+", "-", 1)
		return nil
	}); err != nil {
		return nil, fmt.Errorf("read the events of shard %d: %w", shard, err)
	}
	part := &Stretch{World: w, Shard: shard, From: Position(at), To: Position(at)}
	for _, x := range last.Val() {
		part.End = Position(x.ID)
	}
	for _, x := range found.Val() {
		part.To = Position(x.ID)
		if e, err := decodeStreamEntry(w, x); err == nil {
			part.Entries = append(part.Entries, e)
		}
	}
	return part, nil
}

// decodeStreamEntry reads one entry of a shard's stream. ErrBroken if it is none of ours.
func decodeStreamEntry(w email.World, x redis.XMessage) (StreamEntry, error) {
	e := StreamEntry{At: Position(x.ID)}
	if raw, ok := x.Values["g"].(string); ok {
		var err error
		e.Suppression, err = decodeSuppressionEvent(w, raw)
		return e, err
	}
	id, _ := x.Values["m"].(string)
	position, _ := x.Values["p"].(string)
	index, err := strconv.Atoi(position)
	if err != nil || index < 0 || !isShort(id) {
		return e, fmt.Errorf("%w: an entry of a stream", ErrBroken)
	}
	e.Message, e.Index, e.Suppresses = long(id), index, x.Values["b"] == "1"
	if raw, ok := x.Values["c"].(string); ok {
		e.Sample, _ = decodeSample(raw) // an event must not be lost for it
	}
	return e, nil
}

// SuppressionEvent reads the event of a suppression at a place of a shard's stream.
// ErrNotFound if it is no longer kept.
func (s *Deliveries) SuppressionEvent(ctx context.Context, w email.World, shard uint8, at Position) (*email.SuppressionEvent, error) {
	found, err := s.rdb.XRange(ctx, keysOf(w, shard).stream(), string(at), string(at)).Result()
	if err != nil {
		return nil, fmt.Errorf("read an event of shard %d: %w", shard, err)
	}
	if len(found) == 0 {
		return nil, ErrNotFound
	}
	e, err := decodeStreamEntry(w, found[0])
	if err == nil && e.Suppression == nil {
		err = fmt.Errorf("%w: it is another's event", ErrBroken)
	}
	return e.Suppression, err
}

// after is the beginning of a range that excludes a position.
func after(p Position) string {
	if p == "" {
		return "-"
	}
	return "(" + string(p)
}

// Happened is a message and those of its events that were asked for.
type Happened struct {
	Message *email.Message
	Events  map[int]email.Event // by index
}

// Sample is what one of its events adds to the statistics; false, also of nil, if there
// is none.
func (h *Happened) Sample(index int) (Sample, bool) {
	e, ok := h.Event(index)
	if !ok {
		return Sample{}, false
	}
	return sampleOf(h.Message, e), true
}

// Event is one of its events; false, also of nil, if there is none.
func (h *Happened) Event(index int) (email.Event, bool) {
	if h == nil {
		return email.Event{}, false
	}
	e, ok := h.Events[index]
	return e, ok
}

// Happened reads the messages and their events that entries name. What is gone is left
// out, and so is what cannot be read, which broken names.
func (s *Deliveries) Happened(ctx context.Context, w email.World, entries []StreamEntry) (out map[string]*Happened, broken []error, err error) {
	return s.happened(ctx, w, entries, func(string) bool { return false })
}

// Briefly is Happened for who counts and filters: of the messages it has no more than
// ID, World, CreatedAt, ScheduledAt, Tags and Stream. Those of entries that suppress are
// whole.
func (s *Deliveries) Briefly(ctx context.Context, w email.World, entries []StreamEntry) (out map[string]*Happened, broken []error, err error) {
	whole := make(map[string]bool)
	for _, e := range entries {
		if e.Suppresses {
			whole[e.Message] = true
		}
	}
	return s.happened(ctx, w, entries, func(message string) bool { return !whole[message] })
}

// happened reads all in one go. brief says which messages need not be whole.
func (s *Deliveries) happened(ctx context.Context, w email.World, entries []StreamEntry, brief func(message string) bool) (out map[string]*Happened, broken []error, err error) {
	records := map[string]*redis.MapStringStringCmd{}
	entries = slices.DeleteFunc(slices.Clone(entries), func(e StreamEntry) bool { return e.Suppression != nil })
	events := make([]*redis.StringCmd, len(entries))
	commands, _ := s.rdb.Pipelined(ctx, func(p redis.Pipeliner) error {
		for i, e := range entries {
			shard, _ := email.Shard(e.Message) // whoever made the entry saw that it is an id
			keys := keysOf(w, shard)
			if records[e.Message] == nil {
				records[e.Message] = p.HGetAll(ctx, keys.record(short(e.Message)))
			}
			events[i] = p.LIndex(ctx, keys.events(short(e.Message)), int64(e.Index))
		}
		return nil
	})
	for _, c := range commands {
		if err := c.Err(); err != nil && !errors.Is(err, redis.Nil) && !redis.HasErrorPrefix(err, "WRONGTYPE") {
			return nil, nil, fmt.Errorf("read what happened: %w", err)
		}
	}
	out = map[string]*Happened{}
	for i, e := range entries {
		fields, err := records[e.Message].Result()
		raw := ""
		if err == nil {
			raw, err = events[i].Result()
		}
		if errors.Is(err, redis.Nil) || (err == nil && len(fields) == 0) {
			continue
		}
		if err == nil {
			decode := decodeMessage
			if brief(e.Message) {
				decode = decodeBrief
			}
			err = addHappened(out, e, raw, func() (*email.Message, error) { return decode(w, short(e.Message), fields) })
		}
		if err != nil {
			broken = append(broken, fmt.Errorf("read event %d of %s: %w", e.Index, e.Message, err))
		}
	}
	return out, broken, nil
}

func addHappened(out map[string]*Happened, e StreamEntry, raw string, message func() (*email.Message, error)) error {
	h := out[e.Message]
	if h == nil {
		m, err := message()
		if err != nil {
			return err
		}
		h = &Happened{Message: m, Events: map[int]email.Event{}}
	}
	event, err := decodeEvent(raw)
	if err != nil {
		return err
	}
	if h.Message.Recipients != nil && event.Recipient >= len(h.Message.Recipients) {
		return fmt.Errorf("%w: an event's recipient", ErrBroken)
	}
	h.Events[e.Index] = event
	out[e.Message] = h
	return nil
}

// followScript keeps the deliveries that follow from some entries, counts these, and
// moves the cursor behind them.
//
//	KEYS 1 cursor, 2 due, then per delivery: record, its endpoint's pending set; then
//	     the buckets of statistics
//	ARGV 1 cursor as read, 2 new cursor, 3 due score, 4 number of deliveries, then of
//	     each: id, record; then of each bucket: its life in ms, how many counters it
//	     may have, how many are told of, then of each: field, field if there is no
//	     room, how many to add
//
// Returns 1, or 0 if the cursor is not where it was read. Safe to run twice: the
// second run finds the cursor moved; no delivery is made and nothing counted again.
const followScript = `
local standing = redis.call('GET', KEYS[1]) or ''
if standing == ARGV[2] then return 1 end
if standing ~= ARGV[1] then return 0 end
local k, a = 3, 5
for _ = 1, tonumber(ARGV[4]) do
  if redis.call('EXISTS', KEYS[k]) == 0 then
    redis.call('HSET', KEYS[k], 'd', ARGV[a + 1])
    redis.call('ZADD', KEYS[2], ARGV[3], ARGV[a])
    redis.call('ZADD', KEYS[k + 1], 0, ARGV[a])
  end
  k, a = k + 2, a + 2
end
while k <= #KEYS do
  local life, most, n = ARGV[a], tonumber(ARGV[a + 1]), tonumber(ARGV[a + 2])
  local size = redis.call('HLEN', KEYS[k])
  a = a + 3
  for _ = 1, n do
    local field = ARGV[a]
    if size >= most and redis.call('HEXISTS', KEYS[k], field) == 0 then field = ARGV[a + 1] end
    if redis.call('HINCRBY', KEYS[k], field, ARGV[a + 2]) == tonumber(ARGV[a + 2]) then size = size + 1 end
    a = a + 3
  end
  redis.call('PEXPIRE', KEYS[k], life)
  k = k + 1
end
redis.call('SET', KEYS[1], ARGV[2])
return 1
`

// Follow keeps deliveries, counts the Tally and moves the cursor, in one script. Of each
// delivery it needs Webhook, Event, Type, and Message and Position, or Entry, and fills
// in the rest. false if the cursor was moved by another meanwhile: nothing is kept then.
func (s *Deliveries) Follow(ctx context.Context, c *Stretch, to Position, list []*Delivery, now time.Time) (bool, error) {
	keys := keysOf(c.World, c.Shard)
	names := []string{keys.cursor(), keys.deliveryDue()}
	args := []any{string(c.From), string(to), dueScore(now, now), len(list)}
	for _, d := range list {
		id, err := DeliveryID(d.Event, d.Webhook, c.Shard)
		if err != nil {
			return false, err
		}
		d.ID, d.World, d.Status, d.CreatedAt, d.NextAt = id, c.World, DeliveryPending, fromMS(toMS(now)), fromMS(toMS(now))
		if d.raw, err = encodeDelivery(d); err != nil {
			return false, fmt.Errorf("encode delivery %s: %w", id, err)
		}
		names = append(names, keys.delivery(bare(id)), keys.pending(d.Webhook))
		args = append(args, bare(id), d.raw)
	}
	buckets, counters := c.Tally.arguments(keys)
	names, args = append(names, buckets...), append(args, counters...)
	moved, err := s.follow.Run(ctx, s.rdb, names, args...).Int()
	if err != nil {
		return false, fmt.Errorf("follow the events of shard %d: %w", c.Shard, err)
	}
	return moved == 1, nil
}

// unfollowed is the first entry of a shard's stream behind its cursor, empty if all
// were followed.
func unfollowed(ctx context.Context, rdb redis.UniversalClient, keys shardKeys) (Position, error) {
	at, err := rdb.Get(ctx, keys.cursor()).Result()
	if err != nil && !errors.Is(err, redis.Nil) {
		return "", err
	}
	first, err := rdb.XRangeN(ctx, keys.stream(), after(Position(at)), "+", 1).Result()
	if err != nil || len(first) == 0 {
		return "", err
	}
	return Position(first[0].ID), nil
}
