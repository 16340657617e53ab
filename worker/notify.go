package worker

import (
	"context"
	"errors"
	"hash/fnv"
	"net/http"
	"time"

	"postrider/internal/events"
	"postrider/internal/queue"
	"postrider/internal/store"
	"postrider/internal/webhook"
)

// brokenRest is how long a delivery waits whose endpoint cannot be read.
const brokenRest = time.Hour

// Notify makes one attempt to tell one endpoint of one event: it is a handler of
// the queue. It returns an error only if the store cannot be asked or told; the job
// then runs again. What the endpoint answered decides when there is a next attempt,
// which is another job.
func (w *Worker) Notify(ctx context.Context, job queue.Notification) error {
	d, err := w.o.Store.Deliveries.Get(ctx, job.World, job.Delivery)
	switch {
	case errors.Is(err, store.ErrNotFound):
		return nil
	case errors.Is(err, store.ErrBroken): // the sweeper says so every hour
		w.o.Log.Error("delivery cannot be read", "delivery", job.Delivery, "error", printable(err.Error(), maxReply))
		return nil
	case err != nil:
		return err
	case d.Status != store.DeliveryPending || d.Generation != job.Generation:
		return nil
	}
	n := &notice{w: w, d: d}
	n.hook, err = w.o.Store.Webhooks.Peek(ctx, job.World, d.Webhook)
	switch {
	case errors.Is(err, store.ErrNotFound):
		return w.o.Store.Deliveries.Drop(ctx, d)
	case errors.Is(err, store.ErrBroken): // to be mended, or deleted, by hand
		w.complain("webhook cannot be read", []error{err})
		return n.retry(ctx, nil, w.o.Now().Add(brokenRest))
	case err != nil:
		return err
	case !n.hook.Enabled:
		return n.fail(ctx, nil, "the webhook is disabled")
	}
	return n.run(ctx)
}

// notice is one delivery in the hands of Notify.
type notice struct {
	w    *Worker
	d    *store.Delivery
	hook *store.Webhook
}

func (n *notice) run(ctx context.Context) error {
	body, why, err := n.payload(ctx)
	if err != nil {
		return err
	}
	if why != "" {
		return n.fail(ctx, nil, why)
	}
	ok, again := n.w.endpoints.enter(n.hook.ID)
	if !ok {
		return n.retry(ctx, nil, again) // not now is no failure, and no attempt
	}
	how, wait := endedEarly, time.Duration(0)
	defer func() { n.w.endpoints.leave(n.hook.ID, how, wait) }()

	a := n.w.o.Poster.Post(ctx, webhook.Endpoint{URL: n.hook.URL, Secrets: n.hook.Secrets(n.w.o.Now()), Headers: n.hook.Headers},
		webhook.Message{ID: n.d.Event, Body: body})
	if ctx.Err() != nil && a.Status == 0 {
		return ctx.Err() // the job goes back to the queue; if it was posted, it is posted again
	}
	how, wait = endingOf(a), a.RetryAfter
	n.w.o.Metrics.posted(a)
	n.w.o.Log.InfoContext(ctx, "webhook posted", "webhook", n.hook.ID, "delivery", n.d.ID, "event", n.d.Event, "type", string(n.d.Type),
		"number", n.d.Attempts+1, "status", a.Status, "error", a.Error, "ms", a.Duration.Milliseconds())
	return n.settle(ctx, a)
}

// payload is what to post, or why there is nothing.
func (n *notice) payload(ctx context.Context) (body []byte, why string, err error) {
	if n.d.Entry != "" {
		return n.suppressionPayload(ctx)
	}
	found, broken, err := n.w.o.Store.Deliveries.Happened(ctx, n.d.World, []store.StreamEntry{{Message: n.d.Message, Index: n.d.Position}})
	if err != nil {
		return nil, "", err
	}
	n.w.complain("event cannot be read", broken)
	h := found[n.d.Message]
	if h == nil {
		return nil, eventGone, nil
	}
	body, err = events.Body(h.Message, h.Events[n.d.Position])
	if err != nil {
		return nil, eventBroken, nil
	}
	return body, "", nil
}

// Why there is nothing to post.
const (
	eventGone   = "the event is no longer kept"
	eventBroken = "the event cannot be read"
)

func (n *notice) suppressionPayload(ctx context.Context) (body []byte, why string, err error) {
	shard, err := store.DeliveryShard(n.d.ID)
	if err != nil {
		return nil, eventBroken, nil
	}
	e, err := n.w.o.Store.Deliveries.SuppressionEvent(ctx, n.d.World, shard, n.d.Entry)
	switch {
	case errors.Is(err, store.ErrNotFound):
		return nil, eventGone, nil
	case errors.Is(err, store.ErrBroken):
		return nil, eventBroken, nil
	case err != nil:
		return nil, "", err
	}
	body, err = events.SuppressionBody(e)
	return body, "", err
}

