package intake_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"postrider/internal/compose"
	"postrider/internal/email"
	"postrider/internal/intake"
	"postrider/internal/queue"
	"postrider/internal/redistest"
	"postrider/internal/store"
)

func TestAcceptKeepsAndWakes(t *testing.T) {
	redistest.Each(t, func(t *testing.T, url string) {
		b := newBench(t, url, nil)
		before := time.Now().Truncate(time.Millisecond)
		msg := b.accept(t, live(draft(func(d *intake.Draft) {
			d.To = mailboxes("Ada <Ada@lovelace.org>", "charles@babbage.org")
			d.Cc, d.Bcc = mailboxes("mary@LOVELACE.org"), mailboxes("secret@babbage.org")
			d.ReplyTo = mailboxes("help@acme.com")
			d.HTML, d.Tags, d.Metadata = ptr("<p>Hi</p>"), []string{"a", "b", "a"}, map[string]string{"order": "42"}
			d.Attachments = []intake.Attachment{file("a.pdf", []byte("%PDF"))}
			d.Headers = []email.Header{{Name: "X-Entity-Ref-ID", Value: " 7 "}}
		})))
		if msg.CreatedAt.Before(before) || msg.CreatedAt.After(time.Now()) {
			t.Errorf("created at %v", msg.CreatedAt)
		}
		if !msg.ExpiresAt.Equal(msg.CreatedAt.Add(72 * time.Hour)) {
			t.Errorf("expires at %v, created at %v", msg.ExpiresAt, msg.CreatedAt)
		}
		want := &email.Message{
			ID: msg.ID, World: email.Live, KeyID: "key_1", CreatedAt: msg.CreatedAt, ExpiresAt: msg.ExpiresAt,
			From: email.Address{Email: "hi@acme.com", Name: "Acme"},
			To:   []email.Address{{Email: "Ada@lovelace.org", Name: "Ada"}, {Email: "charles@babbage.org"}},
			Cc:   []email.Address{{Email: "mary@lovelace.org"}}, Bcc: []email.Address{{Email: "secret@babbage.org"}},
			ReplyTo: []email.Address{{Email: "help@acme.com"}}, Subject: "Hello", Tags: []string{"a", "b"},
			Metadata: map[string]string{"order": "42"}, Stream: "transactional", Class: "default", FirstExpiresAt: msg.ExpiresAt,
			MessageID: "<" + msg.ID + "@acme.com>", SizeBytes: msg.SizeBytes,
		}
		ignore := cmpopts.IgnoreFields(email.Message{}, "Recipients", "Envelopes")
		if d := cmp.Diff(want, msg, ignore); d != "" {
			t.Errorf("message (-want +got):\n%s", d)
		}
		checkStored(t, b, msg)
		if len(b.jobs.added) != 2 {
			t.Fatalf("jobs %+v", b.jobs.added)
		}
		for i, job := range b.jobs.added {
			want := queue.Delivery{World: email.Live, Message: msg.ID, Envelope: i, Generation: msg.Envelopes[i].State.Generation}
			if job != want || b.jobs.class[i] != queue.Default || !b.jobs.at[i].Equal(msg.Due()) {
				t.Errorf("job %+v in %s at %v, want %+v", job, b.jobs.class[i], b.jobs.at[i], want)
			}
		}
	})
}

// checkStored reads a message back: the same, its content composes to its size.
func checkStored(t *testing.T, b *bench, msg *email.Message) {
	t.Helper()
	stored, err := b.store.Messages.Get(t.Context(), msg.World, msg.ID)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(msg, stored, cmpopts.EquateEmpty()); d != "" {
		t.Errorf("stored (-answered +stored):\n%s", d)
	}
	raw, err := compose.Message(stored, content(t, b, msg))
	if err != nil || int64(len(raw)) != msg.SizeBytes {
		t.Errorf("composes to %d octets, %v; the size is %d", len(raw), err, msg.SizeBytes)
	}
	entries, err := b.store.Messages.Due(t.Context(), msg.World, shard(t, msg), time.Now().Add(100*24*time.Hour), 1000)
	if err != nil {
		t.Fatal(err)
	}
	entries = slices.DeleteFunc(entries, func(e store.Entry) bool { return e.Message != msg.ID })
	if len(entries) != len(msg.Envelopes) {
		t.Errorf("%d due entries for %d envelopes", len(entries), len(msg.Envelopes))
	}
	checkHandedOver(t, b, msg, raw)
}

