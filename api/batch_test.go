package api

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// batchOf is a batch of messages as they stand.
func batchOf(members string, messages ...string) string {
	return `{` + members + `"messages":[` + strings.Join(messages, ",") + `]}`
}

// results are the results of a batch.
func (a *answer) results() []map[string]any {
	list, _ := a.body["results"].([]any)
	out := make([]map[string]any, len(list))
	for i, v := range list {
		out[i], _ = v.(map[string]any)
	}
	return out
}

func TestBatch(t *testing.T) {
	h := openHouse(t)
	body := batchOf(`"defaults":{"from":"a@acme.com","subject":"s","text":"t","tags":["x"],"metadata":{"a":"1","b":"1"}},`,
		`{"to":"ada@example.org","metadata":{"b":"2","c":"2"}}`,
		`{"to":["bob@example.net","eve@example.com"],"subject":"own","tags":["y"],"stream":"bulk"}`)
	key := header("Idempotency-Key", "batch/1")
	a := h.post("/messages/batch", body, key)
	if a.status != 202 || a.body["accepted"] != 2.0 || a.body["rejected"] != 0.0 || !strings.HasPrefix(a.id(), "bat_") {
		t.Fatalf("answer %d %s", a.status, a.raw)
	}
	if h.jobs.count() != 3 {
		t.Errorf("%d jobs for three envelopes", h.jobs.count())
	}
	want := []map[string]any{
		{"subject": "s", "tags": []any{"x"}, "metadata": map[string]any{"a": "1", "b": "2", "c": "2"}, "stream": "transactional"},
		{"subject": "own", "tags": []any{"y"}, "metadata": map[string]any{"a": "1", "b": "1"}, "stream": "bulk"},
	}
	for i, r := range a.results() {
		id := r["message"].(map[string]any)["id"].(string)
		m := h.get("/v1/messages/" + id)
		if r["index"] != float64(i) || r["status"] != "accepted" || m.body["batch_id"] != a.id() || m.body["status"] != "queued" {
			t.Errorf("message %d: %v, %s", i, r, m.raw)
		}
		for name, value := range want[i] {
			if diff := cmp.Diff(value, m.body[name]); diff != "" {
				t.Errorf("message %d, %s (-want +got):\n%s", i, name, diff)
			}
		}
		if n := len(h.get("/v1/messages/" + id + "/events").data()); n != i+1 {
			t.Errorf("message %d has %d events", i, n)
		}
	}
	again := h.post("/v1/messages/batch", body, key)
	if again.status != 202 || again.header.Get("Idempotent-Replayed") != "true" || !bytes.Equal(again.raw, a.raw) {
		t.Errorf("replay %d %s\nfirst %s", again.status, again.raw, a.raw)
	}
	h.want(h.post("/v1/messages/batch", batchOf("", minimal), key), 422, string(idempotencyKeyReused))
	h.want(h.post("/v1/messages", minimal, key), 422, string(idempotencyKeyReused))
	if n := len(h.get("/v1/messages").data()); n != 2 {
		t.Errorf("%d messages", n)
	}
}

// api.md 5: all or nothing, and all that is wrong at once, where it stands.
func TestBatchAtomic(t *testing.T) {
	h := openHouse(t)
	bad := func(to string) string { return `{"from":"a@acme.com","to":` + to + `,"text":"t"}` }
	a := h.post("/v1/messages/batch", batchOf(`"defaults":{"subject":"a\nb","metadata":{"a b":"1","c":5}},`,
		bad(`"ada@example.org"`), bad(`["x","b@example.org",5]`), `5`, `{"subject":"s","from":"a@acme.com","text":"t","metadata":{"x y":"1"},"idempotency_key":" "}`))
	h.want(a, 422, string(validationFailed))
	want := []string{
		"#/defaults/subject invalid_format", "#/defaults/metadata/a%20b invalid_format", "#/defaults/metadata/c invalid_type",
		"#/messages/1/to/0 invalid_email", "#/messages/1/to/2 invalid_type", "#/messages/2 invalid_type", "#/messages/3/to required",
		"#/messages/3/metadata/x%20y invalid_format", "#/messages/3/idempotency_key invalid_format",
	}
	got := a.faults()
	for _, f := range want {
		if !strings.Contains(strings.Join(got, "|")+"|", f+"|") {
			t.Errorf("%q is not among %q", f, got)
		}
	}
	if len(got) != len(want) {
		t.Errorf("faults %q, want %q", got, want)
	}
	h.want(h.post("/v1/messages/batch", batchOf("", instead("from", `"a@unverified.example"`), minimal), as(h.keys["live"])), 422, string(validationFailed))
	h.wantNothing()
}

