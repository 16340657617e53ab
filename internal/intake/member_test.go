package intake_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"postrider/internal/email"
	"postrider/internal/intake"
)

// badMember is a draft with one fault.
type badMember struct {
	name   string
	change func(*intake.Draft)
	want   string
}

func badTexts() []badMember {
	return []badMember{
		{"no from", func(d *intake.Draft) { d.From = nil }, "#/from required"},
		{"empty from", func(d *intake.Draft) { d.From = &intake.Mailbox{} }, "#/from invalid_email"},
		{"two in from", func(d *intake.Draft) { d.From = &intake.Mailbox{Text: "a@acme.com, b@acme.com"} }, "#/from invalid_email"},
		{"from without an email", func(d *intake.Draft) { d.From = &intake.Mailbox{Object: true, Name: "A"} }, "#/from/email required"},
		{"no to", func(d *intake.Draft) { d.To = nil }, "#/to required"},
		{"bad to alone", func(d *intake.Draft) { d.To = []intake.Mailbox{{Text: "x", Pointer: "#/to"}} }, "#/to invalid_email"},
		{"bad second to", func(d *intake.Draft) { d.To = mailboxes("a@b.org", "x") }, "#/to/1 invalid_email"},
		{"UTF-8 local part", func(d *intake.Draft) { d.Cc = mailboxes("zoë@b.org") }, "#/cc/0 smtputf8_not_supported"},
		{"UTF-8 local part in an object", func(d *intake.Draft) { d.Bcc = []intake.Mailbox{{Object: true, Email: "zoë@b.org"}} }, "#/bcc/0/email smtputf8_not_supported"},
		{"line break in a name", func(d *intake.Draft) { d.ReplyTo = []intake.Mailbox{{Object: true, Email: "z@b.org", Name: "a\r\nb"}} }, "#/reply_to/0/name invalid_format"},
		{"no subject", func(d *intake.Draft) { d.Subject = nil }, "#/subject required"},
		{"empty subject", func(d *intake.Draft) { d.Subject = ptr("") }, "#/subject required"},
		{"line feed in the subject", func(d *intake.Draft) { d.Subject = ptr("a\nb") }, "#/subject invalid_format"},
		{"bidi in the subject", func(d *intake.Draft) { d.Subject = ptr("a\u202eb") }, "#/subject invalid_format"},
		{"subject not UTF-8", func(d *intake.Draft) { d.Subject = ptr("a\xff") }, "#/subject invalid_format"},
		{"no body", func(d *intake.Draft) { d.Text = nil }, "#/text required"},
		{"empty bodies", func(d *intake.Draft) { d.Text, d.HTML = ptr(""), ptr("") }, "#/text required"},
		{"text not UTF-8", func(d *intake.Draft) { d.Text = ptr("\xff") }, "#/text invalid_format"},
		{"html not UTF-8", func(d *intake.Draft) { d.HTML = ptr("\xff") }, "#/html invalid_format"},
		{"NUL in the text", func(d *intake.Draft) { d.Text = ptr("a\x00b") }, "#/text invalid_format"},
		{"NUL in the html", func(d *intake.Draft) { d.HTML = ptr("<p>a\x00b</p>") }, "#/html invalid_format"},
	}
}

