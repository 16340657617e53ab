package dashboard

import (
	"bytes"
	"context"
	"errors"
	"io"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"testing"
	"time"

	"postrider/internal/domains"
	"postrider/internal/email"
	"postrider/internal/events"
	"postrider/internal/secret"
	"postrider/internal/store"
	"postrider/internal/webhook"
	"postrider/smtpclient/dns"
)

// hook makes an endpoint that answers with a status and a body.
func (w *world) hook(status int, answer string) *store.Webhook {
	w.t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		rw.WriteHeader(status)
		_, _ = io.WriteString(rw, answer)
	}))
	w.t.Cleanup(server.Close)
	w.options.Poster = webhook.New(webhook.Options{AllowedNetworks: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}})
	w.pages = New(w.options)
	made, err := w.store.Webhooks.Create(context.Background(), &store.Webhook{
		ID: email.NewID(email.WebhookPrefix), World: email.Test, URL: strings.Replace(server.URL, "http://", "http://user:passw0rd@", 1) + "/hook?<script>", Secret: webhook.NewSecret(),
		Enabled: true, Description: "<b>for</b> tests", Headers: []email.Header{{Name: "X-Token", Value: "t0ken"}}, CreatedAt: time.Now(), UpdatedAt: time.Now(),
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return made
}

// deliveries makes those of all events that were not followed yet.
func (w *world) deliveries(hook *store.Webhook) []*store.Delivery {
	w.t.Helper()
	ctx := context.Background()
	stretch, err := w.store.Deliveries.Unfollowed(ctx, email.Test, 0, 1000)
	if err != nil {
		w.t.Fatal(err)
	}
	happened, _, err := w.store.Deliveries.Happened(ctx, email.Test, stretch.Entries)
	if err != nil {
		w.t.Fatal(err)
	}
	var list []*store.Delivery
	for _, e := range stretch.Entries {
		if made := hook.DeliveryOf(e, happened[e.Message], events.Match); made != nil {
			list = append(list, made)
		}
	}
	if _, err := w.store.Deliveries.Follow(ctx, stretch, stretch.To, list, time.Now()); err != nil {
		w.t.Fatal(err)
	}
	return list
}

func TestWebhooks(t *testing.T) {
	w := newWorld(t)
	if got := text(t, body(t, w.get("/ui/webhooks"), 200)); !strings.Contains(got, "No webhooks yet") {
		t.Error("the empty page does not teach")
	}
	hook := w.hook(500, "<script>alert(1)</script> broken")
	m := message("bounces", "a@sandbox.test")
	w.accept(m, &email.Content{Text: "x"})
	w.attempt(m, email.Attempt{Number: 1, Outcomes: []email.Outcome{{Status: email.Bounced, Bounce: "hard", Category: "other"}}}, time.Time{})
	list := w.deliveries(hook)
	if len(list) == 0 {
		t.Fatal("no delivery was made")
	}
	found, err := w.store.Deliveries.Get(t.Context(), email.Test, list[0].ID)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.store.Deliveries.Fail(t.Context(), found, &store.Post{Number: 1, At: time.Now(), Status: 410, Error: "answered 410 <i>", Body: "<img src=x onerror=alert(1)>"}, "", time.Now()); err != nil {
		t.Fatal(err)
	}
	path := "/ui/webhooks/" + hook.ID
	one := path + "/deliveries/" + found.ID
	for page, wants := range map[string][]string{
		"/ui/webhooks":         {"<b>for</b> tests", "enabled"},
		path:                   {"message.bounced", "failed", "answered 410 <i>", "X-Token"},
		one:                    {"<img src=x onerror=alert(1)>", "webhook-signature", "\"type\": \"message.bounced\"", "Replay"},
		"/ui/messages/" + m.ID: {"Webhooks", "message.bounced", "410"},
	} {
		raw := body(t, w.get(page), 200)
		got := text(t, raw)
		for _, want := range wants {
			if !strings.Contains(got, want) {
				t.Errorf("%s lacks %q", page, want)
			}
		}
		for _, hidden := range []string{"passw0rd", "t0ken", hook.Secret} {
			if strings.Contains(raw, hidden) {
				t.Errorf("%s shows a secret", page)
			}
		}
		if strings.Contains(got, "410 answered 410") || strings.Count(got, "answered 410") > 1 {
			t.Errorf("%s tells the answer twice: %s", page, got)
		}
	}
	body(t, w.get(path+"?status=failed"), 200)
	body(t, w.post(one+"/replay", nil, nil), 303)
	if again, err := w.store.Deliveries.Get(t.Context(), email.Test, found.ID); err != nil || again.Status != store.DeliveryPending {
		t.Errorf("after the replay: %+v, %v", again, err)
	}
	got := text(t, body(t, w.post(path+"/test", url.Values{"type": {"message.delivered"}}, nil), 200))
	if !strings.Contains(got, "it answered 500") || !strings.Contains(got, "<script>alert(1)</script> broken") || !strings.Contains(got, "webhook-id") {
		t.Errorf("the test says %s", got)
	}
	body(t, w.post(path+"/test", url.Values{"type": {"message.lost"}}, nil), 422)
	body(t, w.post(path+"/enabled", url.Values{"enabled": {"false"}}, nil), 303)
	if h, err := w.store.Webhooks.Get(t.Context(), email.Test, hook.ID); err != nil || h.Enabled {
		t.Errorf("is enabled, %v", err)
	}
	body(t, w.post(one+"/replay", nil, nil), 422)
	for _, path := range []string{path + "x", path + "?status=lost", path + "?from=x", path + "/deliveries/x", "/ui/webhooks/" + email.NewID(email.WebhookPrefix) + "/deliveries/" + found.ID} {
		body(t, w.get(path), 404)
	}
	w.options.Visitor = func(http.ResponseWriter, *http.Request) *Visitor { return &Visitor{Rights: []Right{Look}} }
	w.pages = New(w.options)
	if got := text(t, body(t, w.get(one), 200)); strings.Contains(got, "webhook-signature") || !strings.Contains(got, "which needs the right to read mails") {
		t.Errorf("a viewer sees what an endpoint is told of a mail: %s", got)
	}
}

func (w *world) upload(path, name, content string) *http.Response {
	w.t.Helper()
	var b bytes.Buffer
	form := multipart.NewWriter(&b)
	part, err := form.CreateFormFile("file", name)
	if err != nil {
		w.t.Fatal(err)
	}
	_, _ = io.WriteString(part, content)
	_ = form.WriteField("world", "test")
	form.Close()
	r := httptest.NewRequest(http.MethodPost, path, &b)
	r.Header.Set("Content-Type", form.FormDataContentType())
	r.Header.Set("Sec-Fetch-Site", "same-origin")
	rec := httptest.NewRecorder()
	w.pages.ServeHTTP(rec, r)
	return rec.Result()
}

func TestSuppressions(t *testing.T) {
	w := newWorld(t)
	if got := text(t, body(t, w.get("/ui/suppressions"), 200)); !strings.Contains(got, "Nobody is suppressed") {
		t.Error("the empty page does not teach")
	}
	add := url.Values{"email": {"Gone@example.org"}, "note": {"=HYPERLINK(1) <b>"}, "stream": {"bulk"}}
	for _, word := range []string{"suppressed", "listed"} {
		if r := w.post("/ui/suppressions", add, nil); r.Header.Get("Location") != "/ui/suppressions?done="+word {
			t.Errorf("leads to %q", r.Header.Get("Location"))
		}
	}
	for name, value := range map[string]string{"email": "gone", "domain": "x", "stream": "A B", "note": strings.Repeat("x", 201)} {
		bad := url.Values{"email": {"a@example.org"}}
		bad.Set(name, value)
		body(t, w.post("/ui/suppressions", bad, nil), 422)
	}
	body(t, w.upload("/ui/suppressions/import", "list.txt", "one@example.org\ntwo@example.org\n"), 303)
	body(t, w.upload("/ui/suppressions/import", "list.csv", "\ufeffEmail,reason,ignored\nthree@example.org,complaint,x\n"), 303)
	for _, bad := range []string{"", "name\nx\n", "email,reason\na@example.org,lost\n", "a@example.org\nnobody\n", "email\n\"a"} {
		body(t, w.upload("/ui/suppressions/import", "bad.csv", bad), 422)
	}
	body(t, w.post("/ui/suppressions/import", nil, nil), 422)
	got := text(t, body(t, w.get("/ui/suppressions"), 200))
	for _, want := range []string{"Gone@example.org", "=HYPERLINK(1) <b>", "one@example.org", "three@example.org", "complaint", "stream bulk"} {
		if !strings.Contains(got, want) {
			t.Errorf("the list lacks %q", want)
		}
	}
	export := body(t, w.get("/ui/suppressions/export"), 200)
	if strings.Count(export, "\r\n") != 5 || !strings.Contains(export, ",'=HYPERLINK(1) <b>,") || !strings.HasPrefix(export, "email,reason,") {
		t.Errorf("exported %q", export)
	}
	// What was exported can be imported.
	body(t, w.upload("/ui/suppressions/import", "again.csv", export), 303)
	if got := text(t, body(t, w.get("/ui/suppressions?email=gone@EXAMPLE.org"), 200)); !strings.Contains(got, "Gone@example.org") || strings.Contains(got, "two@example.org") {
		t.Error("the search finds the wrong ones")
	}
	if got := text(t, body(t, w.get("/ui/suppressions?email=nobody@example.org"), 200)); !strings.Contains(got, "Not listed") {
		t.Error("the search does not say that nothing was found")
	}
	page, _, err := w.store.Suppressions.List(t.Context(), email.Test, store.SuppressionFilter{Reason: email.SuppressedComplaint}, "", 10)
	if err != nil || len(page) != 1 {
		t.Fatalf("%v, %v", page, err)
	}
	if got := text(t, body(t, w.get("/ui/suppressions?id="+page[0].ID), 200)); !strings.Contains(got, "three@example.org") {
		t.Error("one entry is not shown")
	}
	body(t, w.post("/ui/suppressions/"+page[0].ID+"/remove", nil, nil), 303)
	if _, err := w.store.Suppressions.Get(t.Context(), email.Test, page[0].ID); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("is still there: %v", err)
	}
	for path, status := range map[string]int{"?email=x": 422, "?reason=x": 422, "?from=x": 404, "?id=x": 404} {
		body(t, w.get("/ui/suppressions"+path), status)
	}
}

