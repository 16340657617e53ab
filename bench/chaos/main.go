// Command chaos puts a steady load on several processes of the service and kills
// them at random: workers, APIs and Redis by kill -9, everything in turn by SIGTERM.
// Then it compares three ledgers - the 202s given, the mails at the sink, and the
// unknown outcomes that the service itself lists - and ends with 1 if a mail was
// lost, or came twice without being listed, or if an attempt that died before its
// mark was not tried again within 45 s of the kill.
//
//	make chaos         the short form, about three minutes; a part of CI
//	make chaos-long    20,000 mails, 50 workers, 25 APIs and 15 times Redis killed, 20 rolling restarts
//
// Its settings are the service's own: a long retry schedule and a short lifetime of
// the mails shorten the delays after an unknown outcome to seconds, so that
// the run sees them through.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"postrider/bench/ledger"
	"postrider/bench/rig"
)

// options are the flags.
type options struct {
	mails                         int
	workers, apis, redis, rolling int
	pause                         time.Duration
	think                         time.Duration
	fsync                         string
	seed                          uint64
	settle                        time.Duration
	keep                          bool
}

func main() {
	var o options
	flag.IntVar(&o.mails, "mails", 6000, "mails")
	flag.IntVar(&o.workers, "workers", 10, "workers to kill")
	flag.IntVar(&o.apis, "apis", 5, "APIs to kill")
	flag.IntVar(&o.redis, "redis", 3, "times to kill Redis")
	flag.IntVar(&o.rolling, "rolling", 2, "rolling restarts")
	flag.DurationVar(&o.pause, "pause", 2*time.Second, "mean time between two of these")
	flag.DurationVar(&o.think, "think", 150*time.Millisecond, "how long the sink takes at most before its final reply")
	flag.StringVar(&o.fsync, "fsync", "always", "appendfsync of Redis")
	flag.Uint64Var(&o.seed, "seed", uint64(time.Now().UnixNano()), "of the order of things")
	flag.DurationVar(&o.settle, "settle", 8*time.Minute, "how long mails may take to their end once the load has ended")
	flag.BoolVar(&o.keep, "keep", false, "keep the logs of all processes")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, &o); err != nil {
		fmt.Fprintln(os.Stderr, "chaos:", err)
		os.Exit(1)
	}
}

var errNotClean = errors.New("not as promised: see above")

func run(ctx context.Context, o *options) error {
	began := time.Now()
	say("building; seed %d", o.seed)
	r, err := rig.New(ctx)
	if err != nil {
		return err
	}
	if o.keep {
		say("logs are in %s", r.Dir)
		defer r.EndAll()
	} else {
		defer r.Close()
	}
	f, err := raise(ctx, r, o)
	if err != nil {
		return err
	}
	promises, err := f.storm(ctx)
	if err != nil {
		return err
	}
	say("the load has ended: %d kills and %d rolling restarts; now every mail must come to its end", f.kills, f.rolled)
	open, err := f.awaitEnd(ctx, promises)
	if err != nil {
		return err
	}
	arrivals, err := f.sink.Ledger()
	if err != nil {
		return err
	}
	report, err := ledger.Reconcile(promises, arrivals, f.unknowns)
	if err != nil {
		return err
	}
	f.print(report, open, promises, arrivals)
	repaired, err := f.repaired()
	if err != nil {
		return err
	}
	inTime := repaired.print()
	fmt.Printf("The run took %v.\n", time.Since(began).Round(time.Second))
	if !report.OK() || open > 0 || f.late > 0 || !inTime {
		return errNotClean
	}
	return nil
}

// say shows progress.
func say(format string, args ...any) { fmt.Fprintf(os.Stderr, format+"\n", args...) }

// Processes of each role.
const apis, workers = 2, 3

// The lifetime of the mails and the retry schedule: the service shortens the delays
// after an unknown outcome (15 min, 1 h, 4 h) to about 7 s, 26 s and 2 min.
const (
	lifetime = 1200 // seconds
	schedule = "POSTRIDER_RETRY_SCHEDULE"
	delays   = "8h"
)

// raise starts everything.
func raise(ctx context.Context, r *rig.Rig, o *options) (*fleet, error) {
	f := newFleet(r, o)
	var err error
	if f.redis, err = r.StartRedis(o.fsync); err != nil {
		return nil, err
	}
	if f.sink, err = r.StartSink("-think", o.think.String()); err != nil {
		return nil, err
	}
	if f.setup, err = r.Install(ctx, f.redis, f.sink, false); err != nil {
		return nil, err
	}
	f.setup.Set(schedule, delays)
	for i := range apis + workers {
		role := "api"
		if i >= apis {
			role = "worker"
		}
		s, err := f.setup.Start(role)
		if err != nil {
			return nil, err
		}
		f.services = append(f.services, s)
	}
	for _, s := range f.services {
		if err := s.Await(); err != nil {
			return nil, err
		}
	}
	return f, nil
}

// storm injects and kills until both are done, and returns the promises.
func (f *fleet) storm(ctx context.Context) ([]ledger.Promise, error) {
	plan := f.plan()
	// The load lasts about as long as the plan, each step with the time it takes.
	const step = 1500 * time.Millisecond
	rate := float64(f.o.mails) / (time.Duration(len(plan)) * (f.o.pause + step)).Seconds()
	say("%d mails, about %.0f a second; %d APIs, %d workers; Redis at appendfsync %s", f.o.mails, rate, apis, workers, f.o.fsync)
	path := filepath.Join(f.rig.Dir, "promises")
	var urls []string
	for _, s := range f.services[:apis] {
		urls = append(urls, s.URL)
	}
	inject := exec.CommandContext(ctx, f.rig.Program("inject"), "-urls", strings.Join(urls, ","), "-key", f.setup.Key,
		"-series", "m", "-n", strconv.Itoa(f.o.mails), "-rate", fmt.Sprint(rate), "-lifetime", strconv.Itoa(lifetime),
		"-insist", "2m", "-promises", path, "-progress")
	inject.Stderr = os.Stderr
	if err := inject.Start(); err != nil {
		return nil, err
	}
	err := f.execute(ctx, plan)
	if err != nil {
		_ = inject.Process.Kill()
	}
	if ended := inject.Wait(); err == nil && ended != nil {
		err = fmt.Errorf("inject: %w", ended)
	}
	if err != nil {
		return nil, err
	}
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	return ledger.ReadPromises(file)
}
