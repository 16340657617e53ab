package dns

import (
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"
)

// A failure is kept for a while, ever longer while it repeats, and forgotten with
// the first answer.
func TestFailuresAreKeptForAWhile(t *testing.T) {
	for name, fault := range map[string]Fault{"SERVFAIL": {ServFail: Always}, "refused": {Refused: true}, "silent": {Silent: true}} {
		t.Run(name, func(t *testing.T) {
			z := &Zone{Names: map[string]Name{"a.example": {TXT: []string{"x"}, Fault: fault}}}
			s, err := z.Listen("127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			var passed atomic.Int64
			start := time.Unix(1_000_000, 0)
			c := client(t, ClientOptions{Server: s.Addr(), MinTTL: -1, Timeout: short / 4, Now: func() time.Time { return start.Add(time.Duration(passed.Load())) }})
			asks := 1 // of one lookup
			if fault.Silent {
				asks = rounds
			}
			for i, step := range []struct {
				after time.Duration
				asked int // lookups so far
			}{
				{0, 1},
				{29 * time.Second, 1},
				{2 * time.Second, 2},
				{59 * time.Second, 2},
				{2 * time.Second, 3},
				{2*time.Minute + time.Second, 4},
				{4*time.Minute + time.Second, 5},
				{5*time.Minute - time.Second, 5},
				{2 * time.Second, 6},
			} {
				passed.Add(int64(step.after))
				if _, err := c.TXT(t.Context(), "a.example"); !errors.Is(err, ErrTemporary) {
					t.Fatalf("step %d: %v", i, err)
				}
				if n := z.Queries("a.example", "TXT"); n != step.asked*asks {
					t.Fatalf("step %d: asked %d times, want %d", i, n, step.asked*asks)
				}
			}
			z.Set("a.example", Name{TXT: []string{"x"}})
			if got, err := c.Fresh().TXT(t.Context(), "a.example"); err != nil || len(got) != 1 {
				t.Errorf("Fresh asks whatever is kept: %v, %v", got, err)
			}
			if _, err := c.TXT(t.Context(), "a.example"); err != nil {
				t.Errorf("after an answer: %v", err)
			}
		})
	}
}

// A failed renewal does not drive out an answer that still holds.
func TestAFailureKeepsTheAnswer(t *testing.T) {
	z := &Zone{Names: map[string]Name{"a.example": {TXT: []string{"x"}}}, TTL: time.Hour}
	s, err := z.Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	c := client(t, ClientOptions{Server: s.Addr()})
	if _, err := c.TXT(t.Context(), "a.example"); err != nil {
		t.Fatal(err)
	}
	z.Set("a.example", Name{Fault: Fault{ServFail: Always}})
	if _, err := c.Fresh().TXT(t.Context(), "a.example"); !errors.Is(err, ErrTemporary) {
		t.Fatal(err)
	}
	if got, err := c.TXT(t.Context(), "a.example"); err != nil || len(got) != 1 {
		t.Errorf("%v, %v", got, err)
	}
}

// What is ours alone, a caller who left or too many lookups, is no failure of the name.
func TestOursIsNoFailureOfTheName(t *testing.T) {
	z := &Zone{Names: map[string]Name{"a.example": {TXT: []string{"x"}}}}
	s, err := z.Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	c := client(t, ClientOptions{Server: s.Addr(), Timeout: short / 10})
	for range cap(c.slots) {
		c.slots <- struct{}{}
	}
	if _, err := c.TXT(t.Context(), "a.example"); !errors.Is(err, ErrTemporary) {
		t.Fatalf("all slots taken: %v", err)
	}
	for range cap(c.slots) {
		<-c.slots
	}
	c.timeout = defaultTimeout
	if _, err := c.TXT(t.Context(), "a.example"); err != nil {
		t.Error(err)
	}
}

func TestFailuresAreBounded(t *testing.T) {
	c := cache{fault: firstFault, now: time.Now, entries: map[question]entry{}}
	for i := range maxEntries + 100 {
		c.fail(question{name: fmt.Sprint(i)}, ErrTemporary)
	}
	if n := len(c.entries); n > maxEntries {
		t.Errorf("%d entries", n)
	}
}
