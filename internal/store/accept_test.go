package store

import (
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"postrider/internal/email"
)

func TestAcceptKeepsEverything(t *testing.T) {
	each(t, Options{}, func(t *testing.T, f *fixture) {
		s := draft(f.Messages, "ada@example.org", "bob@example.net", "Cy@example.org")
		s.Message.Cc = []email.Address{{Email: "Cy@example.org", Name: "Cy \"C\" Ünï"}}
		s.Message.To = s.Message.To[:2]
		s.Message.Recipients[2].Address, s.Message.Recipients[2].Type = s.Message.Cc[0], email.Cc
		s.Message.ReplyTo = []email.Address{{Email: "help@acme.com"}}
		s.Content.Headers = []email.Header{{Name: "X-A", Value: "1"}, {Name: "X-A", Value: "2"}}
		s.Content.Attachments = []email.Attachment{{Filename: "a.bin", ContentType: "x/y", Content: []byte{0, 255, 10, 13}}}
		s.Content.Calendar = &email.Calendar{Method: "REQUEST", Component: "VEVENT", Filename: "invite.ics", Content: "BEGIN:VCALENDAR\r\n"}
		s.Message.FeedbackID = s.Message.FeedbackOf(email.DefaultFeedbackSender)
		s.Message.Envelopes[1].Sandbox = true
		stored := f.accept(t, s)
		equal(t, "what Get reads", f.get(t, stored), stored)

		content, err := f.Messages.Content(t.Context(), email.Live, stored.ID)
		if err != nil {
			t.Fatal(err)
		}
		equal(t, "content", content, s.Content)
		equal(t, "history", f.history(t, stored), []string{"0:>queued", "1:>queued", "2:>queued"})
		equal(t, "status indexes", f.indexed(t, stored), []string{"queued"})
		for envelope := range 2 {
			equal(t, "due", f.dueAt(t, stored, envelope), start().Add(25*time.Second))
		}
	})
}

func TestAcceptExplicitRecords(t *testing.T) {
	each(t, Options{}, func(t *testing.T, f *fixture) {
		s := draft(f.Messages, "ada@example.org")
		s.Message.To = append(s.Message.To, email.Address{Email: "ADA@example.org"}) // one recipient, named twice
		s.Message.Stream, s.Message.MessageID, s.Message.FeedbackID = "news", "<own@id>", "x:news:acme.com:another"
		stored := f.accept(t, s)
		equal(t, "what Get reads", f.get(t, stored), stored)
	})
}

func TestAcceptSuppressed(t *testing.T) {
	each(t, Options{}, func(t *testing.T, f *fixture) {
		s := draft(f.Messages, "ada@example.org")
		s.Message.Envelopes = nil
		s.Message.Recipients[0].Envelope = -1
		s.Message.Recipients[0].State = email.RecipientState{Status: email.Suppressed, Reason: "hard_bounce", SuppressionID: "sup_1"}
		stored := f.accept(t, s)
		equal(t, "what Get reads", f.get(t, stored), stored)
		equal(t, "completed", stored.CompletedAt, start())
		equal(t, "status indexes", f.indexed(t, stored), []string{"suppressed"})
		keys, id, _ := f.Messages.locate(email.Live, stored.ID)
		want := start().Add(7 * 24 * time.Hour)
		equal(t, "purge", fromMS(int64(f.rdb.ZScore(t.Context(), keys.purge(), id).Val())), want)
	})
}

func TestAcceptDueScores(t *testing.T) {
	for _, c := range []struct {
		name  string
		after time.Duration
		due   time.Duration
	}{
		{"at once", 0, 25 * time.Second},
		{"in a minute", time.Minute, 85 * time.Second},
		{"in two minutes", 2 * time.Minute, 145 * time.Second},
		{"in an hour", time.Hour, 58 * time.Minute},
	} {
		t.Run(c.name, func(t *testing.T) {
			each(t, Options{}, func(t *testing.T, f *fixture) {
				s := draft(f.Messages, "ada@example.org")
				if c.after > 0 {
					later(s, start().Add(c.after))
				}
				stored := f.accept(t, s)
				equal(t, "due", f.dueAt(t, stored, 0), start().Add(c.due))
				equal(t, "next", stored.Envelopes[0].State.NextAt, start().Add(c.after))
				equal(t, "what Get reads", f.get(t, stored), stored)
			})
		})
	}
}

