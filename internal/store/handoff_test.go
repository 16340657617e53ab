package store

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"postrider/internal/email"
)

// Who accepted a mail and delivers it has it at hand; another try, or another process,
// gets the same message from Redis.
func TestDeliveredByWhoAcceptedIt(t *testing.T) {
	each(t, Options{}, func(t *testing.T, f *fixture) {
		s := draft(f.Messages, "ada@example.org", "bob@example.net")
		s.Composed = []byte("From: ...\r\n\r\nHi there\r\n")
		msg := f.accept(t, s)
		for envelope := range 2 {
			got, err := f.Messages.Begin(t.Context(), msg.World, msg.ID, envelope, 0, "w1", start())
			if err != nil || got.Verdict != Begun || !bytes.Equal(got.Composed, s.Composed) || got.Content != nil {
				t.Fatalf("Begin = %+v, %v; want the composed mail", got, err)
			}
			equal(t, "message", got.Message, f.get(t, msg))
		}
		claim := Claim{World: msg.World, Message: msg.ID, Envelope: 0, Fence: 1}
		if _, err := f.Messages.Release(t.Context(), claim, Wait{Until: start()}, start()); err != nil {
			t.Fatal(err)
		}
		got, err := f.Messages.Begin(t.Context(), msg.World, msg.ID, 0, 1, "w1", start())
		if err != nil || got.Composed != nil {
			t.Fatalf("Begin = %+v, %v; want what Redis has", got, err)
		}
		equal(t, "content", got.Content, s.Content)

		other := New(f.rdb, Options{})
		s = draft(f.Messages, "ada@example.org")
		s.Composed = []byte("x")
		msg = f.accept(t, s)
		if got, err = other.Messages.Begin(t.Context(), msg.World, msg.ID, 0, 0, "w2", start()); err != nil || got.Composed != nil {
			t.Fatalf("another's Begin = %+v, %v; want what Redis has", got, err)
		}
		equal(t, "another's message", got.Message, f.get(t, msg))
		equal(t, "another's content", got.Content, s.Content)
	})
}

// An attempt that another process made first is known, and so is a content that is gone.
func TestWhatIsAtHandIsNotBelievedOverRedis(t *testing.T) {
	each(t, Options{}, func(t *testing.T, f *fixture) {
		other := New(f.rdb, Options{})
		s := draft(f.Messages, "ada@example.org")
		s.Composed = []byte("x")
		msg := f.accept(t, s)
		tried, err := other.Messages.Begin(t.Context(), msg.World, msg.ID, 0, 0, "w2", start())
		if err != nil {
			t.Fatal(err)
		}
		claim := Claim{World: msg.World, Message: msg.ID, Fence: tried.Fence}
		f.conclude(t, claim, start(), email.Outcome{Status: email.Deferred, Reply: &email.Reply{Code: 451, Text: "later", At: start()}})
		got, err := f.Messages.Begin(t.Context(), msg.World, msg.ID, 0, 1, "w1", start().Add(time.Minute))
		if err != nil || got.Composed != nil || got.Message.Recipients[0].State.LastReply == nil {
			t.Fatalf("Begin = %+v, %v; want what Redis has, with the reply", got, err)
		}

		msg = f.accept(t, func() *Submission { s := draft(f.Messages, "ada@example.org"); s.Composed = []byte("x"); return s }())
		if err := f.rdb.Del(t.Context(), keysOf(msg.World, 0).body(short(msg.ID))).Err(); err != nil {
			t.Fatal(err)
		}
		got, err = f.Messages.Begin(t.Context(), msg.World, msg.ID, 0, 0, "w1", start())
		if err != nil || got.Composed != nil || got.Content != nil {
			t.Fatalf("Begin = %+v, %v; want no content", got, err)
		}
	})
}

// A small mail with much metadata counts for what it takes, and a process that delivers
// nothing keeps nothing.
func TestHandoffCounts(t *testing.T) {
	each(t, Options{}, func(t *testing.T, f *fixture) {
		s := draft(f.Messages, "ada@example.org")
		s.Composed, s.Message.Metadata = []byte("x"), map[string]string{"note": strings.Repeat("m", 20_000)}
		msg := f.accept(t, s)
		if got := f.Messages.handoff.octets; got < 20_000 {
			t.Errorf("it counts for %d octets", got)
		}
		if f.Messages.handoff.take(msg.World, msg.ID, time.Now()); f.Messages.handoff.octets != 0 {
			t.Errorf("%d octets stay behind", f.Messages.handoff.octets)
		}

		api := New(f.rdb, Options{AcceptsOnly: true}).Messages
		s = draft(api, "ada@example.org")
		s.Composed = []byte("x")
		if msg, _, err := api.Accept(t.Context(), s); err != nil || api.handoff.take(msg.World, msg.ID, time.Now()) != nil {
			t.Errorf("a mail is kept where nothing is delivered, or %v", err)
		}
	})
}

func TestHandoffIsBounded(t *testing.T) {
	h, now := newHandoff(), time.Now()
	mail := func(change func(*email.Message)) *email.Message {
		m := &email.Message{ID: email.NewMessageID(0), World: email.Live, Envelopes: []email.Envelope{{State: email.EnvelopeState{Phase: email.Waiting}}}}
		change(m)
		return m
	}
	plain := func(*email.Message) {}
	kept := func(m *email.Message, size int, at time.Time) bool {
		h.put(m, &meta{}, 100, make([]byte, size), at)
		return h.mails[handed{m.World, m.ID}] != nil
	}
	first := mail(plain)
	if !kept(first, 10, now) {
		t.Error("a small one is not kept")
	}
	for what, m := range map[string]*email.Message{
		"one whose content is not to be stored": mail(func(m *email.Message) { m.DropContent = true }),
		"a scheduled one":                       mail(func(m *email.Message) { m.ScheduledAt = now }),
		"one that has nothing to deliver":       mail(func(m *email.Message) { m.Envelopes = nil }),
	} {
		if kept(m, 10, now) {
			t.Errorf("%s is kept", what)
		}
	}
	const beside = 2*100 + handoffEach // what its octets are not
	if kept(mail(plain), handoffMail-beside+1, now) {
		t.Error("a huge one is kept")
	}
	n := 0
	for kept(mail(plain), handoffMail-beside, now) {
		n++
	}
	if want := (handoffRoom - 10 - beside) / handoffMail; n != want || h.octets > handoffRoom {
		t.Errorf("%d were kept in %d octets, want %d", n, h.octets, want)
	}
	if h.take(email.Live, first.ID, now) == nil || h.take(email.Live, first.ID, now) != nil {
		t.Error("a mail of one envelope can be taken once")
	}
	if !kept(mail(plain), 10, now.Add(handoffLife+time.Second)) || len(h.mails) != 1 {
		t.Errorf("%d are kept after their time", len(h.mails)-1)
	}
}
