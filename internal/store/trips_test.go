package store

import (
	"context"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"postrider/internal/convoy"
	"postrider/internal/email"
	"postrider/internal/redistest"
)

// Each step of a message is one round trip to Redis (DESIGN.md 7), counted at the
// socket.
func TestEachStepIsOneRoundTrip(t *testing.T) {
	proxy := redistest.NewProxy(t, redistest.Server(t))
	address, err := redis.ParseURL(proxy.URL)
	if err != nil {
		t.Fatal(err)
	}
	address.DisableIdentity = true
	rdb := redis.NewClient(address)
	t.Cleanup(func() { _ = rdb.Close() })
	f := New(convoy.New(rdb), Options{})
	ctx, now := context.Background(), start()
	var trips map[string]int64
	step := func(name string, do func() error) {
		t.Helper()
		before := proxy.Trips()
		if err := do(); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		trips[name] = proxy.Trips() - before
	}
	for range 2 { // the first time Redis is told the scripts
		trips = make(map[string]int64)
		s := draft(f.Messages, "ada@example.org", "bob@example.org")
		s.IdempotencyKey = s.Message.ID
		claim := Claim{World: s.Message.World, Message: s.Message.ID}
		step("accept", func() error {
			_, _, err := f.Messages.Accept(ctx, s)
			return err
		})
		step("replay", func() error {
			again := draft(f.Messages, "ada@example.org")
			again.IdempotencyKey = s.IdempotencyKey
			_, replayed, err := f.Messages.Accept(ctx, again)
			if !replayed {
				t.Error("not a replay")
			}
			return err
		})
		step("begin", func() error {
			begun, err := f.Messages.Begin(ctx, claim.World, claim.Message, 0, 0, "worker-1", now)
			if err == nil {
				claim.Fence = begun.Fence
			}
			return err
		})
		step("mark", func() error { return f.Messages.Mark(ctx, claim, []int{0, 1}, nil, now) })
		step("conclude", func() error {
			_, err := f.Messages.Conclude(ctx, claim, tried(claim, now,
				email.Outcome{Status: email.Delivered}, email.Outcome{Recipient: 1, Status: email.Delivered}), time.Time{}, now)
			return err
		})
	}
	for name, n := range trips {
		if want := map[string]int64{"replay": 2}[name]; n != max(want, 1) {
			t.Errorf("%s: %d round trips, want %d", name, n, max(want, 1))
		}
	}
}
