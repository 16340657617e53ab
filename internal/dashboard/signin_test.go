package dashboard

import (
	"crypto/tls"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"postrider/internal/email"
	"postrider/internal/signin"
	"postrider/internal/store"
)

const goodPassword = "a horse on the stairs"

// house is a world that people sign in to.
type house struct {
	*world
	desk  *signin.Desk
	dash  *dashboard
	admin string // a session
}

func newHouse(t *testing.T) *house {
	t.Helper()
	h := &house{world: newWorld(t)}
	h.desk = signin.New(signin.Options{Store: h.store})
	h.options.SignIn, h.options.BaseURL = h.desk, "http://example.com"
	h.options.Proxies = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}
	h.options.Worlds = []email.World{email.Live, email.Test}
	h.pages = New(h.options)
	h.dash = &dashboard{Options: h.options}
	link, err := h.desk.First(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if h.admin, err = h.desk.Redeem(t.Context(), link, "ada", goodPassword, signin.Place{}); err != nil {
		t.Fatal(err)
	}
	return h
}

// add makes a user and gives a session.
func (h *house) add(name string, role store.Role, reads bool) (*store.User, string) {
	h.t.Helper()
	u, link, err := h.desk.Invite(h.t.Context(), "", name, signin.Draft{Role: role, ReadsMail: reads})
	if err != nil {
		h.t.Fatal(err)
	}
	session, err := h.desk.Redeem(h.t.Context(), link, "", goodPassword, signin.Place{})
	if err != nil {
		h.t.Fatal(err)
	}
	return u, session
}

