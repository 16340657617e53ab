package compose

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/emersion/go-message"
	"github.com/google/go-cmp/cmp"

	"postrider/internal/email"
)

// stringFields names every string that comes from a caller, and how to set it.
func stringFields() map[string]func(m *email.Message, c *email.Content, s string) {
	return map[string]func(m *email.Message, c *email.Content, s string){
		"id":             func(m *email.Message, _ *email.Content, s string) { m.ID += s },
		"message id":     func(m *email.Message, _ *email.Content, s string) { m.MessageID = "<a" + s + "@acme.com>" },
		"from":           func(m *email.Message, _ *email.Content, s string) { m.From.Email = "hi" + s + "@acme.com" },
		"from domain":    func(m *email.Message, _ *email.Content, s string) { m.From.Email = "hi@acme.com" + s },
		"from quoted":    func(m *email.Message, _ *email.Content, s string) { m.From.Email = `"hi` + s + `"@acme.com` },
		"from literal":   func(m *email.Message, _ *email.Content, s string) { m.From.Email = "hi@[" + s + "]" },
		"from name":      func(m *email.Message, _ *email.Content, s string) { m.From.Name = "Acme" + s },
		"to":             func(m *email.Message, _ *email.Content, s string) { m.To[0].Email += s },
		"to name":        func(m *email.Message, _ *email.Content, s string) { m.To[0].Name = s },
		"cc":             func(m *email.Message, _ *email.Content, s string) { m.Cc[0].Email = s + m.Cc[0].Email },
		"cc name":        func(m *email.Message, _ *email.Content, s string) { m.Cc[0].Name = "Ada, " + s },
		"bcc":            func(m *email.Message, _ *email.Content, s string) { m.Bcc[0].Email += s },
		"bcc name":       func(m *email.Message, _ *email.Content, s string) { m.Bcc[0].Name += s },
		"reply-to":       func(m *email.Message, _ *email.Content, s string) { m.ReplyTo[0].Email += s },
		"reply-to name":  func(m *email.Message, _ *email.Content, s string) { m.ReplyTo[0].Name += "ü" + s },
		"subject":        func(m *email.Message, _ *email.Content, s string) { m.Subject += s },
		"long subject":   func(m *email.Message, _ *email.Content, s string) { m.Subject += strings.Repeat(" word", 40) + s },
		"tag":            func(m *email.Message, _ *email.Content, s string) { m.Tags = []string{s} },
		"metadata":       func(m *email.Message, _ *email.Content, s string) { m.Metadata = map[string]string{s: s} },
		"header name":    func(_ *email.Message, c *email.Content, s string) { c.Headers[0].Name += s },
		"header value":   func(_ *email.Message, c *email.Content, s string) { c.Headers[0].Value += s },
		"references":     func(_ *email.Message, c *email.Content, s string) { c.Headers[1].Value += s },
		"list header":    func(_ *email.Message, c *email.Content, s string) { c.Headers[2].Value += s },
		"filename":       func(_ *email.Message, c *email.Content, s string) { c.Attachments[0].Filename += s },
		"inline name":    func(_ *email.Message, c *email.Content, s string) { c.Attachments[1].Filename = s + "ü" },
		"content type":   func(_ *email.Message, c *email.Content, s string) { c.Attachments[0].ContentType += s },
		"parameter":      func(_ *email.Message, c *email.Content, s string) { c.Attachments[0].ContentType += `; a="` + s + `"` },
		"coded":          func(_ *email.Message, c *email.Content, s string) { c.Attachments[0].ContentType += "; a*=utf-8''" + s },
		"content id":     func(_ *email.Message, c *email.Content, s string) { c.Attachments[1].ContentID += s },
		"text":           func(_ *email.Message, c *email.Content, s string) { c.Text += s },
		"html":           func(_ *email.Message, c *email.Content, s string) { c.HTML = s + c.HTML },
		"file":           func(_ *email.Message, c *email.Content, s string) { c.Attachments[0].Content = []byte(s) },
		"generated text": func(_ *email.Message, c *email.Content, s string) { c.Text = Text("<p>a" + s + "</p>") },
	}
}

func injectable() (*email.Message, *email.Content) {
	m := plainMessage()
	m.Cc = []email.Address{{Email: "cc@example.org", Name: "Cc"}}
	m.Bcc = []email.Address{{Email: "bcc@example.org", Name: "Bcc"}}
	m.ReplyTo = []email.Address{{Email: "reply@acme.com", Name: "Reply"}}
	return m, &email.Content{
		Text: "Hi", HTML: "<p>Hi</p>",
		Headers: []email.Header{{Name: "X-Ref", Value: "1"}, {Name: "References", Value: "<a@b>"}, {Name: "List-Id", Value: "<a.b>"}},
		Attachments: []email.Attachment{
			{Filename: "a.txt", ContentType: "text/plain", Content: []byte("x")},
			{Filename: "b.png", ContentType: "image/png", ContentID: "b", Content: []byte("y")},
		},
	}
}

