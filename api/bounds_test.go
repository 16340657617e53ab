package api

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"postrider/internal/email"
	"postrider/internal/store"
)

// A key sends from its domains alone, however they are written, by every way in.
func TestFromDomainsOfKeys(t *testing.T) {
	h := openHouse(t)
	h.addBound("shop", email.Test, func(k *store.Key) { k.FromDomains = []string{"acme.com", "xn--bcher-kva.example"} })
	shop := as(h.keys["shop"])
	mail := header("Content-Type", "message/rfc822")
	for from, ok := range map[string]bool{
		"hi@acme.com": true, "hi@ACME.COM": true, "hi@bücher.example": true, "Hi <hi@acme.com>": true,
		"hi@mail.acme.com": false, "hi@acme.com.evil.example": false, "hi@xacme.com": false, "acme.com <hi@evil.example>": false,
	} {
		single := h.post("/v1/messages", strings.Replace(minimal, "Acme <hi@acme.com>", from, 1), shop)
		raw := h.post("/v1/messages/raw", "From: "+from+"\r\nTo: ada@example.org\r\nSubject: x\r\n\r\nx\r\n", shop, mail)
		if strings.Contains(from, "ü") {
			raw = single // not ASCII in a header field
		}
		dry := h.post("/v1/messages?dry_run=true", strings.Replace(minimal, "Acme <hi@acme.com>", from, 1), shop)
		for what, a := range map[string]*answer{"message": single, "raw": raw, "dry run": dry} {
			if ok != (a.status < 300) || !ok && a.code() != string(fromDomainNotAllowed) {
				t.Errorf("%s from %s: %d %s", what, from, a.status, a.raw)
			}
		}
	}
	a := h.post("/v1/messages/batch", batchOf(`"mode":"partial",`, minimal, strings.Replace(minimal, "acme.com", "evil.example", 1)), shop)
	results := a.body["results"].([]any)
	if refused, _ := results[1].(map[string]any)["error"].(map[string]any); a.status != 202 || refused["code"] != string(fromDomainNotAllowed) {
		t.Errorf("a batch: %d %s", a.status, a.raw)
	}
	a = h.post("/v1/messages/batch", batchOf("", minimal, strings.Replace(minimal, "acme.com", "evil.example", 1)), shop)
	if h.want(a, 422, "validation_failed"); fmt.Sprint(a.faults()) != "[#/messages/1/from from_domain_not_allowed_for_key]" {
		t.Errorf("a whole batch: %v", a.faults())
	}
}

