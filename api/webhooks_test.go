package api

import (
	"bytes"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"postrider/internal/apikey"
	"postrider/internal/email"
	"postrider/internal/store"
)

// minimalHook is the smallest endpoint.
const minimalHook = `{"url":"https://app.acme.com/hook","events":["*"]}`

// hook makes an endpoint that must be taken.
func (h *house) hook(body string, change ...asker) *answer {
	h.t.Helper()
	a := h.post("/v1/webhooks", body, change...)
	if a.status != http.StatusCreated {
		h.t.Fatalf("create webhook: %d %s", a.status, a.raw)
	}
	return a
}

func (h *house) patch(id, body string, change ...asker) *answer {
	h.t.Helper()
	return h.do(http.MethodPatch, "/v1/webhooks/"+id, strings.NewReader(body), change...)
}

func TestWebhookIsShownAsItWasMade(t *testing.T) {
	h := openHouse(t)
	a := h.hook(`{"url":"https://user:canary1@app.acme.com/hook?a=<b>","events":["message.bounced","message.*","message.bounced"],
		"description":"Für <support>","enabled":false,"headers":{"X-Token":"canary2","Authorization":null},
		"tags_filter":["receipt","receipt"],"streams":["bulk"],"deferred":"all"}`)
	made := time.Now()
	secret, _ := a.body["secret"].(string)
	if a.header.Get("Location") != "/v1/webhooks/"+a.id() || !strings.HasPrefix(secret, "whsec_") {
		t.Fatalf("%v %s", a.header, a.raw)
	}
	want := map[string]any{
		"object": "webhook", "id": a.id(), "livemode": false, "url": "https://redacted@app.acme.com/hook?a=<b>",
		"events": []any{"message.bounced", "message.*"}, "description": "Für <support>",
		"headers": map[string]any{"X-Token": "redacted"}, "status": "disabled", "disabled_reason": nil,
		"tags_filter": []any{"receipt"}, "streams": []any{"bulk"}, "deferred": "all", "missed_since": nil,
		"health": map[string]any{"last_success_at": nil, "last_failure_at": nil, "consecutive_failures": 0.0, "pending": 0.0},
	}
	for _, name := range []string{"created_at", "updated_at", "disabled_at"} {
		at, err := time.Parse(time.RFC3339, fmt.Sprint(a.body[name]))
		if err != nil || made.Sub(at).Abs() > time.Minute {
			t.Errorf("%s: %v", name, a.body[name])
		}
		want[name] = a.body[name]
	}
	got := maps.Clone(a.body)
	delete(got, "secret")
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("created (-want +got):\n%s", diff)
	}
	read := h.get("/v1/webhooks/" + a.id())
	if diff := cmp.Diff(want, read.body); diff != "" {
		t.Errorf("read (-want +got):\n%s", diff)
	}
	list := h.get("/v1/webhooks")
	if diff := cmp.Diff([]map[string]any{want}, list.data()); diff != "" {
		t.Errorf("listed (-want +got):\n%s", diff)
	}
	kept, err := h.store.Webhooks.Get(t.Context(), email.Test, a.id())
	if err != nil || kept.URL != "https://user:canary1@app.acme.com/hook?a=<b>" || kept.Secret != secret ||
		!slices.Equal(kept.Headers, []email.Header{{Name: "X-Token", Value: "canary2"}}) {
		t.Errorf("stored %+v, %v", kept, err)
	}
	for _, shown := range [][]byte{a.raw, read.raw, list.raw, []byte(h.logs.String())} {
		if bytes.Contains(shown, []byte("canary")) {
			t.Errorf("a secret is shown: %s", shown)
		}
	}
	if bytes.Contains(read.raw, []byte("whsec_")) || bytes.Contains(list.raw, []byte("whsec_")) || strings.Contains(h.logs.String(), "whsec_") {
		t.Error("the secret is shown twice")
	}
}

