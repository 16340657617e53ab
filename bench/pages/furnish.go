package main

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"postrider/internal/apikey"
	"postrider/internal/email"
	"postrider/internal/library"
	"postrider/internal/queue"
	"postrider/internal/sandbox"
	"postrider/internal/signin"
	"postrider/internal/starters"
	"postrider/internal/store"
	"postrider/smtpclient"
)

// How much there is of what is not mail.
const (
	manyTemplates    = 200
	manyQuarantined  = 200
	manyDeliveries   = 20_000
	manyJobs         = 100_000
	manySuppressions = 20_000
	manyKeys         = 50
	manyUsers        = 20
	attemptsOfOne    = 25 // three days of trying
)

// house is where the pages live: a store, and what is in it beside the messages.
type house struct {
	store *store.Store
	queue *queue.Client
	box   *sandbox.Sandbox
	desk  *signin.Desk

	session                 string
	template, message, hook string // ids
	rich, crowd             string // of messages that were tried for days, one to many
	delivery                string // of a post to the webhook
}

// furnish puts in what is not there yet.
func (h *house) furnish(ctx context.Context) error {
	list, _, err := h.store.Messages.List(ctx, email.Live, store.Filter{Statuses: []email.Status{email.Delivered}}, "", 1)
	if err != nil || len(list) == 0 {
		return fmt.Errorf("no message to look at: %w", err)
	}
	h.message = list[0].ID
	for _, step := range []struct {
		what string
		do   func(context.Context) error
	}{
		{"templates", func(ctx context.Context) (err error) { h.template, err = h.templates(ctx); return err }},
		{"quarantined messages", h.quarantined},
		{"messages of many attempts", h.tried},
		{"deliveries to a webhook", h.webhook},
		{"statistics", h.history},
		{"users", h.users},
		{"keys", h.keys},
		{"suppressions", h.suppressions},
		{"jobs", h.jobs},
		{"caught mail", h.inbox},
	} {
		if err := step.do(ctx); err != nil {
			return fmt.Errorf("make %s: %w", step.what, err)
		}
	}
	return nil
}

