package dashboard

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/smtp"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"postrider/internal/email"
	"postrider/internal/queue"
	"postrider/internal/redistest"
	"postrider/internal/sandbox"
	"postrider/internal/secret"
	"postrider/internal/store"
)

// world is a store, a sandbox and the pages over them.
type world struct {
	t     *testing.T
	rdb   *redis.Client
	store *store.Store
	box   *sandbox.Sandbox
	queue *queue.Client
	pages http.Handler
	curl  string
	told  int // changes that recorded gave

	options Options
}

func newWorld(t *testing.T) *world {
	t.Helper()
	return worldOn(t, redistest.InProcess(t))
}

// worldOn is a world on a Redis.
func worldOn(t *testing.T, url string) *world {
	t.Helper()
	options, err := redis.ParseURL(url)
	if err != nil {
		t.Fatal(err)
	}
	options.DisableIdentity = true
	rdb := redis.NewClient(options)
	t.Cleanup(func() { rdb.Close() })
	w := &world{
		t:     t,
		rdb:   rdb,
		store: store.New(rdb, store.Options{Sealer: secret.New()}),
		queue: queue.NewClient(rdb),
		box:   sandbox.New(sandbox.Options{Log: slog.New(slog.DiscardHandler), Delay: time.Millisecond}),
		curl:  `curl -H 'Authorization: Bearer pr_test_<key>' http://127.0.0.1:8025/messages -d '{"from":"a@acme.test"}'`,
	}
	if err := w.box.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.box.Close() })
	w.options = Options{
		Store: w.store, Inbox: w.box.Inbox, Queue: w.queue, Log: slog.New(slog.DiscardHandler),
		Curl: w.curl, BaseURL: "http://127.0.0.1:8025", Dev: true, Version: "1.2.3",
	}
	w.pages = New(w.options)
	return w
}

func (w *world) get(path string) *http.Response {
	w.t.Helper()
	rec := httptest.NewRecorder()
	w.pages.ServeHTTP(rec, httptest.NewRequest(http.MethodGet, path, nil))
	return rec.Result()
}

// message makes a message to these recipients, one envelope for all.
func message(subject string, to ...string) *email.Message {
	now := time.Now().UTC().Truncate(time.Millisecond)
	m := &email.Message{
		ID: email.NewMessageID(0), World: email.Test, KeyID: email.NewID(email.KeyPrefix), CreatedAt: now, ExpiresAt: now.Add(time.Hour),
		From: email.Address{Email: "shop@acme.test", Name: "Acme"}, Subject: subject, Stream: "transactional", SizeBytes: 1234,
		Tags: []string{"receipt"},
	}
	m.MessageID = "<" + m.ID + "@acme.test>"
	e := email.Envelope{Domain: "sandbox.test", ReversePath: "b-token@r.test", Sandbox: true, State: email.EnvelopeState{Phase: email.Waiting, NextAt: now}}
	for i, address := range to {
		m.To = append(m.To, email.Address{Email: address})
		m.Recipients = append(m.Recipients, email.Recipient{
			Address: email.Address{Email: address}, Type: email.To,
			State: email.RecipientState{Status: email.Queued, AtAccept: email.Queued, Seq: 1, NextAttemptAt: now},
		})
		e.Recipients = append(e.Recipients, i)
	}
	m.Envelopes = []email.Envelope{e}
	return m
}

func (w *world) accept(m *email.Message, c *email.Content) {
	w.t.Helper()
	if _, _, err := w.store.Messages.Accept(context.Background(), &store.Submission{Message: m, Content: c}); err != nil {
		w.t.Fatal(err)
	}
}

// attempt begins the message's envelope and concludes it with these outcomes.
func (w *world) attempt(m *email.Message, a email.Attempt, next time.Time) {
	w.t.Helper()
	ctx, now := context.Background(), time.Now().UTC()
	if current, err := w.store.Messages.Get(ctx, email.Test, m.ID); err == nil && current.Envelopes[0].State.NextAt.After(now) {
		now = current.Envelopes[0].State.NextAt
	}
	current, err := w.store.Messages.Get(ctx, email.Test, m.ID)
	if err != nil {
		w.t.Fatal(err)
	}
	start, err := w.store.Messages.Begin(ctx, email.Test, m.ID, 0, current.Envelopes[0].State.Generation, "worker", now)
	if err != nil || start.Verdict != store.Begun {
		w.t.Fatalf("begin: %v, %+v", err, start)
	}
	a.Fence, a.StartedAt = start.Fence, now
	a.EndedAt = now.Add(42 * time.Millisecond)
	for i := range a.Transcript {
		a.Transcript[i].At = now.Add(time.Duration(i) * time.Millisecond)
	}
	claim := store.Claim{World: email.Test, Message: m.ID, Envelope: 0, Fence: start.Fence}
	if _, err := w.store.Messages.Conclude(ctx, claim, &a, next, a.EndedAt); err != nil {
		w.t.Fatal(err)
	}
}

// deliver hands a mail to the sandbox by SMTP.
func (w *world) deliver(data string) {
	w.t.Helper()
	if err := smtp.SendMail(w.box.Addr().String(), nil, "b-token@r.test", []string{"x@example.com"}, []byte(data)); err != nil {
		w.t.Fatal(err)
	}
}