func TestBatchPartial(t *testing.T) {
	h := openHouse(t)
	big := with(`"attachments":[{"filename":"a.txt","content":"` + strings.Repeat("QUFB", messageLimit/4) + `"}]`)
	live := `{"from":"a@unverified.example","to":"b@acme.org","subject":"s","text":"t"}`
	good := `{"from":"a@acme.com","to":"b@acme.org","subject":"s","text":"t"}`
	used := strings.Replace(good, "{", `{"idempotency_key":"used",`, 1)
	if a := h.post("/v1/messages", instead("to", `"other@acme.org"`), as(h.keys["live"]), header("Idempotency-Key", "used")); a.status != 202 {
		t.Fatalf("a single message: %s", a.raw)
	}
	a := h.post("/v1/messages/batch", batchOf(`"mode":"partial",`, good, `{}`, live, good, strings.Replace(big, "b@example.org", "b@acme.org", 1), used), as(h.keys["live"]))
	if a.status != 202 || a.body["accepted"] != 2.0 || a.body["rejected"] != 4.0 {
		t.Fatalf("answer %d %.2000s", a.status, a.raw)
	}
	var codes []string
	for _, r := range a.results() {
		word := r["status"].(string)
		if e, ok := r["error"].(map[string]any); ok {
			word = fmt.Sprint(e["code"], " ", e["errors"].([]any)[0].(map[string]any)["pointer"])
		}
		codes = append(codes, word)
	}
	want := []string{
		"accepted", "validation_failed #/messages/1/from", "domain_not_verified #/messages/2/from", "accepted",
		"message_too_large #/messages/4", "idempotency_key_reused #/messages/5/idempotency_key",
	}
	if diff := cmp.Diff(want, codes); diff != "" {
		t.Errorf("results (-want +got):\n%s", diff)
	}
	a = h.post("/v1/messages/batch", batchOf(`"mode":"partial",`, `{}`, `[]`), header("Idempotency-Key", "none"))
	h.want(a, 422, string(batchRejected))
	if len(a.results()) != 2 {
		t.Errorf("results of a rejected batch: %s", a.raw)
	}
	if a = h.post("/v1/messages/batch", batchOf(`"mode":"partial",`, minimal), header("Idempotency-Key", "none")); a.status != 202 {
		t.Errorf("the key of a rejected batch is used up: %s", a.raw)
	}
}

// What the defaults give to each message counts as often, or a small body would cost
// memory and time without end.
func TestBatchDefaultsAreBounded(t *testing.T) {
	h := openHouse(t)
	items := slices.Repeat([]string{`{}`}, 500)
	start := `"defaults":{"from":"a@acme.com","subject":"s",`
	values := h.post("/v1/messages/batch", batchOf(start+`"text":"t","to":[`+strings.Repeat(`"a",`, 200)+`"a"]},`, items...))
	h.want(values, 422, string(validationFailed))
	if diff := cmp.Diff([]string{"#/defaults too_many"}, values.faults()); diff != "" {
		t.Errorf("values (-want +got):\n%s", diff)
	}
	text := strings.Repeat("x", maxBatchContent/500)
	octets := h.post("/v1/messages/batch", batchOf(start+`"to":"ada@example.org","text":"`+text+`"},`, items...))
	h.want(octets, 413, string(requestTooLarge))
	if limit, actual := octets.body["limit_bytes"], octets.body["actual_bytes"]; limit != float64(maxBatchContent) || actual.(float64) <= maxBatchContent {
		t.Errorf("octets: %s", octets.raw)
	}
	if n := h.jobs.count(); n != 0 {
		t.Errorf("%d jobs", n)
	}
}

// A null in the defaults is no member, for the fingerprint of a message neither.
func TestBatchDefaultOfNull(t *testing.T) {
	h := openHouse(t)
	alone := strings.Replace(minimal, "{", `{"tags":["welcome"],`, 1)
	item := strings.Replace(alone, "{", `{"idempotency_key":"welcome/42",`, 1)
	h.want(h.post("/v1/messages/batch", batchOf(`"defaults":{"tags":null},`, item)), 202, "")
	again := h.post("/v1/messages", alone, header("Idempotency-Key", "welcome/42"))
	if again.status != 202 || again.header.Get("Idempotent-Replayed") != "true" {
		t.Errorf("%d %s", again.status, again.raw)
	}
}

