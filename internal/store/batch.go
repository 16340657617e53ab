package store

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"postrider/internal/email"
)

// Batches is the aggregate of messages that are taken together. They are staged
// first, where nobody sees them and nothing is sent, and one script then makes all of
// them messages, with their due entries, the answer and the Idempotency-Keys: before
// it there is nothing, after it everything. What is never committed goes after an hour.
type Batches struct {
	rdb      redis.UniversalClient
	messages *Messages
	answers  *Answers
	commit   *redis.Script
}

// stagedFor is how long a batch may take from its first message to its commit.
const stagedFor = time.Hour

// Batch is what is committed. All its messages are staged, and in the shard of its
// IdempotencyKey.
type Batch struct {
	World          email.World
	Shard          uint8
	Items          []*Submission // IdempotencyKey and Fingerprint are the item's own
	IdempotencyKey string        // of the whole; empty: none
	Fingerprint    [32]byte
	Answer         []byte // kept under IdempotencyKey
}

// KeyTaken is an item whose IdempotencyKey stands for another message by now.
type KeyTaken struct{ Item int }

func (e *KeyTaken) Error() string {
	return fmt.Sprintf("the idempotency key of item %d is taken", e.Item)
}

// ErrStageGone is a batch that was not committed in time.
var ErrStageGone = errors.New("a staged message is gone")

// commitScript makes staged messages messages.
//
//	KEYS 1 idempotency entry (the staged set if there is none), 2 staged, 3 stream,
//	     4 due, 5 purge; and of each message the keys that its id and its stage name
//	ARGV 1 idempotency value (empty: none), 2 TTL in ms of all idempotency entries,
//	     3 prefix of the shard's keys, then per message: id, its idempotency entry
//	     without the prefix (empty: none), its value
//
// Returns {'ok'}, {'standing', value} if another request has the key, {'taken', item},
// or {'gone'} if a message is not staged. Safe to run twice: the second run finds its
// own value, or without one its messages.
const commitScript = `
if ARGV[1] ~= '' then
  local standing = redis.call('GET', KEYS[1])
  if standing == ARGV[1] then return {'ok'} end
  if standing then return {'standing', standing} end
end
local prefix, made = ARGV[3], 0
for k = 4, #ARGV, 3 do
  if redis.call('EXISTS', prefix .. 'm:' .. ARGV[k]) == 1 then
    made = made + 1
  elseif redis.call('EXISTS', prefix .. 'p:' .. ARGV[k]) == 0 then
    return {'gone'}
  end
  if ARGV[k + 1] ~= '' then
    local standing = redis.call('GET', prefix .. ARGV[k + 1])
    if standing and standing ~= ARGV[k + 2] then return {'taken', (k - 4) / 3} end
  end
end
if made > 0 then return {'ok'} end

for k = 4, #ARGV, 3 do
  local id = ARGV[k]
  local stage = prefix .. 'p:' .. id
  local todo = cjson.decode(redis.call('HGET', stage, 'v'))
  redis.call('HDEL', stage, 'v')
  redis.call('RENAME', stage, prefix .. 'm:' .. id)
  for _, index in ipairs(todo.i) do redis.call('ZADD', prefix .. index, 0, id) end
  for position, event in ipairs(todo.e) do
    redis.call('RPUSH', prefix .. 'e:' .. id, event)
    redis.call('XADD', KEYS[3], '*', 'm', id, 'p', position - 1, 'c', todo.c[position])
  end
  local due = todo.d or {}
  for i = 1, #due, 2 do redis.call('ZADD', KEYS[4], due[i + 1], id .. ':' .. due[i]) end
  if todo.p then redis.call('ZADD', KEYS[5], todo.p, id) end
  if ARGV[k + 1] ~= '' then redis.call('SET', prefix .. ARGV[k + 1], ARGV[k + 2], 'PX', ARGV[2]) end
  redis.call('ZREM', KEYS[2], id)
end
if ARGV[1] ~= '' then redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2]) end
return {'ok'}
`

// stagedTodo is what the commit has to write for one message.
type stagedTodo struct {
	Indexes []string `json:"i"`
	Events  []string `json:"e"`
	Samples []string `json:"c"` // of each event, what it counts for
	Due     []string `json:"d,omitempty"`
	Purge   string   `json:"p,omitempty"`
}

