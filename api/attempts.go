package api

import (
	"fmt"

	"postrider/internal/email"
)

// attemptView is one SMTP transaction tried, with its dialogue.
type attemptView struct {
	Object      string        `json:"object"`
	ID          string        `json:"id"`
	Livemode    bool          `json:"livemode"`
	CreatedAt   stamp         `json:"created_at"`
	MessageID   string        `json:"message_id"`
	Number      int           `json:"number"`
	Domain      string        `json:"domain"`
	StartedAt   stamp         `json:"started_at"`
	EndedAt     stamp         `json:"ended_at"`
	Provider    text          `json:"provider"`
	ReversePath string        `json:"reverse_path"`
	Source      text          `json:"source"`
	HELO        text          `json:"helo"`
	Host        text          `json:"host"`
	Address     text          `json:"address"`
	TLS         tlsView       `json:"tls"`
	Error       text          `json:"error"`
	Outcomes    []outcomeView `json:"outcomes"`
	Transcript  []lineView    `json:"transcript"`
}

type tlsView struct {
	Version  text `json:"version"`
	Verified bool `json:"verified"`
	Reason   text `json:"reason"`
}

// outcomeView is what an attempt came to for one recipient.
type outcomeView struct {
	Email    string     `json:"email"`
	Outcome  string     `json:"outcome"` // a status, or unknown
	Reason   text       `json:"reason"`
	Detail   text       `json:"detail"`
	Category text       `json:"category"`
	Bounce   text       `json:"bounce_type"`
	NextAt   stamp      `json:"next_attempt_at"`
	Response *replyView `json:"response"`
}

type lineView struct {
	At   stamp  `json:"at"`
	From string `json:"from"`
	Text string `json:"text"`
}

// attempts is GET /messages/{id}/attempts: all of them, oldest first.
func (d *door) attempts(c *call) error {
	msg, err := d.message(c)
	if err != nil {
		return err
	}
	found, err := d.store.Messages.Attempts(c.ctx(), c.key.World, msg.ID)
	if err != nil {
		return err
	}
	data := make([]attemptView, len(found))
	for i := range found {
		data[i] = viewAttempt(msg, &found[i])
	}
	d.answerPage(c, data, nil)
	return nil
}

func viewAttempt(m *email.Message, a *email.Attempt) attemptView {
	v := attemptView{
		Object: "attempt", ID: fmt.Sprintf("%s:%d:%d", m.ID, a.Envelope, a.Fence), Livemode: m.World.Livemode(),
		CreatedAt: stamp(a.StartedAt), MessageID: m.ID, Number: a.Number, Domain: m.Envelopes[a.Envelope].Domain,
		StartedAt: stamp(a.StartedAt), EndedAt: stamp(a.EndedAt), Provider: text(a.Provider), ReversePath: a.ReversePath,
		Source: text(a.Source), HELO: text(a.HELO), Host: text(a.Host), Address: text(a.Address),
		TLS:   tlsView{text(a.TLS), a.TLSVerified, text(a.TLSReason)},
		Error: text(a.Error), Outcomes: make([]outcomeView, len(a.Outcomes)), Transcript: make([]lineView, len(a.Transcript)),
	}
	for i, o := range a.Outcomes {
		outcome := string(o.Status)
		if o.Unknown {
			outcome = "unknown"
		}
		v.Outcomes[i] = outcomeView{
			Email: m.Recipients[o.Recipient].Address.Email, Outcome: outcome, Reason: text(o.Reason), Detail: text(o.Detail),
			Category: text(o.Category), Bounce: text(o.Bounce), NextAt: stamp(o.NextAt), Response: viewReply(o.Reply),
		}
	}
	for i, l := range a.Transcript {
		v.Transcript[i] = lineView{stamp(l.At), speaker(l.From), l.Text}
	}
	return v
}

func speaker(s email.Speaker) string {
	switch s {
	case email.Client:
		return "client"
	case email.Server:
		return "server"
	}
	return "note"
}
