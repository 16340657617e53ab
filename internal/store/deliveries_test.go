package store

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"postrider/internal/email"
)

// reverse is a Sealer whose work can be seen.
type reverse struct{}

func (reverse) Seal(plain []byte, owner string) []byte {
	sealed := append([]byte(owner+"|"), plain...)
	slices.Reverse(sealed)
	return sealed
}

func (reverse) Open(sealed []byte, owner string) ([]byte, error) {
	plain := slices.Clone(sealed)
	slices.Reverse(plain)
	rest, ok := bytes.CutPrefix(plain, []byte(owner+"|"))
	if !ok {
		return nil, errors.New("of another owner")
	}
	return rest, nil
}

// followAll moves the cursor to the end of the stream, as if nobody asked.
func (f *fixture) followAll(t *testing.T) {
	t.Helper()
	part, err := f.Deliveries.Unfollowed(t.Context(), email.Live, 0, 10)
	if err != nil {
		t.Fatal(err)
	}
	if moved, err := f.Deliveries.Follow(t.Context(), part, part.End, nil, start()); err != nil || !moved {
		t.Fatalf("Follow = %v, %v", moved, err)
	}
}

func (f *fixture) hook(t *testing.T, change func(*Webhook)) *Webhook {
	t.Helper()
	h := &Webhook{
		ID: email.NewID(email.WebhookPrefix), World: email.Live, URL: "https://user:password@acme.test/hook", Enabled: true,
		Events: []string{"*"}, Description: "ours", Secret: "whsec_c2VjcmV0", CreatedAt: start(),
		Headers: []email.Header{{Name: "X-Token", Value: "token"}},
	}
	if change != nil {
		change(h)
	}
	made, err := f.Webhooks.Create(t.Context(), h)
	if err != nil {
		t.Fatal(err)
	}
	return made
}

// delivery makes one delivery of the first event of a new message.
func (f *fixture) delivery(t *testing.T, hook *Webhook) *Delivery {
	t.Helper()
	f.followAll(t)
	msg := f.accept(t, draft(f.Messages, "ada@example.org"))
	part, err := f.Deliveries.Unfollowed(t.Context(), email.Live, 0, 10)
	if err != nil || len(part.Entries) != 1 || part.Entries[0].Message != msg.ID {
		t.Fatalf("Unfollowed = %+v, %v; want the event of %s", part, err, msg.ID)
	}
	happened, broken, err := f.Deliveries.Happened(t.Context(), email.Live, part.Entries)
	if err != nil || len(broken) != 0 {
		t.Fatalf("Happened: %v, %v", broken, err)
	}
	e := happened[msg.ID].Events[0]
	d := &Delivery{Webhook: hook.ID, Event: e.ID, Type: e.Type, Message: msg.ID}
	if moved, err := f.Deliveries.Follow(t.Context(), part, part.To, []*Delivery{d}, start()); err != nil || !moved {
		t.Fatalf("Follow = %v, %v", moved, err)
	}
	return d
}

func TestWebhooks(t *testing.T) {
	each(t, Options{Sealer: reverse{}}, func(t *testing.T, f *fixture) {
		hook := f.hook(t, nil)
		for key, what := range map[string]string{"URL": "password", "header": "token", "secret": "c2VjcmV0"} {
			if raw := f.rdb.HGet(t.Context(), webhooksKey(email.Live), hook.ID).Val(); raw == "" || strings.Contains(raw, what) {
				t.Errorf("the %s is not sealed: %s", key, raw)
			}
		}
		got, err := f.Webhooks.Get(t.Context(), email.Live, hook.ID)
		if err != nil {
			t.Fatal(err)
		}
		equal(t, "webhook", *got, *hook)
		if _, err := f.Webhooks.Get(t.Context(), email.Test, hook.ID); !errors.Is(err, ErrNotFound) {
			t.Errorf("Get in the other world = %v, want ErrNotFound", err)
		}

		changed, err := f.Webhooks.Update(t.Context(), email.Live, hook.ID, start().Add(time.Hour), func(h *Webhook) error {
			h.Enabled, h.DisabledReason = false, DisabledGone
			return nil
		})
		if err != nil || changed.Status() != "disabled" || changed.DisabledReason != DisabledGone || !changed.UpdatedAt.Equal(start().Add(time.Hour)) {
			t.Errorf("Update = %+v, %v", changed, err)
		}
		if list, broken, err := f.Webhooks.Enabled(t.Context(), email.Live); len(list) != 0 || len(broken) != 0 || err != nil {
			t.Errorf("Enabled = %v, %v, %v; want none", list, broken, err)
		}
		changed, err = f.Webhooks.Update(t.Context(), email.Live, hook.ID, start(), func(h *Webhook) error { h.Enabled = true; return nil })
		if err != nil || changed.Status() != "enabled" || changed.DisabledReason != "" {
			t.Errorf("Update = %+v, %v; want it enabled without a reason", changed, err)
		}
		no := errors.New("no")
		if _, err := f.Webhooks.Update(t.Context(), email.Live, hook.ID, start(), func(*Webhook) error { return no }); !errors.Is(err, no) {
			t.Errorf("Update = %v, want the change's own error", err)
		}

		if err := f.Webhooks.Delete(t.Context(), email.Live, hook.ID); err != nil {
			t.Error(err)
		}
		if err := f.Webhooks.Delete(t.Context(), email.Live, hook.ID); !errors.Is(err, ErrNotFound) {
			t.Errorf("Delete again = %v, want ErrNotFound", err)
		}
		if _, err := f.Webhooks.Update(t.Context(), email.Live, hook.ID, start(), func(*Webhook) error { return nil }); !errors.Is(err, ErrNotFound) {
			t.Errorf("Update = %v, want ErrNotFound", err)
		}
	})
}

