package dashboard

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"html/template"
	"net/http"
	"strconv"
	"strings"
	"time"

	"postrider/internal/signin"
	"postrider/internal/store"
)

// userRoutes are the pages of those who sign in, and of those who manage them.
func (d *dashboard) userRoutes() []route {
	return []route{
		{pattern: "GET /ui/sign-in", open: true, page: d.signInPage},
		{pattern: "POST /ui/sign-in", open: true, action: d.signIn, both: true},
		{pattern: "GET /ui/welcome/{token}", open: true, page: d.welcomePage},
		{pattern: "POST /ui/welcome/{token}", open: true, action: d.welcome, both: true},
		{pattern: "POST /ui/sign-out", right: Look, action: d.signOut, both: true},
		{pattern: "GET /ui/account", right: Look, page: d.accountPage},
		{pattern: "POST /ui/account/password", right: Look, action: d.changePassword, both: true},
		{pattern: "POST /ui/account/sessions/{id}/end", right: Look, action: d.endSession, both: true},
		{pattern: "POST /ui/account/sign-out-others", right: Look, action: d.signOutOthers, both: true},
		{pattern: "POST /ui/account/sign-out", right: Look, action: d.signOutEverywhere, both: true},
		{pattern: "GET /ui/users", right: Administer, page: d.usersPage},
		{pattern: "POST /ui/users", right: Administer, action: d.once(d.invite), both: true},
		{pattern: "POST /ui/users/{id}", right: Administer, action: d.changeUser, both: true},
		{pattern: "POST /ui/users/{id}/sign-out", right: Administer, action: d.signOutUser, both: true},
		{pattern: "POST /ui/users/{id}/link", right: Administer, action: d.once(d.linkUser), both: true},
		{pattern: "POST /ui/users/{id}/remove", right: Administer, action: d.removeUser, both: true},
	}
}

// rightsOf are what a user may do.
func rightsOf(u *store.User) []Right {
	rights := []Right{Look}
	if u.Role == store.RoleOperator || u.Role == store.RoleAdministrator {
		rights = append(rights, Operate)
	}
	if u.Role == store.RoleAdministrator {
		rights = append(rights, Administer)
	}
	if u.ReadsMail {
		rights = append(rights, Read)
	}
	return rights
}

// sessionCookie holds the token of a session. By https its name has the prefix that
// keeps other hosts of the domain, and plain http, from setting it (RFC 6265bis 4.1.3.2).
const sessionCookie = "postrider_session"

func (d *dashboard) cookieName(r *http.Request) string {
	if d.secure(r) {
		return "__Host-" + sessionCookie
	}
	return sessionCookie
}

// sessionToken is what a request has of a session; empty: nothing.
func (d *dashboard) sessionToken(r *http.Request) string {
	if c, err := r.Cookie(d.cookieName(r)); err == nil {
		return c.Value
	}
	return ""
}

// setSession gives the browser a session, or takes it away.
func (d *dashboard) setSession(v *visit, token string) {
	age := int(d.SignIn.Lifetime / time.Second)
	if token == "" {
		age = -1
	}
	http.SetCookie(v.w, &http.Cookie{
		Name: d.cookieName(v.Request), Value: token, Path: "/", MaxAge: age,
		HttpOnly: true, SameSite: http.SameSiteStrictMode, Secure: d.secure(v.Request),
	})
}

// formToken is what forms of a session hold. It does not tell the session's own token.
func formToken(session string) string {
	sum := sha256.Sum256([]byte("form\x00" + session))
	return hex.EncodeToString(sum[:16])
}

// signedIn is Options.Visitor where sign-in is ours.
func (d *dashboard) signedIn(w http.ResponseWriter, r *http.Request) *Visitor {
	v := &visit{w: w, Request: r, by: &Visitor{}, world: d.Worlds[0]}
	token := d.sessionToken(r)
	var at *signin.Place
	if active(r) {
		at = new(d.place(r))
	}
	u, err := d.SignIn.Visit(r.Context(), token, at)
	switch {
	case err == nil:
		return &Visitor{Name: u.Name, Rights: rightsOf(u), Token: formToken(token), user: u}
	case !errors.Is(err, signin.ErrSignedOut):
		d.problem(v, err)
	case r.Method != http.MethodGet && r.Method != http.MethodHead:
		d.problem(v, &refusal{http.StatusUnauthorized, "You are not signed in", "Your session ended, or there was none. Nothing was done. Go back, which leads to where you sign in, and repeat."})
	case token == "" && r.Header.Get("Sec-Fetch-Site") == "cross-site":
		// A link on another site: browsers keep strict cookies back. Asked by a page of
		// ours they send them.
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		fmt.Fprintf(w, `<!doctype html><meta http-equiv="refresh" content="0;url=%s"><title>Postrider</title>`, template.HTMLEscapeString(r.URL.RequestURI()))
	default:
		http.Redirect(w, r, withQuery("/ui/sign-in", map[string][]string{"back": {r.URL.RequestURI()}}), http.StatusSeeOther)
	}
	return nil
}

// active reports whether a person asks, and not a page that refreshes itself.
func active(r *http.Request) bool {
	mode := r.Header.Get("Sec-Fetch-Mode")
	return mode == "" || mode == "navigate"
}

