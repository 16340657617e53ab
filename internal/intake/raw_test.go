package intake_test

import (
	"bytes"
	"context"
	"errors"
	"net/mail"
	"strings"
	"testing"

	"postrider/internal/compose"
	"postrider/internal/email"
	"postrider/internal/intake"
)

// Whatever a composed mail holds, it is refused for a reason that the caller is told, or
// what goes out is a mail of which another parser reads the same sender, and nobody in it
// is told of those in Bcc.
func FuzzRaw(f *testing.F) {
	const plain = "From: A <a@acme.com>\r\nTo: b@b.org\r\nSubject: s\r\n\r\nt\r\n"
	f.Add([]byte(plain), "")
	f.Add([]byte("Bcc: c@c.org,\n d@d.org\nX-Postrider-Tag: a\rDate: 1 Jan 2026 00:00:00 +0000\nMessage-ID: <x@y>\n"+plain), "e@e.org")
	f.Add([]byte("Content-Type: multipart/mixed; boundary=b\r\n"+plain+"--b\r\n\r\nx\r\n--b\r\nContent-Type: text/html; name=a.exe\r\n\r\n--b--"), "")
	f.Add([]byte("X-Postrider-TTL: 60\nX-Postrider-Metadata-a: =?utf-8?q?=0A?=\n To: x\nfrom : b@b.org\n"+plain), "b@b.org")
	f.Add([]byte("\r\n\r\n"+plain), "a\r\nb")
	b := inProcess(f, func(o *intake.Options) { o.RequireVerified = false })
	f.Fuzz(func(t *testing.T, data []byte, to string) {
		r := &intake.RawRequest{World: email.Live, KeyID: "key_1", Data: data}
		if to != "" {
			r.To = []string{to}
		}
		msg, _, err := b.AcceptRaw(context.Background(), r)
		var (
			invalid  *intake.Invalid
			tooLarge *intake.TooLarge
		)
		switch {
		case errors.As(err, &tooLarge):
			return
		case errors.As(err, &invalid):
			for _, f := range invalid.Faults {
				if f.Pointer+f.Header+f.Parameter == "" || f.Code == "" || f.Detail == "" || strings.ContainsAny(f.Header+f.Detail, "\r\n\x00") {
					t.Errorf("fault %+v", f)
				}
			}
			return
		case err != nil:
			t.Fatalf("neither accepted nor invalid: %v", err)
		}
		checkRaw(t, b, msg)
	})
}

// checkRaw reads what goes out with another parser.
func checkRaw(t *testing.T, b *bench, msg *email.Message) {
	t.Helper()
	kept, err := b.store.Messages.Content(t.Context(), msg.World, msg.ID)
	if err != nil || kept == nil {
		t.Fatalf("content: %v", err)
	}
	raw, err := compose.Message(msg, kept)
	if err != nil {
		t.Fatal(err)
	}
	for line := range bytes.SplitSeq(raw, []byte("\r\n")) {
		if bytes.ContainsAny(line, "\r\n\x00") || len(line) > 998 {
			t.Errorf("line %.100q", line)
		}
	}
	parsed, err := mail.ReadMessage(bytes.NewReader(raw))
	if err != nil {
		t.Fatalf("another parser: %v\n%q", err, raw)
	}
	for _, once := range []string{"From", "Date", "Message-Id", "Subject"} {
		if n := len(parsed.Header[once]); n != 1 {
			t.Errorf("%d fields %s in %q", n, once, raw)
		}
	}
	from, err := parsed.Header.AddressList("From")
	if err != nil || len(from) != 1 || !strings.EqualFold(domainOf(from[0].Address), domainOf(msg.From.Email)) && !strings.Contains(msg.From.Email, "xn--") {
		t.Errorf("From is read as %v (%v), was taken as %q", from, err, msg.From.Email)
	}
	for field := range parsed.Header {
		if lower := strings.ToLower(field); lower == "bcc" || lower == "return-path" || strings.HasPrefix(lower, "x-postrider-") {
			t.Errorf("%s goes out", field)
		}
	}
}

func domainOf(address string) string { return address[strings.LastIndexByte(address, '@')+1:] }

// A mail is somebody's: an empty From, or a group of nobody, is a fault.
func TestRawFromNamesSomebody(t *testing.T) {
	b := inProcess(t, func(o *intake.Options) { o.RequireVerified = false })
	for _, from := range []string{"", " ", "undisclosed:;", "a@acme.com, b@acme.com"} {
		_, _, err := b.AcceptRaw(t.Context(), &intake.RawRequest{
			World: email.Live, KeyID: "key_1", Data: []byte("From: " + from + "\r\nTo: b@b.org\r\nSubject: s\r\n\r\nt\r\n"),
		})
		var invalid *intake.Invalid
		if !errors.As(err, &invalid) || len(invalid.Faults) != 1 || invalid.Faults[0].Header != "From" {
			t.Errorf("From %q: %v", from, err)
		}
	}
}
