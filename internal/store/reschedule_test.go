package store

import (
	"errors"
	"testing"
	"time"

	"postrider/internal/email"
)

func TestReschedule(t *testing.T) {
	each(t, Options{}, func(t *testing.T, f *fixture) {
		msg := f.accept(t, later(draft(f.Messages, "ada@example.org", "bob@example.net"), start().Add(time.Hour)))
		life := msg.ExpiresAt.Sub(msg.Due())
		now, when := start().Add(time.Minute), start().Add(48*time.Hour)
		got, err := f.Messages.Reschedule(t.Context(), email.Live, msg.ID, when, now)
		if err != nil {
			t.Fatal(err)
		}
		equal(t, "what Get reads", f.get(t, msg), got)
		equal(t, "statuses", statuses(got), "scheduled scheduled")
		equal(t, "due", f.dueAt(t, msg, 1), when.Add(-2*time.Minute))
		for what, at := range map[string]time.Time{
			"scheduled": got.ScheduledAt, "next attempt": got.Recipients[0].State.NextAttemptAt,
			"envelope": got.Envelopes[0].State.NextAt, "expires": got.ExpiresAt.Add(-life),
		} {
			equal(t, what, at, when)
		}
		equal(t, "as told at accept", []time.Time{got.FirstScheduledAt, got.FirstExpiresAt}, []time.Time{msg.ScheduledAt, msg.ExpiresAt})
		if g := got.Envelopes[0].State.Generation; g <= msg.Envelopes[0].State.Generation {
			t.Errorf("generation %d: the old job would wake it", g)
		}

		got, err = f.Messages.Reschedule(t.Context(), email.Live, msg.ID, time.Time{}, now)
		if err != nil {
			t.Fatal(err)
		}
		equal(t, "statuses of one for now", statuses(got), "queued queued")
		equal(t, "scheduled at", got.ScheduledAt, now)
		equal(t, "expires at", got.ExpiresAt, now.Add(life))
		equal(t, "told at accept", got.FirstScheduledAt, msg.ScheduledAt)
		equal(t, "history", f.history(t, msg), []string{"0:>scheduled", "1:>scheduled", "0:scheduled>queued", "1:scheduled>queued"})
		equal(t, "status indexes", f.indexed(t, msg), []string{"queued"})
		if _, err := f.Messages.Reschedule(t.Context(), email.Live, msg.ID, when, now.Add(time.Second)); !errors.Is(err, ErrNotScheduled) {
			t.Errorf("of a message that is queued: %v", err)
		}
		equal(t, "findings", f.kinds(t), []string(nil))
	})
}

func TestRescheduleRefuses(t *testing.T) {
	each(t, Options{}, func(t *testing.T, f *fixture) {
		at := start().Add(time.Hour)
		for name, prepare := range map[string]func(*email.Message){
			"canceled": func(m *email.Message) {
				if _, err := f.Messages.Cancel(t.Context(), email.Live, m.ID, start()); err != nil {
					t.Fatal(err)
				}
			},
			"one begun": func(m *email.Message) { f.begin(t, m, 0, at) },
		} {
			msg := f.accept(t, later(draft(f.Messages, "ada@example.org", "bob@example.net"), at))
			prepare(msg)
			before := f.get(t, msg)
			got, err := f.Messages.Reschedule(t.Context(), email.Live, msg.ID, at.Add(time.Hour), start())
			if !errors.Is(err, ErrNotScheduled) {
				t.Errorf("%s: %v", name, err)
			}
			equal(t, name, got, before)
		}
		if _, err := f.Messages.Reschedule(t.Context(), email.Test, email.NewMessageID(0), at, start()); !errors.Is(err, ErrNotFound) {
			t.Errorf("of nothing: %v", err)
		}
	})
}

// A message without store_content forgets its content with the last final state.
func TestDropContent(t *testing.T) {
	each(t, Options{}, func(t *testing.T, f *fixture) {
		s := draft(f.Messages, "ada@example.org", "bob@example.net")
		s.Message.DropContent = true
		msg := f.accept(t, s)
		f.conclude(t, f.begin(t, msg, 0, start()), start(), email.Outcome{Status: email.Delivered})
		if c, err := f.Messages.Content(t.Context(), email.Live, msg.ID); c == nil || err != nil {
			t.Fatalf("one recipient still waits, and the content is %v, %v", c, err)
		}
		f.conclude(t, f.begin(t, msg, 1, start()), start(), email.Outcome{Recipient: 1, Status: email.Delivered})
		if c, err := f.Messages.Content(t.Context(), email.Live, msg.ID); c != nil || err != nil {
			t.Errorf("all are final, and the content is %v, %v", c, err)
		}
		equal(t, "findings", f.kinds(t), []string(nil))
	})
}