func badAttachments() []badMember {
	attach := func(a intake.Attachment) func(*intake.Draft) {
		return func(d *intake.Draft) { d.Attachments = []intake.Attachment{a} }
	}
	named := func(name string) func(*intake.Draft) { return attach(file(name, nil)) }
	typed := func(kind string) func(*intake.Draft) {
		a := file("a.bin", nil)
		a.ContentType = kind
		return attach(a)
	}
	identified := func(ids ...string) func(*intake.Draft) {
		return func(d *intake.Draft) {
			for _, id := range ids {
				a := file("a.png", nil)
				a.ContentID = id
				d.Attachments = append(d.Attachments, a)
			}
		}
	}
	return []badMember{
		{"no filename", attach(intake.Attachment{HasContent: true}), "#/attachments/0/filename required"},
		{"empty filename", named(""), "#/attachments/0/filename required"},
		{"no content", attach(intake.Attachment{Filename: "a.pdf", HasFilename: true}), "#/attachments/0/content required"},
		{"directory", named("a/b.pdf"), "#/attachments/0/filename invalid_format"},
		{"Windows directory", named(`a\b.pdf`), "#/attachments/0/filename invalid_format"},
		{"dots", named(".."), "#/attachments/0/filename invalid_format"},
		{"spaces", named("  "), "#/attachments/0/filename invalid_format"},
		{"right-to-left override", named("report\u202efdp.exe"), "#/attachments/0/filename invalid_format"},
		{"program", named("setup.exe"), "#/attachments/0/filename attachment_type_forbidden"},
		{"program in capitals", named("SETUP.EXE"), "#/attachments/0/filename attachment_type_forbidden"},
		{"program behind a document", named("invoice.pdf.scr"), "#/attachments/0/filename attachment_type_forbidden"},
		{"program with a dot and a space behind", named("setup.exe. ."), "#/attachments/0/filename attachment_type_forbidden"},
		{"program with an invisible space behind", named("setup.exe\u200b"), "#/attachments/0/filename attachment_type_forbidden"},
		{"program with an invisible space inside", named("setup.e\u200bxe"), "#/attachments/0/filename attachment_type_forbidden"},
		{"program with a no-break space behind", named("setup.exe\u00a0"), "#/attachments/0/filename attachment_type_forbidden"},
		{"program with all of it behind", named("setup.exe\u3000;.\ufe0f \u2060"), "#/attachments/0/filename attachment_type_forbidden"},
		{"program with a semicolon behind", named("setup.exe;"), "#/attachments/0/filename attachment_type_forbidden"},
		{"program with a version", named("setup.exe;1"), "#/attachments/0/filename attachment_type_forbidden"},
		{"program with a stream", named("setup.exe::$DATA"), "#/attachments/0/filename attachment_type_forbidden"},
		{"program behind a colon", named("Re: setup.exe"), "#/attachments/0/filename attachment_type_forbidden"},
		{"program in wide letters", named("setup\uff0e\uff25\uff58\uff45"), "#/attachments/0/filename attachment_type_forbidden"},
		{"script without a name", named(".js"), "#/attachments/0/filename attachment_type_forbidden"},
		{"type without a slash", typed("pdf"), "#/attachments/0/content_type invalid_format"},
		{"wildcard type", typed("image/*"), "#/attachments/0/content_type invalid_format"},
		{"parameter without a value", typed("text/plain; charset"), "#/attachments/0/content_type invalid_format"},
		{"line break in a type", typed("text/plain;\r\n a=b"), "#/attachments/0/content_type invalid_format"},
		{"multipart", typed("Multipart/Mixed; boundary=x"), "#/attachments/0/content_type invalid_format"},
		{"message", typed("message/rfc822"), "#/attachments/0/content_type invalid_format"},
		{"content_id in brackets", identified("<a>"), "#/attachments/0/content_id invalid_format"},
		{"content_id with a space", identified("a b"), "#/attachments/0/content_id invalid_format"},
		{"content_id with two ats", identified("a@b@c"), "#/attachments/0/content_id invalid_format"},
		{"content_id twice", identified("a", "b", "a"), "#/attachments/2/content_id mutually_exclusive"},
	}
}

func badWords() []badMember {
	tag := func(s string) func(*intake.Draft) { return func(d *intake.Draft) { d.Tags = []string{s} } }
	return []badMember{
		{"empty tag", tag(""), "#/tags/0 invalid_format"},
		{"tag with a space", tag("a b"), "#/tags/0 invalid_format"},
		{"tag not ASCII", tag("é"), "#/tags/0 invalid_format"},
		{"empty metadata key", func(d *intake.Draft) { d.Metadata = map[string]string{"": "v"} }, "#/metadata/ invalid_format"},
		{"metadata key with a slash", func(d *intake.Draft) { d.Metadata = map[string]string{"a/b~c %": "v"} }, "#/metadata/a~1b~0c%20%25 invalid_format"},
		{"metadata value not UTF-8", func(d *intake.Draft) { d.Metadata = map[string]string{"a": "\xff"} }, "#/metadata/a invalid_format"},
	}
}

func TestFaultsOfMembers(t *testing.T) {
	b := inProcess(t, nil)
	for _, c := range slices.Concat(badTexts(), badAttachments(), badWords()) {
		t.Run(c.name, func(t *testing.T) { b.one(t, draft(c.change), c.want) })
	}
}