// stageChunk bounds what is written in one round trip, in octets.
const stageChunk = 4 << 20

// Stage writes messages down where nobody sees them. It returns them as they will be
// read back. Errors: as Accept.
func (b *Batches) Stage(ctx context.Context, items []*Submission) ([]*email.Message, error) {
	if err := b.messages.room.admit(); err != nil {
		return nil, fmt.Errorf("stage a batch: %w", err)
	}
	out := make([]*email.Message, len(items))
	pipe, size := b.rdb.Pipeline(), 0
	for i, s := range items {
		if err := check(s, b.messages); err != nil {
			return nil, fmt.Errorf("stage %s: %w", s.Message.ID, err)
		}
		out[i] = firstState(s.Message)
		n, err := b.stage(ctx, pipe, out[i], s.Content)
		if err != nil {
			return nil, fmt.Errorf("stage %s: %w", s.Message.ID, err)
		}
		if size += n; size >= stageChunk || i == len(items)-1 {
			if _, err := pipe.Exec(ctx); err != nil {
				return nil, fmt.Errorf("stage a batch: %w", err)
			}
			size = 0
		}
	}
	return out, nil
}

// stage adds one message to a pipeline. The set comes first: what it does not name is
// not purged.
func (b *Batches) stage(ctx context.Context, pipe redis.Pipeliner, msg *email.Message, content *email.Content) (size int, err error) {
	keys, id, err := b.messages.locate(msg.World, msg.ID)
	if err != nil {
		return 0, err
	}
	p, err := b.messages.partsOf(msg, toMeta(msg), content)
	if err != nil {
		return 0, err
	}
	todo := stagedTodo{Events: p.events, Samples: p.samples, Due: p.due, Purge: p.purge}
	for _, name := range append(keys.indexes(msg), keys.status(msg.Status())) {
		todo.Indexes = append(todo.Indexes, strings.TrimPrefix(name, keys.prefix))
	}
	raw, err := json.Marshal(todo)
	if err != nil {
		return 0, err
	}
	pipe.ZAdd(ctx, keys.staged(), redis.Z{Score: float64(toMS(msg.CreatedAt)), Member: id})
	pipe.HSet(ctx, keys.stage(id), "m", p.meta, "s", p.state, "v", raw)
	if p.body != nil {
		pipe.Set(ctx, keys.body(id), p.body, 0)
	}
	return len(p.body) + len(p.meta) + len(raw), nil
}

// Replay looks the IdempotencyKey of a batch up: the answer kept under it, nil if there
// is none. Errors: ErrIdempotencyReused.
func (b *Batches) Replay(ctx context.Context, w email.World, key string, fingerprint [32]byte) ([]byte, error) {
	name := keysOf(w, b.messages.ShardFor(w, key)).idempotency(key)
	standing, err := b.rdb.Get(ctx, name).Result()
	if errors.Is(err, redis.Nil) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("look up an idempotency key: %w", err)
	}
	return b.answers.open(name, base64.RawURLEncoding.EncodeToString(fingerprint[:]), standing)
}

// Earlier is what the Idempotency-Key of an item stands for: a message, nothing, or that
// of another request (Reused).
type Earlier struct {
	Message *email.Message
	Reused  bool
}

// Earlier looks the Idempotency-Keys of items up, all at once; items may be nil.
func (b *Batches) Earlier(ctx context.Context, items []*Submission) ([]Earlier, error) {
	entries := make([]*redis.StringCmd, len(items))
	_, err := b.rdb.Pipelined(ctx, func(p redis.Pipeliner) error {
		for i, s := range items {
			if s != nil && s.IdempotencyKey != "" {
				w := s.Message.World
				entries[i] = p.Get(ctx, keysOf(w, b.messages.ShardFor(w, s.IdempotencyKey)).idempotency(s.IdempotencyKey))
			}
		}
		return nil
	})
	if err != nil && !errors.Is(err, redis.Nil) {
		return nil, fmt.Errorf("look up the idempotency keys of a batch: %w", err)
	}
	out := make([]Earlier, len(items))
	var ids []string
	var found []int
	for i, entry := range entries {
		if entry == nil || errors.Is(entry.Err(), redis.Nil) {
			continue
		}
		id, err := standsFor(entry.Val(), items[i].Fingerprint)
		switch {
		case errors.Is(err, ErrIdempotencyReused):
			out[i].Reused = true
		case err != nil:
			return nil, err
		default:
			ids, found = append(ids, id), append(found, i)
		}
	}
	if len(ids) == 0 {
		return out, nil
	}
	messages, err := b.messages.load(ctx, items[found[0]].Message.World, ids)
	if err != nil {
		return nil, fmt.Errorf("replay items of a batch: %w", err)
	}
	for k, msg := range messages {
		if msg == nil {
			return nil, fmt.Errorf("replay %s: %w", long(ids[k]), ErrBroken)
		}
		out[found[k]].Message = msg
	}
	return out, nil
}

