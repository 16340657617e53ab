package store

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/redis/go-redis/v9"

	"postrider/internal/email"
	"postrider/internal/redistest"
)

// fixture is a store and the Redis behind it.
type fixture struct {
	*Store
	rdb *redis.Client
}

// each runs a test on both Redis servers, with each script run once and with
// each run twice, as go-redis does when a reply is lost: nothing may differ.
func each(t *testing.T, o Options, test func(t *testing.T, f *fixture)) {
	t.Helper()
	redistest.Each(t, func(t *testing.T, url string) {
		for _, name := range []string{"once", "twice"} {
			t.Run(name, func(t *testing.T) {
				rdb := connect(t, url)
				if err := rdb.FlushAll(t.Context()).Err(); err != nil {
					t.Fatal(err)
				}
				if name == "twice" {
					rdb.AddHook(twice{})
				}
				test(t, &fixture{Store: New(rdb, o), rdb: rdb})
			})
		}
	})
}

func connect(tb testing.TB, url string) *redis.Client {
	tb.Helper()
	o, err := redis.ParseURL(url)
	if err != nil {
		tb.Fatal(err)
	}
	o.DisableIdentity = true
	rdb := redis.NewClient(o)
	tb.Cleanup(func() { _ = rdb.Close() })
	return rdb
}

// twice runs every script a second time and gives only the second answer.
type twice struct{}

func (twice) DialHook(next redis.DialHook) redis.DialHook { return next }

func (twice) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

func (twice) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		if strings.HasPrefix(cmd.Name(), "eval") {
			_ = next(ctx, redis.NewCmd(ctx, cmd.Args()...)) // its answer is lost
		}
		return next(ctx, cmd)
	}
}

// start is when the tests' messages are accepted.
func start() time.Time { return time.Date(2026, 11, 23, 16, 0, 0, 123e6, time.UTC) }

// draft makes a message to these addresses, grouped by domain.
func draft(m *Messages, addresses ...string) *Submission {
	msg := &email.Message{
		ID: email.NewMessageID(m.ShardFor(email.Live, "")), World: email.Live, KeyID: "key_1", CreatedAt: start(),
		ExpiresAt: start().Add(72 * time.Hour), From: email.Address{Email: "hi@acme.com", Name: "Acme"},
		Subject: "Hallo, Ünïcode </b>", Tags: []string{"welcome"}, Metadata: map[string]string{"user": "42"},
		Stream: "transactional", SizeBytes: 1234,
	}
	msg.MessageID = impliedMessageID(msg)
	envelopes := map[string]int{}
	for i, a := range addresses {
		address := email.Address{Email: a}
		_, domain, _ := strings.Cut(a, "@")
		n, ok := envelopes[domain]
		if !ok {
			n = len(msg.Envelopes)
			envelopes[domain] = n
			msg.Envelopes = append(msg.Envelopes, email.Envelope{Domain: domain, ReversePath: "b-token@bounce.acme.com"})
		}
		msg.Envelopes[n].Recipients = append(msg.Envelopes[n].Recipients, i)
		msg.To = append(msg.To, address)
		msg.Recipients = append(msg.Recipients, email.Recipient{
			Address: address, Type: email.To, Envelope: n, State: email.RecipientState{Status: email.Queued},
		})
	}
	return &Submission{Message: msg, Content: &email.Content{Text: "Hi there", HTML: "<p>Hi there"}}
}

// later schedules a draft.
func later(s *Submission, at time.Time) *Submission {
	s.Message.ScheduledAt = at
	for i := range s.Message.Recipients {
		s.Message.Recipients[i].State.Status = email.Scheduled
	}
	return s
}

func (f *fixture) accept(t *testing.T, s *Submission) *email.Message {
	t.Helper()
	msg, replayed, err := f.Messages.Accept(t.Context(), s)
	if err != nil || replayed {
		t.Fatalf("Accept = %v, replayed %t", err, replayed)
	}
	return msg
}

// begin takes the fence of an envelope's current generation.
func (f *fixture) begin(t *testing.T, msg *email.Message, envelope int, now time.Time) Claim {
	t.Helper()
	generation := f.get(t, msg).Envelopes[envelope].State.Generation
	s, err := f.Messages.Begin(t.Context(), msg.World, msg.ID, envelope, generation, "worker-1", now)
	if err != nil || s.Verdict != Begun {
		t.Fatalf("Begin = %+v, %v; want begun", s, err)
	}
	return Claim{World: msg.World, Message: msg.ID, Envelope: envelope, Fence: s.Fence}
}

