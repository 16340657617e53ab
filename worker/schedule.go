package worker

import (
	"fmt"
	"hash/fnv"
	"time"

	"postrider/internal/bounce"
)

// Schedule holds the delays between attempts; tests shorten them. Zero members
// take the defaults.
type Schedule struct {
	Delays      []time.Duration // 1m, 5m, 15m, 30m, 1h, 2h, 4h; the last repeats; ±10 % jitter
	RateMin     time.Duration   // 15 min
	FullMin     time.Duration   // 1 h
	Unknown     []time.Duration // 15 m, 1 h, 4 h; the fourth unknown outcome is the end
	Sandbox     []time.Duration // 1 s, 2 s, 4 s; the last doubles
	SandboxLife time.Duration   // 15 s: a sandbox envelope expires this long after its first attempt
}

func (s Schedule) withDefaults() Schedule {
	const m, h = time.Minute, time.Hour
	if len(s.Delays) == 0 {
		s.Delays = []time.Duration{1 * m, 5 * m, 15 * m, 30 * m, 1 * h, 2 * h, 4 * h}
	}
	if s.RateMin <= 0 {
		s.RateMin = 15 * m
	}
	if s.FullMin <= 0 {
		s.FullMin = h
	}
	if len(s.Unknown) == 0 {
		s.Unknown = []time.Duration{15 * m, 1 * h, 4 * h}
	}
	if len(s.Sandbox) == 0 {
		s.Sandbox = []time.Duration{time.Second, 2 * time.Second, 4 * time.Second}
	}
	if s.SandboxLife <= 0 {
		s.SandboxLife = 15 * time.Second
	}
	return s
}

// retry is what the next delay depends on.
type retry struct {
	failures int           // in a row, this one included: from 1
	unknowns int           // unknown outcomes so far, if this attempt had one; else 0
	pace     bounce.Pace   // of the refusal
	life     time.Duration // from due to expiry
	sandbox  bool
	seed     string // of the jitter: the same envelope gets the same delays again
}

const (
	// fits is how many attempts a short life must have room for.
	fits = 5
	// Of a short life, used in percent: the delays between the first five attempts
	// take 70 at most, and each minimum 10. The rest is for jitter and the attempts.
	delaysPercent, minimumPercent = 70, 10
)

// delay is the time from the end of an attempt to the next.
func (s Schedule) delay(r retry) time.Duration {
	if r.sandbox {
		return s.sandboxDelay(r.failures)
	}
	if r.unknowns > 0 {
		return jitter(s.shorten(at(s.Unknown, r.unknowns), r.life), r)
	}
	d := s.shorten(at(s.Delays, r.failures), r.life)
	least := time.Duration(0)
	switch r.pace {
	case bounce.Slow:
		least = s.RateMin
	case bounce.Full:
		least = s.FullMin
	}
	// Spread, but never below the minimum; and a minimum is shortened as well.
	least = min(least, r.life*minimumPercent/100)
	return max(least, jitter(max(d, least*11/10), r))
}

// shorten scales a delay down for lives too short for five attempts at the
// schedule's own delays.
func (s Schedule) shorten(d, life time.Duration) time.Duration {
	sum := time.Duration(0)
	for i := 1; i < fits; i++ {
		sum += at(s.Delays, i)
	}
	budget := life * delaysPercent / 100
	if sum <= budget {
		return d
	}
	return time.Duration(float64(d) * float64(budget) / float64(sum))
}

func (s Schedule) sandboxDelay(failures int) time.Duration {
	d := at(s.Sandbox, failures)
	for i := len(s.Sandbox); i < failures && d < s.SandboxLife; i++ {
		d *= 2
	}
	return d
}

// at is the n-th of the delays, from 1; the last repeats.
func at(delays []time.Duration, n int) time.Duration {
	return delays[min(max(n, 1), len(delays))-1]
}

// jitter spreads a delay by up to 10 % either way. RFC 5321 4.5.4.1 leaves the
// strategy open; envelopes that failed together must not all come back together.
func jitter(d time.Duration, r retry) time.Duration {
	h := fnv.New64a()
	fmt.Fprintf(h, "%s %d %d", r.seed, r.failures, r.unknowns)
	part := float64(h.Sum64()>>11)/float64(1<<53)*0.2 - 0.1
	return d + time.Duration(float64(d)*part)
}
