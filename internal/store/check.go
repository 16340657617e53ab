package store

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"postrider/internal/email"
)

// The kinds of findings.
const (
	KindRecord      = "record"      // it cannot be read
	KindState       = "state"       // recipients, envelopes and completion contradict each other
	KindDue         = "due"         // the due set and the record
	KindPurge       = "purge"       // the purge set and the record
	KindIndex       = "index"       // an index and the record
	KindEvents      = "events"      // the events, the event stream and the record
	KindAttempts    = "attempts"    // the attempts and the record
	KindBody        = "body"        // the content of a message that is not finished
	KindOrphan      = "orphan"      // a part of a message without its record
	KindIdempotency = "idempotency" // an entry that names no message
	KindSetAside    = "set-aside"   // put out of the way, since it could not be read
	KindDelivery    = "delivery"    // a delivery to a webhook and the sets that it stands in
	KindCursor      = "cursor"      // how far events were followed, and the event stream
)

// Finding is one disagreement in what is stored.
type Finding struct {
	Kind  string
	World email.World
	Where string // a message id, or the name of a key
	Text  string
}

func (f Finding) String() string {
	return fmt.Sprintf("%s: %s %s: %s", f.Kind, f.World, f.Where, f.Text)
}

// Checked counts what a check went through.
type Checked struct{ Messages, Findings int }

// CheckOptions say whom a check tells.
type CheckOptions struct {
	Report func(Finding)
	// Waiting, if set, is called for each envelope that waits, with the time of
	// its due entry, so that the queue can be asked for its job.
	Waiting func(ctx context.Context, e Entry, due time.Time) error
	// Pending, if set, is called for each delivery to a webhook that is pending.
	Pending func(ctx context.Context, d *Delivery, due time.Time) error
}

// checker is one run of Check on one shard.
type checker struct {
	m     *Messages
	o     CheckOptions
	world email.World
	shard uint8
	keys  shardKeys
	count *Checked
}

func (c *checker) found(kind, where, format string, args ...any) {
	c.count.Findings++
	c.o.Report(Finding{Kind: kind, World: c.world, Where: where, Text: fmt.Sprintf(format, args...)})
}

// Check compares everything stored about messages and reports each disagreement:
// records, envelopes, due, purge, indexes, events, idempotency entries, and the
// deliveries to webhooks that came of the events. It changes nothing, and may run while mail is sent: each message is read at one moment. It
// goes through the whole key space.
func (m *Messages) Check(ctx context.Context, o CheckOptions) (Checked, error) {
	var count Checked
	for _, w := range []email.World{email.Live, email.Test} {
		for shard := range m.options.Shards {
			c := &checker{m: m, o: o, world: w, shard: uint8(shard), keys: keysOf(w, uint8(shard)), count: &count}
			for _, step := range []func(context.Context) error{c.names, c.due, c.purge, c.aside, c.stream, c.cursor} {
				if err := step(ctx); err != nil {
					return count, fmt.Errorf("check shard %d of %s: %w", shard, w, err)
				}
			}
		}
	}
	return count, nil
}

// names goes through the names of all keys of the shard. SCAN may give one twice.
func (c *checker) names(ctx context.Context) error {
	seen := make(map[string]struct{})
	scan := c.m.rdb.Scan(ctx, 0, escape(c.keys.prefix)+"*", 1000).Iterator()
	for scan.Next(ctx) {
		key := scan.Val()
		if _, twice := seen[key]; twice {
			continue
		}
		seen[key] = struct{}{}
		kind, rest, _ := strings.Cut(strings.TrimPrefix(key, c.keys.prefix), ":")
		var err error
		switch kind {
		case "m":
			c.count.Messages++
			err = c.message(ctx, rest)
		case "b":
			err = c.part(ctx, key, c.keys.record(rest), c.keys.stage(rest))
		case "e", "a":
			err = c.part(ctx, key, c.keys.record(rest))
		case "p":
			err = c.staged(ctx, rest)
		case "v":
			err = c.stub(ctx, rest)
		case "ix":
			err = c.index(ctx, key)
		case "i":
			err = c.idempotency(ctx, key)
		case "w":
			err = c.webhooks(ctx, key, rest)
		}
		if err != nil && !errors.Is(err, ErrBroken) {
			return err
		}
		if err != nil {
			c.found(KindRecord, key, "%v", err)
		}
	}
	return scan.Err()
}

