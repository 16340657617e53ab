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
	"net/netip"
	"time"

	"postrider/internal/domains"
	"postrider/internal/email"
	"postrider/internal/intake"
	"postrider/internal/library"
	"postrider/internal/queue"
	"postrider/internal/sandbox"
	"postrider/internal/signin"
	"postrider/internal/store"
	"postrider/internal/webhook"
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
	Poster  *webhook.Poster // nil: this process posts to no webhooks
	Log     *slog.Logger    // nil: slog.Default()

	// SignIn knows who may come in, and brings the pages where they sign in and are
	// managed. Nil: Visitor decides. Proxies are the networks of reverse proxies that are
	// believed about where requests come from and whether by https.
	SignIn  *signin.Desk
	Proxies []netip.Prefix
	// Visitor tells who asks. If it answers the request itself, as one that sends
	// people to a page where they sign in, it returns nil. Nil: whoever asks may do
	// everything, which is for dev alone.
	Visitor func(http.ResponseWriter, *http.Request) *Visitor
	// Changed is told of every change that somebody made. Nil: it is written down in
	// the store, where the settings show it.
	Changed func(context.Context, Change)

	Worlds  []email.World    // whose mail is shown, the first one unless somebody chooses; empty: email.Test
	Dev     bool             // everything is in this process, and nothing leaves the machine
	Curl    string           // a command that sends a mail, to copy from the page; may contain a test key
	BaseURL string           // of the API, "http://127.0.0.1:8025"
	Version string           // of the program
	Now     func() time.Time // nil: time.Now

	// Health asks what the operator wants to know of this process and of its Redis.
	Health func(context.Context) []Check
	// Settings are the options in force, secrets hidden.
	Settings []Setting
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
	pages   map[string]*template.Template
	assets  map[string]asset
	rates   rates // of the queues
	library *library.Library
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
	if d.library = library.New(o.Store, o.Log); o.Desk != nil {
		d.library = o.Desk.Library()
	}
	d.pages = d.parse()
	mux := http.NewServeMux()
	routes := d.routes()
	if o.SignIn != nil {
		d.Visitor = d.signedIn
		routes = append(routes, d.userRoutes()...)
	}
	for _, r := range routes {
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
	open    bool                         // no right is needed: who is not signed in comes here
	page    func(*visit) error           // of GET
	action  func(*visit) (string, error) // of POST: where to go on; empty: it answered
	what    string                       // the action, for the record of changes; empty: it is none
	own     bool                         // what it does writes what into the record itself, as it is by other doors
	both    bool                         // it is the same for live and test mail: its form need not name one
	form    int64                        // how large its form may be; 0: maxForm
}

