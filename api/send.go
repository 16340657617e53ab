package api

import (
	"net/http"

	"postrider/internal/email"
	"postrider/internal/intake"
)

// sendRoute stands for a route and its alias in fingerprints.
const sendRoute = "/v1/messages"

// send is POST /messages: the order of checks is api.md 3.3.
func (d *door) send(c *call) error {
	if c.query.Has("dry_run") {
		p := invalidBody([]fault{{Parameter: "dry_run", Code: intake.UnsupportedFeature, Detail: "is not supported by this version"}})
		p.detail = "The query parameter dry_run is not supported by this version."
		return p
	}
	doc, err := readJSON(c.Request)
	if err != nil {
		return err
	}
	request := intake.Request{World: c.key.World, KeyID: c.key.ID}
	if request.IdempotencyKey, err = c.idempotencyKey(); err != nil {
		return err
	}
	if request.IdempotencyKey != "" && !doc.crowded {
		request.Fingerprint = fingerprint(http.MethodPost, sendRoute, doc.root)
		msg, err := d.desk.Replay(c.ctx(), request.World, request.IdempotencyKey, request.Fingerprint)
		if err != nil {
			return err
		}
		if msg != nil {
			c.accepted(msg, true)
			return nil
		}
	}
	request.Draft, request.Faults = decodeDraft(doc)
	if doc.crowded || doc.root.kind != objectKind {
		return &intake.Invalid{Faults: request.Faults}
	}
	msg, replayed, err := d.desk.Accept(c.ctx(), request)
	if err != nil {
		return err
	}
	if !replayed {
		d.metrics.accepted(msg)
	}
	c.accepted(msg, replayed)
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
