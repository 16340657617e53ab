package dashboard

import (
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"postrider/internal/store"
)

func TestSessionsOnTheAccountPage(t *testing.T) {
	h := newHouse(t)
	in := func(agent, from string) string {
		t.Helper()
		r := h.ask("/ui/sign-in", "", url.Values{"name": {"ada"}, "password": {goodPassword}}, func(r *http.Request) {
			r.RemoteAddr = from
			r.Header.Set("User-Agent", agent)
		})
		body(t, r, http.StatusSeeOther)
		return sessionOf(r)
	}
	phone := in("Mozilla/5.0 (iPhone; CPU iPhone OS 19_0 like Mac OS X) AppleWebKit/605.1.15 Version/19.0 Mobile/15E148 Safari/604.1", "198.51.100.7:1")
	page := body(t, h.ask("/ui/account", h.admin, nil), http.StatusOK)
	for _, want := range []string{"Safari on iPhone", "198.51.100.7", "this one", "An unknown browser", "last used"} {
		if !strings.Contains(text(t, page), want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	end := regexp.MustCompile(`action="(/ui/account/sessions/[0-9a-f]+/end)"`)
	if n := len(end.FindAllString(page, -1)); n != 1 {
		t.Fatalf("%d sessions can be ended, and one of two is this", n)
	}
	_, bo := h.add("bo", store.RoleViewer, false)
	path := end.FindStringSubmatch(page)[1]
	body(t, h.ask(path, bo, url.Values{}), http.StatusUnprocessableEntity)
	body(t, h.ask("/", phone, nil), http.StatusOK)
	body(t, h.ask(path, h.admin, url.Values{}), http.StatusSeeOther)
	body(t, h.ask("/", phone, nil), http.StatusSeeOther)
	if got := text(t, body(t, h.ask(path, h.admin, url.Values{}), http.StatusUnprocessableEntity)); !strings.Contains(got, "ended already") {
		t.Error(got)
	}
	// What a browser calls itself is nothing that a page repeats.
	hostile := in(`Firefox/<script>alert(1)</script>`, "192.0.2.9:1")
	page = body(t, h.ask("/ui/account", h.admin, nil), http.StatusOK)
	if strings.Contains(page, "alert(1)") || !strings.Contains(page, "Firefox") {
		t.Error(page)
	}
	body(t, h.ask("/ui/account/sign-out-others", h.admin, url.Values{}), http.StatusSeeOther)
	body(t, h.ask("/", hostile, nil), http.StatusSeeOther)
	if page := body(t, h.ask("/ui/account", h.admin, nil), http.StatusOK); end.MatchString(page) || strings.Contains(page, "sign-out-others") {
		t.Error("there are others yet")
	}
}

func TestAdministratorEndsSessions(t *testing.T) {
	h := newHouse(t)
	u, bo := h.add("bo", store.RoleOperator, false)
	path := "/ui/users/" + u.ID + "/sign-out"
	if page := body(t, h.ask("/ui/users", h.admin, nil), http.StatusOK); !strings.Contains(page, `action="`+path+`"`) {
		t.Error("the page has no button for it")
	}
	body(t, h.ask(path, bo, url.Values{}), http.StatusForbidden)
	body(t, h.ask(path, h.admin, url.Values{}), http.StatusSeeOther)
	body(t, h.ask("/", bo, nil), http.StatusSeeOther)
	body(t, h.ask("/", h.admin, nil), http.StatusOK)
	body(t, h.ask("/ui/users/usr_none/sign-out", h.admin, url.Values{}), http.StatusNotFound)
	if got := text(t, body(t, h.ask("/ui/settings", h.admin, nil), http.StatusOK)); !strings.Contains(got, "user.signed_out_everywhere") {
		t.Error("the record does not tell of it")
	}
}

func TestBrowser(t *testing.T) {
	for agent, want := range map[string]string{
		"Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0":                                                            "Firefox on Linux",
		"Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36 Edg/140.0.0.0":     "Edge on Windows",
		"Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36":             "Chrome on Mac",
		"Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Mobile Safari/537.36":                   "Chrome on Android",
		"Mozilla/5.0 (iPad; CPU OS 18_0 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) CriOS/140.0.0.0 Mobile/15E148 Safari/604.1": "Chrome on iPad",
		"curl/8.5.0": "", "": "", "Windows": "", "Firefox/1": "Firefox",
	} {
		if got := browser(agent); got != want {
			t.Errorf("%s: %q, want %q", agent, got, want)
		}
	}
}
