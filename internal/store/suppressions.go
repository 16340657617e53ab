package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"postrider/internal/email"
)

// Suppressions is the aggregate of addresses that mail must not go to. One list of a
// world is the truth; each shard has a copy of what accept and begin ask of it
// (listed.go), which follows by a log of the changes: who makes a change copies it at
// once, so that the next message knows, and the follower makes sure (FollowOne...).
// Every change has a number, so that an old copy never stands over a new one.
type Suppressions struct {
	rdb                 redis.UniversalClient
	shards              int
	edit, early, follow *redis.Script
}

func newSuppressions(rdb redis.UniversalClient, o Options) *Suppressions {
	return &Suppressions{
		rdb: rdb, shards: o.Shards, edit: redis.NewScript(editSuppressionsScript),
		early: redis.NewScript(whenFull + earlySuppressionsScript), follow: redis.NewScript(whenFull + followSuppressionsScript),
	}
}

// storedSuppression is one entry of an address. The copies have no more than what
// decides: id, reason, domain, stream, expiry.
type storedSuppression struct {
	ID      string `json:"i"` // 26 characters
	Reason  string `json:"w"`
	Domain  string `json:"d,omitempty"`
	Stream  string `json:"t,omitempty"`
	Expires int64  `json:"x,omitempty"`
	Email   string `json:"a,omitempty"` // as given, if that is not the normalized form
	Note    string `json:"o,omitempty"`
	Message string `json:"m,omitempty"` // 26 characters
	Event   string `json:"v,omitempty"` // 26 characters
	Created int64  `json:"c,omitempty"`
}

type storedSuppressionEvent struct {
	ID          string            `json:"i"` // 26 characters
	Type        email.EventType   `json:"t"`
	At          int64             `json:"a"`
	Address     string            `json:"e"` // normalized
	Suppression storedSuppression `json:"s"`
}

// suppressionKeys names the keys of one world's list.
type suppressionKeys struct{ prefix string }

func suppressionsOf(w email.World) suppressionKeys { return suppressionKeys{string(w) + ":{sup}:"} }

func (k suppressionKeys) entries() string             { return k.prefix + "a" }
func (k suppressionKeys) counter() string             { return k.prefix + "n" }
func (k suppressionKeys) log() string                 { return k.prefix + "log" }
func (k suppressionKeys) expiries() string            { return k.prefix + "x" }
func (k suppressionKeys) stem() string                { return k.prefix + "ix:" }
func (k suppressionKeys) all() string                 { return k.stem() + "a" }
func (k suppressionKeys) reason(reason string) string { return k.stem() + "r:" + reason }
func (k suppressionKeys) stream(stream string) string { return k.stem() + "s:" + stream }

// editSuppressionsScript changes the entries of some addresses, each if it is still
// what was read.
//
//	KEYS 1 entries, 2 counter, 3 log, 4 expiries
//	ARGV 1 stem of the indexes, then per address: address, value as read (empty:
//	     none), new entries (empty: none), the same for the copies, the number of
//	     entries that are added or removed, each as 1 (added) or 0, id, reason, stream
//	     and expiry (0: never), and as many events
//
// Returns per address the number of the change, 0 if nothing was left to remove, or -1
// if another value stands there. Safe to run twice: the second run finds its own
// entries, whose ids nobody else has, or that what it removed is gone.
const editSuppressionsScript = `
local stem, at, answer = ARGV[1], 2, {}
while at <= #ARGV do
  local address, before, after, copy, count = ARGV[at], ARGV[at + 1], ARGV[at + 2], ARGV[at + 3], tonumber(ARGV[at + 4])
  local first = at + 5
  local events = first + 5 * count
  at = events + count
  local standing = redis.call('HGET', KEYS[1], address) or ''
  local number, entries = string.match(standing, '^(%d+) (.*)$')
  if standing ~= '' and entries == after then
    answer[#answer + 1] = tonumber(number)
  elseif standing == '' and after == '' then
    answer[#answer + 1] = 0
  elseif standing ~= before then
    answer[#answer + 1] = -1
  else
    local n = redis.call('INCR', KEYS[2])
    if after == '' then
      redis.call('HDEL', KEYS[1], address)
    else
      redis.call('HSET', KEYS[1], address, string.format('%d ', n) .. after)
    end
    local entry = {KEYS[3], string.format('%d-0', n), 'a', address, 'c', copy}
    for i = 0, count - 1 do
      local a = first + 5 * i
      local member = ARGV[a + 1] .. ' ' .. address
      local indexes = {stem .. 'a', stem .. 'r:' .. ARGV[a + 2]}
      if ARGV[a + 3] ~= '' then indexes[3] = stem .. 's:' .. ARGV[a + 3] end
      for _, index in ipairs(indexes) do
        if ARGV[a] == '1' then redis.call('ZADD', index, 0, member) else redis.call('ZREM', index, member) end
      end
      redis.call('ZREM', KEYS[4], member)
      if ARGV[a] == '1' and ARGV[a + 4] ~= '0' then redis.call('ZADD', KEYS[4], ARGV[a + 4], member) end
      entry[#entry + 1] = 'e' .. i
      entry[#entry + 1] = ARGV[events + i]
    end
    redis.call('XADD', unpack(entry))
    answer[#answer + 1] = n
  end
end
return answer
`

