package api

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/google/go-cmp/cmp"
	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"postrider/internal/events"
)

// listener is an app that listens to webhooks.
type listener struct {
	*httptest.Server
	mu   sync.Mutex
	got  []*http.Request
	body []string
}

// newEndpoint answers 200 and "thanks"; ?status= asks for another status, ?size= for a
// longer answer.
func newEndpoint(t *testing.T) *listener {
	e := &listener{}
	e.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		e.mu.Lock()
		e.got, e.body = append(e.got, r), append(e.body, string(body))
		e.mu.Unlock()
		if status, err := strconv.Atoi(r.URL.Query().Get("status")); err == nil {
			w.Header().Set("Location", "/elsewhere")
			w.WriteHeader(status)
		}
		size, _ := strconv.Atoi(r.URL.Query().Get("size"))
		_, _ = io.WriteString(w, "thanks"+strings.Repeat("x", size))
	}))
	t.Cleanup(e.Close)
	return e
}

func (e *listener) received() []*http.Request {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Clone(e.got)
}

// A test call arrives as every webhook does, verifies with the library of Standard
// Webhooks, fits the contract, and the answer shows what was sent.
func TestWebhookTestOfEachType(t *testing.T) {
	h := openHouse(t)
	end := newEndpoint(t)
	made := h.hook(`{"url":"http://user:canary@` + strings.TrimPrefix(end.URL, "http://") + `/hook","events":["message.failed"],"enabled":false,
		"headers":{"X-Token":"canary"}}`)
	library, err := standardwebhooks.NewWebhook(made.body["secret"].(string))
	if err != nil {
		t.Fatal(err)
	}
	types := append(events.Types(), events.WebhookTest)
	for i, kind := range types {
		a := h.post("/v1/webhooks/"+made.id()+"/test", fmt.Sprintf(`{"type":%q}`, kind))
		if a.status != 200 || a.body["status"] != "succeeded" || a.body["status_code"] != 200.0 || a.body["response_body"] != "thanks" ||
			a.body["error"] != nil || a.body["type"] != string(kind) || a.body["webhook_id"] != made.id() {
			t.Fatalf("%s: %d %s", kind, a.status, a.raw)
		}
		r, body := end.received()[i], end.body[i]
		if err := library.Verify([]byte(body), r.Header); err != nil {
			t.Errorf("%s: %v", kind, err)
		}
		if library.Verify([]byte(body+" "), r.Header) == nil {
			t.Errorf("%s: another body verifies too", kind)
		}
		if user, password, _ := r.BasicAuth(); user != "user" || password != "canary" || r.Header.Get("X-Token") != "canary" {
			t.Errorf("%s: %v", kind, r.Header)
		}
		want := map[string]any{
			"url": "http://redacted@" + strings.TrimPrefix(end.URL, "http://") + "/hook", "body": body,
			"headers": map[string]any{
				"authorization": "redacted", "x-token": "redacted", "content-type": "application/json", "user-agent": r.UserAgent(),
				"webhook-id": a.id(), "webhook-timestamp": r.Header.Get("webhook-timestamp"), "webhook-signature": r.Header.Get("webhook-signature"),
			},
		}
		if diff := cmp.Diff(want, a.body["request"]); diff != "" {
			t.Errorf("%s: request (-received +shown):\n%s", kind, diff)
		}
		h.contract.wantWebhook(string(kind), r, body)
		if strings.Contains(string(a.raw), "canary") || strings.Contains(string(a.raw), "whsec_") {
			t.Errorf("%s: a secret is shown: %s", kind, a.raw)
		}
	}
	if diff := cmp.Diff(made.body["health"], h.get("/v1/webhooks/" + made.id()).body["health"]); diff != "" {
		t.Errorf("health: %s", diff)
	}
}

// wantWebhook holds a webhook to its entry in the contract.
func (c *contract) wantWebhook(kind string, r *http.Request, body string) {
	c.t.Helper()
	item := c.doc.Webhooks[kind]
	if item == nil || item.Post == nil {
		c.t.Errorf("%s is not in the contract", kind)
		return
	}
	for _, p := range item.Post.Parameters {
		value := r.Header.Get(p.Value.Name)
		if err := p.Value.Schema.Value.VisitJSON(value, openapi3.EnableJSONSchema2020()); err != nil || value == "" {
			c.t.Errorf("%s: %s: %v", kind, p.Value.Name, err)
		}
	}
	if err := c.compare([]byte(body), "webhooks", kind, "post", "requestBody", "content", "application/json", "schema"); err != nil {
		c.t.Errorf("%s: %v\n%s", kind, err, body)
	}
}

