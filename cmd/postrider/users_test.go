package main

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"postrider/internal/signin"
)

// browser posts forms as a page of a process does, and keeps its cookie.
type browser struct {
	p      *process
	cookie *http.Cookie
}

func (b *browser) do(method, path string, form url.Values) (int, string) {
	b.p.t.Helper()
	r, err := http.NewRequest(method, b.p.url+path, strings.NewReader(form.Encode()))
	if err != nil {
		b.p.t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Sec-Fetch-Site", "same-origin")
	if b.cookie != nil {
		r.AddCookie(b.cookie)
	}
	answer, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		b.p.t.Fatal(err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		b.p.t.Fatal(err)
	}
	if cookies := answer.Cookies(); len(cookies) > 0 {
		b.cookie = cookies[0]
	}
	return answer.StatusCode, string(body)
}

// The log of a first start has a link, which makes the administrator; later starts have
// none. `postrider users` shows who there is, and is the way back in.
func TestFirstStart(t *testing.T) {
	t.Parallel()
	i := install(t, "smtp://127.0.0.1:1")
	p := i.serve()
	link, _ := p.said("nobody can administer the dashboard yet: who opens this link first does")["link"].(string)
	path, ok := strings.CutPrefix(link, p.url)
	if !ok || !strings.HasPrefix(path, signin.LinkPath) {
		t.Fatalf("link %q", link)
	}
	b := &browser{p: p}
	if status, _ := b.do("GET", "/", nil); status != http.StatusSeeOther {
		t.Errorf("without sign-in: %d", status)
	}
	if status, page := b.do("GET", path, nil); status != http.StatusOK || !strings.Contains(page, "Welcome") {
		t.Fatalf("%d\n%s", status, page)
	}
	form := url.Values{"name": {"ada"}, "password": {"a horse on the stairs"}, "again": {"a horse on the stairs"}}
	if status, page := b.do("POST", path, form); status != http.StatusSeeOther || b.cookie == nil {
		t.Fatalf("%d\n%s", status, page)
	}
	if status, page := b.do("GET", "/", nil); status != http.StatusOK || !strings.Contains(page, "Overview") || !strings.Contains(page, "ada") {
		t.Errorf("%d\n%s", status, page)
	}
	if status, _ := (&browser{p: p}).do("POST", path, form); status != http.StatusGone {
		t.Errorf("the link a second time: %d", status)
	}
	if status, body := p.get("/v1/messages"); status != http.StatusUnauthorized {
		t.Errorf("the API beside it: %d\n%s", status, body)
	}

	later := i.serve("--roles", "dashboard")
	if strings.Contains(later.log.String(), signin.LinkPath) {
		t.Error("a later start has a link, too")
	}
	b.p = later
	if status, _ := b.do("GET", "/", nil); status != http.StatusOK {
		t.Errorf("the session at another process: %d", status)
	}
	if status, out, errs := i.run("users", "list"); status != 0 || !strings.Contains(out, "ada") || !strings.Contains(out, "administrator") || strings.Contains(out+errs, "argon2") {
		t.Errorf("%d\n%s%s", status, out, errs)
	}
	if status, _, errs := i.run("users", "link"); status != 1 || !strings.Contains(errs, "there is an administrator") {
		t.Errorf("%d %s", status, errs)
	}
	if status, _, errs := i.run("users", "link", "bo"); status != 1 || !strings.Contains(errs, `there is no user "bo"`) {
		t.Errorf("%d %s", status, errs)
	}
	status, out, errs := i.run("users", "link", "Ada")
	_, token, found := strings.Cut(strings.TrimSpace(out), signin.LinkPath)
	if status != 0 || !found || strings.Contains(errs, token) {
		t.Fatalf("%d %q %q", status, out, errs)
	}
	fresh := &browser{p: later}
	form = url.Values{"password": {"three green umbrellas"}, "again": {"three green umbrellas"}}
	if status, page := fresh.do("POST", signin.LinkPath+token, form); status != http.StatusSeeOther {
		t.Errorf("%d\n%s", status, page)
	}
	if status, _ := b.do("GET", "/", nil); status != http.StatusSeeOther {
		t.Errorf("the session from before the new password: %d", status)
	}
	if log := fmt.Sprint(p.log.String(), later.log.String()); strings.Contains(log, "umbrellas") || strings.Contains(log, "horse") {
		t.Errorf("a password is in the log:\n%s", log)
	}
}
