package dashboard

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"postrider/internal/email"
	"postrider/internal/intake"
	"postrider/internal/queue"
	"postrider/internal/sandbox"
	"postrider/internal/track"
)

// anybody lets every domain send.
type anybody struct{}

func (anybody) Verified(context.Context, string) (bool, string, error) { return true, "", nil }
func (anybody) ID(context.Context, string) (string, error)             { return "", nil }

// openDesk lets the pages take mail.
func (w *world) openDesk() {
	w.options.Desk = intake.New(intake.Options{
		Store: w.store, Queue: w.queue, Domains: anybody{}, Marks: track.New([32]byte{}, 1), ReturnPathDomain: "r.test", Simulator: sandbox.Simulator,
	})
	w.pages = New(w.options)
}

func (w *world) message(id string) *email.Message {
	w.t.Helper()
	m, err := w.store.Messages.Get(context.Background(), email.Test, id)
	if err != nil {
		w.t.Fatal(err)
	}
	return m
}

func TestSearch(t *testing.T) {
	w := newWorld(t)
	receipt, reset, other := message("Your receipt 4711", "ada@example.org"), message("Reset <b>password</b>", "bob@example.com"), message("Other", "ada@example.org", "carol@example.net")
	reset.Tags = []string{"reset"}
	reset.MessageID = "<foreign.1@app.example>"
	for _, m := range []*email.Message{receipt, reset, other} {
		w.accept(m, &email.Content{Text: "x"})
	}
	w.attempt(reset, email.Attempt{Number: 1, Outcomes: []email.Outcome{{Status: email.Bounced, Bounce: "hard", Category: "other"}}}, time.Time{})
	tests := []struct {
		query string
		want  []*email.Message
	}{
		{"", []*email.Message{other, reset, receipt}},
		{"q=ada@example.org", []*email.Message{other, receipt}},
		{"q=ADA@example.org+receipt", []*email.Message{receipt}},
		{"q=RECEIPT+4711", []*email.Message{receipt}},
		{"q=tag:receipt", []*email.Message{other, receipt}},
		{"q=tag:reset+status:bounced", []*email.Message{reset}},
		{"q=status:bounced+status:queued+tag:reset", []*email.Message{reset}},
		{"q=status:bounced,queued", []*email.Message{other, reset, receipt}},
		{"status=queued,failed", []*email.Message{other, receipt}},
		{"q=status:queued&status=bounced,failed", []*email.Message{reset}},
		{"q=%3Cforeign.1@app.example%3E", []*email.Message{reset}},
		{"q=domain:example.net", []*email.Message{other}},
		{"q=from:shop@acme.test&status=queued", []*email.Message{other, receipt}},
		{"status=bounced&since=1h", []*email.Message{reset}},
		{"after=" + time.Now().Add(time.Hour).UTC().Format(time.RFC3339), nil},
		{"before=" + time.Now().Add(-time.Hour).UTC().Format(time.RFC3339), nil},
		{"q=nothing+of+the+kind", nil},
		{"q=12:30", nil},
	}
	for _, test := range tests {
		t.Run(test.query, func(t *testing.T) {
			page := body(t, w.get("/ui/messages?"+test.query), http.StatusOK)
			got := text(t, page)
			for _, m := range []*email.Message{receipt, reset, other} {
				if want := slices.Contains(test.want, m); want != strings.Contains(page, `href="/ui/messages/`+m.ID+`"`) {
					t.Errorf("%q is listed: %v", m.Subject, !want)
				}
			}
			if (len(test.want) == 0) != strings.Contains(got, "Nothing found") {
				t.Error("the page says wrongly whether something was found")
			}
		})
	}
	for _, q := range []string{receipt.ID, receipt.MessageID, "id:" + receipt.ID} {
		r := w.get("/ui/messages?q=" + url.QueryEscape(q))
		if body(t, r, http.StatusSeeOther); r.Header.Get("Location") != "/ui/messages/"+receipt.ID {
			t.Errorf("%s leads to %q", q, r.Header.Get("Location"))
		}
	}
	for query, status := range map[string]int{
		"q=to:ada": 422, "q=status:lost": 422, "status=lost": 422, "status=bounced,": 422, "q=id:1": 422, "domain=%00": 422, "after=yesterday": 422, "from=x": 422,
		"q=" + email.NewMessageID(0): 404,
	} {
		body(t, w.get("/ui/messages?"+query), status)
	}
}

