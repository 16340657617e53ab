package dashboard

import (
	"net/http"
	"net/netip"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"postrider/internal/email"
	"postrider/internal/webhook"
)

var mark = regexp.MustCompile(`name="nonce" value="([^"]+)"`)

// Who loads the page again that shows a secret changes nothing, in any process.
func TestReloadedPagesChangeNothing(t *testing.T) {
	h := newHouse(t)
	ctx := t.Context()
	h.options.Poster = webhook.New(webhook.Options{AllowedNetworks: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}})
	processes := []http.Handler{New(h.options), New(h.options)}
	// twice sends the form of a page, and once more as a reload does.
	twice := func(page, to string, form url.Values) {
		t.Helper()
		h.pages = processes[0]
		shown := mark.FindStringSubmatch(body(t, h.ask(page, h.admin, nil), http.StatusOK))
		if shown == nil {
			t.Fatalf("the forms of %s have no mark", page)
		}
		form.Set("nonce", shown[1])
		body(t, h.ask(to, h.admin, form), http.StatusOK)
		for _, p := range append(processes, processes...) {
			h.pages = p
			again := body(t, h.ask(to, h.admin, form), http.StatusConflict)
			if got := text(t, again); !strings.Contains(got, "Done already") || !strings.Contains(got, "make a new one") || !strings.Contains(again, `<a href="`+strings.Join(strings.Split(to, "/")[:3], "/")+`">← Back`) {
				t.Errorf("%s: %s", to, again)
			}
		}
	}
	twice("/ui/keys", "/ui/keys", url.Values{"name": {"shop"}, "preset": {"sending"}})
	keys, err := h.store.Keys.List(ctx, email.Live)
	if err != nil || len(keys) != 1 {
		t.Fatalf("%d keys, %v", len(keys), err)
	}
	twice("/ui/keys", "/ui/keys/"+keys[0].ID+"/rotate", url.Values{})
	rotated, err := h.store.Keys.List(ctx, email.Live)
	if err != nil || rotated[0].OldPrefix != keys[0].Prefix {
		t.Errorf("the key that apps use counts no more: %v", err)
	}
	twice("/ui/webhooks", "/ui/webhooks", url.Values{"url": {"https://app.example/"}, "event": {"message.bounced"}})
	hooks, err := h.store.Webhooks.List(ctx, email.Live)
	if err != nil || len(hooks) != 1 {
		t.Fatalf("%d webhooks, %v", len(hooks), err)
	}
	twice("/ui/webhooks/"+hooks[0].ID, "/ui/webhooks/"+hooks[0].ID+"/secret", url.Values{})
	if hook, err := h.store.Webhooks.Get(ctx, email.Live, hooks[0].ID); err != nil || hook.OldSecret != hooks[0].Secret {
		t.Errorf("the secret that apps know signs no more: %v", err)
	}
	twice("/ui/users", "/ui/users", url.Values{"name": {"bo"}, "role": {"viewer"}})
	bo, err := h.desk.Find(ctx, "bo")
	if err != nil {
		t.Fatal(err)
	}
	twice("/ui/users", "/ui/users/"+bo.ID+"/link", url.Values{})
	if list, err := h.store.Users.List(ctx); err != nil || len(list) != 2 {
		t.Errorf("%d users, %v", len(list), err)
	}
}

// A form that was refused can be sent again, and one without a mark does nothing.
func TestRefusedFormsAreNotUsedUp(t *testing.T) {
	w := newWorld(t)
	form := url.Values{"nonce": {"1"}, "name": {""}, "preset": {"sending"}}
	body(t, w.post("/ui/keys", form, nil), http.StatusUnprocessableEntity)
	form.Set("name", "shop")
	body(t, w.post("/ui/keys", form, nil), http.StatusOK)
	form.Set("nonce", "")
	if got := text(t, body(t, w.post("/ui/keys", form, nil), http.StatusUnprocessableEntity)); !strings.Contains(got, "too old") {
		t.Error(got)
	}
	body(t, w.post("/ui/keys/"+email.NewID(email.KeyPrefix)+"/rotate", url.Values{"nonce": {"1"}}, nil), http.StatusNotFound)
	if keys, err := w.store.Keys.List(t.Context(), email.Test); err != nil || len(keys) != 1 {
		t.Errorf("%d keys, %v", len(keys), err)
	}
}
