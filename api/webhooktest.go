package api

import (
	"context"
	"fmt"
	"net/http"
	"slices"

	"postrider/internal/email"
	"postrider/internal/endpoint"
	"postrider/internal/events"
	"postrider/internal/intake"
	"postrider/internal/store"
	"postrider/internal/webhook"
)

// webhookTestView is one attempt with a sample.
type webhookTestView struct {
	Object       string          `json:"object"`
	ID           string          `json:"id"` // of the sample
	Livemode     bool            `json:"livemode"`
	CreatedAt    stamp           `json:"created_at"`
	WebhookID    string          `json:"webhook_id"`
	Type         email.EventType `json:"type"`
	Status       string          `json:"status"`
	StatusCode   *int            `json:"status_code"`
	DurationMS   int64           `json:"duration_ms"`
	Error        text            `json:"error"`
	ResponseBody text            `json:"response_body"`
	Request      webhookRequest  `json:"request"`
}

// webhookRequest is what was sent, without what is secret.
type webhookRequest struct {
	URL     string `json:"url"`
	Headers fields `json:"headers"`
	Body    string `json:"body"`
}

// testWebhook is POST /webhooks/{id}/test: one attempt, now, with a sample. It leaves no
// trace in the endpoint's health and is never tried again.
func (d *door) testWebhook(c *call) error {
	doc, err := readOptionalJSON(c.Request)
	if err != nil {
		return err
	}
	id, err := c.webhookID()
	if err != nil {
		return err
	}
	return d.once(c, webhooksRoute+"/"+id+"/test", doc, func(ctx context.Context) (*reply, error) {
		t, err := sampleType(doc)
		if err != nil {
			return nil, err
		}
		hook, err := d.store.Webhooks.Peek(ctx, c.key.World, id)
		if err != nil {
			return nil, ofWebhook(err)
		}
		view, err := d.tryWebhook(ctx, hook, t)
		if err != nil {
			return nil, err
		}
		return newReply(http.StatusOK, "", view)
	})
}

// tryWebhook posts a sample to an endpoint.
func (d *door) tryWebhook(ctx context.Context, hook *store.Webhook, t email.EventType) (*webhookTestView, error) {
	id, payload, err := events.Sample(hook.World, t, hook.ID, d.now())
	if err != nil {
		return nil, err
	}
	to := webhook.Endpoint{URL: hook.URL, Secrets: hook.Secrets(d.now()), Headers: hook.Headers}
	m := webhook.Message{ID: id, Body: payload}
	a := d.poster.Post(ctx, to, m)
	sent, err := webhook.Show(to, m, a.At)
	if err != nil {
		return nil, err
	}
	view := &webhookTestView{
		Object: "webhook_test", ID: id, Livemode: hook.World.Livemode(), CreatedAt: stamp(a.At), WebhookID: hook.ID, Type: t,
		Status: "failed", DurationMS: a.Duration.Milliseconds(), Error: text(a.Error), ResponseBody: text(a.Body),
		Request: webhookRequest{URL: webhook.Redact(hook.URL), Headers: fields(sent), Body: string(payload)},
	}
	if a.OK() {
		view.Status = "succeeded"
	}
	if a.Status != 0 {
		view.StatusCode = &a.Status
	}
	return view, nil
}

// sampleType reads the body of a test call. Errors: *intake.Invalid.
func sampleType(doc *document) (email.EventType, error) {
	var (
		dec decoder
		t   = email.TypeFor(email.Delivered)
	)
	switch {
	case doc.root.kind != objectKind:
		dec.wrongType("#", "an object")
	case doc.crowded: // then members are missing from the tree
		dec.fault("#", intake.TooMany, fmt.Sprintf("has more than %d values", maxValues))
	}
	for _, m := range doc.root.children {
		at := member("#", m.name)
		switch {
		case doc.root.kind != objectKind || !m.given():
		case m.name != "type":
			dec.fault(at, intake.UnknownMember, "is not a member of this object")
		default:
			if value := dec.str(m, at); value != nil {
				t = email.EventType(*value)
				dec.sample(t, at)
			}
		}
	}
	if len(dec.faults) > 0 {
		return "", &intake.Invalid{Faults: dec.faults}
	}
	return t, nil
}

// sample checks that there is a sample of a type.
func (d *decoder) sample(t email.EventType, at string) {
	switch {
	case slices.Contains(endpoint.Later(), string(t)):
		d.fault(at, intake.UnsupportedFeature, "is not produced by this version")
	case t != events.WebhookTest && !slices.Contains(events.Types(), t):
		d.fault(at, intake.InvalidFormat, "is not the name of an event")
	}
}
