package api

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"postrider/internal/email"
)

const (
	minimalTemplate = `{"name":"Greeting","subject":"Hello","text":"Hi"}`
	// receiptTemplate is the one that the examples of the contract name.
	receiptTemplate = `{"alias":"receipt","name":"Receipt","from":"Acme <hi@acme.com>","subject":"Receipt {{order.id}}",` +
		`"html":"<p>Thank you, {{name}}.</p><p>{{order.total}}</p>"}`
	threeVariables = `{"alias":"order","name":"Order","from":"Acme <hi@acme.com>","subject":"Order {{order.id}}",` +
		`"html":"<p>Hi {{name}}</p>{{#each order.lines}}<p>{{price}}</p>{{/each}}<p>{{order.total}}</p>"}`
)

// template makes a template and gives its id.
func (h *house) template(body string, change ...asker) string {
	h.t.Helper()
	a := h.post("/v1/templates", body, change...)
	h.want(a, http.StatusCreated, "")
	return a.id()
}

// published makes a template that is published.
func (h *house) published(body string, change ...asker) string {
	h.t.Helper()
	id := h.template(body, change...)
	h.publish(id, change...)
	return id
}

func (h *house) publish(id string, change ...asker) *answer {
	h.t.Helper()
	a := h.post("/v1/templates/"+id+"/publish", "", change...)
	h.want(a, http.StatusOK, "")
	return a
}

func (h *house) edit(id, body string, change ...asker) *answer {
	h.t.Helper()
	return h.do(http.MethodPatch, "/v1/templates/"+id, strings.NewReader(body), change...)
}

// made sends a mail from a template and gives the message with its content.
func (h *house) made(template string, change ...asker) *answer {
	h.t.Helper()
	a := h.post("/v1/messages", `{"to":"ada@example.org","template":`+template+`}`, change...)
	h.want(a, http.StatusAccepted, "")
	return h.get("/v1/messages/"+a.id()+"?include=content", change...)
}

// Acceptance check 9 of api.md 24: a template with three missing variables is one 422
// that names all three, and nothing is queued.
func TestAcceptance9MissingVariables(t *testing.T) {
	h := openHouse(t)
	id := h.published(threeVariables)
	body := `{"to":"ada@example.org","template":{"id":"order","variables":{"order":{"id":"A-1","lines":[{"price":1},{}]}}}}`
	a := h.post("/v1/messages", body, header("Idempotency-Key", "order/1"))
	h.want(a, http.StatusUnprocessableEntity, string(templateVariables))
	if diff := cmp.Diff([]any{"name", "order.lines.1.price", "order.total"}, a.body["missing"]); diff != "" {
		t.Errorf("missing (-want +got):\n%s", diff)
	}
	want := []string{
		"#/template/variables/name template_variables_missing",
		"#/template/variables/order/lines/1/price template_variables_missing",
		"#/template/variables/order/total template_variables_missing",
	}
	if diff := cmp.Diff(want, a.faults()); diff != "" {
		t.Errorf("faults (-want +got):\n%s", diff)
	}
	h.wantNothing()
	// Refused, the key is free for the request put right.
	good := `{"to":"ada@example.org","template":{"id":"order","variables":{"name":"Ada","order":{"id":"A-1","total":"9.90","lines":[]}}}}`
	sent := h.post("/v1/messages", good, header("Idempotency-Key", "order/1"))
	h.want(sent, http.StatusAccepted, "")
	got := h.get("/v1/messages/" + sent.id() + "?include=content")
	if got.body["subject"] != "Order A-1" || got.body["html"] != "<p>Hi Ada</p><p>9.90</p>" || got.body["text"] != "Hi Ada\n\n9.90" {
		t.Errorf("subject %q, html %q, text %q", got.body["subject"], got.body["html"], got.body["text"])
	}
	if diff := cmp.Diff(map[string]any{"id": id, "alias": "order", "version": 1.0}, got.body["template"]); diff != "" {
		t.Errorf("template (-want +got):\n%s", diff)
	}
}

