package store

import (
	"errors"
	"testing"
	"time"

	"postrider/internal/email"
)

// A repair and the worker it took for dead: whose word counts.
func TestRepairAndTheLateHolder(t *testing.T) {
	delivered := email.Outcome{Status: email.Delivered, Reply: &email.Reply{Code: 250, Text: "ok", At: start()}}
	bounced := email.Outcome{Recipient: 1, Status: email.Bounced, Category: "invalid_recipient", Bounce: "hard"}
	unknown := email.Outcome{Status: email.Deferred, Unknown: true}
	for _, c := range []struct {
		name     string
		repair   []email.Outcome // none: released
		late     []email.Outcome
		lost     bool
		want     string
		attempts []int // the envelope's, and each recipient's
	}{
		{"the truth replaces the unknown", []email.Outcome{unknown}, []email.Outcome{delivered, bounced}, false, "delivered bounced", []int{1, 1, 1}},
		{"what is known of one", []email.Outcome{unknown}, []email.Outcome{delivered, {Recipient: 1, Status: email.Deferred}}, false, "delivered queued", []int{1, 1, 0}},
		{"nothing is known", []email.Outcome{unknown}, []email.Outcome{unknown}, true, "deferred queued", []int{1, 1, 0}},
		{"released, then refused", nil, []email.Outcome{{Status: email.Deferred}, bounced}, false, "queued bounced", []int{1, 0, 1}},
		{"released, and nothing known", nil, []email.Outcome{{Status: email.Deferred}}, true, "queued queued", []int{0, 0, 0}},
	} {
		t.Run(c.name, func(t *testing.T) {
			each(t, Options{}, func(t *testing.T, f *fixture) {
				msg := f.accept(t, draft(f.Messages, "ada@example.org", "bob@example.org"))
				holder := f.begin(t, msg, 0, start())
				repair := holder
				repair.Repair = true
				now := start().Add(time.Minute)
				if c.repair == nil {
					if _, err := f.Messages.Release(t.Context(), repair, Wait{Until: now}, now); err != nil {
						t.Fatal(err)
					}
				} else {
					f.conclude(t, repair, now, c.repair...)
				}
				late := now.Add(time.Second)
				for _, turn := range []string{"first", "again"} {
					done, err := f.Messages.Conclude(t.Context(), holder, tried(holder, late, c.late...), late, late)
					if errors.Is(err, ErrLostFence) != c.lost || (err == nil && done.Generation != 1) {
						t.Fatalf("%s: %+v, %v", turn, done, err)
					}
				}
				got := f.get(t, msg)
				equal(t, "statuses", statuses(got), c.want)
				counted := []int{got.Envelopes[0].State.Attempts, got.Recipients[0].State.Attempts, got.Recipients[1].State.Attempts}
				equal(t, "attempts", counted, c.attempts)
				equal(t, "status indexes", f.indexed(t, msg), []string{string(got.Status())})
				if finished := !got.CompletedAt.IsZero(); finished != f.dueAt(t, msg, 0).IsZero() {
					t.Errorf("completed %v, due %v", got.CompletedAt, f.dueAt(t, msg, 0))
				}
				if _, err := f.Messages.Release(t.Context(), holder, Wait{Until: late}, late); c.lost && !errors.Is(err, ErrLostFence) {
					t.Errorf("a late Release = %v", err)
				}
			})
		})
	}
}

// Once another attempt has begun, or a final state was written, the late one is lost.
func TestTheHolderIsTooLate(t *testing.T) {
	each(t, Options{}, func(t *testing.T, f *fixture) {
		msg := f.accept(t, draft(f.Messages, "ada@example.org"))
		late := f.begin(t, msg, 0, start())
		repair := late
		repair.Repair = true
		f.conclude(t, repair, start(), email.Outcome{Status: email.Deferred, Unknown: true})
		now := start().Add(2 * time.Minute)
		next := f.begin(t, msg, 0, now)
		if _, err := f.Messages.Conclude(t.Context(), late, tried(late, now, email.Outcome{Status: email.Delivered}), now, now); !errors.Is(err, ErrLostFence) {
			t.Errorf("during the next attempt: %v", err)
		}
		repair = next
		repair.Repair = true
		f.conclude(t, repair, now, email.Outcome{Status: email.Failed, Reason: email.ReasonOutcomeUnknown})
		if _, err := f.Messages.Conclude(t.Context(), next, tried(next, now, email.Outcome{Status: email.Delivered}), now, now); !errors.Is(err, ErrLostFence) {
			t.Errorf("after the end: %v", err)
		}
		// The other way round: what the holder ended is no repair's any more.
		msg = f.accept(t, draft(f.Messages, "ada@example.org"))
		holder := f.begin(t, msg, 0, start())
		f.conclude(t, holder, start(), email.Outcome{Status: email.Deferred})
		repair = holder
		repair.Repair = true
		if _, err := f.Messages.Release(t.Context(), repair, Wait{Until: now}, now); !errors.Is(err, ErrLostFence) {
			t.Errorf("a repair of what ended: %v", err)
		}
	})
}