func TestDomains(t *testing.T) {
	w := newWorld(t)
	w.options.Domains = &domains.Domains{Store: w.store.Domains, Secret: secret.New(), Resolver: &dns.Zone{}, ReturnPathDomain: "r.test"}
	w.pages = New(w.options)
	if got := text(t, body(t, w.get("/ui/domains"), 200)); !strings.Contains(got, "No domains yet") {
		t.Error("the empty page does not teach")
	}
	if r := w.post("/ui/domains", url.Values{"name": {"Acme.com"}}, nil); r.Header.Get("Location") != "/ui/domains/acme.com?done=added" {
		t.Fatalf("leads to %q: %s", r.Header.Get("Location"), body(t, r, 0))
	}
	body(t, w.post("/ui/domains", url.Values{"name": {"acme.com"}}, nil), 422)
	body(t, w.post("/ui/domains", url.Values{"name": {"<script>"}}, nil), 422)
	got := text(t, body(t, w.get("/ui/domains/acme.com"), 200))
	for _, want := range []string{"v=DKIM1", "_domainkey.acme.com", "required", "pending", "Copy"} {
		if !strings.Contains(got, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	if got := text(t, body(t, w.post("/ui/domains/acme.com/check", nil, nil), 200)); !strings.Contains(got, "missing") {
		t.Errorf("the check says %s", got)
	}
	body(t, w.get("/ui/domains/other.com"), 404)
	body(t, w.post("/ui/domains/other.com/check", nil, nil), 404)
}

func TestSendATestMail(t *testing.T) {
	w := newWorld(t)
	body(t, w.post("/ui/send", nil, nil), 422) // no desk
	w.openDesk()
	form := url.Values{"from": {"Acme <a@acme.test>"}, "to": {"delivered@sandbox.test, bounced@sandbox.test"}, "subject": {"Hello"}, "text": {"x"}, "nonce": {"1"}}
	var first string
	for range 2 {
		r := w.post("/ui/send", form, nil)
		body(t, r, 303)
		u, _ := url.Parse(r.Header.Get("Location"))
		if first == "" {
			first = u.Path
		}
		if u.Path != first {
			t.Error("a form that was sent twice made two messages")
		}
	}
	if m := w.message(strings.TrimPrefix(first, "/ui/messages/")); len(m.Recipients) != 2 || m.Subject != "Hello" {
		t.Errorf("sent %+v", m)
	}
	form.Set("to", "nobody <b>")
	form.Set("nonce", "2")
	raw := body(t, w.post("/ui/send", form, nil), 422)
	got := text(t, raw)
	if !strings.Contains(got, "The mail was not taken: to") || !strings.Contains(raw, `value="Acme &lt;a@acme.test&gt;"`) || !strings.Contains(raw, `value="nobody &lt;b&gt;"`) {
		t.Errorf("the form does not come back with what is wrong: %s", got)
	}
}

func TestSettingsAndRecord(t *testing.T) {
	w := newWorld(t)
	w.options.Settings = []Setting{{"POSTRIDER_REDIS_URL", "redis://:xxxxx@<b>", "where"}}
	w.pages = New(w.options)
	body(t, w.post("/ui/suppressions", url.Values{"email": {"gone@example.org"}}, nil), 303)
	got := text(t, body(t, w.get("/ui/settings"), 200))
	for _, want := range []string{"POSTRIDER_REDIS_URL", "redis://:xxxxx@<b>", "suppression.created", store.Operator} {
		if !strings.Contains(got, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	if strings.Contains(got, "gone@example.org") {
		t.Error("the record holds an address")
	}
}
