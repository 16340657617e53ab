package dashboard

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"postrider/internal/intake"
	"postrider/internal/library"
	"postrider/internal/sandbox"
	"postrider/internal/store"
)

type sendPage struct {
	frame
	From, To, Subject, Text, HTML string
	Addresses                     []sandbox.Address
	Fault                         string
	None                          bool // this process takes no mail

	// Template is what the mail is made from; nil: it is plain.
	Template  *store.Template
	Templates []*store.Template
	Draft     bool // of the template, and not what is published
	Sends     bool // there is something of it that may be sent
	Sample    string
	Before    string // what From is without an entry
}

func (d *dashboard) sendPage(v *visit) sendPage {
	return sendPage{
		frame: d.frame(v, "Send a test mail"), Addresses: sandbox.Addresses(), None: d.Desk == nil,
		From: "Postrider <test@acme.com>", To: "delivered@" + sandbox.Domain, Subject: "A test mail", Text: "It works.",
	}
}

// send is the form of a test mail, plain or from a template.
func (d *dashboard) send(v *visit) error {
	p := d.sendPage(v)
	if err := d.withTemplate(v, &p, v.URL.Query().Get("template")); err != nil {
		return err
	}
	return d.render(v, "send.html", p)
}

// withTemplate takes the template of an id for the mail, with its examples; empty: none.
// One of another world turns the visit to that.
func (d *dashboard) withTemplate(v *visit, p *sendPage, id string) error {
	if id != "" {
		t, reading, err := d.theTemplate(v, id)
		if err != nil {
			return err
		}
		p.World, p.Template = v.world, t
		p.Draft = !v.world.Livemode() && t.Draft.Number != t.Published
		p.Sends = t.Kind == library.Message && (p.Draft || t.Published > 0)
		n := t.Published
		if p.Draft {
			n = 0
		}
		shown, err := reading.Preview(v.Context(), t.ID, n, nil)
		if err != nil {
			return ofLibrary(err)
		}
		p.Sample = indented(compactJSON(shown.Data))
		if shown.Output != nil && shown.From != "" {
			p.From, p.Before = "", shown.From
		}
	}
	reading, err := d.library.Read(v.Context(), v.world)
	if err != nil {
		return err
	}
	p.Templates = slices.DeleteFunc(reading.List(), func(t *store.Template) bool { return t.Kind != library.Message })
	slices.SortFunc(p.Templates, func(a, b *store.Template) int {
		return strings.Compare(strings.ToLower(a.Name), strings.ToLower(b.Name))
	})
	return nil
}

// sendTest takes a test mail as any other. A form that is sent twice is one mail.
func (d *dashboard) sendTest(v *visit) (string, error) {
	p := d.sendPage(v)
	if d.Desk == nil {
		return "", refused("This process takes no mail: it has not the role api.")
	}
	if err := d.withTemplate(v, &p, v.PostFormValue("template")); err != nil {
		return "", err
	}
	p.From, p.To = strings.TrimSpace(v.PostFormValue("from")), v.PostFormValue("to")
	draft, fault := p.draft(v)
	if fault != "" {
		return "", d.notSent(v, p, fault)
	}
	key := "dashboard/send/" + v.PostFormValue("nonce")
	entered := []string{p.From, p.To, p.Subject, p.Text, p.HTML}
	if p.Template != nil {
		entered = append(entered, p.Template.ID, fmt.Sprint(p.Draft), p.Sample)
	}
	print := sha256.Sum256([]byte(strings.Join(entered, "\x00")))
	sent, before, err := d.Desk.Accept(v.Context(), intake.Request{World: v.world, IdempotencyKey: key, Fingerprint: print, Draft: draft})
	if err == nil {
		if !before {
			v.did(sent.ID, "")
		}
		return done("/ui/messages/"+sent.ID, "sent"), nil
	}
	var why *refusal
	if err = notTaken(err); !errors.As(err, &why) {
		return "", err
	}
	return "", d.notSent(v, p, why.text)
}

func (d *dashboard) notSent(v *visit, p sendPage, why string) error {
	p.Fault = why
	return d.write(v, http.StatusUnprocessableEntity, "send.html", p)
}

// draft is the mail that was entered, or what is wrong with it.
func (p *sendPage) draft(v *visit) (draft intake.Draft, fault string) {
	draft.Tags = []string{"test-mail"}
	if p.From != "" || p.Template == nil {
		draft.From = &intake.Mailbox{Text: p.From}
	}
	for _, to := range strings.FieldsFunc(p.To, func(r rune) bool { return r == ',' || r == ';' || r == '\n' }) {
		if to = strings.TrimSpace(to); to != "" {
			draft.To = append(draft.To, intake.Mailbox{Text: to})
		}
	}
	if p.Template != nil {
		fault = p.fill(&draft, lines(v.PostFormValue("sample")))
		return draft, fault
	}
	p.Subject, p.Text, p.HTML = v.PostFormValue("subject"), v.PostFormValue("text"), v.PostFormValue("html")
	draft.Subject = &p.Subject
	if p.HTML != "" {
		draft.HTML = &p.HTML
	}
	if p.Text != "" || p.HTML == "" {
		draft.Text = &p.Text
	}
	return draft, ""
}

// fill has a mail made from the template, with the data that were entered.
func (p *sendPage) fill(draft *intake.Draft, sample string) (fault string) {
	p.Sample = sample
	data, wrong := readSample(sample)
	if wrong != nil {
		return "The data" + placeOf(*wrong) + " " + wrong.Detail + "."
	}
	if data == nil {
		data = map[string]any{}
	}
	draft.Template = &intake.TemplateDraft{ID: p.Template.ID, HasID: true, Variables: data}
	if p.Draft {
		n := int64(p.Template.Draft.Number)
		draft.Template.Version = &n
	}
	return ""
}
