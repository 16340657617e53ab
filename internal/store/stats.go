package store

import (
	"context"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"postrider/internal/email"
)

// Statistics are counters in buckets of time, one hash for each bucket of a shard. The
// follower adds to them in the script that moves its cursor, so that an event counts
// once. What a bucket may hold is bounded, and so is how long it is kept.

// Interval is the length of a bucket.
type Interval string

// The intervals.
const (
	Minute Interval = "minute"
	Hour   Interval = "hour"
	Day    Interval = "day"
)

// Intervals lists them.
func Intervals() []Interval { return []Interval{Minute, Hour, Day} }

// Length is how long a bucket is.
func (i Interval) Length() time.Duration {
	switch i {
	case Minute:
		return time.Minute
	case Hour:
		return time.Hour
	}
	return 24 * time.Hour
}

// Kept is how long a bucket is kept after its end.
func (i Interval) Kept() time.Duration {
	const day = 24 * time.Hour
	switch i {
	case Minute:
		return 6 * time.Hour
	case Hour:
		return 31 * day
	}
	return 400 * day
}

// fields is how many counters a bucket of a shard may have before new tags and
// providers are counted together, as Rest.
func (i Interval) fields() int {
	switch i {
	case Minute:
		return 500
	case Hour:
		return 1000
	}
	return 2000
}

// Group is by what counters are told apart.
type Group string

// The groups. ByStatus has one value, the empty one: everything.
const (
	ByStatus   Group = "status"
	ByTag      Group = "tag"
	ByStream   Group = "stream"
	ByProvider Group = "provider"
)

// Groups lists them.
func Groups() []Group { return []Group{ByStatus, ByTag, ByStream, ByProvider} }

// Rest is the value under which is counted what found no room of its own.
const Rest = "*"

func (g Group) letter() string {
	switch g {
	case ByTag:
		return "g"
	case ByStream:
		return "s"
	case ByProvider:
		return "p"
	}
	return "a"
}

// Accepted is the name under which recipients are counted at accept; the others are
// their statuses.
const Accepted = "accepted"

// Latencies are counted by steps of a fourth of an octave of milliseconds.
const latencySteps = 4

func latencyStep(d time.Duration) int {
	return int(math.Ceil(latencySteps * math.Log2(float64(max(d.Milliseconds(), 1)))))
}

// stepLatency is the middle of a step, which is at most 9 % off.
func stepLatency(step int) time.Duration {
	return time.Duration(math.Exp2((float64(step)-0.5)/latencySteps) * float64(time.Millisecond))
}

// Tally is what the events of a stretch add to the counters, by the minute: the longer
// buckets are sums of these.
type Tally struct {
	minutes map[int64]map[counter]int // by unix seconds
}

// counter is one counter of a bucket, stored as "<letter>:<name>:<value>".
type counter struct {
	group       Group
	name, value string
}

func (c counter) field() string { return c.group.letter() + ":" + c.name + ":" + c.value }

// NewTally has counted nothing.
func NewTally() *Tally { return &Tally{minutes: make(map[int64]map[counter]int)} }

// Count adds one event. provider is who answered, empty if nobody did.
func (t *Tally) Count(e Sample, provider string) {
	minute := e.At.Truncate(Minute.Length()).Unix()
	counters := t.minutes[minute]
	if counters == nil {
		counters = make(map[counter]int)
		t.minutes[minute] = counters
	}
	add := func(name string) {
		counters[counter{ByStatus, name, ""}]++
		counters[counter{ByStream, name, e.Stream}]++
		for _, tag := range e.Tags {
			counters[counter{ByTag, name, tag}]++
		}
		if provider != "" {
			counters[counter{ByProvider, name, provider}]++
		}
	}
	if e.Previous == "" {
		add(Accepted)
	}
	if e.Status != email.Queued && e.Status != email.Scheduled {
		add(string(e.Status))
	}
	if !e.Due.IsZero() && e.Status.Final() {
		add("l" + strconv.Itoa(latencyStep(e.At.Sub(e.Due))))
	}
}

// buckets are the sums by the beginning of each bucket of an interval.
func (t *Tally) buckets(interval Interval) map[int64]map[counter]int {
	out := make(map[int64]map[counter]int)
	for minute, counters := range t.minutes {
		start := time.Unix(minute, 0).Truncate(interval.Length()).Unix()
		if out[start] == nil {
			out[start] = make(map[counter]int, len(counters))
		}
		for c, n := range counters {
			out[start][c] += n
		}
	}
	return out
}

// arguments are the keys and arguments of followScript.
func (t *Tally) arguments(keys shardKeys) (names []string, args []any) {
	if t == nil {
		return nil, nil
	}
	for _, interval := range Intervals() {
		for start, counters := range t.buckets(interval) {
			names = append(names, keys.stats(interval, start))
			life := interval.Length() + interval.Kept()
			args = append(args, life.Milliseconds(), interval.fields(), len(counters))
			for c, n := range counters {
				args = append(args, c.field(), counter{c.group, c.name, Rest}.field(), n)
			}
		}
	}
	return names, args
}

