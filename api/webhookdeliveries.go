package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"postrider/internal/email"
	"postrider/internal/events"
	"postrider/internal/intake"
	"postrider/internal/queue"
	"postrider/internal/store"
	"postrider/internal/webhook"
)

const (
	// defaultOverlap and maxOverlap are how long an old secret goes on signing.
	defaultOverlap = 24 * time.Hour
	maxOverlap     = 7 * 24 * time.Hour
	// replayLimit is less than an Idempotency-Key is held for.
	replayLimit = 50 * time.Second
	// replaySweep is when the sweeper looks whether a replay that was queued runs.
	replaySweep = 25 * time.Second
)

// Notifier wakes a delivery to a webhook; *queue.Client does.
type Notifier interface {
	AddNotification(ctx context.Context, n queue.Notification, at time.Time) error
}

// webhookSecretView is what verifies an endpoint's deliveries.
type webhookSecretView struct {
	Object            string `json:"object"`
	WebhookID         string `json:"webhook_id"`
	Livemode          bool   `json:"livemode"`
	Secret            string `json:"secret"`
	PreviousExpiresAt stamp  `json:"previous_expires_at"`
}

func (d *door) viewSecret(h *store.Webhook) webhookSecretView {
	v := webhookSecretView{Object: "webhook_secret", WebhookID: h.ID, Livemode: h.World.Livemode(), Secret: h.Secret}
	if len(h.Secrets(d.now())) > 1 {
		v.PreviousExpiresAt = stamp(h.OldUntil)
	}
	return v
}

// webhookSecret is GET /webhooks/{id}/secret.
func (d *door) webhookSecret(c *call) error {
	id, err := c.webhookID()
	if err != nil {
		return err
	}
	hook, err := d.store.Webhooks.Peek(c.ctx(), c.key.World, id)
	if err != nil {
		return ofWebhook(err)
	}
	c.answer(http.StatusOK, d.viewSecret(hook))
	return nil
}

// rotateSecret is POST /webhooks/{id}/rotate-secret: a new secret, beside which the old
// one goes on signing for a while.
func (d *door) rotateSecret(c *call) error {
	doc, err := readOptionalJSON(c.Request)
	if err != nil {
		return err
	}
	id, err := c.webhookID()
	if err != nil {
		return err
	}
	return d.once(c, webhooksRoute+"/"+id+"/rotate-secret", doc, func(ctx context.Context) (*reply, error) {
		overlap, err := readOverlap(doc)
		if err != nil {
			return nil, err
		}
		secret, now := webhook.NewSecret(), d.now()
		hook, err := d.store.Webhooks.Update(ctx, c.key.World, id, now, func(h *store.Webhook) error {
			h.OldSecret, h.OldUntil, h.Secret = h.Secret, now.Add(overlap), secret
			if overlap == 0 {
				h.OldSecret, h.OldUntil = "", time.Time{}
			}
			return nil
		})
		if err != nil {
			return nil, ofWebhook(err)
		}
		return newReply(http.StatusOK, "", d.viewSecret(hook))
	})
}

// readOverlap reads the body of a rotation. Errors: *intake.Invalid.
func readOverlap(doc *document) (time.Duration, error) {
	overlap := defaultOverlap
	var dec decoder
	for _, m := range dec.members(doc, "overlap_seconds") {
		if n := dec.integer(m, member("#", m.name)); n != nil {
			if overlap = time.Duration(*n) * time.Second; *n < 0 || *n > int64(maxOverlap/time.Second) {
				dec.fault(member("#", m.name), intake.OutOfRange, fmt.Sprintf("is not between 0 and %d", int64(maxOverlap/time.Second)))
			}
		}
	}
	return overlap, dec.invalid()
}

// members are the given members of an object that may have these.
func (d *decoder) members(doc *document, allowed ...string) []*node {
	var list []*node
	switch {
	case doc.root.kind != objectKind:
		d.wrongType("#", "an object")
	case doc.crowded:
		d.fault("#", intake.TooMany, fmt.Sprintf("has more than %d values", maxValues))
	default:
		for _, m := range doc.root.children {
			switch {
			case !m.given():
			case !slices.Contains(allowed, m.name):
				d.fault(member("#", m.name), intake.UnknownMember, "is not a member of this object")
			default:
				list = append(list, m)
			}
		}
	}
	return list
}