func TestHeaders(t *testing.T) {
	denied := []string{
		"From", "Sender", "To", "Cc", "Bcc", "Subject", "Date", "Message-ID", "Reply-To", "Return-Path", "Received", "Resent-From",
		"Resent-Message-ID", "DKIM-Signature", "ARC-Seal", "Authentication-Results", "MIME-Version", "Content-Type",
		"Content-Transfer-Encoding", "Content-Whatever", "Delivered-To", "Feedback-ID", "X-Postrider-Tag", "Idempotency-Key",
		"bCC", "SUBJECT", "content-type", "x-postrider-", "idempotency-KEY",
	}
	type fields = []email.Header
	cases := []struct {
		name   string
		fields fields
		want   string
	}{
		{"space in the name", fields{{Name: "X Y", Value: "v"}}, "#/headers/X%20Y invalid_format"},
		{"colon in the name", fields{{Name: "X:Y", Value: "v"}}, "#/headers/X:Y invalid_format"},
		{"line break in the name", fields{{Name: "X\r\nBcc", Value: "v"}}, "#/headers/X%0D%0ABcc invalid_format"},
		{"name not ASCII", fields{{Name: "X-É", Value: "v"}}, "#/headers/X-%C3%89 invalid_format"},
		{"empty name", fields{{Name: "", Value: "v"}}, "#/headers/ invalid_format"},
		{"line break in the value", fields{{Name: "X-Y", Value: "a\r\nBcc: x@y.z"}}, "#/headers/X-Y invalid_format"},
		{"vertical tab in the value", fields{{Name: "X-Y", Value: "a\vb"}}, "#/headers/X-Y invalid_format"},
		{"value not UTF-8", fields{{Name: "X-Y", Value: "\xff"}}, "#/headers/X-Y invalid_format"},
		{"empty value", fields{{Name: "X-Y", Value: " \t "}}, "#/headers/X-Y invalid_format"},
		{"twice, in another case", fields{{Name: "X-Y", Value: "v"}, {Name: "x-y", Value: "v"}}, "#/headers/x-y mutually_exclusive"},
		{"structured, not ASCII", fields{{Name: "List-Id", Value: "é"}}, "#/headers/List-Id invalid_format"},
		{"one-click alone", fields{{Name: "List-Unsubscribe-Post", Value: "List-Unsubscribe=One-Click"}}, "#/headers/List-Unsubscribe-Post invalid_format"},
		{"one-click by mail", fields{
			{Name: "list-unsubscribe-post", Value: "List-Unsubscribe=One-Click"}, {Name: "List-Unsubscribe", Value: "<mailto:u@acme.com>"},
		}, "#/headers/list-unsubscribe-post invalid_format"},
	}
	for _, name := range denied {
		cases = append(cases, struct {
			name   string
			fields fields
			want   string
		}{name, fields{{Name: name, Value: "v"}}, "#/headers/" + name + " header_not_allowed"})
	}
	b := inProcess(t, nil)
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) { b.one(t, draft(func(d *intake.Draft) { d.Headers = c.fields }), c.want) })
	}
	allowed := fields{
		{Name: "In-Reply-To", Value: "<a@b.org>"},
		{Name: "References", Value: "<a@b.org> <c@d.org>"},
		{Name: "Precedence", Value: "bulk"},
		{Name: "Auto-Submitted", Value: "auto-generated"},
		{Name: "X-Entity-Ref-ID", Value: "é"},
		{Name: "X-Table", Value: "a\tb"},
		{Name: "List-Id", Value: "<l.acme.com>"},
		{Name: "List-Unsubscribe", Value: "<mailto:u@acme.com>, <HTTPS://acme.com/u>"},
		{Name: "List-Unsubscribe-Post", Value: "List-Unsubscribe=One-Click"},
		{Name: "Receivedx", Value: "v"},
		{Name: "X!#$%&'*+^_`{|}~", Value: "v"},
	}
	msg := b.accept(t, live(draft(func(d *intake.Draft) { d.Headers = allowed })))
	if d := cmp.Diff([]email.Header(allowed), content(t, b, msg).Headers); d != "" {
		t.Errorf("headers (-want +got):\n%s", d)
	}
}

func TestHeaderHints(t *testing.T) {
	b := inProcess(t, nil)
	for name, hint := range map[string]string{"Idempotency-Key": "HTTP header", "Reply-To": "reply_to", "Subject": "member subject"} {
		faults := b.faults(t, live(draft(func(d *intake.Draft) { d.Headers = []email.Header{{Name: name, Value: "v"}} })))
		if !strings.Contains(faults[0].Detail, hint) {
			t.Errorf("%s: %s", name, faults[0].Detail)
		}
	}
}

func TestContentTypes(t *testing.T) {
	b := inProcess(t, nil)
	cases := []struct{ filename, given, want string }{
		{"a.pdf", "", "application/pdf"},
		{"A.PNG", "", "image/png"},
		{"a.b.jpeg", "", "image/jpeg"},
		{"notes.txt", "", "text/plain; charset=utf-8"},
		{"mail.eml", "", "application/octet-stream"},
		{"README", "", "application/octet-stream"},
		{"zip", "", "application/octet-stream"},
		{"a.pdf ;", "", "application/pdf"},
		{"a.unheard-of", "", "application/octet-stream"},
		{"a.docx", "", "application/vnd.openxmlformats-officedocument.wordprocessingml.document"},
		{"a.pdf", "Application/X-Own", "application/x-own"},
		{"a.ics", `text/calendar; method=REQUEST; charset="utf-8"`, "text/calendar; charset=utf-8; method=REQUEST"},
		{"a.pdf", `application/pdf; name="other.exe"`, "application/pdf"},
	}
	for _, c := range cases {
		a := file(c.filename, []byte("x"))
		a.ContentType = c.given
		msg := b.accept(t, live(draft(func(d *intake.Draft) { d.Attachments = []intake.Attachment{a} })))
		if got := content(t, b, msg).Attachments[0].ContentType; got != c.want {
			t.Errorf("%s, %q: %q, want %q", c.filename, c.given, got, c.want)
		}
	}
}