func endingOf(a webhook.Attempt) ending {
	switch {
	case a.OK():
		return endedWell
	case a.Status == http.StatusTooManyRequests, a.Status == http.StatusBadGateway,
		a.Status == http.StatusServiceUnavailable, a.Status == http.StatusGatewayTimeout:
		return endedSlowly
	}
	return endedBadly
}

// settle writes down what came of an attempt, and when the next one is.
func (n *notice) settle(ctx context.Context, a webhook.Attempt) error {
	post := &store.Post{At: a.At, Duration: a.Duration, Status: a.Status, Error: a.Error, Body: a.Body}
	if a.OK() {
		return n.change(ctx, func(ctx context.Context) (*store.Delivery, error) {
			return n.w.o.Store.Deliveries.Succeed(ctx, n.d, post, n.w.o.Now())
		})
	}
	if a.Status == http.StatusGone {
		// First, so that dying in between leaves a delivery that finds it disabled.
		if err := n.disable(ctx, store.DisabledGone); err != nil {
			return err
		}
		return n.fail(ctx, post, "")
	}
	delays, failed := n.w.o.Notify.Delays, n.d.Attempts-n.d.Replayed
	if failed >= len(delays) {
		if err := n.fail(ctx, post, ""); err != nil {
			return err
		}
		return n.judge(ctx)
	}
	wait := max(n.jitter(delays[failed]), a.RetryAfter)
	if err := n.retry(ctx, post, n.w.o.Now().Add(wait)); err != nil {
		return err
	}
	return n.judge(ctx)
}

// jitter spreads a delay by up to 10 % either way, so that what failed together does
// not come back together.
func (n *notice) jitter(d time.Duration) time.Duration {
	h := fnv.New64a()
	h.Write([]byte(n.d.ID))
	part := float64(h.Sum64()>>11)/float64(1<<53)*0.2 - 0.1
	return d + time.Duration(float64(d)*part)
}

// judge disables an endpoint that has been failing for too long.
func (n *notice) judge(ctx context.Context) error {
	hook, err := n.w.o.Store.Webhooks.Get(ctx, n.d.World, n.hook.ID)
	if errors.Is(err, store.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	since := hook.Health.FailingSince
	if since.IsZero() || n.w.o.Now().Sub(since) < n.w.o.Notify.GiveUp {
		return nil
	}
	return n.disable(ctx, store.DisabledFailing)
}

var errAsItIs = errors.New("nothing to change")

// disable ends what is posted to the endpoint, unless its owner changed it meanwhile.
func (n *notice) disable(ctx context.Context, reason string) error {
	_, err := n.w.o.Store.Webhooks.Update(ctx, n.d.World, n.hook.ID, n.w.o.Now(), func(hook *store.Webhook) error {
		if !hook.Enabled || !hook.UpdatedAt.Equal(n.hook.UpdatedAt) {
			return errAsItIs
		}
		hook.Enabled, hook.DisabledReason = false, reason
		return nil
	})
	if errors.Is(err, errAsItIs) || errors.Is(err, store.ErrNotFound) {
		return nil
	}
	if err == nil {
		n.w.o.Log.Error("webhook disabled", "webhook", n.hook.ID, "reason", reason)
	}
	return err
}

func (n *notice) fail(ctx context.Context, p *store.Post, why string) error {
	return n.change(ctx, func(ctx context.Context) (*store.Delivery, error) {
		return n.w.o.Store.Deliveries.Fail(ctx, n.d, p, why, n.w.o.Now())
	})
}

func (n *notice) retry(ctx context.Context, p *store.Post, at time.Time) error {
	return n.change(ctx, func(ctx context.Context) (*store.Delivery, error) {
		return n.w.o.Store.Deliveries.Retry(ctx, n.d, p, at, n.w.o.Now())
	})
}

// change tells the store until it listens: what an endpoint was told is not to be
// told again if that can be helped. Then it adds the next job.
func (n *notice) change(ctx context.Context, do func(context.Context) (*store.Delivery, error)) error {
	long, cancel := context.WithTimeout(context.WithoutCancel(ctx), n.w.o.Insist)
	defer cancel()
	d, err := insist(long, do)
	if errors.Is(err, store.ErrLostFence) {
		return nil // another attempt of the same was faster
	}
	if err != nil {
		return err
	}
	n.w.o.Metrics.settled(d)
	n.w.wakeDelivery(context.WithoutCancel(ctx), d)
	return nil
}
