// Package dashboard is the HTML door: it shows people what became of their mail.
// Today it serves `postrider dev`: the inbox at /, and each message with its
// timeline, its SMTP dialogues and its rendered mail at /ui/messages/{id}.
//
// It only reads, needs no JavaScript, and changes nothing: it is neither the JSON
// API nor a mail client. Everything it shows came from outside. Pages escape all
// of it, and the HTML of a mail is served apart, in a sandbox without scripts,
// forms or network (CSP Level 3, RFC 2392 for cid: images).
//
//	pages := dashboard.New(dashboard.Options{Store: st, Inbox: box.Inbox, World: email.Test})
//	http.Serve(l, dashboard.LocalOnly(pages, api.Misdirected()))
package dashboard

import (
	"bytes"
	"embed"
	"errors"
	"html/template"
	"log/slog"
	"net/http"
	"path"
	"strings"
	"time"

	"postrider/internal/email"
	"postrider/internal/sandbox"
	"postrider/internal/store"
)

//go:embed templates
var files embed.FS

// Options are what the pages are made from.
type Options struct {
	Store *store.Store
	Inbox *sandbox.Inbox
	Log   *slog.Logger // nil: slog.Default()

	World   email.World      // whose messages are shown; empty: email.Test
	Curl    string           // a command that sends a mail, to copy from the page; may contain a test key
	BaseURL string           // of the API, "http://127.0.0.1:8025"
	Version string           // of the program
	Now     func() time.Time // nil: time.Now
}

// dashboard answers requests; it has no state of its own.
type dashboard struct {
	Options
	pages map[string]*template.Template
}

// New makes the handler of / and everything under /ui/. It answers 404 with a
// page to all other paths.
func New(o Options) http.Handler {
	if o.Log == nil {
		o.Log = slog.Default()
	}
	if o.World == "" {
		o.World = email.Test
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	d := &dashboard{Options: o, pages: make(map[string]*template.Template)}
	layout := template.Must(template.New("layout.html").Funcs(d.functions()).ParseFS(files, "templates/layout.html"))
	for _, name := range []string{"inbox.html", "message.html", "problem.html"} {
		d.pages[name] = template.Must(template.Must(layout.Clone()).ParseFS(files, "templates/"+name))
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", d.inbox)
	mux.HandleFunc("GET /ui/messages/{id}", d.message)
	mux.HandleFunc("GET /ui/messages/{id}/html", d.preview)
	mux.HandleFunc("GET /ui/messages/{id}/source", d.source)
	mux.HandleFunc("GET /ui/messages/{id}/files/{n}", d.file)
	mux.HandleFunc("GET /ui/style.css", d.asset("style.css", "text/css; charset=utf-8"))
	mux.HandleFunc("GET /ui/icon.svg", d.asset("icon.svg", "image/svg+xml"))
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) { d.problem(w, r, store.ErrNotFound) })
	return guarded(d.readable(mux))
}

// readable lets through what can be a page: all of them are read by GET, and a path
// that is not clean is none of ours (ServeMux would redirect it to what may be).
func (d *dashboard) readable(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch clean := path.Clean(r.URL.Path); {
		case r.Method != http.MethodGet && r.Method != http.MethodHead:
			// RFC 9110 15.5.6.
			w.Header().Set("Allow", "GET, HEAD")
			d.render(w, http.StatusMethodNotAllowed, "problem.html", problemPage{
				frame: d.frame(r, "Not allowed"), Heading: "Pages are only read", Text: "Mail is sent to POST /messages.",
			})
		case r.URL.Path != clean && r.URL.Path != strings.TrimSuffix(clean, "/")+"/":
			d.problem(w, r, store.ErrNotFound)
		default:
			next.ServeHTTP(w, r)
		}
	})
}

// pagePolicy lets a page load its style and icon and frame a preview, and nothing
// else.
const pagePolicy = "default-src 'none'; style-src 'self'; img-src 'self'; frame-src 'self'; form-action 'self'; " +
	"base-uri 'none'; frame-ancestors 'none'"

// guarded gives every answer the headers that keep foreign text from doing harm.
func guarded(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", pagePolicy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cache-Control", "no-store")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		next.ServeHTTP(w, r)
	})
}

// frame is what the layout needs of every page.
type frame struct {
	Title   string
	Version string
	Refresh int    // seconds until the page loads itself again; 0: never
	Path    string // of the page, for the links that pause and resume
	Live    bool   // whether it is a page that may refresh at all
	Paused  bool
}

func (d *dashboard) frame(r *http.Request, title string) frame {
	return frame{Title: title, Version: d.Version, Path: r.URL.Path, Paused: r.URL.Query().Get("live") == "off"}
}

// every makes a page refresh itself, unless its reader paused it.
func (f frame) every(seconds int) frame {
	f.Live = true
	if !f.Paused {
		f.Refresh = seconds
	}
	return f
}

// render writes a page, whole or not at all.
func (d *dashboard) render(w http.ResponseWriter, status int, name string, page any) {
	var b bytes.Buffer
	if err := d.pages[name].ExecuteTemplate(&b, "layout.html", page); err != nil {
		d.Log.Error("page failed", "page", name, "error", err)
		http.Error(w, "The page could not be made; the log says why.", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write(b.Bytes()) // a reader who left is no fault of ours
}

type problemPage struct {
	frame
	Heading string
	Text    string
}

// problem answers with a page that says what is wrong: not found, or our fault.
func (d *dashboard) problem(w http.ResponseWriter, r *http.Request, err error) {
	p := problemPage{frame: d.frame(r, "Not found"), Heading: "Nothing here", Text: "There is no page at this address, or its message was forgotten."}
	status := http.StatusNotFound
	if !errors.Is(err, store.ErrNotFound) {
		d.Log.Error("page failed", "path", r.Pattern, "error", err)
		status = http.StatusInternalServerError
		p.Title, p.Heading, p.Text = "Error", "That did not work", "The store could not be read; the log says why. Loading the page again may help."
	}
	d.render(w, status, "problem.html", p)
}

func (d *dashboard) asset(name, contentType string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		content, err := files.ReadFile("templates/" + name)
		if err != nil {
			http.Error(w, "missing from this build", http.StatusInternalServerError)
			return
		}
		w.Header().Set("Content-Type", contentType)
		_, _ = w.Write(content)
	}
}
