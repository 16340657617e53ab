package api

import (
	"net/http"

	"postrider/internal/email"
	"postrider/internal/intake"
)

// dryRun reads the parameter of that name. Errors: *problem invalid_parameter.
func (c *call) dryRun() (bool, error) {
	switch value := c.query.Get("dry_run"); {
	case value == "true":
		return true, nil
	case value == "false", !c.query.Has("dry_run"):
		return false, nil
	}
	return false, badParameter("dry_run", intake.InvalidFormat, "must be true or false")
}

// previewView is a message that would be accepted.
type previewView struct {
	Object     string             `json:"object"`
	Livemode   bool               `json:"livemode"`
	Subject    string             `json:"subject"`
	HTML       text               `json:"html"`
	Text       text               `json:"text"`
	SizeBytes  int64              `json:"size_bytes"`
	Recipients []previewRecipient `json:"recipients"`
	Warnings   []intake.Warning   `json:"warnings"`
}

type previewRecipient struct {
	Email  string              `json:"email"`
	Type   email.RecipientType `json:"type"`
	Would  string              `json:"would"`
	Reason text                `json:"reason"`
}

// preview answers POST /messages?dry_run=true.
func (d *door) preview(c *call, doc *document, r *intake.Request) error {
	if err := takeDraft(doc, r); err != nil {
		return err
	}
	p, err := d.desk.Preview(c.ctx(), *r)
	if err != nil {
		return err
	}
	v := previewView{
		Object: "message_preview", Livemode: p.Message.World.Livemode(), Subject: p.Message.Subject,
		HTML: text(p.Content.HTML), Text: text(p.Content.Text), SizeBytes: p.Message.SizeBytes,
		Recipients: make([]previewRecipient, len(p.Message.Recipients)), Warnings: p.Warnings,
	}
	for i, r := range p.Message.Recipients {
		v.Recipients[i] = previewRecipient{Email: r.Address.Email, Type: r.Type, Would: "send"}
		if r.State.Status == email.Suppressed {
			v.Recipients[i].Would, v.Recipients[i].Reason = "suppress", text(r.State.Reason)
		}
	}
	c.answer(http.StatusOK, v)
	return nil
}
