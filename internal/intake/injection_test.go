package intake_test

import (
	"errors"
	"fmt"
	"net/http"
	"net/mail"
	"slices"
	"strings"
	"testing"

	"postrider/internal/compose"
	"postrider/internal/email"
	"postrider/internal/intake"
)

// slot is one string of a draft; it is filled round a payload that would begin a header field.
type slot struct {
	name string
	fill func(d *intake.Draft, s string)
}

func slots() []slot {
	box := func(text string) *intake.Mailbox { return &intake.Mailbox{Text: text} }
	object := func(addr, name string) intake.Mailbox { return intake.Mailbox{Object: true, Email: addr, Name: name} }
	attach := func(d *intake.Draft, change func(*intake.Attachment)) {
		a := file("a.png", []byte("x"))
		change(&a)
		d.Attachments = []intake.Attachment{a}
	}
	all := []slot{
		{"from text", func(d *intake.Draft, s string) { d.From = box(s + " <a@acme.com>") }},
		{"from quoted", func(d *intake.Draft, s string) { d.From = box(`"` + s + `" <a@acme.com>`) }},
		{"from behind", func(d *intake.Draft, s string) { d.From = box("a@acme.com" + s) }},
		{"from local part", func(d *intake.Draft, s string) { d.From = box(`"` + s + `"@acme.com`) }},
		{"from name", func(d *intake.Draft, s string) { m := object("a@acme.com", s); d.From = &m }},
		{"from email", func(d *intake.Draft, s string) { m := object("a"+s+"@acme.com", ""); d.From = &m }},
		{"subject", func(d *intake.Draft, s string) { d.Subject = ptr("a" + s) }},
		{"html", func(d *intake.Draft, s string) { d.HTML = ptr(s) }},
		{"text", func(d *intake.Draft, s string) { d.Text = ptr(s) }},
		{"filename", func(d *intake.Draft, s string) {
			attach(d, func(a *intake.Attachment) { a.Filename = "a" + s + ".png" })
		}},
		{"content", func(d *intake.Draft, s string) { attach(d, func(a *intake.Attachment) { a.Content = s }) }},
		{"content_type", func(d *intake.Draft, s string) { attach(d, func(a *intake.Attachment) { a.ContentType = "a/b" + s }) }},
		{"content_type value", func(d *intake.Draft, s string) {
			attach(d, func(a *intake.Attachment) { a.ContentType = `a/b; c="` + s + `"` })
		}},
		{"content_id", func(d *intake.Draft, s string) { attach(d, func(a *intake.Attachment) { a.ContentID = "a" + s }) }},
		{"header name", func(d *intake.Draft, s string) { d.Headers = []email.Header{{Name: "X-A" + s, Value: "v"}} }},
		{"header value", func(d *intake.Draft, s string) { d.Headers = []email.Header{{Name: "X-A", Value: "v" + s}} }},
		{"structured value", func(d *intake.Draft, s string) { d.Headers = []email.Header{{Name: "List-Id", Value: "v" + s}} }},
		{"unsubscribe", func(d *intake.Draft, s string) {
			d.Unsubscribe = &intake.Unsubscribe{URL: "https://acme.com/u" + s, HasURL: true}
		}},
		{"calendar", func(d *intake.Draft, s string) { d.Calendar = &intake.Calendar{Content: instead("Review", "a"+s)} }},
		{"calendar method", func(d *intake.Draft, s string) {
			d.Calendar = &intake.Calendar{Content: instead("METHOD:REQUEST", "METHOD:REQUEST"+s)}
		}},
		{"calendar filename", func(d *intake.Draft, s string) {
			d.Calendar = &intake.Calendar{Content: invitation(), Filename: "a" + s + ".ics", HasFilename: true}
		}},
		{"tag", func(d *intake.Draft, s string) { d.Tags = []string{s} }},
		{"metadata key", func(d *intake.Draft, s string) { d.Metadata = map[string]string{s: "v"} }},
		{"metadata value", func(d *intake.Draft, s string) { d.Metadata = map[string]string{"k": s} }},
		{"scheduled_at", func(d *intake.Draft, s string) { d.ScheduledAt = ptr("2026-08-23T14:05:00Z" + s) }},
	}
	for name, list := range map[string]func(*intake.Draft) *[]intake.Mailbox{
		"to": func(d *intake.Draft) *[]intake.Mailbox { return &d.To }, "cc": func(d *intake.Draft) *[]intake.Mailbox { return &d.Cc },
		"bcc": func(d *intake.Draft) *[]intake.Mailbox { return &d.Bcc }, "reply_to": func(d *intake.Draft) *[]intake.Mailbox { return &d.ReplyTo },
	} {
		all = append(all,
			slot{name + " text", func(d *intake.Draft, s string) { *list(d) = mailboxes(s + " <a@b.org>") }},
			slot{name + " quoted", func(d *intake.Draft, s string) { *list(d) = mailboxes(`"` + s + `" <a@b.org>`) }},
			slot{name + " domain", func(d *intake.Draft, s string) { *list(d) = mailboxes("a@b.org" + s) }},
			slot{name + " local part", func(d *intake.Draft, s string) { *list(d) = mailboxes(`"` + s + `"@b.org`) }},
			slot{name + " name", func(d *intake.Draft, s string) { *list(d) = []intake.Mailbox{object("a@b.org", s)} }},
			slot{name + " email", func(d *intake.Draft, s string) { *list(d) = []intake.Mailbox{object("a"+s+"@b.org", "")} }},
		)
	}
	return all
}

