package api

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"postrider/internal/email"
)

// rich is a message with something in every member.
const rich = `{"from":"Acme <hi@acme.com>","to":["Ada <ada@example.org>","bob@example.net"],"cc":"c@example.org","reply_to":"r@acme.com",
	"subject":"Hé\u2028llo <b>","html":"<p>Hi</p>","text":"Hi","headers":{"X-B":"1","X-A":"2"},"tags":["b","a"],"metadata":{"order":"42"},
	"attachments":[{"filename":"a.txt","content":"QUJD","content_type":"text/plain"},{"filename":"l.gif","content":"R0lG","content_id":"logo"}]}`

func TestGetMessage(t *testing.T) {
	h := openHouse(t)
	id := h.send(rich)
	h.conclude(id, 0, deferred())
	a := h.get("/messages/" + id)
	want := map[string]any{
		"object": "message", "livemode": false, "status": "processing", "scheduled_at": nil, "batch_id": nil, "template": nil,
		"stream": "transactional", "completed_at": nil, "subject": "Hé\u2028llo <b>", "tags": []any{"b", "a"},
		"metadata": map[string]any{"order": "42"},
		"from":     map[string]any{"email": "hi@acme.com", "name": "Acme"},
		"to": []any{
			map[string]any{"email": "ada@example.org", "name": "Ada"},
			map[string]any{"email": "bob@example.net", "name": nil},
		},
		"bcc": []any{},
		"recipient_counts": map[string]any{
			"scheduled": 0.0, "queued": 1.0, "deferred": 2.0, "delivered": 0.0, "bounced": 0.0, "failed": 0.0,
			"suppressed": 0.0, "canceled": 0.0,
		},
	}
	for name, value := range want {
		if diff := cmp.Diff(value, a.body[name]); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
	ada := a.body["recipients"].([]any)[0].(map[string]any)
	if ada["status"] != "deferred" || ada["next_attempt_at"] == nil || ada["attempts"] != 1.0 || ada["seq"] != 2.0 {
		t.Errorf("recipient %v", ada)
	}
	reply := ada["last_response"].(map[string]any)
	if reply["code"] != 450.0 || reply["text"] != "later" || reply["mx_host"] != "mx1.example.org" || reply["enhanced_code"] != nil {
		t.Errorf("last_response %v", reply)
	}
	for _, absent := range []string{"html", "text", "headers", "attachments"} {
		if _, ok := a.body[absent]; ok {
			t.Errorf("%s without include=content", absent)
		}
	}
	if !strings.Contains(string(a.raw), "Hé\u2028llo <b>") {
		t.Errorf("the subject is escaped: %s", a.raw)
	}
}

func TestGetContent(t *testing.T) {
	h := openHouse(t)
	id := h.send(rich)
	path := "/v1/messages/" + id + "?include=content"
	a := h.get(path)
	want := `"html":"<p>Hi</p>","text":"Hi","headers":{"X-B":"1","X-A":"2"},"attachments":[` +
		`{"filename":"a.txt","content_type":"text/plain","content_id":null,"size_bytes":3},` +
		`{"filename":"l.gif","content_type":"image/gif","content_id":"logo","size_bytes":3}],"calendar":null}`
	if !strings.HasSuffix(string(a.raw), want) {
		t.Errorf("content %s\nwant it to end in %s", a.raw, want)
	}
	a = h.get(path, as(h.keys["read"]))
	h.want(a, 403, string(insufficientScope))
	if a.body["required_scope"] != "messages:read_content" {
		t.Errorf("required_scope %v", a.body["required_scope"])
	}
	h.want(h.get("/v1/messages/"+id+"?include=raw"), 400, string(invalidParameter))
	h.want(h.get(path+"&include=content"), 400, string(invalidParameter))
}

func TestEvents(t *testing.T) {
	h := openHouse(t)
	id := h.send(rich)
	h.conclude(id, 0, deferred())
	h.conclude(id, 1, bounced())
	other := h.send(minimal)
	h.conclude(other, 0, failed())
	done := h.send(minimal)
	h.conclude(done, 0, delivered())

	events := h.get("/v1/messages/" + id + "/events").data()
	var got []string
	for _, e := range events {
		r := e["data"].(map[string]any)["recipient"].(map[string]any)
		got = append(got, fmt.Sprint(e["type"], " ", r["email"], " ", r["previous_status"], " ", r["seq"], " ", r["attempts"]))
	}
	want := []string{
		"message.queued ada@example.org <nil> 1 0", "message.queued bob@example.net <nil> 1 0", "message.queued c@example.org <nil> 1 0",
		"message.deferred ada@example.org queued 2 1", "message.deferred c@example.org queued 2 1",
		"message.bounced bob@example.net queued 2 1",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Fatalf("events (-want +got):\n%s", diff)
	}
	last := events[5]
	if last["object"] != "event" || last["timestamp"] != last["created_at"] || last["livemode"] != false {
		t.Errorf("event %v", last)
	}
	data := last["data"].(map[string]any)
	if diff := cmp.Diff(map[string]any{"type": "hard", "category": "invalid_recipient", "source": "smtp", "suppression_id": nil}, data["bounce"]); diff != "" {
		t.Errorf("bounce (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"bounce", "message", "recipient", "smtp"}, slices.Sorted(maps.Keys(data))); diff != "" {
		t.Errorf("data (-want +got):\n%s", diff)
	}
	deferral := events[3]["data"].(map[string]any)["deferral"].(map[string]any)
	if deferral["category"] != "greylisted" || deferral["next_attempt_at"] == nil || deferral["expires_at"] == nil {
		t.Errorf("deferral %v", deferral)
	}
	failure := h.get("/v1/messages/" + other + "/events").data()[1]["data"].(map[string]any)
	if diff := cmp.Diff(map[string]any{"reason": "no_route", "detail": "null MX"}, failure["failure"]); diff != "" || failure["smtp"] != nil {
		t.Errorf("failure (-want +got):\n%s, smtp %v", diff, failure["smtp"])
	}
	smtp := h.get("/v1/messages/" + done + "/events").data()[1]["data"].(map[string]any)["smtp"]
	if diff := cmp.Diff(map[string]any{"code": 250.0, "enhanced_code": "2.0.0", "text": "<ok> & queued", "mx_host": "mx1.example.org", "tls_version": "TLS1.3"}, smtp); diff != "" {
		t.Errorf("smtp (-want +got):\n%s", diff)
	}
}

func TestEventsArePaged(t *testing.T) {
	h := openHouse(t)
	id := h.send(rich)
	h.conclude(id, 0, deferred())
	whole := h.get("/v1/messages/" + id + "/events").data()
	var walked []map[string]any
	for path := "/messages/" + id + "/events?limit=2"; path != ""; {
		a := h.get(path)
		walked = append(walked, a.data()...)
		path = nextPage(t, a)
	}
	if diff := cmp.Diff(whole, walked); diff != "" {
		t.Errorf("pages (-whole +walked):\n%s", diff)
	}
}

// nextPage reads the Link of a page, which must agree with its body. Empty at the end.
func nextPage(t *testing.T, a *answer) string {
	t.Helper()
	link := a.header.Get("Link")
	if a.body["has_more"] == false && a.body["next_cursor"] == nil && link == "" {
		return ""
	}
	path, ok := strings.CutSuffix(strings.TrimPrefix(link, "<"), `>; rel="next"`)
	u, err := url.Parse(path)
	if !ok || err != nil || a.body["has_more"] != true || u.Query().Get("cursor") != a.body["next_cursor"] {
		t.Fatalf("has_more %v, next_cursor %v, Link %s", a.body["has_more"], a.body["next_cursor"], link)
	}
	return path
}

func TestAttempts(t *testing.T) {
	h := openHouse(t)
	id := h.send(rich)
	h.conclude(id, 0, deferred())
	path := "/v1/messages/" + id + "/attempts"
	a := h.get(path, as(h.keys["content"]))
	if len(a.data()) != 1 {
		t.Fatalf("attempts %s", a.raw)
	}
	got := a.data()[0]
	for _, name := range []string{"created_at", "started_at", "ended_at", "reverse_path", "id"} {
		if s, _ := got[name].(string); s == "" {
			t.Errorf("%s is %v", name, got[name])
		}
	}
	want := map[string]any{
		"object": "attempt", "livemode": false, "message_id": id, "number": 1.0, "domain": "example.org", "provider": "mx.example.org",
		"source": "198.51.100.1", "helo": "mail.acme.com", "host": "mx1.example.org", "address": "192.0.2.1:25", "error": nil,
		"tls": map[string]any{"version": "TLS1.3 TLS_AES_128_GCM_SHA256", "verified": true, "reason": "opportunistic"},
	}
	for name, value := range want {
		if diff := cmp.Diff(value, got[name]); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
	outcome := got["outcomes"].([]any)[1].(map[string]any)
	if outcome["email"] != "c@example.org" || outcome["outcome"] != "deferred" || outcome["response"].(map[string]any)["code"] != 450.0 {
		t.Errorf("outcome %v", outcome)
	}
	var lines []string
	for _, l := range got["transcript"].([]any) {
		line := l.(map[string]any)
		lines = append(lines, fmt.Sprint(line["from"], " ", line["text"]))
	}
	if diff := cmp.Diff([]string{"note connected", "server 220 <mx>", "client EHLO mail.acme.com"}, lines); diff != "" {
		t.Errorf("transcript (-want +got):\n%s", diff)
	}
	h.want(h.get(path, as(h.keys["read"])), 403, string(insufficientScope))
}

func TestCancel(t *testing.T) {
	h := openHouse(t)
	id := h.send(minimal)
	path := "/messages/" + id + "/cancel"
	for range 2 {
		a := h.post(path, "", header("Idempotency-Key", "cancel/1"))
		if a.status != 200 || a.body["status"] != "canceled" || a.body["completed_at"] == nil {
			t.Fatalf("cancel: %d %s", a.status, a.raw)
		}
	}
	partly := h.send(rich)
	h.conclude(partly, 1, bounced())
	if a := h.post("/v1/messages/"+partly+"/cancel", "{}"); a.status != 200 || a.body["status"] != "failed" {
		t.Errorf("cancel the rest: %d %s", a.status, a.raw)
	}
	done := h.send(minimal)
	h.conclude(done, 0, delivered())
	a := h.post("/v1/messages/"+done+"/cancel", "")
	h.want(a, 409, string(messageNotCancelable))
	if a.body["message_status"] != "delivered" || a.body["status"] != 409.0 {
		t.Errorf("problem %s", a.raw)
	}
	h.want(h.post(path, "", as(h.keys["read"])), 403, string(insufficientScope))
	h.want(h.post(path, `[]`), 422, string(validationFailed))
	h.want(h.post(path, `{}`, header("Content-Encoding", "gzip")), 415, string(unsupportedMediaType))
}

// Ids of the other world, ids that cannot be and ids that nobody has look the same.
func TestOthersMessagesAreNotFound(t *testing.T) {
	h := openHouse(t)
	live := h.send(`{"from":"a@acme.com","to":"b@acme.org","subject":"s","text":"t"}`, as(h.keys["live"]))
	test := h.send(minimal)
	ids := map[string]string{
		"of the live world": live, "unknown": email.NewMessageID(0), "of a shard that is not there": email.NewMessageID(200),
		"malformed": "msg_1", "of another kind": "evt_" + strings.TrimPrefix(test, "msg_"), "in upper case": strings.ToUpper(test),
		"with a slash": test[:10] + "%2F" + test[10:], "with a dot segment": "%2e%2e", "with a NUL": test + "%00", "very long": strings.Repeat("a", 5000),
		"with a colon": test + ":0",
	}
	for name, id := range ids {
		for route, method := range map[string]string{"": "GET", "?include=content": "GET", "/events": "GET", "/attempts": "GET", "/cancel": "POST"} {
			t.Run(name+" "+route, func(t *testing.T) {
				a := h.do(method, "/v1/messages/"+id+route, nil)
				h.want(a, 404, string(notFound))
				if strings.Contains(string(a.raw), live) {
					t.Error("the answer repeats the id")
				}
			})
		}
	}
	if a := h.get("/v1/messages/"+live, as(h.keys["live"])); a.status != http.StatusOK || a.body["livemode"] != true {
		t.Errorf("the owner: %d %s", a.status, a.raw)
	}
	if a := h.get("/v1/messages/"+test, as(h.keys["live"])); a.status != http.StatusNotFound {
		t.Errorf("a test message by a live key: %d", a.status)
	}
	msg, err := h.store.Messages.Get(context.Background(), email.Live, live)
	if err != nil || msg.Status() != email.Queued {
		t.Errorf("the live message after all this: %v, %v", msg, err)
	}
}

func TestScheduledMessage(t *testing.T) {
	h := openHouse(t)
	at := time.Now().Add(2 * time.Hour).In(time.FixedZone("", 2*60*60))
	body := strings.Replace(minimal, `"text"`, `"scheduled_at":"`+at.Format(time.RFC3339Nano)+`","text"`, 1)
	a := h.post("/v1/messages", body, header("Idempotency-Key", "s"))
	if a.status != 202 || a.body["status"] != "scheduled" || a.body["scheduled_at"] != at.UTC().Format("2006-01-02T15:04:05.000Z") {
		t.Fatalf("answer %d %s", a.status, a.raw)
	}
	if n := h.jobs.count(); n != 0 {
		t.Errorf("%d jobs for a message due in two hours", n)
	}
	if c := h.post("/v1/messages/"+a.id()+"/cancel", ""); c.body["status"] != "canceled" {
		t.Errorf("cancel: %s", c.raw)
	}
	again := h.post("/v1/messages", body, header("Idempotency-Key", "s"))
	if string(again.raw) != string(a.raw) {
		t.Errorf("the replay after the cancel\n%s\nwas first\n%s", again.raw, a.raw)
	}
	var view map[string]json.RawMessage
	if err := json.Unmarshal(again.raw, &view); err != nil || string(view["status"]) != `"scheduled"` {
		t.Errorf("status in the replay: %s, %v", view["status"], err)
	}
}
