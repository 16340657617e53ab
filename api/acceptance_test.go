package api

import (
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"

	"postrider/internal/apikey"
	"postrider/internal/email"
	"postrider/internal/redistest"
)

// operation is one of the contract's, with what a test needs to ask for it.
type operation struct {
	*openapi3.Operation
	method, template string
	base             string
	body             string // an example; empty: it has none in JSON
	keyless          bool
}

// path is where it is, with an id in the place of the first parameter.
func (o operation) path(id string) string {
	first := true
	return o.base + parameterIn.ReplaceAllStringFunc(o.template, func(string) string {
		if first {
			first = false
			return id
		}
		return "nothing"
	})
}

var parameterIn = regexp.MustCompile(`\{[a-z_]+\}`)

// operations are all that the contract has, in a fixed order.
func (h *house) operations() []operation {
	h.t.Helper()
	var out []operation
	for template, item := range h.contract.doc.Paths.Map() {
		for method, op := range item.Operations() {
			o := operation{Operation: op, method: method, template: template, base: basePaths(h.contract.doc, item)[0]}
			o.keyless = op.Security != nil && len(*op.Security) == 0
			if op.RequestBody != nil && op.RequestBody.Value.Content["application/json"] != nil {
				o.body = h.exampleBody(op)
			}
			out = append(out, o)
		}
	}
	slices.SortFunc(out, func(a, b operation) int { return strings.Compare(a.OperationID, b.OperationID) })
	return out
}

func (h *house) exampleBody(op *openapi3.Operation) string {
	h.t.Helper()
	examples := op.RequestBody.Value.Content["application/json"].Examples
	for _, name := range slices.Sorted(maps.Keys(examples)) {
		return string(exampleBody(h.t, "application/json", examples[name].Value.Value))
	}
	h.t.Errorf("%s has no example", op.OperationID)
	return "{}"
}

// ask sends an operation's example.
func (h *house) ask(o operation, path string, change ...asker) *answer {
	h.t.Helper()
	if o.body == "" {
		return h.do(o.method, path, nil, change...)
	}
	return h.do(o.method, path, strings.NewReader(o.body), change...)
}

// object makes one of the kind that a path is about, in the test world, and names one
// that nobody has.
func (h *house) object(template string) (id, nobody string) {
	h.t.Helper()
	switch kind, _, _ := strings.Cut(strings.TrimPrefix(template, "/"), "/"); kind {
	case "messages":
		return h.send(minimal), email.NewMessageID(0)
	case "events":
		message := h.send(minimal)
		return h.get("/v1/messages/" + message + "/events").data()[0]["id"].(string), email.NewID(email.EventPrefix)
	case "suppressions":
		made := h.post("/v1/suppressions", `{"email":"`+strings.ToLower(email.NewID("x"))+`@example.org","reason":"manual"}`)
		return made.id(), email.NewID("sup")
	case "templates":
		return h.template(minimalTemplate), "nobody"
	case "webhooks":
		return h.hook(minimalHook).id(), email.NewID(email.WebhookPrefix)
	case "api-keys":
		return h.newKey(minimalKey).id(), email.NewID(email.KeyPrefix)
	}
	h.t.Fatalf("this test does not know what %s is about: teach it", template)
	return "", ""
}

// scopeless reports whether any key may ask for it.
func (o operation) scopeless() bool { return strings.Contains(o.Description, "Needs no scope") }

var scopeIn = regexp.MustCompile("scope `([a-z_]+:[a-z_]+)`")