// The largest that may be: 500 messages in almost 30 MiB.
func TestBatchOfTheLargestSize(t *testing.T) {
	h := openHouse(t)
	items := make([]string, 500)
	for i := range items {
		items[i] = fmt.Sprintf(`{"to":"r%d@example.org"}`, i)
		if i%2 == 0 {
			items[i] = fmt.Sprintf(`{"to":"r%d@example.org","text":"%s"}`, i, strings.Repeat("x", 124_000))
		}
	}
	body := batchOf(`"defaults":{"from":"a@acme.com","subject":"s","text":"t"},`, items...)
	if len(body) < maxBatchBody-1<<20 || len(body) > maxBatchBody {
		t.Fatalf("the body has %d octets", len(body))
	}
	a := h.post("/v1/messages/batch", body, header("Idempotency-Key", "largest"))
	if a.status != 202 || a.body["accepted"] != 500.0 || len(a.results()) != 500 || h.jobs.count() != 500 {
		t.Fatalf("%d %.500s, %d jobs", a.status, a.raw, h.jobs.count())
	}
	last := a.results()[498]["message"].(map[string]any)["id"].(string)
	if m := h.get("/v1/messages/" + last + "?include=content"); len(m.body["text"].(string)) != 124_000 {
		t.Errorf("a message of it: %.500s", m.raw)
	}
	again := h.post("/v1/messages/batch", body, header("Idempotency-Key", "largest"))
	if again.header.Get("Idempotent-Replayed") != "true" || !bytes.Equal(again.raw, a.raw) || h.jobs.count() != 500 {
		t.Errorf("replay %d %.500s", again.status, again.raw)
	}
}