// ask makes a request as a page of ours does; form nil: GET.
func (h *house) ask(path, session string, form url.Values, change ...func(*http.Request)) *http.Response {
	h.t.Helper()
	method := http.MethodGet
	if form != nil {
		method = http.MethodPost
		if session != "" && !form.Has("token") {
			form.Set("token", formToken(session))
		}
		form = h.filled(form)
	}
	r := httptest.NewRequest(method, path, strings.NewReader(form.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Sec-Fetch-Site", "same-origin")
	if session != "" {
		r.AddCookie(&http.Cookie{Name: sessionCookie, Value: session})
	}
	for _, f := range change {
		f(r)
	}
	rec := httptest.NewRecorder()
	h.pages.ServeHTTP(rec, r)
	return rec.Result()
}

// sessionOf is the session that an answer sets.
func sessionOf(r *http.Response) string {
	for _, c := range r.Cookies() {
		if strings.HasSuffix(c.Name, sessionCookie) {
			return c.Value
		}
	}
	return ""
}

// walk gives each route that is not open, with a path of its own.
func (h *house) walk(do func(r route, method, path string)) {
	for _, r := range append(h.dash.routes(), h.dash.userRoutes()...) {
		method, path, _ := strings.Cut(r.pattern, " ")
		path = regexp.MustCompile(`\{[a-z]+\}`).ReplaceAllString(strings.ReplaceAll(path, "{$}", ""), "0")
		if !r.open {
			do(r, method, path)
		}
	}
}

func (h *house) visit(method, path, session string, change ...func(*http.Request)) *http.Response {
	if method == http.MethodGet {
		return h.ask(path, session, nil, change...)
	}
	return h.ask(path, session, url.Values{}, change...)
}

// Nobody comes anywhere without a session: not by a stranger's, nor by one that ended.
func TestEveryRouteNeedsASession(t *testing.T) {
	h := newHouse(t)
	ended, err := h.desk.SignIn(t.Context(), "ada", goodPassword, signin.Place{})
	if err != nil || h.desk.SignOut(t.Context(), ended) != nil {
		t.Fatal(err)
	}
	for _, session := range []string{"", "x", ended, strings.Repeat("A", 52)} {
		h.walk(func(r route, method, path string) {
			got := h.visit(method, path, session)
			page := body(t, got, got.StatusCode)
			if method == http.MethodPost {
				if got.StatusCode != http.StatusUnauthorized {
					t.Errorf("%s: %d", r.pattern, got.StatusCode)
				}
			} else if to := got.Header.Get("Location"); got.StatusCode != http.StatusSeeOther || to != "/ui/sign-in?back="+url.QueryEscape(path) {
				t.Errorf("%s: %d to %q", r.pattern, got.StatusCode, to)
			}
			if strings.Contains(page, "Messages") || got.Header.Get("Cache-Control") != "no-store" {
				t.Errorf("%s shows something, or may be kept", r.pattern)
			}
		})
	}
}

// What somebody has no right to is refused, each right on its own.
func TestEveryRouteNeedsTheRightOfItsRole(t *testing.T) {
	h := newHouse(t)
	_, viewer := h.add("viewer", store.RoleViewer, false)
	_, reader := h.add("reader", store.RoleViewer, true)
	_, operator := h.add("operator", store.RoleOperator, false)
	_, blind := h.add("blind", store.RoleAdministrator, false)
	for name, c := range map[string]struct {
		session string
		lacks   []Right
	}{
		"viewer": {viewer, []Right{Read, Operate, Administer}}, "reader": {reader, []Right{Operate, Administer}},
		"operator": {operator, []Right{Read, Administer}}, "administrator": {blind, []Right{Read}}, "ada": {h.admin, nil},
	} {
		seen := 0
		h.walk(func(r route, method, path string) {
			refused := false
			for _, right := range c.lacks {
				refused = refused || r.right == right
			}
			if !refused && method == http.MethodPost {
				return // it would be done
			}
			got := h.visit(method, path, c.session)
			page := body(t, got, got.StatusCode)
			if strings.Contains(page, "the right to "+string(r.right)) != refused || (got.StatusCode == http.StatusForbidden) != refused {
				t.Errorf("%s at %s: %d", name, r.pattern, got.StatusCode)
			}
			seen++
		})
		if seen < 10 {
			t.Errorf("%s: only %d routes", name, seen)
		}
	}
}

// Another site does nothing in the name of who is signed in, nor does a page of ours
// from another session.
func TestEveryActionIsMeant(t *testing.T) {
	h := newHouse(t)
	h.walk(func(r route, method, path string) {
		if method != http.MethodPost {
			return
		}
		for name, got := range map[string]*http.Response{
			"another site": h.ask(path, h.admin, url.Values{}, func(r *http.Request) { r.Header.Set("Sec-Fetch-Site", "cross-site") }),
			"an origin": h.ask(path, h.admin, url.Values{}, func(r *http.Request) {
				r.Header.Del("Sec-Fetch-Site")
				r.Header.Set("Origin", "http://evil.example")
			}),
			"no token":        h.ask(path, h.admin, url.Values{"token": {""}}),
			"another's token": h.ask(path, h.admin, url.Values{"token": {formToken("x")}}),
		} {
			if body(t, got, got.StatusCode); got.StatusCode != http.StatusForbidden {
				t.Errorf("%s, %s: %d", r.pattern, name, got.StatusCode)
			}
		}
	})
	body(t, h.ask("/ui/sign-in", "", url.Values{"name": {"ada"}, "password": {goodPassword}}, func(r *http.Request) {
		r.Header.Set("Sec-Fetch-Site", "cross-site") // to sign somebody in as another
	}), http.StatusForbidden)
	body(t, h.ask("/", h.admin, nil), http.StatusOK)
}

func TestSignInAndOut(t *testing.T) {
	h := newHouse(t)
	page := body(t, h.ask("/ui/sign-in?back=/ui/inbox", "", nil), http.StatusOK)
	if !strings.Contains(page, `name="back" value="/ui/inbox"`) || strings.Contains(page, "Messages") {
		t.Error(page)
	}
	wrong := body(t, h.ask("/ui/sign-in", "", url.Values{"name": {`"><b>ada`}, "password": {"hunter22"}}), http.StatusUnauthorized)
	if !strings.Contains(wrong, "The name or the password is wrong.") || strings.Contains(wrong, "hunter22") || strings.Contains(wrong, "<b>ada") {
		t.Error(wrong)
	}
	r := h.ask("/ui/sign-in", "", url.Values{"name": {"Ada"}, "password": {goodPassword}, "back": {"//evil.example"}})
	session := sessionOf(r)
	if body(t, r, http.StatusSeeOther); r.Header.Get("Location") != "/" || session == "" {
		t.Fatalf("to %q", r.Header.Get("Location"))
	}
	if c := r.Cookies()[0]; !c.HttpOnly || c.SameSite != http.SameSiteStrictMode || c.Path != "/" || c.Domain != "" || c.Secure {
		t.Errorf("cookie %v", c)
	}
	if got := h.ask("/ui/sign-in?back=/ui/inbox", session, nil); got.Header.Get("Location") != "/ui/inbox" {
		t.Error("who is signed in is asked again")
	}
	again := h.ask("/ui/sign-in", session, url.Values{"name": {"ada"}, "password": {goodPassword}})
	body(t, h.ask("/", session, nil), http.StatusSeeOther)
	next := sessionOf(again)
	body(t, h.ask("/", next, nil), http.StatusOK)
	out := h.ask("/ui/sign-out", next, url.Values{})
	if body(t, out, http.StatusSeeOther); out.Cookies()[0].MaxAge >= 0 || out.Header.Get("Location") != "/ui/sign-in" {
		t.Errorf("%v", out.Cookies())
	}
	body(t, h.ask("/", next, nil), http.StatusSeeOther)
}

// The page of a message is made for who signed in, as it is in dev.
func TestMessageOfUsers(t *testing.T) {
	h := newHouse(t)
	m := message("Hello", "ada@sandbox.test")
	h.accept(m, &email.Content{Text: "the text of the mail"})
	_, viewer := h.add("viewer", store.RoleViewer, false)
	for session, sees := range map[string][2]bool{h.admin: {true, true}, viewer: {false, false}} {
		page := body(t, h.ask("/ui/messages/"+m.ID, session, nil), http.StatusOK)
		if got := [2]bool{strings.Contains(page, "/cancel"), strings.Contains(page, "the text of the mail")}; got != sees {
			t.Errorf("cancel and content: %v, want %v", got, sees)
		}
	}
}

func TestCookieByHTTPS(t *testing.T) {
	h := newHouse(t)
	form := func() url.Values { return url.Values{"name": {"ada"}, "password": {goodPassword}} }
	forwarded := func(from string) func(*http.Request) {
		return func(r *http.Request) {
			r.RemoteAddr = from
			r.Header.Set("X-Forwarded-Proto", "https")
		}
	}
	for name, c := range map[string]struct {
		change func(*http.Request)
		secure bool
	}{
		"TLS":              {func(r *http.Request) { r.TLS = &tls.ConnectionState{} }, true},
		"a proxy of ours":  {forwarded("10.1.2.3:4"), true},
		"another's header": {forwarded("192.0.2.1:4"), false},
	} {
		r := h.ask("/ui/sign-in", "", form(), c.change)
		cookie := r.Cookies()[0]
		if body(t, r, http.StatusSeeOther); cookie.Secure != c.secure || strings.HasPrefix(cookie.Name, "__Host-") != c.secure {
			t.Errorf("%s: %v", name, cookie)
		}
		if c.secure { // a cookie that plain http could set is none
			body(t, h.ask("/", cookie.Value, nil, c.change), http.StatusSeeOther)
		}
	}
	page := body(t, h.ask("/ui/sign-in", "", nil), http.StatusOK)
	if !strings.Contains(page, "not encrypted") {
		t.Error("nobody is warned of plain http")
	}
	if page := body(t, h.ask("/ui/sign-in", "", nil, func(r *http.Request) { r.Host = "localhost:8025" }), http.StatusOK); strings.Contains(page, "not encrypted") {
		t.Error("warned of this machine")
	}
}

func TestNetwork(t *testing.T) {
	d := &dashboard{Options: Options{Proxies: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}}}
	for _, c := range []struct{ remote, forwarded, want string }{
		{"192.0.2.1:5", "", "192.0.2.1"},
		{"192.0.2.1:5", "198.51.100.9", "192.0.2.1"},
		{"10.0.0.1:5", "198.51.100.9", "198.51.100.9"},
		{"10.0.0.1:5", "203.0.113.7, 198.51.100.9, 10.0.0.2", "198.51.100.9"},
		{"10.0.0.1:5", "nonsense", "10.0.0.1"},
		{"[2001:db8:1:2:3:4:5:6]:5", "", "2001:db8:1:2::/64"},
		{"[::ffff:192.0.2.1]:5", "", "192.0.2.1"},
		{"@", "", "invalid IP"},
	} {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.RemoteAddr = c.remote
		if c.forwarded != "" {
			r.Header.Set("X-Forwarded-For", c.forwarded)
		}
		if got := d.network(r); got != c.want {
			t.Errorf("%+v: %s", c, got)
		}
	}
}

// A link on another site leads to its page, not to sign-in, for who is signed in.
func TestLinkFromAnotherSite(t *testing.T) {
	h := newHouse(t)
	cross := func(r *http.Request) { r.Header.Set("Sec-Fetch-Site", "cross-site") }
	page := body(t, h.ask(`/ui/messages?q="><script>`, "", nil, cross), http.StatusOK)
	if !strings.Contains(page, `content="0;url=/ui/messages?q=&#34;&gt;&lt;script&gt;"`) {
		t.Error(page)
	}
	body(t, h.ask("/ui/messages", "", nil), http.StatusSeeOther)
}

func TestThrottledSignIn(t *testing.T) {
	h := newHouse(t)
	for range 10 {
		h.ask("/ui/sign-in", "", url.Values{"name": {"ada"}, "password": {"x"}})
	}
	r := h.ask("/ui/sign-in", "", url.Values{"name": {"ada"}, "password": {goodPassword}})
	if page := body(t, r, http.StatusTooManyRequests); r.Header.Get("Retry-After") == "" || !strings.Contains(page, "15 minutes") {
		t.Error(page)
	}
}

// Of what strangers enter only what a name or a place of ours can be comes back.
func TestSignInEchoesLittle(t *testing.T) {
	h := newHouse(t)
	long := strings.Repeat("a", 900_000)
	for _, c := range []struct {
		name, back string
		echoed     bool
	}{{"Ada", "/ui/jobs", true}, {long, "/ui/jobs", false}, {"a b", "/ui/jobs", false}, {strings.Repeat(" ", 900_000) + "ada", "/ui/jobs", false}, {"ada", "/ui/" + long, true}} {
		page := body(t, h.ask("/ui/sign-in", "", url.Values{"name": {c.name}, "back": {c.back}, "password": {"x"}}), http.StatusUnauthorized)
		if echoed := strings.Contains(page, `name="name" value="`+c.name+`"`); echoed != c.echoed || len(page) > 10_000 {
			t.Errorf("%.10q: echoed %t, %d octets", c.name, echoed, len(page))
		}
	}
}