func TestWebhookPatch(t *testing.T) {
	h := openHouse(t)
	full := `{"url":"https://app.acme.com/hook","events":["*"],"description":"d","headers":{"X-A":"1","X-B":"2"}}`
	for _, tt := range []struct {
		name, body string
		change     map[string]any
	}{
		{"nothing", `{}`, nil},
		{"null is absent", `{"url":null,"events":null,"description":null,"enabled":null,"headers":null}`, nil},
		{"url", `{"url":"https://u:p@b.acme.com/"}`, map[string]any{"url": "https://redacted@b.acme.com/"}},
		{"events", `{"events":["message.failed"]}`, map[string]any{"events": []any{"message.failed"}}},
		{"description", `{"description":"other"}`, map[string]any{"description": "other"}},
		{"no description", `{"description":""}`, map[string]any{"description": nil}},
		{"disable", `{"enabled":false}`, map[string]any{"status": "disabled"}},
		{"enable", `{"enabled":true}`, nil},
		{
			"filters", `{"tags_filter":["a","b"],"streams":["bulk"],"deferred":"all"}`,
			map[string]any{"tags_filter": []any{"a", "b"}, "streams": []any{"bulk"}, "deferred": "all"},
		},
		{"headers", `{"headers":{"X-C":"3"}}`, map[string]any{"headers": map[string]any{"X-C": "redacted"}}},
		{"no headers", `{"headers":{}}`, map[string]any{"headers": map[string]any{}}},
		{
			"all", `{"url":"https://c.acme.com","events":["*","message.queued"],"description":"e","enabled":false,"headers":{}}`,
			map[string]any{
				"url": "https://c.acme.com", "events": []any{"*", "message.queued"}, "description": "e", "status": "disabled", "headers": map[string]any{},
			},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			made := h.hook(full)
			want := maps.Clone(made.body)
			delete(want, "secret")
			maps.Copy(want, tt.change)
			a := h.patch(made.id(), tt.body)
			want["updated_at"] = a.body["updated_at"]
			if want["status"] == "disabled" {
				want["disabled_at"] = a.body["updated_at"]
			}
			if diff := cmp.Diff(want, a.body); diff != "" || a.status != 200 {
				t.Errorf("%d (-want +got):\n%s", a.status, diff)
			}
			if diff := cmp.Diff(a.body, h.get("/v1/webhooks/"+made.id()).body); diff != "" {
				t.Errorf("read afterwards:\n%s", diff)
			}
			kept, err := h.store.Webhooks.Peek(t.Context(), email.Test, made.id())
			if err != nil || kept.Secret != made.body["secret"] {
				t.Errorf("the secret has changed: %v", err)
			}
			h.do(http.MethodDelete, "/v1/webhooks/"+made.id(), nil)
		})
	}
}

func TestWebhookIsDeletedOnce(t *testing.T) {
	h := openHouse(t)
	id := h.hook(minimalHook).id()
	a := h.do(http.MethodDelete, "/v1/webhooks/"+id, nil)
	if a.status != http.StatusNoContent || len(a.raw) != 0 || a.header.Get("Content-Type") != "" {
		t.Errorf("%d %v %s", a.status, a.header, a.raw)
	}
	h.wantNoWebhook(id, h.keys["full"])
}

// wantNoWebhook fails unless a key finds nothing under an id, whatever it asks.
func (h *house) wantNoWebhook(id, key string) {
	h.t.Helper()
	path := "/v1/webhooks/" + id
	for name, a := range map[string]*answer{
		"get": h.get(path, as(key)), "patch": h.patch(id, `{"enabled":false}`, as(key)), "test": h.post(path+"/test", "", as(key)),
		"delete": h.do(http.MethodDelete, path, nil, as(key)),
	} {
		h.want(a, 404, string(notFound))
		if a.body["resource"] != "webhook" {
			h.t.Errorf("%s: resource %v", name, a.body["resource"])
		}
	}
}

func TestWebhooksOfAnotherWorldAreNotFound(t *testing.T) {
	h := openHouse(t)
	test, live := h.hook(minimalHook), h.hook(minimalHook, as(h.keys["live"]))
	if test.body["livemode"] != false || live.body["livemode"] != true {
		t.Errorf("livemode %v, %v", test.body["livemode"], live.body["livemode"])
	}
	h.wantNoWebhook(test.id(), h.keys["live"])
	h.wantNoWebhook(live.id(), h.keys["full"])
	for _, id := range []string{"x", "wh_1", "msg_" + test.id()[3:], strings.ToUpper(test.id()), test.id() + "%2F", test.id() + "0"} {
		h.wantNoWebhook(id, h.keys["full"])
	}
	for key, want := range map[string]string{"full": test.id(), "live": live.id()} {
		if data := h.get("/v1/webhooks", as(h.keys[key])).data(); len(data) != 1 || data[0]["id"] != want {
			t.Errorf("%s sees %v", key, data)
		}
	}
}

