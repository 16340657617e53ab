package client

import (
	"encoding/json"
	"time"
)

// The types of events. There will be others: ignore those you do not know.
const (
	MessageScheduled   = "message.scheduled"
	MessageQueued      = "message.queued"
	MessageDeferred    = "message.deferred"
	MessageDelivered   = "message.delivered"
	MessageBounced     = "message.bounced"
	MessageFailed      = "message.failed"
	MessageSuppressed  = "message.suppressed"
	MessageCanceled    = "message.canceled"
	SuppressionCreated = "suppression.created"
	SuppressionDeleted = "suppression.deleted"
	WebhookTest        = "webhook.test"
)

// Event is something that happened: with message.*, to one recipient of one
// message. It is the same in lists and in webhooks.
type Event struct {
	ID        string    `json:"id"` // the same whenever it comes again
	Type      string    `json:"type"`
	Timestamp time.Time `json:"timestamp"`
	Livemode  bool      `json:"livemode"`
	Data      EventData `json:"data"`

	Raw json.RawMessage `json:"-"` // the event as it came
}

// EventData is what an event is about. Message and Recipient are zero unless it is
// a message.* event; the pointers are nil where they do not belong to its type.
type EventData struct {
	Message     EventMessage   `json:"message"`
	Recipient   EventRecipient `json:"recipient"`
	SMTP        *Reply         `json:"smtp"`        // what a mail server said, if one did
	Deferral    *Deferral      `json:"deferral"`    // of message.deferred
	Bounce      *Bounce        `json:"bounce"`      // of message.bounced
	Failure     *Failure       `json:"failure"`     // of message.failed
	Suppression *Suppression   `json:"suppression"` // of message.suppressed (ID and Reason only) and suppression.*
}

// EventMessage is the message of an event.
type EventMessage struct {
	ID        string            `json:"id"`
	MessageID string            `json:"message_id"` // of the mail, with angle brackets
	CreatedAt time.Time         `json:"created_at"`
	From      Address           `json:"from"`
	Subject   string            `json:"subject"`
	Tags      []string          `json:"tags"`
	Metadata  map[string]string `json:"metadata"`
	Template  *MessageTemplate  `json:"template"` // nil: none
	Stream    string            `json:"stream"`
	BatchID   string            `json:"batch_id"`
}

// EventRecipient is the recipient of an event.
type EventRecipient struct {
	Email          string `json:"email"`
	Type           string `json:"type"` // to, cc or bcc
	Status         Status `json:"status"`
	PreviousStatus Status `json:"previous_status"`

	// Seq counts the events of this recipient of this message from 1. Events can
	// overtake each other: apply one only if its Seq is greater than what you have.
	Seq      int `json:"seq"`
	Attempts int `json:"attempts"`
}

// Deferral is why and until when a recipient waits.
type Deferral struct {
	Category      string    `json:"category"` // such as greylisted
	NextAttemptAt time.Time `json:"next_attempt_at"`
	ExpiresAt     time.Time `json:"expires_at"`
}

// Bounce is how a recipient's server refused.
type Bounce struct {
	Type          string `json:"type"`     // hard, soft, block or undetermined
	Category      string `json:"category"` // such as invalid_recipient
	Source        string `json:"source"`   // smtp, or dsn for a report that came later
	SuppressionID string `json:"suppression_id"`
}

// Failure is why Postrider gave up.
type Failure struct {
	Reason string `json:"reason"` // such as expired, no_route
	Detail string `json:"detail"`
}

// Suppression is an address that mail must not go to.
type Suppression struct {
	ID        string    `json:"id"`
	Email     string    `json:"email"`
	Reason    string    `json:"reason"` // hard_bounce, complaint, unsubscribe or manual
	Domain    string    `json:"domain"` // of the sender; empty: any
	Stream    string    `json:"stream"` // empty: any
	Note      string    `json:"note"`
	ExpiresAt time.Time `json:"expires_at"`
	CreatedAt time.Time `json:"created_at"`

	SourceMessageID string `json:"source_message_id"` // the message that it came from
	SourceEventID   string `json:"source_event_id"`

	Raw json.RawMessage `json:"-"` // the answer as it came
}
