package shape

import (
	"fmt"
	"testing"
	"time"
)

// backlog is mail that waits for slots at its providers on a virtual clock: who
// is refused comes back in the second after it was told to.
type backlog struct {
	c     *clock
	s     *Shaper
	due   map[int64][]string // unix second -> providers
	held  []heldSlot
	looks int
}

type heldSlot struct {
	*Slot
	provider string
	since    time.Time
}

func newBacklog(total int) *backlog {
	c := newClock()
	return &backlog{c: c, s: newShaper(c, total), due: make(map[int64][]string)}
}

func (b *backlog) add(provider string, n int) {
	for range n {
		b.due[b.c.now.Unix()] = append(b.due[b.c.now.Unix()], provider)
	}
}

// run lets time pass. Every slot is held for stall and then given back with f; its
// mail waits a minute more.
func (b *backlog) run(d, stall time.Duration, f Feedback) {
	for end := b.c.now.Add(d); b.c.now.Before(end); b.c.advance(time.Second) {
		for _, p := range b.due[b.c.now.Unix()] {
			b.looks++
			slot, later := b.s.Acquire(p, "default")
			if slot == nil {
				at := later.Unix() + 1
				b.due[at] = append(b.due[at], p)
				continue
			}
			b.held = append(b.held, heldSlot{slot, p, b.c.now})
		}
		delete(b.due, b.c.now.Unix())
		for len(b.held) > 0 && b.c.now.Sub(b.held[0].since) >= stall {
			b.held[0].Release(f)
			at := b.c.now.Add(time.Minute).Unix()
			b.due[at] = append(b.due[at], b.held[0].provider)
			b.held = b.held[1:]
		}
	}
}

// Tarpits that greet and stall later are left alone, however their attempts end.
func TestATarpitsBacklogIsNotPolled(t *testing.T) {
	for _, providers := range []int{1, 20} {
		for _, f := range []Feedback{Neutral, Lost, Dead} {
			t.Run(fmt.Sprint(providers, " providers, feedback ", f), func(t *testing.T) {
				b := newBacklog(256)
				for i := range providers {
					b.add(fmt.Sprint("tar", i), 10_000/providers)
				}
				b.run(time.Hour, 5*time.Minute, f)
				t.Logf("an hour: %d looks, %.0f a second", b.looks, float64(b.looks)/3600)
				if b.looks > 100_000 {
					t.Errorf("%d looks in an hour for 10,000 mails", b.looks)
				}
			})
		}
	}
}

// A healthy provider stays quick although one of its mails takes long.
func TestOneSlowMailDoesNotSlowTheOthers(t *testing.T) {
	c := newClock()
	s := newShaper(c, 100)
	for range 40 {
		slots := take(s, "a", "default")
		c.advance(100 * time.Millisecond)
		release(slots, Good)
	}
	take(s, "a", "default")[0].Release(Good) // nine stay, one moves
	if slot, _ := s.Acquire("a", "default"); slot == nil {
		t.Fatal("no slot")
	}
	if _, later := s.Acquire("a", "default"); later.Sub(c.now) > time.Second {
		t.Errorf("told to come back in %v", later.Sub(c.now))
	}
}

// While tarpits hold all they may, with a backlog behind them, a provider that
// nobody has met yet gets its first slot at once, and then is healthy.
func TestAFreshProviderAmongTarpits(t *testing.T) {
	b := newBacklog(128)
	for range 42 {
		for i := range 70 {
			b.add(fmt.Sprint("tar", i), 1)
		}
	}
	b.run(20*time.Second, 5*time.Minute, Dead)
	slot, later := b.s.Acquire("good", "default")
	if slot == nil {
		t.Fatalf("told to come back in %v", later.Sub(b.c.now))
	}
	_, later = b.s.Acquire("good", "default")
	if wait := later.Sub(b.c.now); wait > time.Second {
		t.Errorf("the second is told to come back in %v", wait)
	}
	b.c.advance(50 * time.Millisecond)
	slot.Release(Good)
	if n := len(take(b.s, "good", "default")); n != 2 {
		t.Errorf("%d slots once it is known", n)
	}
	if b.s.doubtful[normal] > 64+16 {
		t.Errorf("%v of 128 slots at tarpits", b.s.doubtful)
	}
}

// Where even the first slots are taken, a provider comes back by a schedule of its
// own: soon at first, and its whole backlog soon after.
func TestWaitingForAFirstSlot(t *testing.T) {
	b := newBacklog(16)
	for i := range 100 {
		b.add(fmt.Sprint("tar", i), 10)
	}
	b.run(2*time.Second, time.Hour, Dead)
	var last time.Time
	for range 50 {
		slot, later := b.s.Acquire("good", "default")
		if slot != nil {
			t.Fatal("there was a slot left")
		}
		last = later
	}
	if wait := last.Sub(b.c.now); wait > 5*time.Second {
		t.Errorf("the last of 50 is told to come back in %v", wait)
	}
	b.held[0].Release(Dead)
	b.held = b.held[1:]
	b.c.now = last
	if slot, _ := b.s.Acquire("good", "default"); slot == nil {
		t.Error("no slot although one fell free")
	}
}

// Refused for want of first slots over and over, nobody is polled often.
func TestNoChurnForFirstSlots(t *testing.T) {
	b := newBacklog(16)
	for i := range 500 {
		b.add(fmt.Sprint("tar", i), 4)
	}
	b.run(time.Hour, time.Hour, Dead)
	t.Logf("%d looks in an hour, %.0f a second", b.looks, float64(b.looks)/3600)
	if b.looks > 250_000 {
		t.Errorf("%d looks in an hour", b.looks)
	}
}
