package dashboard

import (
	"context"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"

	"postrider/internal/email"
)

// post sends a form as a page of ours does, unless change makes it another.
func (w *world) post(path string, form url.Values, change func(*http.Request)) *http.Response {
	w.t.Helper()
	r := httptest.NewRequest(http.MethodPost, path, strings.NewReader(w.filled(form).Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Sec-Fetch-Site", "same-origin")
	if change != nil {
		change(r)
	}
	rec := httptest.NewRecorder()
	w.pages.ServeHTTP(rec, r)
	return rec.Result()
}

// filled is a form as a page that was just loaded has it, unless it has a mark itself, or
// a world: "world": nil is none.
func (w *world) filled(form url.Values) url.Values {
	all := url.Values{"nonce": {email.NewID(email.RequestPrefix)}, "world": {string(email.Test)}}
	if len(w.options.Worlds) > 0 {
		all.Set("world", string(w.options.Worlds[0]))
	}
	maps.Copy(all, form)
	return all
}

// Nothing is changed by a request that another page sent, whatever it pretends.
func TestChangesComeFromOurPages(t *testing.T) {
	w := newWorld(t)
	tests := []struct {
		name, site, origin string
		status             int
	}{
		{"our page", "same-origin", "http://example.com", http.StatusSeeOther},
		{"our page without TLS", "", "http://example.com", http.StatusSeeOther},
		{"another site", "cross-site", "http://evil.example", http.StatusForbidden},
		{"another site that hides", "cross-site", "null", http.StatusForbidden},
		{"another host of ours", "same-site", "http://app.example.com", http.StatusForbidden},
		{"an origin of another", "", "http://evil.example", http.StatusForbidden},
		{"another port", "", "http://example.com:8080", http.StatusForbidden},
		{"a sandboxed frame", "", "null", http.StatusForbidden},
		{"no browser", "", "", http.StatusForbidden},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			r := w.post("/ui/world", url.Values{"world": {"test"}, "back": {"/"}}, func(r *http.Request) {
				r.Header.Del("Sec-Fetch-Site")
				for name, value := range map[string]string{"Sec-Fetch-Site": test.site, "Origin": test.origin} {
					if value != "" {
						r.Header.Set(name, value)
					}
				}
			})
			body(t, r, test.status)
			if set := r.Header.Get("Set-Cookie") != ""; set != (test.status == http.StatusSeeOther) {
				t.Errorf("the cookie was set: %v", set)
			}
		})
	}
}

func TestEveryRouteNeedsItsRight(t *testing.T) {
	w := newWorld(t)
	w.options.Visitor = func(http.ResponseWriter, *http.Request) *Visitor { return &Visitor{Name: "nobody"} }
	w.pages = New(w.options)
	routes := (&dashboard{}).routes()
	for _, r := range routes {
		method, path, _ := strings.Cut(r.pattern, " ")
		if !slices.Contains(Rights(), r.right) || (r.page == nil) == (r.action == nil) || (r.action == nil) != (method == http.MethodGet) || (r.what == "") != (r.page != nil || slices.Contains([]string{"/ui/world", "/ui/templates/{id}/check", "/ui/templates/{id}/preview"}, path)) {
			t.Errorf("%s: no right of ours, or not one page or one action", r.pattern)
		}
		path = strings.NewReplacer("{$}", "", "{id}", email.NewMessageID(0), "{n}", "0", "{queue}", "bulk", "{delivery}", email.NewID(email.DeliveryPrefix), "{name}", "acme.test").Replace(path)
		rec := httptest.NewRecorder()
		w.pages.ServeHTTP(rec, httptest.NewRequest(method, path, nil))
		if rec.Code != http.StatusForbidden || !strings.Contains(rec.Body.String(), "the right to "+string(r.right)) {
			t.Errorf("%s: %d", r.pattern, rec.Code)
		}
	}
}

