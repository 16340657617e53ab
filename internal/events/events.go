// Package events says how an event is told to the outside: its payload as JSON, the
// same octets for webhooks and for the HTTP API, and which events an endpoint asked
// for.
//
// It does not record events (package store does, in the script that makes the
// change) and sends nothing (package webhook). The JSON is such that a JavaScript
// program that parses it and writes it again gets the same octets (json.go).
//
//	body, err := events.Body(msg, event)       // what a webhook posts
//	data, err := events.Data(msg, event)       // its "data", as the API shows it
//	if events.Match(hook.Events, event.Type) { ... }
package events

import (
	"encoding/json"
	"fmt"

	"postrider/internal/email"
)

// body is what a webhook posts (api.md 12.1).
type body struct {
	ID        string          `json:"id"`
	Type      email.EventType `json:"type"`
	Timestamp Stamp           `json:"timestamp"`
	Livemode  bool            `json:"livemode"`
	Data      json.RawMessage `json:"data"`
}

// Body is an event as a webhook posts it. m is its message; an error means that
// the event does not belong to it.
func Body(m *email.Message, e email.Event) ([]byte, error) {
	d, err := Data(m, e)
	if err != nil {
		return nil, err
	}
	return Encode(body{e.ID, e.Type, Stamp(e.At), m.World.Livemode(), d})
}

// data is what happened to one recipient.
type data struct {
	Message   message   `json:"message"`
	Recipient recipient `json:"recipient"`
	SMTP      *smtp     `json:"smtp"`

	Deferral    *deferral    `json:"deferral,omitempty"`
	Bounce      *bounce      `json:"bounce,omitempty"`
	Failure     *failure     `json:"failure,omitempty"`
	Suppression *suppression `json:"suppression,omitempty"`
}

type message struct {
	ID        string    `json:"id"`
	MessageID string    `json:"message_id"`
	CreatedAt Stamp     `json:"created_at"`
	From      mailbox   `json:"from"`
	Subject   string    `json:"subject"`
	Tags      []string  `json:"tags"`
	Metadata  object    `json:"metadata"`
	Template  *Template `json:"template"`
	Stream    string    `json:"stream"`
	BatchID   Text      `json:"batch_id"`
}

// Template is the stored template that a message was made from, on the wire.
type Template struct {
	ID      string `json:"id"`
	Alias   Text   `json:"alias"`
	Version int    `json:"version"`
}

// ShowTemplate is how a message's template is shown; null if it has none.
func ShowTemplate(t email.Template) *Template {
	if t.ID == "" {
		return nil
	}
	return &Template{ID: t.ID, Alias: Text(t.Alias), Version: t.Version}
}

type mailbox struct {
	Email string `json:"email"`
	Name  Text   `json:"name"`
}

type recipient struct {
	Email          string              `json:"email"`
	Type           email.RecipientType `json:"type"`
	Status         email.Status        `json:"status"`
	PreviousStatus Text                `json:"previous_status"`
	Seq            int                 `json:"seq"`
	Attempts       int                 `json:"attempts"`
}

type smtp struct {
	Code         int    `json:"code"`
	EnhancedCode Text   `json:"enhanced_code"`
	Text         string `json:"text"`
	MXHost       Text   `json:"mx_host"`
	TLSVersion   Text   `json:"tls_version"`
}

type deferral struct {
	Category      Text  `json:"category"`
	NextAttemptAt Stamp `json:"next_attempt_at"`
	ExpiresAt     Stamp `json:"expires_at"`
}

type bounce struct {
	Type          Text `json:"type"`
	Category      Text `json:"category"`
	Source        Text `json:"source"`
	SuppressionID Text `json:"suppression_id"`
}

type failure struct {
	Reason Text `json:"reason"`
	Detail Text `json:"detail"`
}

type suppression struct {
	ID     Text `json:"id"`
	Reason Text `json:"reason"`
}

// Data is the member "data" of an event, wherever it is shown.
func Data(m *email.Message, e email.Event) (json.RawMessage, error) {
	if e.Recipient < 0 || e.Recipient >= len(m.Recipients) {
		return nil, fmt.Errorf("show event %s: message %s has no recipient %d", e.ID, m.ID, e.Recipient)
	}
	r := m.Recipients[e.Recipient]
	d := data{
		Message: message{
			ID: m.ID, MessageID: m.MessageID, CreatedAt: Stamp(m.CreatedAt), From: mailbox{m.From.Email, Text(m.From.Name)},
			Subject: m.Subject, Tags: append([]string{}, m.Tags...), Metadata: object(m.Metadata), Template: ShowTemplate(m.Template), Stream: m.Stream, BatchID: Text(m.BatchID),
		},
		Recipient: recipient{
			Email: r.Address.Email, Type: r.Type, Status: e.Status, PreviousStatus: Text(e.Previous),
			Seq: e.Seq, Attempts: e.Attempts,
		},
	}
	if s := e.Reply; s != nil {
		d.SMTP = &smtp{s.Code, Text(s.EnhancedCode), s.Text, Text(s.MXHost), Text(s.TLSVersion)}
	}
	switch e.Status {
	case email.Deferred:
		d.Deferral = &deferral{Text(e.Category), Stamp(e.NextAt), Stamp(m.ExpiresAt)}
	case email.Bounced:
		d.Bounce = &bounce{Text(e.Bounce), Text(e.Category), Text(e.Source), Text(r.State.SuppressionID)}
	case email.Failed:
		d.Failure = &failure{Text(e.Reason), Text(e.Detail)}
	case email.Suppressed:
		d.Suppression = &suppression{Text(r.State.SuppressionID), Text(e.Reason)}
	}
	return Encode(d)
}
