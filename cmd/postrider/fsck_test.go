package main

import (
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"postrider/smtpclient/smtptest"
)

// TestFsck finds nothing in what a service wrote, then each thing that is broken.
func TestFsck(t *testing.T) {
	t.Parallel()
	sink := smtptest.New(t, smtptest.Options{Script: smtptest.Script{"RCPT later@b.test": {smtptest.Reply("451 4.3.0 later")}}})
	i := install(t, relay(sink))
	rdb := i.redis()
	expect := func(when string, want int, said ...string) {
		t.Helper()
		status, out, errs := i.run("fsck")
		for _, s := range said {
			if !strings.Contains(out+errs, s) {
				t.Errorf("%s: nothing of %q:\n%s%s", when, s, out, errs)
			}
		}
		if status != want {
			t.Errorf("%s: status %d, want %d\n%s%s", when, status, want, out, errs)
		}
	}
	expect("an empty Redis", 0, "0 messages checked: no disagreement")
	p := i.serve()
	done, later := i.post(p, "u0@b.test"), i.post(p, "later@b.test")
	p.await("delivered and deferred", func() bool {
		return i.status(p, done) == "delivered" && i.status(p, later) == "deferred"
	})
	expect("beside a running service", 0, "2 messages checked: no disagreement")
	p.signal(syscall.SIGTERM)
	p.ended()
	expect("after it", 0, "2 messages checked: no disagreement")

	// Nobody sweeps now, and the queue has forgotten what waits.
	member := strings.TrimPrefix(later, "msg_") + ":0"
	past := redis.Z{Score: float64(time.Now().Add(-time.Hour).UnixMilli()), Member: member}
	if err := rdb.ZAdd(t.Context(), "live:{s0}:due", past).Err(); err != nil {
		t.Fatal(err)
	}
	for _, key := range rdb.Keys(t.Context(), "asynq:*").Val() {
		rdb.Del(t.Context(), key)
	}
	expect("without its job", 1, "job: live "+later, "no sweeper has looked for 1h", "1 disagreement in 2 messages")

	if err := rdb.ZRem(t.Context(), "live:{s0}:due", member).Err(); err != nil {
		t.Fatal(err)
	}
	expect("without its due entry", 1, "due: live "+later)

	if err := rdb.FlushAll(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	expect("an emptied Redis", 1, "epoch: ", "does not hold what it held before")
	if status, out, errs := i.run("fsck", "--accept-epoch"); status != 0 || !strings.Contains(errs, "new epoch") {
		t.Fatalf("fsck --accept-epoch: %d\n%s%s", status, out, errs)
	}
	expect("after accepting it", 0, "no disagreement")
	i.serve()
}

func TestFsckBadInput(t *testing.T) {
	secret := []string{"POSTRIDER_SECRET_KEY=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=", "POSTRIDER_REDIS_URL=redis://127.0.0.1:1"}
	for _, c := range []struct {
		args []string
		err  string
	}{
		{[]string{"fsck"}, "reach Redis"},
		{[]string{"fsck", "--accept-epoch"}, "POSTRIDER_DATA_DIR"},
		{[]string{"fsck", "--redis-url", ""}, "POSTRIDER_REDIS_URL"},
	} {
		if status, out, errs := command(t, secret, c.args...); status != 1 || out != "" || !strings.Contains(errs, c.err) {
			t.Errorf("%q: %d %s%s, want an error with %q", c.args, status, out, errs, c.err)
		}
	}
}
