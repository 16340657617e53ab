package api

import (
	"context"
	"errors"
	"net/http"
	"time"

	"postrider/internal/events"
	"postrider/internal/intake"
	"postrider/internal/queue"
	"postrider/internal/store"
)

const (
	// replayLimit is less than an Idempotency-Key is held for.
	replayLimit = 50 * time.Second
	// replaySweep is when the sweeper looks whether a replay that was queued runs.
	replaySweep = 25 * time.Second
)

// Notifier wakes a delivery to a webhook; *queue.Client does.
type Notifier interface {
	AddNotification(ctx context.Context, n queue.Notification, at time.Time) error
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
