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

// Matcher reports whether patterns want events of a type; events.Match is one.
type Matcher func(patterns []string, t email.EventType) bool

// DeliveryOf is what an entry of the stream means for an endpoint, nil if it does not
// want it, or if the event is gone. h is the entry's message.
func (w *Webhook) DeliveryOf(entry StreamEntry, h *Happened, match Matcher) *Delivery {
	d := &Delivery{Webhook: w.ID, Message: entry.Message, Position: entry.Index}
	if s := entry.Suppression; s != nil {
		d.Event, d.Type, d.Entry = s.ID, s.Type, entry.At
		if !w.HearsOf(s) {
			return nil
		}
	} else {
		e, ok := h.Event(entry.Index)
		if !ok || !w.Hears(h.Message, e) {
			return nil
		}
		d.Event, d.Type = e.ID, e.Type
	}
	if !match(w.Events, d.Type) {
		return nil
	}
	return d
}

// replayDeliveryScript makes a delivery pending and due now, or makes it if there is none.
//
//	KEYS 1 record, 2 due, 3 purge, 4 pending, 5 finished
//	ARGV 1 id, 2 record as read (empty: none), 3 new record, 4 score of due
//
// Returns 1, or 0 if another record stands there. Safe to run twice: no two records of a
// delivery are alike, since each counts its generation.
const replayDeliveryScript = `
local id, standing = ARGV[1], redis.call('HGET', KEYS[1], 'd') or ''
if standing == ARGV[3] then return 1 end
if standing ~= ARGV[2] then return 0 end
redis.call('HSET', KEYS[1], 'd', ARGV[3])
redis.call('ZREM', KEYS[3], id)
redis.call('ZREM', KEYS[5], id)
redis.call('ZADD', KEYS[2], ARGV[4], id)
redis.call('ZADD', KEYS[4], 0, id)
return 1
`

// Replay makes a delivery due now, whatever has become of it, with all its attempts
// before it again. It returns it as stored, or ErrLostFence if it changed since it was
// read. at is when the sweeper is to look whether it runs.
func (s *Deliveries) Replay(ctx context.Context, d *Delivery, now, at time.Time) (*Delivery, error) {
	keys, name, err := s.locate(d.World, d.ID)
	if err != nil {
		return nil, err
	}
	again := *d
	again.Status, again.Replayed, again.NextAt, again.EndedAt = DeliveryPending, d.Attempts, fromMS(toMS(now)), time.Time{}
	if d.raw != "" {
		again.Generation++
	}
	if again.raw, err = encodeDelivery(&again); err != nil {
		return nil, fmt.Errorf("replay delivery %s: %w", d.ID, err)
	}
	names := []string{keys.delivery(name), keys.deliveryDue(), keys.deliveryPurge(), keys.pending(d.Webhook), keys.finished(d.Webhook)}
	ok, err := s.replay.Run(ctx, s.rdb, names, name, d.raw, again.raw, toMS(at)).Int()
	if err != nil {
		return nil, fmt.Errorf("replay delivery %s: %w", d.ID, err)
	}
	if ok == 0 {
		return nil, ErrLostFence
	}
	return &again, nil
}

// Again is what is to be replayed to an endpoint: the events of a time.
type Again struct {
	Since, Until time.Time
	Types        []string // patterns; none: all that it wants
	All          bool     // what succeeded, too, and what was before the endpoint
	Match        Matcher
}

// replayChunk entries of the stream are looked at at a time.
const replayChunk = 200

// ReplayAll replays to an endpoint what happened in a time and did not reach it: what
// failed, what waits after a failure, and what it was not told of while it was disabled.
// The sweeper finds them due. It returns how many, and where to go on if ctx ended before
// it was through: zero if it was.
func (s *Deliveries) ReplayAll(ctx context.Context, hook *Webhook, a Again, now time.Time) (count int, resume time.Time, err error) {
	for shard := range s.options.Shards {
		r := &replaying{s: s, hook: hook, a: a, now: now, keys: keysOf(hook.World, uint8(shard)), shard: uint8(shard)}
		err := r.run(ctx)
		count += r.count
		if err != nil && ctx.Err() != nil && count > 0 {
			// Another shard may not have been looked at: then from the beginning, which
			// does not replay twice what is pending.
			if shard > 0 || s.options.Shards > 1 {
				return count, a.Since, nil
			}
			return count, r.at, nil
		}
		if err != nil {
			return count, a.Since, fmt.Errorf("replay to webhook %s: %w", hook.ID, err)
		}
	}
	return count, time.Time{}, nil
}

