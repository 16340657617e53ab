package dashboard

import (
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"path"
	"slices"
	"strings"
	"time"

	"postrider/internal/email"
	"postrider/internal/store"
)

// Right is what somebody must have for a page or an action.
type Right string

// The rights. A viewer has the first, an operator also Operate, an administrator all
// but Read, which is given on its own: mails hold links that reset passwords.
const (
	Look       Right = "look"       // see states, numbers and addresses
	Read       Right = "read"       // see the content of mails
	Operate    Right = "operate"    // act on mails, jobs and suppressions
	Administer Right = "administer" // change what outlives a mail: webhooks, domains, keys
)

// Rights lists them all.
func Rights() []Right { return []Right{Look, Read, Operate, Administer} }

// Visitor is who asks.
type Visitor struct {
	Name   string // for people
	Rights []Right
	// Token must come with every form that this visitor sends; empty: none is asked for.
	Token string

	user *store.User // who is signed in, if sign-in is ours
}

// May reports whether a visitor has a right.
func (v *Visitor) May(r Right) bool { return slices.Contains(v.Rights, r) }

// Change is something that somebody did here.
type Change struct {
	World email.World
	At    time.Time
	By    string // Visitor.Name
	What  string // such as message.canceled
	To    string // the id or name of what was changed; may be empty
	More  string // for people, such as how many; may be empty
}

// visit is one request of somebody who may make it.
type visit struct {
	w http.ResponseWriter
	*http.Request
	by     *Visitor
	chosen email.World // of which new pages are
	world  email.World // that is shown or acted in
	back   string      // where a page that refuses leads; empty: where the form was
	deed   *Change     // what an action changed: To and More; nil: nothing
}

// did notes what an action changed: its id or name, and more for people.
func (v *visit) did(to, more string) { v.deed = &Change{To: to, More: more} }

// refusal is an answer other than the page that was asked for.
type refusal struct {
	status        int
	heading, text string
}

func (r *refusal) Error() string { return r.heading + ": " + r.text }

// refused says that what was entered cannot be done, and why.
func refused(format string, args ...any) error {
	return &refusal{http.StatusUnprocessableEntity, "That cannot be done", fmt.Sprintf(format, args...)}
}

const (
	// maxForm is more than any form of ours but the import of a file.
	maxForm = 1 << 20
	// actionTimeout bounds a change: it goes on when its reader has left.
	actionTimeout = 30 * time.Second
	recordTimeout = 5 * time.Second
)

// enter is the one door: who asks, may they, and for a change: did they mean it.
func (d *dashboard) enter(r route) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		v := &visit{w: w, Request: req, by: &Visitor{Rights: Rights()}, chosen: d.chosenWorld(req)}
		v.world = d.askedWorld(v)
		switch {
		case r.open:
			v.by = &Visitor{}
		case d.Visitor != nil:
			if v.by = d.Visitor(w, req); v.by == nil {
				return
			}
		}
		if !r.open && !v.by.May(r.right) {
			d.problem(v, &refusal{http.StatusForbidden, "Not allowed", "This needs the right to " + string(r.right) + ", which you do not have. An administrator can give it to you."})
			return
		}
		if r.page != nil {
			if err := r.page(v); err != nil {
				d.problem(v, err)
			}
			return
		}
		ctx, cancel := context.WithTimeout(context.WithoutCancel(req.Context()), actionTimeout)
		defer cancel()
		v.Request = req.WithContext(ctx)
		to, err := d.change(v, r)
		if err != nil {
			d.problem(v, err)
			return
		}
		if to != "" {
			http.Redirect(w, req, v.keep(to), http.StatusSeeOther)
		}
	})
}

