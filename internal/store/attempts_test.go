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
		for name, last := range map[string]struct {
			n     int
			since time.Time
			want  int
		}{
			"all": {10, time.Time{}, 2}, "one": {1, time.Time{}, 1}, "one at least": {0, time.Time{}, 1},
			"from the first end": {10, start().Add(5 * time.Second), 2}, "from the second": {10, start().Add(time.Minute), 1}, "later": {10, start().Add(time.Hour), 0},
		} {
			got, err := f.Messages.LastAttempts(t.Context(), email.Live, msg.ID, last.n, last.since)
			if err != nil || len(got) != last.want || last.want == 1 && got[0].Envelope != 0 {
				t.Errorf("%s: %d attempts, want %d, %v", name, len(got), last.want, err)
			}
		}
	})
}