// replaying is one shard's part of ReplayAll.
type replaying struct {
	s     *Deliveries
	hook  *Webhook
	a     Again
	now   time.Time
	keys  shardKeys
	shard uint8
	at    time.Time // up to where it came
	count int
}

func (r *replaying) run(ctx context.Context) error {
	from, until := strconv.FormatInt(toMS(r.a.Since), 10), strconv.FormatInt(toMS(r.a.Until), 10)
	r.at = r.a.Since
	for {
		found, err := r.s.rdb.XRangeN(ctx, r.keys.stream(), from, until, replayChunk).Result()
		if err != nil {
			return err
		}
		var entries []StreamEntry
		for _, x := range found {
			if e, err := decodeStreamEntry(r.hook.World, x); err == nil {
				entries = append(entries, e)
			}
		}
		if err := r.some(ctx, entries); err != nil {
			return err
		}
		if len(found) < replayChunk {
			return nil
		}
		last := Position(found[len(found)-1].ID)
		from, r.at = after(last), fromMS(last.ms())
	}
}

// some replays those of some entries that are to be.
func (r *replaying) some(ctx context.Context, entries []StreamEntry) error {
	happened, _, err := r.s.Happened(ctx, r.hook.World, entries)
	if err != nil {
		return err
	}
	for _, entry := range entries {
		d := r.hook.DeliveryOf(entry, happened[entry.Message], r.a.Match)
		if d == nil || (len(r.a.Types) > 0 && !r.a.Match(r.a.Types, d.Type)) {
			continue
		}
		if err := r.one(ctx, d, entry.At); err != nil {
			return err
		}
	}
	return nil
}

func (r *replaying) one(ctx context.Context, d *Delivery, at Position) error {
	id, err := DeliveryID(d.Event, r.hook.ID, r.shard)
	if err != nil {
		return err
	}
	standing, err := r.s.Get(ctx, r.hook.World, id)
	switch {
	case errors.Is(err, ErrNotFound):
		if at.ms() < toMS(r.hook.CreatedAt) && !r.a.All {
			return nil // it was before its time
		}
		standing = d
		standing.ID, standing.World, standing.CreatedAt = id, r.hook.World, fromMS(toMS(r.now))
	case errors.Is(err, ErrBroken):
		return nil // fsck names it
	case err != nil:
		return err
	case standing.Status == DeliverySucceeded && !r.a.All,
		standing.Status == DeliveryPending && (standing.Attempts == standing.Replayed || !standing.NextAt.After(r.now)):
		return nil // it has arrived, or is on its way
	}
	_, err = r.s.Replay(ctx, standing, r.now, r.now)
	if errors.Is(err, ErrLostFence) {
		return nil // something happened to it just now
	}
	if err == nil {
		r.count++
	}
	return err
}

// DeliveryFilter selects deliveries of an endpoint; zero members select all.
type DeliveryFilter struct {
	Status  DeliveryStatus
	Type    email.EventType
	Message string
}

func (f DeliveryFilter) match(d *Delivery) bool {
	return (f.Status == "" || d.Status == f.Status) && (f.Type == "" || d.Type == f.Type) && (f.Message == "" || d.Message == f.Message)
}

// List pages the deliveries to an endpoint, those of the newest events first, from the one
// before `before` (an id, empty: the newest), at most limit. next is empty at the end, else
// the id to go on before. A filter that selects few of many may give a short page.
func (s *Deliveries) List(ctx context.Context, hook *Webhook, f DeliveryFilter, before string, limit int) (page []*Delivery, next string, err error) {
	below := ""
	if before != "" {
		if _, err := email.ParseID(email.DeliveryPrefix, before); err != nil {
			return nil, "", ErrCursor
		}
		below = bare(before)
	}
	for looked, step := 0, limit+1; ; step = min(step*walkFaster, maxLooked-looked) {
		names, more, err := s.candidates(ctx, hook, f, below, step)
		if err != nil {
			return nil, "", fmt.Errorf("list deliveries of %s: %w", hook.ID, err)
		}
		found, err := s.load(ctx, hook.World, names)
		if err != nil {
			return nil, "", fmt.Errorf("list deliveries of %s: %w", hook.ID, err)
		}
		for _, d := range found {
			if d == nil || d.Webhook != hook.ID || !f.match(d) {
				continue
			}
			if len(page) == limit {
				return page, page[limit-1].ID, nil
			}
			page = append(page, d)
		}
		if !more {
			return page, "", nil
		}
		below = names[len(names)-1]
		if looked += len(names); looked >= maxLooked {
			return page, deliveryID(below), nil
		}
	}
}