func TestTooManyWebhooks(t *testing.T) {
	each(t, Options{Sealer: reverse{}}, func(t *testing.T, f *fixture) {
		var last *Webhook
		for range MaxWebhooks {
			last = f.hook(t, nil)
		}
		if _, err := f.Webhooks.Create(t.Context(), &Webhook{ID: email.NewID(email.WebhookPrefix), World: email.Live}); !errors.Is(err, ErrTooManyWebhooks) {
			t.Errorf("Create = %v, want ErrTooManyWebhooks", err)
		}
		if _, err := f.Webhooks.Create(t.Context(), last); !errors.Is(err, ErrAlreadyExists) {
			t.Errorf("Create of the same = %v, want ErrAlreadyExists", err)
		}
		f.hook(t, func(h *Webhook) { h.World = email.Test })
		list, err := f.Webhooks.List(t.Context(), email.Live)
		if err != nil || len(list) != MaxWebhooks || list[0].ID != last.ID {
			t.Errorf("List = %d endpoints, %v; want %d, the newest first", len(list), err, MaxWebhooks)
		}
	})
}

// A record that cannot be read keeps no other endpoint from its events.
func TestBrokenWebhook(t *testing.T) {
	each(t, Options{Sealer: reverse{}}, func(t *testing.T, f *fixture) {
		whole := f.hook(t, nil)
		f.rdb.HSet(t.Context(), webhooksKey(email.Live), "wh_broken", `{"s":"x"}`, "wh_other", f.rdb.HGet(t.Context(), webhooksKey(email.Live), whole.ID).Val())
		list, broken, err := f.Webhooks.Enabled(t.Context(), email.Live)
		if err != nil || len(list) != 1 || list[0].ID != whole.ID || len(broken) != 2 {
			t.Errorf("Enabled = %v, %v, %v; want the whole one and two broken", list, broken, err)
		}
	})
}

func TestFollow(t *testing.T) {
	each(t, Options{Sealer: reverse{}}, func(t *testing.T, f *fixture) {
		early := f.accept(t, draft(f.Messages, "ada@example.org"))
		time.Sleep(2 * time.Millisecond) // the clock of Redis moves on
		hook := f.hook(t, nil)
		late := f.accept(t, draft(f.Messages, "bob@example.org"))
		f.rdb.XAdd(t.Context(), &redis.XAddArgs{Stream: keysOf(email.Live, 0).stream(), Values: []any{"m", "nothing", "p", "0"}})

		part, err := f.Deliveries.Unfollowed(t.Context(), email.Live, 0, 2)
		if err != nil || len(part.Entries) != 2 || part.From != "" || part.To != part.Entries[1].At || part.End == part.To {
			t.Fatalf("Unfollowed = %+v, %v", part, err)
		}
		if hook.Wants(part.Entries[0].At) || !hook.Wants(part.Entries[1].At) {
			t.Errorf("Wants(%s of %s) = %t, Wants(%s of %s) = %t", part.Entries[0].At, early.ID, hook.Wants(part.Entries[0].At),
				part.Entries[1].At, late.ID, hook.Wants(part.Entries[1].At))
		}
		d := &Delivery{Webhook: hook.ID, Event: email.NewID(email.EventPrefix), Type: "message.queued", Message: late.ID}
		if moved, err := f.Deliveries.Follow(t.Context(), part, part.To, []*Delivery{d}, start()); err != nil || !moved {
			t.Fatalf("Follow = %v, %v", moved, err)
		}
		// Who read the same before it moved comes too late, and changes nothing.
		other := &Delivery{Webhook: hook.ID, Event: email.NewID(email.EventPrefix), Message: late.ID}
		if moved, err := f.Deliveries.Follow(t.Context(), part, part.End, []*Delivery{other}, start()); err != nil || moved {
			t.Errorf("Follow from an old cursor = %v, %v; want false", moved, err)
		}
		if _, err := f.Deliveries.Get(t.Context(), email.Live, other.ID); !errors.Is(err, ErrNotFound) {
			t.Errorf("its delivery: %v, want ErrNotFound", err)
		}
		rest, err := f.Deliveries.Unfollowed(t.Context(), email.Live, 0, 10)
		if err != nil || len(rest.Entries) != 0 || rest.From != part.To || rest.To != rest.End {
			t.Errorf("Unfollowed = %+v, %v; want only what is no entry of ours", rest, err)
		}
		got, err := f.Deliveries.Get(t.Context(), email.Live, d.ID)
		if err != nil {
			t.Fatal(err)
		}
		equal(t, "delivery", *got, *d)
		if health := f.health(t, hook); health.Pending != 1 {
			t.Errorf("%d pending, want 1", health.Pending)
		}
	})
}

