package api

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"postrider/internal/store"
)

// How long a change may take after its caller has gone; the second one includes a test
// call. Both end before the store lets go of an Idempotency-Key.
const (
	commitTimeout = 15 * time.Second
	onceTimeout   = 30 * time.Second
)

// reply is the answer to a POST as it is kept under an Idempotency-Key.
type reply struct {
	Status   int             `json:"s"`
	Location string          `json:"l,omitempty"`
	ETag     string          `json:"e,omitempty"`
	Body     json.RawMessage `json:"b"`
}

// newReply is an answer with a body.
func newReply(status int, location string, v any) (*reply, error) {
	body, err := encode(v)
	if err != nil {
		return nil, fmt.Errorf("encode an answer: %w", err)
	}
	return &reply{Status: status, Location: location, Body: body}, nil
}

// once answers a POST that is no send (api.md 6): with an Idempotency-Key, do runs at
// most once and its answer is replayed as it was, with a secret that it showed. A
// refusal gives the key back. A process that dies between its change and its answer
// leaves the change: the key is free a minute later.
func (d *door) once(c *call, route string, doc *document, do func(context.Context) (*reply, error)) error {
	return d.onceWithin(c, route, doc, onceTimeout, do)
}

// onceWithin is once for what takes another time, less than a key is held for.
func (d *door) onceWithin(c *call, route string, doc *document, limit time.Duration, do func(context.Context) (*reply, error)) error {
	key, err := c.idempotencyKey()
	if err != nil {
		return err
	}
	// A caller who hangs up must not stop a change halfway.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(c.ctx()), limit)
	defer cancel()
	if key == "" || doc.crowded {
		r, err := do(ctx)
		if err != nil {
			return err
		}
		c.replied(r)
		return nil
	}
	held, kept, err := d.store.Answers.Hold(c.ctx(), c.key.World, key, fingerprint(http.MethodPost, route, doc.root))
	if err != nil {
		return err
	}
	if held == nil {
		return c.replay(kept)
	}
	r, err := d.holding(ctx, held, do)
	if err != nil {
		return err
	}
	c.replied(r)
	return nil
}

// holding runs do and leaves its answer, or gives the key back.
func (d *door) holding(ctx context.Context, held *store.Held, do func(context.Context) (*reply, error)) (r *reply, err error) {
	defer func() {
		end, cancel := context.WithTimeout(context.WithoutCancel(ctx), commitTimeout)
		defer cancel()
		var kept error
		if r == nil { // refused, failed or panicked
			kept = held.Drop(end)
		} else if raw, err := encode(r); err != nil {
			kept = err
		} else {
			kept = held.Keep(end, raw)
		}
		if kept != nil {
			// What was done stands, and the caller is told: the key alone is not as it should be.
			d.log.Warn("idempotency key not settled", "error", kept.Error())
		}
	}()
	return do(ctx)
}

// replied sends an answer.
func (c *call) replied(r *reply) {
	if r.Location != "" {
		c.Header("Location", r.Location)
	}
	if r.ETag != "" {
		c.Header("ETag", r.ETag)
	}
	writeBody(c.Context, r.Status, "application/json", r.Body)
}