// TestNoFieldIsInjected: whatever a string brings, it is refused or stays inside
// its field.
func TestNoFieldIsInjected(t *testing.T) {
	breaks := []string{"\r", "\n", "\r\n", "\x00", "%0d%0a", "\u2028", "\u0085", "\u560a", "\u560d", "\u2029", "\v", "\f", "\r\n\r\n", "\r\n ", "\n\t"}
	m, c := injectable()
	clean := fieldNames(t, compose(t, m, c))
	for name, set := range stringFields() {
		t.Run(name, func(t *testing.T) {
			for _, lineBreak := range breaks {
				for _, payload := range []string{lineBreak, lineBreak + "Evil: x@evil.example", lineBreak + "Bcc: x@evil.example" + lineBreak, strings.Repeat("x", 70) + lineBreak + "Evil: 1"} {
					m, c := injectable()
					set(m, c, payload)
					raw, err := Message(m, c)
					if err != nil {
						if strings.Contains(err.Error(), "evil") || strings.ContainsAny(err.Error(), "\r\n\x00") {
							t.Errorf("%q: the error repeats what it refuses: %q", payload, err)
						}
						continue
					}
					if faults := wireFaults(raw); faults != nil {
						t.Fatalf("%q: %q\n%s", payload, faults, raw)
					}
					want := clean
					if name == "header name" {
						want = nil // the name itself is what changes
					}
					if got := fieldNames(t, raw); want != nil && cmp.Diff(want, got) != "" {
						t.Fatalf("%q: other fields: %s\n%s", payload, cmp.Diff(want, got), raw)
					}
					if got := fieldNames(t, raw); len(got) != len(clean) {
						t.Fatalf("%q: %d fields, not %d\n%s", payload, len(got), len(clean), raw)
					}
				}
			}
		})
	}
}

// fieldNames lists the fields of a mail and of all its parts, as go-message reads
// them and, for the top, as the lines say.
func fieldNames(t *testing.T, raw []byte) []string {
	t.Helper()
	entity, err := message.Read(bytes.NewReader(raw))
	if err != nil {
		t.Fatalf("read: %v\n%s", err, raw)
	}
	var names []string
	err = entity.Walk(func(path []int, part *message.Entity, err error) error {
		for fields := part.Header.Fields(); fields.Next(); {
			names = append(names, fmt.Sprint(path, fields.Key()))
		}
		return err
	})
	if err != nil {
		t.Fatalf("walk: %v\n%s", err, raw)
	}
	header, _, _ := bytes.Cut(raw, []byte("\r\n\r\n"))
	for line := range bytes.SplitSeq(header, []byte("\r\n")) {
		if len(line) > 0 && line[0] != ' ' {
			name, _, _ := bytes.Cut(line, []byte(":"))
			names = append(names, string(name))
		}
	}
	return names
}

// FuzzMessage feeds every string of a message: it is refused, or the mail is clean
// on the wire and has the fields it should have.
func FuzzMessage(f *testing.F) {
	f.Add("Acme", "Hello", "X-Ref", "1", "a.txt", "text/plain", "cid", "Hi\n", []byte("x"))
	f.Add("Ünï, \"q\"", "Größe 🚚", "X-Ä", "ü\tü", "../ü\u202e.exe", "multipart/mixed; boundary=x", "a b", "From \x00\r.\n", []byte("\r\n.\r\n"))
	f.Add("=?utf-8?q?x?=", " ", "References", "<a@b>  <c@d>", "", "a/b; c*=utf-8''%0d%0a", "", "--=_\n", []byte(nil))
	f.Fuzz(func(t *testing.T, name, subject, field, value, file, kind, cid, text string, content []byte) {
		m := plainMessage()
		m.From.Name, m.Subject = name, subject
		m.To = append(m.To, email.Address{Email: "b@example.org", Name: value}, email.Address{Email: "c@example.org", Name: text})
		c := &email.Content{
			Text: text, HTML: value, Headers: []email.Header{{Name: field, Value: value}},
			Attachments: []email.Attachment{{Filename: file, ContentType: kind, ContentID: cid, Content: content}},
		}
		raw, err := Message(m, c)
		if err != nil {
			return
		}
		if faults := wireFaults(raw); faults != nil {
			t.Fatalf("%q\n%s", faults, raw)
		}
		want := []string{"Date", "From", "To", "Subject", "Message-ID", field, "MIME-Version", "Content-Type"}
		if subject == "" {
			want = append(want[:3:3], want[4:]...)
		}
		if diff := cmp.Diff(want, readWithGo(t, raw).Fields); diff != "" {
			t.Fatalf("%s\n%s", diff, raw)
		}
	})
}
