package api

import (
	"context"
	"encoding/json"
	"errors"
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
		if errors.Is(err, store.ErrUnavailable) && held != nil { // it may be held: the answer was lost
			d.unsettled.later(held.Drop)
		}
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
		settle := held.Drop // refused, failed or panicked
		if r != nil {
			raw, encoding := encode(r)
			if encoding != nil {
				d.log.Error("answer not kept", "error", encoding.Error())
				return
			}
			settle = func(ctx context.Context) error { return held.Keep(ctx, raw) }
		}
		end, cancel := context.WithTimeout(context.WithoutCancel(ctx), commitTimeout)
		defer cancel()
		if err := settle(end); err != nil {
			// What was done stands, and the caller is told: the key alone is not as it should be.
			d.log.Warn("idempotency key not settled yet", "error", err.Error())
			d.unsettled.later(settle)
		}
	}()
	return do(ctx)
}

// unsettled are Idempotency-Keys that could be neither given back nor answered while
// Redis was away: without it a caller who repeats a request would be told for a minute
// that it is in progress. More than there is room for are left to their time.
type unsettled struct{ room chan struct{} }

// How many are settled later at a time, and how often that is tried: until the key is
// free anyway.
const (
	mostUnsettled = 1000
	settlings     = 60
	settlePause   = time.Second
)

// later settles a key as soon as Redis answers, and once more after that: the request to
// hold it may have been under way still.
func (u *unsettled) later(settle func(context.Context) error) {
	select {
	case u.room <- struct{}{}:
	default:
		return
	}
	go func() {
		defer func() { <-u.room }()
		for tries, settled := 0, 0; tries < settlings && settled < 2; tries++ {
			time.Sleep(settlePause)
			ctx, cancel := context.WithTimeout(context.Background(), storeLimit)
			if settle(ctx) == nil {
				settled++
			}
			cancel()
		}
	}()
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
