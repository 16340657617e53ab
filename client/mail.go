package client

import (
	"encoding/json"
	"strings"
	"time"
)

// Mail is what to send. All of To and Cc see each other; for separate mails use
// SendBatch.
//
// Addresses are written "ada@example.org" or "Ada <ada@example.org>"; [Named]
// writes one with a name from elsewhere, whatever is in it.
type Mail struct {
	From    string
	To      []string
	Cc      []string
	Bcc     []string
	ReplyTo []string
	Subject string

	Text   string // empty: made from HTML
	HTML   string
	NoText bool // no text part is made from HTML

	// Template makes Text and HTML, which are empty then; nil: none.
	Template *FromTemplate

	Attachments []Attachment
	Calendar    *Calendar         // an invitation, or what follows one; nil: none
	Headers     map[string]string // further header fields, such as In-Reply-To
	Tags        []string          // for filters and statistics
	Metadata    map[string]string // comes back in events, never in the mail

	// UnsubscribeURL makes one-click unsubscription (RFC 8058): an https URL of yours
	// that takes a POST. Empty: none.
	UnsubscribeURL string

	ScheduledAt   time.Time     // zero: now
	TTL           time.Duration // give up after this; zero: 3 days
	Stream        string        // such as "critical"; empty: "transactional"
	Supersede     string        // cancels older mail with the same key
	ForgetContent bool          // do not keep the content once all is final

	// IdempotencyKey tells that this is the mail that was, perhaps, sent before
	// under the same key. Empty is a new one.
	IdempotencyKey string
}

// Attachment is a file. With a ContentID it is inline: <img src="cid:...">.
type Attachment struct {
	Filename    string `json:"filename"`
	Content     []byte `json:"content"`
	ContentType string `json:"content_type,omitempty"` // empty: from Filename
	ContentID   string `json:"content_id,omitempty"`
}

// Calendar is a scheduling message, which mail programs show as an invitation.
type Calendar struct {
	// Content is an iCalendar object (RFC 5545) with its METHOD, such as REQUEST.
	Content string `json:"content"`
	// Filename attaches it, too, for programs that take up files only: "invite.ics".
	Filename string `json:"filename,omitempty"`
}

// unsubscribe is how a recipient gets off the list, on the wire.
type unsubscribe struct {
	URL string `json:"url"`
}

// Named writes an address with a display name. The name is quoted: commas,
// brackets and quotes in it are part of it (RFC 5322 3.2.4).
func Named(name, address string) string {
	quoted := strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(name)
	return `"` + quoted + `" <` + address + `>`
}

// mailBody is a Mail on the wire.
type mailBody struct {
	From           string            `json:"from,omitempty"`
	To             []string          `json:"to,omitempty"`
	Cc             []string          `json:"cc,omitempty"`
	Bcc            []string          `json:"bcc,omitempty"`
	ReplyTo        []string          `json:"reply_to,omitempty"`
	Subject        string            `json:"subject,omitempty"`
	Text           *string           `json:"text,omitempty"`
	HTML           string            `json:"html,omitempty"`
	Template       *FromTemplate     `json:"template,omitempty"`
	Attachments    []Attachment      `json:"attachments,omitempty"`
	Calendar       *Calendar         `json:"calendar,omitempty"`
	Headers        map[string]string `json:"headers,omitempty"`
	Unsubscribe    *unsubscribe      `json:"unsubscribe,omitempty"`
	Tags           []string          `json:"tags,omitempty"`
	Metadata       map[string]string `json:"metadata,omitempty"`
	ScheduledAt    *time.Time        `json:"scheduled_at,omitempty"`
	TTLSeconds     int64             `json:"ttl_seconds,omitempty"`
	Stream         string            `json:"stream,omitempty"`
	Supersede      string            `json:"supersede,omitempty"`
	StoreContent   *bool             `json:"store_content,omitempty"`
	IdempotencyKey string            `json:"idempotency_key,omitempty"` // in a batch only
}

// body is the mail on the wire, without its key: that is a header field if it is
// sent alone.
func (m *Mail) body() mailBody {
	b := mailBody{
		From: m.From, To: m.To, Cc: m.Cc, Bcc: m.Bcc, ReplyTo: m.ReplyTo, Subject: m.Subject, HTML: m.HTML, Template: m.Template,
		Attachments: m.Attachments, Calendar: m.Calendar, Headers: m.Headers, Tags: m.Tags, Metadata: m.Metadata,
		Stream: m.Stream, Supersede: m.Supersede,
		// Rounded up: less than a second must not become the default.
		TTLSeconds: int64((m.TTL + time.Second - 1) / time.Second),
	}
	if m.Text != "" || m.NoText {
		b.Text = &m.Text
	}
	if !m.ScheduledAt.IsZero() {
		b.ScheduledAt = &m.ScheduledAt
	}
	if m.UnsubscribeURL != "" {
		b.Unsubscribe = &unsubscribe{m.UnsubscribeURL}
	}
	if m.ForgetContent {
		b.StoreContent = new(bool)
	}
	return b
}

// Accepted is a message that the server has taken over.
type Accepted struct {
	ID          string              `json:"id"`         // msg_...
	MessageID   string              `json:"message_id"` // of the mail, with angle brackets
	Status      Status              `json:"status"`
	Livemode    bool                `json:"livemode"` // false: a test key, no mail leaves
	CreatedAt   time.Time           `json:"created_at"`
	ScheduledAt time.Time           `json:"scheduled_at"`
	ExpiresAt   time.Time           `json:"expires_at"`
	BatchID     string              `json:"batch_id"`
	Recipients  []AcceptedRecipient `json:"recipients"`

	Replayed bool            `json:"-"` // accepted before, under the same IdempotencyKey
	Raw      json.RawMessage `json:"-"` // the answer as it came
}

// AcceptedRecipient is a recipient of a message just taken over. If mail must not
// go to it, its Status is Suppressed and Reason says why.
type AcceptedRecipient struct {
	Email         string `json:"email"`
	Type          string `json:"type"` // to, cc or bcc
	Status        Status `json:"status"`
	Reason        string `json:"reason"`
	SuppressionID string `json:"suppression_id"`
}
