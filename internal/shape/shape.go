// Package shape decides how fast this process may talk to each provider, the MX
// group that serves a domain: how many connections at once, who goes first, when
// to leave a provider alone, and when a delivery without a slot should come back.
//
// It is pure policy. It opens no connection, stores nothing and, but for the
// bounded wait of [Shaper.Wait], looks only at the clock it was given. A provider
// starts with a few connections, earns one more per run of successes and loses
// half on pushback, when it is also left alone for a while; one that is dead is
// probed by a single delivery after a growing pause (RFC 5321 4.5.4.1: keep the
// state of a host, limit concurrency per destination).
//
// Waiting is no failure. Who gets no slot is given a time to come back, spaced by
// the pace seen so far, so that a long backlog is not polled; who comes back
// finds a short line, so that a connection that falls free is taken at once.
//
//	slot, later := s.Wait(ctx, "google.com", "default", time.Second)
//	if slot == nil {
//		return comeBackAt(later)
//	}
//	defer slot.Release(shape.Good)
package shape

import (
	"container/list"
	"context"
	"sync"
	"time"
)

// Options are the limits of a [Shaper]; zero members take the defaults.
type Options struct {
	Start, Max int            // connections per provider: 2, 10
	Rules      map[string]int // connections for the providers named, in Max's place
	Pause      time.Duration  // after 421 or 4.7.x: 1 min growing to 15 times that
	// Total is how many deliveries of the class default there are at once in the
	// process (100); Others of each of the other classes, which have workers of their
	// own (as many). Slow hosts get half of each.
	Total, Others int
	Now           func() time.Time
}

// What is fixed: none of these is worth an option.
const (
	slowAfter    = 10 * time.Second      // a slot held longer is a slow one
	pauseGrowth  = 15                    // the longest pause, in first pauses
	deadLimit    = 3                     // failures to reach a provider in a row that open its breaker
	maxProviders = 10_000                // remembered at most
	idleMemory   = time.Hour             // an idle provider is remembered this long
	firstGuess   = 25 * time.Millisecond // a transaction's length before any was seen
	farthest     = 30 * time.Minute      // nobody is told to come back later than this after a pause
	minSpacing   = 100 * time.Microsecond

	// A provider that finds no first slot left asks again after firstTrial, and
	// then ever later; its backlog follows at trialPlaces in such a wait.
	firstTrial  = 250 * time.Millisecond
	lastTrial   = 30 * time.Second
	trialPlaces = 64
)

// Feedback is how an attempt went, for the provider's pace.
type Feedback int

// The kinds of feedback.
const (
	Neutral  Feedback = iota // nothing learned (local fault, canceled)
	Good                     // the server answered and took something or refused a recipient normally
	Pushback                 // 421 or 4.7.x: halve and pause
	Dead                     // could not connect, greet or EHLO, or never answered
	Lost                     // broke off in mid-dialogue: only the time it took is learned
)

// Shaper gives slots. It is safe for concurrent use.
type Shaper struct {
	o Options

	mu        sync.Mutex
	providers map[string]*provider
	recent    *list.List // of *provider, the latest used first
	young     *list.List // of *Slot, held for less than slowAfter, the oldest first
	doubtful  [ranks]int // slots held at providers that are slow or not proven yet, or for long
	waiting   [ranks]int // waiters in all lines
	swept     time.Time
}