// No route works without the scope that its description names, and with that alone it
// does.
func TestEveryRouteNeedsItsScope(t *testing.T) {
	h := openHouse(t)
	for _, o := range h.operations() {
		if o.keyless || o.scopeless() {
			continue
		}
		named := scopeIn.FindStringSubmatch(o.Description)
		if named == nil {
			t.Errorf("%s does not say which scope it needs", o.OperationID)
			continue
		}
		scope := named[1]
		all := slices.DeleteFunc(apikey.Scopes(), func(s string) bool { return s == scope })
		h.addKey("all but "+scope, email.Test, all...)
		h.addKey("only "+scope, email.Test, scope)
		path := o.path("nothing")
		if a := h.ask(o, path, as(h.keys["all but "+scope])); a.code() != string(insufficientScope) || a.body["required_scope"] != scope {
			t.Errorf("%s without %s: %d %s", o.OperationID, scope, a.status, a.raw)
		}
		if a := h.ask(o, path, as(h.keys["only "+scope])); a.status == 401 || a.body["required_scope"] == scope {
			t.Errorf("%s with %s alone: %d %s", o.OperationID, scope, a.status, a.raw)
		}
		if a := h.ask(o, path, keyless); a.code() != string(missingAPIKey) {
			t.Errorf("%s without a key: %d", o.OperationID, a.status)
		}
	}
}

// An object of the other world is answered as one that does not exist: neither can it be
// read or changed, nor can its being there be guessed.
func TestNoRouteReachesTheOtherWorld(t *testing.T) {
	h := openHouse(t)
	// What differs from request to request says nothing.
	same := func(a *answer, ids ...string) string {
		text := string(a.raw)
		for _, id := range append(ids, a.header.Get("Request-Id")) {
			text = strings.ReplaceAll(text, id, "")
		}
		return text
	}
	for _, o := range h.operations() {
		if o.keyless {
			continue
		}
		if !strings.Contains(o.template, "{") {
			if o.method != http.MethodGet {
				continue // it makes something in its own world
			}
			h.send(minimal)
			a := h.ask(o, o.path(""), as(h.keys["live"]))
			if a.status != 200 || slices.ContainsFunc(a.data(), func(v map[string]any) bool { return v["livemode"] != true }) {
				t.Errorf("%s shows the other world: %d %s", o.OperationID, a.status, a.raw)
			}
			continue
		}
		id, nobody := h.object(o.template)
		foreign, none := h.ask(o, o.path(id), as(h.keys["live"])), h.ask(o, o.path(nobody), as(h.keys["live"]))
		if foreign.code() != string(notFound) || same(foreign, id) != same(none, nobody) {
			t.Errorf("%s of the other world: %d %s\nof nobody: %s", o.OperationID, foreign.status, foreign.raw, none.raw)
		}
		if own := h.ask(o, o.path(id)); own.status == 404 && !strings.Contains(strings.Replace(o.template, "{", "", 1), "{") {
			t.Errorf("%s in its own world: %d %s", o.OperationID, own.status, own.raw)
		}
	}
}

// Events in any order, applied by their seq, end where GET says.
func TestAcceptance06EventsConvergeInAnyOrder(t *testing.T) {
	h := openHouse(t)
	id := h.send(strings.Replace(minimal, `"ada@example.org"`, `["ada@example.org","bob@example.net","cy@example.com"]`, 1))
	h.conclude(id, 0, delivered())
	h.conclude(id, 1, bounced())
	h.conclude(id, 2, deferred())
	h.post("/v1/messages/"+id+"/cancel", "")
	events := h.get("/v1/messages/" + id + "/events?limit=100").data()
	want := make(map[string]any)
	for _, r := range h.get("/v1/messages/" + id).body["recipients"].([]any) {
		recipient := r.(map[string]any)
		want[recipient["email"].(string)] = recipient["status"]
	}
	if len(events) < 7 || want["cy@example.com"] != "canceled" {
		t.Fatalf("%d events, ended %v", len(events), want)
	}
	for round := range 50 {
		if round == 0 {
			slices.Reverse(events)
		} else {
			rand.Shuffle(len(events), func(i, j int) { events[i], events[j] = events[j], events[i] })
		}
		status, seq := make(map[string]any), make(map[string]float64)
		for _, e := range events {
			r := e["data"].(map[string]any)["recipient"].(map[string]any)
			if address := r["email"].(string); r["seq"].(float64) > seq[address] {
				status[address], seq[address] = r["status"], r["seq"].(float64)
			}
		}
		if fmt.Sprint(status) != fmt.Sprint(want) {
			t.Fatalf("round %d ended %v, want %v", round, status, want)
		}
	}
}

