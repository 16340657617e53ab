package store

import (
	"errors"
	"testing"
	"time"

	"postrider/internal/email"
)

// die lets a worker die of an envelope n times.
func (f *fixture) die(t *testing.T, msg *email.Message, n int) (last *Concluded) {
	t.Helper()
	for range n {
		var err error
		if last, err = f.Messages.Died(t.Context(), f.begin(t, msg, 0, start()), nil, start(), start()); err != nil {
			t.Fatal(err)
		}
	}
	return last
}

func TestFiveDeathsQuarantine(t *testing.T) {
	each(t, Options{}, func(t *testing.T, f *fixture) {
		msg := f.accept(t, draft(f.Messages, "ada@example.org", "bob@example.org", "cy@example.net"))
		if c := f.die(t, msg, 4); c.Held || c.Done {
			t.Fatalf("after four: %+v", c)
		}
		if c := f.die(t, msg, 1); !c.Held || c.Done {
			t.Fatalf("after five: %+v", c)
		}
		got := f.get(t, msg)
		equal(t, "recipients", statuses(got), "deferred/quarantined deferred/quarantined queued")
		equal(t, "next", got.Recipients[0].State.NextAttemptAt, time.Time{})
		equal(t, "phase", got.Envelopes[0].State.Phase, email.Quarantined)
		equal(t, "due", f.dueAt(t, msg, 0), fromMS(toMS(msg.ExpiresAt)))
		equal(t, "history", f.history(t, msg), []string{"0:>queued", "1:>queued", "2:>queued", "0:queued>deferred", "1:queued>deferred"})
		events, _, err := f.Messages.Events(t.Context(), msg.World, msg.ID, 3, 1)
		if err != nil || events[0].Reason != email.ReasonQuarantined || events[0].Detail == "" {
			t.Errorf("event %+v, %v", events, err)
		}
		s, err := f.Messages.Begin(t.Context(), msg.World, msg.ID, 0, 99, "w", start().Add(time.Hour))
		if err != nil || s.Verdict != Occupied {
			t.Errorf("Begin = %+v, %v", s, err)
		}
	})
}

func TestAnEndResetsDeaths(t *testing.T) {
	each(t, Options{}, func(t *testing.T, f *fixture) {
		msg := f.accept(t, draft(f.Messages, "ada@example.org"))
		f.die(t, msg, 4)
		c := f.begin(t, msg, 0, start())
		if _, err := f.Messages.Release(t.Context(), c, Wait{Until: start()}, start()); err != nil { // tried nothing: counts neither way
			t.Fatal(err)
		}
		equal(t, "deaths", f.get(t, msg).Envelopes[0].State.Deaths, 4)
		f.conclude(t, f.begin(t, msg, 0, start()), start(), email.Outcome{Status: email.Deferred})
		equal(t, "deaths", f.get(t, msg).Envelopes[0].State.Deaths, 0)
	})
}

func TestDeathPastTheMark(t *testing.T) {
	each(t, Options{}, func(t *testing.T, f *fixture) {
		msg := f.accept(t, draft(f.Messages, "ada@example.org"))
		f.die(t, msg, 4)
		c := f.begin(t, msg, 0, start())
		if err := f.Messages.Mark(t.Context(), c, []int{0}, nil, start()); err != nil {
			t.Fatal(err)
		}
		a := tried(c, start(), email.Outcome{Status: email.Deferred, Unknown: true})
		done, err := f.Messages.Died(t.Context(), c, a, start().Add(time.Hour), start())
		if err != nil || !done.Held {
			t.Fatalf("Died = %+v, %v", done, err)
		}
		equal(t, "recipients", statuses(f.get(t, msg)), "deferred/quarantined")
		if n := f.get(t, msg).Recipients[0].State.Unknowns; n != 1 {
			t.Errorf("%d unknown outcomes", n)
		}
		// What it answers when run twice is the second run's: it found nothing to do.
		if _, err := f.Messages.GiveUp(t.Context(), f.due(t, msg.ExpiresAt)[0], msg.ExpiresAt); err != nil {
			t.Fatal(err)
		}
		equal(t, "recipients", statuses(f.get(t, msg)), "failed/outcome_unknown")
	})
}

