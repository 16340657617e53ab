package worker

import (
	"bytes"
	"context"
	"testing"
	"time"

	"postrider/internal/email"
	"postrider/internal/queue"
	"postrider/internal/redistest"
	"postrider/internal/store"
)

// These tests cut the connection to a real Redis at the moment that their name
// says. Whatever is lost, every message goes out, and goes out once.

// cut is a rig whose queue reaches Redis through a proxy.
func cut(t *testing.T) (*rig, *redistest.Proxy) {
	t.Helper()
	url := redistest.Server(t)
	return newRig(t, url), redistest.NewProxy(t, url)
}

// serveThrough runs the worker's queue server on another address of its Redis.
func (r *rig) serveThrough(url string) {
	r.t.Helper()
	r.url = url
	r.serve(r.Worker)
}

// names reports whether a request names all of the keys: asynq's scripts differ by these.
func names(keys ...string) func([]byte) bool {
	return func(request []byte) bool {
		for _, key := range keys {
			if !bytes.Contains(request, []byte(key)) {
				return false
			}
		}
		return bytes.Contains(bytes.ToLower(request), []byte("eval"))
	}
}

func happened(t *testing.T, lost <-chan struct{}) {
	t.Helper()
	select {
	case <-lost:
	case <-time.After(30 * time.Second):
		t.Fatal("the reply was never lost")
	}
}

// onceEach waits for all messages and sees that each went out once.
func (r *rig) onceEach(messages ...*email.Message) {
	r.t.Helper()
	for _, m := range messages {
		if got := r.final(m); statuses(got) != "delivered" {
			r.t.Errorf("ended %s", statuses(got))
		}
	}
	if n := len(r.sender.transactions()); n != len(messages) {
		r.t.Errorf("%d mails for %d messages", n, len(messages))
	}
}

func TestLostReplyToEnqueue(t *testing.T) {
	r, p := cut(t)
	m := r.accept(draft("a@b.test"))
	through := queue.NewClient(connect(t, p.URL))
	lost := p.Lose(names("asynq:{default}:t:", "asynq:{default}:pending"))
	if err := through.Add(t.Context(), queue.Default, r.job(m, 0), m.Due()); err != nil {
		t.Fatalf("Add = %v", err)
	}
	happened(t, lost)
	r.serve(r.Worker)
	r.onceEach(m)
}

func TestLostReplyToDequeue(t *testing.T) {
	r, p := cut(t)
	var all []*email.Message
	for range 3 {
		all = append(all, r.post(draft("a@b.test")))
	}
	lost := p.Lose(names("asynq:{default}:paused", "asynq:{default}:lease"))
	r.serveThrough(p.URL)
	happened(t, lost)
	for _, m := range all[1:] {
		r.final(m)
	}
	// One job is active in the queue, but was never run: the sweeper finds it.
	if got := r.get(all[0]); got.CompletedAt.IsZero() {
		r.pass()
	}
	r.onceEach(all...)
}

func TestLostReplyToDone(t *testing.T) {
	r, p := cut(t)
	lost := p.Lose(names("asynq:{default}:processed"))
	r.serveThrough(p.URL)
	m := r.post(draft("a@b.test"))
	happened(t, lost)
	r.onceEach(m)
	if err := r.Deliver(t.Context(), r.job(m, 0)); err != nil { // asynq may run it again
		t.Errorf("Deliver again = %v", err)
	}
	r.onceEach(m)
}

func TestLostRepliesOfTheStore(t *testing.T) {
	for name, match := range map[string]func([]byte) bool{
		"begin":    names("live:{s0}:m:", "live:{s0}:b:", "w1"),
		"mark":     func(b []byte) bool { return names("live:{s0}:m:")(b) && !bytes.Contains(b, []byte("live:{s0}:due")) },
		"conclude": names("live:{s0}:m:", "live:{s0}:a:"),
	} {
		t.Run(name, func(t *testing.T) {
			r, p := cut(t)
			m := r.accept(draft("a@b.test"))
			away := newRigOn(r, p.URL)
			lost := p.Lose(match)
			away.deliver(m)
			happened(t, lost)
			away.onceEach(m)
			if n := len(away.attempts(m)); n != 1 {
				t.Errorf("%d attempts", n)
			}
		})
	}
}

// newRigOn is a rig on the same Redis by another address.
func newRigOn(r *rig, url string) *rig {
	r.t.Helper()
	rdb := connect(r.t, url)
	other := &rig{
		t: r.t, url: url, rdb: rdb, store: store.New(rdb, store.Options{}), queue: queue.NewClient(rdb),
		router: r.router, signer: r.signer, sender: r.sender, log: r.log,
	}
	other.Worker = other.another("w1")
	return other
}

// The task is finished while Redis is away for the queue and the store: the
// outcome is told when it is back, and nothing goes out twice.
func TestFinishedWhileRedisIsAway(t *testing.T) {
	r, p := cut(t)
	away := newRigOn(r, p.URL)
	back := make(chan struct{})
	r.sender.acts = []act{{after: func(context.Context) {
		p.SetAway(true)
		time.AfterFunc(200*time.Millisecond, func() {
			p.SetAway(false)
			close(back)
		})
	}}}
	m := r.post(draft("a@b.test"))
	away.serve(away.Worker)
	<-back
	away.onceEach(m)
	if err := away.Deliver(t.Context(), away.job(m, 0)); err != nil { // asynq runs it again
		t.Errorf("Deliver again = %v", err)
	}
	away.pass()
	away.onceEach(m)
}

// An attempt of a worker that died without a mark is retried within 45 s: it was
// not heard for a life, its due entry has come, and so has the sweeper, even if
// another died that held the lease; and 5 s are left for the way there.
func TestOrphansAreRepairedInTime(t *testing.T) {
	o := Options{}.withDefaults()
	const promised = 40 * time.Second
	if worst := max(lookAfter, beatLives*o.BeatEvery+lookAlive) + o.SweepEvery + sweepLease; worst > promised {
		t.Errorf("an orphan waits up to %v", worst)
	}
}
