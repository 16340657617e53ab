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

// stub is what stays of a forgotten message: enough to know a late bounce or
// complaint by the message id in its reverse-path.
type stub struct {
	Stream    string         `json:"s"`
	Envelopes []stubEnvelope `json:"e"` // in the message's order: reverse-paths name its index
}

type stubEnvelope struct {
	Domain     string   `json:"d"`
	Recipients []string `json:"r"`
}

func encodeStub(m *email.Message) ([]byte, error) {
	out := stub{Stream: m.Stream}
	for _, e := range m.Envelopes {
		kept := stubEnvelope{Domain: e.Domain}
		for _, r := range e.Recipients {
			kept.Recipients = append(kept.Recipients, m.Recipients[r].Address.Email)
		}
		out.Envelopes = append(out.Envelopes, kept)
	}
	return json.Marshal(out)
}

// forgetScript forgets one stage of one message, if its state is as it was read.
//
//	KEYS 1 record, 2 body, 3 events, 4 attempts, 5 stub, 6 purge, 7 due, 8... indexes
//	ARGV 1 id, 2 state as read (empty: no record), 3 stage: content, record, stub
//	     or none, 4 when to look at it next (0: never), 5 stub (empty: none),
//	     6... members of due
//
// Returns 1, or 0 if the state changed meanwhile. Safe to run twice: it only
// removes; the second run of stage record finds the record gone, which is what it
// wanted.
const forgetScript = `
local stage, standing = ARGV[3], redis.call('HGET', KEYS[1], 's') or ''
if standing ~= ARGV[2] then
  if standing == '' and stage == 'record' then return 1 end
  return 0
end
if stage == 'content' then
  redis.call('DEL', KEYS[2])
elseif stage == 'record' then
  redis.call('DEL', KEYS[1], KEYS[2], KEYS[3], KEYS[4])
  for i = 8, #KEYS do redis.call('ZREM', KEYS[i], ARGV[1]) end
  for i = 6, #ARGV do redis.call('ZREM', KEYS[7], ARGV[i]) end
  if ARGV[5] ~= '' then redis.call('SET', KEYS[5], ARGV[5]) end
elseif stage == 'stub' then
  redis.call('DEL', KEYS[5])
end
if ARGV[4] == '0' then
  redis.call('ZREM', KEYS[6], ARGV[1])
else
  redis.call('ZADD', KEYS[6], ARGV[4], ARGV[1])
end
return 1
`

// Forget removes at most limit finished messages of a shard (or just their
// content, or their stub) whose retention is over, and the event stream's entries
// older than MetadataRetention; returns how many messages it touched. What was not
// yet followed is not forgotten. One that cannot be read is set aside and named in
// the error (ErrBroken).
func (m *Messages) Forget(ctx context.Context, w email.World, shard uint8, now time.Time, limit int) (int, error) {
	keys := keysOf(w, shard)
	ahead, err := unfollowed(ctx, m.rdb, keys)
	if err != nil {
		return 0, fmt.Errorf("read how far shard %d was followed: %w", shard, err)
	}
	oldest := strconv.FormatInt(toMS(now.Add(-m.options.MetadataRetention)), 10)
	if ahead != "" && ahead.ms() <= toMS(now.Add(-m.options.MetadataRetention)) {
		oldest = string(ahead)
	}
	if err := m.trim(ctx, keys, oldest); err != nil {
		return 0, fmt.Errorf("trim the events of shard %d: %w", shard, err)
	}
	if err := m.discardOld(ctx, keys, now, limit); err != nil {
		return 0, fmt.Errorf("forget of shard %d: %w", shard, err)
	}
	ids, err := m.rdb.ZRangeByScore(ctx, keys.purge(), &redis.ZRangeBy{
		Min: "-inf", Max: strconv.FormatInt(toMS(now), 10), Count: int64(limit),
	}).Result()
	if err != nil {
		return 0, fmt.Errorf("read the purge set of shard %d: %w", shard, err)
	}
	choose := chooser(func(msg *email.Message) (stage, error) { return m.stageOf(msg, now) }).followed(ahead, now)
	touched := 0
	var broken []error
	for _, id := range ids {
		ok, err := m.forget(ctx, w, keys, id, choose)
		switch {
		case errors.Is(err, ErrBroken):
			broken = append(broken, fmt.Errorf("set aside %s: %w", long(id), err))
			broken = append(broken, m.setAside(ctx, keys, keys.purge(), id, now))
		case err != nil:
			return touched, errors.Join(append(broken, fmt.Errorf("forget %s: %w", long(id), err))...)
		}
		if ok {
			touched++
		}
	}
	return touched, errors.Join(broken...)
}

// stage is one run of forgetScript.
type stage struct {
	name string
	next time.Time // zero: nothing is left
	stub []byte
}

// clocksApart is more than the clocks of Redis and of a worker may differ.
const clocksApart = time.Minute

// chooser says what of a message goes now.
type chooser func(*email.Message) (stage, error)

// followed keeps a record for another hour while its last events may not have been
// followed. ahead is the first event of the shard that was not, empty if all were.
func (choose chooser) followed(ahead Position, now time.Time) chooser {
	return func(msg *email.Message) (stage, error) {
		what, err := choose(msg)
		if err == nil && what.name == "record" && ahead != "" && toMS(msg.CompletedAt.Add(clocksApart)) >= ahead.ms() {
			what = stage{name: "none", next: now.Add(time.Hour)}
		}
		return what, err
	}
}

// forget runs the stage that choose names for a message; one whose record is gone
// leaves its stub behind.
func (m *Messages) forget(ctx context.Context, w email.World, keys shardKeys, id string, choose chooser) (bool, error) {
	fields, err := m.rdb.HGetAll(ctx, keys.record(id)).Result()
	if err != nil {
		return false, err
	}
	names := []string{
		keys.record(id), keys.body(id), keys.events(id), keys.attempts(id), keys.stub(id), keys.purge(), keys.due(),
	}
	what := stage{name: "stub"}
	var due []any
	if len(fields) > 0 {
		msg, err := decodeMessage(w, id, fields)
		if err != nil {
			return false, err
		}
		if what, err = choose(msg); err != nil {
			return false, err
		}
		names = append(append(names, keys.status(msg.Status())), keys.indexes(msg)...)
		for i := range msg.Envelopes {
			due = append(due, dueMember(id, i))
		}
	}
	args := append([]any{id, fields["s"], what.name, toMS(what.next), what.stub}, due...)
	done, err := m.scripts.forget.Run(ctx, m.rdb, names, args...).Int()
	return done == 1, err
}

// stageOf says what of a finished message is to be forgotten now.
func (m *Messages) stageOf(msg *email.Message, now time.Time) (stage, error) {
	if msg.CompletedAt.IsZero() {
		return stage{}, fmt.Errorf("%w: it is not finished", ErrBroken)
	}
	content := msg.CompletedAt.Add(m.options.ContentRetention)
	metadata := msg.CompletedAt.Add(m.options.MetadataRetention)
	last := msg.CompletedAt.Add(m.options.StubRetention)
	switch {
	case now.Before(content) && now.Before(metadata):
		next := content
		if metadata.Before(next) {
			next = metadata
		}
		return stage{name: "none", next: next}, nil
	case now.Before(metadata):
		return stage{name: "content", next: metadata}, nil
	case now.Before(last):
		kept, err := encodeStub(msg)
		return stage{name: "record", next: last, stub: kept}, err
	}
	return stage{name: "record"}, nil
}
