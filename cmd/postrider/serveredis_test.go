package main

import (
	"encoding/json"
	"strings"
	"syscall"
	"testing"
	"time"

	"postrider/smtpclient/smtptest"
)

// TestServeRedisGone: a process whose Redis went away is not ready and says so; 10 s
// after its return at the latest mail is taken and delivered.
func TestServeRedisGone(t *testing.T) {
	t.Parallel()
	sink := smtptest.New(t, smtptest.Options{})
	i := install(t, relay(sink))
	through := newProxy(t, strings.TrimPrefix(i.environ[0], "POSTRIDER_REDIS_URL="))
	i.environ = append(i.environ, "POSTRIDER_REDIS_URL="+through.url, "POSTRIDER_WEBHOOK_ALLOWED_NETWORKS=127.0.0.0/8")
	p := i.serve()
	told := i.hook(p)
	i.post(p, "before@b.test")
	p.await("the webhook is told", func() bool { return told.Load() == 2 })
	through.cut(true)
	p.await("503 of /readyz", func() bool { status, _ := p.get("/readyz"); return status == 503 })
	if _, body := p.get("/metrics"); !strings.Contains(body, "postrider_redis_up 0") {
		t.Error("the metrics do not say that Redis is away")
	}
	a, err := i.call(p, "POST", "/messages", `{"from":"hi@acme.test","to":"a@b.test","subject":"s","text":"t"}`)
	if err != nil || a.status != 503 || a.header.Get("Retry-After") == "" {
		t.Errorf("without Redis: %d %v %v", a.status, a.body, err)
	}
	for line := range strings.Lines(p.log.String()) {
		if !json.Valid([]byte(line)) {
			t.Errorf("the log has a line that is no JSON: %s", line)
		}
	}
	through.cut(false)
	back := time.Now()
	promised := func(what string, ok func() bool) {
		t.Helper()
		for !ok() {
			if time.Since(back) > 10*time.Second {
				t.Fatalf("10 s after its return there is no %s\n%s", what, p.log.String())
			}
			time.Sleep(50 * time.Millisecond)
		}
		t.Logf("%s after %v", what, time.Since(back).Round(time.Millisecond))
	}
	promised("202", func() bool {
		a, err = i.call(p, "POST", "/messages", `{"from":"hi@acme.test","to":"u0@b.test","subject":"s","text":"t"}`)
		return err == nil && a.status == 202
	})
	promised("delivery", func() bool { return i.status(p, a.body["id"].(string)) == "delivered" })
	promised("call of the webhook for it", func() bool { return told.Load() >= 4 }) // queued, delivered
	promised("end of all deliveries to it", func() bool {
		_, body := p.get("/metrics")
		return strings.Contains(body, `postrider_webhook_pending{world="live"} 0`)
	})
	promised("200 of /readyz", func() bool { status, _ := p.get("/readyz"); return status == 200 })
}

// TestServeUnsafeRedis: a Redis that would lose mail is refused, and so is one that
// was emptied.
func TestServeUnsafeRedis(t *testing.T) {
	t.Parallel()
	i := install(t, "smtp://127.0.0.1:1")
	rdb := i.redis()
	set := func(name, value string) {
		t.Helper()
		if err := rdb.ConfigSet(t.Context(), name, value).Err(); err != nil {
			t.Fatal(err)
		}
	}
	set("appendonly", "no")
	set("maxmemory-policy", "allkeys-lru")
	status, _, errs := i.run("serve")
	if status != 1 || !strings.Contains(errs, "POSTRIDER_ALLOW_UNSAFE=no-append-only,eviction") {
		t.Fatalf("%d %s", status, errs)
	}
	p := i.serve("--allow-unsafe", "no-append-only,eviction")
	if _, body := p.get("/readyz"); !strings.Contains(body, "none: accepted mail is lost when Redis restarts") || !strings.Contains(body, "eviction: ") {
		t.Errorf("/readyz does not say what is allowed: %s", body)
	}
	p.signal(syscall.SIGTERM)
	if status := p.ended(); status != 0 {
		t.Errorf("ended with %d\n%s", status, p.log.String())
	}

	set("appendonly", "yes")
	set("maxmemory-policy", "noeviction")
	p = i.serve()
	p.signal(syscall.SIGTERM)
	p.ended()
	if err := rdb.FlushAll(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	if status, _, errs := i.run("serve"); status != 1 || !strings.Contains(errs, "does not hold what it held before") || !strings.Contains(errs, "fsck --accept-epoch") {
		t.Errorf("an emptied Redis: %d %s", status, errs)
	}
}
