package dashboard

import (
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/html"

	"postrider/internal/email"
	"postrider/internal/sandbox"
)

func body(t *testing.T, r *http.Response, status int) string {
	t.Helper()
	b, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	if r.StatusCode != status {
		t.Fatalf("status %d, want %d: %s", r.StatusCode, status, b)
	}
	return string(b)
}

// text is what a reader of a page sees, and harmless fails the test if anything
// in the page came alive that is not ours.
func text(t *testing.T, page string) string {
	t.Helper()
	ours := strings.Fields("html head meta title link script noscript body header nav div a img svg path g rect circle line polyline span main h1 h2 h3 p ul ol li " +
		"bdi mark fieldset legend time details summary section table caption thead tbody tr th td code pre dl dt dd strong br iframe form input button select option textarea label")
	var all strings.Builder
	tokens := html.NewTokenizer(strings.NewReader(page))
	for {
		switch tokens.Next() {
		case html.ErrorToken:
			return all.String()
		case html.TextToken:
			all.WriteString(html.UnescapeString(string(tokens.Raw())))
		case html.StartTagToken, html.SelfClosingTagToken:
			tag := tokens.Token()
			if !slices.Contains(ours, tag.Data) {
				t.Errorf("foreign element <%s>", tag.Data)
			}
			for _, a := range tag.Attr {
				if strings.HasPrefix(a.Key, "on") || a.Key == "style" || a.Key == "srcdoc" {
					t.Errorf("attribute %s of <%s>", a.Key, tag.Data)
				}
				if tag.Data == "script" && (a.Key != "src" && a.Key != "defer" || len(tag.Attr) != 2) {
					t.Errorf("a script of its own: %s", tag)
				}
				if (a.Key == "href" || a.Key == "src" || a.Key == "action") && !strings.HasPrefix(a.Val, "/") && !strings.HasPrefix(a.Val, "#") {
					t.Errorf("%s=%q of <%s> leads away", a.Key, a.Val, tag.Data)
				}
			}
		}
	}
}

