package store

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"postrider/internal/email"
)

// Filter selects messages; zero members select all. All given must hold.
type Filter struct {
	// Recipient is a whole address; case does not matter.
	Recipient string
	// Statuses selects messages in any of them.
	Statuses []email.Status
	Tags     []string
	// From is a whole address; case does not matter.
	From   string
	Stream string
	Batch  string // id
	// Template is the id of the template that a message was made from.
	Template string
	// Subject is a part of the subject; case does not matter. No index knows it: what else
	// is selected is walked.
	Subject string
	// Domain is the domain of a recipient, MessageID a Message-ID with its brackets; no
	// index knows them either.
	Domain, MessageID string
	// Quarantined selects what waits for somebody to look at it.
	Quarantined bool
	// CreatedAfter and CreatedBefore exclude the moment itself.
	CreatedAfter, CreatedBefore time.Time
}

func (f Filter) match(m *email.Message) bool {
	if len(f.Statuses) > 0 && !slices.Contains(f.Statuses, m.Status()) {
		return false
	}
	for _, tag := range f.Tags {
		if !slices.Contains(m.Tags, tag) {
			return false
		}
	}
	switch {
	case f.From != "" && !strings.EqualFold(m.From.Email, f.From),
		f.Stream != "" && m.Stream != f.Stream,
		f.Batch != "" && m.BatchID != f.Batch,
		f.Template != "" && m.Template.ID != f.Template,
		f.Subject != "" && !strings.Contains(strings.ToLower(m.Subject), strings.ToLower(f.Subject)),
		f.MessageID != "" && m.MessageID != f.MessageID,
		f.Quarantined && !m.Quarantined(),
		f.Domain != "" && !slices.ContainsFunc(m.Recipients, func(r email.Recipient) bool { return r.Address.Domain() == f.Domain }),
		!f.CreatedAfter.IsZero() && !m.CreatedAt.After(f.CreatedAfter),
		!f.CreatedBefore.IsZero() && !m.CreatedAt.Before(f.CreatedBefore):
		return false
	}
	return f.Recipient == "" || slices.ContainsFunc(m.Recipients, func(r email.Recipient) bool {
		return strings.EqualFold(r.Address.Email, f.Recipient)
	})
}

// span is the part of an index that can hold what f selects. An id
// is made a moment before its message is accepted, maybe by another clock.
func (f Filter) span() span {
	s := span{"-", "+"}
	if !f.CreatedAfter.IsZero() {
		s.from = "[" + email.IDBound(f.CreatedAfter.Add(-clocksApart))
	}
	if !f.CreatedBefore.IsZero() {
		s.below = "(" + email.IDBound(f.CreatedBefore.Add(clocksApart))
	}
	return s
}

// indexes are the choices of what to walk in a shard: the indexes of each hold together
// every message that f selects there.
func (f Filter) indexes(k shardKeys) (choices [][]string) {
	choose := func(keys ...string) { choices = append(choices, keys) }
	if f.Recipient != "" {
		choose(k.recipient(f.Recipient))
	}
	for _, tag := range f.Tags {
		choose(k.tag(tag))
	}
	if f.Batch != "" {
		choose(k.batch(f.Batch))
	}
	if f.Template != "" {
		choose(k.template(f.Template))
	}
	if len(f.Statuses) > 0 {
		var keys []string
		for _, s := range f.Statuses {
			keys = append(keys, k.status(s))
		}
		choose(keys...)
	}
	if f.Quarantined {
		choose(k.quarantined())
	}
	if len(choices) == 0 {
		choose(k.all())
	}
	return choices
}

// maxLooked bounds how many records one call of List reads: people wait for it. A step
// that did not fill the page is followed by one walkFaster times as long.
const (
	maxLooked  = 1000
	walkFaster = 2
)

// List pages newest first, from the message before `before` (an id, empty: the
// newest), at most limit. next is empty at the end, else the id to go on before.
//
// It walks the smallest index that covers the filter and checks the rest on the
// records, so that a page has no gap and no duplicate while messages arrive. One
// call reads at most about 1,000 records: a filter that selects few of many may give a
// short page, with next where it stopped. A record that cannot be read is left out.
// ErrCursor if before is no id.
func (m *Messages) List(ctx context.Context, w email.World, f Filter, before string, limit int) (page []*email.Message, next string, err error) {
	if limit < 1 {
		return nil, "", fmt.Errorf("%w: a limit below 1", ErrCursor)
	}
	part := f.span()
	if before != "" {
		if _, err := email.ParseID(email.MessagePrefix, before); err != nil {
			return nil, "", ErrCursor
		}
		part.below = "(" + short(before)
	}
	walked, err := m.smallestIndexes(ctx, w, f)
	if err != nil {
		return nil, "", fmt.Errorf("list messages: %w", err)
	}
	holds := f.sieve()
	for looked, step := 0, limit+1; ; step = min(step*walkFaster, maxLooked-looked) {
		ids, more, err := m.candidates(ctx, walked, part, step)
		if err != nil {
			return nil, "", fmt.Errorf("list messages: %w", err)
		}
		records, err := m.records(ctx, w, ids)
		if err != nil {
			return nil, "", fmt.Errorf("list messages: %w", err)
		}
		for i, fields := range records {
			if !holds.passes(fields) {
				continue
			}
			msg := m.readable(ctx, w, ids[i], fields)
			if msg == nil || !f.match(msg) {
				continue // gone or changed since the index was read
			}
			if len(page) == limit {
				return page, page[limit-1].ID, nil
			}
			page = append(page, msg)
		}
		if !more {
			return page, "", nil
		}
		last := ids[len(ids)-1]
		part.below = "(" + last
		if looked += len(ids); looked >= maxLooked {
			// What was looked at behind the page's last message did not match:
			// no need to look at it again.
			return page, long(last), nil
		}
	}
}

