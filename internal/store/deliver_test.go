package store

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"postrider/internal/email"
)

func TestEdges(t *testing.T) {
	reply := &email.Reply{Code: 451, EnhancedCode: "4.3.0", Text: "say \"later\" \\ ünï", Stage: "rcpt", At: start()}
	delivered := email.Outcome{Status: email.Delivered, Reply: &email.Reply{Code: 250, Text: "ok", At: start()}}
	bounced := email.Outcome{Status: email.Bounced, Category: "invalid_recipient", Bounce: "hard"}
	deferred := email.Outcome{Status: email.Deferred, Category: "greylisted", Reply: reply}
	unknown := email.Outcome{Status: email.Deferred, Unknown: true, Detail: "connection lost"}
	expired := email.Outcome{Status: email.Failed, Reason: email.ReasonExpired}
	for _, c := range []struct {
		name     string
		outcomes []email.Outcome
		want     string
		events   []string
	}{
		{"delivered", []email.Outcome{delivered}, "delivered", []string{"0:>queued", "0:queued>delivered"}},
		{"bounced", []email.Outcome{bounced}, "bounced", []string{"0:>queued", "0:queued>bounced"}},
		{"failed", []email.Outcome{{Status: email.Failed, Reason: email.ReasonNoRoute}}, "failed/no_route", []string{"0:>queued", "0:queued>failed"}},
		{"failed without a reason", []email.Outcome{{Status: email.Failed}}, "failed/local_error", []string{"0:>queued", "0:queued>failed"}},
		{
			"deferred twice, delivered",
			[]email.Outcome{deferred, deferred, delivered},
			"delivered",
			[]string{"0:>queued", "0:queued>deferred", "0:deferred>deferred", "0:deferred>delivered"},
		},
		{"deferred, bounced", []email.Outcome{deferred, bounced}, "bounced", []string{"0:>queued", "0:queued>deferred", "0:deferred>bounced"}},
		{"deferred, expired", []email.Outcome{deferred, expired}, "failed/expired", []string{"0:>queued", "0:queued>deferred", "0:deferred>failed"}},
		{"unknown, expired", []email.Outcome{unknown, expired}, "failed/outcome_unknown", []string{"0:>queued", "0:queued>deferred", "0:deferred>failed"}},
		{"unknown, delivered", []email.Outcome{unknown, delivered}, "delivered", []string{"0:>queued", "0:queued>deferred", "0:deferred>delivered"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			each(t, Options{}, func(t *testing.T, f *fixture) {
				msg := f.accept(t, draft(f.Messages, "ada@example.org"))
				now := start()
				for i, o := range c.outcomes {
					claim := f.begin(t, msg, 0, now)
					done := f.conclude(t, claim, now, o)
					last := i == len(c.outcomes)-1
					if done.Done != last || !last && (done.Generation != i+1 || !done.NextAt.Equal(now.Add(time.Minute))) {
						t.Errorf("Conclude %d = %+v", i, done)
					}
					now = now.Add(time.Minute)
				}
				got := f.get(t, msg)
				equal(t, "statuses", statuses(got), c.want)
				equal(t, "history", f.history(t, msg), c.events)
				equal(t, "status indexes", f.indexed(t, msg), []string{string(got.Status())})
				s := got.Recipients[0].State
				if s.Attempts != len(c.outcomes) || !s.NextAttemptAt.IsZero() || !s.FirstAttemptAt.Equal(start().Add(-time.Second)) ||
					!s.LastAttemptAt.Equal(now.Add(-time.Minute-time.Second)) || got.CompletedAt.IsZero() {
					t.Errorf("final state %+v, completed %v", s, got.CompletedAt)
				}
				e := got.Envelopes[0].State
				if e.Phase != email.Done || e.Attempts != len(c.outcomes) || e.Fence != int64(len(c.outcomes)) || e.Worker != "" {
					t.Errorf("envelope %+v", e)
				}
				equal(t, "due once finished", f.dueAt(t, msg, 0), time.Time{})
			})
		})
	}
}

