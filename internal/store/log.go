package store

import (
	"cmp"
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

// ErrGap says that what follows a place in the log is no longer known: its events
// were forgotten, or Redis is not the one it was.
var ErrGap = errors.New("the log does not reach back to there")

// Log is the events of all messages, and of the suppressions, in the order in which they
// were written: what the shards' streams hold, read from a place that the reader keeps.
type Log struct {
	store *Store
	rdb   redis.UniversalClient
}

// LogPlace is a place in the log: whoever reads on from one misses nothing, and
// nothing comes twice. Order holds within a shard.
type LogPlace struct {
	Epoch string
	At    []Position // by shard: the last entry that was read; empty: none
}

// LogFilter selects events; zero members select all. All given must hold.
type LogFilter struct {
	Type         email.EventType // or a group such as message.*
	Message      string          // id; what a message did to the suppressions is not its event
	Recipient    string          // a whole address, also of a suppression; case does not matter
	CreatedAfter time.Time
}

// Occurrence is an event and its message, or an event of a suppression.
type Occurrence struct {
	Message     *email.Message
	Event       email.Event
	Suppression *email.SuppressionEvent // nil: it is a message's
}

// occurrence is what an entry tells of; false if that is gone or cannot be read.
func occurrence(e StreamEntry, happened map[string]*Happened) (Occurrence, bool) {
	if e.Suppression != nil {
		return Occurrence{Suppression: e.Suppression}, true
	}
	h := happened[e.Message]
	event, ok := h.Event(e.Index)
	if !ok {
		return Occurrence{}, false
	}
	return Occurrence{Message: h.Message, Event: event}, true
}

func (o *Occurrence) id() string {
	if o.Suppression != nil {
		return o.Suppression.ID
	}
	return o.Event.ID
}

// LogPage is a part of the log. Next is where to go on, now or later; More says
// that there is something behind it already.
type LogPage struct {
	Found []Occurrence
	Next  LogPlace
	More  bool
}

// logChunk is how many entries of a shard are read at a time.
const logChunk = 200

// Start is the place before the first event that happened after a time; a zero time:
// before the first of all.
func (l *Log) Start(ctx context.Context, created time.Time) (LogPlace, error) {
	epoch, err := l.epoch(ctx)
	if err != nil {
		return LogPlace{}, fmt.Errorf("read the log: %w", err)
	}
	place := LogPlace{Epoch: epoch, At: make([]Position, l.store.options.Shards)}
	if !created.IsZero() {
		for i := range place.At {
			// The stream has the clock of Redis, the event that of a worker.
			place.At[i] = Position(fmt.Sprintf("%d-0", max(toMS(created.Add(-clocksApart)), 0)))
		}
	}
	return place, nil
}

// epoch names what Redis holds, until it holds something else.
func (l *Log) epoch(ctx context.Context) (string, error) {
	if l.store.options.InProcess {
		return l.store.instance, nil
	}
	e, err := l.store.epoch(ctx)
	if err == nil && e == nil {
		e, err = l.store.claimEpoch(ctx)
	}
	if err != nil {
		return "", err
	}
	return e.ID, nil
}

// Read gives the events behind a place, oldest first, at most limit. One call looks at
// about 1,000: where few match it may give none, and More. What cannot be read or was
// forgotten with its message is left out. Errors: ErrGap; ErrCursor if place is none.
func (l *Log) Read(ctx context.Context, w email.World, f LogFilter, place LogPlace, limit int) (*LogPage, error) {
	epoch, err := l.epoch(ctx)
	if err != nil {
		return nil, fmt.Errorf("read the log: %w", err)
	}
	switch {
	case place.Epoch != epoch:
		return nil, ErrGap
	case len(place.At) == 0 || len(place.At) > l.store.options.Shards || limit < 1:
		return nil, ErrCursor
	}
	// Shards that came later are read from their beginning.
	page := &LogPage{Next: LogPlace{Epoch: epoch, At: make([]Position, l.store.options.Shards)}}
	copy(page.Next.At, place.At)
	for looked := 0; looked < maxLooked; {
		entries, more, err := l.entries(ctx, w, page.Next.At)
		if err != nil {
			return nil, fmt.Errorf("read the log: %w", err)
		}
		looked += len(entries)
		full, err := l.take(ctx, w, f, page, entries, limit)
		if err != nil {
			return nil, fmt.Errorf("read the log: %w", err)
		}
		if page.More = full || more; full || !more {
			break
		}
	}
	return page, nil
}

// shardEntry is an entry of a shard's stream.
type shardEntry struct {
	StreamEntry
	shard int
}

// entries are the next ones of all shards behind these places, in the order of their
// time; more says whether there are others behind them.
func (l *Log) entries(ctx context.Context, w email.World, places []Position) (list []shardEntry, more bool, err error) {
	chunks := make([]*redis.XMessageSliceCmd, len(places))
	trimmed := make([]*redis.StringCmd, len(places))
	if _, err := l.rdb.Pipelined(ctx, func(p redis.Pipeliner) error {
		for i, at := range places {
			keys := keysOf(w, uint8(i))
			// In this order: what is trimmed between the two is noticed.
			chunks[i] = p.XRangeN(ctx, keys.stream(), after(at), "+", logChunk)
			trimmed[i] = p.Get(ctx, keys.trimmed())
		}
		return nil
	}); err != nil && !errors.Is(err, redis.Nil) {
		return nil, false, err
	}
	for i, chunk := range chunks {
		if places[i] != "" && before(string(places[i]), trimmed[i].Val()) {
			return nil, false, ErrGap
		}
		for _, x := range chunk.Val() {
			entry, _ := decodeStreamEntry(w, x) // what tells of nothing is passed over by take
			list = append(list, shardEntry{entry, i})
		}
		more = more || len(chunk.Val()) == logChunk
	}
	slices.SortStableFunc(list, func(a, b shardEntry) int {
		switch {
		case before(string(a.At), string(b.At)):
			return -1
		case before(string(b.At), string(a.At)):
			return 1
		}
		return cmp.Compare(a.shard, b.shard)
	})
	if len(list) > logChunk {
		// Every shard gave its next ones, so the next of all are among them.
		list, more = list[:logChunk], true
	}
	return list, more, nil
}

// take adds what f selects of some entries to a page and moves its place behind them,
// or behind the last that found room: then it is full.
func (l *Log) take(ctx context.Context, w email.World, f LogFilter, page *LogPage, entries []shardEntry, limit int) (full bool, err error) {
	var wanted []StreamEntry
	for _, e := range entries {
		if e.Message != "" && (f.Message == "" || e.Message == f.Message) {
			wanted = append(wanted, e.StreamEntry)
		}
	}
	happened, broken, err := l.store.Deliveries.Happened(ctx, w, wanted)
	if err != nil {
		return false, err
	}
	for _, err := range broken {
		l.store.options.Log.ErrorContext(ctx, "an event cannot be read and is left out of the log", "error", err)
	}
	for _, e := range entries {
		if o, ok := occurrence(e.StreamEntry, happened); ok && f.match(&o) {
			if len(page.Found) == limit {
				return true, nil
			}
			page.Found = append(page.Found, o)
		}
		page.Next.At[e.shard] = e.At
	}
	return false, nil
}

func (f LogFilter) match(o *Occurrence) bool {
	kind, at, message, recipient := o.Event.Type, o.Event.At, "", ""
	if e := o.Suppression; e != nil {
		kind, at, recipient = e.Type, e.At, e.Suppression.Email
	} else {
		message, recipient = o.Message.ID, o.Message.Recipients[o.Event.Recipient].Address.Email
	}
	group, ofGroup := strings.CutSuffix(string(f.Type), "*")
	typed := f.Type == "" || f.Type == kind || ofGroup && strings.HasPrefix(string(kind), group)
	return typed && (f.Message == "" || f.Message == message) &&
		(f.CreatedAfter.IsZero() || at.After(f.CreatedAfter)) && (f.Recipient == "" || strings.EqualFold(f.Recipient, recipient))
}

// Find reads one event by its id. An id tells when it was made; its entry was written
// a moment later, as a rule: so the search begins there, and covers what clocks may
// differ. ErrNotFound if there is none, or it was forgotten.
func (l *Log) Find(ctx context.Context, w email.World, id string) (*Occurrence, error) {
	parsed, err := email.ParseID(email.EventPrefix, id)
	if err != nil {
		return nil, ErrNotFound
	}
	made := email.IDTime(parsed)
	for _, part := range [][2]time.Time{
		{made.Add(-50 * time.Millisecond), made.Add(clocksApart)}, {made.Add(-clocksApart), made.Add(-50 * time.Millisecond)},
	} {
		for shard := range l.store.options.Shards {
			found, err := l.find(ctx, w, uint8(shard), id, part)
			if err != nil || found != nil {
				return found, err
			}
		}
	}
	return l.findLate(ctx, w, id, made.Add(clocksApart))
}

// find looks for an event among the entries of one shard between two times.
func (l *Log) find(ctx context.Context, w email.World, shard uint8, id string, between [2]time.Time) (*Occurrence, error) {
	stream := keysOf(w, shard).stream()
	from, to := streamTime(between[0]), streamTime(between[1])
	for {
		chunk, err := l.rdb.XRangeN(ctx, stream, from, to, logChunk).Result()
		if err != nil {
			return nil, fmt.Errorf("find event %s: %w", id, err)
		}
		var entries []StreamEntry
		for _, x := range chunk {
			if e, err := decodeStreamEntry(w, x); err == nil {
				entries = append(entries, e)
			}
		}
		found, err := l.among(ctx, w, shard, id, entries)
		if err != nil || found != nil {
			return found, err
		}
		if len(chunk) < logChunk {
			return nil, nil
		}
		from = after(Position(chunk[len(chunk)-1].ID))
	}
}

// among looks for an event among some entries. Of the messages it reads their events
// alone, and the one message whose event it is.
func (l *Log) among(ctx context.Context, w email.World, shard uint8, id string, entries []StreamEntry) (*Occurrence, error) {
	keys := keysOf(w, shard)
	told := make([]*redis.StringCmd, len(entries))
	if _, err := l.rdb.Pipelined(ctx, func(p redis.Pipeliner) error {
		for i, e := range entries {
			if e.Message != "" {
				told[i] = p.LIndex(ctx, keys.events(short(e.Message)), int64(e.Index))
			}
		}
		return nil
	}); err != nil && !errors.Is(err, redis.Nil) {
		return nil, fmt.Errorf("find event %s: %w", id, err)
	}
	for i, e := range entries {
		if e.Suppression != nil {
			if e.Suppression.ID == id {
				return &Occurrence{Suppression: e.Suppression}, nil
			}
			continue
		}
		if told[i] == nil {
			continue
		}
		if event, err := decodeEvent(told[i].Val()); err != nil || event.ID != id {
			continue
		}
		happened, _, err := l.store.Deliveries.Happened(ctx, w, entries[i:i+1])
		if err != nil {
			return nil, fmt.Errorf("find event %s: %w", id, err)
		}
		if o, ok := occurrence(e, happened); ok && o.id() == id {
			return &o, nil
		}
	}
	return nil, nil
}

// findLate looks for an event of a suppression, whose entry the follower writes: late, if
// it was away. It looks at the first entries behind a time.
func (l *Log) findLate(ctx context.Context, w email.World, id string, from time.Time) (*Occurrence, error) {
	for shard := range l.store.options.Shards {
		chunk, err := l.rdb.XRangeN(ctx, keysOf(w, uint8(shard)).stream(), streamTime(from), "+", maxLooked).Result()
		if err != nil {
			return nil, fmt.Errorf("find event %s: %w", id, err)
		}
		for _, x := range chunk {
			if e, err := decodeStreamEntry(w, x); err == nil && e.Suppression != nil && e.Suppression.ID == id {
				return &Occurrence{Suppression: e.Suppression}, nil
			}
		}
	}
	return nil, ErrNotFound
}

// streamTime is a time as a bound of a stream's range.
func streamTime(t time.Time) string { return strconv.FormatInt(max(toMS(t), 0), 10) }

// trimScript forgets a shard's entries before a position, and notes the last that went:
// who has not read it has missed something.
//
//	KEYS 1 stream, 2 trimmed
//	ARGV 1 position
//
// Returns how many went. Safe to run twice: the second run finds nothing to trim.
const trimScript = `
local gone = redis.call('XREVRANGE', KEYS[1], '(' .. ARGV[1], '-', 'COUNT', 1)
if #gone == 0 then return 0 end
redis.call('SET', KEYS[2], gone[1][1])
return redis.call('XTRIM', KEYS[1], 'MINID', ARGV[1])
`

// trim forgets what the stream holds before a position.
func (m *Messages) trim(ctx context.Context, keys shardKeys, oldest string) error {
	return m.scripts.trim.Run(ctx, m.rdb, []string{keys.stream(), keys.trimmed()}, oldest).Err()
}
