package api

import (
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"postrider/internal/redistest"
)

// writer is a request that changes something, and may be made again.
type writer struct {
	name   string
	status int  // of success
	full   code // what a full Redis comes to; empty: it serves
	ask    func() *answer
	same   func(first, again *answer) bool // that both are the answer to one deed
}

// writers are the requests that take mail or change it, in a house of their own. Each
// has what it needs and, where it takes one, an Idempotency-Key.
func (h *house) writers(word string) []writer {
	h.t.Helper()
	key := func(name string) asker { return header("Idempotency-Key", word+name) }
	later, waiting := h.send(scheduledIn(time.Hour)), h.send(scheduledIn(time.Hour))
	when := time.Now().Add(48 * time.Hour).UTC().Truncate(time.Second)
	replayed := func(first, again *answer) bool {
		return again.header.Get("Idempotent-Replayed") == "true" && bytes.Equal(first.raw, again.raw)
	}
	return []writer{
		{"send", 202, queueFull, func() *answer { return h.post("/v1/messages", minimal, key("send")) }, replayed},
		{"raw", 202, queueFull, func() *answer { return h.raw("", rawMinimal, key("raw")) }, replayed},
		{"batch", 202, queueFull, func() *answer { return h.post("/v1/messages/batch", batchOf("", minimal, minimal), key("batch")) }, replayed},
		{"partial batch", 202, queueFull, func() *answer {
			return h.post("/v1/messages/batch", batchOf(`"mode":"partial",`, minimal, `{}`), key("partial"))
		}, replayed},
		{"reschedule", 200, "", func() *answer {
			return h.reschedule("/v1/messages/"+later, fmt.Sprintf(`{"scheduled_at":%q}`, when.Format(time.RFC3339)))
		}, func(_, again *answer) bool { return again.body["scheduled_at"] == when.Format(wireTime) }},
		{
			"cancel", 200, serviceUnavailable, func() *answer { return h.post("/v1/messages/"+waiting+"/cancel", "", key("cancel")) },
			func(_, again *answer) bool { return again.body["status"] == "canceled" },
		},
	}
}

// Whatever is wrong with Redis: 503 and when to retry, never a false success, and
// service again by itself once it is back.
func TestOutages(t *testing.T) {
	// With everysec a killed Redis may lose what it had not written while its disk was slow.
	r := redistest.Start(t, "--enable-debug-command", "yes", "--appendfsync", "always")
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
		begin, end func()
	}{
		{"away", func() { p.SetAway(true) }, func() { p.SetAway(false) }},
		{"hanging", func() { p.Hold(true) }, func() { p.Hold(false) }},
		{"read-only", func() { primary("127.0.0.1", "1") }, func() { primary("NO", "ONE") }},
		{"full", func() { set("maxmemory", "1") }, func() { set("maxmemory", "0") }},
		{"loading", func() { reload(t, r.URL, direct) }, func() { set("key-load-delay", "0") }},
		{"killed", r.Kill, r.Again},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := openHouseAt(t, p.URL)
			writers := h.writers(c.name) // the key is remembered now
			c.begin()
			h.each(writers, func(w writer) {
				a, want := w.ask(), serviceUnavailable
				if c.name == "full" {
					want = w.full
				}
				if want == "" && a.status == w.status {
					return
				}
				if a.status != 503 || a.code() != string(want) || a.header.Get("Retry-After") == "" {
					t.Errorf("%s: %d %s, Retry-After %q; want 503 %s", w.name, a.status, a.raw, a.header.Get("Retry-After"), want)
				}
			})
			c.end()
			back := time.Now()
			deadline := back.Add(10 * time.Second) // as promised; it takes some 20 ms
			h.each(writers, func(w writer) {
				a := w.ask()
				for ; a.status != w.status; a = w.ask() {
					if time.Now().After(deadline) {
						t.Errorf("%s: still %d %s", w.name, a.status, a.raw)
						return
					}
					time.Sleep(50 * time.Millisecond)
				}
				if again := w.ask(); again.status != w.status || !w.same(a, again) {
					t.Errorf("%s, asked again: %d %s\nafter %d %s", w.name, again.status, again.raw, a.status, a.raw)
				}
			})
			t.Logf("service again after %v", time.Since(back).Round(time.Millisecond))
		})
	}
}

// each makes requests side by side, as clients do.
func (h *house) each(writers []writer, do func(writer)) {
	var group sync.WaitGroup
	for _, w := range writers {
		group.Go(func() { do(w) })
	}
	group.Wait()
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