// Who reads briefly sees the same, as far as is promised, and whole what suppresses.
func TestBriefly(t *testing.T) {
	each(t, Options{}, func(t *testing.T, f *fixture) {
		plain := f.accept(t, draft(f.Messages, "ada@example.org", "bob@example.org"))
		special := later(draft(f.Messages, "cy@example.org"), start().Add(time.Hour))
		special.Message.Stream, special.Message.Tags = "bulk", []string{"a", "b"}
		f.accept(t, special)
		gone := f.accept(t, draft(f.Messages, "dee@example.org"))
		f.conclude(t, f.begin(t, gone, 0, start()), time.Time{}, email.Outcome{Status: email.Bounced, Bounce: "hard", Suppress: true})
		part, err := f.Deliveries.Unfollowed(t.Context(), email.Live, 0, 10)
		if err != nil {
			t.Fatal(err)
		}
		whole, _, err := f.Deliveries.Happened(t.Context(), email.Live, part.Entries)
		if err != nil {
			t.Fatal(err)
		}
		brief, broken, err := f.Deliveries.Briefly(t.Context(), email.Live, part.Entries)
		if err != nil || len(broken) != 0 || len(brief) != 3 {
			t.Fatalf("%d messages, %v, %v", len(brief), broken, err)
		}
		for id, got := range brief {
			want := whole[id]
			equal(t, "events", got.Events, want.Events)
			if id == gone.ID {
				equal(t, "what suppresses", got.Message, want.Message)
				continue
			}
			m := want.Message
			equal(t, "message", got.Message, &email.Message{
				ID: m.ID, World: m.World, CreatedAt: m.CreatedAt, ScheduledAt: m.ScheduledAt, Tags: m.Tags, Stream: m.Stream,
			})
		}
		if brief[plain.ID].Message.Recipients != nil {
			t.Error("a brief message is whole")
		}
	})
}

func (f *fixture) health(t *testing.T, hook *Webhook) WebhookHealth {
	t.Helper()
	got, err := f.Webhooks.Get(t.Context(), hook.World, hook.ID)
	if err != nil {
		t.Fatal(err)
	}
	return got.Health
}