// invalid is the error of what was found, nil if nothing was.
func (d *decoder) invalid() error {
	if len(d.faults) == 0 {
		return nil
	}
	return &intake.Invalid{Faults: d.faults}
}

// deliveryView is one event on its way to an endpoint.
type deliveryView struct {
	Object         string          `json:"object"`
	ID             string          `json:"id"`
	Livemode       bool            `json:"livemode"`
	CreatedAt      stamp           `json:"created_at"`
	WebhookID      string          `json:"webhook_id"`
	EventID        string          `json:"event_id"`
	EventType      email.EventType `json:"event_type"`
	MessageID      text            `json:"message_id"`
	Status         string          `json:"status"`
	AttemptCount   int             `json:"attempt_count"`
	NextAttemptAt  stamp           `json:"next_attempt_at"`
	CompletedAt    stamp           `json:"completed_at"`
	LastStatusCode *int            `json:"last_status_code"`
	LastError      text            `json:"last_error"`
}

func viewDelivery(d *store.Delivery) deliveryView {
	v := deliveryView{
		Object: "webhook_delivery", ID: d.ID, Livemode: d.World.Livemode(), CreatedAt: stamp(d.CreatedAt), WebhookID: d.Webhook,
		EventID: d.Event, EventType: d.Type, MessageID: text(d.Message), Status: string(d.Status), AttemptCount: d.Attempts,
		NextAttemptAt: stamp(d.NextAt), CompletedAt: stamp(d.EndedAt), LastError: text(d.LastError),
	}
	if d.LastStatus != 0 {
		v.LastStatusCode = &d.LastStatus
	}
	return v
}

// deliveryDetail adds what was posted, and each attempt.
type deliveryDetail struct {
	deliveryView
	Payload  json.RawMessage `json:"payload"`
	Attempts []postView      `json:"attempts"`
}

type postView struct {
	Number       int   `json:"number"`
	At           stamp `json:"at"`
	StatusCode   *int  `json:"status_code"`
	DurationMS   int64 `json:"duration_ms"`
	Error        text  `json:"error"`
	ResponseBody text  `json:"response_body"`
}

// deliveryParameters are the query parameters of GET /webhooks/{id}/deliveries.
func deliveryParameters() []string {
	return []string{"limit", "cursor", "status", "event_type", "message_id"}
}

// listDeliveries is GET /webhooks/{id}/deliveries, those of the newest events first.
func (d *door) listDeliveries(c *call) error {
	limit, err := c.limit()
	if err != nil {
		return err
	}
	f, err := c.deliveryFilter()
	if err != nil {
		return err
	}
	hook, err := d.hook(c)
	if err != nil {
		return err
	}
	hash := listHash(c.key.World, "deliveries", hook.ID, string(f.Status), string(f.Type), f.Message)
	at, err := c.cursor(hash, email.DeliveryPrefix)
	if err != nil {
		return err
	}
	found, next, err := d.store.Deliveries.List(c.ctx(), hook, f, at.Before, limit)
	if err != nil {
		return err
	}
	data := make([]deliveryView, len(found))
	for i, x := range found {
		data[i] = viewDelivery(x)
	}
	if next == "" {
		d.answerPage(c, data, nil)
		return nil
	}
	d.answerPage(c, data, &cursor{Version: cursorVersion, List: hash, Before: next})
	return nil
}

// hook is the endpoint that the path names.
func (d *door) hook(c *call) (*store.Webhook, error) {
	id, err := c.webhookID()
	if err != nil {
		return nil, err
	}
	hook, err := d.store.Webhooks.Peek(c.ctx(), c.key.World, id)
	return hook, ofWebhook(err)
}