// Commit makes a batch's staged messages messages, all at once. If its key was used for
// the same request meanwhile, nothing is made and the answer to that one is returned.
// Errors: ErrIdempotencyReused, *KeyTaken, ErrStageGone, and ErrUnavailable: then it may
// be committed nevertheless.
func (b *Batches) Commit(ctx context.Context, batch *Batch) (earlier []byte, err error) {
	keys := keysOf(batch.World, batch.Shard)
	name, value, print := keys.staged(), "", ""
	if batch.IdempotencyKey != "" {
		name, print = keys.idempotency(batch.IdempotencyKey), base64.RawURLEncoding.EncodeToString(batch.Fingerprint[:])
		if value, err = b.answers.sealed(name, print, batch.Answer); err != nil {
			return nil, err
		}
	}
	args := []any{value, b.messages.options.IdempotencyWindow.Milliseconds(), keys.prefix}
	for _, s := range batch.Items {
		entry, own := "", ""
		if s.IdempotencyKey != "" {
			entry = strings.TrimPrefix(keys.idempotency(s.IdempotencyKey), keys.prefix)
			own = base64.RawURLEncoding.EncodeToString(s.Fingerprint[:]) + " " + short(s.Message.ID)
		}
		args = append(args, short(s.Message.ID), entry, own)
	}
	names := []string{name, keys.staged(), keys.stream(), keys.due(), keys.purge()}
	answer, err := b.commit.Run(ctx, b.rdb, names, args...).Slice()
	if err != nil {
		return nil, fmt.Errorf("commit a batch: %w", err)
	}
	switch at(answer, 0) {
	case "ok":
		return nil, nil
	case "standing":
		standing, _ := at(answer, 1).(string)
		return b.answers.open(name, print, standing)
	case "taken":
		item, _ := at(answer, 1).(int64)
		return nil, &KeyTaken{Item: int(item)}
	}
	return nil, ErrStageGone
}

// discardScript removes a staged message.
//
//	KEYS 1 stage, 2 record, 3 body, 4 staged
//	ARGV 1 id
//
// Safe to run twice: it only removes, and nothing of one that was committed.
const discardScript = `
if redis.call('EXISTS', KEYS[2]) == 0 then redis.call('DEL', KEYS[1], KEYS[3]) end
return redis.call('ZREM', KEYS[4], ARGV[1])
`

// Discard removes staged messages that will not be committed.
func (b *Batches) Discard(ctx context.Context, items []*Submission) error {
	for _, s := range items {
		keys, id, err := b.messages.locate(s.Message.World, s.Message.ID)
		if err == nil {
			err = b.messages.discard(ctx, keys, id)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (m *Messages) discard(ctx context.Context, keys shardKeys, id string) error {
	err := m.scripts.discard.Run(ctx, m.rdb, []string{keys.stage(id), keys.record(id), keys.body(id), keys.staged()}, id).Err()
	if err != nil {
		return fmt.Errorf("discard the staged %s: %w", long(id), err)
	}
	return nil
}

// discardOld removes what was staged long ago, at most limit.
func (m *Messages) discardOld(ctx context.Context, keys shardKeys, now time.Time, limit int) error {
	ids, err := m.rdb.ZRangeByScore(ctx, keys.staged(), &redis.ZRangeBy{
		Min: "-inf", Max: strconv.FormatInt(toMS(now.Add(-stagedFor)), 10), Count: int64(limit),
	}).Result()
	if err != nil {
		return fmt.Errorf("read what is staged: %w", err)
	}
	for _, id := range ids {
		if err := m.discard(ctx, keys, id); err != nil {
			return err
		}
	}
	return nil
}