func TestForbiddenOutcomes(t *testing.T) {
	each(t, Options{}, func(t *testing.T, f *fixture) {
		msg := f.accept(t, draft(f.Messages, "ada@example.org", "bob@example.net"))
		claim := f.begin(t, msg, 0, start())
		before := f.get(t, msg)
		for _, o := range []email.Outcome{
			{Status: email.Queued},
			{Status: email.Scheduled},
			{Status: email.Suppressed},
			{Status: email.Canceled},
			{Status: ""},
			{Status: email.Failed, Reason: `no "word"`},
			{Status: email.Delivered, Recipient: 1},
			{Status: email.Delivered, Recipient: 7},
			{Status: email.Delivered, Recipient: -1},
		} {
			if _, err := f.Messages.Conclude(t.Context(), claim, tried(claim, start(), o), start(), start()); err == nil || errors.Is(err, ErrLostFence) {
				t.Errorf("Conclude with %+v = %v, want a refusal", o, err)
			}
		}
		equal(t, "the message after refusals", f.get(t, msg), before)
		f.conclude(t, claim, start(), email.Outcome{Status: email.Bounced})

		// A final state is left by nothing that an attempt says.
		after := f.get(t, msg)
		f.conclude(t, claim, start(), email.Outcome{Status: email.Delivered})
		equal(t, "the message after a second outcome", f.get(t, msg), after)
	})
}

func TestOneAttemptSeveralRecipients(t *testing.T) {
	each(t, Options{}, func(t *testing.T, f *fixture) {
		msg := f.accept(t, draft(f.Messages, "a@example.org", "b@example.org", "c@example.org", "d@example.net"))
		claim := f.begin(t, msg, 0, start())
		f.conclude(t, claim, start(),
			email.Outcome{Recipient: 0, Status: email.Delivered},
			email.Outcome{Recipient: 1, Status: email.Bounced, Reply: &email.Reply{Code: 550, EnhancedCode: "5.1.1", Text: "gone", At: start()}},
			email.Outcome{Recipient: 2, Status: email.Deferred})
		got := f.get(t, msg)
		equal(t, "statuses", statuses(got), "delivered bounced deferred queued")
		equal(t, "status", got.Status(), email.Processing)
		equal(t, "status indexes", f.indexed(t, msg), []string{"processing"})
		equal(t, "last reply", got.Recipients[1].State.LastReply, &email.Reply{Code: 550, EnhancedCode: "5.1.1", Text: "gone", At: start()})

		// The second attempt leaves the first one's final recipients alone.
		now := start().Add(time.Minute)
		claim = f.begin(t, msg, 0, now)
		f.conclude(t, claim, now, email.Outcome{Recipient: 0, Status: email.Bounced}, email.Outcome{Recipient: 2, Status: email.Delivered})
		claim = f.begin(t, msg, 1, now)
		f.conclude(t, claim, now, email.Outcome{Recipient: 3, Status: email.Failed, Reason: email.ReasonNoRoute})
		got = f.get(t, msg)
		equal(t, "statuses", statuses(got), "delivered bounced delivered failed/no_route")
		equal(t, "status indexes", f.indexed(t, msg), []string{"partially_delivered"})
		equal(t, "completed", got.CompletedAt, now)

		attempts, err := f.Messages.Attempts(t.Context(), email.Live, msg.ID)
		if err != nil {
			t.Fatal(err)
		}
		var numbers []string
		for _, a := range attempts {
			numbers = append(numbers, fmt.Sprintf("%d.%d", a.Envelope, a.Number))
		}
		equal(t, "attempts", numbers, []string{"0.1", "0.2", "1.1"})
		want := *tried(claim, now, email.Outcome{Recipient: 3, Status: email.Failed, Reason: email.ReasonNoRoute})
		want.Number = 1
		equal(t, "the last attempt", attempts[2], want)
	})
}