// Every route answers what is wrong with problem+json and a Request-Id: the contract, through
// which all requests go, sees to that; here is seen that it is the right one.
func TestAcceptance12EveryRouteAnswersProblems(t *testing.T) {
	h := openHouse(t)
	expect := func(o operation, what string, a *answer, codes ...code) {
		t.Helper()
		if !slices.Contains(codes, code(a.code())) {
			t.Errorf("%s with %s: %d %s", o.OperationID, what, a.status, a.raw)
		}
	}
	for _, o := range h.operations() {
		path := o.path(email.NewMessageID(0))
		wrong := h.do(http.MethodPut, path, nil)
		expect(o, "a wrong method", wrong, methodNotAllowed)
		if wrong.header.Get("Allow") == "" {
			t.Errorf("%s: 405 without Allow", o.OperationID)
		}
		expect(o, "an unknown path", h.get(path+"/nothing/at/all"), routeNotFound)
		if !o.keyless {
			expect(o, "no key", h.ask(o, path, keyless), missingAPIKey)
		}
		if o.body != "" {
			expect(o, "bad JSON", h.do(o.method, path, strings.NewReader(`{"a":`)), malformedJSON)
			expect(o, "29 MiB", h.do(o.method, path, zeros(29<<20)), requestTooLarge, malformedJSON) // what may be larger is not JSON
		}
	}
}

// A walk through a list that grows has no gap and nothing twice, and nor has the log that is
// read while others write it.
func TestAcceptance14PagingWhileInserting(t *testing.T) {
	h := openHouseAt(t, redistest.Server(t))
	old := make(map[string]bool)
	for range 20 {
		old[h.send(minimal)] = true
	}
	const writers, each = 4, 250
	var writing sync.WaitGroup
	for range writers {
		writing.Go(func() {
			for range each {
				h.quickSend()
			}
		})
	}
	done := make(chan struct{})
	go func() { writing.Wait(); close(done) }()
	seen := make(map[string]bool)
	for path := "/v1/messages?limit=7"; path != ""; {
		a := h.get(path)
		for _, m := range a.data() {
			id := m["id"].(string)
			if seen[id] {
				t.Errorf("%s twice", id)
			}
			seen[id] = true
		}
		path = nextPage(t, a)
	}
	for id := range old {
		if !seen[id] {
			t.Errorf("%s was left out", id)
		}
	}
	if got, want := h.followLog(done), len(old)+writers*each; got != want {
		t.Errorf("%d events of %d", got, want)
	}
}

// followLog reads the log until everything was written, and counts the events.
func (h *house) followLog(done <-chan struct{}) int {
	h.t.Helper()
	events, path := make(map[string]bool), "/v1/events?limit=100"
	for last := false; ; {
		a := h.get(path)
		for _, e := range a.data() {
			id := e["id"].(string)
			if events[id] {
				h.t.Errorf("%s twice", id)
			}
			events[id] = true
		}
		next, ok := a.body["next_cursor"].(string)
		if !ok {
			h.t.Fatalf("%d %s\n%s", a.status, a.raw, h.logs)
		}
		path = "/v1/events?limit=100&cursor=" + next
		if a.body["has_more"] == true {
			continue
		}
		if last {
			return len(events)
		}
		select {
		case <-done:
			last = true // and once more
		default:
		}
	}
}

// quickSend posts the minimal message past the contract, for many.
func (h *house) quickSend() {
	req, err := http.NewRequest(http.MethodPost, h.url+"/v1/messages", strings.NewReader(minimal))
	if err != nil {
		h.t.Error(err)
		return
	}
	req.Header.Set("Authorization", "Bearer "+h.keys["full"])
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		h.t.Error(err)
		return
	}
	defer resp.Body.Close()
	if _, err := io.Copy(io.Discard, resp.Body); err != nil || resp.StatusCode != http.StatusAccepted {
		h.t.Errorf("send: %d, %v", resp.StatusCode, err)
	}
}