// escape makes a pattern of SCAN that matches a prefix literally.
func escape(prefix string) string {
	return strings.NewReplacer("[", `\[`, "]", `\]`, "*", `\*`, "?", `\?`, `\`, `\\`).Replace(prefix)
}

// part looks for the record of a body, a list of events or of attempts.
func (c *checker) part(ctx context.Context, key string, owners ...string) error {
	together, err := c.exist(ctx, append(owners, key)...)
	last := len(owners)
	if err == nil && together[last] && !slices.Contains(together[:last], true) {
		c.found(KindOrphan, key, "its record is gone")
	}
	return err
}

// staged looks for the entry that will remove a staged message, should it never be
// committed.
func (c *checker) staged(ctx context.Context, id string) error {
	named, exist, err := c.member(ctx, c.keys.staged(), id, c.keys.stage(id))
	if err == nil && exist[0] && !named {
		c.found(KindOrphan, long(id), "it is staged, and nothing will remove it")
	}
	return err
}

// exist asks for keys at one moment.
func (c *checker) exist(ctx context.Context, keys ...string) ([]bool, error) {
	asked := make([]*redis.IntCmd, len(keys))
	if _, err := c.m.rdb.TxPipelined(ctx, func(p redis.Pipeliner) error {
		for i, key := range keys {
			asked[i] = p.Exists(ctx, key)
		}
		return nil
	}); err != nil {
		return nil, err
	}
	out := make([]bool, len(keys))
	for i := range asked {
		out[i] = asked[i].Val() == 1
	}
	return out, nil
}

// member reports whether a member stands in a set, and which of keys exist then.
func (c *checker) member(ctx context.Context, set, member string, keys ...string) (stands bool, exist []bool, err error) {
	asked := make([]*redis.IntCmd, len(keys))
	var score *redis.FloatCmd
	if _, err = c.m.rdb.TxPipelined(ctx, func(p redis.Pipeliner) error {
		score = p.ZScore(ctx, set, member)
		for i, key := range keys {
			asked[i] = p.Exists(ctx, key)
		}
		return nil
	}); err != nil && !errors.Is(err, redis.Nil) {
		return false, nil, err
	}
	for i := range asked {
		exist = append(exist, asked[i].Val() == 1)
	}
	return score.Err() == nil, exist, nil
}

// stub looks for the purge entry that will remove a stub one day.
func (c *checker) stub(ctx context.Context, id string) error {
	purged, exist, err := c.member(ctx, c.keys.purge(), id, c.keys.stub(id))
	if err == nil && exist[0] && !purged {
		c.found(KindPurge, long(id), "nothing will remove its stub")
	}
	return err
}

// idempotency looks for the message that an entry names.
func (c *checker) idempotency(ctx context.Context, key string) error {
	value, err := c.m.rdb.Get(ctx, key).Result()
	if errors.Is(err, redis.Nil) {
		return nil // its time was over
	}
	if err != nil {
		return err
	}
	_, id, ok := strings.Cut(value, " ")
	if strings.HasPrefix(id, heldMark) || strings.HasPrefix(id, answeredMark) {
		return nil // of a request that is no send, or of a batch
	}
	if !ok || !isShort(id) {
		c.found(KindIdempotency, key, "it cannot be read")
		return nil
	}
	exist, err := c.exist(ctx, key, c.keys.record(id), c.keys.stub(id))
	if err == nil && exist[0] && !exist[1] && !exist[2] {
		c.found(KindIdempotency, key, "it names %s, which does not exist", long(id))
	}
	return err
}

// members goes through a sorted set.
func (c *checker) members(ctx context.Context, set string, visit func(member string) error) error {
	const chunk = 1000
	for from := int64(0); ; from += chunk {
		members, err := c.m.rdb.ZRange(ctx, set, from, from+chunk-1).Result()
		if errors.Is(err, ErrBroken) {
			c.found(KindRecord, set, "it is no sorted set")
			return nil
		}
		if err != nil {
			return err
		}
		for _, member := range members {
			if err := visit(member); err != nil {
				return err
			}
		}
		if len(members) < chunk {
			return nil
		}
	}
}

func (c *checker) index(ctx context.Context, key string) error {
	return c.members(ctx, key, func(id string) error {
		if !isShort(id) {
			c.found(KindIndex, key, "%q is no message", id)
			return nil
		}
		stands, exist, err := c.member(ctx, key, id, c.keys.record(id))
		if err == nil && stands && !exist[0] {
			c.found(KindIndex, long(id), "%s names it, but it does not exist", key)
		}
		return err
	})
}

func (c *checker) due(ctx context.Context) error {
	return c.members(ctx, c.keys.due(), func(member string) error {
		id, _, err := parseDueMember(member)
		if err != nil {
			c.found(KindDue, c.keys.due(), "%q is no envelope", member)
			return nil
		}
		stands, exist, err := c.member(ctx, c.keys.due(), member, c.keys.record(id))
		if err == nil && stands && !exist[0] {
			c.found(KindDue, long(id), "it is due, but does not exist")
		}
		return err
	})
}

func (c *checker) purge(ctx context.Context) error {
	return c.members(ctx, c.keys.purge(), func(id string) error {
		if !isShort(id) {
			c.found(KindPurge, c.keys.purge(), "%q is no message", id)
			return nil
		}
		stands, exist, err := c.member(ctx, c.keys.purge(), id, c.keys.record(id), c.keys.stub(id))
		if err == nil && stands && !exist[0] && !exist[1] {
			c.found(KindPurge, long(id), "it is to be forgotten, but does not exist")
		}
		return err
	})
}

func (c *checker) aside(ctx context.Context) error {
	return c.members(ctx, c.keys.broken(), func(member string) error {
		c.found(KindSetAside, c.keys.broken(), "%q could not be read", member)
		return nil
	})
}

// stream looks for the events that the stream names. Those of messages that were
// forgotten may be gone.
func (c *checker) stream(ctx context.Context) error {
	const chunk = 1000
	for from := "-"; ; {
		entries, err := c.m.rdb.XRangeN(ctx, c.keys.stream(), from, "+", chunk).Result()
		if errors.Is(err, ErrBroken) {
			c.found(KindRecord, c.keys.stream(), "it is no stream")
			return nil
		}
		if err != nil {
			return err
		}
		if err := c.entries(ctx, entries); err != nil {
			return err
		}
		if len(entries) < chunk {
			return nil
		}
		from = "(" + entries[len(entries)-1].ID
	}
}

func (c *checker) entries(ctx context.Context, entries []redis.XMessage) error {
	exist, length := make([]*redis.IntCmd, len(entries)), make([]*redis.IntCmd, len(entries))
	// At one moment: a message may be forgotten meanwhile.
	_, err := c.m.rdb.TxPipelined(ctx, func(p redis.Pipeliner) error {
		for i, e := range entries {
			id, _ := e.Values["m"].(string)
			exist[i], length[i] = p.Exists(ctx, c.keys.record(id)), p.LLen(ctx, c.keys.events(id))
		}
		return nil
	})
	if err != nil && !errors.Is(err, ErrBroken) {
		return err
	}
	for i, x := range entries {
		_, counts := x.Values["c"]
		switch e, err := decodeStreamEntry(c.world, x); {
		case err != nil:
			c.found(KindEvents, c.keys.stream(), "its entry %s cannot be read", x.ID)
		case counts && e.Sample == nil:
			c.found(KindEvents, e.Message, "what its event %d adds to the statistics cannot be read", e.Index)
		case e.Suppression == nil && exist[i].Val() == 1 && int64(e.Index) >= length[i].Val():
			c.found(KindEvents, e.Message, "the stream names its event %d, which does not exist", e.Index)
		}
	}
	return nil
}