func (f *fixture) get(t *testing.T, msg *email.Message) *email.Message {
	t.Helper()
	got, err := f.Messages.Get(t.Context(), msg.World, msg.ID)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func (f *fixture) conclude(t *testing.T, c Claim, now time.Time, outcomes ...email.Outcome) *Concluded {
	t.Helper()
	got, err := f.Messages.Conclude(t.Context(), c, tried(c, now, outcomes...), now.Add(time.Minute), now)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// tried is an attempt that began a second before it ended.
func tried(c Claim, now time.Time, outcomes ...email.Outcome) *email.Attempt {
	return &email.Attempt{
		Envelope: c.Envelope, Fence: c.Fence, Worker: "worker-1", StartedAt: now.Add(-time.Second), EndedAt: now,
		Host: "mx.example.org", TLS: "TLS1.3", Outcomes: outcomes,
		Transcript: []email.Line{{At: now, From: email.Server, Text: "220 hello"}},
	}
}

// statuses are the recipients' statuses, with reasons.
func statuses(m *email.Message) string {
	var words []string
	for _, r := range m.Recipients {
		word := string(r.State.Status)
		if r.State.Reason != "" {
			word += "/" + r.State.Reason
		}
		words = append(words, word)
	}
	return strings.Join(words, " ")
}

// history is one word per event: recipient, previous, status, seq; and it checks
// what holds of every history.
func (f *fixture) history(t *testing.T, msg *email.Message) []string {
	t.Helper()
	events, next, err := f.Messages.Events(t.Context(), msg.World, msg.ID, 0, 100)
	if err != nil || next != 0 {
		t.Fatalf("Events: next %d, %v", next, err)
	}
	var words []string
	ids := map[string]bool{}
	seqs := map[int]int{}
	for _, e := range events {
		if _, err := email.ParseID(email.EventPrefix, e.ID); err != nil || ids[e.ID] {
			t.Errorf("event id %s: %v, seen before: %t", e.ID, err, ids[e.ID])
		}
		ids[e.ID] = true
		if seqs[e.Recipient]++; e.Seq != seqs[e.Recipient] {
			t.Errorf("recipient %d has seq %d, want %d", e.Recipient, e.Seq, seqs[e.Recipient])
		}
		words = append(words, fmt.Sprintf("%d:%s>%s", e.Recipient, e.Previous, e.Status))
	}
	for i, r := range f.get(t, msg).Recipients {
		if r.State.Seq != seqs[i] {
			t.Errorf("recipient %d: state says seq %d, events %d", i, r.State.Seq, seqs[i])
		}
	}
	keys, id, _ := f.Messages.locate(msg.World, msg.ID)
	n := 0
	for _, entry := range f.rdb.XRange(t.Context(), keys.stream(), "-", "+").Val() {
		if entry.Values["m"] == id {
			if entry.Values["p"] != fmt.Sprint(n) {
				t.Errorf("stream entry %d of the message names position %v", n, entry.Values["p"])
			}
			n++
		}
	}
	if n != len(events) {
		t.Errorf("the stream has %d entries of the message, its list %d", n, len(events))
	}
	return words
}

// dueAt is an envelope's due score, zero if it has none.
func (f *fixture) dueAt(t *testing.T, msg *email.Message, envelope int) time.Time {
	t.Helper()
	keys, id, _ := f.Messages.locate(msg.World, msg.ID)
	score, err := f.rdb.ZScore(t.Context(), keys.due(), dueMember(id, envelope)).Result()
	if err == redis.Nil {
		return time.Time{}
	}
	if err != nil {
		t.Fatal(err)
	}
	return fromMS(int64(score))
}

// indexed lists the status indexes that hold the message.
func (f *fixture) indexed(t *testing.T, msg *email.Message) []string {
	t.Helper()
	keys, id, _ := f.Messages.locate(msg.World, msg.ID)
	var in []string
	for _, s := range email.MessageStatuses() {
		if f.rdb.ZScore(t.Context(), keys.status(s), id).Err() == nil {
			in = append(in, string(s))
		}
	}
	return in
}

func (f *fixture) allKeys(t *testing.T) []string {
	t.Helper()
	keys, err := f.rdb.Keys(t.Context(), "*").Result()
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(keys)
	return keys
}

func equal(t *testing.T, what string, got, want any) {
	t.Helper()
	if diff := cmp.Diff(want, got, cmpopts.EquateEmpty(), cmp.AllowUnexported(Webhook{}, Delivery{}, Key{}), cmpopts.EquateComparable(netip.Prefix{})); diff != "" {
		t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}
