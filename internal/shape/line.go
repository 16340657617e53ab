package shape

import (
	"container/list"
	"time"
)

// rank is a class's place in the order of service.
type rank int

const (
	critical rank = iota
	normal
	bulk
	ranks = 3
)

func rankOf(class string) rank {
	switch class {
	case "critical":
		return critical
	case "bulk":
		return bulk
	}
	return normal
}

// waiter stands in a provider's line. It is answered with a slot, or with none
// when the line was sent away.
type waiter struct {
	p        *provider
	rank     rank
	place    *list.Element // nil once it has left the line
	answered chan struct{}
	slot     *Slot
}

func (p *provider) lined() int {
	n := 0
	for r := range p.lines {
		n += p.lines[r].Len()
	}
	return n
}

// join puts a waiter into the line, or gives nil where waiting has no point: the
// provider rests or is doubtful, or the line is full of its equals.
func (s *Shaper) join(p *provider, r rank, now time.Time) *waiter {
	if !p.open(now) || s.crowded(p, r) {
		return nil
	}
	if p.lines[r].Len() >= max(1, s.total(r)/8) || s.waiting[r] >= max(1, s.total(r)/4) {
		return nil
	}
	w := &waiter{p: p, rank: r, answered: make(chan struct{})}
	w.place = p.lines[r].PushBack(w)
	s.waiting[r]++
	return w
}

func (s *Shaper) dismiss(w *waiter) {
	s.leave(w)
	close(w.answered)
}

func (s *Shaper) leave(w *waiter) {
	if w.place == nil {
		return
	}
	w.p.lines[w.rank].Remove(w.place)
	w.place = nil
	s.waiting[w.rank]--
}

// serve gives free connections to the line, the highest class first; when the
// provider rests, the whole line is sent away at once.
func (s *Shaper) serve(p *provider, now time.Time) {
	for r := range p.lines {
		for e := p.lines[r].Front(); e != nil; e = p.lines[r].Front() {
			w := e.Value.(*waiter)
			if !p.open(now) {
				s.dismiss(w)
				continue
			}
			if w.slot = s.grant(p, w.rank, now); w.slot == nil {
				break
			}
			s.dismiss(w)
		}
	}
}

// later gives the time to come back: the end of the provider's pause, and then
// one place after another at the pace that it is likely to have. The guess leans
// to the fast side: who comes too early is told again, who comes too late leaves
// a connection idle.
func (s *Shaper) later(p *provider, r rank, now time.Time) time.Time {
	from := now
	if p.pausedUntil.After(from) {
		from = p.pausedUntil
	}
	if p.broken {
		from = from.Add(p.pause / 4) // the probe goes first
	}
	next, spacing := &p.next[r], p.spacing(r, now)
	if from.Equal(now) && p.held == 0 { // no first slot is left
		if !now.Before(p.trialAt) {
			p.trialPause = min(max(2*p.trialPause, firstTrial), lastTrial)
			p.trialAt = now.Add(p.trialPause)
		}
		from, spacing = p.trialAt, max(spacing, p.trialPause/trialPlaces)
	}
	if next.Before(from) {
		*next = from
	}
	*next = next.Add(spacing)
	if next.After(from.Add(farthest)) {
		*next = from.Add(farthest / 2) // round again, still spaced
	}
	return *next
}

// spacing is the time between two transactions' starts: as it was so far, but
// not less than for how long no slot has moved.
func (p *provider) spacing(r rank, now time.Time) time.Duration {
	average := p.average
	if average == 0 {
		average = firstGuess
	}
	if p.held > 0 {
		average = max(average, now.Sub(p.moved))
	}
	connections := min(p.limit+1, p.opts.Max)
	if p.pause == 0 && !p.broken {
		connections = p.opts.Max // nothing stands in the way of its growth
	}
	if r == bulk {
		connections = max(1, connections/2)
	}
	return max(average/time.Duration(connections), minSpacing)
}