// What a message says is fixed when it is accepted: neither a later version nor the end
// of the template changes it, and its replay says the same.
func TestMessageKeepsItsTemplateVersion(t *testing.T) {
	h := openHouse(t)
	h.published(receiptTemplate)
	send := `{"to":"ada@example.org","template":{"id":"receipt","variables":{"name":"Ada","order":{"id":"1","total":"5"}}}}`
	first := h.post("/v1/messages", send, header("Idempotency-Key", "receipt/1"))
	h.want(first, http.StatusAccepted, "")
	h.want(h.edit("receipt", `{"html":"<p>New {{name}}</p>","subject":"New"}`), http.StatusOK, "")
	h.publish("receipt")
	replay := h.post("/v1/messages", send, header("Idempotency-Key", "receipt/1"))
	if replay.header.Get("Idempotent-Replayed") != "true" || string(replay.raw) != string(first.raw) {
		t.Errorf("replay %d %s", replay.status, replay.raw)
	}
	second := h.made(`{"id":"receipt","variables":{"name":"Ada"}}`)
	pinned := h.made(`{"id":"receipt","version":1,"variables":{"name":"Bob","order":{"id":"2","total":"5"}}}`)
	h.want(h.do(http.MethodDelete, "/v1/templates/receipt", nil), http.StatusNoContent, "")
	old := h.get("/v1/messages/" + first.id() + "?include=content")
	for _, c := range []struct {
		a                   *answer
		subject, html, made string
	}{
		{old, "Receipt 1", "<p>Thank you, Ada.</p><p>5</p>", "1"},
		{second, "New", "<p>New Ada</p>", "2"},
		{pinned, "Receipt 2", "<p>Thank you, Bob.</p><p>5</p>", "1"},
	} {
		version := fmt.Sprint(c.a.body["template"].(map[string]any)["version"])
		if c.a.body["subject"] != c.subject || c.a.body["html"] != c.html || version != c.made {
			t.Errorf("subject %q, html %q, version %s; want %+v", c.a.body["subject"], c.a.body["html"], version, c)
		}
	}
}

// The members of the request go before those of the template; text beside HTML stays.
func TestRequestOverridesTemplate(t *testing.T) {
	h := openHouse(t)
	h.published(`{"alias":"a","name":"A","from":"{{brand}} <hi@acme.com>","reply_to":"help@acme.com","subject":"T","html":"<p>x</p>","text":"own"}`)
	mine := h.post("/v1/messages", `{"from":"me@acme.com","reply_to":"r@acme.com","subject":"S","to":"b@example.org","template":{"id":"a","variables":{"brand":"B"}}}`)
	h.want(mine, http.StatusAccepted, "")
	theirs := h.made(`{"id":"a","variables":{"brand":"Acme, Inc."}}`)
	got := h.get("/v1/messages/" + mine.id() + "?include=content")
	if from := theirs.body["from"].(map[string]any); from["email"] != "hi@acme.com" || from["name"] != "Acme, Inc." {
		t.Errorf("from %v", from)
	}
	if got.body["subject"] != "S" || got.body["text"] != "own" || got.body["from"].(map[string]any)["email"] != "me@acme.com" {
		t.Errorf("message %s", got.raw)
	}
	if len(got.body["reply_to"].([]any)) != 1 || got.body["reply_to"].([]any)[0].(map[string]any)["email"] != "r@acme.com" {
		t.Errorf("reply_to %v", got.body["reply_to"])
	}
}

