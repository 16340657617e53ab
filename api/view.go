package api

import (
	"strings"
	"time"

	"postrider/internal/email"
	"postrider/internal/events"
	"postrider/internal/sandbox"
)

// address is a mailbox on the wire: always the object form.
type address struct {
	Email string `json:"email"`
	Name  text   `json:"name"`
}

func viewAddress(a email.Address) address { return address{a.Email, text(a.Name)} }

// viewAddresses is never nil: an empty list is [], not null.
func viewAddresses(list []email.Address) []address {
	out := make([]address, len(list))
	for i, a := range list {
		out[i] = viewAddress(a)
	}
	return out
}

// messageHead is what the answer to a send and every later view have in common.
type messageHead struct {
	Object      string       `json:"object"`
	ID          string       `json:"id"`
	Livemode    bool         `json:"livemode"`
	Status      email.Status `json:"status"`
	CreatedAt   stamp        `json:"created_at"`
	ScheduledAt stamp        `json:"scheduled_at"`
	ExpiresAt   stamp        `json:"expires_at"`
	MessageID   string       `json:"message_id"`
	BatchID     text         `json:"batch_id"`
}

func viewHead(m *email.Message) messageHead {
	return messageHead{
		Object: "message", ID: m.ID, Livemode: m.World.Livemode(), Status: m.Status(),
		CreatedAt: stamp(m.CreatedAt), ScheduledAt: stamp(m.ScheduledAt), ExpiresAt: stamp(m.ExpiresAt),
		MessageID: m.MessageID, BatchID: text(m.BatchID),
	}
}

// acceptedView is the answer to a send (api.md 3.2).
type acceptedView struct {
	messageHead
	Recipients []acceptedRecipient `json:"recipients"`
}

type acceptedRecipient struct {
	Email         string              `json:"email"`
	Type          email.RecipientType `json:"type"`
	Status        email.Status        `json:"status"`
	Reason        text                `json:"reason"`
	SuppressionID text                `json:"suppression_id"`
}

// viewAccepted shows a message as it was at accept: a replay must not drift from the
// first answer, whatever happened since.
func viewAccepted(m *email.Message) acceptedView {
	then := *m
	then.ScheduledAt, then.ExpiresAt = m.FirstScheduledAt, m.FirstExpiresAt
	then.Recipients = make([]email.Recipient, len(m.Recipients))
	recipients := make([]acceptedRecipient, len(m.Recipients))
	for i, r := range m.Recipients {
		then.Recipients[i] = email.Recipient{State: email.RecipientState{Status: r.State.AtAccept}}
		recipients[i] = acceptedRecipient{Email: r.Address.Email, Type: r.Type, Status: r.State.AtAccept}
		if r.State.AtAccept == email.Suppressed {
			recipients[i].Reason, recipients[i].SuppressionID = text(r.State.Reason), text(r.State.SuppressionID)
		}
	}
	return acceptedView{viewHead(&then), recipients}
}

// messageView is a message as it stands now (api.md 4).
type messageView struct {
	messageHead
	From            address              `json:"from"`
	To              []address            `json:"to"`
	Cc              []address            `json:"cc"`
	Bcc             []address            `json:"bcc"`
	ReplyTo         []address            `json:"reply_to"`
	Subject         string               `json:"subject"`
	Tags            []string             `json:"tags"`
	Metadata        map[string]string    `json:"metadata"`
	Template        *events.Template     `json:"template"`
	Stream          string               `json:"stream"`
	SizeBytes       int64                `json:"size_bytes"`
	RecipientCounts map[email.Status]int `json:"recipient_counts"`
	CompletedAt     stamp                `json:"completed_at"`
	Recipients      []recipientView      `json:"recipients"`
}

// recipientView is one recipient as it stands now. What cannot happen yet is null.
type recipientView struct {
	Email          string              `json:"email"`
	Name           text                `json:"name"`
	Type           email.RecipientType `json:"type"`
	Status         email.Status        `json:"status"`
	Reason         text                `json:"reason"`
	SuppressionID  text                `json:"suppression_id"`
	Seq            int                 `json:"seq"`
	Attempts       int                 `json:"attempts"`
	FirstAttemptAt stamp               `json:"first_attempt_at"`
	LastAttemptAt  stamp               `json:"last_attempt_at"`
	NextAttemptAt  stamp               `json:"next_attempt_at"`
	DeliveredAt    stamp               `json:"delivered_at"`
	BouncedAt      stamp               `json:"bounced_at"`
	ComplainedAt   stamp               `json:"complained_at"`
	UnsubscribedAt stamp               `json:"unsubscribed_at"`
	OpenedAt       stamp               `json:"opened_at"`
	ClickedAt      stamp               `json:"clicked_at"`
	LastResponse   *replyView          `json:"last_response"`
	WaitingFor     *waitingView        `json:"waiting_for"`
}

// waitingView is why a recipient waits; until is null if it may be tried at any moment.
type waitingView struct {
	Reason email.Hold `json:"reason"`
	Detail text       `json:"detail"`
	Until  stamp      `json:"until"`
}

func viewWaiting(w *email.WaitingFor) *waitingView {
	if w == nil {
		return nil
	}
	return &waitingView{w.Reason, text(w.Detail), stamp(w.Until)}
}

