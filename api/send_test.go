package api

import (
	"bytes"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestSendAnswersAsDocumented(t *testing.T) {
	h := openHouse(t)
	a := h.post("/messages", `{"from":"Acme <hi@acme.com>","to":["Ada@Example.org","ada@example.org"],"cc":{"email":"c@example.net","name":"C <x>"},
		"subject":"Hello","text":"Hi","tags":["receipt"],"ttl_seconds":60.0,"bcc":null}`)
	if a.status != http.StatusAccepted {
		t.Fatalf("answer %d %s", a.status, a.raw)
	}
	id := a.id()
	if got := a.header.Get("Location"); got != "/v1/messages/"+id {
		t.Errorf("Location %s", got)
	}
	if got := a.header.Get("Content-Type"); got != "application/json" {
		t.Errorf("Content-Type %s", got)
	}
	if a.header.Get("Idempotent-Replayed") != "" {
		t.Error("a first answer is marked as a replay")
	}
	body := regexp.MustCompile(`"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"`).ReplaceAllString(string(a.raw), "T")
	want := `{"object":"message","id":"` + id + `","livemode":false,"status":"queued","created_at":T,"scheduled_at":null,"expires_at":T,` +
		`"message_id":"<` + id + `@acme.com>","batch_id":null,"recipients":[` +
		`{"email":"Ada@example.org","type":"to","status":"queued","reason":null,"suppression_id":null},` +
		`{"email":"c@example.net","type":"cc","status":"queued","reason":null,"suppression_id":null}]}`
	if diff := cmp.Diff(want, body); diff != "" {
		t.Errorf("body (-want +got):\n%s", diff)
	}
	if n := h.jobs.count(); n != 2 {
		t.Errorf("%d jobs for two domains", n)
	}
}

func TestSendRefusesByHeaderAndQuery(t *testing.T) {
	h := openHouse(t)
	tests := []struct {
		name, path string
		status     int
		code       code
		change     asker
	}{
		{"no key", "/v1/messages", 401, missingAPIKey, func(r *http.Request) { r.Header.Del("Authorization") }},
		{"empty key", "/v1/messages", 401, missingAPIKey, header("Authorization", "")},
		{"no scheme", "/v1/messages", 401, invalidAPIKey, header("Authorization", h.keys["full"])},
		{"Basic", "/v1/messages", 401, invalidAPIKey, func(r *http.Request) { r.SetBasicAuth("api", h.keys["full"]) }},
		{"two keys", "/v1/messages", 401, invalidAPIKey, header("Authorization", "Bearer "+h.keys["full"], "Bearer "+h.keys["full"])},
		{"mistyped key", "/v1/messages", 401, invalidAPIKey, as(h.keys["full"][:50] + "aaaaaaa")},
		{"without the scope", "/v1/messages", 403, insufficientScope, as(h.keys["read"])},
		{"key in the query", "/v1/messages?api_key=x", 400, invalidParameter, func(*http.Request) {}},
		{"dry run", "/v1/messages?dry_run=1", 400, invalidParameter, func(*http.Request) {}},
		{"malformed query", "/v1/messages?a=%zz", 400, invalidParameter, func(*http.Request) {}},
		{"no content type", "/v1/messages", 415, unsupportedMediaType, func(r *http.Request) { r.Header.Del("Content-Type") }},
		{"form", "/v1/messages", 415, unsupportedMediaType, header("Content-Type", "application/x-www-form-urlencoded")},
		{"other charset", "/v1/messages", 415, unsupportedMediaType, header("Content-Type", "application/json; charset=latin1")},
		{"other parameter", "/v1/messages", 415, unsupportedMediaType, header("Content-Type", "application/json; version=1")},
		{"two content types", "/v1/messages", 415, unsupportedMediaType, header("Content-Type", "application/json", "application/json")},
		{"gzip", "/v1/messages", 415, unsupportedMediaType, header("Content-Encoding", "gzip")},
		{"empty Idempotency-Key", "/v1/messages", 400, invalidIdempotencyKey, header("Idempotency-Key", "")},
		{"two Idempotency-Keys", "/v1/messages", 400, invalidIdempotencyKey, header("Idempotency-Key", "a", "b")},
		{"long Idempotency-Key", "/v1/messages", 400, invalidIdempotencyKey, header("Idempotency-Key", strings.Repeat("k", 256))},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			a := h.post(tt.path, minimal, tt.change)
			h.want(a, tt.status, string(tt.code))
			if got := a.header.Get("WWW-Authenticate"); (got == "Bearer") != (tt.status == 401) {
				t.Errorf("WWW-Authenticate %q", got)
			}
			if tt.status == 403 && a.body["required_scope"] != "messages:send" {
				t.Errorf("required_scope %v", a.body["required_scope"])
			}
		})
	}
	h.wantNothing()
	for _, ct := range []string{"application/json; charset=UTF-8", "Application/JSON", `application/json;charset="utf-8"`} {
		if a := h.post("/v1/messages", minimal, header("Content-Type", ct)); a.status != 202 {
			t.Errorf("%s: %d", ct, a.status)
		}
	}
	if a := h.post("/v1/messages", minimal, header("Authorization", "bearer "+h.keys["send"])); a.status != 202 {
		t.Errorf("scheme in lower case: %d", a.status)
	}
}

