package shape

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func TestWaitTakesTheSlotThatFallsFree(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := New(Options{Total: 16})
		release(take(s, "a", "bulk"), Good)
		held := take(s, "a", "default")
		var order []string
		var mu sync.Mutex
		var wg sync.WaitGroup
		for _, class := range []string{"bulk", "default", "critical"} { // one line, the highest class first
			wg.Go(func() {
				slot, later := s.Wait(t.Context(), "a", class, time.Second)
				mu.Lock()
				defer mu.Unlock()
				if slot == nil {
					order = append(order, class+" later")
					if later.IsZero() {
						t.Error("no slot and no time")
					}
					return
				}
				order = append(order, class)
				wg.Go(func() { time.Sleep(time.Millisecond); slot.Release(Neutral) })
			})
			synctest.Wait()
			check(t, s)
		}
		time.Sleep(100 * time.Millisecond)
		held[0].Release(Neutral)
		wg.Wait()
		if got := fmt.Sprint(order); got != "[critical default bulk]" {
			t.Errorf("served %s", got)
		}
	})
}

func TestWaitEnds(t *testing.T) {
	for _, c := range []struct {
		name  string
		after time.Duration
		do    func(s *Shaper, held []*Slot, cancel context.CancelFunc)
	}{
		{"at its maximum", time.Second, func(*Shaper, []*Slot, context.CancelFunc) {}},
		{"with its context", 300 * time.Millisecond, func(_ *Shaper, _ []*Slot, cancel context.CancelFunc) {
			time.Sleep(300 * time.Millisecond)
			cancel()
		}},
		{"when the provider pauses", 300 * time.Millisecond, func(_ *Shaper, held []*Slot, _ context.CancelFunc) {
			time.Sleep(300 * time.Millisecond)
			held[0].Release(Pushback)
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := New(Options{Total: 100})
				held := take(s, "a", "default")
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				begun := time.Now()
				go c.do(s, held, cancel)
				slot, later := s.Wait(ctx, "a", "default", time.Second)
				if slot != nil || later.IsZero() || time.Since(begun) != c.after {
					t.Errorf("slot %v, later %v, after %v", slot != nil, later, time.Since(begun))
				}
				check(t, s)
				if s.waiting != [ranks]int{} {
					t.Error("still in line")
				}
			})
		})
	}
}

// A thousand mails to one provider flow at its full speed: nobody is sent away
// for a whole second while a connection is free.
func TestAThousandToOneProvider(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := New(Options{Total: 200})
		jobs := make(chan time.Time, 10000)
		var done, told atomic.Int64
		for range 1000 {
			jobs <- time.Time{}
		}
		begun := time.Now()
		var wg sync.WaitGroup
		for range 200 {
			wg.Go(func() {
				for at := range jobs {
					if wait := time.Until(at); wait > 0 {
						go func() { time.Sleep(wait); jobs <- time.Time{} }()
						continue
					}
					slot, later := s.Wait(t.Context(), "a", "default", time.Second)
					if slot == nil {
						told.Add(1)
						jobs <- later
						continue
					}
					time.Sleep(20 * time.Millisecond)
					slot.Release(Good)
					if done.Add(1) == 1000 {
						close(jobs)
					}
				}
			})
		}
		wg.Wait()
		// 10 connections of 20 ms each take 2 s for a thousand.
		if took := time.Since(begun); took > 5*time.Second {
			t.Errorf("took %v", took)
		}
		if n := told.Load(); n > 3000 {
			t.Errorf("told to come back %d times", n)
		}
		t.Logf("took %v, told %d times", time.Since(begun), told.Load())
	})
}

// A backlog of an hour costs a few looks per mail, not one a second.
func TestLongBacklogCostsNoChurn(t *testing.T) {
	c := newClock()
	s := newShaper(c, 100)
	due := make(map[int64]int) // whole seconds -> jobs
	const n = 5000
	due[c.now.Unix()] = n
	done, looks := 0, 0
	var held []*Slot
	for done < n {
		if c.now.Unix() > newClock().now.Unix()+7200 {
			t.Fatalf("only %d of %d done after two hours", done, n)
		}
		release(held, Good) // each transaction takes two seconds: 5 a second
		held = nil
		for range 2 {
			for range due[c.now.Unix()] {
				looks++
				slot, later := s.Acquire("a", "default")
				if slot == nil {
					due[later.Unix()+1]++
					continue
				}
				held = append(held, slot)
				done++
			}
			delete(due, c.now.Unix())
			c.advance(time.Second)
		}
	}
	took := c.now.Sub(newClock().now)
	if took > 25*time.Minute { // at full speed 17 min
		t.Errorf("took %v", took)
	}
	if looks > 10*n {
		t.Errorf("%d looks for %d mails", looks, n)
	}
	t.Logf("took %v, %.1f looks per mail", took, float64(looks)/n)
}

func TestConcurrentUse(t *testing.T) {
	s := New(Options{Total: 50, Pause: time.Millisecond})
	var wg sync.WaitGroup
	for i := range 40 {
		wg.Go(func() {
			r := rand.New(rand.NewPCG(uint64(i), 1))
			for range 200 {
				class := []string{"critical", "default", "bulk"}[r.IntN(3)]
				slot, _ := s.Wait(t.Context(), fmt.Sprint("p", r.IntN(3)), class, time.Millisecond)
				if slot != nil {
					slot.Release(Feedback(r.IntN(5)))
				}
			}
		})
	}
	wg.Wait()
	check(t, s)
	if s.waiting != [ranks]int{} || s.doubtful != [ranks]int{} {
		t.Errorf("%v waiting, %v doubtful at the end", s.waiting, s.doubtful)
	}
}

// The workers of a class are its own: hosts that stall in one leave the others alone.
func TestClassesStallApart(t *testing.T) {
	c := newClock()
	s := New(Options{Total: 40, Others: 8, Now: c.Now})
	for i := range 100 {
		take(s, fmt.Sprint("tarpit", i), "bulk")
		take(s, fmt.Sprint("tarpit", i), "default")
	}
	if s.doubtful != [ranks]int{normal: 25, bulk: 5} {
		t.Errorf("doubtful %v, want 5 of the 8 for bulk and 25 of the 40 for default", s.doubtful)
	}
	if slot, _ := s.Acquire("unknown", "critical"); slot == nil {
		t.Error("critical gets no slot while others stall")
	}
	check(t, s)
}
