// Package app wires the rooms into a running service, for the command and for
// the tests alike. It is wiring and nothing but: it decides nothing about a
// message.
//
//	a, err := app.New(ctx, app.Options{Config: cfg, Log: log})
//	defer a.Close()
//	err = a.Run(ctx) // until ctx ends
package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"

	"postrider/api"
	"postrider/internal/config"
	"postrider/internal/convoy"
	"postrider/internal/domains"
	"postrider/internal/intake"
	"postrider/internal/queue"
	"postrider/internal/sandbox"
	"postrider/internal/secret"
	"postrider/internal/shape"
	"postrider/internal/store"
	"postrider/internal/track"
	"postrider/internal/webhook"
	"postrider/smtpclient"
	"postrider/smtpclient/dns"
	"postrider/worker"
)

// Options is what a service is made from.
type Options struct {
	Config  config.Config
	Version string
	Log     *slog.Logger
	// Secret replaces the one of the configuration; dev has a fresh one.
	Secret *secret.Secret
	// Front wraps the API with what else is served; nil: the dashboard with its sign-in,
	// if this process has that role.
	Front func(*App, http.Handler) http.Handler
	// Pace shortens delays; zero members keep the defaults.
	Pace Pace
	// InProcess says that Redis lives and dies with this process, as in dev: it is
	// not inspected.
	InProcess bool
	// Linger is how long a process that is to end goes on saying so to those who
	// ask, so that load balancers learn of it.
	Linger time.Duration
}

// Pace is the delays and minima that tests shorten.
type Pace struct {
	Schedule worker.Schedule
	Notify   worker.NotifyPace
	Timeouts smtpclient.Timeouts
	Shape    shape.Options
	DNS      time.Duration // dns.ClientOptions.FailureTTL
	Sandbox  time.Duration
	Sweep    time.Duration
	Beat     time.Duration
	Inspect  time.Duration // between two looks at the settings of Redis
	Drain    time.Duration // how long running transactions are waited for at the end
}

// App is one process of the service.
type App struct {
	Store   *store.Store
	Queue   *queue.Client
	Domains *domains.Domains
	Sandbox *sandbox.Sandbox // of the worker role, else nil
	Desk    *intake.Desk     // of the roles api and dashboard, else nil

	options  Options
	registry *prometheus.Registry
	health   *health
	guard    *store.Guard
	handler  http.Handler
	listener net.Listener
	worker   *worker.Worker  // of the worker role, else nil
	servers  []*queue.Server // of the worker role, one for each queue, else none
	poster   *webhook.Poster
	closers  []func() error // last in, first out
}

// New builds a service and opens its ports, but takes no request and no job yet.
// An installation that may lose mail or cannot send it is refused with *[Refused].
// On error everything opened is closed again.
func New(ctx context.Context, o Options) (a *App, err error) {
	a = &App{options: o, registry: newRegistry(o.Version)}
	defer func() {
		if err != nil {
			err = errors.Join(err, a.Close())
			a = nil
		}
	}()
	if a.options.Log == nil {
		a.options.Log = slog.New(slog.DiscardHandler)
	}
	if err := checkUnsafe(o.Config.AllowUnsafe); err != nil {
		return a, err
	}
	if err := a.loadSecret(ctx); err != nil {
		return a, err
	}
	if err := a.openStore(ctx); err != nil {
		return a, err
	}
	if err := a.openGuard(); err != nil {
		return a, err
	}
	if err := a.admit(ctx); err != nil {
		return a, err
	}
	if err := CheckSecret(ctx, a.Store, a.options.Secret); err != nil {
		return a, err
	}
	if err := a.openPoster(); err != nil {
		return a, err
	}
	resolver, err := dns.NewClient(dns.ClientOptions{Server: o.Config.DNS, FailureTTL: o.Pace.DNS})
	if err != nil {
		return a, fmt.Errorf("open the DNS resolver: %w", err)
	}
	a.Domains = &domains.Domains{
		Store: a.Store.Domains, Secret: a.options.Secret, Resolver: resolver,
		ReturnPathDomain: o.Config.ReturnPathDomain,
	}
	if o.Config.Has(config.RoleWorker) {
		if err := a.openWorker(resolver); err != nil {
			return a, err
		}
	}
	return a, a.listen(ctx)
}

func (a *App) openStore(ctx context.Context) error {
	// Two pools, so that a stall of ours never costs asynq its lease (DESIGN.md 4).
	own, err := openRedis(ctx, a.options.Config.RedisURL)
	if err != nil {
		return err
	}
	a.closers = append(a.closers, own.Close)
	queued, err := openRedis(ctx, a.options.Config.RedisURL)
	if err != nil {
		return err
	}
	a.closers = append(a.closers, queued.Close)
	jobs := convoy.New(queued)
	a.Store = store.New(convoy.New(own), store.Options{
		Log: a.options.Log, InProcess: a.options.InProcess, Sealer: a.options.Secret, IdempotencyWindow: a.options.Config.IdempotencyWindow,
		AcceptsOnly: !a.options.Config.Has(config.RoleWorker),
	})
	a.Queue = queue.NewClient(jobs)
	a.health = &health{app: a, ping: func(ctx context.Context) error { return own.Ping(ctx).Err() }}
	a.registry.MustRegister(&backlog{app: a})
	if a.options.Config.Has(config.RoleWorker) {
		a.openQueues(jobs)
	}
	return nil
}

