// Package endpoint is what an endpoint of webhooks may be, and how one is made and
// changed, whoever does it: the API or the dashboard.
//
// What it is told of and how is in packages events and webhook; endpoints are kept by
// package store. It reads no HTTP.
//
//	hooks := endpoint.Desk{Store: st}
//	made, err := hooks.Create(ctx, endpoint.Actor{Name: "user:ada"}, hook)
package endpoint

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"slices"
	"strings"
	"time"

	"postrider/internal/email"
	"postrider/internal/intake"
	"postrider/internal/store"
	"postrider/internal/webhook"
)

// DefaultOverlap is how long an old secret goes on signing unless another time is asked for.
const DefaultOverlap = 24 * time.Hour

// Actor is who makes or changes an endpoint.
type Actor struct {
	Name    string // as in the record of changes: a key's id, or a user of the dashboard
	Request string // the id of the request, for the record; empty: none
}

// Desk makes and changes endpoints and records who did. It is safe for concurrent use.
type Desk struct {
	Store *store.Store
	Log   *slog.Logger     // nil: none
	Now   func() time.Time // nil: time.Now
}

func (d *Desk) now() time.Time {
	if d.Now == nil {
		return time.Now()
	}
	return d.Now()
}

// Create makes an endpoint, which has what is to be known of it but its id, secret and
// times. Errors: *intake.Invalid.
func (d *Desk) Create(ctx context.Context, a Actor, hook *store.Webhook) (*store.Webhook, error) {
	fresh := *hook
	fresh.ID, fresh.Secret, fresh.CreatedAt = email.NewID(email.WebhookPrefix), webhook.NewSecret(), d.now()
	made, err := d.Store.Webhooks.Create(ctx, &fresh)
	if errors.Is(err, store.ErrTooManyWebhooks) {
		return nil, &intake.Invalid{Faults: []intake.Fault{{
			Pointer: "#", Code: intake.TooMany,
			Detail: fmt.Sprintf("there are %d webhooks already, which is the limit: delete one first", store.MaxWebhooks),
		}}}
	}
	if err != nil {
		return nil, err
	}
	d.record(ctx, a, "created", made, "")
	return made, nil
}

// Update changes an endpoint. Errors: those of change, store.ErrNotFound.
func (d *Desk) Update(ctx context.Context, a Actor, w email.World, id string, change func(*store.Webhook) error) (*store.Webhook, error) {
	var before store.Webhook
	hook, err := d.Store.Webhooks.Update(ctx, w, id, d.now(), func(h *store.Webhook) error {
		before = *h
		return change(h)
	})
	if err != nil {
		return nil, err
	}
	if what := changed(&before, hook); len(what) > 0 {
		d.record(ctx, a, "updated", hook, "changed: "+strings.Join(what, ", "))
	}
	if before.Enabled != hook.Enabled {
		d.record(ctx, a, hook.Status(), hook, "")
	}
	return hook, nil
}

// Rotate gives an endpoint another secret; the one before signs beside it for overlap.
// Errors: store.ErrNotFound.
func (d *Desk) Rotate(ctx context.Context, a Actor, w email.World, id string, overlap time.Duration) (*store.Webhook, error) {
	secret, now := webhook.NewSecret(), d.now()
	hook, err := d.Store.Webhooks.Update(ctx, w, id, now, func(h *store.Webhook) error {
		h.OldSecret, h.OldUntil, h.Secret = h.Secret, now.Add(overlap), secret
		if overlap == 0 {
			h.OldSecret, h.OldUntil = "", time.Time{}
		}
		return nil
	})
	if err == nil {
		d.record(ctx, a, "secret_rotated", hook, "")
	}
	return hook, err
}

// Delete removes an endpoint; what waits for it is dropped. Errors: store.ErrNotFound.
func (d *Desk) Delete(ctx context.Context, a Actor, w email.World, id string) error {
	hook, err := d.Store.Webhooks.Peek(ctx, w, id)
	if err != nil {
		return err
	}
	if err := d.Store.Webhooks.Delete(ctx, w, id); err != nil {
		return err
	}
	d.record(ctx, a, "deleted", hook, "")
	return nil
}

// changed names what differs but whether it is enabled.
func changed(before, after *store.Webhook) (names []string) {
	for _, c := range []struct {
		name string
		same bool
	}{
		{"url", before.URL == after.URL},
		{"events", slices.Equal(before.Events, after.Events)},
		{"description", before.Description == after.Description},
		{"headers", slices.Equal(before.Headers, after.Headers)},
		{"tags", slices.Equal(before.TagsFilter, after.TagsFilter)},
		{"streams", slices.Equal(before.Streams, after.Streams)},
		{"deferred", before.AllDeferrals == after.AllDeferrals},
	} {
		if !c.same {
			names = append(names, c.name)
		}
	}
	return names
}

// record notes who did what, without the path of the URL, which may be secret.
func (d *Desk) record(ctx context.Context, a Actor, action string, h *store.Webhook, detail string) {
	if u, err := url.Parse(h.URL); err == nil {
		detail = strings.TrimSpace(u.Host + " " + detail)
	}
	c := store.Change{World: h.World, At: d.now(), Actor: a.Name, Action: "webhook." + action, Object: h.ID, Detail: detail, Request: a.Request}
	d.Store.Audit.Note(ctx, d.Log, c)
}
