package store

import (
	"cmp"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"postrider/internal/email"
)

// Submission is one message ready to be kept.
type Submission struct {
	// Message is complete: recipients with their first states, envelopes with
	// reverse-paths. An envelope without NextAt is due when the message is.
	Message *email.Message
	Content *email.Content
	// Composed is the mail made of both, before signing, if it is at hand: a delivery by
	// this same process need not compose it again.
	Composed       []byte
	IdempotencyKey string // empty: none
	// Fingerprint tells requests under one IdempotencyKey apart.
	Fingerprint [32]byte
	// Listed is what the caller knew of the suppressions of the recipients when it gave
	// them their first states.
	Listed Listed
}

// acceptScript keeps a message unless its Idempotency-Key or id is there already.
//
//	KEYS 1 idempotency entry (the record if there is none), 2 record, 3 body,
//	     4 events, 5 stream, 6 due, 7 purge, 8 copy of the suppressions, 9... indexes
//	ARGV 1 id, 2 idempotency value (empty: none), 3 its TTL in ms, 4 meta, 5 state,
//	     6 body (empty: none is kept), 7 purge score (empty: not finished), 8 number of due entries,
//	     then each as envelope and score, then the number of recipients, their
//	     normalized addresses, what was known of each one's suppressions, then of
//	     each recipient its event, and what this counts for
//
// Returns {the idempotency value that stands now (empty without one)}, or {empty, what
// is known of each recipient's suppressions} if that is something else. Safe to run
// twice: with a key the second run finds its own value, without one its own id.
const acceptScript = `
local id, value = ARGV[1], ARGV[2]
if value ~= '' then
  local standing = redis.call('GET', KEYS[1])
  if standing then return {standing} end
end
if redis.call('EXISTS', KEYS[2]) == 1 then return {value} end

local first = 9 + 2 * tonumber(ARGV[8])
local count = tonumber(ARGV[first])
local listed = redis.call('HMGET', KEYS[8], unpack(ARGV, first + 1, first + count))
for i = 1, count do
  if (listed[i] or '') ~= ARGV[first + count + i] then return {'', listed} end
end

redis.call('HSET', KEYS[2], 'm', ARGV[4], 's', ARGV[5])
if ARGV[6] ~= '' then redis.call('SET', KEYS[3], ARGV[6]) end
if ARGV[7] ~= '' then redis.call('ZADD', KEYS[7], ARGV[7], id) end
local at = 9
for _ = 1, tonumber(ARGV[8]) do
  redis.call('ZADD', KEYS[6], ARGV[at + 1], id .. ':' .. ARGV[at])
  at = at + 2
end
at = first + 2 * count + 1
for position = 0, count - 1 do
  redis.call('RPUSH', KEYS[4], ARGV[at + 2 * position])
  redis.call('XADD', KEYS[5], '*', 'm', id, 'p', position, 'c', ARGV[at + 2 * position + 1])
end
for i = 9, #KEYS do redis.call('ZADD', KEYS[i], 0, id) end
if value ~= '' then redis.call('SET', KEYS[1], value, 'PX', ARGV[3]) end
return {value}
`

// When the sweeper looks at an envelope whose job should be running or waiting,
// sooner if that job is to mend what was lost: it must not be lost as well; and how
// long before its time it makes the job of one that waits longer.
const (
	lookAfter = 25 * time.Second
	lookSoon  = 5 * time.Second
	wakeAhead = 2 * time.Minute
)

// dueScore is when to look at an envelope again that is to be tried at next. Up
// to two minutes ahead the caller adds the job itself, and the sweeper looks
// whether it did; beyond that the sweeper makes the job.
func dueScore(next, now time.Time) int64 { return dueAfter(next, now, lookAfter) }

// dueAfter is dueScore with another time to look whether the caller added the job.
func dueAfter(next, now time.Time, after time.Duration) int64 {
	switch ahead := next.Sub(now); {
	case ahead > wakeAhead:
		return toMS(next.Add(-wakeAhead))
	case ahead > 0:
		return toMS(next.Add(after))
	}
	return toMS(now.Add(after))
}

// ShardFor picks the shard of new mail: by world and Idempotency-Key, or random
// without one.
func (m *Messages) ShardFor(w email.World, idempotencyKey string) uint8 {
	if idempotencyKey == "" {
		return uint8(rand.IntN(m.options.Shards))
	}
	h := fnv.New64a()
	h.Write([]byte(string(w) + "\x00" + idempotencyKey))
	return uint8(h.Sum64() % uint64(m.options.Shards))
}

// Replay looks an Idempotency-Key up: the message accepted under it (its states
// of now, with AtAccept as answered then), nil if there is none,
// ErrIdempotencyReused if the fingerprint differs.
func (m *Messages) Replay(ctx context.Context, w email.World, key string, fingerprint [32]byte) (*email.Message, error) {
	if key == "" {
		return nil, nil
	}
	value, err := m.rdb.Get(ctx, keysOf(w, m.ShardFor(w, key)).idempotency(key)).Result()
	if errors.Is(err, redis.Nil) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("look up an idempotency key: %w", err)
	}
	return m.replay(ctx, w, value, fingerprint)
}

