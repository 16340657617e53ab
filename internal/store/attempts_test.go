package store

import (
	"testing"
	"time"

	"postrider/internal/email"
)

// The first attempt to begin stands first, though it ended last.
func TestAttemptsInTheOrderOfTheirStarts(t *testing.T) {
	each(t, Options{}, func(t *testing.T, f *fixture) {
		msg := f.accept(t, draft(f.Messages, "ada@example.org", "bob@example.net"))
		slow, quick := f.begin(t, msg, 0, start()), f.begin(t, msg, 1, start())
		f.conclude(t, quick, start().Add(5*time.Second), email.Outcome{Recipient: 1, Status: email.Delivered})
		long := tried(slow, start().Add(time.Minute), email.Outcome{Status: email.Delivered})
		long.StartedAt = start().Add(time.Second)
		if _, err := f.Messages.Conclude(t.Context(), slow, long, time.Time{}, long.EndedAt); err != nil {
			t.Fatal(err)
		}
		attempts, err := f.Messages.Attempts(t.Context(), email.Live, msg.ID)
		if err != nil || len(attempts) != 2 {
			t.Fatalf("%d attempts, %v", len(attempts), err)
		}
		if attempts[0].Envelope != 0 || attempts[1].Envelope != 1 {
			t.Errorf("the order is envelope %d, %d", attempts[0].Envelope, attempts[1].Envelope)
		}
	})
}