func TestDeliveryLife(t *testing.T) {
	each(t, Options{Sealer: reverse{}}, func(t *testing.T, f *fixture) {
		hook := f.hook(t, nil)
		d := f.delivery(t, hook)
		now := start().Add(time.Second)
		bad := &Post{At: now, Duration: 20 * time.Millisecond, Status: 500, Error: "answered 500", Body: "oops"}
		second, err := f.Deliveries.Retry(t.Context(), d, bad, now.Add(time.Hour), now)
		if err != nil || second.Attempts != 1 || second.Generation != 1 || second.LastStatus != 500 {
			t.Fatalf("Retry = %+v, %v", second, err)
		}
		if _, err := f.Deliveries.Succeed(t.Context(), d, &Post{At: now, Status: 200}, now); !errors.Is(err, ErrLostFence) {
			t.Errorf("Succeed of an old reading = %v, want ErrLostFence", err)
		}
		equal(t, "health", f.health(t, hook), WebhookHealth{LastFailureAt: now, FailingSince: now, ConsecutiveFailures: 1, Pending: 1})

		later := now.Add(time.Hour)
		done, err := f.Deliveries.Succeed(t.Context(), second, &Post{At: later, Status: 204}, later)
		if err != nil || done.Status != DeliverySucceeded || done.Attempts != 2 || done.LastError != "" || !done.NextAt.IsZero() || !done.EndedAt.Equal(later) {
			t.Fatalf("Succeed = %+v, %v", done, err)
		}
		equal(t, "health", f.health(t, hook), WebhookHealth{LastFailureAt: now, LastSuccessAt: later})
		posts, err := f.Deliveries.Posts(t.Context(), email.Live, d.ID)
		bad.Number = 1
		equal(t, "posts", posts, []Post{*bad, {Number: 2, At: later, Status: 204}})
		if err != nil {
			t.Error(err)
		}

		keys := keysOf(email.Live, 0)
		retention := later.Add(30 * 24 * time.Hour)
		for want, at := range []time.Time{retention.Add(-time.Second), retention} {
			if n, err := f.Deliveries.Forget(t.Context(), email.Live, 0, at, 10); n != want || err != nil {
				t.Errorf("Forget = %d, %v; want %d", n, err, want)
			}
		}
		for _, key := range f.allKeys(t) {
			if strings.HasPrefix(key, keys.delivery("")) && key != keys.health(hook.ID) {
				t.Errorf("%s is left", key)
			}
		}
	})
}

func TestDueDeliveries(t *testing.T) {
	each(t, Options{Sealer: reverse{}}, func(t *testing.T, f *fixture) {
		hook := f.hook(t, nil)
		d, broken, gone := f.delivery(t, hook), f.delivery(t, hook), f.delivery(t, hook)
		keys := keysOf(email.Live, 0)
		f.rdb.HSet(t.Context(), keys.delivery(bare(broken.ID)), "d", "{")
		f.rdb.Del(t.Context(), keys.delivery(bare(gone.ID)))

		if list, err := f.Deliveries.Due(t.Context(), email.Live, 0, start().Add(lookAfter-time.Second), 10); len(list) != 0 || err != nil {
			t.Errorf("Due = %v, %v before its time", list, err)
		}
		now := start().Add(lookAfter)
		list, err := f.Deliveries.Due(t.Context(), email.Live, 0, now, 10)
		if len(list) != 1 || list[0].ID != d.ID || !errors.Is(err, ErrBroken) {
			t.Fatalf("Due = %v, %v; want one and an error", list, err)
		}
		if err := f.Deliveries.LookAgain(t.Context(), list[0], now.Add(time.Minute)); err != nil {
			t.Error(err)
		}
		if list, err := f.Deliveries.Due(t.Context(), email.Live, 0, now, 10); len(list) != 0 || err != nil {
			t.Errorf("Due = %v, %v; want none: one put off, one for an hour, one gone", list, err)
		}
		next, err := f.Deliveries.Advance(t.Context(), list[0], now)
		if err != nil || next.Generation != 1 || next.Attempts != 0 || !next.NextAt.Equal(d.NextAt) {
			t.Errorf("Advance = %+v, %v", next, err)
		}
		if err := f.Deliveries.LookAgain(t.Context(), list[0], now); err != nil {
			t.Error(err)
		}
		if list, _ := f.Deliveries.Due(t.Context(), email.Live, 0, now, 10); len(list) != 0 {
			t.Error("LookAgain moved a delivery that had changed")
		}
		if err := f.Deliveries.Drop(t.Context(), next); err != nil {
			t.Error(err)
		}
		if _, err := f.Deliveries.Get(t.Context(), email.Live, d.ID); !errors.Is(err, ErrNotFound) {
			t.Errorf("Get after Drop = %v, want ErrNotFound", err)
		}
	})
}

func TestDeliveryID(t *testing.T) {
	event := email.NewID(email.EventPrefix)
	a, err := DeliveryID(event, "wh_a", 7)
	if err != nil {
		t.Fatal(err)
	}
	id, err := email.ParseID(email.DeliveryPrefix, a)
	if err != nil || id[15] != 7 {
		t.Errorf("%s: %v, shard %d; want an id of shard 7", a, err, id[15])
	}
	again, _ := DeliveryID(event, "wh_a", 7)
	other, _ := DeliveryID(event, "wh_b", 7)
	if again != a || other == a {
		t.Errorf("%s, again %s, of another endpoint %s", a, again, other)
	}
	if _, err := DeliveryID("evt_1", "wh_a", 0); err == nil {
		t.Error("what is no event has a delivery")
	}
}
