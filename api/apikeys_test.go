package api

import (
	"context"
	"fmt"
	"net/http"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"postrider/internal/apikey"
	"postrider/internal/email"
	"postrider/internal/store"
)

// A key is made, seen without its secret, used, and gone.
func TestKeyOfItsOwnMaking(t *testing.T) {
	h, later := clockwork(t)
	made := h.newKey(`{"name":"shop","scopes":["messages:read","messages:send","messages:send"],"allowed_from_domains":["ACME.com","bücher.example"],` +
		`"allowed_ips":["127.0.0.1","::ffff:10.1.2.3/104"],"expires_at":"2099-01-01T01:00:00+01:00","requests_per_second":7,"recipients_per_day":9}`)
	secret, _ := made.body["secret"].(string)
	if !strings.HasPrefix(secret, "pr_test_") || made.header.Get("Location") != "/v1/api-keys/"+made.id() {
		t.Errorf("made: %s %v", made.raw, made.header)
	}
	for member, want := range map[string]string{
		"scopes": "[messages:send messages:read]", "allowed_from_domains": "[acme.com xn--bcher-kva.example]", "allowed_ips": "[127.0.0.1 10.0.0.0/8]",
		"expires_at": "2099-01-01T00:00:00.000Z", "requests_per_second": "7", "recipients_per_day": "9", "prefix": secret[:12], "livemode": "false",
	} {
		if got := fmt.Sprint(made.body[member]); got != want {
			t.Errorf("%s is %s, want %s", member, got, want)
		}
	}
	h.keys["shop"] = secret
	h.send(minimal, as(secret))
	got, list := h.get("/v1/api-keys/"+made.id()), h.get("/v1/api-keys?limit=1")
	if got.body["last_used_at"] == nil || list.data()[0]["id"] != made.id() {
		t.Errorf("got %s\nlisted %s", got.raw, list.raw)
	}
	for _, a := range []*answer{got, list} {
		if strings.Contains(string(a.raw), secret[20:]) || strings.Contains(string(a.raw), `"secret"`) {
			t.Errorf("a secret is shown: %s", a.raw)
		}
	}
	h.wantNoSecret(secret)
	if a := h.do(http.MethodDelete, "/v1/api-keys/"+made.id(), nil); a.status != 204 {
		t.Errorf("revoke: %d %s", a.status, a.raw)
	}
	h.want(h.do(http.MethodDelete, "/v1/api-keys/"+made.id(), nil), 404, "not_found")
	later(KeyLifetime)
	h.want(h.get("/v1/me", as(secret)), 401, "invalid_api_key")
}

// wantNoSecret looks for a secret in all of Redis.
func (h *house) wantNoSecret(secret string) {
	h.t.Helper()
	ctx := context.Background()
	for _, key := range h.rdb.Keys(ctx, "*").Val() {
		if dump := h.rdb.Dump(ctx, key).Val(); strings.Contains(key+dump, secret[20:40]) {
			h.t.Errorf("the secret is stored in %s", key)
		}
	}
}