func TestEmptyInboxTeaches(t *testing.T) {
	w := newWorld(t)
	r := w.get("/ui/inbox")
	got := text(t, body(t, r, http.StatusOK))
	for _, want := range []string{"No mail yet", "The key is the same in every run", w.curl, "http://127.0.0.1:8025", "1.2.3"} {
		if !strings.Contains(got, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	for _, a := range sandbox.Addresses() {
		if !strings.Contains(got, a.Address) || !strings.Contains(got, a.Effect) {
			t.Errorf("the page lacks %q", a.Address)
		}
	}
	want := map[string]string{
		"Content-Security-Policy": pagePolicy,
		"X-Content-Type-Options":  "nosniff",
		"Referrer-Policy":         "same-origin",
		"Cache-Control":           "no-store",
		"Content-Type":            "text/html; charset=utf-8",
	}
	for name, value := range want {
		if got := r.Header.Get(name); got != value {
			t.Errorf("%s: %q, want %q", name, got, value)
		}
	}
}

func TestRefresh(t *testing.T) {
	w := newWorld(t)
	m := message("moving", "a@sandbox.test")
	tests := []struct{ name, path, want string }{
		{"inbox", "/ui/inbox", `content="3"`},
		{"paused", "/ui/inbox?live=off", ""},
		{"moving", "/ui/messages", `content="5"`},
		{"message on its way", "/ui/messages/" + m.ID, `content="3"`},
		{"message paused", "/ui/messages/" + m.ID + "?live=off", ""},
		{"message at its end", "/ui/messages/" + m.ID, ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			switch test.name {
			case "moving":
				w.accept(m, &email.Content{Text: "x"})
			case "message at its end":
				w.attempt(m, email.Attempt{Number: 1, Outcomes: []email.Outcome{{Status: email.Delivered}}}, time.Time{})
			}
			page := body(t, w.get(test.path), http.StatusOK)
			_, after, found := strings.Cut(page, `http-equiv="refresh" `)
			if found != (test.want != "") || !strings.HasPrefix(after, test.want) {
				t.Errorf("refresh %v %.20q, want %q", found, after, test.want)
			}
		})
	}
}

func TestInbox(t *testing.T) {
	w := newWorld(t)
	m := message("caught one", "x@example.com")
	w.accept(m, &email.Content{Text: "x"})
	w.deliver("Message-ID: " + m.MessageID + "\r\nSubject: caught one\r\nFrom: shop@acme.test\r\n\r\nx")
	w.deliver("Message-ID: <foreign@x>\r\nSubject: foreign <b>\r\nFrom: f@x.test\r\n\r\nx")
	page := body(t, w.get("/ui/inbox"), http.StatusOK)
	got := text(t, page)
	if first, second := strings.Index(got, "foreign <b>"), strings.Index(got, "caught one"); first < 0 || second < first {
		t.Errorf("not newest first: %s", got)
	}
	if !strings.Contains(page, `href="/ui/messages/`+m.ID+`"`) || strings.Contains(got, "No mail yet") {
		t.Error("a mail does not lead to its message")
	}
	for q, want := range map[string]bool{"caught": true, "SHOP@acme.test": true, "caught+x@example": true, m.ID: true, "foreign": false, "nothing": false} {
		if got := strings.Contains(text(t, body(t, w.get("/ui/inbox?q="+q), 200)), "caught one"); got != want {
			t.Errorf("%s finds it: %v", q, got)
		}
	}
	if got := text(t, body(t, w.get("/ui/inbox?q=nothing"), 200)); !strings.Contains(got, "Nothing found") {
		t.Error("the page does not say that nothing was found")
	}
	number := url.Values{"number": {"1"}, "back": {"/ui/inbox"}}
	body(t, w.post("/ui/inbox/delete", number, nil), 303)
	body(t, w.post("/ui/inbox/delete", number, nil), 404)
	if got := text(t, body(t, w.get("/ui/inbox"), 200)); strings.Contains(got, "caught one") || !strings.Contains(got, "foreign <b>") {
		t.Error("the wrong mail was deleted")
	}
	body(t, w.post("/ui/inbox/delete", url.Values{"all": {"1"}}, nil), 303)
	if got := text(t, body(t, w.get("/ui/inbox"), 200)); !strings.Contains(got, "No mail yet") {
		t.Error("something is left")
	}
	body(t, w.get("/ui/messages/"+m.ID), 200) // the message stays
}

func TestMessagePage(t *testing.T) {
	w := newWorld(t)
	m := message("Your receipt", "deferred@sandbox.test")
	w.accept(m, &email.Content{Text: "submitted text", Calendar: &email.Calendar{Method: "REQUEST", Content: "SUMMARY:<b>Review"}, Attachments: []email.Attachment{{Filename: "plan.pdf", ContentType: "application/pdf", Content: []byte("pdf")}}})
	next := time.Now().Add(time.Second)
	w.attempt(m, email.Attempt{
		Number: 1, Host: "sandbox.test", Address: "127.0.0.1:25", Source: "127.0.0.1:4711", HELO: "mail.acme.test", TLSReason: "not offered",
		Outcomes: []email.Outcome{{Status: email.Deferred, Category: "other", NextAt: next, Reply: &email.Reply{Code: 451, EnhancedCode: "4.3.0", Text: "Not now"}}},
		Transcript: []email.Line{
			{From: email.Note, Text: "connected"}, {From: email.Server, Text: "220 sandbox.test"}, {From: email.Client, Text: "EHLO mail.acme.test"},
		},
	}, next)
	got := text(t, body(t, w.get("/ui/messages/"+m.ID), http.StatusOK))
	for _, want := range []string{
		"Your receipt", "Acme <shop@acme.test>", "deferred@sandbox.test", "451 4.3.0 Not now", "1 attempt", "Attempt 1", "next attempt",
		"sandbox.test (127.0.0.1:25)", "mail.acme.test (127.0.0.1:4711)", "no TLS (not offered)", "42 ms", "SMTP dialogue, 3 lines", "EHLO mail.acme.test",
		"this is what was submitted", "submitted text", "Calendar: REQUEST", "SUMMARY:<b>Review", "plan.pdf", m.ID, "1.2 kB", "receipt",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	if strings.Index(got, "Attempt 1") > strings.LastIndex(got, "deferred@sandbox.test") {
		t.Error("the attempt stands behind what came of it")
	}

	w.deliver("Message-ID: " + m.MessageID + "\r\nSubject: Your receipt\r\n\r\ncaught text")
	got = text(t, body(t, w.get("/ui/messages/"+m.ID), http.StatusOK))
	if !strings.Contains(got, "caught text") || strings.Contains(got, "submitted text") {
		t.Error("the caught mail is not what is shown")
	}

	w.deliver("Message-ID: " + m.MessageID + "\r\nContent-Type: text/calendar; method=cancel\r\n\r\nSUMMARY:caught")
	if got = text(t, body(t, w.get("/ui/messages/"+m.ID), http.StatusOK)); !strings.Contains(got, "Calendar: CANCEL") || !strings.Contains(got, "SUMMARY:caught") {
		t.Error("the page lacks the calendar of the caught mail")
	}
}

func TestMailWithoutMessage(t *testing.T) {
	w := newWorld(t)
	id := email.NewMessageID(0)
	w.deliver("Message-ID: <" + id + "@x.test>\r\nSubject: orphan\r\n\r\nx")
	if got := text(t, body(t, w.get("/ui/messages/"+id), http.StatusOK)); !strings.Contains(got, "orphan") {
		t.Error("the mail is not shown")
	}
}

func TestNotFound(t *testing.T) {
	w := newWorld(t)
	m := message("no html", "a@sandbox.test")
	w.accept(m, &email.Content{Text: "x"})
	for _, path := range []string{
		"/nothing", "/ui/", "/ui/messages/", "/ui/messages/<script>", "/ui/messages/msg_1", "/ui/messages/" + email.NewMessageID(0),
		"/ui/messages/" + m.ID + "/html", "/ui/messages/" + m.ID + "/source", "/ui/messages/" + m.ID + "/files/0", "/ui/messages/" + m.ID + "/files/-1",
		"/ui/messages/" + email.NewMessageID(0) + "/html", "/ui/templates/layout.html",
	} {
		t.Run(path, func(t *testing.T) {
			if got := text(t, body(t, w.get(path), http.StatusNotFound)); !strings.Contains(got, "Nothing here") {
				t.Errorf("page %q", got)
			}
		})
	}
}

func TestLocalOnly(t *testing.T) {
	tests := []struct {
		host string
		ok   bool
	}{
		{"localhost", true},
		{"LocalHost:8025", true},
		{"127.0.0.1", true},
		{"127.0.0.1:8025", true},
		{"127.255.1.2:1", true},
		{"[::1]", true},
		{"[::1]:8025", true},
		{"", false},
		{"evil.example", false},
		{"evil.example:8025", false},
		{"127.0.0.1.evil.example", false},
		{"localhost.evil.example:80", false},
		{"192.168.1.1:8025", false},
		{"0.0.0.0:8025", false},
		{"128.0.0.1", false},
		{"[::]:8025", false},
		{"[::ffff:127.0.0.1]:8025", false},
		{"[::1%lo]:8025", false},
		{"[127.0.0.1]", false},
		{"::1", false},
		{"127.1", false},
		{"2130706433", false},
		{"localhost:80@evil.example", false},
		{"127.0.0.1:evil", false},
		{"[::1", false},
		{"[::1]x:80", false},
	}
	answer := func(status int) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) })
	}
	handler := LocalOnly(answer(http.StatusNoContent), answer(http.StatusMisdirectedRequest))
	for _, test := range tests {
		t.Run(test.host, func(t *testing.T) {
			rec := newRecorder(handler, test.host)
			if test.ok && rec.Code != http.StatusNoContent {
				t.Errorf("refused with %d", rec.Code)
			}
			if !test.ok && rec.Code != http.StatusMisdirectedRequest {
				t.Errorf("answered %d %q", rec.Code, rec.Body)
			}
		})
	}
}
