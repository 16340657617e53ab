package store

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"

	"postrider/internal/email"
)

// Entry is one envelope whose due time has passed.
type Entry struct {
	World     email.World
	Message   string
	Envelope  int
	Class     string              // queue class
	State     email.EnvelopeState // zero Phase: the record is gone
	ExpiresAt time.Time
}

// defaultClass is the queue of a message without another.
const defaultClass = "default"

// Shards is the number of parts of the key space.
func (m *Messages) Shards() int { return m.options.Shards }

// Due lists at most limit entries past their score, oldest first, with a snapshot
// of their envelopes. Entries that cannot be read are set aside and named in the
// error (ErrBroken), which then comes with the others.
func (m *Messages) Due(ctx context.Context, w email.World, shard uint8, now time.Time, limit int) ([]Entry, error) {
	keys := keysOf(w, shard)
	members, err := m.rdb.ZRangeByScore(ctx, keys.due(), &redis.ZRangeBy{
		Min: "-inf", Max: strconv.FormatInt(toMS(now), 10), Count: int64(limit),
	}).Result()
	if err != nil {
		return nil, fmt.Errorf("read due entries of shard %d: %w", shard, err)
	}
	states := make([]*redis.StringCmd, len(members))
	_, err = m.rdb.Pipelined(ctx, func(p redis.Pipeliner) error {
		for i, member := range members {
			id, _, _ := parseDueMember(member) // what is no member is told below
			states[i] = p.HGet(ctx, keys.record(id), "s")
		}
		return nil
	})
	if err != nil && !errors.Is(err, redis.Nil) && !errors.Is(err, ErrBroken) {
		return nil, fmt.Errorf("read due entries of shard %d: %w", shard, err)
	}
	var entries []Entry
	var broken []error
	for i, member := range members {
		e, err := readEntry(w, member, states[i])
		if err == nil {
			entries = append(entries, e)
			continue
		}
		broken = append(broken, fmt.Errorf("set aside due entry %q: %w", member, err))
		broken = append(broken, m.setAside(ctx, keys, keys.due(), member, now))
	}
	return entries, errors.Join(broken...)
}

// Entry reads one envelope as Due does, whenever it is due. Its Phase is zero if
// the record is gone.
func (m *Messages) Entry(ctx context.Context, w email.World, id string, envelope int) (Entry, error) {
	keys, name, err := m.locate(w, id)
	if err != nil {
		return Entry{}, err
	}
	e, err := readEntry(w, dueMember(name, envelope), m.rdb.HGet(ctx, keys.record(name), "s"))
	if err != nil {
		return Entry{}, fmt.Errorf("read %s envelope %d: %w", id, envelope, err)
	}
	return e, nil
}

func readEntry(w email.World, member string, raw *redis.StringCmd) (Entry, error) {
	id, envelope, err := parseDueMember(member)
	if err != nil {
		return Entry{}, err
	}
	e := Entry{World: w, Message: long(id), Envelope: envelope, Class: defaultClass}
	if errors.Is(raw.Err(), redis.Nil) {
		return e, nil
	}
	if raw.Err() != nil {
		return Entry{}, raw.Err()
	}
	s, err := decodeState(raw.Val())
	if err != nil {
		return Entry{}, err
	}
	if envelope >= len(s.Envelopes) {
		return Entry{}, fmt.Errorf("%w: no such envelope", ErrBroken)
	}
	e.Class, e.State, e.ExpiresAt = s.class(), s.Envelopes[envelope].decode(), fromMS(s.Expires)
	return e, nil
}

// lookAgainScript moves or removes a due entry, if its envelope is still as it was seen.
//
//	KEYS 1 record, 2 due
//	ARGV 1 member, 2 envelope, 3 score (0: only remove), 4 fence, 5 generation, 6 phase
//
// Returns 1 if the entry was moved or removed, else 0. Safe to run twice: the
// same score again.
const lookAgainScript = `
local raw = redis.call('HGET', KEYS[1], 's')
local e = raw and (cjson.decode(raw).e or {})[tonumber(ARGV[2]) + 1]
if not e or e.p == 'done' then return redis.call('ZREM', KEYS[2], ARGV[1]) end
if ARGV[3] == '0' then return 0 end
if (e.f or 0) ~= tonumber(ARGV[4]) or (e.g or 0) ~= tonumber(ARGV[5]) or e.p ~= ARGV[6] then return 0 end
redis.call('ZADD', KEYS[2], ARGV[3], ARGV[1])
return 1
`

// LookAgain sets when the sweeper looks at an entry next. An entry whose envelope
// is done or whose record is gone is removed, whatever the time; zero does only
// that. An envelope that changed since the entry was read keeps the time that the
// change gave it.
func (m *Messages) LookAgain(ctx context.Context, e Entry, at time.Time) error {
	keys, id, err := m.locate(e.World, e.Message)
	if err != nil {
		return fmt.Errorf("look again at %q: %w", e.Message, err)
	}
	err = m.scripts.lookAgain.Run(ctx, m.rdb, []string{keys.record(id), keys.due()},
		dueMember(id, e.Envelope), e.Envelope, toMS(at), e.State.Fence, e.State.Generation, string(e.State.Phase)).Err()
	if err != nil {
		return fmt.Errorf("look again at %s envelope %d: %w", e.Message, e.Envelope, err)
	}
	return nil
}

// advanceScript makes an envelope's next generation.
//
//	KEYS 1 record, 2 due
//	ARGV 1 member, 2 envelope, 3 generation seen, 4 due score
//
// Returns the generation now, -1 if the record is gone. Safe to run twice: the
// second run finds another generation than the one seen.
const advanceScript = `
local raw = redis.call('HGET', KEYS[1], 's')
if not raw then return -1 end
local s = cjson.decode(raw)
local e = (s.e or {})[tonumber(ARGV[2]) + 1]
if not e then return -1 end
if e.p == 'wait' and (e.g or 0) == tonumber(ARGV[3]) then
  e.g = (e.g or 0) + 1
  redis.call('HSET', KEYS[1], 's', cjson.encode(s))
  redis.call('ZADD', KEYS[2], ARGV[4], ARGV[1])
end
return e.g or 0
`

// Advance makes the envelope's next generation if it still has this generation
// and is waiting, and looks at it again in 5 s; returns the current generation.
// ErrNotFound if the record is gone.
func (m *Messages) Advance(ctx context.Context, e Entry, now time.Time) (generation int, err error) {
	keys, id, err := m.locate(e.World, e.Message)
	if err != nil {
		return 0, err
	}
	generation, err = m.scripts.advance.Run(ctx, m.rdb, []string{keys.record(id), keys.due()},
		dueMember(id, e.Envelope), e.Envelope, e.State.Generation, toMS(now.Add(lookSoon))).Int()
	if err != nil {
		return 0, fmt.Errorf("advance %s envelope %d: %w", e.Message, e.Envelope, err)
	}
	if generation < 0 {
		return 0, ErrNotFound
	}
	return generation, nil
}