// entryPage is a page with a form for somebody who is not signed in.
type entryPage struct {
	frame
	Problem string
	Plain   bool   // what is entered goes over the network as it is
	Name    string // as entered, or whose password is set
	Back    string
	First   bool // the first administrator chooses a name
	Least   int  // characters of a password
}

func (d *dashboard) entry(v *visit, title string) entryPage {
	return entryPage{frame: d.frame(v, title), Plain: !d.secure(v.Request) && !localHost(v.Host), Least: signin.MinPassword}
}

func (d *dashboard) signInPage(v *visit) error {
	back := ownPath(v.FormValue("back"))
	if _, err := d.SignIn.Visit(v.Context(), d.sessionToken(v.Request), nil); err == nil {
		http.Redirect(v.w, v.Request, back, http.StatusSeeOther)
		return nil
	}
	p := d.entry(v, "Sign in")
	p.Back = back
	return d.render(v, "sign-in.html", p)
}

func (d *dashboard) signIn(v *visit) (string, error) {
	name, back := v.PostFormValue("name"), ownPath(v.PostFormValue("back"))
	token, err := d.SignIn.SignIn(v.Context(), name, v.PostFormValue("password"), d.place(v.Request))
	if err == nil {
		d.replaceSession(v, token)
		return back, nil
	}
	p := d.entry(v, "Sign in")
	p.Name, p.Back = entered(name), back
	status, problem := explained(v, err)
	if status == 0 {
		return "", err
	}
	p.Problem = problem
	return "", d.write(v, status, "sign-in.html", p)
}

// entered is a name to show again; empty: it can be none. Strangers enter it.
func entered(name string) string {
	if signin.IsName(name) {
		return strings.TrimSpace(name)
	}
	return ""
}

// replaceSession begins a session in the browser and ends the one it had.
func (d *dashboard) replaceSession(v *visit, token string) {
	if old := d.sessionToken(v.Request); old != "" {
		if err := d.SignIn.SignOut(v.Context(), old); err != nil {
			d.Log.Warn("an earlier session was not ended", "error", err)
		}
	}
	d.setSession(v, token)
}

// explained is what people are told of an error of sign-in; status 0: nothing.
func explained(v *visit, err error) (status int, problem string) {
	var refused *signin.Refused
	var slow *signin.Throttled
	switch {
	case errors.Is(err, signin.ErrWrong):
		return http.StatusUnauthorized, "The name or the password is wrong."
	case errors.As(err, &slow):
		v.w.Header().Set("Retry-After", strconv.Itoa(int(slow.Wait/time.Second)+1))
		return http.StatusTooManyRequests, fmt.Sprintf("There were too many tries. The next one is possible in %s.", minutes(slow.Wait))
	case errors.Is(err, signin.ErrBusy):
		v.w.Header().Set("Retry-After", "5")
		return http.StatusServiceUnavailable, "Too many people sign in at this moment. Try again in some seconds."
	case errors.As(err, &refused):
		return http.StatusUnprocessableEntity, refused.Text
	}
	return 0, ""
}

func minutes(d time.Duration) string {
	if n := int((d + time.Minute - 1) / time.Minute); n > 1 {
		return fmt.Sprintf("%d minutes", n)
	}
	return "a minute"
}

// overLink answers for a link that leads nowhere.
func overLink(err error) error {
	if errors.Is(err, signin.ErrLink) {
		return &refusal{http.StatusGone, "This link is over", "It was used already, has expired, or was replaced by a newer one. An administrator can make you another; for the first administrator a restart of the service does, or `postrider users link`."}
	}
	return err
}

func (d *dashboard) welcomePage(v *visit) error {
	w, err := d.SignIn.Welcome(v.Context(), v.PathValue("token"))
	if err != nil {
		return overLink(err)
	}
	p := d.entry(v, "Welcome")
	p.First, p.Name = w.First, w.Name
	return d.render(v, "welcome.html", p)
}

func (d *dashboard) welcome(v *visit) (string, error) {
	link, name := v.PathValue("token"), v.PostFormValue("name")
	w, err := d.SignIn.Welcome(v.Context(), link)
	if err != nil {
		return "", overLink(err)
	}
	var token string
	if err = twice(v); err == nil {
		token, err = d.SignIn.Redeem(v.Context(), link, name, v.PostFormValue("password"), d.place(v.Request))
	}
	if err == nil {
		d.replaceSession(v, token)
		return "/", nil
	}
	status, problem := explained(v, err)
	if status == 0 {
		return "", overLink(err)
	}
	p := d.entry(v, "Welcome")
	p.First, p.Name, p.Problem = w.First, w.Name, problem
	if w.First {
		p.Name = entered(name)
	}
	return "", d.write(v, status, "welcome.html", p)
}

// twice refuses a new password that was typed in two ways.
func twice(v *visit) error {
	if v.PostFormValue("password") != v.PostFormValue("again") {
		return &signin.Refused{Text: "The two passwords are not the same."}
	}
	return nil
}

func (d *dashboard) signOut(v *visit) (string, error) {
	if err := d.SignIn.SignOut(v.Context(), d.sessionToken(v.Request)); err != nil {
		return "", err
	}
	d.setSession(v, "")
	return "/ui/sign-in", nil
}
