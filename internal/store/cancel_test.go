package store

import (
	"errors"
	"testing"
	"time"

	"postrider/internal/email"
)

func TestCancelWaiting(t *testing.T) {
	for _, c := range []struct {
		name    string
		prepare func(t *testing.T, f *fixture) *email.Message
		want    string
		events  []string
	}{
		{"scheduled", func(t *testing.T, f *fixture) *email.Message {
			return f.accept(t, later(draft(f.Messages, "ada@example.org"), start().Add(time.Hour)))
		}, "canceled", []string{"0:>scheduled", "0:scheduled>canceled"}},
		{"queued", func(t *testing.T, f *fixture) *email.Message {
			return f.accept(t, draft(f.Messages, "ada@example.org"))
		}, "canceled", []string{"0:>queued", "0:queued>canceled"}},
		{"deferred", func(t *testing.T, f *fixture) *email.Message {
			msg := f.accept(t, draft(f.Messages, "ada@example.org"))
			f.conclude(t, f.begin(t, msg, 0, start()), start(), email.Outcome{Status: email.Deferred})
			return msg
		}, "canceled", []string{"0:>queued", "0:queued>deferred", "0:deferred>canceled"}},
		{"unknown", func(t *testing.T, f *fixture) *email.Message {
			msg := f.accept(t, draft(f.Messages, "ada@example.org"))
			f.conclude(t, f.begin(t, msg, 0, start()), start(), email.Outcome{Status: email.Deferred, Unknown: true})
			return msg
		}, "failed/outcome_unknown", []string{"0:>queued", "0:queued>deferred", "0:deferred>failed"}},
		{"delivered and waiting", func(t *testing.T, f *fixture) *email.Message {
			msg := f.accept(t, draft(f.Messages, "ada@example.org", "bob@example.net"))
			f.conclude(t, f.begin(t, msg, 0, start()), start(), email.Outcome{Status: email.Delivered})
			return msg
		}, "delivered canceled", []string{"0:>queued", "1:>queued", "0:queued>delivered", "1:queued>canceled"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			each(t, Options{}, func(t *testing.T, f *fixture) {
				msg := c.prepare(t, f)
				now := start().Add(time.Minute)
				got, err := f.Messages.Cancel(t.Context(), email.Live, msg.ID, now)
				if err != nil {
					t.Fatal(err)
				}
				equal(t, "statuses", statuses(got), c.want)
				equal(t, "what Get reads", f.get(t, msg), got)
				equal(t, "history", f.history(t, msg), c.events)
				equal(t, "status indexes", f.indexed(t, msg), []string{string(got.Status())})
				equal(t, "completed", got.CompletedAt, now)
				for i := range got.Envelopes {
					if due := f.dueAt(t, msg, i); !due.IsZero() || got.Envelopes[i].State.Phase != email.Done {
						t.Errorf("envelope %d: due %v, %+v", i, due, got.Envelopes[i].State)
					}
				}
				again, err := f.Messages.Cancel(t.Context(), email.Live, msg.ID, now.Add(time.Hour))
				if err != nil {
					t.Errorf("the second cancel: %v", err)
				}
				equal(t, "the second cancel", again, got)
			})
		})
	}
}

func TestCancelInFlight(t *testing.T) {
	for _, c := range []struct {
		name    string
		marked  bool
		outcome email.Outcome
		want    string
	}{
		{"ends deferred", false, email.Outcome{Status: email.Deferred}, "canceled"},
		{"ends failed", false, email.Outcome{Status: email.Failed, Reason: email.ReasonExpired}, "canceled"},
		{"ends bounced", false, email.Outcome{Status: email.Bounced}, "bounced"},
		{"marked, ends delivered", true, email.Outcome{Status: email.Delivered}, "delivered"},
		{"marked, ends deferred", true, email.Outcome{Status: email.Deferred}, "canceled"},
		{"marked, ends unknown", true, email.Outcome{Status: email.Deferred, Unknown: true}, "failed/outcome_unknown"},
	} {
		t.Run(c.name, func(t *testing.T) {
			each(t, Options{}, func(t *testing.T, f *fixture) {
				msg := f.accept(t, draft(f.Messages, "ada@example.org"))
				claim := f.begin(t, msg, 0, start())
				if c.marked {
					if err := f.Messages.Mark(t.Context(), claim, []int{0}, nil, start()); err != nil {
						t.Fatal(err)
					}
				}
				got, err := f.Messages.Cancel(t.Context(), email.Live, msg.ID, start())
				if err != nil || !got.Recipients[0].State.CancelRequested || statuses(got) != "queued" {
					t.Fatalf("Cancel = %v, %v; want it noted", statuses(got), err)
				}
				var refused *Refused
				err = f.Messages.Mark(t.Context(), claim, []int{0}, nil, start())
				if c.marked && err != nil {
					t.Errorf("the mark again = %v, want nil", err)
				}
				if !c.marked && (!errors.As(err, &refused) || refused.Why != "canceled") {
					t.Errorf("Mark = %v, want canceled", err)
				}
				if done := f.conclude(t, claim, start(), c.outcome); !done.Done {
					t.Errorf("Conclude = %+v, want done", done)
				}
				got = f.get(t, msg)
				equal(t, "statuses", statuses(got), c.want)
				_, err = f.Messages.Cancel(t.Context(), email.Live, msg.ID, start())
				late := c.want == "delivered" || c.want == "bounced"
				if errors.Is(err, ErrNotCancelable) != late || !late && err != nil {
					t.Errorf("cancel afterwards = %v", err)
				}
			})
		})
	}
}

func TestCancelReleased(t *testing.T) {
	each(t, Options{}, func(t *testing.T, f *fixture) {
		msg := f.accept(t, draft(f.Messages, "ada@example.org"))
		claim := f.begin(t, msg, 0, start())
		if _, err := f.Messages.Cancel(t.Context(), email.Live, msg.ID, start()); err != nil {
			t.Fatal(err)
		}
		done, err := f.Messages.Release(t.Context(), claim, Wait{Until: start().Add(time.Minute)}, start())
		if err != nil || !done.Done {
			t.Errorf("Release = %+v, %v; want done", done, err)
		}
		equal(t, "statuses", statuses(f.get(t, msg)), "canceled")
	})
}

func TestCancelTooLate(t *testing.T) {
	each(t, Options{}, func(t *testing.T, f *fixture) {
		msg := f.accept(t, draft(f.Messages, "ada@example.org"))
		f.conclude(t, f.begin(t, msg, 0, start()), start(), email.Outcome{Status: email.Delivered})
		before := f.get(t, msg)
		got, err := f.Messages.Cancel(t.Context(), email.Live, msg.ID, start())
		if !errors.Is(err, ErrNotCancelable) {
			t.Errorf("Cancel = %v, want ErrNotCancelable", err)
		}
		equal(t, "the message with the error", got, before)
		if _, err := f.Messages.Cancel(t.Context(), email.Live, email.NewMessageID(0), start()); !errors.Is(err, ErrNotFound) {
			t.Errorf("Cancel of no message = %v, want ErrNotFound", err)
		}
	})
}