func TestEventsCarryTheReply(t *testing.T) {
	each(t, Options{}, func(t *testing.T, f *fixture) {
		msg := f.accept(t, draft(f.Messages, "ada@example.org"))
		claim := f.begin(t, msg, 0, start())
		reply := &email.Reply{
			Code: 452, EnhancedCode: "4.2.2", Text: "full </b> \"quota\" \\ ünï", Stage: "rcpt",
			MXHost: "mx.example.org", MXIP: "192.0.2.1", TLSVersion: "TLS1.3", At: start(),
		}
		f.conclude(t, claim, start(), email.Outcome{Status: email.Deferred, Category: "mailbox_full", Detail: "try \"later\"", Reply: reply})
		events, next, err := f.Messages.Events(t.Context(), email.Live, msg.ID, 1, 1)
		if err != nil || next != 0 || len(events) != 1 {
			t.Fatalf("Events = %v, %d, %v", events, next, err)
		}
		want := email.Event{
			ID: events[0].ID, Type: "message.deferred", At: start(), Status: email.Deferred, Previous: email.Queued, Seq: 2,
			Attempts: 1, Detail: "try \"later\"", Category: "mailbox_full", NextAt: start().Add(time.Minute), Reply: reply,
		}
		equal(t, "event", events[0], want)
		first, next, err := f.Messages.Events(t.Context(), email.Live, msg.ID, 0, 1)
		if err != nil || next != 1 || len(first) != 1 || first[0].Seq != 1 {
			t.Errorf("the first page = %v, next %d, %v", first, next, err)
		}
		if _, _, err := f.Messages.Events(t.Context(), email.Live, msg.ID, -1, 1); !errors.Is(err, ErrCursor) {
			t.Errorf("position -1 = %v, want ErrCursor", err)
		}
	})
}

func TestBeginVerdicts(t *testing.T) {
	each(t, Options{}, func(t *testing.T, f *fixture) {
		msg := f.accept(t, later(draft(f.Messages, "ada@example.org"), start().Add(time.Hour)))
		begin := func(id string, generation int, now time.Time) *Start {
			t.Helper()
			s, err := f.Messages.Begin(t.Context(), email.Live, id, 0, generation, "worker-2", now)
			if err != nil {
				t.Fatal(err)
			}
			return s
		}
		if s := begin(msg.ID, 0, start()); s.Verdict != Early || s.Content != nil || !s.Message.Envelopes[0].State.NextAt.Equal(start().Add(time.Hour)) {
			t.Errorf("before its time: %+v", s)
		}
		for _, id := range []string{email.NewMessageID(0), "msg_nonsense", ""} {
			if s := begin(id, 0, start()); s.Verdict != Over {
				t.Errorf("unknown message %q: %+v", id, s)
			}
		}
		due := start().Add(time.Hour - time.Second)
		s := begin(msg.ID, 0, due)
		if s.Verdict != Begun || s.Fence != 1 || s.Content.Text != "Hi there" || statuses(s.Message) != "queued" {
			t.Errorf("a second before its time: %+v", s)
		}
		equal(t, "due while in flight", f.dueAt(t, msg, 0), due.Add(25*time.Second))
		equal(t, "history", f.history(t, msg), []string{"0:>scheduled", "0:scheduled>queued"})
		equal(t, "status indexes", f.indexed(t, msg), []string{"queued"})
		if s := begin(msg.ID, 0, due); s.Verdict != Occupied || s.Message.Envelopes[0].State.Worker != "worker-2" || s.Message.Envelopes[0].State.Fence != 1 {
			t.Errorf("in flight: %+v", s)
		}
		claim := Claim{World: email.Live, Message: msg.ID, Fence: 1}
		f.conclude(t, claim, due, email.Outcome{Status: email.Deferred})
		now := due.Add(time.Minute)
		if s := begin(msg.ID, 0, now); s.Verdict != Stale || s.Message != nil {
			t.Errorf("older generation: %+v", s)
		}
		claim.Fence = begin(msg.ID, 1, now).Fence
		f.conclude(t, claim, now, email.Outcome{Status: email.Delivered})
		if s := begin(msg.ID, 2, now); s.Verdict != Over || s.Message != nil {
			t.Errorf("done: %+v", s)
		}
	})
}

