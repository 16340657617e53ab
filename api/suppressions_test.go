package api

import (
	"bytes"
	"encoding/csv"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"postrider/internal/email"
)

const minimalSuppression = `{"email":"gone@example.org"}`

// suppress makes an entry and returns its id.
func (h *house) suppress(body string) string {
	h.t.Helper()
	a := h.post("/v1/suppressions", body)
	if a.status != 201 && a.status != 200 {
		h.t.Fatalf("suppress: %d %s", a.status, a.raw)
	}
	return a.id()
}

func (h *house) importCSV(body string, change ...asker) *answer {
	h.t.Helper()
	return h.do(http.MethodPost, "/v1/suppressions/import", strings.NewReader(body), append([]asker{header("Content-Type", "text/csv")}, change...)...)
}

// api.md 15, and the way of a suppression through a send.
func TestSuppressions(t *testing.T) {
	h := openHouse(t)
	a := h.post("/v1/suppressions", `{"email":"Gone@Example.ORG","note":"by telephone","expires_at":"2099-01-01T00:00:00+01:00"}`)
	if a.status != 201 || a.body["email"] != "Gone@example.org" || a.body["reason"] != "manual" || a.body["stream"] != nil ||
		a.body["expires_at"] != "2098-12-31T23:00:00.000Z" || a.header.Get("Location") != "/v1/suppressions/"+a.id() {
		t.Errorf("created: %d %v %s", a.status, a.header, a.raw)
	}
	again := h.post("/v1/suppressions", minimalSuppression)
	if again.status != 200 || again.id() != a.id() || again.body["note"] != "by telephone" {
		t.Errorf("again: %d %s", again.status, again.raw)
	}
	if got := h.get("/v1/suppressions/" + a.id()); !bytes.Equal(got.raw, a.raw) {
		t.Errorf("read as %s", got.raw)
	}
	for query, want := range map[string]int{
		"": 1, "email=GONE@example.org": 1, "email=other@example.org": 0, "reason=manual": 1, "reason=complaint": 0, "stream=bulk": 0,
		"created_after=2020-01-01T00:00:00Z": 1, "created_after=2099-01-01T00:00:00Z": 0,
	} {
		if got := h.get("/v1/suppressions?" + query).data(); len(got) != want {
			t.Errorf("?%s: %d entries, want %d", query, len(got), want)
		}
	}
	if n := len(h.get("/v1/suppressions", as(h.keys["live"])).data()); n != 0 {
		t.Errorf("the other world has %d", n)
	}
	sent := h.post("/v1/messages", `{"from":"hi@acme.com","to":["gone@example.org","ada@example.org"],"subject":"s","text":"t"}`, header("Idempotency-Key", "once"))
	if diff := cmp.Diff([]any{
		map[string]any{"email": "gone@example.org", "type": "to", "status": "suppressed", "reason": "manual", "suppression_id": a.id()},
		map[string]any{"email": "ada@example.org", "type": "to", "status": "queued", "reason": nil, "suppression_id": nil},
	}, sent.body["recipients"]); diff != "" || sent.status != 202 || h.jobs.count() != 1 {
		t.Errorf("sent: %d, %d jobs\n%s", sent.status, h.jobs.count(), diff)
	}
	if d := h.do(http.MethodDelete, "/v1/suppressions/"+a.id(), nil); d.status != 204 || d.header.Get("Warning") != "" {
		t.Errorf("delete: %d %v", d.status, d.header)
	}
	h.want(h.do(http.MethodDelete, "/v1/suppressions/"+a.id(), nil), 404, string(notFound))
	replay := h.post("/v1/messages", `{"from":"hi@acme.com","to":["gone@example.org","ada@example.org"],"subject":"s","text":"t"}`, header("Idempotency-Key", "once"))
	if !bytes.Equal(replay.raw, sent.raw) {
		t.Errorf("replayed as %s, first was %s", replay.raw, sent.raw)
	}
	events := h.get("/v1/messages/" + sent.id() + "/events").data()
	if len(events) != 2 || events[0]["type"] != "message.suppressed" {
		t.Errorf("events: %v", events)
	}
	all := h.post("/v1/messages", strings.ReplaceAll(minimal, "ada@example.org", "gone@example.org"))
	if all.body["status"] != "queued" {
		t.Errorf("after it was removed: %s", all.raw)
	}
}