// edit is what one call wants to make of the entries of one address.
type edit struct {
	address string // normalized
	raw     string // as read
	before  []email.Suppression
	after   []email.Suppression
	changed []suppressionChange
	number  int64 // of the change, once it is made
}

type suppressionChange struct {
	added bool
	entry email.Suppression
}

// decide looks at the entries of an address and says what they are to be.
type decide func(e *edit)

// add makes an entry of it, unless it is there.
func (e *edit) add(s email.Suppression) {
	e.after = append(e.after, s)
	e.changed = append(e.changed, suppressionChange{true, s})
}

// remove takes out the entries that match.
func (e *edit) remove(match func(*email.Suppression) bool) {
	var kept []email.Suppression
	for _, s := range e.after {
		if match(&s) {
			e.changed = append(e.changed, suppressionChange{false, s})
		} else {
			kept = append(kept, s)
		}
	}
	e.after = kept
}

// maxEntries bounds the entries of one address.
const maxEntries = 100

// editAll changes the entries of addresses, again and again where others came between,
// and copies what changed to every shard.
func (s *Suppressions) editAll(ctx context.Context, w email.World, wanted map[string]decide, now time.Time) (map[string]*edit, error) {
	done := make(map[string]*edit, len(wanted))
	for range updateTries {
		edits, err := s.read(ctx, w, missing(wanted, done))
		if err != nil {
			return done, err
		}
		var changed []*edit
		for _, e := range edits {
			if wanted[e.address](e); len(e.changed) > 0 {
				changed = append(changed, e)
			} else {
				done[e.address] = e
			}
		}
		if err := s.write(ctx, w, changed, now); err != nil {
			return done, err
		}
		var made []*edit
		for _, e := range changed {
			if e.number >= 0 {
				done[e.address] = e
			}
			if e.number > 0 {
				made = append(made, e)
			}
		}
		s.copyEarly(ctx, w, made)
		if len(done) == len(wanted) {
			return done, nil
		}
	}
	return done, errors.New("change suppressions: others kept changing them")
}

func missing(wanted map[string]decide, done map[string]*edit) []string {
	var list []string
	for address := range wanted {
		if done[address] == nil {
			list = append(list, address)
		}
	}
	return list
}

// read reads the entries of addresses.
func (s *Suppressions) read(ctx context.Context, w email.World, addresses []string) ([]*edit, error) {
	if len(addresses) == 0 {
		return nil, nil
	}
	values, err := s.rdb.HMGet(ctx, suppressionsOf(w).entries(), addresses...).Result()
	if err != nil {
		return nil, fmt.Errorf("read suppressions: %w", err)
	}
	edits := make([]*edit, len(addresses))
	for i, address := range addresses {
		e := &edit{address: address}
		e.raw, _ = values[i].(string)
		if e.before, err = decodeSuppressions(w, address, e.raw); err != nil {
			return nil, err
		}
		e.after = append(e.after, e.before...)
		edits[i] = e
	}
	return edits, nil
}

// editBatch bounds what one script changes.
const editBatch = 100