// candidates are the newest n deliveries before one, over all shards; more says whether
// there may be others behind them. Those of a message are found by its events.
func (s *Deliveries) candidates(ctx context.Context, hook *Webhook, f DeliveryFilter, below string, n int) (names []string, more bool, err error) {
	if f.Message != "" {
		names, err = s.ofMessage(ctx, hook, f.Message)
		names = slices.DeleteFunc(names, func(name string) bool { return below != "" && name >= below })
	} else {
		names, more, err = s.newest(ctx, hook, f, below, n)
	}
	slices.SortFunc(names, func(a, b string) int { return strings.Compare(b, a) })
	names = slices.Compact(names) // one that ended while we read stands in both sets
	if len(names) > n {
		names, more = names[:n], true
	}
	return names, more, err
}

func (s *Deliveries) newest(ctx context.Context, hook *Webhook, f DeliveryFilter, below string, n int) (names []string, more bool, err error) {
	end := "+"
	if below != "" {
		end = "(" + below
	}
	var parts []*redis.StringSliceCmd
	if _, err := s.rdb.Pipelined(ctx, func(p redis.Pipeliner) error {
		for shard := range s.options.Shards {
			keys := keysOf(hook.World, uint8(shard))
			by := &redis.ZRangeBy{Min: "-", Max: end, Count: int64(n)}
			if f.Status == "" || f.Status == DeliveryPending {
				parts = append(parts, p.ZRevRangeByLex(ctx, keys.pending(hook.ID), by))
			}
			if f.Status != DeliveryPending {
				parts = append(parts, p.ZRevRangeByLex(ctx, keys.finished(hook.ID), by))
			}
		}
		return nil
	}); err != nil {
		return nil, false, err
	}
	for _, part := range parts {
		more = more || len(part.Val()) == n
		names = append(names, part.Val()...)
	}
	return names, more, nil
}

// ofMessage names the deliveries that the events of a message can have.
func (s *Deliveries) ofMessage(ctx context.Context, hook *Webhook, message string) ([]string, error) {
	shard, err := email.Shard(message)
	if err != nil {
		return nil, nil // of no message
	}
	events, err := s.rdb.LRange(ctx, keysOf(hook.World, shard).events(short(message)), 0, -1).Result()
	if err != nil {
		return nil, err
	}
	var names []string
	for _, raw := range events {
		e, err := decodeEvent(raw)
		if err != nil {
			continue // fsck names it
		}
		if id, err := DeliveryID(e.ID, hook.ID, shard); err == nil {
			names = append(names, bare(id))
		}
	}
	return names, nil
}

// GetAll reads the deliveries that ids name, in their order: one round trip. What does
// not exist, or cannot be read, is left out.
func (s *Deliveries) GetAll(ctx context.Context, w email.World, ids []string) ([]*Delivery, error) {
	names := make([]string, len(ids))
	for i, id := range ids {
		names[i] = bare(id)
	}
	found, err := s.load(ctx, w, names)
	if err != nil {
		return nil, fmt.Errorf("read deliveries: %w", err)
	}
	return slices.DeleteFunc(found, func(d *Delivery) bool { return d == nil }), nil
}

// load reads deliveries in order; nil for one that is gone or cannot be read.
func (s *Deliveries) load(ctx context.Context, w email.World, names []string) ([]*Delivery, error) {
	records := make([]*redis.StringCmd, len(names))
	if len(names) == 0 {
		return nil, nil
	}
	_, err := s.rdb.Pipelined(ctx, func(p redis.Pipeliner) error {
		for i, name := range names {
			keys, _, err := s.locate(w, deliveryID(name))
			if err != nil {
				return fmt.Errorf("%w: a delivery's name", ErrBroken)
			}
			records[i] = p.HGet(ctx, keys.delivery(name), "d")
		}
		return nil
	})
	if err != nil && !errors.Is(err, redis.Nil) {
		return nil, err
	}
	out := make([]*Delivery, len(names))
	for i, name := range names {
		if d, err := decodeDelivery(w, deliveryID(name), records[i].Val()); err == nil {
			out[i] = d
		}
	}
	return out, nil
}
