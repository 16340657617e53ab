package worker

import (
	"sync"
	"time"
)

// endpoints knows how the webhooks' endpoints do, as this process sees them: who may
// be posted to now, and who is to be left alone. Nothing ever waits here: a delivery
// that may not go now gets a later time, so that an endpoint which is slow or dead
// holds no worker that another needs.
type endpoints struct {
	o   NotifyPace
	now func() time.Time

	mu   sync.Mutex
	byID map[string]*endpoint
}

// endpoint is one of them. While shut lies in the future nobody is let in; once it
// has passed and the endpoint is failing, one at a time is, to see how it does.
type endpoint struct {
	running  int
	failures int // in a row
	shut     time.Time
	putOff   int // since it last did well: each is put off further than the one before
}

// NotifyPace is how webhooks are posted to; zero members take the defaults.
type NotifyPace struct {
	Delays    []time.Duration // after each failure; 5 s, 5 min ... 24 h; ±10 % jitter. One more attempt than delays
	Most      int             // 10: attempts at once to one endpoint
	Trip      int             // 5: failures in a row after which it is left alone
	Pause     time.Duration   // 30 s: for how long at first; doubles up to PauseMost
	PauseMost time.Duration   // 5 min
	Step      time.Duration   // 100 ms: between those who are put off
	GiveUp    time.Duration   // 5 d without success: it is disabled
}

func (p NotifyPace) withDefaults() NotifyPace {
	const s, m, h = time.Second, time.Minute, time.Hour
	if len(p.Delays) == 0 {
		p.Delays = []time.Duration{5 * s, 5 * m, 30 * m, 2 * h, 5 * h, 10 * h, 14 * h, 20 * h, 24 * h}
	}
	for _, n := range []struct {
		set *int
		to  int
	}{{&p.Most, 10}, {&p.Trip, 5}} {
		if *n.set <= 0 {
			*n.set = n.to
		}
	}
	for _, d := range []struct {
		set *time.Duration
		to  time.Duration
	}{{&p.Pause, 30 * s}, {&p.PauseMost, 5 * m}, {&p.Step, 100 * time.Millisecond}, {&p.GiveUp, 120 * h}} {
		if *d.set <= 0 {
			*d.set = d.to
		}
	}
	return p
}

func newEndpoints(o NotifyPace, now func() time.Time) *endpoints {
	return &endpoints{o: o, now: now, byID: make(map[string]*endpoint)}
}

// enter lets an attempt in, or says when to come again. Who was let in must leave.
func (e *endpoints) enter(id string) (ok bool, again time.Time) {
	e.mu.Lock()
	defer e.mu.Unlock()
	p := e.byID[id]
	if p == nil {
		p = &endpoint{}
		e.byID[id] = p
	}
	now := e.now()
	most := e.o.Most
	if p.failures >= e.o.Trip {
		most = 1 // a probe
	}
	if now.Before(p.shut) || p.running >= most {
		p.putOff++
		wait := min(time.Duration(p.putOff)*e.o.Step, e.o.PauseMost)
		if now.Before(p.shut) {
			return false, p.shut.Add(wait)
		}
		return false, now.Add(max(wait, time.Second))
	}
	p.running++
	return true, time.Time{}
}

// How an attempt ended, as far as the endpoint is concerned.
type ending int

const (
	endedWell ending = iota
	endedBadly
	endedSlowly // it asked for fewer: 429, 502, 503, 504
	endedEarly  // not its fault: we were stopped
)

// leave ends what enter let in. wait is how long the endpoint asked to be left
// alone, 0 if it did not.
func (e *endpoints) leave(id string, how ending, wait time.Duration) {
	e.mu.Lock()
	defer e.mu.Unlock()
	p := e.byID[id]
	p.running--
	switch how {
	case endedWell:
		p.failures, p.putOff, p.shut = 0, 0, time.Time{}
		if p.running == 0 {
			delete(e.byID, id)
		}
		return
	case endedEarly:
		return
	}
	p.failures++
	pause := time.Duration(0)
	if over := p.failures - e.o.Trip; over >= 0 {
		pause = e.o.PauseMost
		if over < 10 {
			pause = min(e.o.Pause<<over, e.o.PauseMost)
		}
	}
	if how == endedSlowly {
		pause = max(pause, min(max(wait, e.o.Delays[0]), e.o.PauseMost))
	}
	if until := e.now().Add(pause); until.After(p.shut) {
		p.shut = until
	}
}
