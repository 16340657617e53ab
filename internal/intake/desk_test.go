package intake_test

import (
	"context"
	"encoding/base64"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"postrider/internal/email"
	"postrider/internal/intake"
	"postrider/internal/queue"
	"postrider/internal/redistest"
	"postrider/internal/store"
	"postrider/internal/track"
)

// jobs is a queue that remembers.
type jobs struct {
	mu    sync.Mutex
	added []queue.Delivery
	class []string
	at    []time.Time
	err   error
}

func (j *jobs) Add(_ context.Context, class string, d queue.Delivery, at time.Time) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.err != nil {
		return j.err
	}
	j.added, j.class, j.at = append(j.added, d), append(j.class, class), append(j.at, at)
	return nil
}

// zone is the sending domains: name to return path host, "" if it has none of its own.
type zone struct {
	verified map[string]string
	err      error
}

func (z zone) Verified(_ context.Context, name string) (bool, string, error) {
	host, ok := z.verified[name]
	return ok, host, z.err
}

// ID knows what is verified, and pending.com, which is not.
func (z zone) ID(_ context.Context, name string) (string, error) {
	if _, ok := z.verified[name]; ok || name == "pending.com" {
		return "dom_of_" + name, z.err
	}
	return "", z.err
}

// bench is a desk and what lies around it.
type bench struct {
	*intake.Desk
	store *store.Store
	jobs  *jobs
}

// newBench opens a desk on the Redis at url. change may be nil.
func newBench(t testing.TB, url string, change func(*intake.Options)) *bench {
	t.Helper()
	o, err := redis.ParseURL(url)
	if err != nil {
		t.Fatal(err)
	}
	rdb := redis.NewClient(o)
	t.Cleanup(func() { rdb.Close() })
	b := &bench{store: store.New(rdb, store.Options{Shards: 4}), jobs: &jobs{}}
	options := intake.Options{
		Store: b.store, Queue: b.jobs, Marks: track.New([32]byte{1}, 1), ReturnPathDomain: "bounce.postrider.example.net",
		Domains:         zone{verified: map[string]string{"acme.com": "", "own.acme.com": "bounce.own.acme.com"}},
		RequireVerified: true,
	}
	if change != nil {
		change(&options)
	}
	b.Desk = intake.New(options)
	return b
}

func inProcess(t testing.TB, change func(*intake.Options)) *bench {
	t.Helper()
	return newBench(t, redistest.InProcess(t), change)
}

// draft is the smallest message that has no fault.
func draft(change func(*intake.Draft)) intake.Draft {
	d := intake.Draft{
		From: &intake.Mailbox{Text: "Acme <hi@acme.com>", Pointer: "#/from"},
		To:   []intake.Mailbox{{Text: "ada@lovelace.org", Pointer: "#/to"}}, Subject: ptr("Hello"), Text: ptr("Hi"),
	}
	if change != nil {
		change(&d)
	}
	return d
}

func live(d intake.Draft) intake.Request {
	return intake.Request{World: email.Live, KeyID: "key_1", Draft: d}
}

// accept takes a draft that must have no fault.
func (b *bench) accept(t *testing.T, r intake.Request) *email.Message {
	t.Helper()
	msg, replayed, err := b.Accept(context.Background(), r)
	var invalid *intake.Invalid
	if errors.As(err, &invalid) {
		t.Fatalf("faults: %+v", invalid.Faults)
	}
	if err != nil || replayed {
		t.Fatalf("accept: replayed %v, %v", replayed, err)
	}
	return msg
}

// refuse takes a draft that must have faults, sees that nothing came of it, and
// returns them as "pointer code".
func (b *bench) refuse(t *testing.T, r intake.Request) []string {
	t.Helper()
	var out []string
	for _, f := range b.faults(t, r) {
		out = append(out, f.Pointer+" "+f.Code)
	}
	return out
}

func (b *bench) faults(t *testing.T, r intake.Request) []intake.Fault {
	t.Helper()
	before := len(b.jobs.added)
	msg, _, err := b.Accept(context.Background(), r)
	var invalid *intake.Invalid
	if !errors.As(err, &invalid) {
		t.Fatalf("no faults found: %v", err)
	}
	if msg != nil || len(b.jobs.added) != before {
		t.Fatal("a message with faults was kept or enqueued")
	}
	for _, f := range invalid.Faults {
		if f.Detail == "" || strings.ContainsAny(f.Detail+f.Pointer, "\r\n\x00") {
			t.Errorf("fault %q has no detail, or control characters", f.Pointer)
		}
	}
	return invalid.Faults
}

// one sees that a draft has exactly this fault.
func (b *bench) one(t *testing.T, d intake.Draft, want string) {
	t.Helper()
	if got := b.refuse(t, live(d)); len(got) != 1 || got[0] != want {
		t.Errorf("faults %q, want %q", got, want)
	}
}

func mailboxes(addresses ...string) []intake.Mailbox {
	var out []intake.Mailbox
	for _, a := range addresses {
		out = append(out, intake.Mailbox{Text: a})
	}
	return out
}

func file(name string, content []byte) intake.Attachment {
	return intake.Attachment{
		Filename: name, HasFilename: true, Content: base64.StdEncoding.EncodeToString(content), HasContent: true,
	}
}

func ptr[T any](v T) *T { return &v }
