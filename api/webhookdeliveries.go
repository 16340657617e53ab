package api

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"slices"

	"postrider/internal/email"
	"postrider/internal/events"
	"postrider/internal/intake"
	"postrider/internal/store"
)

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
	limit, badLimit := c.limit()
	f, badFilter := c.deliveryFilter()
	if err := allFaults(badLimit, badFilter); err != nil {
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
