package store

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"postrider/internal/email"
)

// kinds are the kinds of what a check reports.
func (f *fixture) kinds(t *testing.T) []string {
	t.Helper()
	var out []string
	checked, err := f.Messages.Check(t.Context(), CheckOptions{Report: func(found Finding) {
		out = append(out, found.Kind)
		if found.Where == "" || found.Text == "" || found.String() == "" {
			t.Errorf("finding %+v", found)
		}
	}})
	if err != nil {
		t.Fatal(err)
	}
	if checked.Findings != len(out) {
		t.Errorf("%d findings counted, %d reported", checked.Findings, len(out))
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// live fills a store with one message in each kind of state.
func (f *fixture) live(t *testing.T) (waiting, finished *email.Message) {
	t.Helper()
	ctx := t.Context()
	finished = f.accept(t, draft(f.Messages, "ada@example.org", "bob@example.net"))
	for envelope := range 2 {
		f.conclude(t, f.begin(t, finished, envelope, start()), start(), email.Outcome{Recipient: envelope, Status: email.Delivered})
	}
	s := draft(f.Messages, "ada@example.org")
	s.IdempotencyKey = "k"
	waiting = f.accept(t, s)
	flying := f.accept(t, draft(f.Messages, "ada@example.org"))
	f.begin(t, flying, 0, start())
	f.die(t, f.accept(t, draft(f.Messages, "ada@example.org")), 5)
	if _, err := f.Messages.Cancel(ctx, email.Live, f.accept(t, draft(f.Messages, "ada@example.org")).ID, start()); err != nil {
		t.Fatal(err)
	}
	deferred := f.accept(t, draft(f.Messages, "ada@example.org"))
	f.conclude(t, f.begin(t, deferred, 0, start()), start(), email.Outcome{Status: email.Deferred})
	forgotten := f.accept(t, draft(f.Messages, "ada@example.org"))
	f.conclude(t, f.begin(t, forgotten, 0, start()), start().Add(-31*24*time.Hour), email.Outcome{Status: email.Delivered})
	if n, err := f.Messages.Forget(ctx, email.Live, 0, start(), 10); n != 1 || err != nil {
		t.Fatalf("Forget = %d, %v", n, err)
	}
	return waiting, finished
}

func TestCheckFindsNothingWhereNothingIsWrong(t *testing.T) {
	each(t, Options{Shards: 1}, func(t *testing.T, f *fixture) {
		f.live(t)
		if got := f.kinds(t); got != nil {
			t.Errorf("findings %q", got)
		}
	})
}

func TestCheckFindsEachDisagreement(t *testing.T) {
	each(t, Options{}, func(t *testing.T, f *fixture) {
		ctx, rdb := t.Context(), f.rdb
		k := keysOf(email.Live, 0)
		ghost := short(email.NewMessageID(0))
		for _, c := range []struct {
			name  string
			spoil func(waiting, finished string)
			want  []string
		}{
			{"record lost", func(w, _ string) { rdb.Del(ctx, k.record(w)) }, []string{KindDue, KindIdempotency, KindIndex, KindOrphan}},
			{"record broken", func(w, _ string) { rdb.HSet(ctx, k.record(w), "s", "{") }, []string{KindRecord}},
			{"record of another kind", func(w, _ string) { rdb.Del(ctx, k.record(w)); rdb.Set(ctx, k.record(w), "x", 0) }, []string{KindRecord}},
			{"no message", func(string, string) { rdb.HSet(ctx, k.record("x"), "s", "{}") }, []string{KindRecord}},
			{"not due", func(w, _ string) { rdb.ZRem(ctx, k.due(), dueMember(w, 0)) }, []string{KindDue}},
			{"done, but due", func(_, f string) { rdb.ZAdd(ctx, k.due(), redis.Z{Score: 1, Member: dueMember(f, 1)}) }, []string{KindDue}},
			{"a ghost is due", func(string, string) { rdb.ZAdd(ctx, k.due(), redis.Z{Score: 1, Member: dueMember(ghost, 0)}) }, []string{KindDue}},
			{"nonsense is due", func(string, string) { rdb.ZAdd(ctx, k.due(), redis.Z{Score: 1, Member: "x"}) }, []string{KindDue}},
			{"not to be purged", func(_, f string) { rdb.ZRem(ctx, k.purge(), f) }, []string{KindPurge}},
			{"purged too early", func(w, _ string) { rdb.ZAdd(ctx, k.purge(), redis.Z{Score: 1, Member: w}) }, []string{KindPurge}},
			{"a ghost is purged", func(string, string) { rdb.ZAdd(ctx, k.purge(), redis.Z{Score: 1, Member: ghost}) }, []string{KindPurge}},
			{"not indexed", func(w, _ string) { rdb.ZRem(ctx, k.all(), w) }, []string{KindIndex}},
			{"not indexed by tag", func(w, _ string) { rdb.ZRem(ctx, k.tag("welcome"), w) }, []string{KindIndex}},
			{"of another status", func(w, _ string) { rdb.ZAdd(ctx, k.status(email.Failed), redis.Z{Member: w}) }, []string{KindIndex}},
			{"quarantined by the index alone", func(w, _ string) { rdb.ZAdd(ctx, k.quarantined(), redis.Z{Member: w}) }, []string{KindIndex}},
			{"quarantined, but not indexed", func(string, string) { rdb.Del(ctx, k.quarantined()) }, []string{KindIndex}},
			{"a ghost is indexed", func(string, string) { rdb.ZAdd(ctx, k.all(), redis.Z{Member: ghost}) }, []string{KindIndex}},
			{"an event lost", func(w, _ string) { rdb.RPop(ctx, k.events(w)) }, []string{KindEvents}},
			{"an event too many", func(w, _ string) { rdb.RPush(ctx, k.events(w), "{}") }, []string{KindEvents}},
			{"nonsense in the stream", func(string, string) {
				rdb.XAdd(ctx, &redis.XAddArgs{Stream: k.stream(), Values: []string{"m", "x", "p", "y"}})
			}, []string{KindEvents}},
			{"a sample of nonsense", func(w, _ string) {
				rdb.XAdd(ctx, &redis.XAddArgs{Stream: k.stream(), Values: []string{"m", w, "p", "0", "c", "{"}})
			}, []string{KindEvents}},
			{"an attempt lost", func(_, f string) { rdb.RPop(ctx, k.attempts(f)) }, []string{KindAttempts}},
			{"content lost", func(w, _ string) { rdb.Del(ctx, k.body(w)) }, []string{KindBody}},
			{"content of nobody", func(string, string) { rdb.Set(ctx, k.body(ghost), "x", 0) }, []string{KindOrphan}},
			{"a stub for ever", func(string, string) { rdb.Set(ctx, k.stub(ghost), "{}", 0) }, []string{KindPurge}},
			{"key of nobody", func(string, string) { rdb.Set(ctx, k.idempotency("x"), "f "+ghost, 0) }, []string{KindIdempotency}},
			{"key of an answer", func(string, string) { rdb.Set(ctx, k.idempotency("x"), "f =answer", 0) }, nil},
			{"key of nonsense", func(string, string) { rdb.Set(ctx, k.idempotency("x"), "x", 0) }, []string{KindIdempotency}},
			{"set aside", func(string, string) { rdb.ZAdd(ctx, k.broken(), redis.Z{Member: "due:x"}) }, []string{KindSetAside}},
			{"done, but open", func(w, _ string) {
				rdb.HSet(ctx, k.record(w), "s", `{"x":1,"r":[{"s":"queued","q":1}],"e":[{"p":"done"}]}`)
			}, []string{KindDue, KindState}},
			{"final, but open", func(_, f string) {
				rdb.HSet(ctx, k.record(f), "s", `{"x":1,"r":[{"s":"delivered","q":2},{"s":"delivered","q":2,"e":1}],"e":[{"p":"done","a":1},{"p":"wait","a":1}]}`)
			}, []string{KindDue, KindPurge, KindState}},
		} {
			if err := rdb.FlushAll(ctx).Err(); err != nil {
				t.Fatal(err)
			}
			waiting, finished := f.live(t)
			c.spoil(short(waiting.ID), short(finished.ID))
			if got := f.kinds(t); !slices.Equal(got, c.want) {
				t.Errorf("%s: findings %q, want %q", c.name, got, c.want)
			}
		}
	})
}

func TestCheckDeliveries(t *testing.T) {
	each(t, Options{}, func(t *testing.T, f *fixture) {
		ctx, rdb, k := t.Context(), f.rdb, keysOf(email.Live, 0)
		hook := &Webhook{ID: email.NewID(email.WebhookPrefix)}
		ghost := short(email.NewMessageID(0))
		set := func(key, member string) { rdb.ZAdd(ctx, key, redis.Z{Score: 1, Member: member}) }
		for _, c := range []struct {
			name  string
			spoil func(open, done string)
			want  []string
		}{
			{"nothing", func(string, string) {}, nil},
			{"record lost", func(o, _ string) { rdb.Del(ctx, k.delivery(o)) }, []string{KindDelivery}},
			{"record broken", func(o, _ string) { rdb.HSet(ctx, k.delivery(o), "d", "{") }, []string{KindRecord}},
			{"record without its head", func(_, d string) { rdb.HDel(ctx, k.delivery(d), "d") }, []string{KindRecord}},
			{"of another kind", func(o, _ string) { rdb.Del(ctx, k.delivery(o)); rdb.Set(ctx, k.delivery(o), "x", 0) }, []string{KindRecord}},
			{"not due", func(o, _ string) { rdb.ZRem(ctx, k.deliveryDue(), o) }, []string{KindDelivery}},
			{"not of its endpoint", func(o, _ string) { rdb.ZRem(ctx, k.pending(hook.ID), o) }, []string{KindDelivery}},
			{"forgotten too early", func(o, _ string) { set(k.deliveryPurge(), o) }, []string{KindDelivery}},
			{"finished, but due", func(_, d string) { set(k.deliveryDue(), d) }, []string{KindDelivery}},
			{"finished, but pending", func(_, d string) { set(k.pending(hook.ID), d) }, []string{KindDelivery}},
			{"never forgotten", func(_, d string) { rdb.ZRem(ctx, k.deliveryPurge(), d) }, []string{KindDelivery}},
			{"not among the finished", func(_, d string) { rdb.ZRem(ctx, k.finished(hook.ID), d) }, []string{KindDelivery}},
			{"an attempt lost", func(_, d string) { rdb.HDel(ctx, k.delivery(d), "a1") }, []string{KindDelivery}},
			{"an attempt too many", func(o, _ string) { rdb.HSet(ctx, k.delivery(o), "a1", "x") }, []string{KindDelivery}},
			{"under another name", func(o, _ string) {
				raw := rdb.HGet(ctx, k.delivery(o), "d").Val()
				rdb.HSet(ctx, k.delivery(ghost), "d", raw)
				set(k.deliveryDue(), ghost)
				set(k.pending(hook.ID), ghost)
			}, []string{KindDelivery}},
			{"a ghost is due", func(string, string) { set(k.deliveryDue(), ghost) }, []string{KindDelivery}},
			{"a ghost is finished", func(string, string) { set(k.finished("wh_x"), ghost) }, []string{KindDelivery}},
			{"cursor of nonsense", func(string, string) { rdb.Set(ctx, k.cursor(), "x", 0) }, []string{KindCursor}},
			{"cursor of another kind", func(string, string) { rdb.Del(ctx, k.cursor()); rdb.HSet(ctx, k.cursor(), "x", 0) }, []string{KindCursor}},
			{"cursor ahead", func(string, string) { rdb.Set(ctx, k.cursor(), "99999999999999-0", 0) }, []string{KindCursor}},
			{"cursor behind", func(string, string) {
				rdb.Del(ctx, k.cursor(), k.stream())
				rdb.XAdd(ctx, &redis.XAddArgs{Stream: k.stream(), ID: "1000-1", Values: []string{"m", ghost, "p", "0"}})
			}, []string{KindCursor}},
		} {
			if err := rdb.FlushAll(ctx).Err(); err != nil {
				t.Fatal(err)
			}
			open, done := f.delivery(t, hook), f.delivery(t, hook)
			f.settle(t, done, 1)
			c.spoil(bare(open.ID), bare(done.ID))
			if got := f.kinds(t); !slices.Equal(got, c.want) {
				t.Errorf("%s: findings %q, want %q", c.name, got, c.want)
			}
		}
	})
}

// settle ends a delivery with its nth attempt.
func (f *fixture) settle(t *testing.T, d *Delivery, n int) {
	t.Helper()
	var err error
	for range n - 1 {
		if d, err = f.Deliveries.Retry(t.Context(), d, &Post{At: start(), Status: 500, Error: "500"}, start(), start()); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := f.Deliveries.Succeed(t.Context(), d, &Post{At: start(), Status: 200}, start()); err != nil {
		t.Fatal(err)
	}
}

// What one delivery may be that others are not: of a suppression, replayed beyond the
// attempts that are kept.
func TestCheckRareDeliveries(t *testing.T) {
	each(t, Options{}, func(t *testing.T, f *fixture) {
		f.suppress(t, "bob@example.org", nil)
		if _, err := f.Suppressions.Follow(t.Context(), email.Live, 10); err != nil {
			t.Fatal(err)
		}
		part, err := f.Deliveries.Unfollowed(t.Context(), email.Live, 0, 10)
		if err != nil || len(part.Entries) != 1 || part.Entries[0].Suppression == nil {
			t.Fatalf("Unfollowed = %+v, %v", part, err)
		}
		hook := &Webhook{ID: email.NewID(email.WebhookPrefix)}
		d := hook.DeliveryOf(part.Entries[0], nil, func([]string, email.EventType) bool { return true })
		if moved, err := f.Deliveries.Follow(t.Context(), part, part.To, []*Delivery{d}, start()); !moved || err != nil {
			t.Fatal(moved, err)
		}
		f.settle(t, f.delivery(t, hook), maxPosts+2)
		if got := f.kinds(t); len(got) != 0 {
			t.Errorf("findings %q", got)
		}
	})
}

func TestCheckNamesWhatWaits(t *testing.T) {
	each(t, Options{}, func(t *testing.T, f *fixture) {
		waiting, _ := f.live(t)
		due := map[string]time.Time{}
		_, err := f.Messages.Check(t.Context(), CheckOptions{
			Report: func(found Finding) { t.Error(found) },
			Waiting: func(_ context.Context, e Entry, at time.Time) error {
				due[e.Message] = at
				return nil
			},
		})
		if err != nil || len(due) != 2 || !due[waiting.ID].Equal(start().Add(lookAfter)) {
			t.Errorf("waiting: %v, %v", due, err)
		}
	})
}
