package api

import (
	"fmt"
	"net/http"
	"slices"
	"time"

	"postrider/internal/email"
	"postrider/internal/intake"
	"postrider/internal/store"
)

// How many buckets one answer may look at, and how many of them if each can have many
// values.
const (
	maxBuckets       = 400
	maxValuedBuckets = 100
)

func statsParameters() []string { return []string{"from", "to", "interval", "group"} }

// statsView is the answer of GET /stats.
type statsView struct {
	Object   string         `json:"object"`
	Livemode bool           `json:"livemode"`
	From     stamp          `json:"from"`
	To       stamp          `json:"to"`
	Interval store.Interval `json:"interval"`
	Group    store.Group    `json:"group"`
	Data     []countedView  `json:"data"`
}

type countedView struct {
	At      stamp        `json:"at"`
	Group   text         `json:"group"` // the value; null: everything
	Counts  countsView   `json:"counts"`
	Latency *latencyView `json:"latency_seconds"`
}

type countsView struct {
	Accepted   int64 `json:"accepted"`
	Deferred   int64 `json:"deferred"`
	Delivered  int64 `json:"delivered"`
	Bounced    int64 `json:"bounced"`
	Failed     int64 `json:"failed"`
	Suppressed int64 `json:"suppressed"`
	Canceled   int64 `json:"canceled"`
}

type latencyView struct {
	P50 seconds `json:"p50"`
	P95 seconds `json:"p95"`
	P99 seconds `json:"p99"`
}

// seconds is a duration on the wire, to the millisecond.
type seconds time.Duration

// MarshalJSON implements json.Marshaler.
func (s seconds) MarshalJSON() ([]byte, error) {
	return fmt.Appendf(nil, "%.3f", time.Duration(s).Seconds()), nil
}

// stats is GET /stats.
func (d *door) stats(c *call) error {
	q, err := c.question(d.now())
	if err != nil {
		return err
	}
	counted, err := d.store.Stats.Read(c.ctx(), c.key.World, q)
	if err != nil {
		return err
	}
	v := statsView{
		Object: "stats", Livemode: c.key.World.Livemode(), From: stamp(q.From), To: stamp(q.To), Interval: q.Interval, Group: q.Group,
		Data: make([]countedView, len(counted)),
	}
	for i, n := range counted {
		count := func(s email.Status) int64 { return n.Counts[string(s)] }
		v.Data[i] = countedView{At: stamp(n.At), Group: text(n.Value), Counts: countsView{
			Accepted: n.Counts[store.Accepted], Deferred: count(email.Deferred), Delivered: count(email.Delivered),
			Bounced: count(email.Bounced), Failed: count(email.Failed), Suppressed: count(email.Suppressed), Canceled: count(email.Canceled),
		}}
		if n.P99 > 0 {
			v.Data[i].Latency = &latencyView{seconds(n.P50), seconds(n.P95), seconds(n.P99)}
		}
	}
	c.answer(http.StatusOK, v)
	return nil
}

// span is how far back is looked if nobody says: never at more than an answer may.
func span(i store.Interval) time.Duration {
	switch i {
	case store.Minute:
		return time.Hour
	case store.Day:
		return 30 * 24 * time.Hour
	default:
		return 24 * time.Hour
	}
}

// question reads what is asked: without more, the last day by the hour. Errors: *problem.
func (c *call) question(now time.Time) (store.Question, error) {
	r := &queryReader{c: c}
	q := store.Question{From: r.time("from"), To: r.time("to"), Interval: store.Interval(r.word("interval")), Group: store.Group(r.word("group"))}
	if !c.query.Has("interval") {
		q.Interval = store.Hour
	} else if !slices.Contains(store.Intervals(), q.Interval) {
		r.fault("interval", intake.InvalidFormat, "is not minute, hour or day")
	}
	if !c.query.Has("group") {
		q.Group = store.ByStatus
	} else if !slices.Contains(store.Groups(), q.Group) {
		r.fault("group", intake.InvalidFormat, "is not status, tag, stream or provider")
	}
	if !c.query.Has("to") {
		q.To = now
	}
	if !c.query.Has("from") {
		q.From = q.To.Add(-span(q.Interval))
	}
	q.From = q.From.Truncate(q.Interval.Length())
	most := maxBuckets
	if q.Group == store.ByTag || q.Group == store.ByProvider {
		most = maxValuedBuckets
	}
	switch {
	case len(r.faults) > 0:
	case !q.From.Before(q.To):
		r.fault("from", intake.OutOfRange, "is not before to")
	case q.To.Sub(q.From) > time.Duration(most)*q.Interval.Length():
		r.fault("from", intake.OutOfRange, fmt.Sprintf("is more than %d intervals before to", most))
	}
	return q, r.err()
}