func TestQuarantineEnds(t *testing.T) {
	each(t, Options{}, func(t *testing.T, f *fixture) {
		quarantined := func() *email.Message {
			msg := f.accept(t, draft(f.Messages, "ada@example.org"))
			done, err := f.Messages.Quarantine(t.Context(), f.begin(t, msg, 0, start()), "the test says so", start())
			if err != nil || !done.Held {
				t.Fatalf("Quarantine = %+v, %v", done, err)
			}
			return msg
		}
		t.Run("freed", func(t *testing.T) {
			msg := quarantined()
			now := start().Add(time.Hour)
			generation, err := f.Messages.Free(t.Context(), msg.World, msg.ID, 0, now)
			if err != nil || generation != f.get(t, msg).Envelopes[0].State.Generation {
				t.Fatalf("Free = %d, %v", generation, err)
			}
			equal(t, "due", f.dueAt(t, msg, 0), now.Add(lookAfter))
			f.conclude(t, f.begin(t, msg, 0, now), now, email.Outcome{Status: email.Delivered})
			equal(t, "recipients", statuses(f.get(t, msg)), "delivered")
			if _, err := f.Messages.Free(t.Context(), msg.World, msg.ID, 0, now.Add(time.Second)); !errors.Is(err, ErrNotQuarantined) {
				t.Errorf("Free of a delivered one = %v", err)
			}
			if _, err := f.Messages.Free(t.Context(), msg.World, email.NewMessageID(0), 0, now); !errors.Is(err, ErrNotFound) {
				t.Errorf("Free of nothing = %v", err)
			}
		})
		t.Run("canceled", func(t *testing.T) {
			msg := quarantined()
			got, err := f.Messages.Cancel(t.Context(), msg.World, msg.ID, start())
			if err != nil || statuses(got) != "canceled" || got.Envelopes[0].State.Phase != email.Done {
				t.Errorf("Cancel = %+v, %v", got, err)
			}
			equal(t, "due", f.dueAt(t, msg, 0), time.Time{})
		})
		t.Run("expired", func(t *testing.T) {
			msg := quarantined()
			e := Entry{World: msg.World, Message: msg.ID, ExpiresAt: msg.ExpiresAt}
			if gaveUp, err := f.Messages.GiveUp(t.Context(), e, msg.ExpiresAt.Add(-time.Millisecond)); gaveUp || err != nil {
				t.Errorf("GiveUp before its time = %t, %v", gaveUp, err)
			}
			if _, err := f.Messages.GiveUp(t.Context(), e, msg.ExpiresAt); err != nil {
				t.Error(err)
			}
			equal(t, "recipients", statuses(f.get(t, msg)), "failed/local_error")
			equal(t, "due", f.dueAt(t, msg, 0), time.Time{})
			equal(t, "history", f.history(t, msg), []string{"0:>queued", "0:queued>deferred", "0:deferred>failed"})
		})
	})
}

// What is quarantined is found by an index, however many messages there are, for as long
// as one of its envelopes is.
func TestQuarantinedAreFound(t *testing.T) {
	each(t, Options{Shards: 2}, func(t *testing.T, f *fixture) {
		find := func(want ...string) {
			t.Helper()
			page, _, err := f.Messages.List(t.Context(), email.Live, Filter{Quarantined: true}, "", 10)
			if err != nil {
				t.Fatal(err)
			}
			equal(t, "quarantined", ids(page), want)
			n, err := f.Messages.CountQuarantined(t.Context(), email.Live)
			if err != nil || n != int64(len(want)) {
				t.Errorf("%d are counted, want %d, %v", n, len(want), err)
			}
		}
		msg := f.accept(t, draft(f.Messages, "ada@example.org", "bob@example.net"))
		f.accept(t, draft(f.Messages, "ada@example.org"))
		find()
		for envelope := range 2 {
			if _, err := f.Messages.Quarantine(t.Context(), f.begin(t, msg, envelope, start()), "the test says so", start()); err != nil {
				t.Fatal(err)
			}
			find(msg.ID)
		}
		if _, err := f.Messages.Free(t.Context(), msg.World, msg.ID, 0, start()); err != nil {
			t.Fatal(err)
		}
		find(msg.ID)
		if _, err := f.Messages.Cancel(t.Context(), msg.World, msg.ID, start()); err != nil {
			t.Fatal(err)
		}
		find()
	})
}

func TestQuarantineCauses(t *testing.T) {
	each(t, Options{}, func(t *testing.T, f *fixture) {
		first, second := f.accept(t, draft(f.Messages, "ada@example.org")), f.accept(t, draft(f.Messages, "bob@example.org", "cy@example.net"))
		for _, msg := range []*email.Message{first, second} {
			if _, err := f.Messages.Quarantine(t.Context(), f.begin(t, msg, 0, start()), "the fault of "+msg.ID, start()); err != nil {
				t.Fatal(err)
			}
		}
		// Another envelope goes on meanwhile.
		f.conclude(t, f.begin(t, second, 1, start()), start(), email.Outcome{Recipient: 1, Status: email.Deferred})
		none := f.accept(t, draft(f.Messages, "ada@example.org"))
		causes, err := f.Messages.QuarantineCauses(t.Context(), email.Live, []string{second.ID, none.ID, first.ID})
		if err != nil {
			t.Fatal(err)
		}
		equal(t, "causes", causes, []string{"quarantined: the fault of " + second.ID, "", "quarantined: the fault of " + first.ID})
	})
}

func TestBrokenContentComesWithItsFence(t *testing.T) {
	each(t, Options{}, func(t *testing.T, f *fixture) {
		msg := f.accept(t, draft(f.Messages, "ada@example.org"))
		keys, id, _ := f.Messages.locate(msg.World, msg.ID)
		f.rdb.Set(t.Context(), keys.body(id), "not packed", 0)
		s, err := f.Messages.Begin(t.Context(), msg.World, msg.ID, 0, 0, "w", start())
		if !errors.Is(err, ErrBroken) || s == nil || s.Fence != 1 || s.Message == nil {
			t.Errorf("Begin = %+v, %v", s, err)
		}
	})
}