func (c *call) deliveryFilter() (store.DeliveryFilter, error) {
	f := store.DeliveryFilter{
		Status: store.DeliveryStatus(c.query.Get("status")), Type: email.EventType(c.query.Get("event_type")), Message: c.query.Get("message_id"),
	}
	var faults []fault
	switch f.Status {
	case store.DeliveryPending, store.DeliverySucceeded, store.DeliveryFailed:
	default:
		if c.query.Has("status") {
			faults = append(faults, fault{Parameter: "status", Code: intake.InvalidFormat, Detail: "is none of pending, succeeded, failed"})
		}
	}
	if c.query.Has("event_type") && !slices.Contains(events.Types(), f.Type) {
		faults = append(faults, fault{Parameter: "event_type", Code: intake.InvalidFormat, Detail: "is not the name of an event"})
	}
	if c.query.Has("message_id") {
		if _, err := email.ParseID(email.MessagePrefix, f.Message); err != nil {
			faults = append(faults, fault{Parameter: "message_id", Code: intake.InvalidFormat, Detail: "is not the id of a message"})
		}
	}
	if len(faults) > 0 {
		return f, badParameters(faults)
	}
	return f, nil
}

// delivery is the one that the path names, of the endpoint that it names.
func (d *door) delivery(ctx context.Context, c *call) (*store.Delivery, error) {
	none := &problem{code: notFound, detail: "There is no delivery with this id.", resource: "webhook_delivery"}
	found, err := d.store.Deliveries.Get(ctx, c.key.World, c.Param("dlv"))
	if errors.Is(err, store.ErrNotFound) {
		return nil, none
	}
	if err != nil {
		return nil, err
	}
	if found.Webhook != c.Param("id") {
		return nil, none
	}
	return found, nil
}

// getDelivery is GET /webhooks/{id}/deliveries/{dlv}.
func (d *door) getDelivery(c *call) error {
	found, err := d.delivery(c.ctx(), c)
	if err != nil {
		return err
	}
	view := deliveryDetail{deliveryView: viewDelivery(found), Attempts: []postView{}}
	if view.Payload, err = d.deliveryPayload(c.ctx(), found); err != nil {
		return err
	}
	posts, err := d.store.Deliveries.Posts(c.ctx(), c.key.World, found.ID)
	if err != nil {
		return err
	}
	for _, p := range posts {
		v := postView{Number: p.Number, At: stamp(p.At), DurationMS: p.Duration.Milliseconds(), Error: text(p.Error), ResponseBody: text(p.Body)}
		if p.Status != 0 {
			v.StatusCode = &p.Status
		}
		view.Attempts = append(view.Attempts, v)
	}
	c.answer(http.StatusOK, view)
	return nil
}

// deliveryPayload is what is posted; null if the event is no longer kept.
func (d *door) deliveryPayload(ctx context.Context, x *store.Delivery) (json.RawMessage, error) {
	if x.Entry != "" {
		shard, err := store.DeliveryShard(x.ID)
		if err != nil {
			return nil, err
		}
		e, err := d.store.Deliveries.SuppressionEvent(ctx, x.World, shard, x.Entry)
		if errors.Is(err, store.ErrNotFound) {
			return json.RawMessage("null"), nil
		}
		if err != nil {
			return nil, err
		}
		return events.SuppressionBody(e)
	}
	found, _, err := d.store.Deliveries.Happened(ctx, x.World, []store.StreamEntry{{Message: x.Message, Index: x.Position}})
	if err != nil {
		return nil, err
	}
	e, ok := found[x.Message].Event(x.Position)
	if !ok {
		return json.RawMessage("null"), nil
	}
	return events.Body(found[x.Message].Message, e)
}

// errDisabled refuses to replay to an endpoint that is not posted to.
func errDisabled() error {
	return &intake.Invalid{Faults: []intake.Fault{{Pointer: "#", Code: "webhook_disabled", Detail: "asks a disabled webhook: enable it first"}}}
}

