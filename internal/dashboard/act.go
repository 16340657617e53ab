package dashboard

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"slices"
	"strings"
	"time"

	"postrider/internal/email"
	"postrider/internal/intake"
	"postrider/internal/queue"
	"postrider/internal/store"
)

// target is the message that an action is about.
func (d *dashboard) target(v *visit) (*email.Message, error) {
	m, err := d.get(v, v.PathValue("id"))
	if err == nil && m == nil {
		err = store.ErrNotFound
	}
	return m, err
}

// cancel stops what was not delivered yet.
func (d *dashboard) cancel(v *visit) (string, error) {
	m, err := d.target(v)
	if err != nil {
		return "", err
	}
	after, err := d.Store.Messages.Cancel(v.Context(), m.World, m.ID, d.Now())
	if errors.Is(err, store.ErrNotCancelable) {
		return "", refused("Every recipient of this message is %s: there is nothing left to cancel.", label(after.Status()))
	}
	if err != nil {
		return "", err
	}
	if pending(m) > pending(after) {
		v.did(m.ID, "")
	}
	return done("/ui/messages/"+m.ID, "canceled"), nil
}

// pending counts the recipients that nobody canceled and that are not final.
func pending(m *email.Message) (n int) {
	for _, r := range m.Recipients {
		if !r.State.Status.Final() && !r.State.CancelRequested {
			n++
		}
	}
	return n
}

// retry has the parts of a message that wait tried now, and sends a scheduled one.
func (d *dashboard) retry(v *visit) (string, error) {
	m, err := d.target(v)
	if err != nil {
		return "", err
	}
	now := d.Now()
	after, err := d.Store.Messages.Hurry(v.Context(), m.World, m.ID, now)
	if errors.Is(err, store.ErrNotWaiting) && after.Status() == email.Scheduled {
		after, err = d.Store.Messages.Reschedule(v.Context(), m.World, m.ID, now, now)
	}
	if errors.Is(err, store.ErrNotWaiting) || errors.Is(err, store.ErrNotScheduled) {
		return "", refused("No part of this message waits: it is being tried at this moment, or it has ended.")
	}
	if err != nil {
		return "", err
	}
	d.wake(v.Context(), after)
	v.did(m.ID, "")
	return done("/ui/messages/"+m.ID, "hurried"), nil
}

// wake adds the jobs of the envelopes that are due. What it cannot add the sweeper does.
func (d *dashboard) wake(ctx context.Context, m *email.Message) {
	if d.Queue == nil {
		return
	}
	class := m.Class
	if class == "" {
		class = queue.Default
	}
	for i, e := range m.Envelopes {
		if e.State.Phase != email.Waiting || e.State.NextAt.After(d.Now()) {
			continue
		}
		job := queue.Delivery{World: m.World, Message: m.ID, Envelope: i, Generation: e.State.Generation}
		if err := d.Queue.Add(ctx, class, job, e.State.NextAt); err != nil {
			d.Log.Warn("not enqueued, left to the sweeper", "message", m.ID, "error", err)
		}
	}
}

// release ends the quarantine of a message.
func (d *dashboard) release(v *visit) (string, error) {
	m, err := d.target(v)
	if err != nil {
		return "", err
	}
	released := false
	for e := range m.Envelopes {
		switch _, err := d.Store.Messages.Free(v.Context(), m.World, m.ID, e, d.Now()); {
		case err == nil:
			released = true
			v.did(m.ID, "")
		case !errors.Is(err, store.ErrNotQuarantined):
			return "", err
		}
	}
	if !released {
		return "", refused("Nothing of this message is quarantined any more.")
	}
	if m, err = d.Store.Messages.Get(v.Context(), m.World, m.ID); err == nil {
		d.wake(v.Context(), m)
	}
	return done(ownPath(v.PostFormValue("back")), "released"), nil
}

// again sends a message anew, as another one, to all or to those who did not get it.
func (d *dashboard) again(v *visit) (string, error) {
	m, err := d.target(v)
	if err != nil {
		return "", err
	}
	if d.Desk == nil {
		return "", refused("This process takes no mail: it has not the role api.")
	}
	content, err := d.Store.Messages.Content(v.Context(), m.World, m.ID)
	if err != nil {
		return "", err
	}
	if content == nil {
		return "", refused("The content of this message is no longer kept, so it cannot be sent again.")
	}
	missed := v.PostFormValue("whom") == "missed"
	key := "dashboard/" + m.ID + "/" + v.PostFormValue("nonce")
	print := sha256.Sum256([]byte(key + v.PostFormValue("whom")))
	var sent *email.Message
	var before bool
	if content.Raw != nil {
		sent, before, err = d.Desk.AcceptRaw(v.Context(), &intake.RawRequest{World: m.World, IdempotencyKey: key, Fingerprint: print, Data: content.Raw, To: raws(m, missed)})
	} else {
		sent, before, err = d.Desk.Accept(v.Context(), intake.Request{World: m.World, IdempotencyKey: key, Fingerprint: print, Draft: draftOf(m, content, missed)})
	}
	if err != nil {
		return "", notTaken(err)
	}
	if !before {
		v.did(m.ID, "as "+sent.ID)
	}
	return done("/ui/messages/"+sent.ID, "sent"), nil
}