// Everything that a template in a send may be refused for.
func TestSendByTemplateRefuses(t *testing.T) {
	h := openHouse(t)
	h.published(receiptTemplate)
	h.template(`{"alias":"draft","name":"D","from":"a@acme.com","subject":"s","text":"t"}`)
	h.template(`{"alias":"draft","name":"D","from":"a@acme.com","subject":"s","text":"t"}`, as(h.keys["live"]))
	h.published(`{"alias":"frame","name":"F","kind":"layout","html":"{{{content}}}"}`)
	h.published(`{"alias":"nofrom","name":"N","subject":"{{s}}","html":"<a href=\"{{url}}\">x</a>"}`)
	h.published(`{"alias":"typed","name":"T","from":"{{who}}","subject":"s","text":"{{n}}","variables":[{"key":"n","type":"number"}]}`)
	to := func(template string) string { return `{"to":"b@example.org","template":` + template + `}` }
	for _, c := range []struct {
		name, body string
		code       code
		faults     []string
	}{
		{"no object", to(`"receipt"`), validationFailed, []string{"#/template invalid_type"}},
		{"no id", to(`{}`), validationFailed, []string{"#/template/id required"}},
		{"unknown member", to(`{"id":"receipt","vars":{}}`), validationFailed, []string{"#/template/vars unknown_member"}},
		{"wrong types", to(`{"id":1,"version":"1","variables":[]}`), validationFailed, []string{"#/template/id invalid_type", "#/template/version invalid_type", "#/template/variables invalid_type"}},
		{"version 0", to(`{"id":"receipt","version":0}`), validationFailed, []string{"#/template/version out_of_range"}},
		{
			"beside html and text", `{"to":"b@example.org","html":"x","text":"y","template":{"id":"receipt"}}`, validationFailed,
			[]string{"#/html mutually_exclusive", "#/text mutually_exclusive"},
		},
		{"unknown", to(`{"id":"nobody"}`), templateNotFound, []string{"#/template/id template_not_found"}},
		{"unknown version", to(`{"id":"receipt","version":9}`), templateNotFound, []string{"#/template/version template_not_found"}},
		{"a layout", to(`{"id":"frame"}`), templateNotFound, []string{"#/template/id template_not_found"}},
		{"missing", to(`{"id":"receipt","variables":{"name":null}}`), templateVariables, []string{
			"#/template/variables/order/id template_variables_missing", "#/template/variables/name template_variables_missing",
			"#/template/variables/order/total template_variables_missing",
		}},
		{"no from anywhere", to(`{"id":"nofrom","variables":{"s":"s","url":"https://x.example"}}`), validationFailed, []string{"#/from required"}},
		{"bad address", to(`{"id":"nofrom","variables":{"s":"s","url":"javascript:alert(1)"}}`), templateRenderFailed, []string{"#/template template_render_failed"}},
		{"empty subject and from", `{"to":"b@example.org","template":{"id":"typed","variables":{"who":"x y","n":1}}}`, templateRenderFailed, []string{"#/template template_render_failed"}},
		{"wrong type", to(`{"id":"typed","variables":{"who":"a@acme.com","n":"1"}}`), validationFailed, []string{"#/template/variables/n invalid_type"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			a := h.post("/v1/messages", c.body)
			h.want(a, http.StatusUnprocessableEntity, string(c.code))
			if diff := cmp.Diff(c.faults, a.faults()); diff != "" {
				t.Errorf("faults (-want +got):\n%s\n%s", diff, a.raw)
			}
		})
	}
	bad := h.post("/v1/messages", to(`{"id":"nofrom","variables":{"s":"s","url":"javascript:alert(1)"}}`))
	if bad.body["line"] != 1.0 || bad.body["column"] != 17.0 || strings.Contains(string(bad.raw), "alert") {
		t.Errorf("where it failed: %s", bad.raw)
	}
	live := func(template string) string { return `{"to":"delivered@sandbox.test","template":` + template + `}` }
	unpublished := h.post("/v1/messages", live(`{"id":"draft"}`), as(h.keys["live"]))
	h.want(unpublished, http.StatusUnprocessableEntity, string(templateNotPublished))
	pinned := h.post("/v1/messages", live(`{"id":"draft","version":1}`), as(h.keys["live"]))
	if diff := cmp.Diff([]string{"#/template/version template_not_published"}, pinned.faults()); diff != "" {
		t.Errorf("faults (-want +got):\n%s", diff)
	}
	h.wantNothing()
	// A test key may send what is not published.
	h.want(h.post("/v1/messages", to(`{"id":"draft"}`)), http.StatusAccepted, "")
}