func TestWebhookList(t *testing.T) {
	h := openHouse(t)
	if a := h.get("/v1/webhooks"); a.status != 200 || !bytes.Contains(a.raw, []byte(`"data":[]`)) {
		t.Errorf("empty: %d %s", a.status, a.raw)
	}
	var want []string
	for range store.MaxWebhooks {
		want = append([]string{h.hook(minimalHook).id()}, want...)
	}
	var got []string
	for path := "/v1/webhooks?limit=7"; path != ""; {
		a := h.get(path)
		for _, m := range a.data() {
			got = append(got, m["id"].(string))
		}
		if len(got) == 7 { // what is deleted under way leaves no gap
			h.do(http.MethodDelete, "/v1/webhooks/"+got[6], nil)
		}
		path = nextPage(t, a)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("walked (-want +got):\n%s", diff)
	}
	for _, query := range []string{"limit=0", "limit=101", "cursor=x", "status=enabled"} {
		h.want(h.get("/v1/webhooks?"+query), 400, string(invalidParameter))
	}
	next := h.get("/v1/webhooks?limit=1").body["next_cursor"].(string)
	h.want(h.get("/v1/messages?cursor="+next), 400, string(invalidParameter))
	h.want(h.get("/v1/webhooks?cursor="+next, as(h.keys["live"])), 400, string(invalidParameter))
}

func TestWebhooksAreLimited(t *testing.T) {
	h := openHouse(t)
	last := ""
	for range store.MaxWebhooks {
		last = h.hook(minimalHook).id()
	}
	a := h.post("/v1/webhooks", minimalHook, header("Idempotency-Key", "one more"))
	h.want(a, 422, string(validationFailed))
	if diff := cmp.Diff([]string{"# too_many"}, a.faults()); diff != "" {
		t.Error(diff)
	}
	h.hook(minimalHook, as(h.keys["live"])) // each world has its own
	h.do(http.MethodDelete, "/v1/webhooks/"+last, nil)
	if a := h.hook(minimalHook, header("Idempotency-Key", "one more")); a.header.Get("Idempotent-Replayed") != "" {
		t.Error("the refusal was kept")
	}
}

func TestWebhookScopes(t *testing.T) {
	h := openHouse(t)
	id := h.hook(minimalHook).id()
	reader := as(h.keys["hooks"])
	for _, a := range []*answer{h.get("/v1/webhooks", reader), h.get("/v1/webhooks/"+id, reader)} {
		if a.status != 200 {
			t.Errorf("read: %d", a.status)
		}
	}
	for _, a := range []*answer{
		h.post("/v1/webhooks", minimalHook, reader), h.patch(id, `{}`, reader), h.post("/v1/webhooks/"+id+"/test", "", reader),
		h.do(http.MethodDelete, "/v1/webhooks/"+id, nil, reader),
	} {
		h.want(a, 403, string(insufficientScope))
		if a.body["required_scope"] != apikey.WebhooksWrite {
			t.Errorf("required scope %v", a.body["required_scope"])
		}
	}
}

// The routes have no alias without /v1.
func TestWebhooksHaveNoAlias(t *testing.T) {
	h := openHouse(t)
	h.want(h.get("/webhooks"), 404, string(routeNotFound))
	h.want(h.do(http.MethodPut, "/v1/webhooks", nil), 405, string(methodNotAllowed))
}

