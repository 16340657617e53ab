package app_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	standard "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"postrider/internal/apptest"
	"postrider/internal/email"
	"postrider/internal/events"
	"postrider/internal/redistest"
	"postrider/internal/webhook"
	"postrider/smtpclient/smtptest"
)

// verdict is what tools/webhooks/check.mjs says of a signature.
type verdict struct{ Verified, Stable bool }

func startJavaScript(t *testing.T) func(question map[string]any) verdict {
	t.Helper()
	node := apptest.StartNode(t, "webhooks/check.mjs")
	return func(question map[string]any) (v verdict) {
		t.Helper()
		node.Ask(t, question, &v)
		return v
	}
}

// Check 4: the standard's own libraries, for Go and for JavaScript, verify what we post,
// by either secret while one is exchanged for the other, and refuse a body changed by one
// byte and a timestamp of six minutes ago.
func TestAcceptance04(t *testing.T) {
	js := startJavaScript(t)
	type post struct {
		header http.Header
		body   string
	}
	var posts []post
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		posts = append(posts, post{r.Header, string(body)})
	}))
	defer server.Close()
	verified := func(secret string, p post) (byGo, byJavaScript bool) {
		w, err := standard.NewWebhook(secret)
		if err != nil {
			t.Fatal(err)
		}
		headers := make(map[string]string)
		for _, name := range []string{"webhook-id", "webhook-timestamp", "webhook-signature"} {
			headers[name] = p.header.Get(name)
		}
		return w.Verify([]byte(p.body), p.header) == nil, js(map[string]any{"secret": secret, "headers": headers, "body": p.body}).Verified
	}
	want := func(what, secret string, p post, ok bool) {
		t.Helper()
		if byGo, byJavaScript := verified(secret, p); byGo != ok || byJavaScript != ok {
			t.Errorf("%s: verified by Go %v, by JavaScript %v, want %v", what, byGo, byJavaScript, ok)
		}
	}
	before, after := webhook.NewSecret(), webhook.NewSecret()
	allowed := []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
	send := func(now func() time.Time, secrets ...string) post {
		id, body, err := events.Sample(email.Live, email.TypeFor(email.Bounced), "wh_1", time.Now())
		if err != nil {
			t.Fatal(err)
		}
		p := webhook.New(webhook.Options{AllowedNetworks: allowed, Now: now})
		if a := p.Post(t.Context(), webhook.Endpoint{URL: server.URL, Secrets: secrets}, webhook.Message{ID: id, Body: body}); !a.OK() {
			t.Fatalf("%+v", a)
		}
		return posts[len(posts)-1]
	}
	plain, rotating := send(time.Now, before), send(time.Now, after, before)
	want("as sent", before, plain, true)
	want("with a secret to come", after, plain, false)
	want("during rotation, the new secret", after, rotating, true)
	want("during rotation, the old secret", before, rotating, true)
	for _, at := range []int{0, len(plain.body) / 2, len(plain.body) - 2} {
		changed := post{plain.header, plain.body[:at] + string(plain.body[at]^1) + plain.body[at+1:]}
		want(fmt.Sprintf("changed at %d", at), before, changed, false)
	}
	want("six minutes old", before, send(func() time.Time { return time.Now().Add(-6 * time.Minute) }, before), false)
	want("four minutes old", before, send(func() time.Time { return time.Now().Add(-4 * time.Minute) }, before), true)
}

// Check 5: JSON.stringify(JSON.parse(body)) === body for every event type with hostile
// names.
func TestAcceptance05(t *testing.T) {
	js := startJavaScript(t)
	now := time.Now()
	for _, name := range []string{`<>&"'`, "\U0001f600 e\u0301", "\u2028\u2029", "\\u2028", "\ufffd\u202e", "\x7f\u0085"} {
		m := &email.Message{
			ID: email.NewMessageID(0), World: email.Live, CreatedAt: now, ExpiresAt: now, From: email.Address{Email: "a@acme.test", Name: name},
			Subject: name, Tags: []string{name}, Stream: "transactional", Metadata: map[string]string{"10": name, "9": name, name: "x", "b": "", "a": "y"},
			Recipients: []email.Recipient{{Address: email.Address{Email: "b@acme.test", Name: name}, Type: email.To, State: email.RecipientState{SuppressionID: "sup_1"}}},
		}
		for _, status := range email.RecipientStatuses() {
			body, err := events.Body(m, email.Event{
				ID: email.NewID(email.EventPrefix), Type: email.TypeFor(status), At: now, Status: status, Previous: email.Queued, Seq: 2,
				Detail: name, Reason: name, Category: name, NextAt: now, Reply: &email.Reply{Code: 550, Text: name, MXHost: name},
			})
			if err != nil {
				t.Fatal(err)
			}
			if !js(map[string]any{"body": string(body)}).Stable {
				t.Errorf("%s with %q is not stable:\n%s", status, name, body)
			}
		}
		for _, kind := range []email.EventType{email.SuppressionCreated, email.SuppressionDeleted} {
			body, err := events.SuppressionBody(&email.SuppressionEvent{
				ID: "evt_1", Type: kind, At: now, Suppression: email.Suppression{ID: "sup_1", Email: name, Note: name, CreatedAt: now},
			})
			if err != nil {
				t.Fatal(err)
			}
			if !js(map[string]any{"body": string(body)}).Stable {
				t.Errorf("%s with %q is not stable:\n%s", kind, name, body)
			}
		}
	}
}