// loadSecret takes the configuration's secret. The store seals with it, so it comes
// first; CheckSecret then refuses one other than the one that what is stored was
// sealed with: its keys could not be read, and reverse-paths would stop verifying.
func (a *App) loadSecret(ctx context.Context) error {
	if a.options.Secret != nil {
		return nil
	}
	s, err := OpenSecret(ctx, a.options.Config)
	a.options.Secret = s
	return err
}

func (a *App) openSandbox() error {
	a.Sandbox = sandbox.New(sandbox.Options{Log: a.options.Log, Delay: a.options.Pace.Sandbox})
	if err := a.Sandbox.Start(); err != nil {
		return fmt.Errorf("start the sandbox: %w", err)
	}
	a.closers = append(a.closers, a.Sandbox.Close)
	return nil
}

func (a *App) openDesk() error {
	c := a.options.Config
	streams, err := c.StreamQueues()
	if err != nil {
		return fmt.Errorf("POSTRIDER_STREAMS: %w", err)
	}
	a.Desk = intake.New(intake.Options{
		Streams: streams,
		Store:   a.Store, Queue: a.Queue, Domains: a.Domains,
		Marks:            track.New(a.options.Secret.Derive("reverse-path"), 1),
		ReturnPathDomain: returnPathDomain(c),
		RequireVerified:  c.RequireVerifiedDomains,
		AllowReserved:    c.AllowReservedDomains,
		PerRecipient:     c.Envelope == "recipient",
		FeedbackSender:   c.FeedbackSender,
		Simulator:        sandbox.Simulator,
		Presuppressed:    sandbox.Presuppressed,
		Log:              a.options.Log,
	})
	return nil
}

func (a *App) openWorker(resolver dns.Resolver) error {
	c, pace := a.options.Config, a.options.Pace
	if err := a.openSandbox(); err != nil {
		return err
	}
	routes, err := a.routes(resolver)
	if err != nil {
		return err
	}
	allowed, err := config.Prefixes(c.AllowedMXNetworks)
	if err != nil {
		return err
	}
	transport := smtpclient.NewTransport(smtpclient.Options{
		Hostname: hostname(c), Timeouts: pace.Timeouts, AllowedNetworks: allowed,
	})
	a.closers = append(a.closers, transport.Close)
	if pace.Schedule.Delays == nil {
		pace.Schedule.Delays = c.RetrySchedule
	}
	pace.Shape.Total, pace.Shape.Others, pace.Shape.Rules = c.Concurrency, others(c.Concurrency), routes.rules()
	planning := shape.Options{Total: c.Concurrency / 4, Others: others(c.Concurrency) / 4}
	a.worker = worker.New(worker.Options{
		ID:    "w_" + uuid.NewString()[:13],
		Store: a.Store, Queue: a.Queue, Router: routes, Signer: a.Domains, Sender: transport,
		Shaper: shape.New(pace.Shape), Planning: shape.New(planning), Schedule: pace.Schedule, SpareStreams: c.SpareStreams,
		Log: a.options.Log, Metrics: worker.NewMetrics(a.registry),
		Poster: a.poster, Notify: pace.Notify, SweepEvery: pace.Sweep, BeatEvery: pace.Beat,
	})
	return nil
}

func (a *App) listen(ctx context.Context) error {
	listener, err := net.Listen("tcp", a.options.Config.HTTPAddr)
	if err != nil {
		return fmt.Errorf("listen for HTTP: %w", err)
	}
	a.listener = listener
	a.closers = append(a.closers, func() error { _ = listener.Close(); return nil })
	if a.options.Config.PublicURL == "" {
		a.options.Config.PublicURL = a.URL()
	}
	if a.options.Config.Has(config.RoleAPI) || a.options.Config.Has(config.RoleDashboard) {
		if err := a.openDesk(); err != nil {
			return err
		}
	}
	door := http.Handler(http.HandlerFunc(elsewhere))
	if a.options.Config.Has(config.RoleAPI) {
		proxies, err := config.Prefixes(a.options.Config.TrustedProxies)
		if err != nil {
			return fmt.Errorf("POSTRIDER_TRUSTED_PROXIES: %w", err)
		}
		door = api.New(api.Options{
			Desk: a.Desk, Store: a.Store, Signer: a.Domains, Poster: a.poster, Notifier: a.Queue, PublicURL: a.options.Config.PublicURL,
			Version: a.options.Version, Log: a.options.Log,
			RateLimit: a.options.Config.RateLimit, TrustedProxies: proxies, Draining: a.health.draining.Load, Metrics: api.NewMetrics(a.registry),
		})
	}
	a.handler = a.operations(door)
	switch {
	case a.options.Front != nil:
		a.handler = a.options.Front(a, a.handler)
	case a.options.Config.Has(config.RoleDashboard):
		a.handler, err = a.withDashboard(ctx, a.handler)
	}
	return err
}

// Durability is the level of the Redis behind this process: store.LevelAlways...
func (a *App) Durability() string {
	i, _ := a.guard.Last()
	return i.Level
}

// Worker is the name of this process's worker in logs, empty without that role.
func (a *App) Worker() string {
	if a.worker == nil {
		return ""
	}
	return a.worker.ID()
}

// Address is where it listens for HTTP.
func (a *App) Address() string { return a.listener.Addr().String() }

// URL is where the service can be reached from this machine.
func (a *App) URL() string {
	host, port, _ := net.SplitHostPort(a.listener.Addr().String())
	if ip := net.ParseIP(host); ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	return "http://" + net.JoinHostPort(host, port)
}

// Close closes everything that New opened, last first.
func (a *App) Close() error {
	var errs []error
	for i := len(a.closers) - 1; i >= 0; i-- {
		errs = append(errs, a.closers[i]())
	}
	a.closers = nil
	return errors.Join(errs...)
}
