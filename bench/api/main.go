// Command api measures the API alone: requests per second of POST /messages with
// everything on (key, checks, idempotency, one script that keeps message, states,
// events, indexes and due entry), beside a bare Gin handler that parses the same JSON
// and writes it to Redis. No worker runs, the rate limit is off, and the two take
// turns, so that what else the machine does meets both.
//
//	go run ./bench/api            about a minute
//	go run ./bench/api -n 1000 -rounds 1
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"syscall"
	"time"

	"postrider/bench/ledger"
	"postrider/bench/rig"
)

// options are the flags.
type options struct {
	n, rounds, connections, size int
	fsync                        string
}

func main() {
	var o options
	flag.IntVar(&o.n, "n", 5000, "requests in each run")
	flag.IntVar(&o.rounds, "rounds", 5, "runs of each subject, in turn")
	flag.IntVar(&o.connections, "connections", 16, "of the injector")
	flag.IntVar(&o.size, "size", 10<<10, "octets of text per mail")
	flag.StringVar(&o.fsync, "fsync", "everysec", "Redis' appendfsync")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, &o); err != nil {
		fmt.Fprintln(os.Stderr, "bench/api:", err)
		os.Exit(1)
	}
}

// subject is a server that takes mails.
type subject struct {
	name, url, key string
	proc           *rig.Proc
	rates          []float64
	cpu            []time.Duration // of the server, per request
}

func run(ctx context.Context, o *options) error {
	fmt.Printf("%s, %d processors for this process, Go %s; %d requests of %d octets, %d rounds, appendfsync %s\n\n",
		time.Now().UTC().Format("2006-01-02 15:04 MST"), runtime.GOMAXPROCS(0), runtime.Version(), o.n, o.size, o.rounds, o.fsync)
	r, err := rig.New(ctx)
	if err != nil {
		return err
	}
	defer r.Close()
	bare, err := startBare(r, o)
	if err != nil {
		return err
	}
	service, err := startService(ctx, r, o)
	if err != nil {
		return err
	}
	for round := range o.rounds + 1 {
		for i := range 2 {
			s := []*subject{bare, service}[(round+i)%2]
			if err := s.measure(ctx, r, o, round); err != nil {
				return fmt.Errorf("%s: %w", s.name, err)
			}
		}
	}
	fmt.Printf("\n%-24s %12s %16s\n", "median of the rounds", "requests/s", "CPU each, µs")
	for _, s := range []*subject{bare, service} {
		fmt.Printf("%-24s %12.0f %16.0f\n", s.name, median(s.rates), float64(median(s.cpu))/float64(time.Microsecond))
	}
	ratios := make([]float64, o.rounds)
	for i := range ratios {
		ratios[i] = service.rates[i] / bare.rates[i]
	}
	fmt.Printf("\nPOST /messages reaches %.0f %% of the bare handler (%.0f to %.0f %% by round).\n",
		100*median(ratios), 100*slices.Min(ratios), 100*slices.Max(ratios))
	return nil
}

func startBare(r *rig.Rig, o *options) (*subject, error) {
	redis, err := r.StartRedis(o.fsync)
	if err != nil {
		return nil, err
	}
	port, err := rig.FreePort()
	if err != nil {
		return nil, err
	}
	addr := net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
	s := &subject{name: "bare Gin and one SET", url: "http://" + addr, key: "none"}
	if s.proc, err = r.Start("bare", nil, r.Program("bare"), "-http", addr, "-redis", redis.Addr); err != nil {
		return nil, err
	}
	return s, rig.AwaitHTTP(s.proc, s.url+"/healthz")
}

func startService(ctx context.Context, r *rig.Rig, o *options) (*subject, error) {
	redis, err := r.StartRedis(o.fsync)
	if err != nil {
		return nil, err
	}
	sink, err := r.StartSink()
	if err != nil {
		return nil, err
	}
	setup, err := r.Install(ctx, redis, sink, false)
	if err != nil {
		return nil, err
	}
	service, err := setup.Start("api")
	if err != nil {
		return nil, err
	}
	return &subject{name: "POST /messages", url: service.URL, key: setup.Key, proc: service.Proc}, service.Await()
}

// measure posts one series. The first round warms up and does not count.
func (s *subject) measure(ctx context.Context, r *rig.Rig, o *options, round int) error {
	before, err := rig.CPU(s.proc.PID())
	if err != nil {
		return err
	}
	path := filepath.Join(r.Dir, "promises")
	out, err := exec.CommandContext(ctx, r.Program("inject"), "-urls", s.url, "-key", s.key, "-series", "r"+strconv.Itoa(round)+"x",
		"-n", strconv.Itoa(o.n), "-connections", strconv.Itoa(o.connections), "-size", strconv.Itoa(o.size), "-promises", path).CombinedOutput()
	if err != nil {
		return fmt.Errorf("inject: %w\n%s\n%s", err, out, s.proc.Tail())
	}
	after, err := rig.CPU(s.proc.PID())
	if err != nil {
		return err
	}
	took, err := elapsed(path)
	if err != nil {
		return err
	}
	rate, cpu := float64(o.n)/took.Seconds(), (after-before)/time.Duration(o.n)
	fmt.Printf("round %d  %-24s %8.0f requests/s  %5.0f µs CPU each\n", round, s.name, rate, float64(cpu)/float64(time.Microsecond))
	if round > 0 {
		s.rates, s.cpu = append(s.rates, rate), append(s.cpu, cpu)
	}
	return nil
}

// elapsed is from the first request to the last answer.
func elapsed(path string) (time.Duration, error) {
	file, err := os.Open(path)
	if err != nil {
		return 0, err
	}
	defer file.Close()
	promises, err := ledger.ReadPromises(file)
	if err != nil {
		return 0, err
	}
	if len(promises) == 0 {
		return 0, errors.New("no answers were written down")
	}
	first, last := promises[0].Begun, promises[0].Answered
	for _, p := range promises {
		if p.Begun.Before(first) {
			first = p.Begun
		}
		if p.Answered.After(last) {
			last = p.Answered
		}
	}
	return last.Sub(first), nil
}

func median[T float64 | time.Duration](values []T) T {
	sorted := slices.Sorted(slices.Values(values))
	return sorted[len(sorted)/2]
}