func (s *Suppressions) write(ctx context.Context, w email.World, edits []*edit, now time.Time) error {
	keys := suppressionsOf(w)
	names := []string{keys.entries(), keys.counter(), keys.log(), keys.expiries()}
	for len(edits) > 0 {
		n := min(len(edits), editBatch)
		args := []any{keys.stem()}
		for _, e := range edits[:n] {
			more, err := e.args(now)
			if err != nil {
				return fmt.Errorf("change suppressions: %w", err)
			}
			args = append(args, more...)
		}
		numbers, err := s.edit.Run(ctx, s.rdb, names, args...).Int64Slice()
		if err != nil {
			return fmt.Errorf("change suppressions: %w", err)
		}
		for i, e := range edits[:n] {
			e.number = numbers[i]
		}
		edits = edits[n:]
	}
	return nil
}

func (e *edit) args(now time.Time) ([]any, error) {
	after, err := encodeSuppressions(e.after, toSuppression)
	if err != nil {
		return nil, err
	}
	copied, err := encodeSuppressions(e.after, toListed)
	if err != nil {
		return nil, err
	}
	args := []any{e.address, e.raw, after, copied, len(e.changed)}
	for _, c := range e.changed {
		args = append(args, c.added, bare(c.entry.ID), c.entry.Reason, c.entry.Stream, toMS(c.entry.ExpiresAt))
	}
	for _, c := range e.changed {
		v := storedSuppressionEvent{
			ID: bare(email.NewID(email.EventPrefix)), Type: email.SuppressionDeleted, At: toMS(now),
			Address: e.address, Suppression: toSuppression(&c.entry),
		}
		if c.added {
			v.Type = email.SuppressionCreated
		}
		raw, err := json.Marshal(v)
		if err != nil {
			return nil, err
		}
		args = append(args, raw)
	}
	return args, nil
}

func toSuppression(s *email.Suppression) storedSuppression {
	v := toListed(s)
	v.Note, v.Message, v.Event, v.Created = s.Note, short(s.SourceMessage), bare(s.SourceEvent), toMS(s.CreatedAt)
	if s.Email != (email.Address{Email: s.Email}).Normalized() {
		v.Email = s.Email
	}
	return v
}

// toListed is what the shards' copies hold.
func toListed(s *email.Suppression) storedSuppression {
	return storedSuppression{ID: bare(s.ID), Reason: s.Reason, Domain: s.Domain, Stream: s.Stream, Expires: toMS(s.ExpiresAt)}
}

func (v *storedSuppression) decode(w email.World, address string) email.Suppression {
	s := email.Suppression{
		ID: email.SuppressionPrefix + "_" + v.ID, World: w, Email: v.Email, Reason: v.Reason, Domain: v.Domain, Stream: v.Stream,
		Note: v.Note, ExpiresAt: fromMS(v.Expires), CreatedAt: fromMS(v.Created),
	}
	if s.Email == "" {
		s.Email = address
	}
	if v.Message != "" {
		s.SourceMessage = long(v.Message)
	}
	if v.Event != "" {
		s.SourceEvent = email.EventPrefix + "_" + v.Event
	}
	return s
}

// encodeSuppressions is empty for no entries.
func encodeSuppressions(list []email.Suppression, to func(*email.Suppression) storedSuppression) (string, error) {
	if len(list) == 0 {
		return "", nil
	}
	out := make([]storedSuppression, len(list))
	for i := range list {
		out[i] = to(&list[i])
	}
	raw, err := json.Marshal(out)
	return string(raw), err
}

// decodeSuppressions reads "<number> <entries>", as both the list and its copies have it.
func decodeSuppressions(w email.World, address, raw string) ([]email.Suppression, error) {
	_, entries, _ := strings.Cut(raw, " ")
	if entries == "" {
		return nil, nil
	}
	var stored []storedSuppression
	if err := json.Unmarshal([]byte(entries), &stored); err != nil {
		return nil, fmt.Errorf("decode suppressions: %w: %w", ErrBroken, err)
	}
	out := make([]email.Suppression, len(stored))
	for i := range stored {
		out[i] = stored[i].decode(w, address)
		if _, err := email.ParseID(email.SuppressionPrefix, out[i].ID); err != nil {
			return nil, fmt.Errorf("decode suppressions: %w: an id", ErrBroken)
		}
	}
	return out, nil
}

// number is that of the change which made a stored value, 0 if there is none.
func number(raw string) int64 {
	text, _, _ := strings.Cut(raw, " ")
	n, _ := strconv.ParseInt(text, 10, 64)
	return n
}