// change does an action if the form is one of ours.
func (d *dashboard) change(v *visit, r route) (string, error) {
	if !sameOrigin(v.Request) {
		return "", &refusal{http.StatusForbidden, "Not from here", "This request came from another page. Nothing was done. Use the button on the dashboard's own page."}
	}
	v.Body = http.MaxBytesReader(v.w, v.Body, max(r.form, maxForm))
	err := v.readForm()
	if v.MultipartForm != nil {
		// The server does so for its own request only, of which this is a copy.
		defer func() { _ = v.MultipartForm.RemoveAll() }()
	}
	if err != nil {
		return "", err
	}
	if v.by.Token != "" && subtle.ConstantTimeCompare([]byte(v.by.Token), []byte(v.PostFormValue("token"))) != 1 {
		return "", &refusal{http.StatusForbidden, "The page was too old", "Its form does not belong to your session any more. Nothing was done. Load the page again and repeat."}
	}
	if err := d.takeWorld(v); err != nil && !r.both {
		return "", err
	}
	to, err := r.action(v)
	if v.deed != nil && r.what != "" && (!r.own || d.Changed != nil) {
		c := Change{World: v.world, At: d.Now(), By: v.by.Name, What: r.what, To: v.deed.To, More: v.deed.More}
		// What was done is told even if the action had no time left.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(v.Context()), recordTimeout)
		defer cancel()
		if d.Changed == nil {
			d.record(ctx, c)
		} else {
			d.Changed(ctx, c)
		}
	}
	return to, err
}

func (v *visit) readForm() error {
	parse := v.ParseForm
	if strings.HasPrefix(v.Header.Get("Content-Type"), "multipart/") {
		parse = func() error { return v.ParseMultipartForm(maxForm) }
	}
	err := parse()
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &large):
		return &refusal{http.StatusRequestEntityTooLarge, "Too large", fmt.Sprintf("The form may have %s. Nothing was done. A file can be split, and sent in parts.", octets(large.Limit))}
	case err != nil:
		return &refusal{http.StatusBadRequest, "Not a form", "The request could not be read. Nothing was done."}
	}
	return nil
}

// sameOrigin reports whether a page of ours sent a request. Browsers say so in
// Sec-Fetch-Site, or in Origin where they have no TLS; who says neither is no browser
// and finds all of this in the API.
func sameOrigin(r *http.Request) bool {
	if r.Header.Get("Sec-Fetch-Site") == "" && r.Header.Get("Origin") == "" {
		return false
	}
	return http.NewCrossOriginProtection().Check(r) == nil
}

// clean lets through what can be a page: a path that is not clean is none of ours
// (ServeMux would redirect it to what may be).
func (d *dashboard) clean(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if clean := path.Clean(r.URL.Path); r.URL.Path != clean && r.URL.Path != strings.TrimSuffix(clean, "/")+"/" {
			d.nowhere(w, r)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// nowhere answers for what is neither a page nor an action.
func (d *dashboard) nowhere(w http.ResponseWriter, r *http.Request) {
	v := &visit{w: w, Request: r, by: &Visitor{}, chosen: d.Worlds[0], world: d.Worlds[0]}
	if r.Method == http.MethodGet || r.Method == http.MethodHead {
		d.problem(v, store.ErrNotFound)
		return
	}
	// RFC 9110 15.5.6.
	w.Header().Set("Allow", "GET, HEAD")
	d.problem(v, &refusal{http.StatusMethodNotAllowed, "Pages are only read", "Mail is sent to POST /messages."})
}

// pagePolicy lets a page load its own style, font, script and icon, and frame a
// preview, and nothing else.
const pagePolicy = "default-src 'none'; style-src 'self'; font-src 'self'; script-src 'self'; connect-src 'self'; img-src 'self'; " +
	"frame-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"

// guarded gives every answer the headers that keep foreign text from doing harm.
func guarded(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", pagePolicy)
		h.Set("X-Content-Type-Options", "nosniff")
		// Without a referrer a form's Origin would be null, and none of ours.
		h.Set("Referrer-Policy", "same-origin")
		h.Set("Cache-Control", "no-store")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		next.ServeHTTP(w, r)
	})
}

// maxPath is more than any path of ours with its query.
const maxPath = 4 << 10

// ownPath is a path to go back to; / for whatever is none of ours.
func ownPath(to string) string {
	if len(to) > maxPath {
		return "/"
	}
	u, err := url.Parse(to)
	if err != nil || u.Scheme != "" || u.Host != "" || u.User != nil || strings.ContainsAny(to, "\\\r\n\t") || u.Path != path.Clean(u.Path) {
		return "/"
	}
	if u.Path != "/" && !strings.HasPrefix(u.Path, "/ui/") {
		return "/"
	}
	return u.RequestURI()
}