// New makes a Shaper that knows no provider.
func New(o Options) *Shaper {
	if o.Start <= 0 {
		o.Start = 2
	}
	if o.Max <= 0 {
		o.Max = 10
	}
	o.Start = min(o.Start, o.Max)
	if o.Pause <= 0 {
		o.Pause = time.Minute
	}
	if o.Total <= 0 {
		o.Total = 100
	}
	if o.Others <= 0 {
		o.Others = o.Total
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Shaper{o: o, providers: make(map[string]*provider), recent: list.New(), young: list.New()}
}

// Slot is leave for one transaction; Release it exactly once.
type Slot struct {
	s        *Shaper
	p        *provider
	rank     rank
	doubtful bool // counted in Shaper.doubtful
	probe    bool
	epoch    int // of the provider, when it was given
	since    time.Time
	young    *list.Element // nil once it is slow
}

// Acquire gives a slot, or nil and the time to come back. It never blocks.
// Classes are "critical", "default" and "bulk"; any other counts as "default".
func (s *Shaper) Acquire(provider string, class string) (*Slot, time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.o.Now()
	p := s.provider(provider, now)
	if slot := s.grant(p, rankOf(class), now); slot != nil {
		return slot, time.Time{}
	}
	return nil, s.later(p, rankOf(class), now)
}

// Wait is Acquire with some patience: where nothing but busy connections is in
// the way it stands in the provider's line for at most max. Lines are bounded, one
// at an eighth and all together at a quarter of the class's workers, so that with
// the slow ones they leave room for others. The higher class is served first. It
// ends early when ctx does.
func (s *Shaper) Wait(ctx context.Context, provider, class string, max time.Duration) (*Slot, time.Time) {
	s.mu.Lock()
	now, rank := s.o.Now(), rankOf(class)
	p := s.provider(provider, now)
	if slot := s.grant(p, rank, now); slot != nil {
		s.mu.Unlock()
		return slot, time.Time{}
	}
	w := s.join(p, rank, now)
	if w == nil || max <= 0 {
		defer s.mu.Unlock()
		if w != nil {
			s.leave(w)
		}
		return nil, s.later(p, rank, now)
	}
	s.mu.Unlock()
	timer := time.NewTimer(max)
	defer timer.Stop()
	select {
	case <-w.answered:
	case <-timer.C:
	case <-ctx.Done():
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if w.slot != nil {
		return w.slot, time.Time{}
	}
	s.leave(w)
	return nil, s.later(p, rank, s.o.Now())
}

// Resting reports whether a provider is left alone now, rather than busy: it pushed
// back, or could not be reached.
func (s *Shaper) Resting(provider string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.providers[provider]
	return p != nil && (p.broken || s.o.Now().Before(p.pausedUntil))
}

// Release gives the slot back and says how it went. A second call does nothing.
func (sl *Slot) Release(f Feedback) {
	s := sl.s
	s.mu.Lock()
	defer s.mu.Unlock()
	p := sl.p
	if p == nil {
		return
	}
	now := s.o.Now()
	s.age(now)
	sl.p = nil
	p.moved = now
	p.held--
	if sl.rank == bulk {
		p.heldBulk--
	}
	if sl.young != nil {
		s.young.Remove(sl.young)
	} else {
		p.slowHeld--
	}
	if sl.doubtful {
		s.doubtful[sl.rank]--
	}
	p.learn(sl, f, now)
	s.serve(p, now)
}

// age moves the slots that have been held for long from young to slow.
func (s *Shaper) age(now time.Time) {
	for e := s.young.Front(); e != nil; e = s.young.Front() {
		sl := e.Value.(*Slot)
		if now.Sub(sl.since) <= slowAfter {
			return
		}
		s.young.Remove(e)
		sl.young = nil
		sl.p.slowHeld++
		if !sl.doubtful {
			sl.doubtful = true
			s.doubtful[sl.rank]++
		}
	}
}

// grant gives a slot if nothing is in the way.
func (s *Shaper) grant(p *provider, r rank, now time.Time) *Slot {
	s.age(now)
	doubtful := p.doubtful()
	if !p.open(now) || !p.room(r) || s.crowded(p, r) {
		return nil
	}
	sl := &Slot{s: s, p: p, rank: r, doubtful: doubtful, probe: p.broken, epoch: p.epoch, since: now}
	sl.young = s.young.PushBack(sl)
	p.moved, p.trialPause = now, 0
	p.held++
	if r == bulk {
		p.heldBulk++
	}
	if doubtful {
		s.doubtful[r]++
	}
	return sl
}

// crowded reports whether a class holds so many slots at doubtful providers that
// this one gets none. Those known to be slow share half of its workers. One that nobody
// knows gets a first slot from a little beyond that half, so that it need not wait
// for them: one transaction tells whether it is healthy. A second slot before that
// it gets only while few are in doubt.
func (s *Shaper) crowded(p *provider, r rank) bool {
	if !p.doubtful() {
		return false
	}
	most := max(1, s.total(r)/2)
	if !p.slow() {
		most = s.trials(r)
		if p.held == 0 {
			most = max(1, s.total(r)/2+s.trials(r))
		}
	}
	return s.doubtful[r] >= most
}

// trials is the part of a class's workers that is kept for first slots.
func (s *Shaper) trials(r rank) int { return s.total(r) / 8 }

// total is how many deliveries of a class there are at once.
func (s *Shaper) total(r rank) int {
	if r == normal {
		return s.o.Total
	}
	return s.o.Others
}

// provider finds or makes a provider's state and marks it used.
func (s *Shaper) provider(name string, now time.Time) *provider {
	if now.Sub(s.swept) >= time.Minute {
		s.swept = now
		s.forget(func(p *provider) bool {
			return now.Sub(p.used) <= idleMemory || now.Before(p.pausedUntil)
		})
	}
	p := s.providers[name]
	if p == nil {
		s.forget(func(*provider) bool { return len(s.providers) < maxProviders })
		p = &provider{name: name, limit: s.o.Start, opts: s.o}
		if most := s.o.Rules[name]; most > 0 {
			p.opts.Max, p.limit = most, min(p.limit, most)
		}
		p.place = s.recent.PushFront(p)
		s.providers[name] = p
	}
	s.recent.MoveToFront(p.place)
	p.used = now
	return p
}

// forget drops the providers used least recently until one is worth keeping; it
// passes over those in use.
func (s *Shaper) forget(keep func(*provider) bool) {
	for e := s.recent.Back(); e != nil; {
		p, prev := e.Value.(*provider), e.Prev()
		if keep(p) {
			return
		}
		if p.held == 0 && p.lined() == 0 {
			s.recent.Remove(e)
			delete(s.providers, p.name)
		}
		e = prev
	}
}
