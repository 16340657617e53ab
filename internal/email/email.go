// Package email is the vocabulary of Postrider: what a message, a recipient, an
// envelope, an attempt and an event are, and which states a recipient can be in.
//
// It does no I/O, decides nothing about delivery, and imports nothing of ours, so
// that every other room may speak its words. A [Message] is what a caller sent;
// its recipients are grouped into [Envelope]s, one SMTP transaction each; every
// transaction tried is an [Attempt] with one [Outcome] per recipient; and every
// change of a recipient's state is an [Event].
//
//	id := email.NewMessageID(0)      // msg_01k3... sorts by time
//	shard, err := email.Shard(id)    // the part of the key space it lives in
package email

import (
	"strings"
	"time"
)

// World separates real mail from test mail. Every stored key starts with it.
type World string

// The two worlds.
const (
	Live World = "live"
	Test World = "test"
)

// Livemode reports whether w is the world of real mail.
func (w World) Livemode() bool { return w == Live }

// Address is one mailbox: an addr-spec and an optional display name.
type Address struct {
	// Email is local-part@domain: the local part as the caller wrote it, the
	// domain in lower-case A-label form.
	Email string `json:"email"`
	// Name is the display name in UTF-8, without line breaks. Empty if none.
	Name string `json:"name,omitempty"`
}

// Header is one caller-supplied header field, in the caller's order.
type Header struct {
	Name  string `json:"n"`
	Value string `json:"v"`
}

// Attachment is one attached or, with a ContentID, inline file.
type Attachment struct {
	Filename    string `json:"filename"`
	ContentType string `json:"content_type"`
	ContentID   string `json:"content_id,omitempty"` // without angle brackets
	Content     []byte `json:"content"`
}

// Calendar is a scheduling message (RFC 5546), such as an invitation.
type Calendar struct {
	Method    string // such as REQUEST: that of Content
	Component string // such as VEVENT: what Content has
	Filename  string // attached under this name, too; empty: not
	Content   string // one iCalendar object (RFC 5545), its lines with CRLF
}

// Content is the part of a message that may be secret and is forgotten first.
type Content struct {
	HTML        string       `json:"html,omitempty"`
	Text        string       `json:"text,omitempty"` // as given, or generated from HTML
	Headers     []Header     `json:"headers,omitempty"`
	Attachments []Attachment `json:"attachments,omitempty"`
	Calendar    *Calendar    `json:"calendar,omitempty"` // nil: none
	// Raw is a mail that its sender composed, without Bcc. All else is empty then.
	Raw []byte `json:"raw,omitempty"`
}

// Template names the stored template that a message was made from, and the version.
// The message has its own copy of what that said then.
type Template struct {
	ID      string
	Alias   string // at accept; empty: none
	Version int
}

// Message is a send request once it was accepted. All but the states inside
// Recipients and Envelopes is fixed at accept.
type Message struct {
	ID          string // msg_ + 26 characters
	World       World
	KeyID       string // the API key that sent it
	CreatedAt   time.Time
	ScheduledAt time.Time // zero: at once
	ExpiresAt   time.Time // give up on whatever is not final by then
	From        Address
	To          []Address
	Cc          []Address
	Bcc         []Address
	ReplyTo     []Address
	Subject     string
	Tags        []string
	Metadata    map[string]string
	Stream      string   // "transactional"
	Class       string   // the queue its deliveries wait in, which its stream had at accept; empty: the default one
	MessageID   string   // RFC 5322 msg-id, with angle brackets
	FeedbackID  string   // the mail's Feedback-ID field; empty: none
	SizeBytes   int64    // octets of the composed mail, before signing
	Template    Template // what it was made from; its ID is empty if it was not
	BatchID     string   // the batch that it came in; empty: none
	Supersede   string   // the key under which newer messages replace older ones; empty: none
	DropContent bool     // the content goes when the last recipient is final
	// FirstScheduledAt and FirstExpiresAt are ScheduledAt and ExpiresAt as the 202
	// answer told them.
	FirstScheduledAt, FirstExpiresAt time.Time

	Recipients  []Recipient
	Envelopes   []Envelope
	CompletedAt time.Time // when the last recipient became final; zero before
}

