package main

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"text/tabwriter"
	"time"
)

// table collects measurements and prints them.
type table struct {
	runs   []*measurement
	peers  []string
	faults int
}

func (t *table) add(m *measurement) {
	t.runs = append(t.runs, m)
	t.faults += len(m.faults)
}

func (t *table) peer(format string, args ...any) {
	t.peers = append(t.peers, fmt.Sprintf(format, args...))
}

// of selects the runs of one subject in one setting, in their order.
func (t *table) of(s setting, sub subject) []*measurement {
	var list []*measurement
	for _, m := range t.runs {
		if m.setting == s && m.subject == sub {
			list = append(list, m)
		}
	}
	return list
}

func (t *table) settings() []setting {
	var list []setting
	for _, m := range t.runs {
		if !slices.Contains(list, m.setting) {
			list = append(list, m.setting)
		}
	}
	return list
}

// print writes the table: medians over the rounds.
func (t *table) print(out io.Writer) {
	fmt.Fprintln(out, "\nMedians over the rounds. CPU is user and system time per message. Latency: POST to the")
	fmt.Fprintln(out, "sink's final reply, single mails on an idle system.")
	fmt.Fprintln(out)
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "setting\tsubject\tmessages/s\tof thin\t(rounds)\tCPU µs\tRedis µs\tCPU of thin\tpeak MB\tRedis MB\tp50 ms\tp95 ms\t")
	for _, s := range t.settings() {
		for _, sub := range []subject{thin, service} {
			t.line(w, s, sub)
		}
	}
	_ = w.Flush()
	for _, p := range t.peers {
		fmt.Fprintln(out, p)
	}
	fmt.Fprintln(out)
	for _, m := range t.runs {
		for _, f := range m.faults {
			fmt.Fprintf(out, "FAULT: %s, %s: %s\n", m.setting, m.subject, f)
		}
	}
	if t.faults == 0 {
		fmt.Fprintf(out, "Checked: every 202 of %d runs arrived at the sink exactly once.\n", len(t.runs))
	}
}

func (t *table) line(w io.Writer, s setting, sub subject) {
	runs, base := t.of(s, sub), t.of(s, thin)
	rate := func(m *measurement) float64 { return m.rate }
	cpu := func(m *measurement) float64 { return micros(m.cpu + m.redisCPU) }
	// Ratios are of neighbouring runs, which the machine treated alike.
	var ratios []float64
	for i := range min(len(runs), len(base)) {
		ratios = append(ratios, 100*runs[i].rate/base[i].rate)
	}
	fmt.Fprintf(w, "%s\t%s\t%.0f\t%.0f %%\t(%.0f-%.0f)\t%.0f\t%.0f\t%.2f\t%d\t%d\t%s\t%s\t\n", s, sub,
		median(runs, rate), middle(ratios), slices.Min(ratios), slices.Max(ratios),
		median(runs, func(m *measurement) float64 { return micros(m.cpu) }),
		median(runs, func(m *measurement) float64 { return micros(m.redisCPU) }),
		median(runs, cpu)/max(median(base, cpu), 1),
		most(runs, func(m *measurement) int64 { return m.memory })>>20,
		most(runs, func(m *measurement) int64 { return m.redisMem })>>20,
		milliseconds(percentile(runs[0].latency, 50)), milliseconds(percentile(runs[0].latency, 95)))
}

func milliseconds(d time.Duration) string {
	if d == 0 {
		return "-"
	}
	return fmt.Sprintf("%.1f", float64(d)/float64(time.Millisecond))
}

func median(runs []*measurement, of func(*measurement) float64) float64 {
	var list []float64
	for _, m := range runs {
		list = append(list, of(m))
	}
	return middle(list)
}

func middle(list []float64) float64 {
	list = slices.Sorted(slices.Values(list))
	return (list[(len(list)-1)/2] + list[len(list)/2]) / 2
}

func most[T cmp.Ordered](runs []*measurement, of func(*measurement) T) (top T) {
	for _, m := range runs {
		top = max(top, of(m))
	}
	return top
}