func TestVisitor(t *testing.T) {
	w := newWorld(t)
	m := message("x", "a@sandbox.test")
	w.accept(m, &email.Content{Text: "x"})
	visitor := &Visitor{Name: "Ada <b>", Rights: []Right{Look, Operate}, Token: "secret-token"}
	var changes []Change
	w.options.Visitor = func(rw http.ResponseWriter, _ *http.Request) *Visitor {
		if visitor == nil {
			http.Error(rw, "sign in", http.StatusUnauthorized)
		}
		return visitor
	}
	w.options.Changed = func(_ context.Context, c Change) { changes = append(changes, c) }
	w.options.Worlds = []email.World{email.Live, email.Test}
	w.pages = New(w.options)
	page := body(t, w.get("/"), http.StatusOK)
	if got := text(t, page); !strings.Contains(got, "Ada <b>") || !strings.Contains(page, `name="token" value="secret-token"`) {
		t.Error("the page lacks the visitor's name, or its forms their token")
	}
	for token, status := range map[string]int{"": 403, "other": 403, "secret-token": 303} {
		r := w.post("/ui/world", url.Values{"world": {"test"}, "token": {token}, "back": {"/ui/messages/x?y=1"}}, nil)
		if body(t, r, status); status == 303 && r.Header.Get("Location") != "/ui/messages/x?y=1" {
			t.Errorf("leads to %q", r.Header.Get("Location"))
		}
	}
	body(t, w.post("/ui/messages/"+m.ID+"/cancel", url.Values{"token": {"secret-token"}, "world": {"test"}}, nil), 303)
	body(t, w.post("/ui/messages/"+email.NewMessageID(0)+"/cancel", url.Values{"token": {"secret-token"}}, nil), 404)
	if len(changes) != 1 || changes[0].By != "Ada <b>" || changes[0].What != "message.canceled" || changes[0].To != m.ID || changes[0].At.IsZero() {
		t.Errorf("told of %+v", changes)
	}
	visitor = nil
	if got := body(t, w.get("/ui/inbox"), http.StatusUnauthorized); strings.Contains(got, "Inbox") {
		t.Error("a page was shown to nobody")
	}
}

func TestWorlds(t *testing.T) {
	w := newWorld(t)
	w.options.Worlds = []email.World{email.Live, email.Test}
	w.pages = New(w.options)
	m := message("of the test world", "a@sandbox.test")
	w.accept(m, &email.Content{Text: "x"})
	if strings.Contains(body(t, w.get("/ui/inbox"), http.StatusOK), m.Subject) {
		t.Error("live shows test mail")
	}
	body(t, w.get("/ui/messages/"+m.ID), http.StatusOK) // by its id, from either world
	r := httptest.NewRequest(http.MethodGet, "/ui/messages", nil)
	for _, c := range w.post("/ui/world", url.Values{"world": {"test"}}, nil).Cookies() {
		if !c.HttpOnly || c.SameSite != http.SameSiteStrictMode {
			t.Errorf("cookie %v", c)
		}
		r.AddCookie(c)
	}
	rec := httptest.NewRecorder()
	w.pages.ServeHTTP(rec, r)
	if !strings.Contains(rec.Body.String(), m.Subject) {
		t.Error("test does not show test mail")
	}
	body(t, w.post("/ui/world", url.Values{"world": {"moon"}}, nil), http.StatusUnprocessableEntity)
}

func TestOwnPath(t *testing.T) {
	for to, want := range map[string]string{
		"/": "/", "/?range=day": "/?range=day", "/ui/messages?q=a%20b": "/ui/messages?q=a%20b",
		"": "/", "//evil.example/ui/": "/", "https://evil.example/ui/x": "/", "/\\evil.example": "/", "javascript:alert(1)": "/",
		"/ui/../v1": "/", "/v1/messages": "/", "/ui/x\r\nSet-Cookie: a=b": "/", "ui/x": "/", "/ui//x": "/", "/%2fevil": "/",
	} {
		if got := ownPath(to); got != want {
			t.Errorf("%q leads to %q, want %q", to, got, want)
		}
	}
}

func TestLargeAndBrokenForms(t *testing.T) {
	w := newWorld(t)
	body(t, w.post("/ui/world", url.Values{"world": {strings.Repeat("x", maxForm)}}, nil), http.StatusRequestEntityTooLarge)
	body(t, w.post("/ui/world", nil, func(r *http.Request) {
		r.Header.Set("Content-Type", "multipart/form-data; boundary=x")
	}), http.StatusBadRequest)
}

// A page with all that it loads stays small.
func TestPageWeight(t *testing.T) {
	w := newWorld(t)
	for range shown {
		w.accept(message(strings.Repeat("A long subject that goes on. ", 8), "somebody.with.a.long.name@sandbox.test"), &email.Content{Text: "x"})
	}
	total := len(body(t, w.get("/ui/inbox"), http.StatusOK))
	for name, a := range loadAssets() {
		r := w.get("/ui/" + name + "?v=" + a.version)
		total += len(body(t, r, http.StatusOK))
		if got := r.Header.Get("Cache-Control"); !strings.Contains(got, "immutable") || r.Header.Get("Content-Type") != a.contentType {
			t.Errorf("%s: %s, %s", name, got, r.Header.Get("Content-Type"))
		}
		if got := w.get("/ui/" + name + "?v=0").Header.Get("Cache-Control"); got != "no-store" {
			t.Errorf("another version of %s: %s", name, got)
		}
	}
	if total > 200_000 {
		t.Errorf("the list and what it loads have %d octets", total)
	}
	t.Logf("%d octets", total)
}