func TestSuppressedOnly(t *testing.T) {
	h := openHouse(t)
	h.suppress(minimalSuppression)
	a := h.post("/v1/messages", strings.ReplaceAll(minimal, "ada@", "GONE@"))
	if a.status != 202 || a.body["status"] != "suppressed" || h.jobs.count() != 0 {
		t.Errorf("%d %s, %d jobs", a.status, a.raw, h.jobs.count())
	}
	if m := h.get("/v1/messages/" + a.id()); m.body["completed_at"] == nil {
		t.Errorf("not complete: %s", m.raw)
	}
}

// Whichever way a mail comes in, nobody who is suppressed is sent to.
func TestSuppressedByEveryRoute(t *testing.T) {
	h := openHouse(t)
	id := h.suppress(minimalSuppression)
	body := strings.ReplaceAll(minimal, `"ada@example.org"`, `["ada@example.org","Gone@example.org"]`)
	want := map[string]any{"email": "Gone@example.org", "type": "to", "status": "suppressed", "reason": "manual", "suppression_id": id}
	last := func(recipients any) any { return recipients.([]any)[1] }
	batch := h.post("/v1/messages/batch", batchOf("", body, body))
	for _, r := range batch.results() {
		if diff := cmp.Diff(any(want), last(r["message"].(map[string]any)["recipients"])); diff != "" {
			t.Errorf("batch (-want +got):\n%s", diff)
		}
	}
	raw := h.raw("", strings.Replace(rawMinimal, "Ada <ada@example.org>", "ada@example.org, Gone@example.org", 1))
	if diff := cmp.Diff(any(want), last(raw.body["recipients"])); diff != "" {
		t.Errorf("raw (-want +got):\n%s", diff)
	}
	if n := h.jobs.count(); n != 3 {
		t.Errorf("%d jobs for three messages", n)
	}
	dry := h.post("/v1/messages?dry_run=true", body)
	would := map[string]any{"email": "Gone@example.org", "type": "to", "would": "suppress", "reason": "manual"}
	if diff := cmp.Diff(any(would), last(dry.body["recipients"])); diff != "" {
		t.Errorf("dry run (-want +got):\n%s", diff)
	}
	if got := h.get("/v1/messages?batch_id=" + batch.id()).data(); len(got) != 2 {
		t.Errorf("%d messages of the batch are listed", len(got))
	}
}