func TestLostFenceChangesNothing(t *testing.T) {
	each(t, Options{}, func(t *testing.T, f *fixture) {
		msg := f.accept(t, draft(f.Messages, "ada@example.org"))
		old := f.begin(t, msg, 0, start())
		if _, err := f.Messages.Release(t.Context(), old, Wait{Until: start()}, start()); err != nil {
			t.Fatal(err)
		}
		held := f.begin(t, msg, 0, start())
		before, due, history := f.get(t, msg), f.dueAt(t, msg, 0), f.history(t, msg)
		attempt := tried(old, start(), email.Outcome{Status: email.Delivered})
		if _, err := f.Messages.Conclude(t.Context(), old, attempt, start(), start()); !errors.Is(err, ErrLostFence) {
			t.Errorf("Conclude = %v, want ErrLostFence", err)
		}
		if _, err := f.Messages.Release(t.Context(), old, Wait{Until: start()}, start()); !errors.Is(err, ErrLostFence) {
			t.Errorf("Release = %v, want ErrLostFence", err)
		}
		var refused *Refused
		if err := f.Messages.Mark(t.Context(), old, []int{0}, nil, start()); !errors.As(err, &refused) || refused.Why != "lost" {
			t.Errorf("Mark = %v, want lost", err)
		}
		nobody := Claim{World: email.Live, Message: email.NewMessageID(0), Fence: 1}
		if _, err := f.Messages.Conclude(t.Context(), nobody, attempt, start(), start()); !errors.Is(err, ErrLostFence) {
			t.Errorf("Conclude of no message = %v, want ErrLostFence", err)
		}
		equal(t, "the message", f.get(t, msg), before)
		equal(t, "due", f.dueAt(t, msg, 0), due)
		equal(t, "history", f.history(t, msg), history)
		if attempts, err := f.Messages.Attempts(t.Context(), email.Live, msg.ID); err != nil || len(attempts) != 0 {
			t.Errorf("attempts = %v, %v; want none", attempts, err)
		}
		f.conclude(t, held, start(), email.Outcome{Status: email.Delivered})
	})
}

func TestMark(t *testing.T) {
	each(t, Options{}, func(t *testing.T, f *fixture) {
		msg := f.accept(t, draft(f.Messages, "a@example.org", "b@example.org", "c@example.net"))
		claim := f.begin(t, msg, 0, start())
		for name, err := range map[string]error{
			"nobody accepted":    f.Messages.Mark(t.Context(), claim, nil, nil, start()),
			"another envelope's": f.Messages.Mark(t.Context(), claim, []int{0, 2}, nil, start()),
			"no recipient":       f.Messages.Mark(t.Context(), claim, []int{9}, nil, start()),
			"a selector of two":  f.Messages.Mark(t.Context(), claim, []int{0}, []string{"a b"}, start()),
		} {
			if err == nil || errors.Is(err, ErrRefused) {
				t.Errorf("%s: %v, want an error that is no refusal", name, err)
			}
		}
		if err := f.Messages.Mark(t.Context(), claim, []int{1}, []string{"acme.com/s1", "acme.com/s2"}, start()); err != nil {
			t.Fatal(err)
		}
		s := f.get(t, msg).Envelopes[0].State
		if s.Phase != email.Marked || !s.Signed {
			t.Errorf("marked envelope %+v", s)
		}
		equal(t, "marked", s.Marked, []int{1})
		if _, err := f.Messages.Release(t.Context(), claim, Wait{Until: start()}, start()); !errors.Is(err, ErrLostFence) {
			t.Errorf("Release past the mark = %v, want ErrLostFence", err)
		}
		f.conclude(t, claim, start(), email.Outcome{Recipient: 0, Status: email.Deferred}, email.Outcome{Recipient: 1, Status: email.Deferred, Unknown: true})
		got := f.get(t, msg)
		if len(got.Envelopes[0].State.Marked) != 0 || got.Recipients[1].State.Unknowns != 1 || got.Recipients[0].State.Unknowns != 0 {
			t.Errorf("after an unknown outcome: %+v", got.Recipients)
		}

		now := start().Add(time.Minute)
		claim = f.begin(t, msg, 0, now)
		if err := f.Messages.Mark(t.Context(), claim, []int{0, 1}, []string{"acme.com/s3"}, now); err != nil {
			t.Fatal(err)
		}
		equal(t, "selectors stay the first mark's", f.get(t, msg).Envelopes[0].State.Selectors, []string{"acme.com/s1", "acme.com/s2"})

		unsigned := f.begin(t, msg, 1, now)
		if err := f.Messages.Mark(t.Context(), unsigned, []int{2}, nil, now); err != nil {
			t.Fatal(err)
		}
		if s := f.get(t, msg).Envelopes[1].State; !s.Signed || len(s.Selectors) != 0 {
			t.Errorf("marked without a signature: %+v", s)
		}
	})
}