// What is wrong with the whole of a batch.
func TestBatchRefuses(t *testing.T) {
	h := openHouse(t)
	many := strings.TrimSuffix(strings.Repeat(minimal+",", 501), ",")
	recipients := func(i int) string {
		list := make([]string, 50)
		for k := range list {
			list[k] = fmt.Sprintf(`"r%d.%d@example.org"`, i, k)
		}
		return instead("to", "["+strings.Join(list, ",")+"]")
	}
	crowd := make([]string, 101)
	for i := range crowd {
		crowd[i] = recipients(i)
	}
	for name, c := range map[string]struct {
		body string
		want []string
	}{
		"no object":           {`[` + minimal + `]`, []string{"# invalid_type"}},
		"nothing":             {`{}`, []string{"#/messages required"}},
		"no messages":         {`{"messages":[]}`, []string{"#/messages required"}},
		"no array":            {`{"messages":{}}`, []string{"#/messages invalid_type"}},
		"too many":            {`{"messages":[` + many + `]}`, []string{"#/messages too_many"}},
		"too many recipients": {batchOf("", crowd...), []string{"#/messages too_many"}},
		"too many values":     {`{"messages":[` + strings.Repeat("1,", 100_001) + `1]}`, []string{"# too_many"}},
		"mode":                {batchOf(`"mode":"some","more":1,`, minimal), []string{"#/mode invalid_format", "#/more unknown_member"}},
		"defaults":            {batchOf(`"defaults":5,`, minimal), []string{"#/defaults invalid_type"}},
		"key in the defaults": {batchOf(`"defaults":{"idempotency_key":"k"},`, minimal), []string{"#/defaults/idempotency_key unknown_member"}},
		"key for all, in the defaults": {
			batchOf(`"defaults":{"idempotency_key":"k"},`, minimal, minimal), []string{"#/defaults/idempotency_key unknown_member"},
		},
		"the whole and its messages": {
			batchOf(`"mode":"some","partial":true,"defaults":{"subject":5},`, minimal, `{"to":"ada","text":"Hi"}`, `7`),
			[]string{
				"#/mode invalid_format", "#/partial unknown_member", "#/messages/1/from required", "#/messages/1/to invalid_email",
				"#/defaults/subject invalid_type", "#/messages/2 invalid_type",
			},
		},
		"keys twice": {
			batchOf("", with(`"idempotency_key":"k"`), with(`"idempotency_key":"k"`)),
			[]string{"#/messages/1/idempotency_key mutually_exclusive"},
		},
	} {
		a := h.post("/v1/messages/batch", c.body)
		h.want(a, 422, string(validationFailed))
		if diff := cmp.Diff(c.want, a.faults()); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
	// One key cannot stand for the whole and for one of its messages.
	own := h.post("/v1/messages/batch", batchOf("", minimal, with(`"idempotency_key":"k"`)), header("Idempotency-Key", "k"))
	if diff := cmp.Diff([]string{"#/messages/1/idempotency_key mutually_exclusive"}, own.faults()); diff != "" {
		t.Errorf("the key of the batch (-want +got):\n%s", diff)
	}
	h.wantNothing()
}

// api.md 5: a client may cut its messages into other batches after a crash.
func TestBatchItemsAreReplayed(t *testing.T) {
	h := openHouse(t)
	item := func(n int) string {
		return fmt.Sprintf(`{"from":"a@acme.com","to":"b%d@example.org","subject":"s","text":"t","idempotency_key":"item/%d"}`, n, n)
	}
	first := h.post("/v1/messages/batch", batchOf("", item(1), item(2)))
	alone := h.post("/v1/messages", `{"text":"t","from":"a@acme.com","to":"b3@example.org","subject":"s"}`, header("Idempotency-Key", "item/3"))
	again := h.post("/v1/messages/batch", batchOf(`"defaults":{"subject":"s"},`, item(2), item(3), item(4)))
	if first.status != 202 || alone.status != 202 || again.status != 202 {
		t.Fatalf("answers %s\n%s\n%s", first.raw, alone.raw, again.raw)
	}
	id := func(a *answer, i int) any { return a.results()[i]["message"].(map[string]any)["id"] }
	r := again.results()
	if id(again, 0) != id(first, 1) || id(again, 1) != alone.id() || r[0]["replayed"] != true || r[1]["replayed"] != true || r[2]["replayed"] != false {
		t.Errorf("answer %s", again.raw)
	}
	other := strings.Replace(item(1), `"t"`, `"other"`, 1)
	a := h.post("/v1/messages/batch", batchOf("", other, item(5)))
	h.want(a, 422, string(validationFailed))
	if diff := cmp.Diff([]string{"#/messages/0/idempotency_key idempotency_key_reused"}, a.faults()); diff != "" {
		t.Errorf("faults (-want +got):\n%s", diff)
	}
	if n := len(h.get("/v1/messages").data()); n != 4 {
		t.Errorf("%d messages, want 4", n)
	}
	if a := h.post("/v1/messages", `{"text":"t","from":"a@acme.com","to":"b4@example.org","subject":"s"}`, header("Idempotency-Key", "item/4")); a.id() != id(again, 2) {
		t.Errorf("an item sent alone: %s", a.raw)
	}
}

func batchScenes() []scene {
	op, route := "sendBatch", "/v1/messages/batch"
	post := func(body string, change ...asker) func(*house) *answer {
		return func(h *house) *answer { return h.post(route, body, change...) }
	}
	one := batchOf("", minimal)
	return []scene{
		{op, "", post(one)},
		{op, requestTimeout, func(h *house) *answer { return h.stall("POST", route) }},
		{op, malformedJSON, post(`{"messages"`)},
		{op, duplicateMember, post(batchOf(`"messages":[],`, minimal))},
		{op, invalidIdempotencyKey, post(one, header("Idempotency-Key", `"open`))},
		{op, invalidParameter, func(h *house) *answer { return h.post(route+"?dry_run=true", one) }},
		{op, requestTooLarge, func(h *house) *answer { return h.do("POST", route, zeros(maxBatchBody+1)) }},
		{op, unsupportedMediaType, post(one, header("Content-Type", "text/plain"))},
		{op, validationFailed, post(`{}`)},
		{op, batchRejected, post(batchOf(`"mode":"partial",`, `{}`))},
		{op, idempotencyKeyReused, func(h *house) *answer {
			h.send(minimal, header("Idempotency-Key", "batch scene"))
			return h.post(route, one, header("Idempotency-Key", "batch scene"))
		}},
		{op, internalError, post(one)},
		{op, serviceUnavailable, post(one)},
		{op, queueFull, post(one)},
	}
}

func TestDryRun(t *testing.T) {
	h := openHouse(t)
	body := `{"from":"a@acme.com","to":"b@example.org","bcc":"c@example.org","subject":"s","html":"<p>Hi <b>you</b></p>` + strings.Repeat("x", 110<<10) + `","text":""}`
	a := h.post("/v1/messages?dry_run=true", body, header("Idempotency-Key", "dry"))
	recipients, _ := a.body["recipients"].([]any)
	warnings, _ := a.body["warnings"].([]any)
	if a.status != 200 || a.body["object"] != "message_preview" || len(recipients) != 2 || len(warnings) != 2 || a.body["text"] != nil {
		t.Errorf("answer %d %.500s", a.status, a.raw)
	}
	if a := h.post("/v1/messages?dry_run=true", `{"from":"a@acme.com","to":"b@example.org","subject":"s","html":"<p>Hi</p>"}`); a.body["text"] != "Hi" {
		t.Errorf("the text that would be made: %s", a.raw)
	}
	h.want(h.post("/v1/messages?dry_run=true", `{}`), 422, string(validationFailed))
	h.want(h.post("/v1/messages?dry_run=yes", minimal), 400, string(invalidParameter))
	h.wantNothing()
	if a := h.post("/v1/messages?dry_run=false", minimal, header("Idempotency-Key", "dry")); a.status != 202 || a.header.Get("Idempotent-Replayed") != "" {
		t.Errorf("after a dry run: %d %s", a.status, a.raw)
	}
}