// Stats reads the counters.
type Stats struct {
	rdb    redis.UniversalClient
	shards int
}

// Question says which counters are wanted: buckets that begin at From or later and
// before To.
type Question struct {
	Interval Interval
	Group    Group
	From, To time.Time
}

// Counted are the counters of one value in one bucket.
type Counted struct {
	At            time.Time
	Value         string // empty: everything
	Counts        map[string]int64
	P50, P95, P99 time.Duration // of latencies; zero without any
	latencies     map[int]int64
}

// readBuckets is how many buckets are asked for in one round trip.
const readBuckets = 128

// Read gives what was counted, by time and value. Buckets without anything are left out.
func (s *Stats) Read(ctx context.Context, w email.World, q Question) ([]Counted, error) {
	all, err := s.ReadGroups(ctx, w, q, q.Group)
	return all[q.Group], err
}

// ReadGroups is Read for several groups, with one look at their buckets.
func (s *Stats) ReadGroups(ctx context.Context, w email.World, q Question, groups ...Group) (map[Group][]Counted, error) {
	out := make(map[Group][]Counted)
	for at := q.From.Truncate(q.Interval.Length()); at.Before(q.To); {
		var buckets []time.Time
		for ; at.Before(q.To) && len(buckets) < readBuckets; at = at.Add(q.Interval.Length()) {
			buckets = append(buckets, at)
		}
		hashes, err := s.hashes(ctx, w, q.Interval, buckets)
		if err != nil {
			return nil, fmt.Errorf("read statistics: %w", err)
		}
		for _, g := range groups {
			for i, at := range buckets {
				out[g] = append(out[g], counted(g, at, hashes[i])...)
			}
		}
	}
	return out, nil
}

// hashes reads some buckets, by shard, in one round trip.
func (s *Stats) hashes(ctx context.Context, w email.World, interval Interval, buckets []time.Time) ([][]*redis.MapStringStringCmd, error) {
	hashes := make([][]*redis.MapStringStringCmd, len(buckets))
	_, err := s.rdb.Pipelined(ctx, func(p redis.Pipeliner) error {
		for i, at := range buckets {
			for shard := range s.shards {
				hashes[i] = append(hashes[i], p.HGetAll(ctx, keysOf(w, uint8(shard)).stats(interval, at.Unix())))
			}
		}
		return nil
	})
	return hashes, err
}

// counted are the counters of a group in a bucket, by value.
func counted(g Group, at time.Time, shards []*redis.MapStringStringCmd) (out []Counted) {
	values := make(map[string]*Counted)
	for _, hash := range shards {
		addCounters(values, g, hash.Val())
	}
	for _, value := range slices.Sorted(maps.Keys(values)) {
		c := values[value]
		c.At, c.Value = at.UTC(), value
		c.measure()
		out = append(out, *c)
	}
	return out
}

// Sum adds counters up, with the latencies of all of them. Its At is that of the first.
func Sum(list []Counted) Counted {
	sum := Counted{Counts: make(map[string]int64), latencies: make(map[int]int64)}
	for i, c := range list {
		if i == 0 {
			sum.At, sum.Value = c.At, c.Value
		}
		for name, n := range c.Counts {
			sum.Counts[name] += n
		}
		for step, n := range c.latencies {
			sum.latencies[step] += n
		}
	}
	sum.measure()
	return sum
}

// measure fills in the percentiles.
func (c *Counted) measure() {
	c.P50, c.P95, c.P99 = 0, 0, 0
	percentiles := []struct {
		percent int64
		latency *time.Duration
	}{{50, &c.P50}, {95, &c.P95}, {99, &c.P99}}
	total, seen := int64(0), int64(0)
	for _, n := range c.latencies {
		total += n
	}
	for _, step := range slices.Sorted(maps.Keys(c.latencies)) {
		before := seen
		seen += c.latencies[step]
		for _, p := range percentiles {
			if before*100 < total*p.percent && seen*100 >= total*p.percent {
				*p.latency = stepLatency(step)
			}
		}
	}
}

// addCounters adds a bucket's counters of a group. What is no counter is passed over.
func addCounters(values map[string]*Counted, g Group, hash map[string]string) {
	letter := g.letter() + ":"
	for field, raw := range hash {
		rest, ours := strings.CutPrefix(field, letter)
		name, value, whole := strings.Cut(rest, ":")
		if !ours || !whole {
			continue
		}
		n, err := strconv.ParseInt(raw, 10, 64)
		if err != nil {
			continue
		}
		c := values[value]
		if c == nil {
			c = &Counted{Counts: make(map[string]int64), latencies: make(map[int]int64)}
			values[value] = c
		}
		if step, err := strconv.Atoi(strings.TrimPrefix(name, "l")); err == nil {
			c.latencies[step] += n
		} else {
			c.Counts[name] += n
		}
	}
}
