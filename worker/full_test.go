package worker

import (
	"bytes"
	"math/rand/v2"
	"strconv"
	"testing"
	"time"

	"postrider/internal/email"
	"postrider/internal/redistest"
	"postrider/internal/store"
)

// noise is a body that does not compress.
func noise(octets int) string {
	source := rand.NewChaCha8([32]byte{1})
	b := make([]byte, octets)
	_, _ = source.Read(b)
	return strconv.QuoteToASCII(string(b))
}

// keep accepts a message with a large body, and its job if it is live.
func (r *rig) keep(body string, live bool) (*email.Message, error) {
	m, _, err := r.store.Messages.Accept(r.t.Context(), &store.Submission{Message: draft("a@b.test"), Content: &email.Content{Text: body}})
	if err != nil || !live {
		return m, err
	}
	return m, r.queue.Add(r.t.Context(), "default", r.job(m, 0), m.Due())
}

// A Redis full of finished history and live mail, in which not even a job can be
// taken from the queue, drains by itself: history goes, then the mail goes out.
func TestFullRedisDrainsByItself(t *testing.T) {
	r := newRig(t, redistest.Start(t).URL)
	body := noise(20_000)
	for range 60 {
		m, err := r.keep(body, false)
		if err != nil {
			t.Fatal(err)
		}
		r.deliver(m)
	}
	var live []*email.Message
	for range 20 {
		m, err := r.keep(body, true)
		if err != nil {
			t.Fatal(err)
		}
		live = append(live, m)
	}
	// Well below what is used, which moves a little by itself.
	used := r.usedMemory() - 256<<10
	if err := r.rdb.ConfigSet(t.Context(), "maxmemory", strconv.Itoa(used)).Err(); err != nil {
		t.Fatal(err)
	}
	if err := r.rdb.LMove(t.Context(), "asynq:{default}:pending", "asynq:{default}:active", "RIGHT", "LEFT").Err(); err == nil {
		t.Fatal("Redis is not full")
	}
	before := len(r.sender.transactions())
	r.o.SweepEvery = 100 * time.Millisecond
	r.serve(r.Worker)
	for _, m := range live {
		if m = r.final(m); statuses(m) != "delivered" {
			t.Errorf("ended %s", statuses(m))
		}
	}
	if n := len(r.sender.transactions()) - before; n != len(live) {
		t.Errorf("%d mails for %d messages", n, len(live))
	}
	if now := r.usedMemory(); now >= used {
		t.Errorf("%d bytes in use, %d before", now, used)
	}
}

func (r *rig) usedMemory() int {
	r.t.Helper()
	info, err := r.rdb.Info(r.t.Context(), "memory").Bytes()
	if err != nil {
		r.t.Fatal(err)
	}
	_, rest, _ := bytes.Cut(info, []byte("used_memory:"))
	digits, _, _ := bytes.Cut(rest, []byte("\r\n"))
	n, err := strconv.Atoi(string(digits))
	if err != nil {
		r.t.Fatal(err)
	}
	return n
}

func TestSweepNow(t *testing.T) {
	each(t, func(t *testing.T, r *rig) {
		m := r.accept(draft("a@b.test")) // and its job is never added
		r.serve(r.Worker)                // sweeps once, and then in an hour
		r.skip(time.Minute)
		r.SweepNow()
		if m = r.final(m); statuses(m) != "delivered" {
			t.Errorf("ended %s", statuses(m))
		}
	})
}
