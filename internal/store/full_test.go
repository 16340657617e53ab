package store

import (
	"errors"
	"slices"
	"testing"
	"time"

	"postrider/internal/email"
	"postrider/internal/redistest"
)

// On a Redis without any memory left everything works that the queue needs to be
// worked off, and history can go; only new mail is refused.
func TestFullRedisLetsTheQueueDrain(t *testing.T) {
	rdb := connect(t, redistest.Server(t))
	f := &fixture{Store: New(rdb, Options{}), rdb: rdb}
	ctx, now := t.Context(), start()
	old := f.accept(t, draft(f.Messages, "ada@example.org"))
	f.conclude(t, f.begin(t, old, 0, now), now, email.Outcome{Status: email.Delivered})
	live := f.accept(t, draft(f.Messages, "ada@example.org"))
	unwanted := f.accept(t, draft(f.Messages, "ada@example.org"))
	if _, err := f.Leases.ClaimSecret(ctx, "check"); err != nil {
		t.Fatal(err)
	}
	if err := f.CheckEpoch(ctx, ""); err != nil {
		t.Fatal(err)
	}
	f.fill(t)

	if _, _, err := f.Messages.Accept(ctx, draft(f.Messages, "ada@example.org")); !errors.Is(err, ErrFull) {
		t.Errorf("Accept = %v, want ErrFull", err)
	}
	must := func(what string, err error) {
		t.Helper()
		if err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
	claim := f.begin(t, live, 0, now)
	_, err := f.Messages.Release(ctx, claim, Wait{Until: now}, now)
	must("release", err)
	entry := f.due(t, now.Add(time.Minute))[0]
	must("look again", f.Messages.LookAgain(ctx, entry, now))
	_, err = f.Messages.Advance(ctx, entry, now)
	must("advance", err)
	claim = f.begin(t, live, 0, now)
	must("mark", f.Messages.Mark(ctx, claim, []int{0}, nil, now))
	f.conclude(t, claim, now, email.Outcome{Status: email.Delivered})
	_, err = f.Messages.Cancel(ctx, unwanted.World, unwanted.ID, now)
	must("cancel", err)
	must("set aside", f.Messages.SetAside(ctx, entry, now))
	for range 2 {
		held, err := f.Leases.Hold(ctx, "sweep", "w1", time.Minute)
		must("hold", err)
		if !held {
			t.Error("the lease was not given")
		}
		must("beat", f.Leases.Beat(ctx, "w1", time.Minute))
	}
	if silence, err := f.Leases.Silence(ctx, "w1"); silence != 0 || err != nil {
		t.Errorf("Silence = %v, %v", silence, err)
	}
	must("leave", f.Leases.Leave(ctx, "w1"))
	same, err := f.Leases.ClaimSecret(ctx, "check")
	must("claim the secret", err)
	if !same {
		t.Error("the secret is another")
	}
	must("check the epoch", f.CheckEpoch(ctx, ""))
	for _, what := range []History{HistoryContent, HistoryMetadata} {
		if n, err := f.Messages.Yield(ctx, email.Live, 0, what, 10); n != 3 || err != nil {
			t.Errorf("Yield %s = %d, %v; want 3", what, n, err)
		}
	}
	if n, err := f.Messages.Forget(ctx, email.Live, 0, now.Add(91*24*time.Hour), 10); n != 3 || err != nil {
		t.Errorf("Forget = %d, %v; want the 3 stubs", n, err)
	}
}

// On a full Redis events are followed, deliveries to webhooks come to their end and
// are forgotten, and an endpoint is disabled; only a new one waits.
func TestFullRedisTellsWebhooks(t *testing.T) {
	rdb := connect(t, redistest.Server(t))
	f := &fixture{Store: New(rdb, Options{Sealer: reverse{}}), rdb: rdb}
	ctx, now := t.Context(), start()
	hook := f.hook(t, nil)
	f.delivery(t, hook)
	unread := f.delivery(t, hook)
	f.accept(t, draft(f.Messages, "ada@example.org")) // whose event is not followed yet
	if err := rdb.HSet(ctx, keysOf(email.Live, 0).delivery(bare(unread.ID)), "d", "{").Err(); err != nil {
		t.Fatal(err)
	}
	f.fill(t)

	f.followAll(t)
	part, err := f.Deliveries.Unfollowed(ctx, email.Live, 0, 10)
	if err != nil || len(part.Entries) != 0 {
		t.Errorf("still to be followed: %+v, %v", part, err)
	}
	list, err := f.Deliveries.Due(ctx, email.Live, 0, now.Add(time.Hour), 10)
	if len(list) != 1 || !errors.Is(err, ErrBroken) || errors.Is(err, ErrFull) {
		t.Fatalf("Due = %v, %v", list, err)
	}
	d := list[0]
	if err := f.Deliveries.LookAgain(ctx, d, now); err != nil {
		t.Error(err)
	}
	post := &Post{At: now, Status: 500, Error: "500"}
	if d, err = f.Deliveries.Retry(ctx, d, post, now, now); err != nil {
		t.Fatal(err)
	}
	if d, err = f.Deliveries.Advance(ctx, d, now); err != nil {
		t.Fatal(err)
	}
	if _, err = f.Deliveries.Succeed(ctx, d, &Post{At: now, Status: 200}, now); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Webhooks.Update(ctx, email.Live, hook.ID, now, func(h *Webhook) error { h.Enabled = false; return nil }); err != nil {
		t.Error(err)
	}
	if _, err := f.Webhooks.Create(ctx, &Webhook{ID: email.NewID(email.WebhookPrefix), World: email.Live, CreatedAt: now}); !errors.Is(err, ErrFull) {
		t.Errorf("Create = %v, want ErrFull", err)
	}
	if n, err := f.Deliveries.Yield(ctx, email.Live, 0, now, 10); n != 1 || err != nil {
		t.Errorf("Yield = %d, %v; want 1", n, err)
	}
	if n, err := f.Deliveries.Yield(ctx, email.Live, 0, now, 10); n != 0 || err != nil {
		t.Errorf("Yield again = %d, %v; want 0", n, err)
	}
	if err := f.Webhooks.Delete(ctx, email.Live, hook.ID); err != nil {
		t.Error(err)
	}
}

// fill makes Redis refuse every command that may take memory.
func (f *fixture) fill(t *testing.T) {
	t.Helper()
	if err := f.rdb.ConfigSet(t.Context(), "maxmemory", "1").Err(); err != nil {
		t.Fatal(err)
	}
	if err := f.rdb.Set(t.Context(), "k", "v", 0).Err(); err == nil {
		t.Fatal("Redis is not full")
	}
}

func TestYieldLetsTheOldestGoFirst(t *testing.T) {
	each(t, Options{}, func(t *testing.T, f *fixture) {
		finish := func(at time.Time) *email.Message {
			msg := f.accept(t, draft(f.Messages, "ada@example.org"))
			f.conclude(t, f.begin(t, msg, 0, at), at, email.Outcome{Status: email.Delivered})
			return msg
		}
		second, first := finish(start().Add(2*time.Minute)), finish(start().Add(time.Minute))
		waiting := f.accept(t, draft(f.Messages, "ada@example.org"))
		step := func(what History, limit, want int, contents, records string) {
			t.Helper()
			if n, err := f.Messages.Yield(t.Context(), email.Live, 0, what, limit); n != want || err != nil {
				t.Fatalf("Yield %s = %d, %v; want %d", what, n, err, want)
			}
			have, known := "", ""
			for name, msg := range map[string]*email.Message{"1": first, "2": second, "w": waiting} {
				if c, err := f.Messages.Content(t.Context(), email.Live, msg.ID); err == nil && c != nil {
					have += name
				}
				if _, err := f.Messages.Get(t.Context(), email.Live, msg.ID); err == nil {
					known += name
				}
			}
			equal(t, "contents", sorted(have), contents)
			equal(t, "records", sorted(known), records)
		}
		step(HistoryContent, 1, 1, "2w", "12w")
		step(HistoryContent, 5, 1, "w", "12w")
		step(HistoryContent, 5, 0, "w", "12w")
		step(HistoryMetadata, 1, 1, "w", "2w")
		step(HistoryMetadata, 5, 1, "w", "w")
		step(HistoryMetadata, 5, 0, "w", "w")
		if n, err := f.Messages.Forget(t.Context(), email.Live, 0, start().Add(91*24*time.Hour), 10); n != 2 || err != nil {
			t.Errorf("Forget = %d, %v; want the 2 stubs", n, err)
		}
	})
}

func sorted(letters string) string {
	all := []byte(letters)
	slices.Sort(all)
	return string(all)
}
