// Package compose writes a message as the bytes that go over the wire: RFC 5322
// header, MIME structure (RFC 2045-2049, 2183, 2231, 2387), 7-bit clean, CRLF only.
//
// The same arguments give the same bytes, today and after a restart, because a
// retry and its DKIM signature depend on it: the Date is the message's due time,
// boundaries come from its id, and no map is ever walked unsorted. Nobody who is
// only in Bcc appears (RFC 5322 3.6.3), and there is no Sender field.
//
// It is no validator. It refuses, as the last line of defence, what would break
// the mail or let a value become a header field of its own (CR, LF, NUL and other
// controls, fields that compose itself writes, addr-specs outside RFC 5322); such
// an error is a fault of the message that should have been found at accept. It
// neither signs nor sends, and it never reads mail.
//
// The structure, each level only where it is needed:
//
//	multipart/mixed               attachments
//	  multipart/alternative       text, html and calendar
//	    text/plain
//	    multipart/related         html and inline files
//	      text/html
//	      image/png               Content-ID
//	    text/calendar             method=REQUEST
//	  application/pdf
//
// Use:
//
//	raw, err := compose.Message(m, c) // the bytes before signing
//	c.Text = compose.Text(c.HTML)     // a text part for a mail that has none
package compose

import (
	"bytes"
	"errors"
	"fmt"
	"strings"

	"postrider/internal/email"
)

// Message composes the RFC 5322 bytes of a message, before signing: deterministic
// (same arguments, same bytes), CRLF, 7-bit clean, no Bcc. The last line ends with
// CRLF. Its errors are faults of the message that should have been refused at
// accept; they name the field, never an address or a value.
//
// White space around a header value is not kept, as no reader would see it, and
// invalid UTF-8 in one becomes U+FFFD. Bodies keep every byte but their line breaks,
// which become CRLF; files keep every byte.
func Message(m *email.Message, c *email.Content) ([]byte, error) {
	if len(c.Raw) > 0 {
		return composed(m, c.Raw)
	}
	root, err := structure(c)
	if err != nil {
		return nil, fmt.Errorf("compose message: %w", err)
	}
	w := &writer{buf: make([]byte, 0, root.size()+headerRoom(m, c)), id: m.ID}
	if err := w.fields(m, c); err != nil {
		return nil, fmt.Errorf("compose message: %w", err)
	}
	w.entity(&root)
	if !endsWithCRLF(w.buf) {
		w.crlf()
	}
	return w.buf, nil
}

// composed adds to a mail that its sender composed the Date and Message-ID that it
// lacks (RFC 6409 8.2, 8.3) and its Feedback-ID, in front, and leaves the rest as it is.
func composed(m *email.Message, raw []byte) ([]byte, error) {
	header, _, _ := bytes.Cut(raw, []byte("\r\n\r\n"))
	has := func(name string) bool {
		for line := range bytes.Lines(header) {
			field, _, _ := bytes.Cut(line, []byte(":"))
			if strings.EqualFold(string(bytes.TrimRight(field, " \t")), name) {
				return true
			}
		}
		return false
	}
	w := &writer{buf: make([]byte, 0, len(raw)+256), id: m.ID}
	if !has("Date") {
		if err := w.date(m); err != nil {
			return nil, fmt.Errorf("compose message: %w", err)
		}
	}
	if !has("Message-ID") {
		if err := w.messageID(m.MessageID); err != nil {
			return nil, fmt.Errorf("compose message: %w", err)
		}
	}
	if m.FeedbackID != "" {
		if err := w.unstructured("Feedback-ID", m.FeedbackID); err != nil {
			return nil, fmt.Errorf("compose message: %w", err)
		}
	}
	return append(w.buf, raw...), nil
}

// writer holds the one buffer that a message is written into.
type writer struct {
	buf        []byte
	id         string // the message's, from which boundaries are made
	boundaries int    // made so far
	line       int    // index in buf where the current header line starts
	words      int    // on the current header line
}

// headerRoom estimates the octets of the header section.
func headerRoom(m *email.Message, c *email.Content) int {
	n := 1024 + 3*len(m.Subject) + 64*(len(m.To)+len(m.Cc)+len(m.ReplyTo))
	for _, h := range c.Headers {
		n += 16 + len(h.Name) + len(h.Value)
	}
	return n
}

// fields writes the header fields of the message, but not those of its body.
func (w *writer) fields(m *email.Message, c *email.Content) error {
	if err := w.originator(m); err != nil {
		return err
	}
	if err := w.destination(m); err != nil {
		return err
	}
	if m.Subject != "" {
		if err := w.unstructured("Subject", m.Subject); err != nil {
			return err
		}
	}
	if err := w.messageID(m.MessageID); err != nil {
		return err
	}
	for i := range c.Headers {
		if err := checkRepeated(c.Headers[:i], c.Headers[i].Name); err != nil {
			return fmt.Errorf("header %d: %w", i+1, err)
		}
		if err := w.callerField(c.Headers[i]); err != nil {
			return fmt.Errorf("header %d: %w", i+1, err)
		}
	}
	if m.FeedbackID != "" {
		if err := w.unstructured("Feedback-ID", m.FeedbackID); err != nil {
			return err
		}
	}
	w.field("MIME-Version", "1.0")
	return nil
}

// originator writes who the mail is from and when.
func (w *writer) originator(m *email.Message) error {
	if err := w.date(m); err != nil {
		return err
	}
	if err := w.addresses("From", []email.Address{m.From}); err != nil {
		return err
	}
	if len(m.ReplyTo) == 0 {
		return nil
	}
	return w.addresses("Reply-To", m.ReplyTo)
}

func (w *writer) date(m *email.Message) error {
	date := m.Due().UTC()
	// RFC 5322 3.3: the year has four digits and is 1900 or later.
	if date.Year() < 1900 || date.Year() > 9999 {
		return errors.New("date: no time at which the message is due")
	}
	w.field("Date", date.Format("Mon, 02 Jan 2006 15:04:05 +0000"))
	return nil
}

// destination writes To and Cc. Mail that has only Bcc names the empty group:
// RFC 5322 3.6.3 lets it have no destination field at all, but 3.4 offers the group
// for it, RFC 822 readers want a destination, and filters mark mail without a To.
func (w *writer) destination(m *email.Message) error {
	if len(m.To) == 0 && len(m.Cc) == 0 {
		w.field("To", "undisclosed-recipients:;")
		return nil
	}
	if len(m.To) > 0 {
		if err := w.addresses("To", m.To); err != nil {
			return err
		}
	}
	if len(m.Cc) > 0 {
		return w.addresses("Cc", m.Cc)
	}
	return nil
}

// messageID writes the msg-id, whose brackets are part of it.
func (w *writer) messageID(id string) error {
	inner, opened := strings.CutPrefix(id, "<")
	inner, closed := strings.CutSuffix(inner, ">")
	// RFC 5322 3.6.4: msg-id = "<" id-left "@" id-right ">"
	if !opened || !closed || !isMsgID(inner) || !strings.Contains(inner, "@") {
		return errors.New("message-id: not a msg-id in angle brackets")
	}
	w.field("Message-ID", id)
	return nil
}