// Due is the time from which delivery may be tried: the later of accept and
// schedule. It is also the mail's Date header.
func (m *Message) Due() time.Time {
	if m.ScheduledAt.After(m.CreatedAt) {
		return m.ScheduledAt
	}
	return m.CreatedAt
}

// DefaultFeedbackSender is the last part of Feedback-ID where nobody chose another.
const DefaultFeedbackSender = "postrider"

// FeedbackOf makes the field by which mailbox providers count complaints per kind of
// mail: tag, stream, domain and sender, in the form that Gmail documents. Nothing in it
// is the message's alone. A colon in a tag would begin another part.
func (m *Message) FeedbackOf(sender string) string {
	tag := ""
	if len(m.Tags) > 0 {
		tag = strings.ReplaceAll(m.Tags[0], ":", ".")
	}
	return strings.Join([]string{tag, m.Stream, m.From.Domain(), sender}, ":")
}

// RecipientType says in which header a recipient stands.
type RecipientType string

// The recipient types.
const (
	To  RecipientType = "to"
	Cc  RecipientType = "cc"
	Bcc RecipientType = "bcc"
)

// Recipient is one mailbox that the message goes to, after de-duplication.
type Recipient struct {
	Address  Address
	Type     RecipientType
	Envelope int // index into Message.Envelopes; -1 if it never gets one (suppressed)
	State    RecipientState
}

// RecipientState is the part of a recipient that changes.
type RecipientState struct {
	Status          Status
	Reason          string // why failed or suppressed; empty otherwise
	Seq             int    // number of events so far, from 1
	Attempts        int    // transactions tried that got a provider slot
	Unknowns        int    // attempts whose outcome is unknown
	CancelRequested bool   // canceled while an attempt was running
	FirstAttemptAt  time.Time
	LastAttemptAt   time.Time
	NextAttemptAt   time.Time
	DeliveredAt     time.Time
	BouncedAt       time.Time
	SuppressionID   string
	AtAccept        Status // the status in the 202 answer
	LastReply       *Reply // the last SMTP reply about this recipient
}

// Envelope is one SMTP transaction's worth of recipients: same destination
// domain, same bytes, same reverse-path. It is fixed at accept.
type Envelope struct {
	Domain      string // destination domain, A-labels, lower case
	ReversePath string // b-<token>@<return-path domain>, never recomputed
	Recipients  []int  // indexes into Message.Recipients
	Sandbox     bool   // the last hop is the sandbox (test key or sandbox address)
	State       EnvelopeState
}

// EnvelopeState is the part of an envelope that changes.
type EnvelopeState struct {
	Phase      Phase
	Fence      int64 // counts Begins; who holds the current number may change state
	Attempts   int   // counts those that got a provider slot
	Generation int   // of the job that is to wake this envelope
	Deaths     int   // attempts in a row that killed their worker
	Worker     string
	BegunAt    time.Time
	NextAt     time.Time // when the next attempt is due, in phase waiting
	Hold       Hold      // why it was put off without an attempt, in phase waiting
	HoldDetail string    // of the hold, for people
	Marked     []int     // recipients whose bytes may have been accepted, once marked
	// Selectors are the DKIM selectors that the first marked attempt signed with
	// (domain/selector); Signed tells an empty list from one not yet chosen.
	Selectors []string
	Signed    bool
}

// Phase says what is happening to an envelope now.
type Phase string

// The phases. Marked is past the point of no return: the final dot may be sent.
// Quarantined is out of the way until somebody frees it, since workers died of it.
const (
	Waiting     Phase = "wait"
	InFlight    Phase = "flight"
	Marked      Phase = "marked"
	Quarantined Phase = "held"
	Done        Phase = "done"
)

// Reply is the last word of a remote server about one recipient.
type Reply struct {
	Code         int       `json:"code"`
	EnhancedCode string    `json:"enhanced_code,omitempty"` // "5.1.1"; empty if none or not of the code's class
	Text         string    `json:"text"`                    // printable, at most 1 KiB
	Stage        string    `json:"stage,omitempty"`
	MXHost       string    `json:"mx_host,omitempty"`
	MXIP         string    `json:"mx_ip,omitempty"`
	TLSVersion   string    `json:"tls_version,omitempty"`
	At           time.Time `json:"at"`
}