// got reports whether the mail of a recipient arrived.
func got(m *email.Message, address email.Address) bool {
	return slices.ContainsFunc(m.Recipients, func(r email.Recipient) bool {
		return strings.EqualFold(r.Address.Email, address.Email) && r.State.Status == email.Delivered
	})
}

func raws(m *email.Message, missed bool) (to []string) {
	for _, r := range m.Recipients {
		if !missed || r.State.Status != email.Delivered {
			to = append(to, r.Address.Email)
		}
	}
	return to
}

// draftOf is a message as its sender wrote it, for another one like it.
func draftOf(m *email.Message, c *email.Content, missed bool) intake.Draft {
	boxes := func(list []email.Address) (out []intake.Mailbox) {
		for _, a := range list {
			if !missed || !got(m, a) {
				out = append(out, intake.Mailbox{Email: a.Email, Name: a.Name, Object: true})
			}
		}
		return out
	}
	ttl := int64(m.ExpiresAt.Sub(m.Due()) / time.Second)
	keep := !m.DropContent
	d := intake.Draft{
		From: &intake.Mailbox{Email: m.From.Email, Name: m.From.Name, Object: true},
		To:   boxes(m.To), Cc: boxes(m.Cc), Bcc: boxes(m.Bcc), Subject: &m.Subject, Headers: c.Headers, Tags: m.Tags,
		Metadata: m.Metadata, TTLSeconds: &ttl, Stream: &m.Stream, StoreContent: &keep,
	}
	for _, a := range m.ReplyTo {
		d.ReplyTo = append(d.ReplyTo, intake.Mailbox{Email: a.Email, Name: a.Name, Object: true})
	}
	if len(d.To) == 0 {
		d.To, d.Cc = d.Cc, nil
	}
	if len(d.To) == 0 {
		d.To, d.Bcc = d.Bcc, nil
	}
	if c.HTML != "" {
		d.HTML = &c.HTML
	}
	if c.Text != "" || c.HTML == "" {
		d.Text = &c.Text
	}
	if c.Calendar != nil {
		d.Calendar = &intake.Calendar{Content: c.Calendar.Content, Filename: c.Calendar.Filename, HasFilename: c.Calendar.Filename != ""}
	}
	for _, a := range c.Attachments {
		d.Attachments = append(d.Attachments, intake.Attachment{
			Filename: a.Filename, HasFilename: true, Content: base64.StdEncoding.EncodeToString(a.Content), HasContent: true,
			ContentType: a.ContentType, ContentID: a.ContentID,
		})
	}
	return d
}

// notTaken says why the desk did not take a mail.
func notTaken(err error) error {
	var (
		invalid  *intake.Invalid
		domain   *intake.NotVerified
		tooLarge *intake.TooLarge
		template *intake.TemplateRefused
	)
	switch {
	case errors.As(err, &invalid):
		var said []string
		for _, f := range invalid.Faults {
			said = append(said, strings.TrimPrefix(strings.ReplaceAll(f.Pointer, "/", " "), "# ")+" "+f.Detail)
		}
		return refused("The mail was not taken: %s.", strings.Join(said, "; "))
	case errors.As(err, &template):
		said := []string{strings.TrimSuffix(template.Detail, ".")}
		if len(template.Missing) > 0 {
			said = append(said, "the data lack "+strings.Join(template.Missing, ", "))
		} else {
			for _, f := range template.Faults {
				said = append(said, f.Detail)
			}
		}
		return refused("The mail was not made: %s.", strings.Join(said, "; "))
	case errors.As(err, &domain):
		return refused("The mail was not taken: mail from %s needs a verified domain. Add it under Domains and publish its records.", domain.Domain)
	case errors.As(err, &tooLarge):
		return refused("The mail was not taken: it has more than %s.", octets(tooLarge.Limit))
	case errors.Is(err, store.ErrFull):
		return &refusal{503, "No room for new mail", "So much mail waits that memory is short. New mail is taken again once some is delivered."}
	case errors.Is(err, store.ErrIdempotencyReused):
		return refused("This form was sent before, for something else. Load the page again.")
	}
	return err
}