// An attempt of several transactions marks each: whoever was not marked was not sent to.
func TestMarksOfSeveralTransactions(t *testing.T) {
	each(t, Options{}, func(t *testing.T, f *fixture) {
		msg := f.accept(t, draft(f.Messages, "a@example.org", "b@example.org", "c@example.org"))
		claim := f.begin(t, msg, 0, start())
		for _, accepted := range [][]int{{2}, {0}, {0}} {
			if err := f.Messages.Mark(t.Context(), claim, accepted, nil, start()); err != nil {
				t.Fatal(err)
			}
		}
		equal(t, "marked", f.get(t, msg).Envelopes[0].State.Marked, []int{2, 0})
		var refused *Refused
		if err := f.Messages.Mark(t.Context(), claim, []int{1}, nil, msg.ExpiresAt); !errors.As(err, &refused) || refused.Why != "expired" {
			t.Errorf("a further mark at expiry = %v, want expired", err)
		}
	})
}

func TestMarkExpired(t *testing.T) {
	each(t, Options{}, func(t *testing.T, f *fixture) {
		msg := f.accept(t, draft(f.Messages, "ada@example.org"))
		claim := f.begin(t, msg, 0, start())
		var refused *Refused
		if err := f.Messages.Mark(t.Context(), claim, []int{0}, nil, msg.ExpiresAt); !errors.As(err, &refused) || refused.Why != "expired" {
			t.Errorf("Mark at expiry = %v, want expired", err)
		}
		if err := f.Messages.Mark(t.Context(), claim, []int{0}, nil, msg.ExpiresAt.Add(-time.Millisecond)); err != nil {
			t.Errorf("Mark before expiry = %v", err)
		}
	})
}

func TestConcludeAndReleaseDueScores(t *testing.T) {
	for _, c := range []struct {
		name       string
		next, due  time.Duration
		wantNextAt time.Duration
	}{
		{"past", -time.Minute, 25 * time.Second, 0},
		{"a minute", time.Minute, 85 * time.Second, time.Minute},
		{"an hour", time.Hour, 58 * time.Minute, time.Hour},
	} {
		t.Run(c.name, func(t *testing.T) {
			each(t, Options{}, func(t *testing.T, f *fixture) {
				msg := f.accept(t, draft(f.Messages, "ada@example.org"))
				claim := f.begin(t, msg, 0, start())
				done, err := f.Messages.Conclude(t.Context(), claim, tried(claim, start(), email.Outcome{Status: email.Deferred}), start().Add(c.next), start())
				want := &Concluded{Generation: 1, NextAt: start().Add(c.wantNextAt)}
				if err != nil {
					t.Fatal(err)
				}
				equal(t, "Conclude", done, want)
				equal(t, "due", f.dueAt(t, msg, 0), start().Add(c.due))
				equal(t, "next attempt", f.get(t, msg).Recipients[0].State.NextAttemptAt, start().Add(c.wantNextAt))

				claim = f.begin(t, msg, 0, start().Add(c.wantNextAt))
				now := start().Add(c.wantNextAt)
				done, err = f.Messages.Release(t.Context(), claim, Wait{Until: now.Add(c.next)}, now)
				if err != nil {
					t.Fatal(err)
				}
				equal(t, "Release", done, &Concluded{Generation: 2, NextAt: now.Add(c.wantNextAt)})
				equal(t, "due", f.dueAt(t, msg, 0), now.Add(c.due))
				s := f.get(t, msg).Recipients[0].State
				if s.Attempts != 1 || s.Seq != 2 || s.Status != email.Deferred {
					t.Errorf("a release changed %+v", s)
				}
			})
		})
	}
}

func TestLocalConclusionIsNoAttempt(t *testing.T) {
	each(t, Options{}, func(t *testing.T, f *fixture) {
		msg := f.accept(t, draft(f.Messages, "ada@example.org"))
		claim := f.begin(t, msg, 0, start())
		a := &email.Attempt{Outcomes: []email.Outcome{{Status: email.Failed, Reason: email.ReasonExpired}}}
		if _, err := f.Messages.Conclude(t.Context(), claim, a, start(), start()); err != nil {
			t.Fatal(err)
		}
		got := f.get(t, msg)
		equal(t, "statuses", statuses(got), "failed/expired")
		if s := got.Recipients[0].State; s.Attempts != 0 || !s.FirstAttemptAt.IsZero() || got.Envelopes[0].State.Attempts != 0 {
			t.Errorf("counted as an attempt: %+v", s)
		}
		if attempts, err := f.Messages.Attempts(t.Context(), email.Live, msg.ID); err != nil || len(attempts) != 0 {
			t.Errorf("attempts = %v, %v; want none", attempts, err)
		}
	})
}
