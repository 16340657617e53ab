// Package dashboard is the HTML door: it shows people whether mail is flowing, what
// became of each, and lets them do something about it.
//
// It is neither the JSON API nor a mail client, and it knows nobody by itself: who
// asks, and what they may, is told by Options.Visitor. Every page and every action
// names the right that it needs, and every change goes through one door (door.go).
//
// Pages are made here, work without JavaScript, and load nothing from outside.
// Everything they show came from strangers. Pages escape all of it, and the HTML of a
// mail is served apart, in a sandbox without scripts, forms or network (CSP Level 3,
// RFC 2392 for cid: images).
//
//	pages := dashboard.New(dashboard.Options{Store: st, Inbox: box.Inbox, Worlds: []email.World{email.Test}})
//	http.Serve(l, dashboard.LocalOnly(pages, api.Misdirected()))
package dashboard

import (
	"context"
	"embed"
	"html/template"
	"log/slog"
	"net/http"
	"time"

	"postrider/internal/domains"
	"postrider/internal/email"
	"postrider/internal/intake"
	"postrider/internal/queue"
	"postrider/internal/sandbox"
	"postrider/internal/store"
)

//go:embed templates assets
var files embed.FS

// Options are what the pages are made from. What is nil has no page, or a page that
// says what is missing.
type Options struct {
	Store *store.Store
	Inbox *sandbox.Inbox // nil: this process catches no mail
	Queue *queue.Client
	// Desk takes mail; Domains signs it as it would be sent. Nil: this process does neither.
	Desk    *intake.Desk
	Domains *domains.Domains
	Log     *slog.Logger // nil: slog.Default()

	// Visitor tells who asks. If it answers the request itself, as one that sends
	// people to a page where they sign in, it returns nil. Nil: whoever asks may do
	// everything, which is for dev alone.
	Visitor func(http.ResponseWriter, *http.Request) *Visitor
	// Changed is told of every change that somebody made. Nil: it is logged.
	Changed func(context.Context, Change)

	Worlds  []email.World    // whose mail is shown, the first one unless somebody chooses; empty: email.Test
	Dev     bool             // everything is in this process, and nothing leaves the machine
	Curl    string           // a command that sends a mail, to copy from the page; may contain a test key
	BaseURL string           // of the API, "http://127.0.0.1:8025"
	Version string           // of the program
	Now     func() time.Time // nil: time.Now

	// Health asks what the operator wants to know of this process and of its Redis.
	Health func(context.Context) []Check
}

// Check is one thing that must be well.
type Check struct {
	Name   string
	OK     bool
	Detail string
}

// dashboard answers requests.
type dashboard struct {
	Options
	pages  map[string]*template.Template
	assets map[string]asset
	rates  rates // of the queues
}

// New makes the handler of / and everything under /ui/. It answers 404 with a
// page to all other paths.
func New(o Options) http.Handler {
	if o.Log == nil {
		o.Log = slog.Default()
	}
	if len(o.Worlds) == 0 {
		o.Worlds = []email.World{email.Test}
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	d := &dashboard{Options: o, assets: loadAssets()}
	d.pages = d.parse()
	mux := http.NewServeMux()
	for _, r := range d.routes() {
		mux.Handle(r.pattern, d.enter(r))
	}
	for name := range d.assets {
		mux.HandleFunc("GET /ui/"+name, d.serveAsset)
	}
	mux.HandleFunc("/", d.nowhere)
	return guarded(d.clean(mux))
}

// route is a page or an action, and what it needs.
type route struct {
	pattern string
	right   Right
	page    func(*visit) error           // of GET
	action  func(*visit) (string, error) // of POST: where to go on
}

// routes are all pages and actions.
func (d *dashboard) routes() []route {
	return []route{
		{pattern: "GET /{$}", right: Look, page: d.overview},
		{pattern: "GET /ui/jobs", right: Look, page: d.jobs},
		{pattern: "GET /ui/jobs/quarantine", right: Look, page: d.quarantine},
		{pattern: "GET /ui/jobs/{queue}", right: Look, page: d.queuePage},
		{pattern: "POST /ui/jobs/{queue}/pause", right: Operate, action: d.steer(true)},
		{pattern: "POST /ui/jobs/{queue}/resume", right: Operate, action: d.steer(false)},
		{pattern: "POST /ui/jobs/{queue}/run", right: Operate, action: d.changeJob(false)},
		{pattern: "POST /ui/jobs/{queue}/delete", right: Operate, action: d.changeJob(true)},
		{pattern: "GET /ui/inbox", right: Look, page: d.inbox},
		{pattern: "POST /ui/world", right: Look, action: d.chooseWorld},
		{pattern: "GET /ui/messages", right: Look, page: d.messages},
		{pattern: "POST /ui/messages/{id}/cancel", right: Operate, action: d.cancel},
		{pattern: "POST /ui/messages/{id}/retry", right: Operate, action: d.retry},
		{pattern: "POST /ui/messages/{id}/release", right: Operate, action: d.release},
		{pattern: "POST /ui/messages/{id}/again", right: Operate, action: d.again},
		{pattern: "GET /ui/messages/{id}", right: Look, page: d.message},
		{pattern: "GET /ui/messages/{id}/html", right: Read, page: d.preview},
		{pattern: "GET /ui/messages/{id}/source", right: Read, page: d.source},
		{pattern: "GET /ui/messages/{id}/files/{n}", right: Read, page: d.file},
	}
}