func TestAcceptRefusesWhatCannotBeDelivered(t *testing.T) {
	f := New(connect(t, "redis://127.0.0.1:1"), Options{}) // refused before any Redis is asked
	for _, c := range []struct {
		name  string
		spoil func(*Submission)
		want  string
	}{
		{"no id", func(s *Submission) { s.Message.ID = "msg_x" }, "not an id"},
		{"no world", func(s *Submission) { s.Message.World = "" }, "no world"},
		{"another shard", func(s *Submission) { s.Message.ID = email.NewMessageID(7) }, "shard does not exist"},
		{"no content", func(s *Submission) { s.Content = nil }, "not complete"},
		{"no recipient", func(s *Submission) { s.Message.Recipients = nil }, "not complete"},
		{"too many recipients", func(s *Submission) { s.Message.Recipients = make([]email.Recipient, 1001) }, "too many"},
		{"final status", func(s *Submission) { s.Message.Recipients[0].State.Status = email.Delivered }, "first state"},
		{"no such envelope", func(s *Submission) { s.Message.Recipients[0].Envelope = 3 }, "no envelope"},
		{"empty envelope", func(s *Submission) { s.Message.Envelopes = append(s.Message.Envelopes, email.Envelope{}) }, "envelope 1"},
		{"other recipients", func(s *Submission) { s.Message.Envelopes[0].Recipients = []int{0, 5} }, "envelope 0"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := draft(f.Messages, "ada@example.org")
			c.spoil(s)
			if _, _, err := f.Messages.Accept(t.Context(), s); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("Accept = %v, want %q", err, c.want)
			}
		})
	}
}

func TestIdempotency(t *testing.T) {
	each(t, Options{Shards: 4}, func(t *testing.T, f *fixture) {
		keyed := func(key string, fingerprint byte) *Submission {
			s := draft(f.Messages, "ada@example.org")
			s.Message.ID = email.NewMessageID(f.Messages.ShardFor(email.Live, key))
			s.IdempotencyKey, s.Fingerprint = key, [32]byte{fingerprint}
			return s
		}
		if msg, err := f.Messages.Replay(t.Context(), email.Live, "k1", [32]byte{1}); msg != nil || err != nil {
			t.Fatalf("Replay of a new key = %v, %v; want nil, nil", msg, err)
		}
		first := f.accept(t, keyed("k1", 1))
		again, replayed, err := f.Messages.Accept(t.Context(), keyed("k1", 1))
		if err != nil || !replayed || again.ID != first.ID {
			t.Errorf("equal request = %v, replayed %t, %v; want %s replayed", again, replayed, err, first.ID)
		}
		if _, _, err := f.Messages.Accept(t.Context(), keyed("k1", 2)); !errors.Is(err, ErrIdempotencyReused) {
			t.Errorf("other request = %v, want ErrIdempotencyReused", err)
		}
		if _, err := f.Messages.Replay(t.Context(), email.Live, "k1", [32]byte{2}); !errors.Is(err, ErrIdempotencyReused) {
			t.Errorf("Replay of another request = %v, want ErrIdempotencyReused", err)
		}
		if msg, err := f.Messages.Replay(t.Context(), email.Test, "k1", [32]byte{1}); msg != nil || err != nil {
			t.Errorf("Replay in the other world = %v, %v; want nil, nil", msg, err)
		}
		if other := f.accept(t, keyed("k2", 1)); other.ID == first.ID {
			t.Error("another key gave the same message")
		}

		c := f.begin(t, first, 0, start())
		f.conclude(t, c, start(), email.Outcome{Status: email.Delivered})
		msg, err := f.Messages.Replay(t.Context(), email.Live, "k1", [32]byte{1})
		if err != nil || msg.ID != first.ID || msg.Recipients[0].State.AtAccept != email.Queued {
			t.Errorf("Replay after delivery = %+v, %v; want the message, queued at accept", msg, err)
		}
	})
}

func TestIdempotencyExpires(t *testing.T) {
	each(t, Options{IdempotencyWindow: 20 * time.Millisecond}, func(t *testing.T, f *fixture) {
		s := draft(f.Messages, "ada@example.org")
		s.IdempotencyKey = "k"
		f.accept(t, s)
		for range 500 {
			msg, err := f.Messages.Replay(t.Context(), email.Live, "k", [32]byte{})
			if err != nil {
				t.Fatal(err)
			}
			if msg == nil {
				return
			}
			time.Sleep(10 * time.Millisecond)
		}
		t.Error("the key outlives its window")
	})
}

func TestEqualRequestsAtOnce(t *testing.T) {
	each(t, Options{Shards: 2}, func(t *testing.T, f *fixture) {
		const n = 20
		ids := make([]string, n)
		fresh := make([]bool, n)
		var wg sync.WaitGroup
		for i := range n {
			wg.Go(func() {
				s := draft(f.Messages, "ada@example.org")
				s.Message.ID = email.NewMessageID(f.Messages.ShardFor(email.Live, "k"))
				s.IdempotencyKey = "k"
				msg, replayed, err := f.Messages.Accept(t.Context(), s)
				if err != nil {
					t.Error(err)
					return
				}
				ids[i], fresh[i] = msg.ID, !replayed
			})
		}
		wg.Wait()
		made := 0
		for i := range n {
			if ids[i] != ids[0] {
				t.Errorf("request %d got %s, request 0 %s", i, ids[i], ids[0])
			}
			if fresh[i] {
				made++
			}
		}
		page, _, err := f.Messages.List(t.Context(), email.Live, Filter{}, "", 100)
		if err != nil || made != 1 || len(page) != 1 {
			t.Errorf("%d made, %d stored, %v; want exactly one", made, len(page), err)
		}
	})
}
