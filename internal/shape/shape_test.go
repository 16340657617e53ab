package shape

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"
)

// clock is a hand-driven one.
type clock struct{ now time.Time }

func (c *clock) Now() time.Time           { return c.now }
func (c *clock) advance(by time.Duration) { c.now = c.now.Add(by) }

func newClock() *clock { return &clock{time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)} }

func newShaper(c *clock, total int) *Shaper {
	return New(Options{Total: total, Now: c.Now})
}

// take acquires until refused.
func take(s *Shaper, provider, class string) []*Slot {
	var slots []*Slot
	for {
		slot, _ := s.Acquire(provider, class)
		if slot == nil {
			return slots
		}
		slots = append(slots, slot)
	}
}

func release(slots []*Slot, f Feedback) {
	for _, sl := range slots {
		sl.Release(f)
	}
}

func TestStartsWithTwoAndGrowsToTen(t *testing.T) {
	c := newClock()
	s := newShaper(c, 100)
	var sizes []int
	for range 12 {
		slots := take(s, "a", "default")
		sizes = append(sizes, len(slots))
		release(slots, Good)
	}
	if got, want := fmt.Sprint(sizes), "[2 3 4 5 6 7 8 9 10 10 10 10]"; got != want {
		t.Errorf("slots per run %s, want %s", got, want)
	}
}

func TestPushbackHalvesAndPauses(t *testing.T) {
	c := newClock()
	s := newShaper(c, 100)
	for range 6 {
		release(take(s, "a", "default"), Good)
	}
	slots := take(s, "a", "default")
	if len(slots) != 8 {
		t.Fatalf("%d slots before, want 8", len(slots))
	}
	release(slots, Pushback) // one burst, one pause
	for i, pause := range []time.Duration{1, 2, 4, 8, 15, 15} {
		if slot, later := s.Acquire("a", "critical"); slot != nil || later.Before(c.now.Add(pause*time.Minute)) {
			t.Fatalf("pause %d: slot %v, later %v", i, slot != nil, later.Sub(c.now))
		}
		c.advance(pause*time.Minute - time.Second)
		if slot, _ := s.Acquire("a", "default"); slot != nil {
			t.Fatalf("pause %d: a slot before its end", i)
		}
		c.advance(time.Second)
		slots = take(s, "a", "default")
		if want := max(1, 4>>i); len(slots) != want {
			t.Fatalf("after pause %d: %d slots, want %d", i, len(slots), want)
		}
		release(slots, Pushback)
	}
}

func TestSuccessRunForgetsThePause(t *testing.T) {
	c := newClock()
	s := newShaper(c, 100)
	release(take(s, "a", "default"), Pushback)
	c.advance(time.Minute)
	release(take(s, "a", "default"), Good)
	release(take(s, "a", "default"), Pushback)
	c.advance(time.Minute)
	if slot, _ := s.Acquire("a", "default"); slot == nil {
		t.Error("the second pause was longer than the first, although all was well between them")
	}
}

func TestBreakerProbesWithOne(t *testing.T) {
	c := newClock()
	s := newShaper(c, 100)
	for range 2 {
		release(take(s, "a", "default"), Dead)
	}
	if slot, later := s.Acquire("a", "default"); slot != nil || later.Before(c.now.Add(time.Minute)) {
		t.Fatal("the breaker did not open")
	}
	for i, pause := range []time.Duration{1, 2, 4} {
		c.advance(pause * time.Minute)
		probe := take(s, "a", "default")
		if len(probe) != 1 {
			t.Fatalf("probe %d: %d slots, want 1", i, len(probe))
		}
		release(probe, Dead)
	}
	c.advance(8 * time.Minute)
	release(take(s, "a", "default"), Neutral)
	probe := take(s, "a", "default")
	if len(probe) != 1 {
		t.Fatalf("after a probe that taught nothing: %d slots, want another probe", len(probe))
	}
	release(probe, Good)
	if n := len(take(s, "a", "default")); n != 2 {
		t.Errorf("after a good probe %d slots, want 2", n)
	}
}

func TestADeadProviderHurtsNoOther(t *testing.T) {
	c := newClock()
	s := newShaper(c, 100)
	release(take(s, "dead", "default"), Dead)
	release(take(s, "dead", "default"), Dead)
	if n := len(take(s, "well", "default")); n != 2 {
		t.Errorf("%d slots at another provider", n)
	}
}

