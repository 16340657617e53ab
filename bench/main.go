// Command bench measures the service: injector -> POST /messages -> Redis ->
// workers -> SMTP sink, and beside it, in the same run, the thin line (the smallest
// HTTP -> asynq -> SMTP program), the limit of the wire, and Postfix where it is
// installed. It prints a table and ends with 1 if a mail was lost or came twice.
//
//	go run ./bench                 about five minutes
//	go run ./bench -n 3000 -rounds 1 -singles 50
//
// What counts are the ratios to the thin line: its runs and the service's take
// turns, so that what else the machine does meets both.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"syscall"
	"time"

	"postrider/bench/rig"
)

// options are the flags.
type options struct {
	n           int
	rounds      int
	singles     int
	connections int
	size        int
	only        string
	peers       bool
}

func main() {
	var o options
	flag.IntVar(&o.n, "n", 6000, "mails in each run")
	flag.IntVar(&o.rounds, "rounds", 3, "runs of each subject in each setting, in turn")
	flag.IntVar(&o.singles, "singles", 200, "single mails on an idle system, for the latency")
	flag.IntVar(&o.connections, "connections", 16, "of the injector")
	flag.IntVar(&o.size, "size", 10<<10, "octets of text per mail")
	flag.StringVar(&o.only, "only", "", "one setting only, such as always or everysec+dkim")
	flag.BoolVar(&o.peers, "peers", true, "also measure the wire and Postfix")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, &o); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// errNotClean makes a run with a lost or doubled mail fail.
var errNotClean = errors.New("mails were lost or came more than once: see above")

func run(ctx context.Context, o *options) error {
	began := time.Now()
	fmt.Printf("%s, %d processors for this process, Go %s; %d mails of %d octets, %d rounds\n\n",
		time.Now().UTC().Format("2006-01-02 15:04 MST"), runtime.GOMAXPROCS(0), runtime.Version(), o.n, o.size, o.rounds)
	say("building")
	r, err := rig.New(ctx)
	if err != nil {
		return err
	}
	defer r.Close()
	t := &table{}
	for _, fsync := range []string{"everysec", "always"} {
		for _, sign := range []bool{false, true} {
			s := setting{fsync: fsync, sign: sign}
			if o.only != "" && o.only != s.String() {
				continue
			}
			if err := compare(ctx, r, o, s, t); err != nil {
				return fmt.Errorf("%s: %w", s, err)
			}
		}
	}
	if o.peers {
		if err := measurePeers(ctx, r, o, t); err != nil {
			return err
		}
	}
	t.print(os.Stdout)
	fmt.Printf("\nThe run took %v.\n", time.Since(began).Round(time.Second))
	if t.faults > 0 {
		return errNotClean
	}
	return nil
}

// say shows progress.
func say(format string, args ...any) { fmt.Fprintf(os.Stderr, format+"\n", args...) }

// compare runs service and thin line in turn.
func compare(ctx context.Context, r *rig.Rig, o *options, s setting, t *table) error {
	for round := range o.rounds {
		subjects := []subject{thin, service}
		if round%2 == 1 {
			subjects = []subject{service, thin}
		}
		for _, sub := range subjects {
			m, err := measure(ctx, r, o, s, sub, round == 0)
			if err != nil {
				return fmt.Errorf("%s: %w", sub, err)
			}
			t.add(m)
			say("%-14s round %d of %d  %-9s %6.0f messages/s  %4.0f + %3.0f µs CPU each", s, round+1, o.rounds, sub,
				m.rate, micros(m.cpu), micros(m.redisCPU))
		}
	}
	return nil
}

func micros(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }
