// Package api is the HTTP door of Postrider: the JSON API that openapi.yaml describes,
// served under /v1 and, for messages, under the alias /messages.
//
// It authenticates keys, reads strict JSON, answers errors as problem documents
// (RFC 9457) and shows what the store knows. It does not decide whether a message is
// acceptable (package intake), and it never talks to the queue or to a mail server.
// HTTP semantics are RFC 9110, JSON is RFC 8259, pointers are RFC 6901.
//
//	door := api.New(api.Options{Desk: desk, Store: st, Log: log})
//	err := api.Server("127.0.0.1:8025", door).ListenAndServe()
package api

import (
	"cmp"
	"context"
	"html/template"
	"log/slog"
	"net/http"
	"net/netip"
	"net/url"
	"time"

	"github.com/gin-gonic/gin"

	"postrider"
	"postrider/internal/apikey"
	"postrider/internal/endpoint"
	"postrider/internal/intake"
	"postrider/internal/sign"
	"postrider/internal/store"
	"postrider/internal/webhook"
)

// Options are what the door needs. Desk and Store are required.
type Options struct {
	Desk  *intake.Desk
	Store *store.Store
	// Signer gives the keys that mail is signed with. Required, for what was signed is shown.
	Signer sign.Signer
	// Poster vets the addresses of webhooks and makes their test calls. nil: one that
	// reaches public addresses only.
	Poster *webhook.Poster
	// Notifier wakes the deliveries that are replayed. nil: the sweeper does.
	Notifier Notifier
	// PublicURL is the address of this installation as its callers see it, without a
	// trailing slash; links in answers are relative without it.
	PublicURL string
	// Version is the build, for the log of a panic.
	Version string
	Log     *slog.Logger     // nil: slog.Default()
	Now     func() time.Time // nil: time.Now
	// Draining reports whether the process ends: then requests get 503 shutting_down.
	// Nil: never.
	Draining func() bool
	Metrics  *Metrics // nil: not measured
	// RateLimit is how many requests a second a key may make that has no limit of its
	// own, over all processes; twice as many at once. 0: any number.
	RateLimit int
	// TrustedProxies are the networks of proxies whose X-Forwarded-For says where a
	// request comes from. None: it comes from whoever made the connection.
	TrustedProxies []netip.Prefix
	// Fallback serves what is no API route (the dashboard); nil: problem+json 404.
	Fallback http.Handler
}

// door is the API: its handlers are methods.
type door struct {
	desk      *intake.Desk
	store     *store.Store
	signer    sign.Signer
	poster    *webhook.Poster
	notifier  Notifier
	keys      *keyring
	rates     *rates
	uses      *uses
	strangers *strangers // by address
	guesses   *strangers // by the beginning of the key
	apiKeys   *apikey.Desk
	hooks     *endpoint.Desk
	waiting   chan struct{} // who waits for events
	unsettled unsettled

	explainPage *template.Template
	publicURL   string
	version     string
	log         *slog.Logger
	now         func() time.Time
	draining    func() bool
	metrics     *Metrics
	fallback    http.Handler
}

// New is the HTTP door: /v1/..., its alias /messages, /v1/openapi.yaml.
func New(o Options) http.Handler { return newEngine(o) }

// newEngine is New with its routes still to be seen.
func newEngine(o Options) *gin.Engine {
	if o.Log == nil {
		o.Log = slog.Default()
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Poster == nil {
		o.Poster = webhook.New(webhook.Options{})
	}
	d := &door{
		desk: o.Desk, store: o.Store, signer: o.Signer, poster: o.Poster, notifier: o.Notifier,
		publicURL: o.PublicURL, version: o.Version,
		log: o.Log, now: o.Now, draining: o.Draining, metrics: o.Metrics, fallback: o.Fallback,
	}
	if d.draining == nil {
		d.draining = func() bool { return false }
	}
	d.keys = newKeyring(d.findKey, o.Now)
	d.rates = newRates(o.Store, o.RateLimit, o.Now)
	d.uses, d.strangers, d.guesses = newUses(o.Store), newStrangers(o.Now), newStrangers(o.Now)
	d.apiKeys = &apikey.Desk{Store: o.Store, Log: o.Log, Now: o.Now}
	d.hooks = &endpoint.Desk{Store: o.Store, Log: o.Log, Now: o.Now}
	d.waiting = make(chan struct{}, maxWaiting)
	d.unsettled.room = make(chan struct{}, mostUnsettled)
	d.explainPage = newExplainPage()

	e := newGin(o.TrustedProxies)
	e.Use(d.observe, d.recover)
	e.NoRoute(d.noRoute)
	e.NoMethod(d.noMethod)
	d.routes(e)
	return e
}

// newGin is Gin without what it does by itself.
func newGin(proxies []netip.Prefix) *gin.Engine {
	if gin.Mode() == gin.DebugMode {
		gin.SetMode(gin.ReleaseMode) // or Gin prints its routes to standard output
	}
	e := gin.New()
	e.RedirectTrailingSlash, e.RedirectFixedPath = false, false
	e.HandleMethodNotAllowed = true
	// An escaped slash must not make another route match, so routes see the raw path.
	e.UseRawPath, e.UnescapePathValues = true, true
	e.RemoteIPHeaders = []string{"X-Forwarded-For"} // a proxy may pass the others on as they came
	var trusted []string
	for _, p := range proxies {
		trusted = append(trusted, p.String())
	}
	if err := e.SetTrustedProxies(trusted); err != nil {
		panic(err) // cannot be: they are networks
	}
	return e
}

// routes mounts the API. The bare paths are an alias of the current version.
func (d *door) routes(e *gin.Engine) {
	for _, prefix := range []string{"/v1", ""} {
		g := e.Group(prefix)
		g.POST("/messages", d.handle(apikey.Send, []string{"dry_run"}, d.send))
		g.POST("/messages/batch", d.handle(apikey.Send, nil, d.sendBatch))
		g.POST("/messages/raw", d.handle(apikey.Send, []string{"to"}, d.sendRaw))
		get(g, "/messages", d.handle(apikey.Read, listParameters(), d.list))
		g.PATCH("/messages/:id", d.handle(apikey.Send, nil, d.reschedule))
		get(g, "/messages/:id", d.handle(apikey.Read, []string{"include"}, d.get))
		get(g, "/messages/:id/events", d.handle(apikey.Read, []string{"limit", "cursor"}, d.events))
		get(g, "/messages/:id/raw", d.handle(apikey.ReadContent, nil, d.raw))
		get(g, "/messages/:id/attempts", d.handle(apikey.ReadContent, nil, d.attempts))
		g.POST("/messages/:id/cancel", d.handle(apikey.Send, nil, d.cancel))
	}
	g := e.Group("/v1")
	g.POST("/webhooks", d.handle(apikey.WebhooksWrite, nil, d.createWebhook))
	get(g, "/webhooks", d.handle(apikey.WebhooksRead, []string{"limit", "cursor"}, d.listWebhooks))
	get(g, "/webhooks/:id", d.handle(apikey.WebhooksRead, nil, d.getWebhook))
	g.PATCH("/webhooks/:id", d.handle(apikey.WebhooksWrite, nil, d.updateWebhook))
	g.DELETE("/webhooks/:id", d.handle(apikey.WebhooksWrite, nil, d.deleteWebhook))
	g.POST("/webhooks/:id/test", d.handle(apikey.WebhooksWrite, nil, d.testWebhook))
	get(g, "/webhooks/:id/secret", d.handle(apikey.WebhooksWrite, nil, d.webhookSecret))
	g.POST("/webhooks/:id/rotate-secret", d.handle(apikey.WebhooksWrite, nil, d.rotateSecret))
	get(g, "/webhooks/:id/deliveries", d.handle(apikey.WebhooksRead, deliveryParameters(), d.listDeliveries))
	get(g, "/webhooks/:id/deliveries/:dlv", d.handle(apikey.WebhooksRead, nil, d.getDelivery))
	g.POST("/webhooks/:id/deliveries/:dlv/replay", d.handle(apikey.WebhooksWrite, nil, d.replayDelivery))
	g.POST("/webhooks/:id/replay", d.handle(apikey.WebhooksWrite, nil, d.replayWebhook))
	d.suppressionRoutes(g)
	d.templateRoutes(g)
	d.keyRoutes(g)
	get(g, "/events", d.handle(apikey.EventsRead, logParameters(), d.eventLog))
	get(g, "/events/:id", d.handle(apikey.EventsRead, nil, d.getEvent))
	get(g, "/stats", d.handle(apikey.StatsRead, statsParameters(), d.stats))
	get(e, "/v1/openapi.yaml", d.openAPI)
	get(e, "/docs", d.viewerPage)
	get(e, "/docs/:file", d.viewerScript)
	get(e, "/problems/:code", d.explain)
}

func (d *door) suppressionRoutes(g *gin.RouterGroup) {
	g.POST("/suppressions", d.handle(apikey.SuppressionsWrite, nil, d.createSuppression))
	get(g, "/suppressions", d.handle(apikey.SuppressionsRead, suppressionParameters(), d.listSuppressions))
	g.POST("/suppressions/batch", d.handle(apikey.SuppressionsWrite, nil, d.batchSuppressions))
	g.POST("/suppressions/import", d.handle(apikey.SuppressionsWrite, nil, d.importSuppressions))
	get(g, "/suppressions/export", d.handle(apikey.SuppressionsRead, nil, d.exportSuppressions))
	get(g, "/suppressions/:id", d.handle(apikey.SuppressionsRead, nil, d.getSuppression))
	g.DELETE("/suppressions/:id", d.handle(apikey.SuppressionsWrite, nil, d.deleteSuppression))
}

func (d *door) keyRoutes(g *gin.RouterGroup) {
	get(g, "/me", d.handle("", nil, d.me))
	g.POST("/api-keys", d.handle(apikey.KeysWrite, nil, d.createKey))
	get(g, "/api-keys", d.handle(apikey.KeysWrite, []string{"limit", "cursor"}, d.listKeys))
	get(g, "/api-keys/:id", d.handle(apikey.KeysWrite, nil, d.getKey))
	g.PATCH("/api-keys/:id", d.handle(apikey.KeysWrite, nil, d.updateKey))
	g.DELETE("/api-keys/:id", d.handle(apikey.KeysWrite, nil, d.revokeKey))
	g.POST("/api-keys/:id/rotate", d.handle(apikey.KeysWrite, nil, d.rotateKey))
}

// get mounts a handler for GET, and for HEAD, which RFC 9110 9.1 wants wherever GET is.
func get(r gin.IRoutes, path string, h gin.HandlerFunc) {
	r.GET(path, h)
	r.HEAD(path, h)
}

// call is one authenticated request on its way through a handler.
type call struct {
	*gin.Context
	key     *store.Key
	query   url.Values
	atMost  time.Duration   // of the work on the store; zero: storeLimit
	bounded context.Context // made by ctx
	cancel  context.CancelFunc
}

// storeLimit bounds the work on the store for one request, and batchLimit that for a
// batch, which has up to a thousand times as much to keep: a Redis that hangs is
// answered with 503 while the caller still listens.
const (
	storeLimit = 5 * time.Second
	batchLimit = time.Minute
)

// ctx ends with the request, or the limit after it was first asked for: a slow
// upload does not count.
func (c *call) ctx() context.Context {
	if c.bounded == nil {
		c.bounded, c.cancel = context.WithTimeout(c.Request.Context(), cmp.Or(c.atMost, storeLimit))
	}
	return c.bounded
}

func (c *call) end() {
	if c.cancel != nil {
		c.cancel()
	}
}

// handle makes a Gin handler of one of ours: it authenticates, checks the scope and the
// names of the query parameters, and answers the error that the handler returns.
func (d *door) handle(scope string, parameters []string, h func(*call) error) gin.HandlerFunc {
	return func(g *gin.Context) {
		if d.draining() {
			g.Header("Connection", "close") // so that the next request goes elsewhere
			d.writeProblem(g, &problem{code: shuttingDown, detail: "This process is shutting down. Try again soon."})
			return
		}
		key, err := d.authenticate(g, d.keys.get)
		if err != nil {
			d.refuse(g, d.slowDown(g, err))
			return
		}
		g.Set(keyIDField, key.ID)
		c := &call{Context: g, key: key}
		defer c.end()
		if err := d.limitRate(c); err != nil {
			d.refuse(g, err)
			return
		}
		if err := requireScope(key, scope); err != nil {
			d.refuse(g, err)
			return
		}
		if c.query, err = parseQuery(g.Request.URL.RawQuery, parameters); err != nil {
			d.refuse(g, err)
			return
		}
		if err := h(c); err != nil {
			d.refuse(g, err)
		}
	}
}

// openAPI serves the description of this API; it needs no key.
func (d *door) openAPI(g *gin.Context) {
	if _, err := parseQuery(g.Request.URL.RawQuery, nil); err != nil {
		d.refuse(g, err)
		return
	}
	// RFC 9512: the media type of YAML.
	g.Data(http.StatusOK, "application/yaml", []byte(postrider.OpenAPI()))
}