// A key makes none that reaches further than itself, and changes none.
func TestKeysCannotGrow(t *testing.T) {
	h := openHouse(t)
	h.addBound("admin", email.Test, func(k *store.Key) {
		k.Scopes = []string{apikey.Send, apikey.KeysWrite}
		k.FromDomains = []string{"acme.com", "acme.org"}
		k.Networks = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("2001:db8::/32")}
		k.ExpiresAt, k.RequestsPerSecond, k.RecipientsPerDay = time.Now().Add(time.Hour), 50, 100
	})
	admin := as(h.keys["admin"])
	late := time.Now().Add(2 * time.Hour).UTC().Format(time.RFC3339)
	beyond := []struct {
		members, code, at string
		status            int
	}{
		{`"scopes":["messages:send","messages:read"]`, "insufficient_scope", "#/scopes/1 insufficient_scope", 403},
		{`"scopes":["messages:send"],"livemode":true`, "livemode_mismatch", "#/livemode livemode_mismatch", 403},
		{`"scopes":["messages:send"],"allowed_from_domains":["acme.com","evil.example"]`, "from_domain_not_allowed_for_key", "#/allowed_from_domains/1 from_domain_not_allowed_for_key", 403},
		{`"scopes":["messages:send"],"allowed_from_domains":["mail.acme.com"]`, "from_domain_not_allowed_for_key", "#/allowed_from_domains/0 from_domain_not_allowed_for_key", 403},
		{`"scopes":["messages:send"],"allowed_ips":["127.0.0.0/7"]`, "ip_not_allowed", "#/allowed_ips/0 ip_not_allowed", 403},
		{`"scopes":["messages:send"],"allowed_ips":["127.1.1.1","2001:db9::1"]`, "ip_not_allowed", "#/allowed_ips/1 ip_not_allowed", 403},
		{`"scopes":["messages:send"],"expires_at":"` + late + `"`, "validation_failed", "#/expires_at out_of_range", 422},
		{`"scopes":["messages:send"],"requests_per_second":51`, "validation_failed", "#/requests_per_second out_of_range", 422},
		{`"scopes":["messages:send"],"recipients_per_day":101`, "validation_failed", "#/recipients_per_day out_of_range", 422},
	}
	own := h.newKey(`{"name":"child","scopes":["messages:send"]}`, admin)
	if fmt.Sprint(own.body["allowed_from_domains"], own.body["allowed_ips"], own.body["requests_per_second"], own.body["recipients_per_day"]) != "[acme.com acme.org] [127.0.0.0/8 2001:db8::/32] 50 100" || own.body["expires_at"] == nil {
		t.Errorf("what is not given is not inherited: %s", own.raw)
	}
	for _, b := range beyond {
		a := h.post("/v1/api-keys", `{"name":"x",`+b.members+`}`, admin)
		if h.want(a, b.status, b.code); fmt.Sprint(a.faults()) != "["+b.at+"]" {
			t.Errorf("make %s: %v", b.members, a.faults())
		}
		if strings.Contains(b.members, "livemode") {
			continue
		}
		if a := h.do(http.MethodPatch, "/v1/api-keys/"+own.id(), strings.NewReader("{"+b.members+"}"), admin); a.code() != b.code {
			t.Errorf("change to %s: %d %s", b.members, a.status, a.raw)
		}
	}
	for _, bound := range apikey.Liftable() {
		if a := h.do(http.MethodPatch, "/v1/api-keys/"+own.id(), strings.NewReader(`{"`+bound+`":null}`), admin); a.status < 400 {
			t.Errorf("%s was lifted: %s", bound, a.raw)
		}
	}
	h.post("/v1/api-keys", `{"name":"narrow","scopes":["messages:send"],"allowed_from_domains":["acme.com"],"allowed_ips":["127.3.0.0/16"],"recipients_per_day":5}`, admin)
	// Keys that reach further, each in its way: neither changed, nor revoked, nor taken over by a new secret.
	for name, members := range map[string]string{
		"scopes": `"scopes":["messages:read"]`, "domains": `"scopes":["messages:send"]`, "networks": `"scopes":["messages:send"],"allowed_from_domains":["acme.com"]`,
		"expiry": `"scopes":["messages:send"],"allowed_from_domains":["acme.com"],"allowed_ips":["127.0.0.1"]`,
		"rate":   `"scopes":["messages:send"],"allowed_from_domains":["acme.com"],"allowed_ips":["127.0.0.1"],"expires_at":"` + time.Now().Add(time.Minute).UTC().Format(time.RFC3339) + `"`,
	} {
		path := "/v1/api-keys/" + h.newKey(`{"name":"wide",`+members+`}`).id()
		for _, a := range []*answer{
			h.do(http.MethodPatch, path, strings.NewReader(`{"name":"mine"}`), admin), h.do(http.MethodDelete, path, nil, admin), h.post(path+"/rotate", "", admin),
		} {
			if h.want(a, 403, "insufficient_scope"); a.body["required_scope"] == nil {
				t.Errorf("%s: %s", name, a.raw)
			}
		}
	}
}

// A process that remembers a key lets it hand out only what it may still do.
func TestKeysHandOutWhatTheyAreNow(t *testing.T) {
	h := openHouse(t)
	maker := h.newKey(`{"name":"admin","scopes":["api_keys:write","messages:send"]}`)
	secret := maker.body["secret"].(string)
	h.get("/v1/me", as(secret)) // remembered for 5 s
	ctx := context.Background()
	if _, err := h.store.Keys.Update(ctx, email.Test, maker.id(), time.Now(), func(k *store.Key) error { k.Scopes = []string{apikey.KeysWrite}; return nil }); err != nil {
		t.Fatal(err)
	}
	h.want(h.post("/v1/api-keys", minimalKey, as(secret)), 403, "insufficient_scope")
	if err := h.store.Keys.Revoke(ctx, email.Test, maker.id(), func(*store.Key) error { return nil }); err != nil {
		t.Fatal(err)
	}
	if a := h.get("/v1/me", as(secret)); a.status != 200 {
		t.Fatalf("the key is not remembered: %d", a.status)
	}
	h.want(h.post("/v1/api-keys", `{"name":"x","scopes":["api_keys:write"]}`, as(secret)), 401, "invalid_api_key")
	h.want(h.do(http.MethodDelete, "/v1/api-keys/"+h.newKey(minimalKey).id(), nil, as(secret)), 401, "invalid_api_key")
}

