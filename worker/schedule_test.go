package worker

import (
	"fmt"
	"testing"
	"time"

	"postrider/internal/bounce"
)

const day = 24 * time.Hour

// near is within the jitter.
func near(got, want time.Duration) bool {
	return got >= want*9/10 && got <= want*11/10
}

func TestDelay(t *testing.T) {
	s := Schedule{}.withDefaults()
	for _, c := range []struct {
		name string
		r    retry
		want time.Duration
	}{
		{"first", retry{failures: 1, life: 3 * day}, time.Minute},
		{"second", retry{failures: 2, life: 3 * day}, 5 * time.Minute},
		{"third", retry{failures: 3, life: 3 * day}, 15 * time.Minute},
		{"fourth", retry{failures: 4, life: 3 * day}, 30 * time.Minute},
		{"fifth", retry{failures: 5, life: 3 * day}, time.Hour},
		{"sixth", retry{failures: 6, life: 3 * day}, 2 * time.Hour},
		{"seventh", retry{failures: 7, life: 3 * day}, 4 * time.Hour},
		{"the last repeats", retry{failures: 40, life: 3 * day}, 4 * time.Hour},
		{"no count is the first", retry{life: 3 * day}, time.Minute},
		{"slow, where the schedule is slower", retry{failures: 5, life: 3 * day, pace: bounce.Slow}, time.Hour},
		{"full, where the schedule is slower", retry{failures: 7, life: 3 * day, pace: bounce.Full}, 4 * time.Hour},
		{"first unknown", retry{failures: 1, unknowns: 1, life: 3 * day}, 15 * time.Minute},
		{"second unknown", retry{failures: 9, unknowns: 2, life: 3 * day}, time.Hour},
		{"third unknown", retry{failures: 3, unknowns: 3, life: 3 * day}, 4 * time.Hour},
		{"first in the sandbox", retry{failures: 1, sandbox: true, life: 3 * day}, time.Second},
		{"fourth in the sandbox", retry{failures: 4, sandbox: true, pace: bounce.Slow, unknowns: 1}, 8 * time.Second},
		{"hundredth in the sandbox", retry{failures: 100, sandbox: true}, 16 * time.Second},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := s.delay(c.r); !near(got, c.want) {
				t.Errorf("got %v, want about %v", got, c.want)
			}
		})
	}
}

func TestMinimumsHold(t *testing.T) {
	s := Schedule{}.withDefaults()
	for n := range 200 {
		for _, c := range []struct {
			pace  bounce.Pace
			least time.Duration
		}{{bounce.Slow, 15 * time.Minute}, {bounce.Full, time.Hour}} {
			got := s.delay(retry{failures: 1 + n%7, pace: c.pace, life: 3 * day, seed: fmt.Sprint("m", n)})
			if got < c.least {
				t.Errorf("failure %d, pace %d: %v", 1+n%7, c.pace, got)
			}
		}
	}
}

// Whatever the lifetime, the pace and the jitter, there are five attempts in it.
func TestFiveAttemptsFitInShortLives(t *testing.T) {
	s := Schedule{}.withDefaults()
	for _, life := range []time.Duration{time.Minute, 10 * time.Minute, time.Hour, 75 * time.Minute, 2 * time.Hour, 12 * time.Hour} {
		for _, pace := range []bounce.Pace{bounce.Normal, bounce.Slow} {
			for seed := range 50 {
				at := time.Duration(0)
				for n := 1; n < 5; n++ {
					at += s.delay(retry{failures: n, pace: pace, life: life, seed: fmt.Sprint(seed)})
				}
				if at >= life {
					t.Errorf("life %v, pace %d, seed %d: the fifth attempt is at %v", life, pace, seed, at)
				}
			}
		}
	}
}

func TestJitterSpreadsAndRepeats(t *testing.T) {
	s := Schedule{}.withDefaults()
	seen := make(map[time.Duration]bool)
	for n := range 1000 {
		r := retry{failures: 3, life: 3 * day, seed: fmt.Sprint("msg_", n)}
		d := s.delay(r)
		if !near(d, 15*time.Minute) {
			t.Fatalf("delay %v", d)
		}
		if d != s.delay(r) {
			t.Fatal("the same retry has two delays")
		}
		seen[d.Truncate(time.Second)] = true
	}
	if len(seen) < 100 {
		t.Errorf("a thousand envelopes come back in only %d different seconds", len(seen))
	}
}

// stuck@sandbox.test is given up within 20 s.
func TestSandboxLife(t *testing.T) {
	s := Schedule{}.withDefaults()
	at, attempts := time.Duration(0), 0
	for at < s.SandboxLife {
		attempts++
		at += s.delay(retry{failures: attempts, sandbox: true})
	}
	if attempts != 4 {
		t.Errorf("%d attempts in %v", attempts, s.SandboxLife)
	}
}
