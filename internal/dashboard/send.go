package dashboard

import (
	"crypto/sha256"
	"errors"
	"net/http"
	"strings"

	"postrider/internal/email"
	"postrider/internal/intake"
	"postrider/internal/sandbox"
)

type sendPage struct {
	frame
	From, To, Subject, Text, HTML, Nonce string
	Addresses                            []sandbox.Address
	Fault                                string
	None                                 bool // this process takes no mail
}

func (d *dashboard) sendPage(v *visit) sendPage {
	return sendPage{
		frame: d.frame(v, "Send a test mail"), Addresses: sandbox.Addresses(), None: d.Desk == nil, Nonce: email.NewID(email.RequestPrefix),
		From: "Postrider <test@acme.com>", To: "delivered@" + sandbox.Domain, Subject: "A test mail", Text: "It works.",
	}
}

// send is the form of a test mail.
func (d *dashboard) send(v *visit) error { return d.render(v, "send.html", d.sendPage(v)) }

// sendTest takes a test mail as any other. A form that is sent twice is one mail.
func (d *dashboard) sendTest(v *visit) (string, error) {
	p := d.sendPage(v)
	if d.Desk == nil {
		return "", refused("This process takes no mail: it has not the role api.")
	}
	p.From, p.To, p.Subject = v.PostFormValue("from"), v.PostFormValue("to"), v.PostFormValue("subject")
	p.Text, p.HTML, p.Nonce = v.PostFormValue("text"), v.PostFormValue("html"), v.PostFormValue("nonce")
	draft := intake.Draft{From: &intake.Mailbox{Text: strings.TrimSpace(p.From)}, Subject: &p.Subject, Tags: []string{"test-mail"}}
	for _, to := range strings.FieldsFunc(p.To, func(r rune) bool { return r == ',' || r == ';' || r == '\n' }) {
		if to = strings.TrimSpace(to); to != "" {
			draft.To = append(draft.To, intake.Mailbox{Text: to})
		}
	}
	if p.HTML != "" {
		draft.HTML = &p.HTML
	}
	if p.Text != "" || p.HTML == "" {
		draft.Text = &p.Text
	}
	key := "dashboard/send/" + p.Nonce
	print := sha256.Sum256([]byte(strings.Join([]string{p.From, p.To, p.Subject, p.Text, p.HTML}, "\x00")))
	sent, _, err := d.Desk.Accept(v.Context(), intake.Request{World: v.world, IdempotencyKey: key, Fingerprint: print, Draft: draft})
	if err == nil {
		return done("/ui/messages/"+sent.ID, "sent"), nil
	}
	var why *refusal
	if err = notTaken(err); !errors.As(err, &why) {
		return "", err
	}
	p.Fault, p.Nonce = why.text, email.NewID(email.RequestPrefix)
	return "", d.write(v, http.StatusUnprocessableEntity, "send.html", p)
}