// Every fault in one answer, in the order of the members, what decoding found among them.
func TestAllFaultsInOrder(t *testing.T) {
	b := inProcess(t, nil)
	r := live(intake.Draft{
		From: &intake.Mailbox{Text: "x", Pointer: "#/from"},
		To: []intake.Mailbox{
			{Pointer: "#/to/0"}, {Text: "x", Pointer: "#/to/1"}, {Object: true, Pointer: "#/to/2"}, {Object: true, Email: "x", Pointer: "#/to/3"},
		},
		ReplyTo:     mailboxes("x"),
		Attachments: []intake.Attachment{{}, {HasFilename: true, Filename: "a.exe", HasContent: true, Content: "?", ContentType: "x", ContentID: "<"}},
		Headers:     []email.Header{{Name: "Bcc", Value: "v"}},
		Tags:        []string{"", "a", "?"},
		Metadata:    map[string]string{"b b": "", "a a": ""},
		ScheduledAt: ptr("x"), TTLSeconds: ptr[int64](1),
	})
	r.Faults = []intake.Fault{
		{Pointer: "#/nonsense", Code: "unknown_member", Detail: "is unknown"},
		{Pointer: "#/html", Code: "invalid_type", Detail: "is no string"},
		{Pointer: "#/tags/0", Code: "invalid_type", Detail: "is no string"},
		{Pointer: "#/to/0", Code: "invalid_type", Detail: "is no address"},
		{Pointer: "#/to/2/email", Code: "invalid_type", Detail: "is no string"},
		{Pointer: "#/to/3/emial", Code: "unknown_member", Detail: "is unknown"},
		{Pointer: "#/attachments/0", Code: "invalid_type", Detail: "is no object"},
	}
	want := []string{
		"#/from invalid_email", "#/to/0 invalid_type", "#/to/1 invalid_email", "#/to/2/email invalid_type", "#/to/3/emial unknown_member",
		"#/to/3/email invalid_email", "#/reply_to/0 invalid_email", "#/subject required", "#/html invalid_type", "#/attachments/0 invalid_type",
		"#/attachments/1/filename attachment_type_forbidden", "#/attachments/1/content invalid_base64", "#/attachments/1/content_type invalid_format",
		"#/attachments/1/content_id invalid_format", "#/headers/Bcc header_not_allowed", "#/tags/0 invalid_type", "#/tags/2 invalid_format",
		"#/metadata/a%20a invalid_format", "#/metadata/b%20b invalid_format", "#/scheduled_at invalid_format", "#/ttl_seconds out_of_range",
		"#/nonsense unknown_member",
	}
	if d := cmp.Diff(want, b.refuse(t, r)); d != "" {
		t.Errorf("faults (-want +got):\n%s", d)
	}
}

// A member that could not be decoded is missing from the draft, and not required again.
func TestDecodedFaultsAreNotRepeated(t *testing.T) {
	b := inProcess(t, nil)
	for _, pointer := range []string{"#/from", "#/from/email", "#/to", "#/to/0", "#/subject", "#/text", "#/html", "#"} {
		t.Run(pointer, func(t *testing.T) {
			r := live(draft(func(d *intake.Draft) {
				switch strings.Split(pointer, "/")[min(1, strings.Count(pointer, "/"))] {
				case "from":
					d.From = nil
				case "to":
					d.To = nil
				case "subject":
					d.Subject = nil
				case "text", "html":
					d.Text = nil
				default:
					*d = intake.Draft{}
				}
			}))
			r.Faults = []intake.Fault{{Pointer: pointer, Code: "invalid_type", Detail: "is of another type"}}
			if d := cmp.Diff([]string{pointer + " invalid_type"}, b.refuse(t, r)); d != "" {
				t.Errorf("faults (-want +got):\n%s", d)
			}
		})
	}
}

func TestPointer(t *testing.T) {
	for want, tokens := range map[string][]string{
		"#":               nil,
		"#/to/0":          {"to", "0"},
		"#/":              {""},
		"#/a~1b/c~0d":     {"a/b", "c~d"},
		"#/%C3%A9%22%25":  {"é\"%"},
		"#/%5E%7C%5C%3C+": {`^|\<+`},
	} {
		if got := intake.Pointer(tokens...); got != want {
			t.Errorf("%q: %s, want %s", tokens, got, want)
		}
	}
}