// A fault of a declaration is told where it stands.
func TestFaultsOfDeclarationsHaveTheirPlace(t *testing.T) {
	h := openHouse(t)
	a := h.post("/v1/templates", `{"name":"N","subject":"s","text":"{{a}} {{b}}","variables":[
		{"key":"a","type":"string"},{"key":"b","type":"number","default":"x"},{"key":"a","type":"string"},{"key":"","type":"string"},
		{"key":"c","type":"object","example":[]}]}`)
	h.want(a, http.StatusUnprocessableEntity, string(validationFailed))
	var pointers []string
	for _, f := range a.body["errors"].([]any) {
		fault := f.(map[string]any)
		pointers = append(pointers, fault["pointer"].(string))
		if fault["line"] != nil {
			t.Errorf("a line in a text: %v", fault)
		}
	}
	if diff := cmp.Diff([]string{"#/variables/1/default", "#/variables/2/key", "#/variables/3/key", "#/variables/4/example"}, pointers); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// Each message of a batch has variables of its own, beside those of the defaults, and
// each has its own faults.
func TestBatchByTemplate(t *testing.T) {
	h := openHouse(t)
	h.published(receiptTemplate)
	batch := func(mode, second string) string {
		return `{"mode":"` + mode + `","defaults":{"template":{"id":"receipt","variables":{"order":{"id":"7","total":"5"}}}},"messages":[` +
			`{"to":"ada@example.org","template":{"variables":{"name":"Ada"}}},` + second + `]}`
	}
	a := h.post("/v1/messages/batch", batch("atomic", `{"to":"bob@example.org","template":{"variables":{"name":"Bob","order":{"id":"8","total":"6"}}}}`))
	h.want(a, http.StatusAccepted, "")
	for i, want := range []string{"Receipt 7|<p>Thank you, Ada.</p><p>5</p>", "Receipt 8|<p>Thank you, Bob.</p><p>6</p>"} {
		id := a.body["results"].([]any)[i].(map[string]any)["message"].(map[string]any)["id"].(string)
		m := h.get("/v1/messages/" + id + "?include=content")
		if got := fmt.Sprint(m.body["subject"], "|", m.body["html"]); got != want {
			t.Errorf("message %d: %s, want %s", i, got, want)
		}
	}
	bad := `{"to":"bob@example.org","template":{"variables":{"order":{"id":"8"}}}}`
	refused := h.post("/v1/messages/batch", batch("atomic", bad))
	h.want(refused, http.StatusUnprocessableEntity, string(validationFailed))
	want := []string{
		"#/messages/1/template/variables/name template_variables_missing",
		"#/messages/1/template/variables/order/total template_variables_missing",
	}
	if diff := cmp.Diff(want, refused.faults()); diff != "" {
		t.Errorf("faults (-want +got):\n%s", diff)
	}
	bare := h.post("/v1/messages/batch", batch("atomic", `{"to":"bob@example.org"}`)) // all of it comes from the defaults but what is missing
	if diff := cmp.Diff(want[:1], bare.faults()); diff != "" {
		t.Errorf("faults of a message without variables (-want +got):\n%s", diff)
	}
	partial := h.post("/v1/messages/batch", batch("partial", bad))
	h.want(partial, http.StatusAccepted, "")
	failed := partial.body["results"].([]any)[1].(map[string]any)["error"].(map[string]any)
	if failed["code"] != string(templateVariables) || fmt.Sprint(failed["missing"]) != "[name order.total]" {
		t.Errorf("result %v", failed)
	}
}

// The list can be narrowed to one template, by id and by alias.
func TestListByTemplate(t *testing.T) {
	h := openHouse(t)
	id := h.published(receiptTemplate)
	h.send(minimal)
	sent := h.made(`{"id":"receipt","variables":{"name":"Ada","order":{"id":"7","total":"5"}}}`)
	for _, name := range []string{id, "receipt"} {
		found := h.get("/v1/messages?template=" + name).data()
		if len(found) != 1 || found[0]["id"] != sent.id() {
			t.Errorf("by %s: %d messages", name, len(found))
		}
	}
	h.want(h.get("/v1/messages?template=nobody"), 400, string(invalidParameter))
	if n := len(h.get("/v1/messages?template=" + email.NewID(email.TemplatePrefix)).data()); n != 0 {
		t.Errorf("%d messages of another template", n)
	}
	events := h.get("/v1/events?limit=100").data()
	last := events[len(events)-1]["data"].(map[string]any)["message"].(map[string]any)
	if diff := cmp.Diff(map[string]any{"id": id, "alias": "receipt", "version": 1.0}, last["template"]); diff != "" {
		t.Errorf("template in an event (-want +got):\n%s", diff)
	}
	preview := h.post("/v1/messages?dry_run=true", `{"to":"a@example.org","template":{"id":"receipt","variables":{"name":"<Ada>","order":{"id":"7","total":"5"}}}}`)
	if preview.body["html"] != "<p>Thank you, &lt;Ada&gt;.</p><p>5</p>" || preview.body["subject"] != "Receipt 7" {
		t.Errorf("dry run: %s", preview.raw)
	}
}

// The worlds have templates of their own.
func TestTemplatesAreOfOneWorld(t *testing.T) {
	h := openHouse(t)
	id := h.published(receiptTemplate)
	live := as(h.keys["live"])
	h.want(h.get("/v1/templates/"+id, live), 404, string(notFound))
	h.want(h.get("/v1/templates/receipt", live), 404, string(notFound))
	h.template(receiptTemplate, live) // the alias is free there
	if n := len(h.get("/v1/templates", live).data()); n != 1 {
		t.Errorf("%d live templates", n)
	}
}

// Of changes that race with the same If-Match one wins, and the others are told.
func TestTemplateIfMatch(t *testing.T) {
	h := openHouse(t)
	id := h.template(minimalTemplate)
	first := h.get("/v1/templates/" + id)
	etag := first.header.Get("ETag")
	if etag != `"`+first.body["etag"].(string)+`"` {
		t.Fatalf("ETag %s, etag %v", etag, first.body["etag"])
	}
	var (
		mu       sync.Mutex
		statuses = map[int]int{}
		all      sync.WaitGroup
	)
	for i := range 8 {
		all.Go(func() {
			a := h.edit(id, fmt.Sprintf(`{"text":"try %d"}`, i), header("If-Match", etag))
			mu.Lock()
			defer mu.Unlock()
			statuses[a.status]++
		})
	}
	all.Wait()
	if diff := cmp.Diff(map[int]int{200: 1, 412: 7}, statuses); diff != "" {
		t.Errorf("answers (-want +got):\n%s", diff)
	}
	now := h.get("/v1/templates/" + id)
	stale := h.edit(id, `{"text":"x"}`, header("If-Match", etag))
	h.want(stale, http.StatusPreconditionFailed, string(preconditionFailed))
	if stale.body["current_etag"] != now.body["etag"] {
		t.Errorf("current_etag %v, is %v", stale.body["current_etag"], now.body["etag"])
	}
	for _, c := range []struct {
		value  string
		status int
	}{
		{`"x", ` + now.header.Get("ETag"), 200},
		{"*", 200},
		{"W/" + now.header.Get("ETag"), 412},
		{`"x"`, 412},
		{"x", 400},
		{"", 400},
		{`"x" "y"`, 400},
	} {
		if a := h.edit(id, `{"name":"Greeting"}`, header("If-Match", c.value)); a.status != c.status {
			t.Errorf("If-Match %s: %d, want %d", c.value, a.status, c.status)
		}
	}
}

// A Redis that loses a reply must not make two of one.
func TestTemplateIsMadeOnce(t *testing.T) {
	h := openHouse(t)
	one := h.post("/v1/templates", receiptTemplate, header("Idempotency-Key", "t/1"))
	two := h.post("/v1/templates", receiptTemplate, header("Idempotency-Key", "t/1"))
	if one.id() != two.id() || two.header.Get("ETag") != one.header.Get("ETag") || two.header.Get("Idempotent-Replayed") != "true" {
		t.Errorf("%s and %s", one.raw, two.raw)
	}
	again := h.post("/v1/templates", receiptTemplate)
	h.want(again, http.StatusConflict, string(alreadyExists))
	if again.body["existing_id"] != one.id() {
		t.Errorf("existing_id %v", again.body["existing_id"])
	}
	if n := h.rdb.HLen(context.Background(), "test:{tpl}:t").Val(); n != 1 {
		t.Errorf("%d templates", n)
	}
}

// Who changed a template by which request is on record.
func TestChangesOfTemplatesAreOnRecord(t *testing.T) {
	h := openHouse(t)
	id := h.published(minimalTemplate)
	h.want(h.edit(id, `{"text":"Hello"}`), http.StatusOK, "")
	h.want(h.edit(id, `{"text":"{{"}`), http.StatusUnprocessableEntity, "validation_failed")
	h.want(h.post("/v1/templates/"+id+"/versions/1/restore", ""), http.StatusOK, "")
	h.want(h.do(http.MethodDelete, "/v1/templates/"+id, nil), http.StatusNoContent, "")
	list, _, err := h.store.Audit.Latest(t.Context(), []email.World{email.Test}, "", 10)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, c := range list {
		got = append(got, c.Action)
		if c.Object != id || !strings.HasPrefix(c.Actor, "key_") || !strings.HasPrefix(c.Request, "req_") {
			t.Errorf("recorded %+v", c)
		}
	}
	want := []string{"template.deleted", "template.restored", "template.updated", "template.published", "template.created"}
	if !slices.Equal(got, want) {
		t.Errorf("recorded %v", got)
	}
}
