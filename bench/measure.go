package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"postrider/bench/ledger"
	"postrider/bench/rig"
)

// setting is what the subjects are compared under.
type setting struct {
	fsync string
	sign  bool
}

func (s setting) String() string {
	if s.sign {
		return s.fsync + "+dkim"
	}
	return s.fsync
}

// subject is what is measured.
type subject string

const (
	thin    subject = "thin line"
	service subject = "postrider"
)

// measurement is one run of one subject.
type measurement struct {
	setting  setting
	subject  subject
	rate     float64       // messages per second, from the first POST to the last final reply
	cpu      time.Duration // of the subject, per message
	redisCPU time.Duration // per message
	memory   int64         // most held by the subject, in octets
	redisMem int64
	latency  []time.Duration // POST to final reply on an idle system, sorted; may be empty
	faults   []string
}

// running is a subject with all it needs.
type running struct {
	*rig.Proc
	redis *rig.Redis
	sink  *rig.Sink
	url   string
	key   string
}

// warmUp mails fill caches and connections before anything is counted.
const warmUp = 500

// patience is how long nothing may arrive before a run has failed.
const patience = 20 * time.Second

// measure starts a subject on a fresh Redis and puts the load on it.
func measure(ctx context.Context, r *rig.Rig, o *options, s setting, sub subject, latency bool) (*measurement, error) {
	defer r.EndAll()
	run, err := start(ctx, r, s, sub)
	if err != nil {
		return nil, err
	}
	if _, err := load(ctx, r, o, run, "warm", warmUp); err != nil {
		return nil, err
	}
	m := &measurement{setting: s, subject: sub}
	if latency && o.singles > 0 {
		single := *o
		single.connections = 1
		arrivals, err := load(ctx, r, &single, run, "single", o.singles, "-pause", "15ms")
		if err != nil {
			return nil, err
		}
		m.latency, m.faults = arrivals.latencies, arrivals.faults
	}
	before, err := usage(run)
	if err != nil {
		return nil, err
	}
	result, err := load(ctx, r, o, run, "load", o.n)
	if err != nil {
		return nil, err
	}
	after, err := usage(run)
	if err != nil {
		return nil, err
	}
	m.rate = float64(o.n) / result.took.Seconds()
	m.cpu = (after[0] - before[0]) / time.Duration(o.n)
	m.redisCPU = (after[1] - before[1]) / time.Duration(o.n)
	m.faults = append(m.faults, result.faults...)
	if m.memory, err = rig.PeakMemory(run.PID()); err != nil {
		return nil, err
	}
	m.redisMem, err = rig.PeakMemory(run.redis.PID())
	return m, err
}

func usage(run *running) (used [2]time.Duration, err error) {
	if used[0], err = rig.CPU(run.PID()); err != nil {
		return used, err
	}
	used[1], err = rig.CPU(run.redis.PID())
	return used, err
}

func start(ctx context.Context, r *rig.Rig, s setting, sub subject) (*running, error) {
	redis, err := r.StartRedis(s.fsync)
	if err != nil {
		return nil, err
	}
	sink, err := r.StartSink()
	if err != nil {
		return nil, err
	}
	run := &running{redis: redis, sink: sink}
	if sub == service {
		setup, err := r.Install(ctx, redis, sink, s.sign)
		if err != nil {
			return nil, err
		}
		process, err := setup.Start("api,worker")
		if err != nil {
			return nil, err
		}
		run.Proc, run.url, run.key = process.Proc, process.URL, setup.Key
		return run, process.Await()
	}
	port, err := rig.FreePort()
	if err != nil {
		return nil, err
	}
	addr := net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
	run.url = "http://" + addr
	run.Proc, err = r.Start("thin", nil, r.Program("thin"), "-http", addr, "-redis", redis.Addr, "-to", sink.SMTP, fmt.Sprintf("-dkim=%v", s.sign))
	if err != nil {
		return nil, err
	}
	return run, rig.AwaitHTTP(run.Proc, run.url+"/healthz")
}

// loaded is what came of one series of mails.
type loaded struct {
	took      time.Duration // first POST to last final reply
	latencies []time.Duration
	faults    []string
}

// load posts n mails and waits until all of them have arrived.
func load(ctx context.Context, r *rig.Rig, o *options, run *running, series string, n int, more ...string) (*loaded, error) {
	if err := run.sink.Reset(); err != nil {
		return nil, err
	}
	path := filepath.Join(r.Dir, "promises")
	args := append([]string{
		"-urls", run.url, "-key", run.key, "-series", series, "-n", strconv.Itoa(n),
		"-connections", strconv.Itoa(o.connections), "-size", strconv.Itoa(o.size), "-promises", path,
	}, more...)
	if out, err := exec.CommandContext(ctx, r.Program("inject"), args...).CombinedOutput(); err != nil {
		return nil, fmt.Errorf("inject: %w\n%s\n%s", err, out, run.Tail())
	}
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	promises, err := ledger.ReadPromises(file)
	if err != nil {
		return nil, err
	}
	// What is missing at the end shows in the books.
	late := run.sink.Await(ctx, n, patience)
	time.Sleep(100 * time.Millisecond) // a second copy would be close behind
	arrivals, err := run.sink.Ledger()
	if err != nil {
		return nil, err
	}
	result, err := check(promises, arrivals)
	if err == nil && late != nil {
		result.faults = append(result.faults, late.Error())
	}
	return result, err
}

// check compares the books. Nothing is killed here, so nothing is excused.
func check(promises []ledger.Promise, arrivals []ledger.Arrival) (*loaded, error) {
	report, err := ledger.Reconcile(promises, arrivals, func(string) (int, error) { return 0, nil })
	if err != nil {
		return nil, err
	}
	l := &loaded{}
	if !report.OK() || report.Unanswered > 0 {
		l.faults = append(l.faults, fmt.Sprintf("%d lost, %d doubled, %d strange, %d without an answer",
			len(report.Lost), len(report.Unexplained), len(report.Strange), report.Unanswered))
	}
	begun := make(map[string]time.Time, len(promises))
	first, last := promises[0].Begun, promises[0].Begun
	for _, p := range promises {
		begun[p.Recipient] = p.Begun
		if p.Begun.Before(first) {
			first = p.Begun
		}
	}
	for _, a := range arrivals {
		l.latencies = append(l.latencies, a.At.Sub(begun[a.Recipient]))
		if a.At.After(last) {
			last = a.At
		}
	}
	slices.Sort(l.latencies)
	l.took = last.Sub(first)
	return l, nil
}

// percentile of sorted values.
func percentile(sorted []time.Duration, p int) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[min(len(sorted)*p/100, len(sorted)-1)]
}

// wire runs the raw writer against an address.
func wire(ctx context.Context, r *rig.Rig, o *options, to, series string, n int) error {
	out, err := exec.CommandContext(ctx, r.Program("wire"), "-to", to, "-series", series, "-n", strconv.Itoa(n),
		"-size", strconv.Itoa(o.size)).CombinedOutput()
	if err != nil {
		return fmt.Errorf("wire: %w\n%s", err, strings.TrimSpace(string(out)))
	}
	return nil
}
