// Command pages measures the dashboard: how long each page takes the server, and how many
// commands it sends to Redis, with many messages stored.
//
//	redis-server --port 7001 --save '' &
//	go run -tags nomsgpack ./bench/pages -redis redis://127.0.0.1:7001 -messages 1000000
//
// The Redis must be empty; it holds the messages afterwards, so that a second run may
// measure them again with -messages 0.
package main

import (
	"context"
	"flag"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"sync/atomic"
	"text/tabwriter"
	"time"

	"github.com/redis/go-redis/v9"
	"golang.org/x/sync/errgroup"

	"postrider/internal/dashboard"
	"postrider/internal/email"
	"postrider/internal/library"
	"postrider/internal/queue"
	"postrider/internal/starters"
	"postrider/internal/store"
)

func main() {
	url := flag.String("redis", "redis://127.0.0.1:7001", "an empty Redis to use")
	messages := flag.Int("messages", 100_000, "how many messages to store first")
	rounds := flag.Int("rounds", 40, "how often each page is asked for")
	flag.Parse()
	if err := run(*url, *messages, *rounds); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(url string, messages, rounds int) error {
	options, err := redis.ParseURL(url)
	if err != nil {
		return err
	}
	options.DisableIdentity = true
	rdb := redis.NewClient(options)
	defer rdb.Close()
	s := store.New(rdb, store.Options{})
	begun := time.Now()
	if err := seed(s, messages); err != nil {
		return err
	}
	fmt.Printf("%d messages stored in %v\n", messages, time.Since(begun).Round(time.Second))
	counter := &counter{}
	rdb.AddHook(counter)
	pages := dashboard.New(dashboard.Options{Store: s, Queue: queue.NewClient(rdb), Log: slog.New(slog.DiscardHandler), Worlds: []email.World{email.Live}})
	list, _, err := s.Messages.List(context.Background(), email.Live, store.Filter{}, "", 1)
	if err != nil || len(list) == 0 {
		return fmt.Errorf("no message to look at: %w", err)
	}
	template, err := fill(s)
	if err != nil {
		return fmt.Errorf("make templates: %w", err)
	}
	out := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(out, "page\tmedian\t95 %\tcommands\tround trips\toctets\t")
	for _, path := range []string{
		"/", "/?range=month", "/ui/messages", "/ui/messages?status=bounced", "/ui/messages?q=tag:tag7", "/ui/messages?q=user4711@example17.org", "/ui/messages?q=order+4711",
		"/ui/messages?status=deferred&domain=example17.org", "/ui/messages/" + list[0].ID, "/ui/jobs", "/ui/jobs/default?state=pending", "/ui/jobs/quarantine",
		"/ui/templates", "/ui/templates?q=receipt+77", "/ui/templates/" + template, "/ui/templates/" + template + "/preview", "/ui/templates/" + template + "/diff",
		"/ui/send?template=" + template, "/ui/webhooks", "/ui/suppressions", "/ui/domains", "/ui/settings",
	} {
		measure(out, pages, counter, path, rounds)
	}
	return out.Flush()
}

// measure asks for a page several times.
func measure(out *tabwriter.Writer, pages http.Handler, c *counter, path string, rounds int) {
	var took []time.Duration
	octets := 0
	c.commands.Store(0)
	c.trips.Store(0)
	for range rounds {
		rec := httptest.NewRecorder()
		begun := time.Now()
		pages.ServeHTTP(rec, httptest.NewRequest(http.MethodGet, path, nil))
		took = append(took, time.Since(begun))
		if octets = rec.Body.Len(); rec.Code != http.StatusOK {
			fmt.Fprintf(out, "%s\tanswered %d\t\t\t\t\t\n", path, rec.Code)
			return
		}
	}
	slices.Sort(took)
	fmt.Fprintf(out, "%s\t%.1f ms\t%.1f ms\t%d\t%d\t%d\t\n", path, ms(took[len(took)/2]), ms(took[len(took)*95/100]),
		c.commands.Load()/int64(rounds), c.trips.Load()/int64(rounds), octets)
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// templates is how many templates there are to be.
const templates = 200

// fill stores templates, as long as real ones are, each with a version and a draft. It
// gives the id of one.
func fill(s *store.Store) (string, error) {
	ctx, shelf := context.Background(), library.New(s, slog.New(slog.DiscardHandler))
	reading, err := shelf.Read(ctx, email.Live)
	if err != nil {
		return "", err
	}
	made := reading.List()
	for i := len(made); i < templates; i++ {
		starter, err := starters.Get("receipt")
		if err != nil {
			return "", err
		}
		by := library.Author{World: email.Live, Name: "bench", At: time.Now()}
		name := fmt.Sprintf("Receipt %d", i)
		stored, err := shelf.Create(ctx, by, &library.Edit{Name: &name, Subject: &starter.Subject, HTML: &starter.HTML, Text: &starter.Text})
		if err == nil {
			_, err = shelf.Publish(ctx, by, stored.ID)
		}
		if text := starter.Text + "\nThank you!\n"; err == nil {
			stored, err = shelf.Update(ctx, by, stored.ID, &library.Edit{Text: &text})
		}
		if err != nil {
			return "", err
		}
		made = append(made, stored.Template)
	}
	return made[0].ID, nil
}

// seed stores messages of many senders' kinds; some have ended, some wait.
func seed(s *store.Store, n int) error {
	group, ctx := errgroup.WithContext(context.Background())
	group.SetLimit(64)
	for i := range n {
		group.Go(func() error { return one(ctx, s, i) })
	}
	return group.Wait()
}

func one(ctx context.Context, s *store.Store, i int) error {
	now := time.Now().UTC()
	to := email.Address{Email: fmt.Sprintf("user%d@example%d.org", i, i%100)}
	m := &email.Message{
		ID: email.NewMessageID(0), World: email.Live, KeyID: email.NewID(email.KeyPrefix), CreatedAt: now, ExpiresAt: now.Add(72 * time.Hour),
		From: email.Address{Email: "shop@acme.com", Name: "Acme"}, To: []email.Address{to}, Subject: fmt.Sprintf("Your order %d", i),
		Tags: []string{fmt.Sprintf("tag%d", i%20)}, Stream: "transactional", SizeBytes: 2000,
		Recipients: []email.Recipient{{Address: to, Type: email.To, State: email.RecipientState{Status: email.Queued, AtAccept: email.Queued, Seq: 1, NextAttemptAt: now}}},
		Envelopes:  []email.Envelope{{Domain: to.Domain(), ReversePath: "b-token@r.acme.com", Recipients: []int{0}, State: email.EnvelopeState{Phase: email.Waiting, NextAt: now}}},
	}
	m.MessageID = "<" + m.ID + "@acme.com>"
	if _, _, err := s.Messages.Accept(ctx, &store.Submission{Message: m, Content: &email.Content{Text: "x"}}); err != nil {
		return err
	}
	outcome, next := email.Outcome{Status: email.Delivered, Reply: &email.Reply{Code: 250, Text: "ok", At: now}}, time.Time{}
	switch rand.IntN(10) {
	case 0:
		outcome = email.Outcome{Status: email.Bounced, Bounce: "hard", Category: "invalid_recipient", Reply: &email.Reply{Code: 550, EnhancedCode: "5.1.1", Text: "no such user", At: now}}
	case 1:
		outcome, next = email.Outcome{Status: email.Deferred, Category: "other", Reply: &email.Reply{Code: 451, Text: "later", At: now}}, now.Add(time.Hour)
	case 2, 3, 4:
		return nil // is queued
	}
	start, err := s.Messages.Begin(ctx, m.World, m.ID, 0, 0, "bench", now)
	if err != nil {
		return err
	}
	claim := store.Claim{World: m.World, Message: m.ID, Fence: start.Fence}
	_, err = s.Messages.Conclude(ctx, claim, &email.Attempt{Fence: start.Fence, StartedAt: now, EndedAt: now, Outcomes: []email.Outcome{outcome}}, next, now)
	return err
}

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
