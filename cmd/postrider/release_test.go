package main

import (
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"postrider/internal/email"
	"postrider/internal/store"
	"postrider/smtpclient/smtptest"
)

// TestRelease delivers a message that was quarantined.
func TestRelease(t *testing.T) {
	t.Parallel()
	sink := smtptest.New(t, smtptest.Options{})
	i := install(t, relay(sink))
	p := i.serve("--roles", "api")
	id := i.post(p, "u0@b.test")
	s := store.New(i.redis(), store.Options{})
	start, err := s.Messages.Begin(t.Context(), email.Live, id, 0, 0, "w_test", time.Now())
	if err != nil || start.Verdict != store.Begun {
		t.Fatalf("%+v, %v", start, err)
	}
	claim := store.Claim{World: email.Live, Message: id, Fence: start.Fence}
	if _, err := s.Messages.Quarantine(t.Context(), claim, "a test", time.Now()); err != nil {
		t.Fatal(err)
	}
	if got := i.status(p, id); got != "deferred" {
		t.Fatalf("quarantined, it is %s", got)
	}
	if status, out, errs := i.run("release", id); status != 0 || !strings.Contains(out, "released") {
		t.Fatalf("%d %s%s", status, out, errs)
	}
	for _, not := range []string{id, email.NewMessageID(0), "msg_1"} {
		if status, _, errs := i.run("release", not); status != 1 || !strings.Contains(errs, "quarantined") {
			t.Errorf("release %s: %d %s", not, status, errs)
		}
	}
	// The sweeper would look in half a minute.
	soon := redis.Z{Score: float64(time.Now().UnixMilli()), Member: strings.TrimPrefix(id, "msg_") + ":0"}
	if n, err := i.redis().ZAddXX(t.Context(), "live:{s0}:due", soon).Result(); err != nil || n != 0 {
		t.Fatal(n, err)
	}
	worker := i.serve("--roles", "worker")
	worker.await("delivered", func() bool { return i.status(p, id) == "delivered" })
	once(t, sink, 1)
	worker.signal(syscall.SIGTERM)
	worker.ended()
}