// A secret is replayed to the key that asked for it alone.
func TestSecretsAreReplayedToTheirMaker(t *testing.T) {
	h := openHouse(t)
	h.addKey("other", email.Test, apikey.KeysWrite)
	retry := header("Idempotency-Key", "make shop")
	first, again := h.post("/v1/api-keys", minimalKey, retry), h.post("/v1/api-keys", minimalKey, retry)
	if first.status != 201 || string(again.raw) != string(first.raw) || again.header.Get("Idempotent-Replayed") != "true" {
		t.Errorf("%d %s\n%d %s", first.status, first.raw, again.status, again.raw)
	}
	h.want(h.post("/v1/api-keys", minimalKey, retry, as(h.keys["other"])), 422, "idempotency_key_reused")
	path, retry := "/v1/api-keys/"+first.id()+"/rotate", header("Idempotency-Key", "rotate shop")
	first, again = h.post(path, "{}", retry), h.post(path, "{}", retry)
	if first.status != 200 || string(again.raw) != string(first.raw) {
		t.Errorf("%d %s\n%d %s", first.status, first.raw, again.status, again.raw)
	}
	h.want(h.post(path, "{}", retry, as(h.keys["other"])), 422, "idempotency_key_reused")
	h.wantNoSecret(first.body["secret"].(string))
}

// clockwork is a house whose clock can be put forward.
func clockwork(t *testing.T) (*house, func(time.Duration)) {
	var ahead atomic.Int64
	h := openHouse(t, func(o *Options) { o.Now = func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) } })
	return h, func(d time.Duration) { ahead.Add(int64(d)) }
}

// While a key is rotated both secrets work, then the new one alone.
func TestRotateKey(t *testing.T) {
	h, later := clockwork(t)
	made := h.newKey(minimalKey)
	first, path := made.body["secret"].(string), "/v1/api-keys/"+made.id()
	rotated := h.post(path+"/rotate", `{"overlap_seconds":60}`)
	second := rotated.body["secret"].(string)
	previous, _ := rotated.body["previous"].(map[string]any)
	if second == first || rotated.id() != made.id() || previous["prefix"] != first[:12] || rotated.body["prefix"] != second[:12] {
		t.Fatalf("rotated: %s", rotated.raw)
	}
	for _, secret := range []string{first, second} {
		if a := h.get("/v1/me", as(secret)); a.status != 200 || a.id() != made.id() {
			t.Errorf("during the overlap: %d %s", a.status, a.raw)
		}
	}
	later(time.Minute)
	h.want(h.get("/v1/me", as(first)), 401, "expired_api_key") // remembered or not
	later(time.Minute)
	h.want(h.get("/v1/me", as(first)), 401, "expired_api_key")
	if a := h.get(path); a.body["previous"] != nil {
		t.Errorf("after the overlap: %s", a.raw)
	}
	third := h.post(path+"/rotate", `{"overlap_seconds":0}`).body["secret"].(string)
	later(KeyLifetime)
	h.want(h.get("/v1/me", as(first)), 401, "invalid_api_key")
	h.want(h.get("/v1/me", as(second)), 401, "expired_api_key")
	if a := h.get("/v1/me", as(third)); a.status != 200 {
		t.Errorf("the newest secret: %d", a.status)
	}
	for body, at := range map[string]string{`{"overlap_seconds":-1}`: "out_of_range", `{"overlap_seconds":604801}`: "out_of_range", `{"overlap":1}`: "unknown_member"} {
		if a := h.post(path+"/rotate", body); a.status != 422 || !strings.Contains(fmt.Sprint(a.faults()), at) {
			t.Errorf("%s: %d %s", body, a.status, a.raw)
		}
	}
}

func TestKeyExpires(t *testing.T) {
	h, later := clockwork(t)
	secret := h.newKey(`{"name":"a","scopes":["messages:send"],"expires_at":"` + time.Now().Add(time.Minute).UTC().Format(time.RFC3339) + `"}`).body["secret"].(string)
	if a := h.get("/v1/me", as(secret)); a.status != 200 {
		t.Fatalf("%d %s", a.status, a.raw)
	}
	later(time.Minute - 2*time.Second)
	h.get("/v1/me", as(secret))
	later(2 * time.Second) // it is remembered still
	h.want(h.get("/v1/me", as(secret)), 401, "expired_api_key")
}

