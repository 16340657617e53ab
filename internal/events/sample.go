package events

import (
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"postrider/internal/email"
)

// Sample is a realistic event of a type, for the test call of an endpoint: its id
// and the octets to post. Nothing it names exists. An error if there is no such
// type; WebhookTest is one here.
func Sample(w email.World, t email.EventType, webhook string, now time.Time) (id string, payload []byte, err error) {
	e := email.Event{
		ID: email.NewID(email.EventPrefix), Type: t, At: now, Previous: email.Queued, Seq: 2, Attempts: 1,
	}
	if t == WebhookTest {
		d, err := Encode(map[string]any{"webhook": map[string]string{"id": webhook}})
		if err != nil {
			return "", nil, err
		}
		payload, err = Encode(body{e.ID, t, Stamp(now), w.Livemode(), json.RawMessage(d)})
		return e.ID, payload, err
	}
	if !slices.Contains(Types(), t) {
		return "", nil, fmt.Errorf("make a sample event: no type %q", t)
	}
	if t == email.SuppressionCreated || t == email.SuppressionDeleted {
		payload, err = SuppressionBody(sampleSuppression(w, e))
		return e.ID, payload, err
	}
	m := sampleMessage(w, now)
	for _, s := range email.RecipientStatuses() {
		if email.TypeFor(s) == t {
			e.Status = s
		}
	}
	sampleDetails(&e, now)
	payload, err = Body(m, e)
	return e.ID, payload, err
}

func sampleSuppression(w email.World, e email.Event) *email.SuppressionEvent {
	return &email.SuppressionEvent{ID: e.ID, Type: e.Type, At: e.At, Suppression: email.Suppression{
		ID: email.NewID(email.SuppressionPrefix), World: w, Email: "gone@example.org", Reason: email.SuppressedHardBounce,
		SourceMessage: email.NewMessageID(0), SourceEvent: email.NewID(email.EventPrefix), CreatedAt: e.At,
	}}
}

func sampleMessage(w email.World, now time.Time) *email.Message {
	m := &email.Message{
		ID: email.NewMessageID(0), World: w, CreatedAt: now.Add(-2 * time.Second), ExpiresAt: now.Add(72 * time.Hour),
		From: email.Address{Email: "hi@acme.example", Name: "Acme"}, Subject: "A sample from your webhook test",
		Tags: []string{"sample"}, Metadata: map[string]string{"sample": "true"}, Stream: "transactional",
		Recipients: []email.Recipient{{Address: email.Address{Email: "ada@example.org"}, Type: email.To}},
	}
	m.MessageID = "<" + m.ID + "@acme.example>"
	return m
}

// sampleDetails fills in what events of the status have.
func sampleDetails(e *email.Event, now time.Time) {
	reply := func(code int, enhanced, text string) *email.Reply {
		return &email.Reply{Code: code, EnhancedCode: enhanced, Text: text, MXHost: "mx1.example.org", TLSVersion: "TLS1.3", At: now}
	}
	switch e.Status {
	case email.Queued, email.Scheduled, email.Suppressed:
		e.Previous, e.Seq, e.Attempts = "", 1, 0 // as at accept
		if e.Status == email.Suppressed {
			e.Reason = "hard_bounce"
		}
	case email.Canceled:
		e.Attempts = 0
	case email.Deferred:
		e.Category, e.NextAt, e.Reply = "greylisted", now.Add(time.Minute), reply(451, "4.7.1", "greylisted, try again later")
	case email.Delivered:
		e.Reply = reply(250, "2.0.0", "queued as 4F2A1C")
	case email.Bounced:
		e.Category, e.Bounce, e.Source, e.Reply = "invalid_recipient", "hard", "smtp", reply(550, "5.1.1", "user unknown")
	case email.Failed:
		e.Reason, e.Detail = email.ReasonExpired, "not delivered before it expired"
	}
}