func TestSendRefusesLargeBodies(t *testing.T) {
	h := openHouse(t)
	for name, length := range map[string]int64{"announced": maxBody + 1, "not announced": -1, "far too large": 60 << 20} {
		t.Run(name, func(t *testing.T) {
			n := max(length, maxBody+1)
			a := h.do("POST", "/v1/messages", zeros(n), func(r *http.Request) { r.ContentLength = length })
			h.want(a, 413, string(requestTooLarge))
			if a.body["limit_bytes"] != float64(maxBody) {
				t.Errorf("limit_bytes %v", a.body["limit_bytes"])
			}
			if actual, ok := a.body["actual_bytes"]; ok != (length > 0) || ok && actual != float64(length) {
				t.Errorf("actual_bytes %v", actual)
			}
		})
	}
	h.wantNothing()
}

func TestSendNamesAtMostFiftyFaults(t *testing.T) {
	h := openHouse(t)
	var members []string
	for i := range 60 {
		members = append(members, fmt.Sprintf(`"m%d":1`, i))
	}
	a := h.post("/v1/messages", "{"+strings.Join(members, ",")+"}")
	h.want(a, 422, string(validationFailed))
	if len(a.faults()) != 50 || a.body["truncated"] != true {
		t.Errorf("%d faults, truncated %v", len(a.faults()), a.body["truncated"])
	}
	h.wantNothing()
}

func TestReplay(t *testing.T) {
	h := openHouse(t)
	key := header("Idempotency-Key", "welcome/42")
	first := h.post("/v1/messages", minimal, key)
	h.conclude(first.id(), 0, bounced())
	tests := []struct {
		name, path, body string
		key              asker
	}{
		{"the same request", "/v1/messages", minimal, key},
		{"by the alias", "/messages", minimal, key},
		{"other order and white space", "/v1/messages", `{ "text":"Hi","subject":"Hello", "cc":null, "to":"ada@example.org","from":"Acme <hi@acme.com>"}`, key},
		{"quoted key", "/v1/messages", minimal, header("Idempotency-Key", `"welcome/42"`)},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			a := h.post(tt.path, tt.body, tt.key)
			if a.status != 202 || a.header.Get("Idempotent-Replayed") != "true" || a.header.Get("Location") != first.header.Get("Location") {
				t.Errorf("answer %d, %v", a.status, a.header)
			}
			if !bytes.Equal(a.raw, first.raw) {
				t.Errorf("body\n%s\nfirst was\n%s", a.raw, first.raw)
			}
		})
	}
	changed := strings.Replace(minimal, "Hello", "Hallo", 1)
	h.want(h.post("/v1/messages", changed, key), 422, string(idempotencyKeyReused))
	h.want(h.post("/v1/messages", `{"from":1}`, key), 422, string(idempotencyKeyReused))
	if a := h.post("/v1/messages", `{"from":"a@acme.com","to":"b@acme.org","subject":"s","text":"t"}`, key, as(h.keys["live"])); a.status != 202 || a.header.Get("Idempotent-Replayed") != "" {
		t.Errorf("the key of the other world: %d %s", a.status, a.raw)
	}
	if n := len(h.get("/v1/messages").data()); n != 1 {
		t.Errorf("%d messages", n)
	}
	if n := h.jobs.count(); n != 2 {
		t.Errorf("%d jobs for two messages", n)
	}
}

func TestReplayInARace(t *testing.T) {
	h := openHouse(t)
	answers := make([]*answer, 50)
	var wg sync.WaitGroup
	for i := range answers {
		wg.Go(func() { answers[i] = h.post("/v1/messages", minimal, header("Idempotency-Key", "race")) })
	}
	wg.Wait()
	fresh := 0
	for _, a := range answers {
		if a.status != 202 || !bytes.Equal(a.raw, answers[0].raw) {
			t.Fatalf("answer %d %s", a.status, a.raw)
		}
		if a.header.Get("Idempotent-Replayed") == "" {
			fresh++
		}
	}
	if fresh != 1 || h.jobs.count() != 1 {
		t.Errorf("%d fresh answers, %d jobs; want one of each", fresh, h.jobs.count())
	}
}
