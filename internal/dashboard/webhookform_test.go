package dashboard

import (
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"

	"postrider/internal/email"
	"postrider/internal/endpoint"
	"postrider/internal/events"
	"postrider/internal/store"
	"postrider/internal/webhook"
)

func TestWebhooksAreMadeChangedAndDeleted(t *testing.T) {
	h := newHouse(t)
	h.options.Poster = webhook.New(webhook.Options{AllowedNetworks: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}})
	h.pages = New(h.options)
	secretOf := func(page string) string {
		t.Helper()
		found := regexp.MustCompile(`id="secret" tabindex="0">(whsec_[A-Za-z0-9+/=]+)<`).FindStringSubmatch(strings.ReplaceAll(page, "&#43;", "+"))
		if found == nil || !strings.Contains(page, `data-copy="secret"`) {
			t.Fatalf("no secret to copy in %s", page)
		}
		return found[1]
	}
	hook := func() *store.Webhook {
		t.Helper()
		list, err := h.store.Webhooks.List(t.Context(), email.Live)
		if err != nil || len(list) != 1 {
			t.Fatalf("%d webhooks, %v", len(list), err)
		}
		return list[0]
	}
	empty := body(t, h.ask("/ui/webhooks", h.admin, nil), http.StatusOK)
	if !strings.Contains(empty, "No webhooks yet") || !strings.Contains(empty, `value="message.bounced" checked`) || strings.Contains(empty, `value="message.queued" checked`) {
		t.Error("the form does not begin with the usual events")
	}
	page := body(t, h.ask("/ui/webhooks", h.admin, url.Values{
		"url": {" https://user:t0ken@app.example/hook?<b> "}, "description": {"orders <b>"}, "event": {"message.bounced", "message.delivered"}, "patterns": {"suppression.*, message.bounced"},
	}), http.StatusOK)
	made, secret := hook(), secretOf(page)
	if made.Secret != secret || made.URL != "https://user:t0ken@app.example/hook?<b>" || !slices.Equal(made.Events, []string{"message.bounced", "message.delivered", "suppression.*"}) {
		t.Errorf("made %+v, and shown %q", made, secret)
	}
	path := "/ui/webhooks/" + made.ID
	page = body(t, h.ask(path, h.admin, nil), http.StatusOK)
	if strings.Contains(page, secret) || strings.Contains(page, "t0ken") || strings.Contains(page, "orders <b>") || !strings.Contains(page, `name="patterns" value="suppression.*"`) {
		t.Error("the page shows a secret, runs a description, or forgets a group")
	}
	// What is not touched stays, the password of the URL too.
	form := url.Values{"url": {webhook.Redact(made.URL)}, "description": {"orders"}, "event": {"message.bounced"}}
	body(t, h.ask(path, h.admin, form), http.StatusSeeOther)
	if got := hook(); got.URL != made.URL || got.Description != "orders" || !slices.Equal(got.Events, []string{"message.bounced"}) {
		t.Errorf("changed to %+v", got)
	}
	for _, c := range []struct{ name, value, said string }{
		{"url", "", "url is required"},
		{"url", "app.example", "url must begin with https://"},
		{"url", "https://10.0.0.1/", "url is a loopback, private or special address"},
		{"url", "https://app.example/" + strings.Repeat("x", endpoint.MaxURL), "url has more than 2048 characters"},
		{"event", "", "events “” is no event"},
		{"event", "message.lost<i>", "events “message.lost<i>” is no event"},
		{"patterns", "message.opened", "events “message.opened” is not produced by this version"},
		{"patterns", strings.Repeat("message.x", 9) + strings.Repeat(",", 60), "is no event"},
		{"description", strings.Repeat("é", endpoint.MaxDescription+1), "description has more than 255 characters"},
		{"description", "a\x00b", "description holds control characters"},
	} {
		for _, to := range []string{"/ui/webhooks", path} {
			bad := url.Values{"url": {"https://app.example/"}, "event": {"message.bounced"}}
			bad.Set(c.name, c.value)
			page := body(t, h.ask(to, h.admin, bad), http.StatusUnprocessableEntity)
			if got := text(t, page); !strings.Contains(got, c.said) || strings.Contains(page, "<i>") || strings.Contains(page, "data-live=") {
				t.Errorf("%s %s=%.20q: %s", to, c.name, c.value, got)
			}
		}
	}
	none := url.Values{"url": {"https://app.example/"}}
	if got := text(t, body(t, h.ask("/ui/webhooks", h.admin, none), http.StatusUnprocessableEntity)); !strings.Contains(got, "events names no event") {
		t.Error(got)
	}
	if got := hook(); got.Description != "orders" {
		t.Errorf("what was refused was done: %+v", got)
	}
	if next := secretOf(body(t, h.ask(path+"/secret", h.admin, url.Values{}), http.StatusOK)); next == secret || hook().OldSecret != secret {
		t.Error("the secret is not another, or the one before does not sign any more")
	}
	body(t, h.ask(path+"/enabled", h.admin, url.Values{"enabled": {"false"}}), http.StatusSeeOther)
	body(t, h.ask(path+"/delete", h.admin, url.Values{}), http.StatusSeeOther)
	body(t, h.ask(path+"/delete", h.admin, url.Values{}), http.StatusNotFound)
	body(t, h.ask(path, h.admin, form), http.StatusNotFound)
	body(t, h.ask(path+"/secret", h.admin, url.Values{}), http.StatusNotFound)
	if _, err := h.store.Webhooks.Get(t.Context(), email.Live, made.ID); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("deleted, and: %v", err)
	}
	changes, _, err := h.store.Audit.Latest(t.Context(), []email.World{email.Live}, "", 20)
	if err != nil {
		t.Fatal(err)
	}
	var did []string
	for _, c := range changes {
		if strings.HasPrefix(c.Action, "webhook.") {
			did = append(did, c.Actor+" "+c.Action)
		}
	}
	want := "[user:ada webhook.deleted user:ada webhook.disabled user:ada webhook.secret_rotated user:ada webhook.updated user:ada webhook.created]"
	if fmt.Sprint(did) != want {
		t.Errorf("recorded %v", did)
	}
}

// Of those who may not administer nobody sees the forms.
func TestWebhooksOfViewers(t *testing.T) {
	h := newHouse(t)
	_, operator := h.add("op", store.RoleOperator, false)
	page := body(t, h.ask("/ui/webhooks", operator, nil), http.StatusOK)
	if strings.Contains(page, `name="url"`) || !strings.Contains(page, "Administrators make them") {
		t.Error(page)
	}
}

// The twenty-first is refused, and what was entered stays.
func TestTooManyWebhooks(t *testing.T) {
	w := newWorld(t)
	w.options.Poster = webhook.New(webhook.Options{})
	w.pages = New(w.options)
	form := url.Values{"url": {"https://app.example/hook"}, "event": {string(events.Types()[0])}}
	for range store.MaxWebhooks {
		body(t, w.post("/ui/webhooks", form, nil), http.StatusOK)
	}
	if page := body(t, w.post("/ui/webhooks", form, nil), http.StatusUnprocessableEntity); !strings.Contains(text(t, page), "20 webhooks already") || !strings.Contains(page, `value="https://app.example/hook"`) {
		t.Error(page)
	}
}
