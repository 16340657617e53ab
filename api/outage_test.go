package api

import (
	"context"
	"crypto/rand"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"postrider/internal/redistest"
)

// Whatever is wrong with Redis: 503 and when to retry, never a false 202, and
// service again by itself once it is back.
func TestOutages(t *testing.T) {
	r := redistest.Start(t, "--enable-debug-command", "yes")
	p := redistest.NewProxy(t, r.URL)
	direct := openHouseAt(t, r.URL) // its client is the way to Redis that is never cut
	set := func(name, value string) {
		t.Helper()
		if err := direct.rdb.ConfigSet(t.Context(), name, value).Err(); err != nil {
			t.Fatal(err)
		}
	}
	primary := func(host, port string) {
		t.Helper()
		if err := direct.rdb.ReplicaOf(t.Context(), host, port).Err(); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		name       string
		code       code
		begin, end func()
	}{
		{"away", serviceUnavailable, func() { p.SetAway(true) }, func() { p.SetAway(false) }},
		{"hanging", serviceUnavailable, func() { p.Hold(true) }, func() { p.Hold(false) }},
		{"read-only", serviceUnavailable, func() { primary("127.0.0.1", "1") }, func() { primary("NO", "ONE") }},
		{"full", queueFull, func() { set("maxmemory", "1") }, func() { set("maxmemory", "0") }},
		{"loading", serviceUnavailable, func() { reload(t, r.URL, direct) }, func() { set("key-load-delay", "0") }},
		{"killed", serviceUnavailable, r.Kill, r.Again},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := openHouseAt(t, p.URL)
			h.send(minimal) // the key is remembered now
			c.begin()
			a := h.post("/v1/messages", minimal, header("Idempotency-Key", c.name))
			h.want(a, 503, string(c.code))
			if a.header.Get("Retry-After") == "" {
				t.Error("it does not say when to retry")
			}
			c.end()
			back := time.Now()
			deadline := back.Add(10 * time.Second) // as promised; it takes some 20 ms
			for a = h.post("/v1/messages", minimal, header("Idempotency-Key", c.name)); a.status != 202; {
				if time.Now().After(deadline) {
					t.Fatalf("still %d %s", a.status, a.raw)
				}
				time.Sleep(50 * time.Millisecond)
				a = h.post("/v1/messages", minimal, header("Idempotency-Key", c.name))
			}
			t.Logf("service again after %v", time.Since(back).Round(time.Millisecond))
			again := h.post("/v1/messages", minimal, header("Idempotency-Key", c.name))
			if again.body["id"] != a.body["id"] || again.header.Get("Idempotent-Replayed") != "true" {
				t.Errorf("the same key gave %v, then %v", a.body["id"], again.body["id"])
			}
		})
	}
}

// reload has Redis load its data, and take half a minute over it.
func reload(t *testing.T, url string, h *house) {
	t.Helper()
	for i := range 600 {
		if err := h.rdb.Set(t.Context(), fmt.Sprintf("filler:%d", i), rand.Text()+strings.Repeat("x", 2000)+rand.Text(), 0).Err(); err != nil {
			t.Fatal(err)
		}
	}
	for name, value := range map[string]string{"key-load-delay": "50000", "loading-process-events-interval-bytes": "1024", "rdbcompression": "no"} {
		if err := h.rdb.ConfigSet(t.Context(), name, value).Err(); err != nil {
			t.Fatal(err)
		}
	}
	o, err := redis.ParseURL(url)
	if err != nil {
		t.Fatal(err)
	}
	o.MaxRetries, o.ReadTimeout = -1, -1
	rdb := redis.NewClient(o)
	done := make(chan error, 1)
	go func() { done <- rdb.Do(context.Background(), "DEBUG", "RELOAD").Err() }()
	t.Cleanup(func() {
		if err := <-done; err != nil {
			t.Errorf("reload: %v", err)
		}
		_ = rdb.Close()
	})
	for deadline := time.Now().Add(30 * time.Second); !strings.Contains(h.rdb.Info(t.Context(), "persistence").Val(), "loading:1"); {
		if time.Now().After(deadline) {
			t.Fatal("Redis does not load")
		}
		time.Sleep(10 * time.Millisecond)
	}
}