// In a PATCH what is not given stays, and null takes a bound away.
func TestPatchKey(t *testing.T) {
	h := openHouse(t)
	made := h.newKey(`{"name":"shop","scopes":["messages:send"],"allowed_from_domains":["acme.com"],"allowed_ips":["127.0.0.1"],"expires_at":"2099-01-01T00:00:00Z","requests_per_second":7,"recipients_per_day":9,"sending_paused":true}`)
	patch := func(body string) *answer {
		t.Helper()
		a := h.do(http.MethodPatch, "/v1/api-keys/"+made.id(), strings.NewReader(body))
		if a.status != 200 {
			t.Fatalf("%s: %d %s", body, a.status, a.raw)
		}
		return a
	}
	if a := patch(`{"name":"news","scopes":null}`); a.body["name"] != "news" || a.body["requests_per_second"] != 7.0 || fmt.Sprint(a.body["scopes"]) != "[messages:send]" || a.body["sending_paused"] != true {
		t.Errorf("%s", a.raw)
	}
	a := patch(`{"allowed_from_domains":null,"allowed_ips":null,"expires_at":null,"requests_per_second":null,"recipients_per_day":null,"sending_paused":false}`)
	for _, bound := range apikey.Liftable() {
		if a.body[bound] != nil {
			t.Errorf("%s was not lifted: %s", bound, a.raw)
		}
	}
	if a.body["sending_paused"] != false {
		t.Errorf("%s", a.raw)
	}
}

// All that is wrong with a key is said at once.
func TestKeysThatCannotBe(t *testing.T) {
	h := openHouse(t)
	for body, want := range map[string]string{
		`{}`:                       "[#/name required #/scopes required]",
		`[]`:                       "[# invalid_type]",
		`{"name":5,"scopes":"x"}`:  "[#/name invalid_type #/scopes invalid_type]",
		`{"name":" ","scopes":[]}`: "[#/name required #/scopes required]",
		`{"name":"a","scopes":["messages:send","admin"],"scope":1}`:                                                                   "[#/scope unknown_member]",
		`{"name":"a\u202eb","scopes":["admin"],"allowed_from_domains":["localhost","a b"],"allowed_ips":["10.0.0.0/33","x"]}`:         "[#/name invalid_format #/scopes/0 invalid_format #/allowed_from_domains/0 invalid_format #/allowed_from_domains/1 invalid_format #/allowed_ips/0 invalid_format #/allowed_ips/1 invalid_format]",
		`{"name":"a","scopes":["messages:send"],"expires_at":"2020-01-01T00:00:00Z","requests_per_second":0,"recipients_per_day":-1}`: "[#/expires_at out_of_range #/requests_per_second out_of_range #/recipients_per_day out_of_range]",
		`{"name":"a","scopes":["messages:send"],"allowed_from_domains":[],"allowed_ips":[]}`:                                          "[#/allowed_from_domains required #/allowed_ips required]",
	} {
		a := h.post("/v1/api-keys", body)
		if h.want(a, 422, "validation_failed"); fmt.Sprint(a.faults()) != want {
			t.Errorf("%s: %v, want %s", body, a.faults(), want)
		}
	}
}

// Many keys, page by page.
func TestListKeys(t *testing.T) {
	h := openHouse(t)
	seen := make(map[string]bool)
	for path := "/v1/api-keys?limit=5"; path != ""; {
		a := h.get(path)
		for _, k := range a.data() {
			if seen[k["id"].(string)] {
				t.Errorf("%s twice", k["id"])
			}
			seen[k["id"].(string)] = true
		}
		path = nextPage(t, a)
	}
	if len(seen) != len(h.keys)-1 { // all but the live one
		t.Errorf("%d keys of %d", len(seen), len(h.keys)-1)
	}
}

// Who changed what, and when, is recorded.
func TestChangesOfKeysAreRecorded(t *testing.T) {
	h := openHouse(t)
	me := h.get("/v1/me").id()
	made := h.newKey(minimalKey)
	h.do(http.MethodPatch, "/v1/api-keys/"+made.id(), strings.NewReader(`{"sending_paused":true}`))
	h.post("/v1/api-keys/"+made.id()+"/rotate", "")
	h.do(http.MethodDelete, "/v1/api-keys/"+made.id(), nil)
	list, _, err := h.store.Audit.Latest(t.Context(), []email.World{email.Test}, "", 10)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, c := range list {
		if c.Actor != me || c.Object != made.id() || c.Detail != "shop" || !strings.HasPrefix(c.Request, "req_") || c.At.IsZero() {
			t.Errorf("%+v", c)
		}
		got = append(got, c.Action)
	}
	if fmt.Sprint(got) != "[api_key.revoked api_key.rotated api_key.updated api_key.created]" {
		t.Errorf("recorded %v", got)
	}
}
