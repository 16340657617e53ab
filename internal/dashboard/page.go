package dashboard

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"html/template"
	"net/http"
	"net/url"
	"path"
	"strings"

	"postrider/internal/email"
	"postrider/internal/store"
)

// section is one entry of the navigation.
type section struct {
	Path, Name string
	Icon       template.HTML // the shapes of a 16 x 16 picture
	right      Right
}

// sections are the navigation, in its order.
func sections() []section {
	return []section{
		{"/", "Overview", `<path d="M2 13.5h12M3.5 11V8M6.5 11V4M9.5 11V6.5M12.5 11V2.5"/>`, Look},
		{"/ui/messages", "Messages", `<path d="M2 4.2h12v8H2zM2 4.6l6 4.4 6-4.4"/>`, Look},
		{"/ui/inbox", "Inbox", `<path d="M2 9.5h3.5l1 2h3l1-2H14M2 9.5v3A1.5 1.5 0 0 0 3.5 14h9a1.5 1.5 0 0 0 1.5-1.5v-3L11.8 3.2A1 1 0 0 0 10.9 2.5H5.1a1 1 0 0 0-.9.7z"/>`, Read},
		{"/ui/jobs", "Jobs", `<path d="M2.5 4h11M2.5 8h11M2.5 12h11M5 2.8v2.4M10.5 6.8v2.4M7 10.8v2.4"/>`, Look},
		{"/ui/templates", "Templates", `<path d="M2.500 2.500h11v3.200h-11zM2.500 8.500h5.200v5h-5.200zM10.500 8.500h3M10.500 11h3M10.500 13.500h3"/>`, Look},
		{"/ui/webhooks", "Webhooks", `<path d="M6.2 6.6 4.3 10M8 4.4l3.3 5.8M5.6 11.6h4.9"/><circle cx="7.2" cy="4" r="2"/><circle cx="3.6" cy="11.6" r="2"/><circle cx="12.4" cy="11.6" r="2"/>`, Look},
		{"/ui/suppressions", "Suppressions", `<circle cx="8" cy="8" r="5.8"/><path d="m4 4 8 8"/>`, Look},
		{"/ui/keys", "API keys", `<circle cx="5" cy="11" r="2.800"/><path d="m7 9 6-6M11 5l1.800 1.800M9.200 6.800l1.300 1.300"/>`, Administer},
		{"/ui/domains", "Domains", `<circle cx="8" cy="8" r="5.8"/><path d="M2.4 8h11.2M8 2.2c2 1.7 2.6 3.6 2.6 5.8S10 12.100 8 13.800C6 12.100 5.400 10.200 5.400 8S6 3.900 8 2.200z"/>`, Look},
		{"/ui/send", "Send a test", `<path d="M14 2 7 9M14 2 9.500 14 7 9 2 6.500z"/>`, Operate},
		{"/ui/settings", "Settings", `<circle cx="8" cy="8" r="2"/><path d="M8 1.800v2M8 12.200v2M1.800 8h2M12.200 8h2M3.600 3.600 5 5M11 11l1.400 1.400M3.600 12.400 5 11M11 5l1.400-1.400"/>`, Administer},
	}
}

// frame is what the layout needs of every page.
type frame struct {
	Title   string
	Version string
	Dev     bool
	Me      string
	Users   bool   // Me has an account here
	Token   string // for forms
	Nonce   string // for those whose action is done once
	Nav     []section
	At      string // the path of the section that the page is in
	Path    string // of the page, with its query, to come back to
	Query   string // what the search box shows
	World   email.World
	Worlds  []email.World
	Notice  string
	by      *Visitor

	Refresh int    // seconds until the page loads itself again; 0: never
	Live    bool   // whether it is a page that may refresh at all
	Paused  bool   //
	Toggle  string // the address of the same page paused, or live again
}

// May reports whether whoever reads the page has a right.
func (f frame) May(r Right) bool { return f.by.May(r) }