// way is one choice of what to walk in a shard, with how much it holds.
type way struct {
	keys  []string
	sizes []*redis.IntCmd
}

func (w way) size() (n int64) {
	for _, s := range w.sizes {
		n += s.Val()
	}
	return n
}

// smallestIndexes picks the indexes to walk: in each shard those that are smallest together.
func (m *Messages) smallestIndexes(ctx context.Context, w email.World, f Filter) (picked []string, err error) {
	shards := make([][]way, m.options.Shards)
	if _, err := m.rdb.Pipelined(ctx, func(p redis.Pipeliner) error {
		for shard := range shards {
			all := f.indexes(keysOf(w, uint8(shard)))
			for _, keys := range all {
				c := way{keys: keys}
				for _, key := range keys {
					if len(all) > 1 {
						c.sizes = append(c.sizes, p.ZCard(ctx, key))
					}
				}
				shards[shard] = append(shards[shard], c)
			}
		}
		return nil
	}); err != nil {
		return nil, err
	}
	for _, choices := range shards {
		best := slices.MinFunc(choices, func(a, b way) int { return cmp.Compare(a.size(), b.size()) })
		picked = append(picked, best.keys...)
	}
	return picked, nil
}

// span is a range of ids, as Redis writes it.
type span struct{ from, below string }

// candidates are the newest n ids of a span over all walked indexes; more says
// whether there may be others behind them.
func (m *Messages) candidates(ctx context.Context, walked []string, s span, n int) (ids []string, more bool, err error) {
	chunks := make([]*redis.StringSliceCmd, len(walked))
	if _, err := m.rdb.Pipelined(ctx, func(p redis.Pipeliner) error {
		for i, key := range walked {
			chunks[i] = p.ZRevRangeByLex(ctx, key, &redis.ZRangeBy{Max: s.below, Min: s.from, Count: int64(n)})
		}
		return nil
	}); err != nil {
		return nil, false, err
	}
	for _, chunk := range chunks {
		more = more || len(chunk.Val()) == n
		ids = append(ids, chunk.Val()...)
	}
	slices.SortFunc(ids, func(a, b string) int { return strings.Compare(b, a) })
	ids = slices.Compact(ids) // one may have gone from a walked index to another meanwhile
	if len(ids) > n {
		// Every shard gave its newest n, so the newest n of all are among them.
		ids, more = ids[:n], true
	}
	return ids, more, nil
}

// load reads messages in order; nil for one that is gone or cannot be read.
func (m *Messages) load(ctx context.Context, w email.World, ids []string) ([]*email.Message, error) {
	records, err := m.records(ctx, w, ids)
	if err != nil {
		return nil, err
	}
	out := make([]*email.Message, len(ids))
	for i, fields := range records {
		out[i] = m.readable(ctx, w, ids[i], fields)
	}
	return out, nil
}

// records reads the fields of records in order; none of one that is gone.
func (m *Messages) records(ctx context.Context, w email.World, ids []string) ([]map[string]string, error) {
	asked := make([]*redis.MapStringStringCmd, len(ids))
	if _, err := m.rdb.Pipelined(ctx, func(p redis.Pipeliner) error {
		for i, id := range ids {
			keys, _, err := m.locate(w, long(id))
			if err != nil {
				return fmt.Errorf("%w: a member of an index", ErrBroken)
			}
			asked[i] = p.HGetAll(ctx, keys.record(id))
		}
		return nil
	}); err != nil {
		return nil, err
	}
	out := make([]map[string]string, len(ids))
	for i := range asked {
		out[i] = asked[i].Val()
	}
	return out, nil
}

// readable decodes a record; nil if it is gone or cannot be read: one broken record must
// not hide the others of its page.
func (m *Messages) readable(ctx context.Context, w email.World, id string, fields map[string]string) *email.Message {
	if len(fields) == 0 {
		return nil
	}
	msg, err := decodeMessage(w, id, fields)
	if err != nil {
		m.options.Log.ErrorContext(ctx, "a record cannot be read and is left out of a list", "error", err)
		return nil
	}
	return msg
}