// security.md 1: every string field with every kind of line break is refused, or the
// mail has no header field more and no recipient more than without it.
func TestNoStringBecomesAHeaderField(t *testing.T) {
	b := inProcess(t, nil)
	breaks := []string{"\r", "\n", "\r\n", "\x00", "%0d%0a", "\u2028", "\u0085", "\u560a", "\u560d", "\u2029", "\v", "\f", "\r\n ", "?=\r\n", "\x1b", "=0D=0A"}
	accepted := 0
	for _, s := range slots() {
		for _, lineBreak := range breaks {
			payload := lineBreak + "Bcc: evil@evil.org" + lineBreak + lineBreak + "X-Evil: 1"
			r := live(draft(func(d *intake.Draft) { s.fill(d, payload) }))
			msg, _, err := b.Accept(t.Context(), r)
			var invalid *intake.Invalid
			if errors.As(err, &invalid) {
				checkNoEcho(t, s.name, invalid)
				continue
			}
			if err != nil {
				t.Fatalf("%s with %q: %v", s.name, lineBreak, err)
			}
			accepted++
			checkHeader(t, fmt.Sprintf("%s with %q", s.name, lineBreak), msg, content(t, b, msg))
		}
	}
	if accepted == 0 {
		t.Error("nothing was accepted: the mails were not looked at")
	}
}

func checkNoEcho(t *testing.T, name string, invalid *intake.Invalid) {
	t.Helper()
	for _, f := range invalid.Faults {
		if strings.Contains(f.Detail, "evil") || strings.ContainsAny(f.Detail+f.Pointer, "\r\n\x00\u2028\u0085") {
			t.Errorf("%s: detail %q at %q repeats the value", name, f.Detail, f.Pointer)
		}
	}
	if strings.ContainsAny(invalid.Error(), "\r\n\x00") {
		t.Errorf("%s: error %q", name, invalid)
	}
}

// checkHeader composes a message and reads it with another parser.
func checkHeader(t *testing.T, name string, msg *email.Message, c *email.Content, known ...string) {
	t.Helper()
	raw, err := compose.Message(msg, c)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	parsed, err := mail.ReadMessage(strings.NewReader(string(raw)))
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	known = append(known, "From", "To", "Cc", "Reply-To", "Subject", "Date", "Message-Id", "Mime-Version", "Content-Type", "Content-Transfer-Encoding", "X-A", "List-Id")
	for field, values := range parsed.Header {
		if !slices.Contains(known, field) || len(values) != 1 {
			t.Errorf("%s: field %s %q", name, field, values)
		}
	}
	for _, r := range msg.Recipients {
		if r.Address.Domain() == "evil.org" {
			t.Errorf("%s: a recipient more", name)
		}
	}
	for line := range strings.SplitSeq(string(raw), "\r\n") {
		if strings.ContainsAny(line, "\r\n\x00") || len(line) > 998 {
			t.Errorf("%s: line %.100q", name, line)
		}
	}
}

// Whatever a draft holds, it is refused for a reason that the caller is told, or it
// makes a mail with a sound header: never an error of ours.
func FuzzAccept(f *testing.F) {
	f.Add("Ada <a@acme.com>", "é", "Hello", "X-A", "v", "a.png", "image/png", "logo@acme")
	f.Add(`"a, b" <"c d"@acme.com>`, "=?utf-8?q?x?=", "=?x?=", "List-Id", "<l.acme.com>", "ü\".pdf", `text/plain; charset="x y"`, "")
	f.Add("a@acme.com\r\n", "\r\nBcc: x@y.z", "\n", "Bcc", "\r\n", "a\r\n", "a/b\r\n", "<a>")
	f.Add("a@bücher.acme.com", strings.Repeat("🚀", 80), strings.Repeat("x", 998), "References", strings.Repeat("x", 900), ". .", "a/b;c*0*=''%0d%0a;c*1=x", "a.b@c")
	b := inProcess(f, func(o *intake.Options) { o.RequireVerified = false })
	f.Fuzz(func(t *testing.T, from, name, subject, field, value, filename, kind, id string) {
		a := file(filename, []byte("x"))
		a.ContentType, a.ContentID = kind, id
		msg, _, err := b.Accept(t.Context(), live(draft(func(d *intake.Draft) {
			d.From, d.Subject = &intake.Mailbox{Text: from}, &subject
			d.To = []intake.Mailbox{{Object: true, Email: "a@b.org", Name: name}}
			d.Attachments, d.HTML = []intake.Attachment{a}, &value
			if field != "" {
				d.Headers = []email.Header{{Name: field, Value: value}}
			}
		})))
		var invalid *intake.Invalid
		if errors.As(err, &invalid) {
			for _, f := range invalid.Faults {
				if f.Pointer == "" || f.Code == "" || f.Detail == "" {
					t.Errorf("fault %+v", f)
				}
			}
			return
		}
		if err != nil {
			t.Fatalf("neither accepted nor invalid: %v", err)
		}
		checkHeader(t, "mail", msg, content(t, b, msg), http.CanonicalHeaderKey(field))
	})
}