func TestSuppressionPages(t *testing.T) {
	h := openHouse(t)
	var want, got []string
	for i := range 7 {
		want = append(want, h.suppress(fmt.Sprintf(`{"email":"u%d@example.org"}`, i)))
	}
	slices.Reverse(want)
	for path := "/v1/suppressions?limit=3&reason=manual"; path != ""; {
		a := h.get(path)
		for _, s := range a.data() {
			got = append(got, s["id"].(string))
		}
		path = ""
		if next, ok := a.body["next_cursor"].(string); ok {
			path = "/v1/suppressions?limit=3&reason=manual&cursor=" + next
			h.want(h.get("/v1/suppressions?cursor="+next), 400, string(invalidParameter))
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("pages (-want +got):\n%s", diff)
	}
}

func TestSuppressionBatch(t *testing.T) {
	h := openHouse(t)
	h.suppress(minimalSuppression)
	h.suppress(`{"email":"gone@example.org","domain":"acme.com"}`)
	a := h.post("/v1/suppressions/batch", `{"add":[{"email":"a@example.org"},{"email":"A@example.org"},{"email":"b@example.org","stream":"bulk"}],"remove":["GONE@example.org"]}`)
	if a.body["added"] != 2.0 || a.body["existing"] != 1.0 || a.body["removed"] != 2.0 {
		t.Errorf("%s", a.raw)
	}
}

func TestSuppressionsRefuse(t *testing.T) {
	h := openHouse(t)
	for _, c := range []refusal{
		{"no object", `[]`, 422, validationFailed, []string{"# invalid_type"}},
		{"nothing", `{}`, 422, validationFailed, []string{"#/email required"}},
		{
			"all wrong",
			`{"email":"canary","reason":"complaint","domain":"a b","stream":"Bulk!","note":"a\nb","expires_at":"2020-01-01T00:00:00Z","id":"sup_1"}`, 422, validationFailed,
			[]string{"#/email invalid_email", "#/reason invalid_format", "#/domain invalid_format", "#/stream invalid_format", "#/note invalid_format", "#/expires_at out_of_range", "#/id unknown_member"},
		},
		{
			"types", `{"email":1,"note":{},"expires_at":"tomorrow"}`, 422, validationFailed,
			[]string{"#/email invalid_type", "#/note invalid_type", "#/expires_at invalid_format"},
		},
	} {
		a := h.post("/v1/suppressions", c.body)
		h.want(a, c.status, string(c.code))
		if diff := cmp.Diff(c.faults, a.faults()); diff != "" || bytes.Contains(a.raw, []byte("canary")) {
			t.Errorf("%s: (-want +got)\n%s\n%s", c.name, diff, a.raw)
		}
	}
	many := strings.Repeat(`"a@example.org",`, maxSuppressionBatch) + `"b@example.org"`
	for body, want := range map[string][]string{
		`{}`:                         {"# required"},
		`{"add":{},"remove":"a@b"}`:  {"#/add invalid_type", "#/remove invalid_type"},
		`{"add":[1],"remove":["x"]}`: {"#/add/0 invalid_type", "#/remove/0 invalid_email"},
		`{"drop":[]}`:                {"#/drop unknown_member"},
		`{"remove":[` + many + `]}`:  {"# too_many"},
	} {
		if diff := cmp.Diff(want, h.post("/v1/suppressions/batch", body).faults()); diff != "" {
			t.Errorf("%.40s: (-want +got)\n%s", body, diff)
		}
	}
	if n := len(h.get("/v1/suppressions").data()); n != 0 {
		t.Errorf("%d were kept", n)
	}
	for _, query := range []string{"email=x", "reason=x", "stream=X", "created_after=x"} {
		h.want(h.get("/v1/suppressions?"+query), 400, string(invalidParameter))
	}
}

// What is exported can be imported, and no spreadsheet runs any of it.
func TestSuppressionCSV(t *testing.T) {
	h := openHouse(t)
	hostile := []string{"=cmd@example.org", "+1@example.org", "-x@example.org", "'=q@example.org", "'@example.org", "plain@example.org"}
	for i, a := range hostile {
		h.suppress(fmt.Sprintf(`{"email":%q,"note":%q,"domain":"acme.com"}`, a, []string{"=1+1", "@SUM(A1)", "a,\"b\"", "-1", "'", "x"}[i]))
	}
	a := h.get("/v1/suppressions/export")
	if a.status != 200 || !strings.HasPrefix(a.header.Get("Content-Disposition"), "attachment") {
		t.Fatalf("export: %d %v", a.status, a.header)
	}
	rows, err := csv.NewReader(bytes.NewReader(a.raw)).ReadAll()
	if err != nil || len(rows) != len(hostile)+1 {
		t.Fatalf("%d rows, %v", len(rows), err)
	}
	for _, row := range rows {
		for _, cell := range row {
			if cell != "" && strings.ContainsRune("=+-@\t\r", rune(cell[0])) {
				t.Errorf("a cell begins with %q", cell[0])
			}
		}
	}
	other := h.importCSV(string(a.raw), as(h.keys["live"]))
	if other.body["rows"] != 6.0 || other.body["added"] != 6.0 {
		t.Fatalf("import: %s", other.raw)
	}
	again := h.importCSV("\ufeff"+string(a.raw), as(h.keys["live"]))
	if again.body["existing"] != 6.0 {
		t.Errorf("import again: %s", again.raw)
	}
	for _, address := range hostile {
		one := h.get("/v1/suppressions?email="+url.QueryEscape(address), as(h.keys["live"])).data()
		if len(one) != 1 || one[0]["email"] != address || one[0]["domain"] != "acme.com" {
			t.Errorf("%s was imported as %v", address, one)
		}
	}
	if head := h.do(http.MethodHead, "/v1/suppressions/export", nil); head.status != 200 || len(head.raw) != 0 {
		t.Errorf("HEAD: %d, %d octets", head.status, len(head.raw))
	}
}

func TestSuppressionImportRefuses(t *testing.T) {
	h := openHouse(t)
	for _, c := range []struct{ body, want string }{
		{"", "1: required"},
		{"address\na@example.org\n", "1: unknown_column, 1:email required"},
		{"email,email\na@example.org,b\n", "1:email invalid_format"},
		{"email\nx\n\n,\n" + "a@example.org\n", "2:email invalid_email, 4: invalid_format"},
		{
			"email,reason,expires_at,stream,note\na@example.org,hard,2001-01-01T00:00:00Z,X,\xff\n", // each column
			"2:reason invalid_format, 2:expires_at out_of_range, 2:stream invalid_format, 2:note invalid_format",
		},
		{"email\na@example.org\n\"b\"c@example.org\n", "3: invalid_format"},
		{"email\n\"open", "2: invalid_format"},
		{"email\n" + strings.Repeat("a@example.org\n", maxImportRows+1), "100002: too_many"},
	} {
		a := h.importCSV(c.body, header("Idempotency-Key", "import"))
		h.want(a, 422, string(validationFailed))
		var got []string
		list, _ := a.body["errors"].([]any)
		for _, e := range list {
			m := e.(map[string]any)
			column, _ := m["column"].(string)
			got = append(got, fmt.Sprintf("%v:%s %v", int(m["line"].(float64)), column, m["code"]))
		}
		if diff := cmp.Diff(c.want, strings.Join(got, ", ")); diff != "" {
			t.Errorf("%.60q (-want +got):\n%s", c.body, diff)
		}
	}
	many := h.importCSV("email\n" + strings.Repeat("x\n", 1000))
	if len(many.faults()) != maxErrors || many.body["truncated"] != true {
		t.Errorf("%d errors, truncated %v", len(many.faults()), many.body["truncated"])
	}
	if n := len(h.get("/v1/suppressions").data()); n != 0 {
		t.Errorf("%d were kept", n)
	}
	for _, contentType := range []string{"application/json", "text/csv; charset=latin1", "text/plain"} {
		h.want(h.importCSV("email\n", header("Content-Type", contentType)), 415, string(unsupportedMediaType))
	}
	ok := h.importCSV("email,reason\na@example.org,complaint\n", header("Idempotency-Key", "import"))
	replay := h.importCSV("email,reason\na@example.org,complaint\n", header("Idempotency-Key", "import"))
	if ok.body["added"] != 1.0 || !bytes.Equal(ok.raw, replay.raw) || replay.header.Get("Idempotent-Replayed") != "true" {
		t.Errorf("%s\n%s", ok.raw, replay.raw)
	}
	id := h.get("/v1/suppressions").data()[0]["id"].(string)
	if d := h.do(http.MethodDelete, "/v1/suppressions/"+id, nil); d.status != 204 || d.header.Get("Warning") == "" {
		t.Errorf("a complaint was removed without a warning: %d %v", d.status, d.header)
	}
	// Who did it is recorded, by whichever way.
	h.importCSV("email,reason\nb@example.org,complaint\nc@example.org,hard_bounce\n")
	h.post("/v1/suppressions/batch", `{"remove":["b@example.org","c@example.org"]}`)
	changes, _, err := h.store.Audit.Latest(t.Context(), []email.World{email.Test}, "", 10)
	if err != nil || len(changes) != 2 || changes[0].Action != "suppression.deleted" || changes[0].Actor != h.get("/v1/me").id() || changes[1].Object != id {
		t.Errorf("recorded %+v, %v", changes, err)
	}
}

func FuzzSuppressionImport(f *testing.F) {
	f.Add([]byte("email,reason\na@example.org,manual\n"))
	f.Add([]byte("email\n\"'=a@example.org\"\n"))
	now := time.Now()
	f.Fuzz(func(t *testing.T, data []byte) {
		faults := eachImported(data, now, func(s email.Suppression) error {
			if _, err := email.NewAddress(s.Email, ""); err != nil || !slices.Contains(email.SuppressionReasons(), s.Reason) {
				t.Errorf("let in %+v", s)
			}
			return nil
		})
		for _, x := range faults {
			if x.Line < 1 {
				t.Errorf("a fault of no line: %+v", x)
			}
		}
	})
}

// suppressionScenes are the ways in which the operations of suppressions end.
func suppressionScenes() []scene {
	const base = "/v1/suppressions"
	nobody := base + "/" + email.NewID(email.SuppressionPrefix)
	csvType := header("Content-Type", "text/csv")
	scenes := []scene{
		{"createSuppression", "", ask(http.MethodPost, base, `{"email":"new@example.org"}`)},
		{"createSuppression", "", ask(http.MethodPost, base, `{"email":"new@example.org"}`)},
		{"listSuppressions", "", ask(http.MethodGet, base, "")},
		{"exportSuppressions", "", ask(http.MethodGet, base+"/export", "")},
		{"batchSuppressions", "", ask(http.MethodPost, base+"/batch", `{"remove":["a@example.org"]}`)},
		{"importSuppressions", "", ask(http.MethodPost, base+"/import", "email\n", csvType)},
		{"getSuppression", "", func(h *house) *answer { return h.get(base + "/" + h.suppress(minimalSuppression)) }},
		{"deleteSuppression", "", func(h *house) *answer {
			return h.do(http.MethodDelete, base+"/"+h.suppress(minimalSuppression), nil)
		}},
		{"importSuppressions", idempotencyInProgress, func(h *house) *answer {
			doc := &document{root: &node{kind: stringKind, text: "email\n"}}
			if _, _, err := h.store.Answers.Hold(h.t.Context(), email.Test, "held import", fingerprint(http.MethodPost, base+"/import", doc.root)); err != nil {
				h.t.Fatal(err)
			}
			return h.importCSV("email\n", header("Idempotency-Key", "held import"))
		}},
	}
	for _, o := range []struct{ name, path, body, contentType string }{
		{"createSuppression", base, minimalSuppression, "application/json"},
		{"batchSuppressions", base + "/batch", `{"remove":["a@example.org"]}`, "application/json"},
		{"importSuppressions", base + "/import", "email\n", "text/csv"},
	} {
		as := header("Content-Type", o.contentType)
		scenes = append(
			scenes,
			scene{o.name, requestTimeout, func(h *house) *answer { return h.stall(http.MethodPost, o.path, as) }},
			scene{o.name, requestTooLarge, func(h *house) *answer { return h.do(http.MethodPost, o.path, zeros(maxBody+1), as) }},
			scene{o.name, unsupportedMediaType, ask(http.MethodPost, o.path, "{}", header("Content-Type", "text/plain"))},
			scene{o.name, validationFailed, ask(http.MethodPost, o.path, `{"x":[]}`, as)},
			scene{o.name, invalidIdempotencyKey, ask(http.MethodPost, o.path, o.body, as, header("Idempotency-Key", ""))},
			scene{o.name, idempotencyKeyReused, func(h *house) *answer {
				h.send(minimal, header("Idempotency-Key", o.name))
				return h.do(http.MethodPost, o.path, strings.NewReader(o.body), as, header("Idempotency-Key", o.name))
			}},
		)
		if o.contentType == "application/json" {
			scenes = append(scenes,
				scene{o.name, malformedJSON, ask(http.MethodPost, o.path, "{")},
				scene{o.name, duplicateMember, ask(http.MethodPost, o.path, `{"a":1,"a":1}`)},
				scene{o.name, idempotencyInProgress, func(h *house) *answer { return h.whileHeld(o.path, o.body) }},
			)
		}
	}
	for _, o := range []struct{ name, method, path, body string }{
		{"createSuppression", http.MethodPost, base, minimalSuppression},
		{"listSuppressions", http.MethodGet, base, ""},
		{"batchSuppressions", http.MethodPost, base + "/batch", `{"remove":["a@example.org"]}`},
		{"importSuppressions", http.MethodPost, base + "/import", "email\na@example.org\n"},
		{"exportSuppressions", http.MethodGet, base + "/export", ""},
		{"getSuppression", http.MethodGet, nobody, ""},
		{"deleteSuppression", http.MethodDelete, nobody, ""},
	} {
		var change []asker
		if strings.HasSuffix(o.path, "/import") {
			change = append(change, csvType)
		}
		scenes = append(
			scenes,
			scene{o.name, invalidParameter, ask(o.method, o.path+"?nothing=1", o.body, change...)},
			scene{o.name, internalError, ask(o.method, o.path, o.body, change...)},
			scene{o.name, serviceUnavailable, ask(o.method, o.path, o.body, change...)},
		)
		if o.path == nobody {
			scenes = append(scenes, scene{o.name, notFound, ask(o.method, o.path, o.body)})
		}
	}
	return scenes
}