// Networks of keys, and whose word about addresses counts.
func TestNetworksOfKeys(t *testing.T) {
	direct := openHouse(t)
	behind := openHouse(t, func(o *Options) { o.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")} })
	for _, h := range []*house{direct, behind} {
		h.addBound("office", email.Test, func(k *store.Key) {
			k.Networks = []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24"), netip.MustParsePrefix("2001:db8::/32")}
		})
	}
	for _, c := range []struct {
		forwarded    []string
		ok           bool // by the proxy
		header, real string
	}{
		{[]string{"192.0.2.7"}, true, "X-Forwarded-For", ""},
		{[]string{"2001:db8::1"}, true, "X-Forwarded-For", ""},
		{[]string{"::ffff:192.0.2.7"}, true, "X-Forwarded-For", ""},
		{[]string{"192.0.2.7", "203.0.113.5"}, false, "X-Forwarded-For", ""}, // the client's lie, then the proxy's word
		{[]string{"192.0.2.7, 203.0.113.5"}, false, "X-Forwarded-For", ""},
		{[]string{"nonsense"}, false, "X-Forwarded-For", ""},
		{[]string{"192.0.2.7"}, false, "X-Real-Ip", ""},
		{[]string{"192.0.2.7"}, false, "Forwarded", ""},
	} {
		if a := behind.get("/v1/me", as(behind.keys["office"]), header(c.header, c.forwarded...)); (a.status == 200) != c.ok || !c.ok && a.code() != string(ipNotAllowed) {
			t.Errorf("%s: %q by a proxy: %d %s", c.header, c.forwarded, a.status, a.raw)
		}
		direct.want(direct.get("/v1/me", as(direct.keys["office"]), header(c.header, c.forwarded...)), 403, "ip_not_allowed")
	}
}

// A paused key reads on; what it sent before is replayed.
func TestPausedKey(t *testing.T) {
	h, later := clockwork(t)
	path := "/v1/api-keys/" + h.get("/v1/me", as(h.keys["paused"])).id()
	if a := h.do("PATCH", path, strings.NewReader(`{"sending_paused":false}`)); a.status != 200 {
		t.Fatal(string(a.raw))
	}
	retry := header("Idempotency-Key", "before")
	later(KeyLifetime)
	id := h.send(minimal, as(h.keys["paused"]), retry)
	h.do("PATCH", path, strings.NewReader(`{"sending_paused":true}`))
	later(KeyLifetime)
	if a := h.post("/v1/messages", minimal, as(h.keys["paused"]), retry); a.status != 202 || a.id() != id {
		t.Errorf("a replay: %d %s", a.status, a.raw)
	}
	h.want(h.post("/v1/messages", minimal, as(h.keys["paused"])), 403, "sending_paused")
	h.want(h.do("PATCH", path, strings.NewReader(`{"sending_paused":false}`), as(h.keys["paused"])), 403, "sending_paused")
	if a := h.get("/v1/messages/"+id, as(h.keys["paused"])); a.status != 200 {
		t.Errorf("reading: %d", a.status)
	}
}

// A key's recipients of the day: refused mail and replays cost nothing.
func TestQuotaOfKeys(t *testing.T) {
	h := openHouse(t)
	h.addBound("small", email.Test, func(k *store.Key) { k.RecipientsPerDay = 6 })
	small := as(h.keys["small"])
	left := func(want int) {
		t.Helper()
		limits := h.get("/v1/me", small).body["limits"].(map[string]any)
		if limits["recipients_per_day"] != 6.0 || limits["recipients_today"] != float64(6-want) || limits["recipients_reset_at"] == nil {
			t.Errorf("limits %v, want %d left", limits, want)
		}
	}
	two := strings.Replace(minimal, `"ada@example.org"`, `["ada@example.org","bob@example.org"]`, 1)
	retry := header("Idempotency-Key", "two")
	h.send(two, small, retry)
	h.send(two, small, retry)
	left(4)
	h.post("/v1/messages", `{"from":"a"}`, small)
	h.post("/v1/messages?dry_run=true", two, small)
	left(4)
	if a := h.post("/v1/messages/batch", batchOf(`"mode":"partial",`, two, strings.Replace(minimal, "ada@example.org", "nobody", 1), minimal), small); a.status != 202 {
		t.Fatalf("%d %s", a.status, a.raw)
	}
	left(1)
	a := h.post("/v1/messages", two, small)
	h.want(a, 429, "quota_exceeded")
	if a.body["quota"] != "daily" || a.body["resets_at"] == nil || a.body["retryable"] != false || a.header.Get("Retry-After") == "" {
		t.Errorf("%s %v", a.raw, a.header)
	}
	h.want(h.post("/v1/messages/batch", batchOf("", minimal, minimal), small), 429, "quota_exceeded")
	left(1)
	h.send(minimal, small)
	h.want(h.post("/v1/messages", minimal, small), 429, "quota_exceeded")
	if a := h.post("/v1/messages", two, small, retry); a.status != 202 || a.header.Get("Idempotent-Replayed") != "true" {
		t.Errorf("a replay with nothing left: %d %s", a.status, a.raw)
	}
	h.send(two) // another key
}

// A key's own rate goes before that of the installation, in both directions.
func TestRateOfKeys(t *testing.T) {
	h := openHouse(t, func(o *Options) { o.RateLimit = 5 })
	h.addBound("fast", email.Test, func(k *store.Key) { k.RequestsPerSecond = 1000 })
	h.addBound("slow", email.Test, func(k *store.Key) { k.RequestsPerSecond = 1 })
	count := func(key string) (refused int) {
		for range 30 {
			a := h.get("/v1/me", as(h.keys[key]))
			if a.status == 429 {
				refused++
			}
			if policy := a.header.Get("RateLimit-Policy"); policy != map[string]string{"fast": `"api";q=1000;w=1`, "slow": `"api";q=1;w=1`}[key] {
				t.Errorf("%s: %s", key, policy)
			}
		}
		return refused
	}
	if fast, slow := count("fast"), count("slow"); fast != 0 || slow < 20 {
		t.Errorf("of 30 requests %d and %d were refused", fast, slow)
	}
	if a := h.get("/v1/me", as(h.keys["fast"])); a.body["limits"].(map[string]any)["requests_per_second"] != 1000.0 {
		t.Errorf("%s", a.raw)
	}
}

// Who guesses keys that begin as a known one does is slowed down, from wherever they come.
func TestGuessesByBeginning(t *testing.T) {
	h := openHouse(t, func(o *Options) { o.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")} })
	known := h.keys["full"]
	counts := map[int]int{}
	for i := range 150 {
		counts[h.get("/v1/me", as(known[:12]+strings.Repeat("A", 45)), header("X-Forwarded-For", fmt.Sprintf("198.51.100.%d", i))).status]++
	}
	if counts[401] < strangerBurst || counts[429] == 0 {
		t.Errorf("guesses were answered %v", counts)
	}
	if a := h.get("/v1/me"); a.status != 200 {
		t.Errorf("the key that is right: %d", a.status)
	}
	if a := h.get("/v1/me", as("pr_test_"+strings.Repeat("Z", 49)), header("X-Forwarded-For", "203.0.113.1")); a.status != 401 {
		t.Errorf("another beginning: %d", a.status)
	}
}

func TestMe(t *testing.T) {
	h := openHouse(t)
	a := h.get("/v1/me", as(h.keys["none"]))
	limits, _ := a.body["limits"].(map[string]any)
	if a.status != 200 || a.body["version"] != "test" || limits["message_bytes"] != float64(messageLimit) || limits["idempotency_seconds"] != 86400.0 ||
		limits["recipients"] != 50.0 || limits["requests_per_second"] != nil || fmt.Sprint(limits["streams"]) != "[bulk critical transactional]" {
		t.Errorf("%d %s", a.status, a.raw)
	}
}
