package dashboard

import (
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"postrider/internal/email"
	"postrider/internal/store"
)

var shownLink = regexp.MustCompile(`http://example\.com(/ui/welcome/[^<]+)</pre>`)

func TestUsersPage(t *testing.T) {
	h := newHouse(t)
	page := body(t, h.ask("/ui/users", h.admin, url.Values{"name": {"bo@acme.com"}, "role": {"operator"}}), http.StatusOK)
	found := shownLink.FindStringSubmatch(page)
	if found == nil || !strings.Contains(text(t, page), "invited") {
		t.Fatal(page)
	}
	if strings.Contains(body(t, h.ask("/ui/users", h.admin, nil), http.StatusOK), "/ui/welcome/") {
		t.Error("the link is shown again")
	}
	if !strings.Contains(body(t, h.ask(found[1], "", nil), http.StatusOK), "bo@acme.com") {
		t.Error("the link does not say whose it is")
	}
	body(t, h.ask(found[1], "", url.Values{"password": {goodPassword}, "again": {"another one"}}), http.StatusUnprocessableEntity)
	body(t, h.ask(found[1], "", url.Values{"password": {"short"}, "again": {"short"}}), http.StatusUnprocessableEntity)
	if page := body(t, h.ask(found[1], "", url.Values{"password": {"postrider1234"}, "again": {"postrider1234"}}), http.StatusUnprocessableEntity); !strings.Contains(page, "among the first that are tried") {
		t.Error(page)
	}
	r := h.ask(found[1], "", url.Values{"password": {goodPassword}, "again": {goodPassword}})
	bo := sessionOf(r)
	body(t, r, http.StatusSeeOther)
	body(t, h.ask(found[1], "", nil), http.StatusGone)
	body(t, h.ask(found[1], "", url.Values{"password": {goodPassword}, "again": {goodPassword}}), http.StatusGone)
	if page := body(t, h.ask("/", bo, nil), http.StatusOK); !strings.Contains(page, "bo@acme.com") || strings.Contains(page, "/ui/users") {
		t.Error("bo is not greeted, or is led to where he may not go")
	}
	for form, status := range map[string]int{"name=bo@acme.com&role=viewer": 422, "name=a b&role=viewer": 422, "name=cy&role=king": 422} {
		values, _ := url.ParseQuery(form)
		body(t, h.ask("/ui/users", h.admin, values), status)
	}
	u, err := h.store.Users.ByName(t.Context(), "bo@acme.com")
	if err != nil {
		t.Fatal(err)
	}
	body(t, h.ask("/ui/users/"+u.ID, h.admin, url.Values{"role": {"viewer"}, "reads": {"on"}}), http.StatusSeeOther)
	if u, err = h.store.Users.Get(t.Context(), u.ID); err != nil || u.Role != store.RoleViewer || !u.ReadsMail {
		t.Errorf("%+v, %v", u, err)
	}
	body(t, h.ask("/ui/users/"+u.ID+"/remove", h.admin, url.Values{}), http.StatusSeeOther)
	body(t, h.ask("/", bo, nil), http.StatusSeeOther)
	body(t, h.ask("/ui/users/"+u.ID+"/link", h.admin, url.Values{}), http.StatusNotFound)
	ada, err := h.store.Users.ByName(t.Context(), "ada")
	if err != nil {
		t.Fatal(err)
	}
	if page := body(t, h.ask("/ui/users/"+ada.ID+"/remove", h.admin, url.Values{}), http.StatusUnprocessableEntity); !strings.Contains(page, "last administrator") {
		t.Error(page)
	}
}

func TestAccountPage(t *testing.T) {
	h := newHouse(t)
	change := func(old, password, again string) *http.Response {
		return h.ask("/ui/account/password", h.admin, url.Values{"old": {old}, "password": {password}, "again": {again}})
	}
	const next = "three green umbrellas"
	for _, c := range []struct{ old, password, again, said string }{
		{"wrong", next, next, "The password until now is another."},
		{goodPassword, next, goodPassword, "The two passwords are not the same."},
		{goodPassword, "short", "short", "at least 12 characters"},
		{goodPassword, "Password1234!", "Password1234!", "among the first that are tried"},
	} {
		if page := body(t, change(c.old, c.password, c.again), http.StatusUnprocessableEntity); !strings.Contains(page, c.said) {
			t.Errorf("%+v: %s", c, page)
		}
	}
	r := change(goodPassword, next, next)
	body(t, r, http.StatusSeeOther)
	body(t, h.ask("/", h.admin, nil), http.StatusSeeOther)
	h.admin = sessionOf(r)
	body(t, h.ask("/ui/account?done=password", h.admin, nil), http.StatusOK)
	body(t, h.ask("/ui/account/sign-out", h.admin, url.Values{}), http.StatusSeeOther)
	body(t, h.ask("/", h.admin, nil), http.StatusSeeOther)
}

// What somebody does is in the record under the name that they signed in with.
func TestRecordNamesTheUser(t *testing.T) {
	h := newHouse(t)
	m := message("x", "a@sandbox.test")
	m.World = email.Live
	h.accept(m, &email.Content{Text: "x"})
	body(t, h.ask("/ui/messages/"+m.ID+"/cancel", h.admin, url.Values{}), http.StatusSeeOther)
	list, _, err := h.store.Audit.Latest(t.Context(), []email.World{email.Live}, "", 1)
	if err != nil || len(list) != 1 || list[0].Actor != "user:ada" || list[0].Action != "message.canceled" || list[0].Object != m.ID {
		t.Errorf("%+v, %v", list, err)
	}
	body(t, h.ask("/ui/keys", h.admin, url.Values{"name": {"shop"}, "preset": {"sending"}}), http.StatusOK)
	list, _, err = h.store.Audit.Latest(t.Context(), []email.World{email.Live}, "", 2)
	if err != nil || len(list) != 2 || list[0].Actor != "user:ada" || list[0].Action != "api_key.created" || list[1].Action != "message.canceled" {
		t.Errorf("%+v, %v", list, err)
	}
}

// The record is one, whichever mail is looked at, and tells once of each change.
func TestRecordIsOne(t *testing.T) {
	h := newHouse(t)
	test := func(r *http.Request) { r.AddCookie(&http.Cookie{Name: worldCookie, Value: string(email.Test)}) }
	body(t, h.ask("/ui/users", h.admin, url.Values{"name": {"bo"}, "role": {"viewer"}}), http.StatusOK)
	body(t, h.ask("/ui/keys", h.admin, url.Values{"name": {"shop"}, "preset": {"sending"}, "world": {"test"}}), http.StatusOK)
	body(t, h.ask("/ui/suppressions", h.admin, url.Values{"email": {"gone@example.org"}}), http.StatusSeeOther)
	entries, _, err := h.store.Suppressions.List(t.Context(), email.Live, store.SuppressionFilter{}, "", 1)
	if err != nil || len(entries) != 1 {
		t.Fatal(entries, err)
	}
	for name, change := range map[string]func(*http.Request){"live": func(*http.Request) {}, "test": test} {
		got := text(t, body(t, h.ask("/ui/settings", h.admin, nil, change), http.StatusOK))
		for _, want := range []string{"user.createdboth", "api_key.createdtest", "suppression.createdlive" + entries[0].ID} {
			if strings.Count(got, want) != 1 {
				t.Errorf("%s mail: not once %q in %s", name, want, got)
			}
		}
	}
}