func TestBulkTakesHalf(t *testing.T) {
	c := newClock()
	s := newShaper(c, 100)
	for range 8 {
		release(take(s, "a", "default"), Good)
	}
	held := take(s, "a", "bulk")
	if len(held) != 5 {
		t.Errorf("bulk got %d of 10", len(held))
	}
	if n := len(take(s, "a", "critical")); n != 5 {
		t.Errorf("critical got %d of the other 5", n)
	}
	if slot, _ := s.Acquire("b", "bulk"); slot == nil {
		t.Error("bulk got none of two")
	}
}

func TestSlowHoldersTakeHalf(t *testing.T) {
	c := newClock()
	s := newShaper(c, 20)
	release(take(s, "well", "default"), Good)
	var held []*Slot
	for i := range 100 { // tarpits that nobody has met before
		held = append(held, take(s, fmt.Sprint("tarpit", i), "default")...)
	}
	c.advance(time.Minute)
	if len(held) != 12 || s.doubtful[normal] != 12 {
		t.Errorf("%v doubtful slots of 20, want half and a little for those never met", s.doubtful)
	}
	slot, later := s.Acquire("unknown", "default")
	if slot != nil || !later.After(c.now) {
		t.Error("an unknown provider got a slot of the fast half")
	}
	if n := len(take(s, "well", "default")); n != 3 {
		t.Errorf("the healthy provider got %d of 3", n)
	}
	// Now they are known, and share the half.
	release(held, Lost)
	for i := range 100 {
		take(s, fmt.Sprint("tarpit", i), "default")
	}
	if s.doubtful[normal] > 12 {
		t.Errorf("%v doubtful slots of 20", s.doubtful)
	}
	n := 0
	for _, p := range s.providers {
		if p.average > slowAfter {
			n += p.held
		}
	}
	if n > 10 {
		t.Errorf("%d of 20 slots at providers known to be slow", n)
	}
}

func TestAProvenProviderThatTurnsSlowIsHeldBack(t *testing.T) {
	c := newClock()
	s := newShaper(c, 4)
	release(take(s, "a", "default"), Good)
	release(take(s, "a", "default"), Good)
	slots := take(s, "a", "default")
	if len(slots) != 3 {
		t.Fatalf("%d slots", len(slots))
	}
	slots[0].Release(Good)
	c.advance(11 * time.Second)
	if slot, _ := s.Acquire("a", "default"); slot != nil {
		t.Error("two of four are slow already")
	}
	slots[1].Release(Good)
	if slot, _ := s.Acquire("a", "default"); slot == nil {
		t.Error("one of four is slow: there is room for another")
	}
}

func TestLaterIsSpacedByThePace(t *testing.T) {
	c := newClock()
	s := newShaper(c, 100)
	for range 40 {
		slots := take(s, "a", "default")
		c.advance(time.Second) // each transaction takes a second: 10 a second at most
		release(slots, Good)
	}
	take(s, "a", "default")
	var last time.Time
	for i := range 1000 {
		_, later := s.Acquire("a", "default")
		if !later.After(last) {
			t.Fatalf("place %d is not after the one before it", i)
		}
		last = later
	}
	if d := last.Sub(c.now); d < 80*time.Second || d > 120*time.Second {
		t.Errorf("the thousandth comes back after %v, want about 100 s", d)
	}
	if _, later := s.Acquire("a", "critical"); later.Sub(c.now) > time.Second {
		t.Errorf("critical stands behind default: %v", later.Sub(c.now))
	}
}

func TestLaterIsBounded(t *testing.T) {
	c := newClock()
	s := newShaper(c, 100)
	slots := take(s, "a", "default")
	c.advance(5 * time.Minute)
	release(slots, Good)
	take(s, "a", "default")
	seen := make(map[time.Time]int)
	for range 500 {
		_, later := s.Acquire("a", "default")
		if later.Sub(c.now) > farthest {
			t.Fatalf("told to come back in %v", later.Sub(c.now))
		}
		seen[later]++
	}
	for at, n := range seen {
		if n > 20 {
			t.Errorf("%d were told the same time %v", n, at)
		}
	}
}

