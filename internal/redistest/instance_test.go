package redistest_test

import (
	"bytes"
	"testing"

	"postrider/internal/redistest"
)

func TestKilledAndAgain(t *testing.T) {
	r := redistest.Start(t, "--appendfsync", "always")
	ask(t, r.URL, "SET k v")
	r.Kill()
	r.Again()
	if got := ask(t, r.URL, "EXISTS k"); got != ":1" {
		t.Errorf("after a kill: %q", got)
	}
	r.Kill()
	r.Empty()
	r.Again()
	if got := ask(t, r.URL, "DBSIZE"); got != ":0" {
		t.Errorf("after the loss of its files: %q", got)
	}
}

func TestProxyLosesOneReply(t *testing.T) {
	behind := redistest.Server(t)
	p := redistest.NewProxy(t, behind)
	if got := ask(t, p.URL, "INCR n"); got != ":1" {
		t.Fatalf("through the proxy: %q", got)
	}
	lost := p.Lose(func(request []byte) bool { return bytes.Contains(request, []byte("INCR")) })
	if got := ask(t, p.URL, "STRLEN n"); got != ":1" {
		t.Errorf("another request: %q", got)
	}
	if got, err := tryAsk(p.URL, "INCR n"); err == nil {
		t.Errorf("the reply came through: %q", got)
	}
	<-lost
	if got := ask(t, p.URL, "INCR n"); got != ":3" {
		t.Errorf("after it: %q, want the lost one to have counted", got)
	}
	p.SetAway(true)
	if got, err := tryAsk(p.URL, "STRLEN n"); err == nil {
		t.Errorf("while away: %q", got)
	}
	p.SetAway(false)
	if got := ask(t, p.URL, "STRLEN n"); got != ":1" {
		t.Errorf("back again: %q", got)
	}
}

func TestProxyCountsRoundTrips(t *testing.T) {
	p := redistest.NewProxy(t, redistest.Server(t))
	for range 3 {
		ask(t, p.URL, "INCR n")
	}
	// Each has a connection of its own, and waits for the answer to AUTH.
	if got := p.Trips(); got != 6 {
		t.Errorf("%d round trips, want 6", got)
	}
}
