package api

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"time"

	"postrider/internal/email"
	"postrider/internal/endpoint"
	"postrider/internal/events"
	"postrider/internal/store"
	"postrider/internal/webhook"
)

// webhooksRoute stands for the route in Location and fingerprints.
const webhooksRoute = "/v1/webhooks"

// webhookID is the id in the path. An id that cannot be is not found.
func (c *call) webhookID() (string, error) {
	id := c.Param("id")
	if _, err := email.ParseID(email.WebhookPrefix, id); err != nil {
		return "", noWebhook()
	}
	return id, nil
}

// changer is who calls, as the record of changes to endpoints names them.
func (c *call) changer() endpoint.Actor {
	return endpoint.Actor{Name: c.key.ID, Request: c.GetString(requestIDField)}
}

func noWebhook() *problem {
	return &problem{code: notFound, detail: "There is no webhook with this id.", resource: "webhook"}
}

// ofWebhook gives the store's errors about one endpoint their problem.
func ofWebhook(err error) error {
	if errors.Is(err, store.ErrNotFound) {
		return noWebhook()
	}
	return err
}

// createWebhook is POST /webhooks: the only answer that shows the secret.
func (d *door) createWebhook(c *call) error {
	doc, err := readJSON(c.Request)
	if err != nil {
		return err
	}
	return d.once(c, webhooksRoute, doc, func(ctx context.Context) (*reply, error) {
		change, err := d.readWebhook(doc, true)
		if err != nil {
			return nil, err
		}
		hook := &store.Webhook{World: c.key.World, Enabled: true}
		if err := change(hook); err != nil {
			return nil, err
		}
		made, err := d.hooks.Create(ctx, c.changer(), hook)
		if err != nil {
			return nil, err
		}
		return newReply(http.StatusCreated, webhooksRoute+"/"+made.ID, createdWebhook{viewWebhook(made), made.Secret})
	})
}

// getWebhook is GET /webhooks/{id}.
func (d *door) getWebhook(c *call) error {
	id, err := c.webhookID()
	if err != nil {
		return err
	}
	hook, err := d.store.Webhooks.Get(c.ctx(), c.key.World, id)
	if err != nil {
		return ofWebhook(err)
	}
	c.answer(http.StatusOK, viewWebhook(hook))
	return nil
}

// listWebhooks is GET /webhooks, newest first. There are few, so a page is cut from all.
func (d *door) listWebhooks(c *call) error {
	limit, err := c.limit()
	if err != nil {
		return err
	}
	hash := listHash(c.key.World, "webhooks")
	at, err := c.cursor(hash, email.WebhookPrefix)
	if err != nil {
		return err
	}
	found, err := d.store.Webhooks.List(c.ctx(), c.key.World)
	if err != nil {
		return err
	}
	if at.Before != "" {
		found = slices.DeleteFunc(found, func(h *store.Webhook) bool { return h.ID >= at.Before })
	}
	var next *cursor
	if len(found) > limit {
		found = found[:limit]
		next = &cursor{Version: cursorVersion, List: hash, Before: found[limit-1].ID}
	}
	data := make([]webhookView, len(found))
	for i, h := range found {
		data[i] = viewWebhook(h)
	}
	d.answerPage(c, data, next)
	return nil
}

// updateWebhook is PATCH /webhooks/{id}: what is not given stays.
func (d *door) updateWebhook(c *call) error {
	doc, err := readJSON(c.Request)
	if err != nil {
		return err
	}
	id, err := c.webhookID()
	if err != nil {
		return err
	}
	change, err := d.readWebhook(doc, false)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(c.ctx()), commitTimeout)
	defer cancel()
	hook, err := d.hooks.Update(ctx, c.changer(), c.key.World, id, change)
	if err != nil {
		return ofWebhook(err)
	}
	c.answer(http.StatusOK, viewWebhook(hook))
	return nil
}

// deleteWebhook is DELETE /webhooks/{id}.
func (d *door) deleteWebhook(c *call) error {
	id, err := c.webhookID()
	if err != nil {
		return err
	}
	if err := d.hooks.Delete(c.ctx(), c.changer(), c.key.World, id); err != nil {
		return ofWebhook(err)
	}
	c.Status(http.StatusNoContent)
	c.Writer.WriteHeaderNow()
	return nil
}

// webhookView is an endpoint. What is secret in it is never shown.
type webhookView struct {
	Object         string            `json:"object"`
	ID             string            `json:"id"`
	Livemode       bool              `json:"livemode"`
	CreatedAt      stamp             `json:"created_at"`
	UpdatedAt      stamp             `json:"updated_at"`
	URL            string            `json:"url"`
	Events         []string          `json:"events"`
	Description    text              `json:"description"`
	Headers        fields            `json:"headers"`
	TagsFilter     []string          `json:"tags_filter"`
	Streams        []string          `json:"streams"`
	Deferred       string            `json:"deferred"`
	Status         string            `json:"status"`
	DisabledReason text              `json:"disabled_reason"`
	DisabledAt     stamp             `json:"disabled_at"`
	MissedSince    stamp             `json:"missed_since"`
	Health         webhookHealthView `json:"health"`
}

type webhookHealthView struct {
	LastSuccessAt       stamp `json:"last_success_at"`
	LastFailureAt       stamp `json:"last_failure_at"`
	ConsecutiveFailures int   `json:"consecutive_failures"`
	Pending             int   `json:"pending"`
}

// createdWebhook is the one answer that shows the secret.
type createdWebhook struct {
	webhookView
	Secret string `json:"secret"`
}

func viewWebhook(h *store.Webhook) webhookView {
	patterns := h.Events
	if len(patterns) == 0 {
		patterns = events.Default()
	}
	deferred := deferredFirst
	if h.AllDeferrals {
		deferred = deferredAll
	}
	var missed time.Time // told once it is enabled again and can be given what it missed
	if h.Enabled {
		missed = h.MissedSince
	}
	return webhookView{
		Object: "webhook", ID: h.ID, Livemode: h.World.Livemode(), CreatedAt: stamp(h.CreatedAt), UpdatedAt: stamp(h.UpdatedAt),
		URL: webhook.Redact(h.URL), Events: patterns, Description: text(h.Description),
		Headers: fields(webhook.ShowHeaders(h.Headers)), TagsFilter: append([]string{}, h.TagsFilter...), Streams: append([]string{}, h.Streams...),
		Deferred: deferred, Status: h.Status(), DisabledReason: text(h.DisabledReason),
		DisabledAt: stamp(h.DisabledAt), MissedSince: stamp(missed),
		Health: webhookHealthView{
			stamp(h.Health.LastSuccessAt), stamp(h.Health.LastFailureAt), h.Health.ConsecutiveFailures, h.Health.Pending,
		},
	}
}