func TestSearchOfTwoStatuses(t *testing.T) {
	w := newWorld(t)
	page := body(t, w.get("/ui/messages?status=bounced,failed"), http.StatusOK)
	if got := text(t, page); !strings.Contains(got, "status bounced or failed") {
		t.Errorf("the page does not say what it shows: %s", got)
	}
	for _, status := range []string{"bounced", "failed"} {
		if !strings.Contains(page, `status=`+status+`" aria-current="true"`) {
			t.Errorf("%s is not marked", status)
		}
	}
	if n := strings.Count(page, `" aria-current="true"`); n != 2 {
		t.Errorf("%d statuses are marked", n)
	}
}

func TestMessagesPages(t *testing.T) {
	w := newWorld(t)
	for i := range shown + 5 {
		w.accept(message(fmt.Sprintf("mail %d.", i), "a@sandbox.test"), &email.Content{Text: "x"})
	}
	page := body(t, w.get("/ui/messages?q=mail&since=24h"), http.StatusOK)
	_, rest, found := strings.Cut(page, `class="next" href="`)
	older, _, _ := strings.Cut(rest, `"`)
	if !found || strings.Count(page, "row-subject") != shown {
		t.Fatalf("%d rows, older %v", strings.Count(page, "row-subject"), found)
	}
	older = strings.ReplaceAll(older, "&amp;", "&")
	page = body(t, w.get(older), http.StatusOK)
	if strings.Count(page, "row-subject") != 5 || !strings.Contains(page, "The newest") || strings.Contains(page, `class="next"`) || !strings.Contains(page, "mail 0.") {
		t.Errorf("the second page: %s", page)
	}
}

// A message that was tried for days has a page like any other: a part of its story, with
// the dialogues of its last attempts, and ways to the rest.
func TestLongStory(t *testing.T) {
	w := newWorld(t)
	m := message("is tried and tried", "a@sandbox.test")
	w.accept(m, &email.Content{Text: "x"})
	var dialogue []email.Line
	for n := range 20 {
		dialogue = append(dialogue, email.Line{From: email.Server, Text: fmt.Sprintf("250-line %d", n)})
	}
	const attempts = stepsShown + 20
	for n := range attempts {
		reply := &email.Reply{Code: 451, Text: fmt.Sprintf("refusal %d.", n+1)}
		w.attempt(m, email.Attempt{Number: 1, Transcript: slices.Clone(dialogue), Outcomes: []email.Outcome{{Status: email.Deferred, Category: "other", Reply: reply}}}, time.Now().Add(time.Duration(n+1)*time.Minute))
	}
	path := "/ui/messages/" + m.ID
	page := body(t, w.get(path), http.StatusOK)
	if n := strings.Count(page, `<div class="when">`); n != stepsShown {
		t.Errorf("%d steps", n)
	}
	if n := strings.Count(page, `<details class="dialogue"`); n != dialoguesShown {
		t.Errorf("%d dialogues", n)
	}
	if len(page) > 200_000 {
		t.Errorf("the page has %d octets", len(page))
	}
	if !strings.Contains(page, fmt.Sprintf("refusal %d.", attempts)) || strings.Contains(page, "refusal 1.") || strings.Contains(page, "The last steps") {
		t.Error("the page does not end with what happened last")
	}
	steps := 1 + 2*attempts // it was queued; each attempt is followed by an event
	if want := fmt.Sprintf(`href="%s?upto=%d">Earlier steps`, path, steps-stepsShown); !strings.Contains(page, want) {
		t.Errorf("no way to earlier steps, %s", want)
	}
	page = body(t, w.get(fmt.Sprintf("%s?upto=%d", path, steps-stepsShown)), http.StatusOK)
	// The step before is attempt 96 or its event: its reply stands in both.
	if newest := fmt.Sprintf("refusal %d.", (steps-stepsShown)/2); !strings.Contains(page, newest) || strings.Contains(page, fmt.Sprintf("refusal %d.", (steps-stepsShown)/2+1)) {
		t.Errorf("the page before it does not end with %s", newest)
	}
	page = body(t, w.get(path+"?upto=100"), http.StatusOK)
	if !strings.Contains(page, "refusal 1.") || strings.Contains(page, "Earlier steps") || !strings.Contains(page, "The last steps") {
		t.Error("the page before it lacks the beginning")
	}
	// Attempt 1 is step 2.
	link := path + "?upto=2#dialogue-0-1"
	if !strings.Contains(page, `href="`+link+`"`) {
		t.Errorf("no way to the first dialogue, %s", link)
	}
	page = body(t, w.get(path+"?upto=2"), http.StatusOK)
	if !strings.Contains(page, `id="dialogue-0-1" open`) || strings.Count(page, "250-line") != 20 {
		t.Error("the first dialogue is not open")
	}
	for _, upto := range []string{"0", "-1", "x", "100000"} {
		if page := body(t, w.get(path+"?upto="+upto), http.StatusOK); strings.Contains(page, "The last steps") {
			t.Errorf("upto=%s shows other steps than the last", upto)
		}
	}
}

