package api

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/google/go-cmp/cmp"

	"postrider/internal/email"
	"postrider/internal/intake"
	"postrider/internal/store"
)

// Routes and contract are the same set, by each of its servers. HEAD comes with GET.
func TestRoutesAreThoseOfTheContract(t *testing.T) {
	doc := loadContract(t)
	want := make(map[string]bool)
	for path, item := range doc.Paths.Map() {
		for method := range item.Operations() {
			for _, base := range basePaths(doc, item) {
				want[method+" "+base+path] = true
				if method == http.MethodGet {
					want["HEAD "+base+path] = true
				}
			}
		}
	}
	got := make(map[string]bool)
	for _, r := range newEngine(Options{Log: slog.New(slog.DiscardHandler)}).Routes() {
		path := parameterPattern.ReplaceAllString(r.Path, "{$1}")
		got[r.Method+" "+path] = true
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("routes (-openapi.yaml +gin):\n%s", diff)
	}
}

var parameterPattern = regexp.MustCompile(`:([a-z]+)`)

// The codes of the contract are those of the table, with the same status.
func TestProblemCodesAreThoseOfTheContract(t *testing.T) {
	doc := loadContract(t)
	listed := make(map[string]bool)
	for _, v := range doc.Components.Schemas["ProblemCode"].Value.Enum {
		listed[v.(string)] = true
	}
	table := make(map[string]bool)
	for c := range problemKinds() {
		table[string(c)] = true
	}
	if diff := cmp.Diff(listed, table); diff != "" {
		t.Errorf("codes (-openapi.yaml +table):\n%s", diff)
	}
	for e := range documented(t, doc) {
		if e.code != "" && problemKinds()[code(e.code)].status != e.status {
			t.Errorf("%s: the table says status %d", e, problemKinds()[code(e.code)].status)
		}
	}
}

// Strict requests, documented operations: what api.md 20 asks of the file.
func TestContractIsStrict(t *testing.T) {
	doc := loadContract(t)
	for _, name := range []string{"SendRequest", "BatchRequest", "BatchItem", "AttachmentInput", "CancelRequest", "MessagePatch", "WebhookRequest", "WebhookPatch", "WebhookTestRequest", "SuppressionRequest", "SuppressionBatchRequest", "RotateSecretRequest", "EmptyRequest", "WebhookReplayRequest", "APIKeyRequest", "APIKeyPatch", "RotateAPIKeyRequest", "TemplateRequest", "TemplatePatch", "TemplateInput", "TemplateVariableInput", "TemplatePreviewRequest", "TemplateContentRequest"} {
		if extra := doc.Components.Schemas[name].Value.AdditionalProperties.Has; extra == nil || *extra {
			t.Errorf("%s allows other members", name)
		}
	}
	for path, item := range doc.Paths.Map() {
		for method, op := range item.Operations() {
			if op.OperationID == "" || op.Summary == "" || op.Description == "" {
				t.Errorf("%s %s lacks its operationId, summary or description", method, path)
			}
		}
	}
}

// Every example of the contract is sent, and accepted.
func TestExamplesAreAccepted(t *testing.T) {
	h := openHouse(t)
	end := newEndpoint(t)
	h.template(receiptTemplate) // which the examples name
	h.conclude(h.send(minimal), 0, delivered())
	h.suppress(minimalSuppression)
	h.hook(hookAt(end.URL))
	h.follow()
	for path, item := range h.contract.doc.Paths.Map() {
		for method, op := range item.Operations() {
			id := ""
			switch {
			case strings.Contains(path, "{dlv}"):
				parts := strings.Split(h.delivery(), "/")
				id, path = parts[3], strings.ReplaceAll(path, "{dlv}", parts[5])
			case !strings.Contains(path, "{id}"):
			case strings.HasPrefix(path, "/events"):
				h.send(minimal)
				id = h.get("/v1/events?limit=1").data()[0]["id"].(string)
			case strings.HasSuffix(path, "/deliveries"):
				id = strings.Split(h.delivery(), "/")[3]
			case strings.HasPrefix(path, "/webhooks"):
				id = h.hook(hookAt(end.URL)).id()
			case op.OperationID == "rescheduleMessage":
				id = h.send(scheduledIn(time.Hour))
			case strings.HasPrefix(path, "/suppressions"):
				id = h.suppress(minimalSuppression)
			case strings.HasPrefix(path, "/templates"):
				id = h.published(minimalTemplate)
			case strings.HasPrefix(path, "/api-keys"):
				id = h.newKey(minimalKey).id()
			default:
				if id = h.send(minimal); method == http.MethodGet {
					h.conclude(id, 0, delivered())
				}
			}
			target := basePaths(h.contract.doc, item)[0] + strings.ReplaceAll(path, "{id}", id)
			target = strings.NewReplacer("{n}", "1", "{file}", "start.js", "{code}", "validation_failed").Replace(target)
			for _, p := range slices.Concat(item.Parameters, op.Parameters) {
				h.sendParameter(method, target, p.Value)
			}
			if op.RequestBody == nil && method != http.MethodDelete {
				h.wantExamples(op, h.do(method, target, nil))
			}
			if op.RequestBody == nil {
				continue
			}
			for contentType, media := range op.RequestBody.Value.Content {
				if len(media.Examples) == 0 {
					t.Errorf("%s has no examples", op.OperationID)
				}
				for name, example := range media.Examples {
					body := exampleBody(t, contentType, example.Value.Value)
					if a := h.do(method, target, bytes.NewReader(body), header("Content-Type", contentType)); a.status >= 300 {
						t.Errorf("example %s of %s: %d\n%s", name, op.OperationID, a.status, a.raw)
					}
				}
			}
		}
	}
}

