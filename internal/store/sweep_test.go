package store

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"postrider/internal/email"
)

func (f *fixture) due(t *testing.T, now time.Time) []Entry {
	t.Helper()
	entries, err := f.Messages.Due(t.Context(), email.Live, 0, now, 10)
	if err != nil {
		t.Fatal(err)
	}
	return entries
}

func TestSweep(t *testing.T) {
	each(t, Options{}, func(t *testing.T, f *fixture) {
		msg := f.accept(t, draft(f.Messages, "ada@example.org", "bob@example.net"))
		if entries := f.due(t, start().Add(24*time.Second)); len(entries) != 0 {
			t.Errorf("due too early: %+v", entries)
		}
		now := start().Add(25 * time.Second)
		entries := f.due(t, now)
		want := []Entry{
			{World: email.Live, Message: msg.ID, Envelope: 0, Class: "default", State: msg.Envelopes[0].State, ExpiresAt: msg.ExpiresAt},
			{World: email.Live, Message: msg.ID, Envelope: 1, Class: "default", State: msg.Envelopes[1].State, ExpiresAt: msg.ExpiresAt},
		}
		equal(t, "entries", entries, want)

		if err := f.Messages.LookAgain(t.Context(), entries[0], now.Add(time.Minute)); err != nil {
			t.Fatal(err)
		}
		equal(t, "due after LookAgain", f.dueAt(t, msg, 0), now.Add(time.Minute))

		generation, err := f.Messages.Advance(t.Context(), entries[1], now)
		if err != nil || generation != 1 {
			t.Errorf("Advance = %d, %v; want 1", generation, err)
		}
		generation, err = f.Messages.Advance(t.Context(), entries[1], now)
		if err != nil || generation != 1 {
			t.Errorf("Advance of what was seen before = %d, %v; want 1", generation, err)
		}
		equal(t, "due after Advance", f.dueAt(t, msg, 1), now.Add(lookSoon))

		// What was seen is no longer so: the change's own time stays.
		if err := f.Messages.LookAgain(t.Context(), entries[1], now.Add(time.Hour)); err != nil {
			t.Fatal(err)
		}
		equal(t, "due after a late LookAgain", f.dueAt(t, msg, 1), now.Add(lookSoon))

		claim := f.begin(t, msg, 0, now)
		generation, err = f.Messages.Advance(t.Context(), entries[0], now)
		if err != nil || generation != 0 {
			t.Errorf("Advance in flight = %d, %v; want 0", generation, err)
		}
		f.conclude(t, claim, now, email.Outcome{Status: email.Delivered})
		if entries := f.due(t, now.Add(time.Hour)); len(entries) != 1 || entries[0].Envelope != 1 {
			t.Errorf("due = %+v, want the second envelope", entries)
		}
	})
}

func TestSweepLeftovers(t *testing.T) {
	each(t, Options{}, func(t *testing.T, f *fixture) {
		msg := f.accept(t, draft(f.Messages, "ada@example.org"))
		keys, id, _ := f.Messages.locate(email.Live, msg.ID)
		entry := f.due(t, start().Add(time.Hour))[0]
		if err := f.Messages.LookAgain(t.Context(), entry, time.Time{}); err != nil {
			t.Fatal(err)
		}
		equal(t, "due of a living entry", f.dueAt(t, msg, 0), start().Add(25*time.Second))

		// A record that is gone, and an envelope that is done, lose their entry.
		if err := f.rdb.Rename(t.Context(), keys.record(id), "elsewhere").Err(); err != nil {
			t.Fatal(err)
		}
		entry = f.due(t, start().Add(time.Hour))[0]
		equal(t, "an entry without a record", entry, Entry{World: email.Live, Message: msg.ID, Class: "default"})
		if _, err := f.Messages.Advance(t.Context(), entry, start()); !errors.Is(err, ErrNotFound) {
			t.Errorf("Advance = %v, want ErrNotFound", err)
		}
		if err := f.Messages.LookAgain(t.Context(), entry, time.Time{}); err != nil {
			t.Fatal(err)
		}
		equal(t, "due", f.dueAt(t, msg, 0), time.Time{})

		f.rdb.Rename(t.Context(), "elsewhere", keys.record(id))
		f.conclude(t, f.begin(t, msg, 0, start()), start(), email.Outcome{Status: email.Delivered})
		f.rdb.ZAdd(t.Context(), keys.due(), redis.Z{Score: 1, Member: dueMember(id, 0)})
		if err := f.Messages.LookAgain(t.Context(), f.due(t, start())[0], time.Time{}); err != nil {
			t.Fatal(err)
		}
		equal(t, "due", f.dueAt(t, msg, 0), time.Time{})
	})
}

