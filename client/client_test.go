package client_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"postrider/client"
)

func TestNew(t *testing.T) {
	t.Setenv("POSTRIDER_URL", "")
	t.Setenv("POSTRIDER_API_KEY", "")
	for _, c := range []struct {
		url, key string
		errs     []string // all of them at once
	}{
		{"", "", []string{"POSTRIDER_URL", "POSTRIDER_API_KEY"}},
		{"mail.example.com", "k", []string{"must be an http or https URL"}},
		{"ftp://mail.example.com", "k", []string{"must be an http or https URL"}},
		{"http://", "k", []string{"must be an http or https URL"}},
		{"https://u:hunter2@mail.example.com", "k", []string{"no user"}},
		{"https://mail.example.com?a=b", "k", []string{"no user, query"}},
		{"https://mail.example.com", "k\n", []string{"line break"}},
		{"https://mail.example.com/", "pr_test_1", nil},
	} {
		made, err := client.New(client.Options{URL: c.url, APIKey: c.key})
		if (err == nil) != (c.errs == nil) {
			t.Errorf("%q: %v", c.url, err)
		}
		for _, want := range c.errs {
			if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "hunter2") {
				t.Errorf("%q: %v, want %q", c.url, err, want)
			}
		}
		if shown := fmt.Sprintf("%v %+v %#v", made, made, made); strings.Contains(shown, "pr_test_1") {
			t.Errorf("the key is shown: %s", shown)
		}
	}
	t.Setenv("POSTRIDER_URL", "http://127.0.0.1:8025/v1/")
	t.Setenv("POSTRIDER_API_KEY", "pr_test_1")
	if c, err := client.New(client.Options{}); err != nil || c.String() != "postrider client of http://127.0.0.1:8025" {
		t.Errorf("from the environment: %v %v", c, err)
	}
}

func TestMailOnTheWire(t *testing.T) {
	full := client.Mail{
		From: "a@b.test", To: []string{"c@d.test"}, Cc: []string{"e@f.test"}, Bcc: []string{"g@h.test"}, ReplyTo: []string{"i@j.test"},
		Subject: "s", HTML: "<p>", NoText: true, Attachments: []client.Attachment{{Filename: "f.txt", Content: []byte("hi"), ContentID: "c"}},
		Calendar: &client.Calendar{Content: "BEGIN:VCALENDAR", Filename: "i.ics"}, UnsubscribeURL: "https://a.test/u",
		Headers: map[string]string{"X-A": "1"}, Tags: []string{"t"}, Metadata: map[string]string{"order": "42"},
		ScheduledAt: time.Date(2026, 8, 23, 14, 0, 0, 0, time.UTC), TTL: 90*time.Second + 1, Stream: "critical", Supersede: "code", ForgetContent: true,
		IdempotencyKey: "k",
	}
	const wire = `{"from":"a@b.test","to":["c@d.test"],"cc":["e@f.test"],"bcc":["g@h.test"],"reply_to":["i@j.test"],"subject":"s","text":"","html":"\u003cp\u003e",` +
		`"attachments":[{"filename":"f.txt","content":"aGk=","content_id":"c"}],"calendar":{"content":"BEGIN:VCALENDAR","filename":"i.ics"},"headers":{"X-A":"1"},"unsubscribe":{"url":"https://a.test/u"},"tags":["t"],"metadata":{"order":"42"},` +
		`"scheduled_at":"2026-08-23T14:00:00Z","ttl_seconds":91,"stream":"critical","supersede":"code","store_content":false}`
	for _, c := range []struct {
		mail client.Mail
		want string
	}{
		{full, wire},
		{client.Mail{Text: "hi"}, `{"text":"hi"}`},
		{client.Mail{}, `{}`},
	} {
		server := &recorder{answer: accepted}
		if _, err := server.client(t).Send(t.Context(), c.mail); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(c.want, server.body); diff != "" {
			t.Errorf("body (-want +got):\n%s", diff)
		}
	}
}

// recorder answers everything the same and keeps the last request.
type recorder struct {
	answer, body, target string
}

func (r *recorder) client(t *testing.T) *client.Client {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
		var b strings.Builder
		fmt.Fprint(&b, readAll(t, request))
		r.body, r.target = b.String(), request.Method+" "+request.URL.String()
		fmt.Fprint(w, r.answer)
	}))
	t.Cleanup(server.Close)
	c, err := client.New(client.Options{URL: server.URL, APIKey: "pr_test_1"})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func readAll(t *testing.T, r *http.Request) string {
	t.Helper()
	var raw json.RawMessage
	if err := json.NewDecoder(r.Body).Decode(&raw); err != nil && r.ContentLength > 0 {
		t.Error(err)
	}
	return string(raw)
}