// sendParameter sends one request with a parameter's example.
func (h *house) sendParameter(method, target string, p *openapi3.Parameter) {
	h.t.Helper()
	if p.Example == nil {
		return
	}
	values := []string{fmt.Sprint(p.Example)}
	if list, ok := p.Example.([]any); ok {
		values = nil
		for _, v := range list {
			values = append(values, fmt.Sprint(v))
		}
	}
	body, contentType := "{}", "application/json"
	switch {
	case method == http.MethodPost && strings.HasSuffix(target, "/suppressions"):
		body = minimalSuppression
	case method == http.MethodPost && strings.HasSuffix(target, "/suppressions/batch"):
		body = `{"remove":["a@example.org"]}`
	case method == http.MethodPost && strings.HasSuffix(target, "/suppressions/import"):
		body, contentType = "email\n", "text/csv"
	case method == http.MethodPost && strings.HasSuffix(target, "/messages"):
		body = minimal
	case strings.HasSuffix(target, "/raw"):
		body, contentType = rawMinimal, "message/rfc822"
	case method == http.MethodPost && strings.HasSuffix(target, "/batch"):
		body = batchOf("", minimal)
	case method == http.MethodPost && strings.HasSuffix(target, "/templates"):
		body = minimalTemplate
	case method == http.MethodPost && strings.HasSuffix(target, "/webhooks"):
		body = minimalHook
	case method == http.MethodPost && strings.HasSuffix(target, "/api-keys"):
		body = minimalKey
	case method == http.MethodPost && strings.HasSuffix(target, "/replay") && !strings.Contains(target, "/deliveries/"):
		body = `{"since":"2026-01-01T00:00:00Z"}`
	}
	var a *answer
	switch p.In {
	case openapi3.ParameterInQuery:
		query := target + "?" + url.Values{p.Name: values}.Encode()
		if method == http.MethodPost {
			a = h.post(query, body, header("Content-Type", contentType))
		} else {
			a = h.do(method, query, nil)
		}
	case openapi3.ParameterInHeader:
		h.forgetKeys() // all operations have the same example
		a = h.do(method, target, strings.NewReader(body), header(p.Name, values...), header("Content-Type", contentType))
	default:
		return // of the path: an id that nobody has
	}
	if a.status >= 300 {
		h.t.Errorf("example of %s for %s %s: %d\n%s", p.Name, method, target, a.status, a.raw)
	}
}

// forgetKeys frees every Idempotency-Key that was used.
func (h *house) forgetKeys() {
	h.t.Helper()
	for _, name := range h.rdb.Keys(context.Background(), "*}:i:*").Val() {
		if strings.Contains(name, ":{s") {
			h.rdb.Del(context.Background(), name)
		}
	}
}

// scene is one exchange to be seen.
type scene struct {
	operation string
	code      code // empty: success
	ask       func(h *house) *answer
}

// Everything that the contract says can happen does happen, and nothing else.
func TestEveryDocumentedAnswerHappens(t *testing.T) {
	h := openHouse(t)
	wrecked := openHouse(t, func(o *Options) {
		o.Desk, o.Store = intake.New(intake.Options{}), &store.Store{Keys: o.Store.Keys}
	})
	down := openHouse(t)
	if err := down.rdb.Close(); err != nil {
		t.Fatal(err)
	}
	slow := h.serve(h.door, func(s *http.Server) { s.ReadTimeout = 300 * time.Millisecond })
	elsewhere := h.serve(Misdirected(), nil)
	draining := openHouse(t, func(o *Options) { o.Draining = func() bool { return true } })
	limited := openHouse(t, func(o *Options) { o.RateLimit = 1 })
	full := openHouse(t)
	full.rdb.AddHook(oom{})
	for _, s := range slices.Concat(sendScenes(), batchScenes(), rawScenes(), readScenes(), cancelScenes(), rescheduleScenes(), logScenes(), pageScenes(), webhookScenes(), suppressionScenes(), templateScenes(), keyScenes(), boundScenes(), h.commonScenes()) {
		where := h
		switch s.code {
		case requestTimeout:
			where = slow
		case misdirectedRequest:
			where = elsewhere
		case internalError:
			where = wrecked
		case serviceUnavailable:
			where = down
		case rateLimited:
			where = limited
		case queueFull:
			where = full
		case shuttingDown:
			where = draining
		}
		a := s.ask(where)
		if a.code() != string(s.code) || s.code != "" && a.status != problemKinds()[s.code].status {
			t.Errorf("%s: answer %d %s, want %s\n%s", s.operation, a.status, a.code(), s.code, a.raw)
		}
	}
	seen := make(map[exchange]bool)
	codes := make(map[string]bool)
	for _, house := range []*house{h, wrecked, down, full, limited, draining} {
		for e := range house.contract.seen {
			codes[e.code] = true
			if e.operation != "" {
				seen[e] = true
			}
		}
	}
	if diff := cmp.Diff(documented(t, h.contract.doc), seen); diff != "" {
		t.Errorf("answers (-documented +seen):\n%s", diff)
	}
	for c := range problemKinds() {
		if !codes[string(c)] {
			t.Errorf("problem %s was never produced", c)
		}
	}
}