func (d *dashboard) frame(v *visit, title string) frame {
	f := frame{
		Title: title, Version: d.Version, Dev: d.Dev, Me: v.by.Name, Users: v.by.user != nil, Token: v.by.Token, Nonce: email.NewID(email.RequestPrefix), Path: v.own(),
		World: v.world, Worlds: d.Worlds, Notice: notices()[v.URL.Query().Get("done")], by: v.by,
	}
	for _, s := range sections() {
		if !v.by.May(s.right) {
			continue
		}
		f.Nav = append(f.Nav, s)
		if s.Path == v.URL.Path || s.Path != "/" && strings.HasPrefix(v.URL.Path, s.Path+"/") {
			f.At = s.Path
		}
	}
	q := v.URL.Query()
	f.Paused = q.Get("live") == "off"
	q.Del("live")
	q.Del("done")
	q.Del("world")
	if !f.Paused {
		q.Set("live", "off")
	}
	f.Toggle = withQuery(v.URL.Path, q)
	return f
}

// withQuery writes a path with a query, if it has any.
func withQuery(to string, q url.Values) string {
	if len(q) == 0 {
		return to
	}
	return to + "?" + q.Encode()
}

// every makes a page refresh itself, unless its reader paused it.
func (f frame) every(seconds int) frame {
	f.Live = true
	if !f.Paused {
		f.Refresh = seconds
	}
	return f
}

// notices say what was done: a page shows one by its word, so that no foreign link can
// put words of its own there.
func notices() map[string]string {
	return map[string]string{
		"canceled":        "Canceled. An attempt past its last step finishes and counts; whatever else was to come does not.",
		"hurried":         "It is tried now. If its receiver is being left alone for a while, it waits for that.",
		"released":        "Released: it is tried again within half a minute.",
		"paused":          "Paused. Jobs wait until you resume the queue; nothing is lost.",
		"resumed":         "Resumed.",
		"run":             "It runs as soon as a worker is free.",
		"deleted":         "The job is deleted. What it was to wake stays, and gets a new job when its time comes.",
		"enabled":         "Enabled: it is told of what happens from now on.",
		"disabled":        "Disabled: it is told of nothing until you enable it again.",
		"webhook-changed": "Changed. It counts for what is posted from now on.",
		"webhook-deleted": "Deleted, with all that waited for it.",
		"replayed":        "It is posted again.",
		"suppressed":      "Suppressed: no mail goes to it from now on.",
		"listed":          "This address was on the list already; its entry stays as it is.",
		"unsuppressed":    "Removed: mail to it is sent again.",
		"imported":        "Imported. Addresses that were on the list already stay as they are.",
		"added":           "Added. Publish the records below, then check them.",
		"emptied":         "The inbox is empty. The messages stay as they are.",
		"revoked":         "Revoked: within 5 seconds whoever uses it is refused.",
		"sent":            "Taken. This is the new message.",
		"created":         "Created, as a draft: nothing is sent of it until it is published.",
		"saved":           "Saved as the draft. What is published stays as it is.",
		"published":       "Published: from now on mails are made from this version.",
		"restored":        "The earlier version is the draft now. Publish it to have it sent.",
		"renamed":         "Changed. It counts at once.",
		"removed":         "Deleted.",
		"password":        "The password is changed. Everywhere else you are signed out.",
		"session-ended":   "Ended: whoever uses it is asked to sign in.",
		"others-ended":    "Ended: you are signed in here only.",
		"user-changed":    "Changed. It counts from their next click on.",
		"user-signed-out": "Signed out everywhere. They can sign in again; disable them if they should not.",
		"user-removed":    "Removed, and signed out.",
	}
}

// done is the address of a page that says what was done.
func done(to, word string) string {
	u, err := url.Parse(to)
	if err != nil {
		return to
	}
	q := u.Query()
	q.Set("done", word)
	return withQuery(u.Path, q)
}

// parse reads the templates: each page is the layout with its own main part.
func (d *dashboard) parse() map[string]*template.Template {
	read := func(t *template.Template, name string) *template.Template {
		text, err := files.ReadFile("templates/" + name)
		if err != nil {
			panic(err) // the files are part of the program
		}
		return template.Must(t.Parse(withRoles(string(text))))
	}
	layout := read(read(template.New("layout.html").Funcs(d.functions()), "layout.html"), "parts.html")
	names, err := files.ReadDir("templates")
	if err != nil {
		panic(err) // the files are part of the program
	}
	pages := make(map[string]*template.Template)
	for _, f := range names {
		if f.Name() != "layout.html" && f.Name() != "parts.html" {
			pages[f.Name()] = read(template.Must(layout.Clone()), f.Name())
		}
	}
	return pages
}

