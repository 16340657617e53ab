// Command pages measures the dashboard: how long each page takes the server, and how many
// commands it sends to Redis, with many messages stored.
//
//	redis-server --port 7001 --save '' &
//	go run -tags nomsgpack ./bench/pages -redis redis://127.0.0.1:7001 -messages 1000000
//
// The Redis must be empty; it holds the messages afterwards, so that a second run may
// measure them again with -messages 0. Whoever asks has signed in; templates, deliveries
// to a webhook, jobs and the like are as many as furnish.go says.
package main

import (
	"context"
	"flag"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"text/tabwriter"
	"time"

	"github.com/redis/go-redis/v9"

	"postrider/internal/dashboard"
	"postrider/internal/email"
	"postrider/internal/queue"
	"postrider/internal/sandbox"
	"postrider/internal/secret"
	"postrider/internal/signin"
	"postrider/internal/store"
)

// secretKey is the same in each run: the second one reads what the first one sealed.
const secretKey = "YmVuY2gvcGFnZXMgbWVhc3VyZXMgdGhlIHBhZ2VzISE"

func main() {
	url := flag.String("redis", "redis://127.0.0.1:7001", "an empty Redis to use")
	messages := flag.Int("messages", 100_000, "how many messages to store first")
	rounds := flag.Int("rounds", 40, "how often each page is asked for")
	only := flag.String("only", "", "only the pages whose address contains this")
	flag.Parse()
	if err := run(*url, *messages, *rounds, *only); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(url string, messages, rounds int, only string) error {
	options, err := redis.ParseURL(url)
	if err != nil {
		return err
	}
	options.DisableIdentity = true
	rdb := redis.NewClient(options)
	defer rdb.Close()
	sealer, err := secret.Parse(secretKey)
	if err != nil {
		return err
	}
	quiet := slog.New(slog.DiscardHandler)
	s := store.New(rdb, store.Options{Sealer: sealer})
	h := &house{store: s, queue: queue.NewClient(rdb), desk: signin.New(signin.Options{Store: s}), box: sandbox.New(sandbox.Options{Log: quiet, Delay: time.Millisecond})}
	if err := h.box.Start(); err != nil {
		return err
	}
	defer h.box.Close()
	begun := time.Now()
	if err := seed(s, messages); err != nil {
		return err
	}
	fmt.Printf("%d messages stored in %v\n", messages, time.Since(begun).Round(time.Second))
	if err := h.furnish(context.Background()); err != nil {
		return err
	}
	counter := &counter{}
	rdb.AddHook(counter)
	p := &pages{counter: counter, session: h.session, rounds: rounds, handler: dashboard.New(dashboard.Options{
		Store: s, Queue: h.queue, Inbox: h.box.Inbox, SignIn: h.desk, BaseURL: "http://example.com", Log: quiet, Worlds: []email.World{email.Live, email.Test},
		Health: func(ctx context.Context) []dashboard.Check {
			i, err := s.Inspect(ctx)
			if err != nil {
				return []dashboard.Check{{Name: "redis", Detail: err.Error()}}
			}
			return []dashboard.Check{{Name: "redis", OK: true, Detail: "Redis " + i.Version}}
		},
	})}
	out := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(out, "page\tmedian\t95 %\tcommands\tround trips\toctets\t")
	for _, path := range h.paths() {
		if strings.Contains(path, only) {
			p.measure(out, path)
		}
	}
	return out.Flush()
}

// paths are those of the pages.
func (h *house) paths() []string {
	template, hook := "/ui/templates/"+h.template, "/ui/webhooks/"+h.hook
	return []string{
		"/", "/?range=day", "/?range=month",
		"/ui/messages", "/ui/messages?status=bounced", "/ui/messages?q=tag:tag7", "/ui/messages?q=user4711@example17.org", "/ui/messages?q=order+4711",
		"/ui/messages?status=deferred&domain=example17.org", "/ui/messages?q=from:nobody@acme.com", "/ui/messages?q=%3Cforeign@app.example%3E",
		"/ui/messages?q=tag:tag7+from:nobody@acme.com+status:bounced", "/ui/messages/" + h.message, "/ui/messages/" + h.rich, "/ui/messages/" + h.crowd,
		"/ui/jobs", "/ui/jobs/default?state=pending", "/ui/jobs/default?state=pending&page=200", "/ui/jobs/quarantine", "/ui/inbox", "/ui/inbox?q=caught+7",
		"/ui/templates", "/ui/templates?q=receipt+77", template, template + "/preview", template + "/diff", "/ui/send?template=" + h.template,
		"/ui/webhooks", hook, hook + "?status=failed", hook + "/deliveries/" + h.delivery,
		"/ui/suppressions", "/ui/suppressions?email=gone4711@example.org", "/ui/keys", "/ui/domains", "/ui/users", "/ui/account", "/ui/settings",
	}
}

// pages asks for pages as somebody who signed in.
type pages struct {
	handler http.Handler
	session string
	counter *counter
	rounds  int
}

// measure asks for a page several times.
func (p *pages) measure(out *tabwriter.Writer, path string) {
	var took []time.Duration
	octets := 0
	p.counter.commands.Store(0)
	p.counter.trips.Store(0)
	for range p.rounds {
		r, rec := httptest.NewRequest(http.MethodGet, path, nil), httptest.NewRecorder()
		r.AddCookie(&http.Cookie{Name: "postrider_session", Value: p.session})
		begun := time.Now()
		p.handler.ServeHTTP(rec, r)
		took = append(took, time.Since(begun))
		if octets = rec.Body.Len(); rec.Code != http.StatusOK {
			fmt.Fprintf(out, "%s\tanswered %d\t\t\t\t\t\n", path, rec.Code)
			return
		}
	}
	slices.Sort(took)
	fmt.Fprintf(out, "%s\t%.1f ms\t%.1f ms\t%d\t%d\t%d\t\n", path, ms(took[len(took)/2]), ms(took[len(took)*95/100]),
		p.counter.commands.Load()/int64(p.rounds), p.counter.trips.Load()/int64(p.rounds), octets)
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// counter counts what is sent to Redis.
type counter struct{ commands, trips atomic.Int64 }

func (c *counter) DialHook(next redis.DialHook) redis.DialHook {
	return func(ctx context.Context, network, addr string) (net.Conn, error) { return next(ctx, network, addr) }
}

func (c *counter) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		c.commands.Add(1)
		c.trips.Add(1)
		return next(ctx, cmd)
	}
}

func (c *counter) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		c.commands.Add(int64(len(cmds)))
		c.trips.Add(1)
		return next(ctx, cmds)
	}
}