func TestActions(t *testing.T) {
	w := newWorld(t)
	m := message("waits", "a@sandbox.test")
	w.accept(m, &email.Content{Text: "x"})
	w.attempt(m, email.Attempt{Number: 1, Outcomes: []email.Outcome{{Status: email.Deferred, Category: "other"}}}, time.Now().Add(time.Hour))
	path := "/ui/messages/" + m.ID
	page := body(t, w.get(path), http.StatusOK)
	for _, want := range []string{"Try now", "It waits for the next attempt", "until", ">Cancel<"} {
		if !strings.Contains(page, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	if strings.Contains(page, "Send again") {
		t.Error("a message that waits can be sent again")
	}
	if r := w.post(path+"/retry", nil, nil); r.StatusCode != 303 || !strings.Contains(body(t, w.get(r.Header.Get("Location")), 200), "It is tried now") {
		t.Errorf("retry: %d", r.StatusCode)
	}
	now := w.message(m.ID)
	if e := now.Envelopes[0].State; e.NextAt.After(time.Now()) {
		t.Errorf("still waits until %v", e.NextAt)
	}
	job := queue.Delivery{World: email.Test, Message: m.ID, Generation: now.Envelopes[0].State.Generation}
	if state, err := w.queue.State(t.Context(), queue.Default, job); err != nil || state != queue.Pending {
		t.Errorf("its job is %s, %v", state, err)
	}
	if r := w.post(path+"/cancel", nil, nil); r.StatusCode != 303 {
		t.Errorf("cancel: %d", r.StatusCode)
	}
	if got := w.message(m.ID).Status(); got != email.Canceled {
		t.Errorf("is %s", got)
	}
	body(t, w.post(path+"/retry", nil, nil), 422)
	body(t, w.post(path+"/release", nil, nil), 422)
	body(t, w.post("/ui/messages/"+email.NewMessageID(0)+"/cancel", nil, nil), 404)
	body(t, w.post(path+"/again", nil, nil), 422) // no desk
}

func TestSendScheduledNow(t *testing.T) {
	w := newWorld(t)
	m := message("later", "a@sandbox.test")
	m.ScheduledAt = m.CreatedAt.Add(49 * time.Hour)
	m.ExpiresAt = m.ScheduledAt.Add(time.Hour)
	m.Recipients[0].State.Status, m.Recipients[0].State.AtAccept = email.Scheduled, email.Scheduled
	w.accept(m, &email.Content{Text: "x"})
	if page := body(t, w.get("/ui/messages/"+m.ID), 200); !strings.Contains(page, "Send now") {
		t.Error("the page lacks the button")
	}
	body(t, w.post("/ui/messages/"+m.ID+"/retry", nil, nil), 303)
	if got := w.message(m.ID).Status(); got != email.Queued {
		t.Errorf("is %s", got)
	}
}

func TestSendAgain(t *testing.T) {
	w := newWorld(t)
	w.openDesk()
	m := message("Twice", "got@sandbox.test", "missed@sandbox.test")
	m.To[0].Email, m.Recipients[0].Address.Email = "delivered@sandbox.test", "delivered@sandbox.test"
	m.To[1].Email, m.Recipients[1].Address.Email = "bounced@sandbox.test", "bounced@sandbox.test"
	m.Metadata = map[string]string{"order": "7"}
	content := &email.Content{HTML: "<p>x</p>", Text: "x", Headers: []email.Header{{Name: "X-Order", Value: "7"}}, Attachments: []email.Attachment{{Filename: "a.txt", ContentType: "text/plain", Content: []byte("file")}}}
	w.accept(m, content)
	w.attempt(m, email.Attempt{Number: 1, Outcomes: []email.Outcome{{Recipient: 0, Status: email.Delivered}, {Recipient: 1, Status: email.Bounced, Bounce: "hard", Category: "other"}}}, time.Time{})
	path := "/ui/messages/" + m.ID
	if page := body(t, w.get(path), 200); !strings.Contains(page, "Send again to those who did not get it") || !strings.Contains(page, "Send again to all") {
		t.Error("the page lacks the buttons")
	}
	send := func(whom, nonce string) *email.Message {
		r := w.post(path+"/again", url.Values{"whom": {whom}, "nonce": {nonce}}, nil)
		body(t, r, 303)
		u, _ := url.Parse(r.Header.Get("Location"))
		return w.message(strings.TrimPrefix(u.Path, "/ui/messages/"))
	}
	missed := send("missed", "1")
	if missed.ID == m.ID || len(missed.Recipients) != 1 || missed.Recipients[0].Address.Email != "bounced@sandbox.test" || missed.Metadata["order"] != "7" {
		t.Errorf("sent %+v", missed)
	}
	got, err := w.store.Messages.Content(t.Context(), email.Test, missed.ID)
	if err != nil || got.HTML != content.HTML || string(got.Attachments[0].Content) != "file" || got.Headers[0].Value != "7" {
		t.Errorf("content %+v, %v", got, err)
	}
	if again := send("missed", "1"); again.ID != missed.ID {
		t.Error("a form that was sent twice made two messages")
	}
	if all := send("all", "2"); all.ID == missed.ID || len(all.Recipients) != 2 {
		t.Errorf("to all: %+v", all)
	}
}

func TestContentNeedsItsRight(t *testing.T) {
	w := newWorld(t)
	m := message("424242 is your secret code", "a@sandbox.test")
	w.accept(m, &email.Content{Text: "https://acme.test/reset/secret"})
	w.options.Visitor = func(http.ResponseWriter, *http.Request) *Visitor { return &Visitor{Rights: []Right{Look}} }
	w.pages = New(w.options)
	page := text(t, body(t, w.get("/ui/messages/"+m.ID), 200))
	if strings.Contains(page, "secret") || !strings.Contains(page, "a right of its own") || strings.Contains(page, "Cancel") {
		t.Error("a viewer sees the content, or what he may not do")
	}
	if list := text(t, body(t, w.get("/ui/messages"), 200)); strings.Contains(list, "424242") || !strings.Contains(list, hidden) {
		t.Errorf("a viewer sees a subject, or no message: %s", list)
	}
	body(t, w.get("/ui/messages?q=424242"), 403)
	for _, path := range []string{"/html", "/source", "/files/0"} {
		body(t, w.get("/ui/messages/"+m.ID+path), 403)
	}
}

func TestImagesOnlyIfAskedFor(t *testing.T) {
	w := newWorld(t)
	m := message("x", "a@sandbox.test")
	w.accept(m, &email.Content{HTML: `<img src="https://tracker.example/x.png">`})
	path := "/ui/messages/" + m.ID
	if p := w.get(path + "/html").Header.Get("Content-Security-Policy"); strings.Contains(p, "https:") {
		t.Errorf("policy %s", p)
	}
	if p := w.get(path + "/html?images=on").Header.Get("Content-Security-Policy"); !strings.Contains(p, "img-src data: cid: https: http:;") || !strings.Contains(p, "default-src 'none'") {
		t.Errorf("policy %s", p)
	}
	if page := body(t, w.get(path+"?images=on"), 200); !strings.Contains(page, path+`/html?images=on"`) || !strings.Contains(page, "Leave them out") {
		t.Error("the page does not load them")
	}
}
