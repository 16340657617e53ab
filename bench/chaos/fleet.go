package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"postrider/bench/rig"
)

// fleet is all processes, and what was done to them.
type fleet struct {
	rig      *rig.Rig
	o        *options
	random   *rand.Rand
	redis    *rig.Redis
	sink     *rig.Sink
	setup    *rig.Setup
	services []*rig.Service // the APIs first

	blows  []time.Time          // when something was killed or told to end
	ends   map[string]time.Time // when processes of the service ended, by their logs
	cuts   []time.Time          // when Redis was killed
	kills  int
	rolled int
	late   int // processes that did not end in time after SIGTERM
}

func newFleet(r *rig.Rig, o *options) *fleet {
	return &fleet{rig: r, o: o, ends: make(map[string]time.Time), random: rand.New(rand.NewPCG(o.seed, 0))}
}

// blow is one thing that happens.
type blow string

const (
	killWorker blow = "kill -9 worker"
	killAPI    blow = "kill -9 API"
	killRedis  blow = "kill -9 Redis"
	roll       blow = "rolling restart"
)

// plan is what happens, in random order.
func (f *fleet) plan() []blow {
	var plan []blow
	for _, part := range []struct {
		what blow
		n    int
	}{{killWorker, f.o.workers}, {killAPI, f.o.apis}, {killRedis, f.o.redis}, {roll, f.o.rolling}} {
		for range part.n {
			plan = append(plan, part.what)
		}
	}
	f.random.Shuffle(len(plan), func(i, j int) { plan[i], plan[j] = plan[j], plan[i] })
	return plan
}

func (f *fleet) execute(ctx context.Context, plan []blow) error {
	for i, b := range plan {
		// From half to one and a half times the mean.
		if err := f.rest(ctx, f.o.pause/2+time.Duration(f.random.Int64N(int64(f.o.pause)+1))); err != nil {
			return err
		}
		say("  %3d of %d  %s", i+1, len(plan), b)
		if err := f.strike(ctx, b); err != nil {
			return fmt.Errorf("%s: %w", b, err)
		}
	}
	return nil
}

func (f *fleet) rest(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// strike does one thing and brings back what it ended. What it killed stays away
// for up to a second.
func (f *fleet) strike(ctx context.Context, b blow) error {
	f.blows = append(f.blows, time.Now())
	away := time.Duration(f.random.Int64N(int64(time.Second)))
	switch b {
	case killRedis:
		f.kills++
		f.cuts = append(f.cuts, time.Now())
		f.redis.Kill()
		if err := f.rest(ctx, away); err != nil {
			return err
		}
		return f.redis.Restart()
	case roll:
		f.rolled++
		return f.rollAll()
	case killAPI:
		return f.kill(ctx, f.services[f.random.IntN(apis)], away)
	default:
		return f.kill(ctx, f.services[apis+f.random.IntN(workers)], away)
	}
}

func (f *fleet) kill(ctx context.Context, s *rig.Service, away time.Duration) error {
	f.kills++
	f.ends[s.Log] = time.Now()
	s.Kill()
	if err := f.rest(ctx, away); err != nil {
		return err
	}
	return f.raise(s)
}

func (f *fleet) raise(s *rig.Service) error {
	if err := s.Restart(); err != nil {
		return err
	}
	return s.Await()
}

// drainLimit is more than the 90 s that running transactions may take.
const drainLimit = 100 * time.Second

// rollAll restarts every process of the service, one after the other.
func (f *fleet) rollAll() error {
	for _, s := range f.services {
		f.blows = append(f.blows, time.Now())
		if !s.Terminate(drainLimit) {
			f.late++
		}
		f.ends[s.Log] = time.Now()
		if err := f.raise(s); err != nil {
			return err
		}
	}
	return nil
}
