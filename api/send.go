package api

import (
	"errors"
	"net/http"

	"postrider/internal/email"
	"postrider/internal/intake"
	"postrider/internal/store"
)

// sendRoute stands for a route and its alias in fingerprints.
const sendRoute = "/v1/messages"

// send is POST /messages: the order of checks is api.md 3.3.
func (d *door) send(c *call) error {
	dry, err := c.dryRun()
	if err != nil {
		return err
	}
	doc, err := readJSON(c.Request)
	if err != nil {
		return err
	}
	request := intake.Request{World: c.key.World, KeyID: c.key.ID, Rights: c.rights()}
	if request.IdempotencyKey, err = c.idempotencyKey(); err != nil {
		return err
	}
	if request.IdempotencyKey != "" && !doc.crowded && !dry {
		request.Fingerprint = fingerprint(http.MethodPost, sendRoute, doc.root)
	}
	if dry {
		return d.preview(c, doc, &request)
	}
	msg, replayed, err := d.accept(c, doc, &request)
	if err != nil {
		return d.unlessReplayed(c, &request, err)
	}
	if !replayed {
		d.metrics.accepted(msg)
	}
	c.accepted(msg, replayed)
	return nil
}

func (d *door) accept(c *call, doc *document, r *intake.Request) (msg *email.Message, replayed bool, err error) {
	if err := takeDraft(doc, r); err != nil {
		return nil, false, err
	}
	return d.desk.Accept(c.ctx(), *r)
}

// rights are what the key of a call allows of mail.
func (c *call) rights() intake.Rights {
	return intake.Rights{FromDomains: c.key.FromDomains, Paused: c.key.SendingPaused, RecipientsPerDay: c.key.RecipientsPerDay}
}

// takeDraft reads the message into a request. Errors: *intake.Invalid if it is none.
func takeDraft(doc *document, r *intake.Request) error {
	r.Draft, r.Faults = decodeDraft(doc)
	if doc.crowded || doc.root.kind != objectKind {
		return &intake.Invalid{Faults: r.Faults}
	}
	return nil
}

// unlessReplayed answers a refusal, unless the request's Idempotency-Key was used: that
// counts before the schema (api.md 3.3). Keeping a message looks for itself, so that one
// without a fault costs no round trip for this.
func (d *door) unlessReplayed(c *call, r *intake.Request, refusal error) error {
	if r.Fingerprint == [32]byte{} || errors.Is(refusal, store.ErrIdempotencyReused) {
		return refusal
	}
	msg, err := d.desk.Replay(c.ctx(), r.World, r.IdempotencyKey, r.Fingerprint)
	switch {
	case err != nil:
		return err
	case msg == nil:
		return refusal
	}
	c.accepted(msg, true)
	return nil
}

// accepted answers 202 with the message as it was at accept, however long ago.
func (c *call) accepted(m *email.Message, replayed bool) {
	c.Header("Location", sendRoute+"/"+m.ID)
	if replayed {
		c.Header("Idempotent-Replayed", "true")
	}
	c.answer(http.StatusAccepted, viewAccepted(m))
}
