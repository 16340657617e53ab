package worker

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"postrider/internal/email"
	"postrider/internal/queue"
	"postrider/internal/redistest"
	"postrider/internal/secret"
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
// taken from the queue, drains by itself: history goes, then the mail goes out, and
// its webhook is told.
func TestFullRedisDrainsByItself(t *testing.T) {
	r := &hookRig{rig: newRig(t, redistest.Start(t).URL), secret: secret.New()}
	r.rig.store = store.New(r.rdb, store.Options{Sealer: r.secret})
	r.Worker = r.hooked("w1", r.rdb)
	to := r.target(status(200), "message.delivered")
	body := noise(20_000)
	for range 150 { // so that their content alone is more than half of all
		m, err := r.keep(body, false)
		if err != nil {
			t.Fatal(err)
		}
		r.deliver(m)
		r.followAll(r.Worker)
		r.tell(to, m, 1)
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
	notices := queue.NewServer(connect(t, r.url), queue.ServerOptions{Class: queue.Notify, Concurrency: 20, DrainTimeout: 5 * time.Second}, r.Notify)
	if err := notices.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(notices.Shutdown)
	r.serve(r.Worker)
	for _, m := range live {
		if m = r.final(m); statuses(m) != "delivered" {
			t.Errorf("ended %s", statuses(m))
		}
	}
	if n := len(r.sender.transactions()) - before; n != len(live) {
		t.Errorf("%d mails for %d messages", n, len(live))
	}
	for _, m := range live {
		r.until(m, "told", func(*email.Message) bool {
			r.lookNow("live:{s0}:w:due") // jobs that could not be added are missed in time
			return slices.Contains(to.posts(), r.event(m, 1).ID)
		})
	}
	if now := r.usedMemory(); now >= used {
		t.Errorf("%d bytes in use, %d before", now, used)
	}
}

// lookNow brings the time of all entries of a due set, if Redis takes that now.
func (r *rig) lookNow(set string) {
	r.t.Helper()
	for _, member := range r.rdb.ZRange(r.t.Context(), set, 0, -1).Val() {
		if err := r.rdb.ZAddXX(r.t.Context(), set, redis.Z{Member: member}).Err(); err != nil && !errors.Is(err, store.ErrFull) {
			r.t.Fatal(err)
		}
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
