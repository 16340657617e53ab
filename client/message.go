package client

import (
	"encoding/json"
	"time"
)

// Status is where a recipient is, or a message with all its recipients.
type Status string

// The states of a recipient. A message whose recipients share one has that.
const (
	Scheduled  Status = "scheduled"  // waits for its time
	Queued     Status = "queued"     // no attempt has ended yet
	Deferred   Status = "deferred"   // failed for now, will be tried again
	Delivered  Status = "delivered"  // the recipient's server took it over
	Bounced    Status = "bounced"    // the recipient's server refused it for good
	Failed     Status = "failed"     // Postrider gave up
	Suppressed Status = "suppressed" // never tried
	Canceled   Status = "canceled"
)

// States of a message whose recipients differ.
const (
	Processing         Status = "processing"          // some are not final
	PartiallyDelivered Status = "partially_delivered" // all are final, some delivered
)

// Final reports whether nothing more will be tried.
func (s Status) Final() bool {
	switch s {
	case Delivered, Bounced, Failed, Suppressed, Canceled, PartiallyDelivered:
		return true
	}
	return false
}

// Address is a mailbox.
type Address struct {
	Email string `json:"email"`
	Name  string `json:"name"`
}

// Message is a message as it stands.
type Message struct {
	ID          string            `json:"id"`
	MessageID   string            `json:"message_id"` // of the mail, with angle brackets
	Status      Status            `json:"status"`
	Livemode    bool              `json:"livemode"`
	CreatedAt   time.Time         `json:"created_at"`
	ScheduledAt time.Time         `json:"scheduled_at"`
	ExpiresAt   time.Time         `json:"expires_at"`
	CompletedAt time.Time         `json:"completed_at"` // when the last recipient became final
	BatchID     string            `json:"batch_id"`
	From        Address           `json:"from"`
	To          []Address         `json:"to"`
	Cc          []Address         `json:"cc"`
	Bcc         []Address         `json:"bcc"`
	ReplyTo     []Address         `json:"reply_to"`
	Subject     string            `json:"subject"`
	Tags        []string          `json:"tags"`
	Metadata    map[string]string `json:"metadata"`
	Stream      string            `json:"stream"`
	Template    *MessageTemplate  `json:"template"` // nil: none
	SizeBytes   int64             `json:"size_bytes"`
	Counts      map[Status]int    `json:"recipient_counts"`
	Recipients  []Recipient       `json:"recipients"`

	Raw json.RawMessage `json:"-"` // the answer as it came
}

// Recipient is a recipient of a message as it stands.
type Recipient struct {
	Email         string      `json:"email"`
	Name          string      `json:"name"`
	Type          string      `json:"type"` // to, cc or bcc
	Status        Status      `json:"status"`
	Reason        string      `json:"reason"` // why it failed, is suppressed or was canceled
	SuppressionID string      `json:"suppression_id"`
	Seq           int         `json:"seq"` // of its last event
	Attempts      int         `json:"attempts"`
	NextAttemptAt time.Time   `json:"next_attempt_at"`
	LastAttemptAt time.Time   `json:"last_attempt_at"`
	DeliveredAt   time.Time   `json:"delivered_at"`
	BouncedAt     time.Time   `json:"bounced_at"`
	LastResponse  *Reply      `json:"last_response"` // nil: no server has answered yet
	WaitingFor    *WaitingFor `json:"waiting_for"`   // nil: it is final, or an attempt runs
}

// WaitingFor is why nothing is being done about a recipient now.
type WaitingFor struct {
	Reason string    `json:"reason"` // such as schedule, retry, breaker
	Detail string    `json:"detail"`
	Until  time.Time `json:"until"` // zero: any moment
}

// Reply is what a mail server said.
type Reply struct {
	Code         int       `json:"code"`          // such as 550
	EnhancedCode string    `json:"enhanced_code"` // such as 5.1.1
	Text         string    `json:"text"`
	MXHost       string    `json:"mx_host"`
	MXIP         string    `json:"mx_ip"`
	TLSVersion   string    `json:"tls_version"`
	At           time.Time `json:"at"`
}

// Attempt is one SMTP transaction tried, for the recipients of one domain.
type Attempt struct {
	ID         string    `json:"id"`
	MessageID  string    `json:"message_id"` // msg_...
	Number     int       `json:"number"`
	Domain     string    `json:"domain"`
	StartedAt  time.Time `json:"started_at"`
	EndedAt    time.Time `json:"ended_at"`
	Host       string    `json:"host"`
	Address    string    `json:"address"`
	Error      string    `json:"error"` // what ended it early
	Outcomes   []Outcome `json:"outcomes"`
	Transcript []Line    `json:"transcript"`

	Raw json.RawMessage `json:"-"` // the answer as it came
}

// Outcome is how an attempt ended for one recipient.
type Outcome struct {
	Email         string    `json:"email"`
	Outcome       string    `json:"outcome"` // a Status, or unknown
	Reason        string    `json:"reason"`
	Detail        string    `json:"detail"`
	Category      string    `json:"category"`
	BounceType    string    `json:"bounce_type"`
	NextAttemptAt time.Time `json:"next_attempt_at"`
	Response      *Reply    `json:"response"`
}

// Line is a line of an SMTP dialogue.
type Line struct {
	At   time.Time `json:"at"`
	From string    `json:"from"` // client, server, or note
	Text string    `json:"text"`
}