func TestForgetsIdleProviders(t *testing.T) {
	c := newClock()
	s := newShaper(c, 100)
	kept, _ := s.Acquire("held", "default")
	for i := range 3 * maxProviders {
		slot, _ := s.Acquire(fmt.Sprint("p", i), "default")
		slot.Release(Good)
	}
	if n := len(s.providers); n > maxProviders {
		t.Errorf("%d providers remembered", n)
	}
	if s.providers["held"] == nil {
		t.Error("a provider with a held slot was forgotten")
	}
	c.advance(2 * time.Hour)
	s.Acquire("p", "default")
	if n := len(s.providers); n != 2 || s.recent.Len() != n {
		t.Errorf("after two idle hours %d providers, %d in the list", n, s.recent.Len())
	}
	kept.Release(Good)
}

func TestReleaseTwice(t *testing.T) {
	s := newShaper(newClock(), 100)
	slots := take(s, "a", "default")
	slots[0].Release(Good)
	slots[0].Release(Good)
	if p := s.providers["a"]; p.held != 1 {
		t.Errorf("held %d after releasing one slot twice", p.held)
	}
}

// check asserts what must hold at every moment.
func check(t *testing.T, s *Shaper) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	var waiting, held [ranks]int
	for _, p := range s.providers {
		if p.held < 0 || p.heldBulk < 0 || p.heldBulk > p.held || p.slowHeld < 0 || p.slowHeld > p.held {
			t.Fatalf("%s: held %d, bulk %d, slow %d", p.name, p.held, p.heldBulk, p.slowHeld)
		}
		if p.limit < 1 || p.limit > s.o.Max {
			t.Fatalf("%s: limit %d", p.name, p.limit)
		}
		for r := range p.lines {
			if n := p.lines[r].Len(); n > max(1, s.total(rank(r))/8) {
				t.Fatalf("%s: %d in line %d", p.name, n, r)
			}
			waiting[r] += p.lines[r].Len()
		}
		held[normal] += p.held - p.heldBulk
		held[bulk] += p.heldBulk
	}
	if waiting != s.waiting {
		t.Fatalf("%v waiting, counted %v", waiting, s.waiting)
	}
	for r, n := range waiting {
		if n > max(1, s.total(rank(r))/4) || s.doubtful[r] < 0 {
			t.Fatalf("class %d: %d waiting, %d doubtful", r, n, s.doubtful[r])
		}
	}
	if s.doubtful[bulk] > held[bulk] || s.doubtful[critical]+s.doubtful[normal] > held[normal] {
		t.Fatalf("%v doubtful of %v held", s.doubtful, held)
	}
}

// Random histories never break a limit.
func TestProperties(t *testing.T) {
	for seed := range uint64(200) {
		r := rand.New(rand.NewPCG(seed, 7))
		c := newClock()
		s := newShaper(c, 1+r.IntN(40))
		var held []*Slot
		for range 400 {
			switch r.IntN(3) {
			case 0:
				c.advance(time.Duration(r.Int64N(int64(20 * time.Second))))
			case 1:
				name, class := fmt.Sprint("p", r.IntN(5)), []string{"critical", "default", "bulk"}[r.IntN(3)]
				doubtful := s.doubtful[rankOf(class)]
				slot, later := s.Acquire(name, class)
				if (slot == nil) != later.After(c.now) {
					t.Fatalf("seed %d: slot %v and later %v", seed, slot != nil, later)
				}
				p := s.providers[name]
				if slot == nil {
					break
				}
				held = append(held, slot)
				if p.held > p.limit || c.now.Before(p.pausedUntil) || (p.broken && p.held > 1) || p.heldBulk > max(1, p.limit/2) && class == "bulk" {
					t.Fatalf("seed %d: a slot that should not be: %+v", seed, p)
				}
				if total := s.total(rankOf(class)); s.doubtful[rankOf(class)] > doubtful && slot.doubtful && doubtful >= max(1, total/2+total/8) {
					t.Fatalf("seed %d: %v doubtful of %d", seed, s.doubtful, total)
				}
			case 2:
				if len(held) > 0 {
					i := r.IntN(len(held))
					held[i].Release(Feedback(r.IntN(5)))
					held = append(held[:i], held[i+1:]...)
				}
			}
			check(t, s)
		}
		release(held, Neutral)
		check(t, s)
		if s.doubtful != [ranks]int{} {
			t.Fatalf("seed %d: %v doubtful with nothing held", seed, s.doubtful)
		}
	}
}
