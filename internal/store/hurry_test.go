package store

import (
	"errors"
	"testing"
	"time"

	"postrider/internal/email"
)

func TestHurry(t *testing.T) {
	each(t, Options{}, func(t *testing.T, f *fixture) {
		m := f.accept(t, draft(f.Messages, "a@example.org"))
		claim := f.begin(t, m, 0, start())
		if _, err := f.Messages.Hurry(t.Context(), m.World, m.ID, start()); !errors.Is(err, ErrNotWaiting) {
			t.Errorf("while an attempt runs: %v", err)
		}
		f.conclude(t, claim, start().Add(time.Hour), email.Outcome{Status: email.Deferred})
		before, err := f.Messages.Get(t.Context(), m.World, m.ID)
		if err != nil {
			t.Fatal(err)
		}
		now := start().Add(time.Minute)
		for _, again := range []string{"first", "again"} {
			got, err := f.Messages.Hurry(t.Context(), m.World, m.ID, now)
			if err != nil {
				t.Fatalf("%s: %v", again, err)
			}
			e := got.Envelopes[0].State
			if !e.NextAt.Equal(now) || e.Generation != before.Envelopes[0].State.Generation+1 || !got.Recipients[0].State.NextAttemptAt.Equal(now) {
				t.Errorf("%s: envelope %+v, recipient %+v", again, e, got.Recipients[0].State)
			}
			// The sweeper comes by if the caller adds no job.
			if due, err := f.Messages.Due(t.Context(), m.World, 0, now.Add(time.Minute), 10); err != nil || len(due) != 1 {
				t.Errorf("%s: due %+v, %v", again, due, err)
			}
		}
		// The old job finds that it is not asked any more; the new one may begin.
		if s, err := f.Messages.Begin(t.Context(), m.World, m.ID, 0, before.Envelopes[0].State.Generation, "w", now); err != nil || s.Verdict != Stale {
			t.Errorf("the old job: %+v, %v", s, err)
		}
		s, err := f.Messages.Begin(t.Context(), m.World, m.ID, 0, before.Envelopes[0].State.Generation+1, "w", now)
		if err != nil || s.Verdict != Begun {
			t.Fatalf("the new job: %+v, %v", s, err)
		}
		f.conclude(t, Claim{World: m.World, Message: m.ID, Fence: s.Fence}, time.Time{}, email.Outcome{Status: email.Delivered})
		if _, err := f.Messages.Hurry(t.Context(), m.World, m.ID, now); !errors.Is(err, ErrNotWaiting) {
			t.Errorf("at its end: %v", err)
		}
		if _, err := f.Messages.Hurry(t.Context(), m.World, email.NewMessageID(0), now); !errors.Is(err, ErrNotFound) {
			t.Errorf("of nothing: %v", err)
		}
	})
}

func TestHurryLeavesWhatIsScheduled(t *testing.T) {
	each(t, Options{}, func(t *testing.T, f *fixture) {
		s := draft(f.Messages, "a@example.org")
		s.Message.ScheduledAt = start().Add(time.Hour)
		s.Message.Recipients[0].State.Status, s.Message.Recipients[0].State.AtAccept = email.Scheduled, email.Scheduled
		m := f.accept(t, s)
		if _, err := f.Messages.Hurry(t.Context(), m.World, m.ID, start()); !errors.Is(err, ErrNotWaiting) {
			t.Errorf("Hurry = %v", err)
		}
	})
}
