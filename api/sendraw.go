package api

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"mime"
	"net/http"
	"slices"

	"postrider/internal/intake"
)

// rawRoute is POST /messages/raw in fingerprints.
const rawRoute = "/v1/messages/raw"

// sendRaw is POST /messages/raw: a mail that the caller has composed.
func (d *door) sendRaw(c *call) error {
	if err := requireMail(c.Request.Header); err != nil {
		return err
	}
	data, err := readBody(c.Request, maxBody)
	if err != nil {
		return unread(err)
	}
	r := &intake.RawRequest{World: c.key.World, KeyID: c.key.ID, Rights: c.rights(), Data: data, To: c.query["to"]}
	if r.IdempotencyKey, err = c.idempotencyKey(); err != nil {
		return err
	}
	if r.IdempotencyKey != "" {
		r.Fingerprint = rawFingerprint(data, r.To)
		msg, err := d.desk.Replay(c.ctx(), r.World, r.IdempotencyKey, r.Fingerprint)
		if err != nil {
			return err
		}
		if msg != nil {
			c.accepted(msg, true)
			return nil
		}
	}
	msg, replayed, err := d.desk.AcceptRaw(c.ctx(), r)
	if err != nil {
		return ofRaw(err)
	}
	if !replayed {
		d.metrics.accepted(msg)
	}
	c.accepted(msg, replayed)
	return nil
}

// rawFingerprint tells the bytes of mails and their envelopes apart; the order of the
// recipients makes no difference.
func rawFingerprint(data []byte, to []string) [32]byte {
	h := sha256.New()
	text := func(s string) { // a hash takes every write
		_, _ = h.Write(binary.BigEndian.AppendUint64(nil, uint64(len(s))))
		_, _ = h.Write([]byte(s))
	}
	text(http.MethodPost + " " + rawRoute)
	for _, a := range slices.Sorted(slices.Values(to)) {
		text(a)
	}
	_, _ = h.Write(data)
	return [32]byte(h.Sum(nil))
}

// requireMail refuses other media types and every content coding. Errors: *problem.
func requireMail(h http.Header) error {
	mediaType, _, err := mime.ParseMediaType(h.Get("Content-Type"))
	if err != nil || mediaType != "message/rfc822" || len(h.Values("Content-Type")) > 1 || len(h.Values("Content-Encoding")) > 0 {
		return &problem{code: unsupportedMediaType, detail: "Send the mail as Content-Type: message/rfc822, without a Content-Encoding."}
	}
	return nil
}

// ofRaw makes an error that points to the member from point to the field.
func ofRaw(err error) error {
	var (
		notVerified *intake.NotVerified
		notAllowed  *intake.FromNotAllowed
	)
	if !errors.As(err, &notVerified) && !errors.As(err, &notAllowed) {
		return err
	}
	p := problemFor(err)
	for i := range p.errors {
		p.errors[i].Pointer, p.errors[i].Header = "", "From"
	}
	return p
}

// unread makes of a body that was cut off, which as JSON is malformed, a mail that is not
// whole.
func unread(err error) error {
	if p, ok := err.(*problem); ok && p.code == malformedJSON {
		return &intake.Invalid{Faults: []intake.Fault{{Pointer: "#", Code: intake.InvalidFormat, Detail: "ended before its time"}}}
	}
	return err
}