// withRoles says of tables in words what they are: browsers forget it of those that are
// shown as cards on a phone.
func withRoles(html string) string {
	return strings.NewReplacer(
		"<table", `<table role="table"`, "<thead", `<thead role="rowgroup"`, "<tbody", `<tbody role="rowgroup"`, "<tr", `<tr role="row"`,
		`<th scope="row"`, `<th scope="row" role="rowheader"`, "<th>", `<th role="columnheader">`, "<th ", `<th role="columnheader" `, "<td", `<td role="cell"`,
	).Replace(html)
}

// render writes a page, whole or not at all.
func (d *dashboard) render(v *visit, name string, page any) error {
	return d.write(v, http.StatusOK, name, page)
}

func (d *dashboard) write(v *visit, status int, name string, page any) error {
	var b bytes.Buffer
	if err := d.pages[name].ExecuteTemplate(&b, "layout.html", page); err != nil {
		return fmt.Errorf("make page %s: %w", name, err)
	}
	v.w.Header().Set("Content-Type", "text/html; charset=utf-8")
	v.w.WriteHeader(status)
	_, _ = v.w.Write(v.keepWorld(b.Bytes())) // a reader who left is no fault of ours
	return nil
}

type problemPage struct {
	frame
	Heading string
	Text    string
	Back    string
}

// problem answers with a page that says what is wrong: not found, refused, or our fault.
func (d *dashboard) problem(v *visit, err error) {
	r := &refusal{http.StatusInternalServerError, "That did not work", "The page could not be made; the log says why. Loading it again may help."}
	var own *refusal
	switch {
	case errors.As(err, &own):
		r = own
	case errors.Is(err, store.ErrNotFound):
		r = &refusal{http.StatusNotFound, "Nothing here", "There is no page at this address, or what it showed was forgotten."}
	case errors.Is(err, store.ErrUnavailable), errors.Is(err, context.DeadlineExceeded):
		d.Log.Error("page failed", "page", v.Pattern, "error", err)
		r = &refusal{http.StatusServiceUnavailable, "Redis does not answer", "Mail that was accepted is safe there. This page works again as soon as Redis does; the log says more."}
	case errors.Is(err, context.Canceled):
		return // its reader left
	default:
		d.Log.Error("page failed", "page", v.Pattern, "error", err)
	}
	p := problemPage{frame: d.frame(v, r.heading), Heading: r.heading, Text: r.text, Back: "/"}
	if v.Method == http.MethodPost {
		if u, err := url.Parse(v.Referer()); err == nil && u.Host == v.Host {
			p.Back = ownPath(u.RequestURI())
		}
	}
	p.Back = cmp.Or(v.back, p.Back)
	if err := d.write(v, r.status, "problem.html", p); err != nil {
		d.Log.Error("page failed", "page", "problem.html", "error", err)
		http.Error(v.w, "The page could not be made; the log says why.", http.StatusInternalServerError)
	}
}

// asset is a file of ours that pages load, under a name that changes with it.
type asset struct {
	contentType string
	content     []byte
	version     string
}

func loadAssets() map[string]asset {
	types := map[string]string{
		".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml", ".woff2": "font/woff2",
	}
	all := make(map[string]asset)
	for _, name := range []string{"style.css", "live.js", "edit.js", "icon.svg", "inter/inter.woff2"} {
		content, err := files.ReadFile("assets/" + name)
		if err != nil {
			panic(err) // the files are part of the program
		}
		sum := sha256.Sum256(content)
		all[path.Base(name)] = asset{types[path.Ext(name)], content, hex.EncodeToString(sum[:6])}
	}
	return all
}

// assetPath is the address of an asset.
func (d *dashboard) assetPath(name string) string {
	return "/ui/" + name + "?v=" + d.assets[name].version
}

func (d *dashboard) serveAsset(w http.ResponseWriter, r *http.Request) {
	a := d.assets[path.Base(r.URL.Path)]
	// The font's address stands in the style sheet, without a version.
	if v := r.URL.Query().Get("v"); v == a.version || v == "" && strings.HasSuffix(r.URL.Path, ".woff2") {
		w.Header().Set("Cache-Control", "public, max-age=31536000, immutable")
	}
	w.Header().Set("Content-Type", a.contentType)
	_, _ = w.Write(a.content)
}