// checkHandedOver sees that who accepted a message and delivers it sends the octets that
// anybody composes of what is stored.
func checkHandedOver(t *testing.T, b *bench, msg *email.Message, stored []byte) {
	t.Helper()
	if len(msg.Envelopes) == 0 || msg.Envelopes[0].State.Phase != email.Waiting {
		return
	}
	begun, err := b.store.Messages.Begin(t.Context(), msg.World, msg.ID, 0, msg.Envelopes[0].State.Generation, "w1", msg.Due())
	if err != nil || begun.Verdict != store.Begun {
		t.Fatalf("Begin = %+v, %v", begun, err)
	}
	small := len(stored) < 200<<10 && !msg.DropContent && msg.ScheduledAt.IsZero()
	if small && begun.Composed == nil || begun.Composed != nil && !bytes.Equal(begun.Composed, stored) {
		t.Errorf("handed over are %d octets, and not the %d that are composed of what is stored", len(begun.Composed), len(stored))
	}
}

func content(t *testing.T, b *bench, msg *email.Message) *email.Content {
	t.Helper()
	c, err := b.store.Messages.Content(t.Context(), msg.World, msg.ID)
	if err != nil || c == nil {
		t.Fatalf("content: %v, %v", c, err)
	}
	return c
}

func shard(t *testing.T, msg *email.Message) uint8 {
	t.Helper()
	n, err := email.Shard(msg.ID)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestScheduleAndLifetime(t *testing.T) {
	now := time.Now().UTC().Truncate(time.Second)
	cases := []struct {
		name      string
		scheduled *string
		ttl       *int64
		status    email.Status
		due       time.Time // zero: at once
		life      time.Duration
		jobs      int
	}{
		{"at once", nil, nil, email.Queued, time.Time{}, 72 * time.Hour, 1},
		{"a short life", nil, ptr[int64](60), email.Queued, time.Time{}, time.Minute, 1},
		{"a little past", ptr(now.Add(-50 * time.Second).Format(time.RFC3339)), nil, email.Queued, time.Time{}, 72 * time.Hour, 1},
		{"soon", ptr(now.Add(time.Minute).Format(time.RFC3339)), nil, email.Scheduled, now.Add(time.Minute), 72 * time.Hour, 1},
		{"later", ptr(now.Add(time.Hour).Format(time.RFC3339)), ptr[int64](600), email.Scheduled, now.Add(time.Hour), 10 * time.Minute, 0},
		{
			"with an offset and a fraction", ptr(now.Add(time.Hour).In(time.FixedZone("", 5*3600+1800)).Format("2006-01-02T15:04:05.000000-07:00")), nil,
			email.Scheduled, now.Add(time.Hour), 72 * time.Hour, 0,
		},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			b := inProcess(t, nil)
			msg := b.accept(t, live(draft(func(d *intake.Draft) { d.ScheduledAt, d.TTLSeconds = c.scheduled, c.ttl })))
			due := c.due
			if due.IsZero() {
				due = msg.CreatedAt
			}
			if msg.Status() != c.status || !msg.ScheduledAt.Equal(c.due) || !msg.Due().Equal(due) {
				t.Errorf("%s, scheduled at %v, due %v", msg.Status(), msg.ScheduledAt, msg.Due())
			}
			if !msg.ExpiresAt.Equal(due.Add(c.life)) {
				t.Errorf("expires at %v, due %v", msg.ExpiresAt, due)
			}
			if r := msg.Recipients[0].State; r.AtAccept != c.status || !r.NextAttemptAt.Equal(due) || r.Seq != 1 {
				t.Errorf("recipient %+v", r)
			}
			if e := msg.Envelopes[0].State; e.Phase != email.Waiting || !e.NextAt.Equal(due) {
				t.Errorf("envelope %+v", e)
			}
			if len(b.jobs.added) != c.jobs {
				t.Errorf("%d jobs, want %d", len(b.jobs.added), c.jobs)
			}
			checkStored(t, b, msg)
		})
	}
}

func TestTextPart(t *testing.T) {
	b := inProcess(t, nil)
	html := `<p>Hello <a href="https://acme.com/x">there</a></p>`
	cases := []struct {
		name       string
		html, text *string
		check      func(text string) bool
	}{
		{"generated", &html, nil, func(s string) bool { return strings.Contains(s, "Hello") && !strings.Contains(s, "<p>") }},
		{"suppressed", &html, ptr(""), func(s string) bool { return s == "" }},
		{"given", &html, ptr("mine"), func(s string) bool { return s == "mine" }},
		{"alone", nil, ptr("mine"), func(s string) bool { return s == "mine" }},
		{"beside an empty html", ptr(""), ptr("mine"), func(s string) bool { return s == "mine" }},
	}
	for _, c := range cases {
		msg := b.accept(t, live(draft(func(d *intake.Draft) { d.HTML, d.Text = c.html, c.text })))
		if got := content(t, b, msg).Text; !c.check(got) {
			t.Errorf("%s: text %q", c.name, got)
		}
	}
}

