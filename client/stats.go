package client

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"time"
)

// StatsQuery chooses what is counted. The zero value is the last day by the hour.
type StatsQuery struct {
	From, To time.Time // zero: as the interval has it, and now
	Interval string    // minute, hour or day; empty: hour
	Group    string    // status, tag, stream or provider; empty: status
}

// Stats is what happened, counted over time.
type Stats struct {
	Livemode bool      `json:"livemode"`
	From     time.Time `json:"from"`
	To       time.Time `json:"to"`
	Interval string    `json:"interval"`
	Group    string    `json:"group"`
	Data     []Counted `json:"data"` // oldest first; what had no events is left out

	Raw json.RawMessage `json:"-"` // the answer as it came
}

// Counted is one interval, or one tag, stream or provider in it.
type Counted struct {
	At     time.Time `json:"at"`    // when it began
	Group  string    `json:"group"` // the tag, stream or provider
	Counts Counts    `json:"counts"`

	// Latency is from accept to the final answer of a mail server; nil if none gave one.
	Latency *Latency `json:"latency_seconds"`
}

// Counts are recipients by what became of them.
type Counts struct {
	Accepted   int64 `json:"accepted"`
	Deferred   int64 `json:"deferred"`
	Delivered  int64 `json:"delivered"`
	Bounced    int64 `json:"bounced"`
	Failed     int64 `json:"failed"`
	Suppressed int64 `json:"suppressed"`
	Canceled   int64 `json:"canceled"`
}

// Latency is percentiles in seconds.
type Latency struct {
	P50 float64 `json:"p50"`
	P95 float64 `json:"p95"`
	P99 float64 `json:"p99"`
}

// Stats counts what happened; the key needs the scope stats:read.
func (c *Client) Stats(ctx context.Context, s StatsQuery) (*Stats, error) {
	q := make(url.Values)
	setTime(q, "from", s.From)
	setTime(q, "to", s.To)
	set(q, "interval", s.Interval)
	set(q, "group", s.Group)
	return send[Stats](ctx, c, call{method: http.MethodGet, path: "/v1/stats", query: q})
}