func TestSweepBrokenRecords(t *testing.T) {
	each(t, Options{}, func(t *testing.T, f *fixture) {
		whole := f.accept(t, draft(f.Messages, "ada@example.org"))
		broken := f.accept(t, draft(f.Messages, "bob@example.org"))
		keys, id, _ := f.Messages.locate(email.Live, broken.ID)
		f.rdb.HSet(t.Context(), keys.record(id), "s", `{"r":[{"s":"queued","e":9}]}`)
		f.rdb.ZAdd(t.Context(), keys.due(), redis.Z{Score: 1, Member: "nonsense"})
		now := start().Add(time.Minute)
		entries, err := f.Messages.Due(t.Context(), email.Live, 0, now, 10)
		if !errors.Is(err, ErrBroken) || !strings.Contains(err.Error(), id) || !strings.Contains(err.Error(), "nonsense") {
			t.Errorf("Due = %v, want an error that names both", err)
		}
		if len(entries) != 1 || entries[0].Message != whole.ID {
			t.Errorf("Due = %+v, want the whole one", entries)
		}
		if entries := f.due(t, now); len(entries) != 1 {
			t.Errorf("Due afterwards = %+v, want only the whole one", entries)
		}
		f.rdb.Del(t.Context(), keys.record(short(whole.ID)))
		f.rdb.Set(t.Context(), keys.record(short(whole.ID)), "of another kind", 0)
		if entries, err := f.Messages.Due(t.Context(), email.Live, 0, now, 10); !errors.Is(err, ErrBroken) || len(entries) != 0 {
			t.Errorf("Due = %+v, %v; want the record of another kind refused", entries, err)
		}
		equal(t, "due", f.rdb.ZCard(t.Context(), keys.due()).Val(), int64(0))
		want := []string{"due:" + dueMember(id, 0), "due:" + dueMember(short(whole.ID), 0), "due:nonsense"}
		got := f.rdb.ZRange(t.Context(), keys.broken(), 0, -1).Val()
		slices.Sort(want)
		slices.Sort(got)
		equal(t, "set aside", got, want)
	})
}

func TestForget(t *testing.T) {
	const day = 24 * time.Hour
	each(t, Options{}, func(t *testing.T, f *fixture) {
		forget := func(now time.Time, want int) {
			t.Helper()
			n, err := f.Messages.Forget(t.Context(), email.Live, 0, now, 10)
			if err != nil || n != want {
				t.Fatalf("Forget = %d, %v; want %d", n, err, want)
			}
		}
		waiting := f.accept(t, draft(f.Messages, "bob@example.net"))
		f.followAll(t)
		before := f.allKeys(t)
		s := draft(f.Messages, "ada@example.org", "cy@example.com")
		s.Message.Tags = []string{"a", "b"}
		msg := f.accept(t, s)
		for envelope := range 2 {
			f.conclude(t, f.begin(t, msg, envelope, start()), start(),
				email.Outcome{Recipient: envelope, Status: email.Delivered, Reply: &email.Reply{Code: 250, At: start()}})
		}
		f.followAll(t)

		forget(start().Add(7*day-time.Second), 0)
		forget(start().Add(7*day), 1)
		if content, err := f.Messages.Content(t.Context(), email.Live, msg.ID); content != nil || err != nil {
			t.Errorf("forgotten content = %v, %v; want nil, nil", content, err)
		}
		f.get(t, msg)
		forget(start().Add(30*day-time.Second), 0)
		forget(start().Add(30*day), 1)
		if _, err := f.Messages.Get(t.Context(), email.Live, msg.ID); !errors.Is(err, ErrNotFound) {
			t.Errorf("Get = %v, want ErrNotFound", err)
		}
		keys, id, _ := f.Messages.locate(email.Live, msg.ID)
		equal(t, "stub", f.rdb.Get(t.Context(), keys.stub(id)).Val(),
			`{"s":"transactional","e":[{"d":"example.org","r":["ada@example.org"]},{"d":"example.com","r":["cy@example.com"]}]}`)
		forget(start().Add(90*day), 1)
		f.rdb.Del(t.Context(), keys.trimmed()) // how far the stream reaches stays
		equal(t, "keys", f.allKeys(t), before)
		for _, key := range f.allKeys(t) {
			if strings.Contains(key, id) {
				t.Errorf("%s is left", key)
			}
		}
		for _, key := range append(keys.indexes(msg), keys.status(email.Delivered), keys.due(), keys.purge()) {
			for _, member := range f.rdb.ZRange(t.Context(), key, 0, -1).Val() {
				if strings.Contains(member, id) {
					t.Errorf("%s still holds %s", key, member)
				}
			}
		}
		f.get(t, waiting)
		forget(start().Add(900*day), 0)
	})
}