// replyView is the last word of a remote server.
type replyView struct {
	Code         int    `json:"code"`
	EnhancedCode text   `json:"enhanced_code"`
	Text         string `json:"text"`
	MXHost       text   `json:"mx_host"`
	MXIP         text   `json:"mx_ip"`
	TLSVersion   text   `json:"tls_version"`
	At           stamp  `json:"at"`
}

func viewReply(r *email.Reply) *replyView {
	if r == nil {
		return nil
	}
	return &replyView{
		Code: r.Code, EnhancedCode: text(r.EnhancedCode), Text: r.Text,
		MXHost: text(r.MXHost), MXIP: text(r.MXIP), TLSVersion: text(r.TLSVersion), At: stamp(r.At),
	}
}

func viewMessage(m *email.Message, now time.Time) messageView {
	v := messageView{
		messageHead: viewHead(m),
		From:        viewAddress(m.From), To: viewAddresses(m.To), Cc: viewAddresses(m.Cc),
		Bcc: viewAddresses(m.Bcc), ReplyTo: viewAddresses(m.ReplyTo),
		Subject: m.Subject, Template: events.ShowTemplate(m.Template), Tags: viewTags(m), Metadata: viewMetadata(m), Stream: m.Stream, SizeBytes: m.SizeBytes,
		RecipientCounts: m.Counts(), CompletedAt: stamp(m.CompletedAt),
		Recipients: make([]recipientView, len(m.Recipients)),
	}
	for i, r := range m.Recipients {
		s := r.State
		v.Recipients[i] = recipientView{
			Email: r.Address.Email, Name: text(r.Address.Name), Type: r.Type,
			Status: s.Status, Reason: text(s.Reason), SuppressionID: text(s.SuppressionID),
			Seq: s.Seq, Attempts: s.Attempts,
			FirstAttemptAt: stamp(s.FirstAttemptAt), LastAttemptAt: stamp(s.LastAttemptAt),
			NextAttemptAt: stamp(s.NextAttemptAt), DeliveredAt: stamp(s.DeliveredAt), BouncedAt: stamp(s.BouncedAt),
			LastResponse: viewReply(s.LastReply), WaitingFor: viewWaiting(m.WaitingFor(i, now)),
		}
	}
	return v
}

func viewTags(m *email.Message) []string { return append([]string{}, m.Tags...) }

func viewMetadata(m *email.Message) map[string]string {
	if m.Metadata == nil {
		return map[string]string{}
	}
	return m.Metadata
}

// contentView is what include=content adds.
type contentView struct {
	messageView
	HTML        text             `json:"html"`
	Text        text             `json:"text"`
	Headers     fields           `json:"headers"`
	Attachments []attachmentView `json:"attachments"`
	Calendar    *calendarView    `json:"calendar"`
}

// calendarView is a scheduling message in a mail.
type calendarView struct {
	Method   string `json:"method"`
	Filename text   `json:"filename"`
	Content  string `json:"content"`
}

type attachmentView struct {
	Filename    string `json:"filename"`
	ContentType string `json:"content_type"`
	ContentID   text   `json:"content_id"`
	SizeBytes   int    `json:"size_bytes"`
}

func viewWithContent(m *email.Message, c *email.Content, now time.Time) contentView {
	if len(c.Raw) > 0 {
		c = takenApart(c.Raw)
	}
	v := contentView{
		messageView: viewMessage(m, now), HTML: text(c.HTML), Text: text(c.Text), Headers: fields(c.Headers),
		Attachments: make([]attachmentView, len(c.Attachments)),
	}
	for i, a := range c.Attachments {
		v.Attachments[i] = attachmentView{a.Filename, a.ContentType, text(a.ContentID), len(a.Content)}
	}
	if k := c.Calendar; k != nil {
		v.Calendar = &calendarView{k.Method, text(k.Filename), k.Content}
	}
	return v
}

// takenApart is the content of a mail that its sender composed: its first text and HTML
// and its other parts, and of the fields that it has more than once the first.
func takenApart(raw []byte) *email.Content {
	parsed := (&sandbox.Mail{Data: raw}).Parse()
	c := &email.Content{HTML: parsed.HTML, Text: parsed.Text}
	if parsed.Calendar != "" {
		c.Calendar = &email.Calendar{Method: parsed.CalendarMethod, Content: parsed.Calendar}
	}
	seen := make(map[string]bool)
	for _, f := range parsed.Fields {
		name := strings.ToLower(f.Name)
		if seen[name] || shownElsewhere(name) {
			continue
		}
		seen[name] = true
		c.Headers = append(c.Headers, email.Header{Name: f.Name, Value: f.Value})
	}
	for _, f := range parsed.Files {
		c.Attachments = append(c.Attachments, email.Attachment{Filename: f.Name, ContentType: f.ContentType, ContentID: f.ContentID, Content: f.Content})
	}
	return c
}

// shownElsewhere tells the header fields, in lower case, that members of their own show.
func shownElsewhere(name string) bool {
	switch name {
	case "from", "to", "cc", "reply-to", "subject", "message-id", "mime-version":
		return true
	}
	return strings.HasPrefix(name, "content-")
}