func TestTargets(t *testing.T) {
	r := &recorder{answer: `{"id":"msg_1","data":[],"next_cursor":null}`}
	c := r.client(t)
	at := time.Date(2026, 8, 23, 14, 0, 0, 0, time.FixedZone("", 7200))
	calls := []struct {
		do   func() error
		want string
	}{
		{func() error { _, err := c.Get(t.Context(), "msg_1"); return err }, "GET /v1/messages/msg_1"},
		{func() error { _, err := c.Get(t.Context(), "../webhooks?a#b"); return err }, "GET /v1/messages/..%2Fwebhooks%3Fa%23b"},
		{func() error { _, err := c.Cancel(t.Context(), "msg_1"); return err }, "POST /v1/messages/msg_1/cancel {}"},
		{func() error { _, err := c.Reschedule(t.Context(), "msg_1", time.Time{}); return err }, `PATCH /v1/messages/msg_1 {"scheduled_at":null}`},
		{func() error { _, err := c.Reschedule(t.Context(), "msg_1", at); return err }, `PATCH /v1/messages/msg_1 {"scheduled_at":"2026-08-23T14:00:00+02:00"}`},
		{func() error { _, err := c.Attempts(t.Context(), "msg_1"); return err }, "GET /v1/messages/msg_1/attempts"},
		{func() error {
			_, err := c.Log(t.Context(), client.LogFilter{Type: client.MessageBounced, Wait: time.Second}, "c1")
			return err
		}, "GET /v1/events?cursor=c1&limit=100&type=message.bounced&wait=1"},
		{func() error {
			for _, err := range c.List(t.Context(), client.Filter{Recipient: "a+b@c.test", Tags: []string{"x", "y"}, CreatedAfter: at}) {
				return err
			}
			return nil
		}, "GET /v1/messages?created_after=2026-08-23T12%3A00%3A00Z&limit=100&recipient=a%2Bb%40c.test&tag=x&tag=y"},
	}
	for _, call := range calls {
		if err := call.do(); err != nil {
			t.Errorf("%s: %v", call.want, err)
		}
		if got := strings.TrimSpace(r.target + " " + r.body); got != call.want {
			t.Errorf("%s, want %s", got, call.want)
		}
	}
	for _, id := range []string{"", ".", ".."} {
		if _, err := c.Get(t.Context(), id); err == nil {
			t.Errorf("the id %q: no error", id)
		}
	}
}

func TestPages(t *testing.T) {
	pages := map[string]string{
		"":  `{"data":[{"id":"evt_1"},{"id":"evt_2"}],"has_more":true,"next_cursor":"b"}`,
		"b": `{"data":[],"has_more":true,"next_cursor":"c"}`,
		"c": `{"data":[{"id":"evt_3"}],"has_more":true,"next_cursor":"d"}`,
		"d": `{"data":[{"id":"evt_4"}],"has_more":true,"next_cursor":"d"}`,
	}
	asked := 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked++
		fmt.Fprint(w, pages[r.URL.Query().Get("cursor")])
	}))
	defer server.Close()
	c, err := client.New(client.Options{URL: server.URL, APIKey: "k"})
	if err != nil {
		t.Fatal(err)
	}
	var ids []string
	for event, err := range c.Events(t.Context(), "msg_1") {
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, event.ID)
	}
	if want := []string{"evt_1", "evt_2", "evt_3", "evt_4"}; !cmp.Equal(ids, want) || asked != 4 {
		t.Errorf("%v in %d pages", ids, asked)
	}
	asked = 0
	for range c.Events(t.Context(), "msg_1") {
		break
	}
	if asked != 1 {
		t.Errorf("%d pages for one event", asked)
	}
}

func TestErrorNamesEveryFault(t *testing.T) {
	s := &script{steps: []step{{status: 422, body: `{"code":"validation_failed","detail":"2 members are invalid.","request_id":"req_1","retryable":false,"limit_bytes":7,
		"errors":[{"pointer":"#/to/0","code":"invalid_email","detail":"is not a mailbox"},{"parameter":"limit","code":"out_of_range","detail":"is too large"}]}`}}}
	_, err := s.client(t).Send(t.Context(), client.Mail{})
	const want = "POST /v1/messages: validation_failed (HTTP 422): 2 members are invalid: to/0 is not a mailbox; limit is too large [req_1]"
	if err == nil || err.Error() != want {
		t.Errorf("%v\nwant %s", err, want)
	}
	var refused *client.Error
	if !errors.As(err, &refused) || len(refused.Errors) != 2 || refused.Errors[0].Code != "invalid_email" || !strings.Contains(string(refused.Body), `"limit_bytes":7`) {
		t.Errorf("%+v", refused)
	}
}

// TestUnknownMembersStay: a client that is older than its server loses nothing.
func TestUnknownMembersStay(t *testing.T) {
	const wire = `{"id":"msg_1","completed_at":null,"batch_id":null,"new_member":{"a":1}}`
	var m client.Message
	if err := json.Unmarshal([]byte(wire), &m); err != nil || m.ID != "msg_1" || !m.CompletedAt.IsZero() {
		t.Fatalf("%+v %v", m, err)
	}
	if again, err := json.Marshal(m); err != nil || string(again) != wire {
		t.Errorf("%s %v", again, err)
	}
	if own, err := json.Marshal(client.Message{ID: "msg_1"}); err != nil || !strings.Contains(string(own), `"id":"msg_1"`) {
		t.Errorf("%s %v", own, err)
	}
}
