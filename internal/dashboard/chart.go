package dashboard

import (
	"fmt"
	"math"
	"net/url"
	"slices"
	"strings"
	"time"

	"postrider/internal/email"
	"postrider/internal/store"
)

// The size of a chart in units of its own: it is stretched to its place.
const (
	chartWidth  = 600.0
	chartHeight = 120.0
)

// chart is a picture of numbers over time. Words stand beside it, as HTML: they must not
// be stretched.
type chart struct {
	Name    string
	Columns []column
	Lines   []polyline
	Ticks   []string // from the top, evenly spaced
	Times   []time.Time
	Heads   []string   // of the table of the same numbers
	Rows    []chartRow // newest first
	Empty   bool
}

// column is one bucket: bars on each other, and a place to point at.
type column struct {
	X, W float64
	Path string // what is behind it
	Text string // what it says
	Bars []bar
}

type bar struct {
	Class string
	Y, H  float64
}

type polyline struct{ Class, Points string }

type chartRow struct {
	At    time.Time
	Cells []string
}

// bucket is what was counted from a time on; the zero value of its Counted is nothing.
type bucket struct {
	At time.Time
	store.Counted
}

// buckets puts counters in their places, with those in which nothing happened.
func buckets(q store.Question, found []store.Counted) []bucket {
	at := make(map[int64]store.Counted)
	for _, c := range found {
		at[c.At.Unix()] = c
	}
	var out []bucket
	for t := q.From.Truncate(q.Interval.Length()); t.Before(q.To); t = t.Add(q.Interval.Length()) {
		out = append(out, bucket{t, at[t.Unix()]})
	}
	return out
}

// lost is what will not arrive.
func lost(c store.Counted) int64 {
	return c.Counts[string(email.Bounced)] + c.Counts[string(email.Failed)]
}

// flowChart shows what came in, as a line, and what became of it, as bars.
func flowChart(list []bucket, interval store.Interval) chart {
	c := chart{Name: "Recipients " + map[store.Interval]string{store.Minute: "per minute", store.Hour: "per hour", store.Day: "per day"}[interval]}
	c.Heads = []string{"accepted", "delivered", "deferred", "bounced or failed"}
	highest := int64(0)
	for _, b := range list {
		highest = max(highest, b.Counts[store.Accepted], b.Counts["delivered"]+b.Counts["deferred"]+lost(b.Counted))
	}
	top := niceTop(highest)
	c.Empty = highest == 0
	c.Ticks = []string{count(top), count(top / 2), "0"}
	w := chartWidth / float64(len(list))
	var line strings.Builder
	for i, b := range list {
		x, y := float64(i)*w, chartHeight
		col := column{X: x, W: w, Path: listOf(b.At, interval)}
		for _, part := range []struct {
			class string
			n     int64
		}{{"c-good", b.Counts["delivered"]}, {"c-wait", b.Counts["deferred"]}, {"c-bad", lost(b.Counted)}} {
			if part.n == 0 {
				continue
			}
			h := chartHeight * float64(part.n) / float64(top)
			y -= h
			col.Bars = append(col.Bars, bar{part.class, y, h})
		}
		at := chartHeight * (1 - float64(b.Counts[store.Accepted])/float64(top))
		fmt.Fprintf(&line, "%.1f,%.1f %.1f,%.1f ", x, at, x+w, at)
		row := chartRow{b.At, []string{count(b.Counts[store.Accepted]), count(b.Counts["delivered"]), count(b.Counts["deferred"]), count(lost(b.Counted))}}
		col.Text = said(row, c.Heads, interval)
		c.Columns, c.Rows = append(c.Columns, col), append(c.Rows, row)
	}
	c.Lines = []polyline{{"c-accepted", line.String()}}
	c.finish(list)
	return c
}

// latencyChart shows how long mail took to its final reply, on a scale of decades.
func latencyChart(list []bucket, interval store.Interval) chart {
	c := chart{Name: "From accept to the final reply", Heads: []string{"median", "95 %", "99 %"}, Empty: true}
	lowest, highest := math.Inf(1), math.Inf(-1)
	for _, b := range list {
		if b.P99 > 0 {
			lowest, highest, c.Empty = min(lowest, decade(b.P50)), max(highest, decade(b.P99)), false
		}
	}
	if c.Empty {
		lowest, highest = 1, 4
	}
	low, high := math.Floor(lowest), math.Ceil(highest)
	if high-low < 2 {
		high = low + 2
	}
	for e := high; e >= low; e-- {
		c.Ticks = append(c.Ticks, short(time.Duration(math.Pow(10, e))*time.Millisecond))
	}
	y := func(d time.Duration) float64 { return chartHeight * (high - decade(d)) / (high - low) }
	w := chartWidth / float64(len(list))
	lines := []polyline{{Class: "c-p99"}, {Class: "c-p95"}, {Class: "c-p50"}}
	for i, b := range list {
		x := float64(i) * w
		row := chartRow{b.At, []string{"–", "–", "–"}}
		if b.P99 > 0 {
			row.Cells = []string{short(b.P50), short(b.P95), short(b.P99)}
			for l, d := range []time.Duration{b.P99, b.P95, b.P50} {
				lines[l].Points += fmt.Sprintf("%.1f,%.1f %.1f,%.1f ", x, y(d), x+w, y(d))
			}
		}
		c.Columns = append(c.Columns, column{X: x, W: w, Path: listOf(b.At, interval), Text: said(row, c.Heads, interval)})
		c.Rows = append(c.Rows, row)
	}
	c.Lines = lines
	c.finish(list)
	return c
}

func (c *chart) finish(list []bucket) {
	c.Times = []time.Time{list[0].At, list[len(list)/2].At, list[len(list)-1].At}
	slices.Reverse(c.Rows)
}

// decade is a duration on a scale of powers of ten of milliseconds.
func decade(d time.Duration) float64 { return math.Log10(max(1, float64(d.Milliseconds()))) }

// niceTop is the next number that is easily halved and read.
func niceTop(n int64) int64 {
	for step := int64(1); ; step *= 10 {
		for _, m := range []int64{2, 4, 6, 10, 16} {
			if m*step >= n {
				return m * step
			}
		}
	}
}

// said is a bucket in words.
func said(r chartRow, heads []string, interval store.Interval) string {
	layout := map[store.Interval]string{store.Minute: "15:04", store.Hour: "Mon 15:04", store.Day: "2 January"}[interval]
	parts := make([]string, len(heads))
	for i, h := range heads {
		parts[i] = r.Cells[i] + " " + h
	}
	return r.At.Local().Format(layout) + ": " + strings.Join(parts, ", ")
}

// listOf leads to the messages of a bucket.
func listOf(at time.Time, interval store.Interval) string {
	return "/ui/messages?" + url.Values{
		"after":  {at.UTC().Format(time.RFC3339)},
		"before": {at.Add(interval.Length()).UTC().Format(time.RFC3339)},
	}.Encode()
}