// routes are all pages and actions.
func (d *dashboard) routes() []route {
	return []route{
		{pattern: "GET /{$}", right: Look, page: d.overview},
		{pattern: "GET /ui/jobs", right: Look, page: d.jobs},
		{pattern: "GET /ui/jobs/quarantine", right: Look, page: d.quarantine},
		{pattern: "GET /ui/jobs/{queue}", right: Look, page: d.queuePage},
		{pattern: "POST /ui/jobs/{queue}/pause", right: Operate, action: d.steer(true), what: "queue.paused"},
		{pattern: "POST /ui/jobs/{queue}/resume", right: Operate, action: d.steer(false), what: "queue.resumed"},
		{pattern: "POST /ui/jobs/{queue}/run", right: Operate, action: d.changeJob(false), what: "job.run"},
		{pattern: "POST /ui/jobs/{queue}/delete", right: Operate, action: d.changeJob(true), what: "job.deleted"},
		{pattern: "GET /ui/webhooks", right: Look, page: d.webhooks},
		{pattern: "POST /ui/webhooks", right: Administer, action: d.once(d.createWebhook), what: "webhook.created", own: true},
		{pattern: "GET /ui/webhooks/{id}", right: Look, page: d.webhook},
		{pattern: "POST /ui/webhooks/{id}", right: Administer, action: d.changeWebhook, what: "webhook.updated", own: true},
		{pattern: "POST /ui/webhooks/{id}/secret", right: Administer, action: d.once(d.rotateWebhook), what: "webhook.secret_rotated", own: true},
		{pattern: "POST /ui/webhooks/{id}/delete", right: Administer, action: d.deleteWebhook, what: "webhook.deleted", own: true},
		{pattern: "POST /ui/webhooks/{id}/test", right: Administer, action: d.testWebhook, what: "webhook.tested"},
		{pattern: "POST /ui/webhooks/{id}/enabled", right: Administer, action: d.enableWebhook, what: "webhook.enabled_or_disabled", own: true},
		{pattern: "GET /ui/webhooks/{id}/deliveries/{delivery}", right: Look, page: d.delivery},
		{pattern: "POST /ui/webhooks/{id}/deliveries/{delivery}/replay", right: Operate, action: d.replay, what: "delivery.replayed"},
		{pattern: "GET /ui/suppressions", right: Look, page: d.suppressions},
		{pattern: "POST /ui/suppressions", right: Operate, action: d.suppress, what: "suppression.created"},
		{pattern: "POST /ui/suppressions/{id}/remove", right: Operate, action: d.unsuppress, what: "suppression.deleted"},
		{pattern: "POST /ui/suppressions/import", right: Operate, action: d.importSuppressions, what: "suppressions.imported", form: maxImport + maxForm},
		{pattern: "GET /ui/suppressions/export", right: Look, page: d.exportSuppressions},
		{pattern: "GET /ui/keys", right: Administer, page: d.keys},
		{pattern: "POST /ui/keys", right: Administer, action: d.once(d.createKey), what: "api_key.created", own: true},
		{pattern: "POST /ui/keys/{id}/rotate", right: Administer, action: d.once(d.rotateKey), what: "api_key.rotated", own: true},
		{pattern: "POST /ui/keys/{id}/revoke", right: Administer, action: d.revokeKey, what: "api_key.revoked", own: true},
		{pattern: "GET /ui/templates", right: Look, page: d.templates},
		{pattern: "POST /ui/templates", right: Operate, action: d.createTemplate, what: "template.created", own: true},
		{pattern: "GET /ui/starters/{name}", right: Look, page: d.starter},
		{pattern: "GET /ui/templates/{id}", right: Look, page: d.template},
		{pattern: "POST /ui/templates/{id}", right: Operate, action: d.saveTemplate, what: "template.updated", own: true, form: maxTemplateForm},
		{pattern: "POST /ui/templates/{id}/check", right: Look, action: d.checkTemplate, form: maxTemplateForm},
		{pattern: "GET /ui/templates/{id}/preview", right: Look, page: d.showTemplate},
		{pattern: "POST /ui/templates/{id}/preview", right: Look, action: d.previewTemplate, form: maxTemplateForm},
		{pattern: "GET /ui/templates/{id}/diff", right: Look, page: d.compareTemplate},
		{pattern: "POST /ui/templates/{id}/publish", right: Administer, action: d.publishTemplate, what: "template.published", own: true},
		{pattern: "POST /ui/templates/{id}/restore", right: Operate, action: d.restoreTemplate, what: "template.restored", own: true},
		{pattern: "POST /ui/templates/{id}/name", right: Administer, action: d.renameTemplate, what: "template.updated", own: true},
		{pattern: "POST /ui/templates/{id}/delete", right: Administer, action: d.deleteTemplate, what: "template.deleted", own: true},
		{pattern: "GET /ui/domains", right: Look, page: d.domains},
		{pattern: "POST /ui/domains", right: Administer, action: d.addDomain, what: "domain.created"},
		{pattern: "GET /ui/domains/{name}", right: Look, page: d.domain},
		{pattern: "POST /ui/domains/{name}/check", right: Operate, action: d.checkDomain, what: "domain.checked"},
		{pattern: "GET /ui/send", right: Operate, page: d.send},
		{pattern: "POST /ui/send", right: Operate, action: d.sendTest, what: "message.sent"},
		{pattern: "GET /ui/settings", right: Administer, page: d.settings},
		{pattern: "GET /ui/inbox", right: Read, page: d.inbox},
		{pattern: "POST /ui/inbox/delete", right: Operate, action: d.deleteMail, what: "inbox.deleted"},
		{pattern: "POST /ui/world", right: Look, action: d.chooseWorld, both: true},
		{pattern: "GET /ui/messages", right: Look, page: d.messages},
		{pattern: "POST /ui/messages/{id}/cancel", right: Operate, action: d.cancel, what: "message.canceled"},
		{pattern: "POST /ui/messages/{id}/retry", right: Operate, action: d.retry, what: "message.hurried"},
		{pattern: "POST /ui/messages/{id}/release", right: Operate, action: d.release, what: "message.released"},
		{pattern: "POST /ui/messages/{id}/again", right: Operate, action: d.again, what: "message.sent_again"},
		{pattern: "GET /ui/messages/{id}", right: Look, page: d.message},
		{pattern: "GET /ui/messages/{id}/html", right: Read, page: d.preview},
		{pattern: "GET /ui/messages/{id}/source", right: Read, page: d.source},
		{pattern: "GET /ui/messages/{id}/files/{n}", right: Read, page: d.file},
	}
}