// templates stores templates, as long as real ones are, each with a version and a draft. It
// gives the id of one.
func (h *house) templates(ctx context.Context) (string, error) {
	shelf := library.New(h.store, slog.New(slog.DiscardHandler))
	reading, err := shelf.Read(ctx, email.Live)
	if err != nil {
		return "", err
	}
	made := reading.List()
	for i := len(made); i < manyTemplates; i++ {
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

func (h *house) quarantined(ctx context.Context) error {
	n, err := h.store.Messages.CountQuarantined(ctx, email.Live)
	for ; err == nil && n < manyQuarantined; n++ {
		m := message(int(n), fmt.Sprintf("Held %d", n), fmt.Sprintf("held%d@example.org", n))
		if _, _, err = h.store.Messages.Accept(ctx, &store.Submission{Message: m, Content: &email.Content{Text: "x"}}); err != nil {
			return err
		}
		var claim store.Claim
		if claim, err = h.begin(ctx, m, 0, m.CreatedAt); err == nil {
			_, err = h.store.Messages.Quarantine(ctx, claim, "panicked: index out of range", time.Now())
		}
	}
	return err
}

func (h *house) begin(ctx context.Context, m *email.Message, envelope int, at time.Time) (store.Claim, error) {
	now, err := h.store.Messages.Get(ctx, m.World, m.ID)
	if err != nil {
		return store.Claim{}, err
	}
	start, err := h.store.Messages.Begin(ctx, m.World, m.ID, envelope, now.Envelopes[envelope].State.Generation, "bench", at)
	if err != nil {
		return store.Claim{}, err
	}
	return store.Claim{World: m.World, Message: m.ID, Envelope: envelope, Fence: start.Fence}, nil
}

// tried are messages that were tried for three days: one to five recipients of two
// domains, one to as many as a message may have.
func (h *house) tried(ctx context.Context) (err error) {
	h.rich, err = h.triedTo(ctx, "first@slow.example", "second@slow.example", "third@slow.example", "first@full.example", "second@full.example")
	if err != nil {
		return err
	}
	var all []string
	for i := range 50 {
		all = append(all, fmt.Sprintf("person%d@domain%d.example", i, i/5))
	}
	h.crowd, err = h.triedTo(ctx, all...)
	return err
}

func (h *house) triedTo(ctx context.Context, to ...string) (string, error) {
	list, _, err := h.store.Messages.List(ctx, email.Live, store.Filter{Recipient: to[0]}, "", 1)
	if err != nil {
		return "", err
	}
	if len(list) > 0 {
		return list[0].ID, nil
	}
	m := message(0, "Tried for three days", to...)
	if _, _, err := h.store.Messages.Accept(ctx, &store.Submission{Message: m, Content: &email.Content{Text: "x"}}); err != nil {
		return "", err
	}
	for n := range attemptsOfOne {
		at := m.CreatedAt.Add(time.Duration(n) * 170 * time.Minute)
		for envelope := range m.Envelopes {
			if err := h.try(ctx, m, envelope, at); err != nil {
				return "", err
			}
		}
	}
	return m.ID, nil
}

func (h *house) try(ctx context.Context, m *email.Message, envelope int, at time.Time) error {
	claim, err := h.begin(ctx, m, envelope, at)
	if err != nil {
		return err
	}
	a := &email.Attempt{
		Envelope: envelope, Fence: claim.Fence, StartedAt: at, EndedAt: at.Add(900 * time.Millisecond), Host: "mx1." + m.Envelopes[envelope].Domain,
		Address: "192.0.2.7:25", Source: "198.51.100.4", HELO: "mail.acme.com", TLS: "TLS1.3 TLS_AES_128_GCM_SHA256", TLSReason: "opportunistic", Number: 1,
	}
	for _, r := range m.Envelopes[envelope].Recipients {
		reply := &email.Reply{Code: 451, EnhancedCode: "4.3.2", Text: "The system is not accepting mail now, try again later", At: at}
		a.Outcomes = append(a.Outcomes, email.Outcome{Recipient: r, Status: email.Deferred, Category: "other", Reply: reply})
	}
	for i := range 20 {
		a.Transcript = append(a.Transcript, email.Line{At: at.Add(time.Duration(i) * 40 * time.Millisecond), From: email.Server, Text: "250-mx1.slow.example at your service, line " + fmt.Sprint(i)})
	}
	next := at.Add(170 * time.Minute)
	_, err = h.store.Messages.Conclude(ctx, claim, a, next, a.EndedAt)
	return err
}

// webhook is an endpoint, and what follows from the oldest events: deliveries to it, of
// which most ended.
func (h *house) webhook(ctx context.Context) error {
	hooks, err := h.store.Webhooks.List(ctx, email.Live)
	if err != nil {
		return err
	}
	if len(hooks) == 0 {
		made, err := h.store.Webhooks.Create(ctx, &store.Webhook{
			ID: email.NewID(email.WebhookPrefix), World: email.Live, URL: "https://app.example/hooks", Enabled: true, Secret: "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", CreatedAt: time.Now(),
		})
		if err != nil {
			return err
		}
		hooks = append(hooks, made)
	}
	h.hook = hooks[0].ID
	list, _, err := h.store.Deliveries.List(ctx, hooks[0], store.DeliveryFilter{}, "", 1)
	for n := 0; err == nil && len(list) == 0 && n < manyDeliveries; n += followed {
		err = h.follow(ctx, hooks[0])
	}
	if err == nil && len(list) == 0 {
		list, _, err = h.store.Deliveries.List(ctx, hooks[0], store.DeliveryFilter{}, "", 1)
	}
	if err != nil || len(list) == 0 {
		return fmt.Errorf("no delivery to look at: %w", err)
	}
	h.delivery = list[0].ID
	return nil
}

const followed = 500 // events at a time

func (h *house) follow(ctx context.Context, hook *store.Webhook) error {
	part, err := h.store.Deliveries.Unfollowed(ctx, email.Live, 0, followed)
	if err != nil {
		return err
	}
	happened, _, err := h.store.Deliveries.Happened(ctx, email.Live, part.Entries)
	if err != nil {
		return err
	}
	var list []*store.Delivery
	for _, e := range part.Entries {
		if d := hook.DeliveryOf(e, happened[e.Message], func([]string, email.EventType) bool { return true }); d != nil {
			list = append(list, d)
		}
	}
	now := time.Now().UTC()
	if _, err := h.store.Deliveries.Follow(ctx, part, part.To, list, now); err != nil {
		return err
	}
	for i, d := range list {
		switch i % 10 {
		case 0: // waits for its first attempt
		case 1:
			_, err = h.store.Deliveries.Retry(ctx, d, &store.Post{At: now, Status: 503, Error: "503", Body: "come back later"}, now.Add(time.Hour), now)
		case 2:
			_, err = h.store.Deliveries.Fail(ctx, d, &store.Post{At: now, Status: 404, Error: "404"}, "", now)
		default:
			_, err = h.store.Deliveries.Succeed(ctx, d, &store.Post{At: now, Status: 200, Body: "ok"}, now)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// history is statistics of each hour of 30 days, and each minute of the last hour.
func (h *house) history(ctx context.Context) error {
	now := time.Now().UTC()
	counted, err := h.store.Stats.Read(ctx, email.Live, store.Question{Interval: store.Day, From: now.AddDate(0, 0, -10), To: now.AddDate(0, 0, -5)})
	if err != nil || len(counted) > 0 {
		return err
	}
	part, err := h.store.Deliveries.Unfollowed(ctx, email.Live, 0, 1)
	if err != nil {
		return err
	}
	part.Tally = store.NewTally()
	for hour := range 30 * 24 {
		countMail(part.Tally, now.Add(-time.Duration(hour)*time.Hour))
	}
	for minute := range 60 {
		countMail(part.Tally, now.Add(-time.Duration(minute)*time.Minute))
	}
	_, err = h.store.Deliveries.Follow(ctx, part, part.To, nil, now)
	return err
}

// countMail counts mail of all tags, through ten providers.
func countMail(tally *store.Tally, at time.Time) {
	ends := []email.Status{email.Delivered, email.Delivered, email.Delivered, email.Bounced, email.Deferred}
	for i := range 200 {
		s := store.Sample{At: at, Status: email.Queued, Stream: "transactional", Tags: []string{fmt.Sprintf("tag%d", i%20)}}
		tally.Count(s, "")
		s.Previous, s.Status, s.Due = email.Queued, ends[i%len(ends)], at.Add(-time.Duration(40+i*i)*time.Millisecond)
		tally.Count(s, fmt.Sprintf("mx%d.example", i%10))
	}
}

// users are people who may sign in, one of whom has.
func (h *house) users(ctx context.Context) error {
	const name, password = "bench", "a horse on the stairs"
	from := signin.Place{Network: "192.0.2.1"}
	list, err := h.store.Users.List(ctx)
	if err != nil {
		return err
	}
	if len(list) > 0 {
		h.session, err = h.desk.SignIn(ctx, name, password, from)
		return err
	}
	link, err := h.desk.First(ctx)
	if err == nil {
		h.session, err = h.desk.Redeem(ctx, link, name, password, from)
	}
	for i := 0; err == nil && i < manyUsers; i++ {
		_, _, err = h.desk.Invite(ctx, name, fmt.Sprintf("person%d", i), signin.Draft{Role: store.RoleViewer})
	}
	return err
}

func (h *house) keys(ctx context.Context) error {
	list, err := h.store.Keys.List(ctx, email.Live)
	for i := len(list); err == nil && i < manyKeys; i++ {
		name := fmt.Sprintf("app %d", i)
		desk := &apikey.Desk{Store: h.store, Log: slog.New(slog.DiscardHandler), Now: time.Now}
		_, _, err = desk.Create(ctx, apikey.Actor{User: "bench"}, email.Live, apikey.Draft{Name: &name, Scopes: []string{apikey.Send}})
	}
	return err
}

func (h *house) suppressions(ctx context.Context) error {
	list, _, err := h.store.Suppressions.List(ctx, email.Live, store.SuppressionFilter{}, "", 1)
	if len(list) > 0 {
		return err
	}
	var all []email.Suppression
	for i := range manySuppressions {
		all = append(all, email.Suppression{
			ID: email.NewID(email.SuppressionPrefix), World: email.Live, Email: fmt.Sprintf("gone%d@example.org", i), Reason: "manual", CreatedAt: time.Now().UTC(),
		})
	}
	for part := range slices.Chunk(all, 500) {
		if _, err = h.store.Suppressions.Add(ctx, email.Live, part, time.Now()); err != nil {
			return err
		}
	}
	return err
}

// jobs are those of messages that are not there: a page of jobs shows what is queued.
func (h *house) jobs(ctx context.Context) error {
	sizes, err := h.queue.Sizes(ctx, queue.Default)
	if err != nil {
		return err
	}
	return together(manyJobs-sizes[0].Jobs[queue.Pending], func(int) error {
		return h.queue.Add(ctx, queue.Default, queue.Delivery{World: email.Live, Message: email.NewMessageID(0)}, time.Now())
	})
}

// inbox is full.
func (h *house) inbox(ctx context.Context) error {
	const to = "user@example.com"
	plan, err := h.box.Plan(ctx, to)
	if err != nil {
		return err
	}
	transport := smtpclient.NewTransport(smtpclient.Options{Hostname: "bench.example"})
	defer transport.Close()
	kept, _ := h.box.Inbox.Bounds()
	return together(kept, func(i int) error {
		data := fmt.Sprintf("From: Acme <shop@acme.com>\r\nTo: user%d@example.com\r\nSubject: Caught %d\r\n\r\nHello\r\n", i, i)
		done := transport.Send(ctx, plan, &smtpclient.Mail{From: "b-token@r.acme.com", To: []string{to}, Data: []byte(data)})
		if failed := done.Recipients[0].Err; failed != nil {
			return failed
		}
		return nil
	})
}
