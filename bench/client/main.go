// Command client measures the SMTP client alone: smtpclient.Transport against a minimal
// sink in a process of its own, beside a raw writer that sends the same octets and only
// counts the lines that come back. Their runs take turns, so that what else the machine
// does meets both; what counts are the ratios.
//
//	go run ./bench/client                   about two minutes
//	go run ./bench/client -time 150ms -rounds 41 -only plain/reused
//
// On a machine that has other work, many short rounds tell more than a few long ones:
// the ratio is the median of those of the rounds.
//
// Reused connections carry RSET, MAIL, RCPT and DATA in one write, the mail with its
// dot in the next. Fresh ones begin with greeting and EHLO, over TLS with STARTTLS and
// EHLO again, and end with QUIT. Each mail has one recipient and a mark that succeeds.
package main

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"runtime/pprof"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"text/tabwriter"
	"time"

	"postrider/bench/load"
)

// options are the flags.
type options struct {
	span   time.Duration
	rounds int
	size   int
	only   string
	alone  string
	cpu    string
	sink   bool
}

func main() {
	var o options
	flag.DurationVar(&o.span, "time", time.Second, "of each run")
	flag.IntVar(&o.rounds, "rounds", 3, "runs of each subject in each setting, in turn")
	flag.IntVar(&o.size, "size", 10<<10, "octets of text per mail")
	flag.StringVar(&o.only, "only", "", "settings whose name begins so, such as tls/fresh")
	flag.StringVar(&o.alone, "alone", "", "run one subject only, to profile it: client or raw")
	flag.StringVar(&o.cpu, "cpuprofile", "", "a file for the CPU profile of this process")
	flag.BoolVar(&o.sink, "sink", false, "be the sink (the command starts itself so)")
	flag.Parse()
	do := run
	if o.sink {
		do = func(*options) error { return serve(os.Stdout) }
	}
	if err := do(&o); err != nil {
		fmt.Fprintln(os.Stderr, "bench/client:", err)
		os.Exit(1)
	}
}

// setting is one row of the table.
type setting struct {
	tls, fresh  bool
	connections int
}

func (s setting) String() string {
	name := "plain"
	if s.tls {
		name = "tls"
	}
	if s.fresh {
		return fmt.Sprintf("%s/fresh/%d", name, s.connections)
	}
	return fmt.Sprintf("%s/reused/%d", name, s.connections)
}

// sender sends one mail after another, in a goroutine of its own.
type sender interface {
	send(raw []byte, to string) error
	close()
}

// subject makes senders.
type subject func(s setting, addr string) (sender, error)

func run(o *options) error {
	addr, stop, err := startSink()
	if err != nil {
		return err
	}
	defer stop()
	if o.cpu != "" {
		f, err := os.Create(o.cpu)
		if err != nil {
			return err
		}
		defer func() { _ = f.Close() }()
		if err := pprof.StartCPUProfile(f); err != nil {
			return fmt.Errorf("profile: %w", err)
		}
		defer pprof.StopCPUProfile()
	}
	fmt.Printf("%s, %d processors for this process, Go %s; mails of %d octets, %d rounds of %v\n\n",
		time.Now().UTC().Format("2006-01-02 15:04 MST"), runtime.GOMAXPROCS(0), runtime.Version(), o.size, o.rounds, o.span)
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "setting\tclient/s\traw/s\tof raw\t(half of the rounds)\tCPU\tof raw writer\tallocations\tof raw writer\tKB allocated\t")
	mails := load.New(o.size)
	for _, s := range settings() {
		if !strings.HasPrefix(s.String(), o.only) {
			continue
		}
		if err := compare(w, o, s, addr, mails); err != nil {
			return fmt.Errorf("%s: %w", s, err)
		}
		fmt.Fprintln(os.Stderr, "measured", s)
	}
	return w.Flush()
}

func settings() []setting {
	var list []setting
	for _, s := range []setting{{}, {tls: true}, {fresh: true}, {tls: true, fresh: true}} {
		for _, s.connections = range []int{1, 10, 50} {
			list = append(list, s)
		}
	}
	return list
}

// figures are what one run came to, per mail but for the rate.
type figures struct{ rate, cpu, allocations, octets float64 }