// told sends to some addresses and waits until the message is complete; it gives each
// one's events in words: what happened, and why.
func (s *service) told(to ...string) map[string]string {
	s.t.Helper()
	accepted := struct{ ID string }{}
	s.call(http.MethodPost, "/messages", map[string]any{"from": "hi@acme.test", "to": to, "subject": "s", "text": "t"}, &accepted)
	message := struct {
		CompletedAt *string `json:"completed_at"`
	}{}
	for until := time.Now().Add(90 * time.Second); message.CompletedAt == nil; time.Sleep(50 * time.Millisecond) {
		if time.Now().After(until) {
			s.t.Fatalf("mail to %v is never complete", to)
		}
		s.call(http.MethodGet, "/messages/"+accepted.ID, nil, &message)
	}
	list := struct {
		Data []struct {
			Type string
			Data struct {
				Recipient struct{ Email string }
				Bounce    *struct {
					Type, Category string
					SuppressionID  *string `json:"suppression_id"`
				}
				Failure     *struct{ Reason string }
				Suppression *struct{ Reason string }
			}
		}
	}{}
	s.call(http.MethodGet, "/messages/"+accepted.ID+"/events?limit=100", nil, &list)
	out := make(map[string]string)
	for _, e := range list.Data {
		word := strings.TrimPrefix(e.Type, "message.")
		switch d := e.Data; {
		case d.Bounce != nil:
			word += "/" + d.Bounce.Type
			if d.Bounce.SuppressionID != nil {
				s.t.Errorf("%s made a suppression", d.Recipient.Email)
			}
		case d.Failure != nil:
			word += "/" + d.Failure.Reason
		case d.Suppression != nil:
			word += "/" + d.Suppression.Reason
		}
		address := e.Data.Recipient.Email
		out[address] = strings.TrimSpace(out[address] + " " + word)
	}
	return out
}

// Check 7: each simulator address yields exactly the documented list of events. (Those that
// need incoming mail come with it.)
func TestAcceptance07(t *testing.T) {
	s := startService(t, redistest.Server(t), false, newInternet(t))
	s.key = apptest.AddKey(t, s.Store, email.Test, "test")
	want := map[string]string{
		"delivered@sandbox.test":       "queued delivered",
		"bounced@sandbox.test":         "queued bounced/hard",
		"bounced+label@sandbox.test":   "queued bounced/hard",
		"soft-bounced@sandbox.test":    "queued deferred deferred bounced/soft",
		"blocked@sandbox.test":         "queued bounced/block",
		"deferred@sandbox.test":        "queued deferred delivered",
		"failed@sandbox.test":          "queued failed/no_route",
		"suppressed@sandbox.test":      "suppressed/manual",
		"slow-2@sandbox.test":          "queued delivered",
		"smtp-550-5.7.26@sandbox.test": "queued bounced/block",
		"anybody@example.org":          "queued delivered",
	}
	var to []string
	for address := range want {
		to = append(to, address)
	}
	got := s.told(append(to, "stuck@sandbox.test", "smtp-421@sandbox.test")...)
	for address, events := range want {
		if got[address] != events {
			t.Errorf("%s: %s, want %s", address, got[address], events)
		}
	}
	for _, address := range []string{"stuck@sandbox.test", "smtp-421@sandbox.test"} {
		words := strings.Fields(got[address])
		last := words[len(words)-1]
		rest := slices.Compact(words[1 : len(words)-1])
		if words[0] != "queued" || last != "failed/expired" || !slices.Equal(rest, []string{"deferred"}) {
			t.Errorf("%s: %s, want it deferred until it failed/expired", address, got[address])
		}
	}
}

// Check 10: of a suppressed and a good recipient one gets the mail, the other an event, and
// the 202 names both. The suppression comes from a hard bounce.
func TestAcceptance10(t *testing.T) {
	net := newInternet(t)
	net.mx("mx.mixed.test", smtptest.Options{Script: smtptest.Script{"RCPT": {smtptest.Reply("550 5.1.1 no such user")}}})
	net.mx("mx.plain.test", smtptest.Options{})
	net.domain("mixed.test", "mx.mixed.test")
	net.domain("plain.test", "mx.plain.test")
	s := startService(t, redistest.Server(t), false, net)
	s.verifyDomain("acme.test", net)
	send := func() (recipients []struct {
		Email, Status, Reason string
		SuppressionID         string `json:"suppression_id"`
	},
	) {
		accepted := struct{ Recipients any }{&recipients}
		s.call(http.MethodPost, "/messages", map[string]any{
			"from": "hi@acme.test", "to": []string{"gone@mixed.test", "ada@plain.test"}, "subject": "s", "text": "t",
		}, &accepted)
		return recipients
	}
	first := send()
	if len(first) != 2 || first[0].Status != "queued" {
		t.Fatalf("at first: %+v", first)
	}
	list := struct {
		Data []struct {
			ID, Email, Reason string
			Source            string `json:"source_message_id"`
		}
	}{}
	for until := time.Now().Add(60 * time.Second); len(list.Data) == 0; time.Sleep(50 * time.Millisecond) {
		if time.Now().After(until) {
			t.Fatal("the hard bounce makes no suppression")
		}
		s.call(http.MethodGet, "/v1/suppressions", nil, &list)
	}
	if e := list.Data[0]; e.Email != "gone@mixed.test" || e.Reason != "hard_bounce" || e.Source == "" {
		t.Errorf("suppression %+v", e)
	}
	second := send()
	if second[0].Status != "suppressed" || second[0].Reason != "hard_bounce" || second[0].SuppressionID != list.Data[0].ID || second[1].Status != "queued" {
		t.Errorf("then: %+v", second)
	}
	got := s.told("gone@mixed.test", "ada@plain.test")
	if got["gone@mixed.test"] != "suppressed/hard_bounce" || got["ada@plain.test"] != "queued delivered" {
		t.Errorf("events: %v", got)
	}
}