func (m *Messages) replay(ctx context.Context, w email.World, value string, fingerprint [32]byte) (*email.Message, error) {
	id, err := standsFor(value, fingerprint)
	if err != nil {
		return nil, err
	}
	msg, err := m.Get(ctx, w, long(id))
	if err != nil {
		return nil, fmt.Errorf("replay %s: %w", long(id), err)
	}
	return msg, nil
}

// standsFor is the message that an idempotency entry names. Errors: ErrIdempotencyReused.
func standsFor(entry string, fingerprint [32]byte) (id string, err error) {
	print, id, ok := strings.Cut(entry, " ")
	if ok && print != base64.RawURLEncoding.EncodeToString(fingerprint[:]) {
		return "", ErrIdempotencyReused
	}
	if !ok || !isShort(id) {
		return "", fmt.Errorf("replay: %w: an idempotency entry", ErrBroken)
	}
	return id, nil
}

// Accept keeps a message in one script: idempotency, record, body, first events,
// indexes, due entries. It returns the stored message, and whether an earlier one
// of the same Idempotency-Key was replayed instead. Errors: ErrIdempotencyReused,
// ErrFull while there is no room for new mail, and ErrUnavailable: then it may be
// kept nevertheless, which only a repetition with the same Idempotency-Key tells;
// *ListChanged if its recipients were judged by other suppressions than the shard's.
func (m *Messages) Accept(ctx context.Context, s *Submission) (msg *email.Message, replayed bool, err error) {
	if err := check(s, m); err != nil {
		return nil, false, fmt.Errorf("accept %s: %w", s.Message.ID, err)
	}
	if err := m.room.admit(); err != nil {
		return nil, false, fmt.Errorf("accept %s: %w", s.Message.ID, err)
	}
	msg = firstState(s.Message)
	keys, id, err := m.locate(msg.World, msg.ID)
	if err != nil {
		return nil, false, fmt.Errorf("accept %s: %w", s.Message.ID, err)
	}
	value, idem := "", keys.record(id)
	if s.IdempotencyKey != "" {
		value = base64.RawURLEncoding.EncodeToString(s.Fingerprint[:]) + " " + id
		idem = keys.idempotency(s.IdempotencyKey)
	}
	fixed := toMeta(msg)
	p, err := m.partsOf(msg, fixed, s.Content)
	if err != nil {
		return nil, false, fmt.Errorf("accept %s: %w", msg.ID, err)
	}
	args := m.acceptArgs(msg, s, &p, id, value)
	names := []string{
		idem, keys.record(id), keys.body(id), keys.events(id), keys.stream(), keys.due(), keys.purge(),
		keys.listed(), keys.status(msg.Status()),
	}
	names = append(names, keys.indexes(msg)...)
	answer, err := m.scripts.accept.Run(ctx, m.rdb, names, args...).Slice()
	if err != nil {
		return nil, false, fmt.Errorf("accept %s: %w", msg.ID, err)
	}
	if listed, ok := at(answer, 1).([]any); ok {
		return nil, false, fmt.Errorf("accept %s: %w", msg.ID, listChanged(msg, listed))
	}
	standing, _ := at(answer, 0).(string)
	if standing == value {
		m.handoff.put(msg, fixed, len(p.meta), s.Composed, time.Now())
		return msg, false, nil
	}
	earlier, err := m.replay(ctx, msg.World, standing, s.Fingerprint)
	return earlier, err == nil, err
}

// listChanged says what the shard knows of the suppressions of a message's recipients.
func listChanged(msg *email.Message, listed []any) *ListChanged {
	changed := &ListChanged{Listed{}}
	for i, r := range msg.Recipients {
		if raw, _ := at(listed, i).(string); raw != "" {
			changed.Listed[r.Address.Normalized()] = raw
		}
	}
	return changed
}

// parts are what is written down of a new message.
type parts struct {
	meta, state, body []byte   // no body: none is kept
	purge             string   // score; empty: it is not finished
	due               []string // each entry as envelope and score
	events            []string
	samples           []string // what each event adds to the statistics
}

