package shape

import (
	"container/list"
	"time"
)

// provider is what is known of one provider.
type provider struct {
	name  string
	opts  Options
	place *list.Element // in Shaper.recent
	used  time.Time

	limit    int // connections allowed at once
	held     int
	heldBulk int
	slowHeld int // of held, for longer than slowAfter

	run         int           // successes in a row since the limit last changed
	deads       int           // failures to reach it in a row
	broken      bool          // the breaker is open: one probe at a time
	pause       time.Duration // the last pause, zero when all was well since
	pausedUntil time.Time
	epoch       int // counts the pauses

	proven  bool          // it has answered well once
	average time.Duration // of a transaction, zero before the first
	moved   time.Time     // when a slot was last given or given back

	trialAt    time.Time     // when to ask again for a first slot, after there was none left
	trialPause time.Duration // the last such wait, zero once there was one

	lines [ranks]list.List // of *waiter
	next  [ranks]time.Time // the come-back schedule
}

// open reports whether the provider may be talked to at all now.
func (p *provider) open(now time.Time) bool {
	if now.Before(p.pausedUntil) {
		return false
	}
	return !p.broken || p.held == 0
}

// room reports whether a connection is free for the rank. Bulk takes at most
// half of them, but always one.
func (p *provider) room(r rank) bool {
	if p.held >= p.limit {
		return false
	}
	return r != bulk || p.heldBulk < max(1, p.limit/2)
}

// slow reports whether a slot here is known to be held for long.
func (p *provider) slow() bool { return p.slowHeld > 0 || p.average > slowAfter }

// doubtful reports whether a slot here may well be held for long.
func (p *provider) doubtful() bool { return !p.proven || p.slow() }

// learn changes the pace by what one transaction came to.
func (p *provider) learn(sl *Slot, f Feedback, now time.Time) {
	if f == Neutral {
		return
	}
	p.observe(now.Sub(sl.since))
	// What started before the last pause tells of the time before it, too.
	stale := sl.epoch != p.epoch
	switch f {
	case Good:
		if !p.proven {
			p.next = [ranks]time.Time{} // it was made for another pace
		}
		p.proven = true
		if stale {
			return
		}
		p.deads = 0
		p.broken = false
		p.run++
		if p.run >= p.limit {
			p.run = 0
			p.pause = 0
			p.limit = min(p.limit+1, p.opts.Max)
		}
	case Pushback:
		if stale {
			return
		}
		p.deads = 0
		p.broken = false
		p.limit = max(1, p.limit/2)
		p.rest(now)
	case Dead:
		p.run = 0
		if stale {
			return
		}
		p.deads++
		if p.deads < deadLimit && !sl.probe {
			return
		}
		p.proven = false
		p.broken = true
		p.limit = p.opts.Start
		p.rest(now)
	}
}

// rest pauses, twice as long as the last time while it repeats.
func (p *provider) rest(now time.Time) {
	p.run = 0
	if p.pause == 0 {
		p.pause = p.opts.Pause
	} else {
		p.pause = min(2*p.pause, pauseGrowth*p.opts.Pause)
	}
	p.epoch++
	p.pausedUntil = now.Add(p.pause)
}

// observe keeps a moving average over about eight transactions.
func (p *provider) observe(d time.Duration) {
	d = max(d, minSpacing)
	if p.average == 0 {
		p.average = d
		return
	}
	p.average += (d - p.average) / 8
}
