package api

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"time"

	"postrider/internal/endpoint"
	"postrider/internal/intake"
	"postrider/internal/store"
)

// maxOverlap is how long an old secret may go on signing.
const maxOverlap = 7 * 24 * time.Hour

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
		overlap, err := readOverlap(doc, endpoint.DefaultOverlap, maxOverlap)
		if err != nil {
			return nil, err
		}
		hook, err := d.hooks.Rotate(ctx, c.changer(), c.key.World, id, overlap)
		if err != nil {
			return nil, ofWebhook(err)
		}
		return newReply(http.StatusOK, "", d.viewSecret(hook))
	})
}

// readOverlap reads the body of a rotation. Errors: *intake.Invalid.
func readOverlap(doc *document, otherwise, most time.Duration) (time.Duration, error) {
	overlap := otherwise
	var dec decoder
	for _, m := range dec.members(doc, "overlap_seconds") {
		if n := dec.integer(m, member("#", m.name)); n != nil {
			if overlap = time.Duration(*n) * time.Second; *n < 0 || *n > whole(most) {
				dec.fault(member("#", m.name), intake.OutOfRange, fmt.Sprintf("is not between 0 and %d", whole(most)))
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