// replayDelivery is POST /webhooks/{id}/deliveries/{dlv}/replay: at once, whatever became
// of it, with the same webhook-id.
func (d *door) replayDelivery(c *call) error {
	doc, err := readOptionalJSON(c.Request)
	if err != nil {
		return err
	}
	return d.once(c, webhooksRoute+"/"+c.Param("id")+"/deliveries/"+c.Param("dlv")+"/replay", doc, func(ctx context.Context) (*reply, error) {
		var dec decoder
		dec.members(doc)
		if err := dec.invalid(); err != nil {
			return nil, err
		}
		hook, err := d.hook(c)
		if err != nil {
			return nil, err
		}
		if !hook.Enabled {
			return nil, errDisabled()
		}
		for {
			found, err := d.delivery(ctx, c)
			if err != nil {
				return nil, err
			}
			again, err := d.store.Deliveries.Replay(ctx, found, d.now(), d.now().Add(replaySweep))
			if errors.Is(err, store.ErrLostFence) {
				continue // an attempt ended just now
			}
			if err != nil {
				return nil, err
			}
			if d.notifier != nil {
				job := queue.Notification{World: again.World, Delivery: again.ID, Generation: again.Generation}
				if err := d.notifier.AddNotification(ctx, job, again.NextAt); err != nil {
					d.log.Warn("not enqueued, left to the sweeper", "delivery", again.ID, "error", err)
				}
			}
			return newReply(http.StatusAccepted, "", viewDelivery(again))
		}
	})
}

// webhookReplayView says how much is replayed.
type webhookReplayView struct {
	Object    string `json:"object"`
	WebhookID string `json:"webhook_id"`
	Livemode  bool   `json:"livemode"`
	Count     int    `json:"count"`
	ResumeAt  stamp  `json:"resume_at"`
}

// replayWebhook is POST /webhooks/{id}/replay: what happened in a time, in one call.
func (d *door) replayWebhook(c *call) error {
	doc, err := readJSON(c.Request)
	if err != nil {
		return err
	}
	return d.onceWithin(c, webhooksRoute+"/"+c.Param("id")+"/replay", doc, replayLimit, func(ctx context.Context) (*reply, error) {
		again, err := d.readReplay(doc)
		if err != nil {
			return nil, err
		}
		hook, err := d.hook(c)
		if err != nil {
			return nil, err
		}
		if !hook.Enabled {
			return nil, errDisabled()
		}
		bounded, cancel := context.WithTimeout(ctx, replayLimit*4/5)
		defer cancel()
		count, resume, err := d.store.Deliveries.ReplayAll(bounded, hook, again, d.now())
		if err != nil {
			return nil, err
		}
		if resume.IsZero() && !hook.MissedSince.IsZero() && !again.Since.After(hook.MissedSince) {
			if _, err := d.store.Webhooks.Update(ctx, c.key.World, hook.ID, d.now(), func(h *store.Webhook) error {
				h.MissedSince = time.Time{}
				return nil
			}); err != nil && !errors.Is(err, store.ErrNotFound) {
				return nil, err
			}
		}
		return newReply(http.StatusAccepted, "", webhookReplayView{
			Object: "webhook_replay", WebhookID: hook.ID, Livemode: hook.World.Livemode(), Count: count, ResumeAt: stamp(resume),
		})
	})
}

// readReplay reads what to replay. Errors: *intake.Invalid.
func (d *door) readReplay(doc *document) (store.Again, error) {
	again := store.Again{Until: d.now(), Match: events.Match}
	var dec decoder
	given := false
	for _, m := range dec.members(doc, "since", "until", "types", "only_failed") {
		at := member("#", m.name)
		switch m.name {
		case "since":
			given = true
			dec.time(m, at, &again.Since)
		case "until":
			dec.time(m, at, &again.Until)
		case "types":
			again.Types = dec.patterns(m, at)
		default:
			if m.kind != boolKind {
				dec.wrongType(at, "true or false")
			}
			again.All = m.text == "false"
		}
	}
	switch {
	case !given && doc.root.kind == objectKind:
		dec.fault("#/since", intake.Required, "is required")
	case len(dec.faults) == 0 && again.Until.Before(again.Since):
		dec.fault("#/until", intake.OutOfRange, "is before since")
	}
	return again, dec.invalid()
}

// time reads a time of RFC 3339.
func (d *decoder) time(n *node, at string, to *time.Time) {
	value := d.str(n, at)
	if value == nil {
		return
	}
	parsed, err := time.Parse(time.RFC3339, *value)
	if err != nil || parsed.Year() < 1970 || parsed.Year() > 9999 {
		d.fault(at, intake.InvalidFormat, "is not a time as in RFC 3339")
		return
	}
	*to = parsed
}