func (m *Messages) partsOf(msg *email.Message, fixed *meta, content *email.Content) (p parts, err error) {
	if p.meta, err = json.Marshal(fixed); err != nil {
		return p, err
	}
	if p.state, err = encodeState(msg); err != nil {
		return p, err
	}
	if !msg.CompletedAt.IsZero() {
		p.purge = strconv.FormatInt(m.purgeScore(msg.CompletedAt), 10)
	}
	if p.purge == "" || !msg.DropContent {
		if p.body, err = m.packer.packContent(content); err != nil {
			return p, err
		}
	}
	for i, e := range msg.Envelopes {
		if e.State.Phase == email.Waiting {
			p.due = append(p.due, strconv.Itoa(i), strconv.FormatInt(dueScore(e.State.NextAt, msg.CreatedAt), 10))
		}
	}
	for i, r := range msg.Recipients {
		raw, err := json.Marshal(event{
			ID: eventBase(), At: toMS(msg.CreatedAt), Recipient: i, Status: r.State.Status, Seq: r.State.Seq,
			Next: toMS(r.State.NextAttemptAt), Reason: r.State.Reason,
		})
		if err != nil {
			return p, err
		}
		p.events = append(p.events, string(raw))
		raw, err = json.Marshal(storedSample{At: toMS(msg.CreatedAt), Status: r.State.Status, sampleTail: tailOf(msg, nil)})
		if err != nil {
			return p, err
		}
		p.samples = append(p.samples, string(raw))
	}
	return p, nil
}

func (m *Messages) acceptArgs(msg *email.Message, s *Submission, p *parts, id, value string) []any {
	args := []any{id, value, m.options.IdempotencyWindow.Milliseconds(), p.meta, p.state, p.body, p.purge, len(p.due) / 2}
	for _, word := range p.due {
		args = append(args, word)
	}
	args = append(args, len(msg.Recipients))
	for _, r := range msg.Recipients {
		args = append(args, r.Address.Normalized())
	}
	for _, r := range msg.Recipients {
		args = append(args, s.Listed[r.Address.Normalized()])
	}
	for i, event := range p.events {
		args = append(args, event, p.samples[i])
	}
	return args
}

// purgeScore is when upkeep looks first at a message that completed then.
func (m *Messages) purgeScore(completed time.Time) int64 {
	return toMS(completed.Add(min(m.options.ContentRetention, m.options.MetadataRetention)))
}

// firstState is the message as it will be read back: times in milliseconds, and
// what follows from the rest filled in. The caller's message stays as it is.
func firstState(in *email.Message) *email.Message {
	m := *in
	for _, t := range []*time.Time{&m.CreatedAt, &m.ScheduledAt, &m.ExpiresAt} {
		*t = fromMS(toMS(*t))
	}
	m.Stream, m.Class = cmp.Or(m.Stream, defaultStream), cmp.Or(m.Class, defaultClass)
	m.FirstScheduledAt, m.FirstExpiresAt = m.ScheduledAt, m.ExpiresAt
	if m.MessageID == "" {
		m.MessageID = impliedMessageID(&m)
	}
	m.CompletedAt = m.CreatedAt
	m.Recipients = slices.Clone(in.Recipients)
	for i := range m.Recipients {
		s := &m.Recipients[i].State
		s.Seq, s.AtAccept = 1, s.Status
		s.NextAttemptAt = fromMS(toMS(s.NextAttemptAt))
		if !s.Status.Final() {
			m.CompletedAt = time.Time{}
		}
	}
	m.Envelopes = slices.Clone(in.Envelopes)
	for i := range m.Envelopes {
		s := &m.Envelopes[i].State
		if s.Phase == "" {
			s.Phase = email.Waiting
		}
		if s.NextAt = fromMS(toMS(s.NextAt)); s.NextAt.IsZero() {
			s.NextAt = m.Due()
		}
	}
	return &m
}

// maxRecipients keeps one script's run within the 1,024 event ids it can make.
const maxRecipients = 1000

// check refuses what would make a record that cannot be read or delivered.
func check(s *Submission, m *Messages) error {
	msg := s.Message
	shard, err := email.Shard(msg.ID)
	switch {
	case err != nil:
		return err
	case msg.World != email.Live && msg.World != email.Test:
		return errors.New("it has no world")
	case int(shard) >= m.options.Shards:
		return errors.New("its shard does not exist")
	case s.IdempotencyKey != "" && shard != m.ShardFor(msg.World, s.IdempotencyKey):
		return errors.New("its shard is not its idempotency key's")
	case s.Content == nil || len(msg.Recipients) == 0 || msg.CreatedAt.IsZero() || msg.ExpiresAt.IsZero():
		return errors.New("it is not complete")
	case len(msg.Recipients) > maxRecipients:
		return errors.New("it has too many recipients")
	}
	members := make([][]int, len(msg.Envelopes))
	for i, r := range msg.Recipients {
		first := r.State.Status == email.Queued || r.State.Status == email.Scheduled
		inside := r.Envelope >= 0 && r.Envelope < len(msg.Envelopes)
		if !(first && inside) && !(r.State.Status == email.Suppressed && r.Envelope == -1) {
			return fmt.Errorf("recipient %d has no first state or no envelope", i)
		}
		if inside {
			members[r.Envelope] = append(members[r.Envelope], i)
		}
	}
	for i, e := range msg.Envelopes {
		if len(members[i]) == 0 || !slices.Equal(members[i], e.Recipients) {
			return fmt.Errorf("envelope %d disagrees with its recipients", i)
		}
	}
	return nil
}