func TestReplays(t *testing.T) {
	redistest.Each(t, func(t *testing.T, url string) {
		b := newBench(t, url, nil)
		r := live(draft(nil))
		r.IdempotencyKey, r.Fingerprint = "welcome/42", [32]byte{7}
		if msg, err := b.Replay(t.Context(), r.World, r.IdempotencyKey, r.Fingerprint); msg != nil || err != nil {
			t.Fatalf("replayed before: %v, %v", msg, err)
		}
		first := b.accept(t, r)
		second, replayed, err := b.Accept(t.Context(), r)
		if err != nil || !replayed || second.ID != first.ID || len(b.jobs.added) != 1 {
			t.Errorf("second: %+v, %v, %v, %d jobs", second, replayed, err, len(b.jobs.added))
		}
		looked, err := b.Replay(t.Context(), r.World, r.IdempotencyKey, r.Fingerprint)
		if err != nil || looked == nil || looked.ID != first.ID {
			t.Errorf("looked up: %+v, %v", looked, err)
		}
		r.Fingerprint = [32]byte{8}
		if _, _, err := b.Accept(t.Context(), r); !errors.Is(err, store.ErrIdempotencyReused) {
			t.Errorf("another request: %v", err)
		}
		if _, err := b.Replay(t.Context(), r.World, r.IdempotencyKey, r.Fingerprint); !errors.Is(err, store.ErrIdempotencyReused) {
			t.Errorf("another request, looked up: %v", err)
		}
	})
}

// The loser of a race gets the winner's message (api.md 24.1).
func TestRaceUnderOneKey(t *testing.T) {
	redistest.Each(t, func(t *testing.T, url string) {
		b := newBench(t, url, nil)
		r := live(draft(nil))
		r.IdempotencyKey = "race"
		var (
			wg    sync.WaitGroup
			mu    sync.Mutex
			fresh int
			ids   = make(map[string]bool)
		)
		for range 50 {
			wg.Go(func() {
				msg, replayed, err := b.Accept(t.Context(), r)
				mu.Lock()
				defer mu.Unlock()
				if err != nil {
					t.Error(err)
					return
				}
				ids[msg.ID] = true
				if !replayed {
					fresh++
				}
			})
		}
		wg.Wait()
		if fresh != 1 || len(ids) != 1 || len(b.jobs.added) != 1 {
			t.Errorf("%d fresh, %d messages, %d jobs", fresh, len(ids), len(b.jobs.added))
		}
	})
}

// The caller who hangs up does not stop the message halfway (api.md 23.7).
func TestAcceptOutlivesItsRequest(t *testing.T) {
	b := inProcess(t, nil)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	msg, _, err := b.Accept(ctx, live(draft(nil)))
	if err != nil {
		t.Fatal(err)
	}
	checkStored(t, b, msg)
	if len(b.jobs.added) != 1 {
		t.Errorf("%d jobs", len(b.jobs.added))
	}
}

func TestQueueFailureIsNotTheCallers(t *testing.T) {
	var log bytes.Buffer
	b := inProcess(t, func(o *intake.Options) { o.Log = slog.New(slog.NewJSONHandler(&log, nil)) })
	b.jobs.err = errors.New("queue is away")
	msg := b.accept(t, live(draft(func(d *intake.Draft) { d.To = mailboxes("a@one.org", "b@two.org") })))
	checkStored(t, b, msg)
	if got := log.String(); strings.Count(got, "\n") != 1 || !strings.Contains(got, msg.ID) || strings.Contains(got, "one.org") {
		t.Errorf("log %q", got)
	}
}

func TestTooLarge(t *testing.T) {
	var tooLarge *intake.TooLarge
	b := inProcess(t, nil)
	big := bytes.Repeat([]byte{1}, 15<<20) // 20.5 MiB in base64
	_, _, err := b.Accept(t.Context(), live(draft(func(d *intake.Draft) { d.Attachments = []intake.Attachment{file("a.bin", big)} })))
	if !errors.As(err, &tooLarge) || tooLarge.Limit != 20<<20 || tooLarge.Actual <= tooLarge.Limit {
		t.Errorf("attachment: %v", err)
	}
	// The composed mail counts, not its parts alone: the same draft fits exactly its own size.
	small := live(draft(nil))
	size := b.accept(t, small).SizeBytes
	fits := inProcess(t, func(o *intake.Options) { o.Limits.MessageBytes = size })
	fits.accept(t, small)
	tight := inProcess(t, func(o *intake.Options) { o.Limits.MessageBytes = size - 1 })
	if _, _, err := tight.Accept(t.Context(), small); !errors.As(err, &tooLarge) || tooLarge.Actual != size {
		t.Errorf("one octet less: %v", err)
	}
	// What is wrong with the members is said first.
	b.one(t, draft(func(d *intake.Draft) { d.Attachments, d.Subject = []intake.Attachment{file("a.bin", big)}, nil }), "#/subject required")
}