func TestWebhookIdempotency(t *testing.T) {
	h := openHouse(t)
	key := header("Idempotency-Key", "hook/1")
	first := h.hook(minimalHook, key)
	again := h.hook(`{ "events": ["\u002a"], "description": null, "url": "https://app.acme.com/hook" }`, key)
	if !bytes.Equal(first.raw, again.raw) || again.header.Get("Idempotent-Replayed") != "true" || first.header.Get("Idempotent-Replayed") != "" ||
		again.header.Get("Location") != first.header.Get("Location") {
		t.Errorf("replay %v\n%s\n%s", again.header, first.raw, again.raw)
	}
	h.patch(first.id(), `{"description":"changed"}`)
	h.do(http.MethodDelete, "/v1/webhooks/"+first.id(), nil)
	if later := h.hook(minimalHook, key); !bytes.Equal(first.raw, later.raw) {
		t.Errorf("the answer drifts: %s", later.raw)
	}
	if n := len(h.get("/v1/webhooks").data()); n != 0 {
		t.Errorf("%d webhooks", n)
	}
	h.want(h.post("/v1/webhooks", strings.Replace(minimalHook, "hook", "other", 1), key), 422, string(idempotencyKeyReused))
	h.want(h.post("/v1/messages", minimal, key), 422, string(idempotencyKeyReused))
	h.send(minimal, header("Idempotency-Key", "mail/1"))
	h.want(h.post("/v1/webhooks", minimalHook, header("Idempotency-Key", "mail/1")), 422, string(idempotencyKeyReused))
	if a := h.hook(minimalHook, key, as(h.keys["live"])); a.id() == first.id() {
		t.Error("a key of one world counts in the other")
	}
	// Refusals do not use a key up.
	free := header("Idempotency-Key", "hook/2")
	h.want(h.post("/v1/webhooks", `{"url":"x","events":["*"]}`, free), 422, string(validationFailed))
	if a := h.hook(minimalHook, free); a.header.Get("Idempotent-Replayed") != "" {
		t.Error("a refusal was kept")
	}
	// What is kept holds a secret, and is sealed.
	for _, name := range h.rdb.Keys(t.Context(), "*}:i:*").Val() {
		if value := h.rdb.Get(t.Context(), name).Val(); strings.Contains(value, "whsec_") || strings.Contains(value, "acme.com") {
			t.Errorf("%s is not sealed", name)
		}
	}
}

func TestOneWebhookPerIdempotencyKey(t *testing.T) {
	h := openHouse(t)
	var (
		group  sync.WaitGroup
		mu     sync.Mutex
		bodies = make(map[string]int)
	)
	for range 20 {
		group.Go(func() {
			a := h.post("/v1/webhooks", minimalHook, header("Idempotency-Key", "race"))
			for a.code() == string(idempotencyInProgress) {
				if a.header.Get("Retry-After") != "1" || a.body["retryable"] != true {
					t.Errorf("in progress: %v %s", a.header, a.raw)
				}
				a = h.post("/v1/webhooks", minimalHook, header("Idempotency-Key", "race"))
			}
			mu.Lock()
			defer mu.Unlock()
			bodies[fmt.Sprint(a.status, " ", string(a.raw))]++
		})
	}
	group.Wait()
	if len(bodies) != 1 || len(h.get("/v1/webhooks").data()) != 1 {
		t.Errorf("%d answers, %d webhooks: %v", len(bodies), len(h.get("/v1/webhooks").data()), bodies)
	}
}

// moveHook changes an endpoint's URL past all checks, as a changed configuration does.
func (h *house) moveHook(id, url string) {
	h.t.Helper()
	_, err := h.store.Webhooks.Update(h.t.Context(), email.Test, id, time.Now(), func(w *store.Webhook) error {
		w.URL = url
		return nil
	})
	if err != nil {
		h.t.Fatal(err)
	}
}

// Who changed what, and when, is recorded, without what is secret.
func TestChangesOfWebhooksAreRecorded(t *testing.T) {
	h := openHouse(t)
	me := h.get("/v1/me").id()
	id := h.post("/v1/webhooks", `{"url":"https://user:t0ken@app.acme.com/x","events":["*"]}`).id()
	path := "/v1/webhooks/" + id
	for _, patch := range []string{`{"description":"orders","events":["message.*"]}`, `{"enabled":false}`, `{"enabled":false}`, `{"enabled":true,"headers":{"X-Token":"t0ken"}}`} {
		h.do(http.MethodPatch, path, strings.NewReader(patch))
	}
	h.post(path+"/rotate-secret", "{}")
	h.do(http.MethodDelete, path, nil)
	h.do(http.MethodDelete, path, nil)
	list, _, err := h.store.Audit.Latest(t.Context(), []email.World{email.Test}, "", 20)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, c := range list {
		if c.Actor != me || c.Object != id || !strings.HasPrefix(c.Request, "req_") || c.At.IsZero() || strings.Contains(c.Detail, "t0ken") {
			t.Errorf("%+v", c)
		}
		_, changed, _ := strings.Cut(c.Detail, " ")
		got = append(got, strings.TrimSpace(c.Action+" "+changed))
	}
	want := []string{
		"webhook.deleted", "webhook.secret_rotated", "webhook.enabled", "webhook.updated changed: headers", "webhook.disabled",
		"webhook.updated changed: events, description", "webhook.created",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("recorded (-want +got):\n%s", diff)
	}
}
