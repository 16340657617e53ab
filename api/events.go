package api

import (
	"postrider/internal/email"
)

// eventView is one change of one recipient (api.md 12.1).
type eventView struct {
	Object    string          `json:"object"`
	ID        string          `json:"id"`
	Type      email.EventType `json:"type"`
	CreatedAt stamp           `json:"created_at"`
	Timestamp stamp           `json:"timestamp"`
	Livemode  bool            `json:"livemode"`
	Data      eventData       `json:"data"`
}

type eventData struct {
	Message   eventMessage   `json:"message"`
	Recipient eventRecipient `json:"recipient"`
	SMTP      *smtpView      `json:"smtp"`

	Deferral    *deferralView    `json:"deferral,omitempty"`
	Bounce      *bounceView      `json:"bounce,omitempty"`
	Failure     *failureView     `json:"failure,omitempty"`
	Suppression *suppressionView `json:"suppression,omitempty"`
}

type eventMessage struct {
	ID        string            `json:"id"`
	MessageID string            `json:"message_id"`
	CreatedAt stamp             `json:"created_at"`
	From      address           `json:"from"`
	Subject   string            `json:"subject"`
	Tags      []string          `json:"tags"`
	Metadata  map[string]string `json:"metadata"`
	Template  *struct{}         `json:"template"` // null until messages can have one
	Stream    string            `json:"stream"`
	BatchID   text              `json:"batch_id"`
}

type eventRecipient struct {
	Email          string              `json:"email"`
	Type           email.RecipientType `json:"type"`
	Status         email.Status        `json:"status"`
	PreviousStatus text                `json:"previous_status"`
	Seq            int                 `json:"seq"`
	Attempts       int                 `json:"attempts"`
}

type smtpView struct {
	Code         int    `json:"code"`
	EnhancedCode text   `json:"enhanced_code"`
	Text         string `json:"text"`
	MXHost       text   `json:"mx_host"`
	TLSVersion   text   `json:"tls_version"`
}

type deferralView struct {
	Category      text  `json:"category"`
	NextAttemptAt stamp `json:"next_attempt_at"`
	ExpiresAt     stamp `json:"expires_at"`
}

type bounceView struct {
	Type          text `json:"type"`
	Category      text `json:"category"`
	Source        text `json:"source"`
	SuppressionID text `json:"suppression_id"`
}

type failureView struct {
	Reason text `json:"reason"`
	Detail text `json:"detail"`
}

type suppressionView struct {
	ID     text `json:"id"`
	Reason text `json:"reason"`
}

func viewEvent(m *email.Message, e email.Event) eventView {
	r := m.Recipients[e.Recipient]
	v := eventView{
		Object: "event", ID: e.ID, Type: e.Type, CreatedAt: stamp(e.At), Timestamp: stamp(e.At), Livemode: m.World.Livemode(),
		Data: eventData{
			Message: eventMessage{
				ID: m.ID, MessageID: m.MessageID, CreatedAt: stamp(m.CreatedAt), From: viewAddress(m.From),
				Subject: m.Subject, Tags: viewTags(m), Metadata: viewMetadata(m), Stream: m.Stream,
			},
			Recipient: eventRecipient{
				Email: r.Address.Email, Type: r.Type, Status: e.Status, PreviousStatus: text(e.Previous),
				Seq: e.Seq, Attempts: e.Attempts,
			},
		},
	}
	if s := e.Reply; s != nil {
		v.Data.SMTP = &smtpView{s.Code, text(s.EnhancedCode), s.Text, text(s.MXHost), text(s.TLSVersion)}
	}
	switch e.Status {
	case email.Deferred:
		v.Data.Deferral = &deferralView{text(e.Category), stamp(e.NextAt), stamp(m.ExpiresAt)}
	case email.Bounced:
		v.Data.Bounce = &bounceView{text(e.Bounce), text(e.Category), text(e.Source), text(r.State.SuppressionID)}
	case email.Failed:
		v.Data.Failure = &failureView{text(e.Reason), text(e.Detail)}
	case email.Suppressed:
		v.Data.Suppression = &suppressionView{text(r.State.SuppressionID), text(e.Reason)}
	}
	return v
}

// events is GET /messages/{id}/events, in the order in which they happened.
func (d *door) events(c *call) error {
	limit, err := c.limit()
	if err != nil {
		return err
	}
	id, err := c.messageID()
	if err != nil {
		return err
	}
	hash := listHash(c.key.World, "events", id)
	at, err := c.cursor(hash)
	if err != nil {
		return err
	}
	msg, err := d.store.Messages.Get(c.ctx(), c.key.World, id)
	if err != nil {
		return err
	}
	found, next, err := d.store.Messages.Events(c.ctx(), c.key.World, id, at.After, limit)
	if err != nil {
		return err
	}
	data := make([]eventView, len(found))
	for i, e := range found {
		data[i] = viewEvent(msg, e)
	}
	if next == 0 {
		d.answerPage(c, data, nil)
		return nil
	}
	d.answerPage(c, data, &cursor{Version: cursorVersion, List: hash, After: next})
	return nil
}