func sendScenes() []scene {
	post := func(body string, change ...asker) func(*house) *answer {
		return func(h *house) *answer { return h.post("/v1/messages", body, change...) }
	}
	op := "sendMessage"
	big := `{"from":"a@acme.com","to":"b@example.org","subject":"s","text":"t","attachments":[{"filename":"a.txt","content":"` +
		strings.Repeat("QUFB", messageLimit/4) + `"}]}`
	return []scene{
		{op, "", post(minimal)},
		{op, "", func(h *house) *answer { return h.post("/v1/messages?dry_run=true", minimal) }},
		{op, requestTimeout, func(h *house) *answer { return h.stall(http.MethodPost, "/v1/messages") }},
		{op, malformedJSON, post(`{"from"`)},
		{op, duplicateMember, post(`{"to":"a@b.example","to":"c@d.example"}`)},
		{op, invalidIdempotencyKey, post(minimal, header("Idempotency-Key", `"open`))},
		{op, invalidParameter, func(h *house) *answer { return h.post("/v1/messages?foo=1", minimal) }},
		{op, requestTooLarge, func(h *house) *answer { return h.do("POST", "/v1/messages", zeros(maxBody+1)) }},
		{op, messageTooLarge, post(big)},
		{op, unsupportedMediaType, post(minimal, header("Content-Type", "text/plain"))},
		{op, validationFailed, post(`{}`)},
		{op, domainNotVerified, func(h *house) *answer {
			return h.post("/v1/messages", `{"from":"a@unverified.example","to":"b@acme.org","subject":"s","text":"t"}`, as(h.keys["live"]))
		}},
		{op, idempotencyKeyReused, func(h *house) *answer {
			h.send(minimal, header("Idempotency-Key", "scene"))
			return h.post("/v1/messages", strings.Replace(minimal, "Hello", "Bye", 1), header("Idempotency-Key", "scene"))
		}},
		{op, internalError, post(minimal)},
		{op, serviceUnavailable, post(minimal)},
		{op, queueFull, post(minimal)},
	}
}

func readScenes() []scene {
	nobody := email.NewMessageID(0)
	scenes := []scene{
		{"getMessage", contentExpired, func(h *house) *answer { return h.get("/v1/messages/" + h.expired() + "?include=content") }},
		{"getRawMessage", contentExpired, func(h *house) *answer { return h.get("/v1/messages/" + h.expired() + "/raw") }},
		{"getMessage", "", func(h *house) *answer { return h.get("/v1/messages/" + h.send(minimal) + "?include=content") }},
		{"listMessages", "", func(h *house) *answer { return h.get("/v1/messages?limit=1") }},
		{"getOpenAPI", "", func(h *house) *answer {
			return h.get("/v1/openapi.yaml", func(r *http.Request) { r.Header.Del("Authorization") })
		}},
		{"getOpenAPI", invalidParameter, func(h *house) *answer { return h.get("/v1/openapi.yaml?x=1") }},
		{"", routeNotFound, func(h *house) *answer { return h.get("/v1/nothing") }},
		{"", misdirectedRequest, func(h *house) *answer { return h.get("/nothing") }},
		{"", methodNotAllowed, func(h *house) *answer { return h.do("DELETE", "/v1/messages", nil) }},
	}
	for op, suffix := range map[string]string{"getMessage": "", "listMessageEvents": "/events", "listMessageAttempts": "/attempts", "getRawMessage": "/raw"} {
		at := func(id, query string) func(*house) *answer {
			return func(h *house) *answer { return h.get("/v1/messages/" + id + suffix + query) }
		}
		scenes = append(scenes,
			scene{op, "", func(h *house) *answer { return h.get("/v1/messages/" + h.send(minimal) + suffix) }},
			scene{op, notFound, at(nobody, "")},
			scene{op, invalidParameter, at(nobody, "?nothing=1")},
			scene{op, internalError, at(nobody, "")},
			scene{op, serviceUnavailable, at(nobody, "")},
		)
	}
	return append(scenes,
		scene{"listMessages", invalidParameter, func(h *house) *answer { return h.get("/v1/messages?limit=0") }},
		scene{"listMessages", internalError, func(h *house) *answer { return h.get("/v1/messages") }},
		scene{"listMessages", serviceUnavailable, func(h *house) *answer { return h.get("/v1/messages") }},
	)
}