func TestForgetLimitAndOrder(t *testing.T) {
	each(t, Options{ContentRetention: time.Hour, MetadataRetention: time.Minute, StubRetention: time.Second}, func(t *testing.T, f *fixture) {
		for i := range 3 {
			msg := f.accept(t, draft(f.Messages, fmt.Sprintf("u%d@example.org", i)))
			f.conclude(t, f.begin(t, msg, 0, start()), start(), email.Outcome{Status: email.Bounced})
		}
		f.followAll(t)
		for _, want := range []int{2, 1, 0} {
			n, err := f.Messages.Forget(t.Context(), email.Live, 0, start().Add(time.Minute), 2)
			if err != nil || n != want {
				t.Errorf("Forget = %d, %v; want %d", n, err, want)
			}
		}
		// The stream stays until its entries are older than the metadata's time.
		n, err := f.Messages.Forget(t.Context(), email.Live, 0, time.Now().Add(time.Hour), 2)
		keys := keysOf(email.Live, 0)
		if err != nil || n != 0 || f.rdb.XLen(t.Context(), keys.stream()).Val() != 0 {
			t.Errorf("Forget = %d, %v; the stream has %d entries", n, err, f.rdb.XLen(t.Context(), keys.stream()).Val())
		}
		equal(t, "keys", f.allKeys(t), []string{keys.stream(), keys.cursor(), keys.trimmed()})
	})
}

// What nobody followed yet is not forgotten, however old it is.
func TestForgetWaitsForTheFollower(t *testing.T) {
	each(t, Options{}, func(t *testing.T, f *fixture) {
		const day = 24 * time.Hour
		now := time.Now()
		msg := f.accept(t, draft(f.Messages, "ada@example.org"))
		f.conclude(t, f.begin(t, msg, 0, now), now, email.Outcome{Status: email.Delivered})
		forget := func(at time.Time) {
			t.Helper()
			if _, err := f.Messages.Forget(t.Context(), email.Live, 0, at, 10); err != nil {
				t.Fatal(err)
			}
		}
		forget(now.Add(40 * day))
		f.get(t, msg)
		if n := len(f.history(t, msg)); n != 2 {
			t.Errorf("%d events are left, want 2", n)
		}
		f.followAll(t)
		forget(now.Add(41 * day))
		if _, err := f.Messages.Get(t.Context(), email.Live, msg.ID); !errors.Is(err, ErrNotFound) {
			t.Errorf("Get = %v, want ErrNotFound: all was followed", err)
		}
		if n := f.rdb.XLen(t.Context(), keysOf(email.Live, 0).stream()).Val(); n != 0 {
			t.Errorf("the stream has %d entries left", n)
		}
	})
}

func TestForgetBrokenRecord(t *testing.T) {
	each(t, Options{}, func(t *testing.T, f *fixture) {
		msg := f.accept(t, draft(f.Messages, "ada@example.org"))
		f.conclude(t, f.begin(t, msg, 0, start()), start(), email.Outcome{Status: email.Delivered})
		keys, id, _ := f.Messages.locate(email.Live, msg.ID)
		f.rdb.HSet(t.Context(), keys.record(id), "m", "{")
		now := start().Add(100 * 24 * time.Hour)
		if n, err := f.Messages.Forget(t.Context(), email.Live, 0, now, 10); n != 0 || err == nil {
			t.Errorf("Forget = %d, %v; want an error", n, err)
		}
		if n, err := f.Messages.Forget(t.Context(), email.Live, 0, now, 10); n != 0 || err != nil {
			t.Errorf("Forget again = %d, %v; want it set aside", n, err)
		}
		equal(t, "set aside", f.rdb.ZRange(t.Context(), keys.broken(), 0, -1).Val(), []string{"purge:" + id})
	})
}

func TestBacklog(t *testing.T) {
	each(t, Options{Shards: 4}, func(t *testing.T, f *fixture) {
		if b, err := f.Messages.Backlog(t.Context(), email.Live); err != nil || b != (Backlog{}) {
			t.Errorf("of nothing: %+v, %v", b, err)
		}
		for range 5 {
			f.accept(t, draft(f.Messages, "a@b.test", "c@d.test"))
		}
		b, err := f.Messages.Backlog(t.Context(), email.Live)
		if err != nil || b.Size != 10 || !b.Next.Equal(start().Add(lookAfter)) {
			t.Errorf("%+v, %v; want 10 envelopes from %v on", b, err, start().Add(lookAfter))
		}
		if b, err := f.Messages.Backlog(t.Context(), email.Test); err != nil || b.Size != 0 {
			t.Errorf("of another world: %+v, %v", b, err)
		}
	})
}