// The contract has an entry for each event that there is, and its patterns are those
// that endpoints may name.
func TestContractHasEveryEvent(t *testing.T) {
	doc := loadContract(t)
	want := []string{string(events.WebhookTest)}
	for _, kind := range events.Types() {
		want = append(want, string(kind))
	}
	sort := cmp.Transformer("sort", func(list []string) []string { return slices.Sorted(slices.Values(list)) })
	var got []string
	for name, item := range doc.Webhooks {
		got = append(got, name)
		if item.Post.OperationID == "" || item.Post.Summary == "" || item.Post.Description == "" {
			t.Errorf("%s lacks its operationId, summary or description", name)
		}
	}
	if diff := cmp.Diff(want, got, sort); diff != "" {
		t.Errorf("webhooks (-events +openapi.yaml):\n%s", diff)
	}
	for schema, want := range map[string][]string{"SampleType": want, "EventPattern": append(want[1:], "*", "message.*", "suppression.*")} {
		var got []string
		for _, v := range doc.Components.Schemas[schema].Value.Enum {
			got = append(got, v.(string))
		}
		if diff := cmp.Diff(want, got, sort); diff != "" {
			t.Errorf("%s (-events +openapi.yaml):\n%s", schema, diff)
		}
	}
}

func TestWebhookTestDefault(t *testing.T) {
	h := openHouse(t)
	end := newEndpoint(t)
	id := h.hook(hookAt(end.URL)).id()
	for _, body := range []string{"", "{}", `{"type":null}`} {
		if a := h.post("/v1/webhooks/"+id+"/test", body); a.status != 200 || a.body["type"] != "message.delivered" {
			t.Errorf("%q: %d %s", body, a.status, a.raw)
		}
	}
}

// Whatever goes wrong at the endpoint is told, and is no fault of the call.
func TestWebhookTestFailures(t *testing.T) {
	h := openHouse(t)
	end := newEndpoint(t)
	gone := httptest.NewServer(http.NotFoundHandler())
	gone.Close()
	for _, tt := range []struct {
		url      string
		status   any
		response any
	}{
		{end.URL + "/?status=500", 500.0, "thanks"},
		{end.URL + "/?status=302", 302.0, "thanks"},
		{end.URL + "/?status=404&size=100000", 404.0, "thanks" + strings.Repeat("x", 1024-len("thanks"))},
		{gone.URL, nil, nil},
		{"https" + strings.TrimPrefix(end.URL, "http"), nil, nil}, // no TLS there
		{"http://10.255.255.1:3000/", nil, nil},                   // not allowed any more
	} {
		id := h.hook(minimalHook).id()
		h.moveHook(id, tt.url)
		a := h.post("/v1/webhooks/"+id+"/test", "")
		if a.status != 200 || a.body["status"] != "failed" || a.body["status_code"] != tt.status || a.body["response_body"] != tt.response ||
			a.body["error"] == nil {
			t.Errorf("%s: %d %.2000s", tt.url, a.status, a.raw)
		}
	}
	for _, r := range end.received() {
		if r.URL.Path == "/elsewhere" {
			t.Error("a redirect was followed")
		}
	}
}

func TestWebhookTestIdempotency(t *testing.T) {
	h := openHouse(t)
	end := newEndpoint(t)
	id, other := h.hook(hookAt(end.URL)).id(), h.hook(hookAt(end.URL)).id()
	key := header("Idempotency-Key", "try/1")
	first, again := h.post("/v1/webhooks/"+id+"/test", "", key), h.post("/v1/webhooks/"+id+"/test", "{}", key)
	if first.status != 200 || string(first.raw) != string(again.raw) || again.header.Get("Idempotent-Replayed") != "true" || len(end.received()) != 1 {
		t.Errorf("%d requests\n%s\n%s", len(end.received()), first.raw, again.raw)
	}
	h.want(h.post("/v1/webhooks/"+other+"/test", "", key), 422, string(idempotencyKeyReused))
}