func compare(w *tabwriter.Writer, o *options, s setting, addr string, mails *load.Mails) error {
	var client, raw []figures
	var ratios []float64
	first, second := newClient, newRaw
	switch o.alone {
	case "client":
		second = newClient
	case "raw":
		first = newRaw
	}
	for range o.rounds {
		c, err := measure(o, s, first, addr, mails)
		if err != nil {
			return err
		}
		r, err := measure(o, s, second, addr, mails)
		if err != nil {
			return fmt.Errorf("raw writer: %w", err)
		}
		client, raw = append(client, c), append(raw, r)
		ratios = append(ratios, 100*c.rate/r.rate)
	}
	rate := func(f figures) float64 { return f.rate }
	allocations := func(f figures) float64 { return f.allocations }
	cpu := func(f figures) float64 { return f.cpu }
	fmt.Fprintf(w, "%s\t%.0f\t%.0f\t%.0f %%\t(%.0f-%.0f)\t%.1f µs\t%.1f µs\t%.0f\t%.0f\t%.1f\t\n", s, median(client, rate), median(raw, rate),
		middle(ratios), quantile(ratios, 1, 4), quantile(ratios, 3, 4), median(client, cpu), median(raw, cpu), median(client, allocations), median(raw, allocations),
		median(client, func(f figures) float64 { return f.octets / 1024 }))
	return nil
}

// measure lets the senders of one subject send for the time of a run.
func measure(o *options, s setting, subject subject, addr string, mails *load.Mails) (figures, error) {
	senders := make([]sender, s.connections)
	for i := range senders {
		one, err := subject(s, addr)
		if err != nil {
			return figures{}, err
		}
		defer one.close()
		senders[i] = one
	}
	raw, to := mails.RFC5322(nil, "n", 1), load.Recipient("n", 1)
	for _, one := range senders { // connected, and its buffers grown
		if err := one.send(raw, to); err != nil {
			return figures{}, err
		}
	}
	var sent atomic.Int64
	var group sync.WaitGroup
	failed := make(chan error, len(senders))
	ctx, cancel := context.WithTimeout(context.Background(), o.span)
	defer cancel()
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	began, busy := time.Now(), cpuTime()
	for _, one := range senders {
		group.Go(func() {
			for ctx.Err() == nil {
				if err := one.send(raw, to); err != nil {
					failed <- err
					return
				}
				sent.Add(1)
			}
		})
	}
	group.Wait()
	took, busy := time.Since(began), cpuTime()-busy
	runtime.ReadMemStats(&after)
	select {
	case err := <-failed:
		return figures{}, err
	default:
	}
	n := float64(max(sent.Load(), 1))
	return figures{
		rate: n / took.Seconds(), cpu: float64(busy.Microseconds()) / n, allocations: float64(after.Mallocs-before.Mallocs) / n, octets: float64(after.TotalAlloc-before.TotalAlloc) / n,
	}, nil
}

// cpuTime is what this process has spent, in user and kernel mode; the sink is another.
func cpuTime() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func median(list []figures, of func(figures) float64) float64 {
	var values []float64
	for _, f := range list {
		values = append(values, of(f))
	}
	return middle(values)
}

func middle[T cmp.Ordered](list []T) T { return quantile(list, 1, 2) }

// quantile is the value that n of m parts of the list are below.
func quantile[T cmp.Ordered](list []T, n, m int) T {
	return slices.Sorted(slices.Values(list))[len(list)*n/m]
}

// startSink starts this program as the sink, which ends when its input does.
func startSink() (addr string, stop func(), err error) {
	c := exec.Command(os.Args[0], "-sink")
	c.Stderr = os.Stderr
	in, err := c.StdinPipe()
	if err != nil {
		return "", nil, err
	}
	out, err := c.StdoutPipe()
	if err != nil {
		return "", nil, err
	}
	if err := c.Start(); err != nil {
		return "", nil, fmt.Errorf("start the sink: %w", err)
	}
	stop = func() {
		_ = in.Close()
		_ = c.Wait()
	}
	if _, err := fmt.Fscanln(out, &addr); err != nil {
		stop()
		return "", nil, errors.New("the sink does not say where it listens")
	}
	return addr, stop, nil
}

// clientTLS is what both subjects begin TLS with: sessions are resumed.
func clientTLS() *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS12, InsecureSkipVerify: true, ServerName: sinkName, // the sink's certificate is made anew each time
		DynamicRecordSizingDisabled: true,
		ClientSessionCache:          tls.NewLRUClientSessionCache(8),
	}
}
