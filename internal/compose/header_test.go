package compose

import (
	"maps"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"postrider/internal/email"
)

func TestDisplayNames(t *testing.T) {
	cases := map[string]struct{ name, want string }{
		"none":                 {"", "From: a@b.example"},
		"atoms":                {"Ada Lovelace", "From: Ada Lovelace <a@b.example>"},
		"comma":                {"Acme, Inc.", `From: "Acme, Inc." <a@b.example>`},
		"quote and backslash":  {`a "b" \`, `From: "a \"b\" \\" <a@b.example>`},
		"two spaces":           {"a  b", `From: "a  b" <a@b.example>`},
		"around":               {" a ", "From: a <a@b.example>"},
		"accent":               {"Müller", "From: =?utf-8?q?M=C3=BCller?= <a@b.example>"},
		"base64 is shorter":    {"山田", "From: =?utf-8?b?5bGx55Sw?= <a@b.example>"},
		"punctuation in a Q":   {"Bernhard Müller, Hagen (x)", "From: =?utf-8?q?Bernhard_M=C3=BCller=2C_Hagen_=28x=29?= <a@b.example>"},
		"a fake encoded-word":  {"=?utf-8?q?x?=", "From: =?utf-8?q?=3D=3Futf-8=3Fq=3Fx=3F=3D?= <a@b.example>"},
		"invalid UTF-8":        {"a\xffb", "From: =?utf-8?b?Ye+/vWI=?= <a@b.example>"},
		"long quoted is coded": {strings.Repeat("a", 60) + ".", "From: =?utf-8?q?" + strings.Repeat("a", 57) + "?=\r\n =?utf-8?q?aaa=2E?= <a@b.example>"},
		"a name as address":    {"Bank <security@bank.example>", `From: "Bank <security@bank.example>" <a@b.example>`},
	}
	for name, test := range cases {
		t.Run(name, func(t *testing.T) {
			w := &writer{}
			if err := w.addresses("From", []email.Address{{Email: "a@b.example", Name: test.name}}); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want+"\r\n", string(w.buf)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestFields(t *testing.T) {
	long := strings.Repeat("x", 120)
	cases := map[string]struct{ name, value, want string }{
		"plain":                    {"X-A", "value", "X-A: value"},
		"empty":                    {"X-A", "", "X-A:"},
		"white space":              {"X-A", " \t ", "X-A:"},
		"folded at a space":        {"X-A", strings.Repeat("seven77 ", 12) + "end", "X-A: " + strings.Repeat("seven77 ", 7) + "seven77\r\n" + strings.Repeat(" seven77", 4) + " end"},
		"not inside a run":         {"X-A", strings.Repeat("a", 60) + "  " + strings.Repeat("b", 30), "X-A: " + strings.Repeat("a", 60) + "  " + strings.Repeat("b", 30)},
		"a long word stays whole":  {"X-A", "a " + long + " b", "X-A: a\r\n " + long + "\r\n b"},
		"a longer one is encoded":  {"X-A", strings.Repeat("x", 901), "X-A: =?utf-8?q?" + strings.Repeat("x", 58) + "?="},
		"not ASCII":                {"X-A", "ü", "X-A: =?utf-8?b?w7w=?="},
		"structured, runs shorten": {"List-Id", "a  list\t<x.y>", "List-Id: a list <x.y>"},
		"structured, not encoded":  {"References", "<=?utf-8?q?x?=@y>", "References: <=?utf-8?q?x?=@y>"},
		"structured, folded":       {"In-Reply-To", "<" + long + "@y> <b@c>", "In-Reply-To: <" + long + "@y>\r\n <b@c>"},
		"long name, encoded value": {"X-" + strings.Repeat("N", 70), "ü", "X-" + strings.Repeat("N", 70) + ":\r\n =?utf-8?b?w7w=?="},
	}
	for name, test := range cases {
		t.Run(name, func(t *testing.T) {
			w := &writer{}
			if err := w.callerField(email.Header{Name: test.name, Value: test.value}); err != nil {
				t.Fatal(err)
			}
			if !strings.HasPrefix(string(w.buf), test.want+"\r\n") {
				t.Errorf("%q\nwant %q", w.buf, test.want)
			}
		})
	}
}

// faultyMessages break a message outside the caller's header fields and files.
func faultyMessages() map[string]func(m *email.Message, c *email.Content) {
	return map[string]func(m *email.Message, c *email.Content){
		"no date":                    func(m *email.Message, _ *email.Content) { *m = email.Message{From: m.From, MessageID: m.MessageID} },
		"no from":                    func(m *email.Message, _ *email.Content) { m.From = email.Address{} },
		"no message id":              func(m *email.Message, _ *email.Content) { m.MessageID = "" },
		"message id without at":      func(m *email.Message, _ *email.Content) { m.MessageID = "<a>" },
		"message id without bracket": func(m *email.Message, _ *email.Content) { m.MessageID = "a@b" },
		"message id with a space":    func(m *email.Message, _ *email.Content) { m.MessageID = "<a b@c>" },
		"two addresses in one":       func(m *email.Message, _ *email.Content) { m.To[0].Email = "a@b.example, c@d.example" },
		"address in brackets":        func(m *email.Message, _ *email.Content) { m.To[0].Email = "<a@b.example>" },
		"address with a comment":     func(m *email.Message, _ *email.Content) { m.To[0].Email = "a(b)@c.example" },
		"group":                      func(m *email.Message, _ *email.Content) { m.To[0].Email = "a:b@c.example;" },
		"international local part":   func(m *email.Message, _ *email.Content) { m.To[0].Email = "ü@b.example" },
		"international domain":       func(m *email.Message, _ *email.Content) { m.To[0].Email = "a@ü.example" },
		"open quote":                 func(m *email.Message, _ *email.Content) { m.To[0].Email = `"a@b.example` },
		"backslash at the end":       func(m *email.Message, _ *email.Content) { m.To[0].Email = `"a\"@b.example` },
		"quote in quotes":            func(m *email.Message, _ *email.Content) { m.To[0].Email = `"a"b"@b.example` },
		"two dots":                   func(m *email.Message, _ *email.Content) { m.To[0].Email = "a..b@b.example" },
		"no domain":                  func(m *email.Message, _ *email.Content) { m.To[0].Email = "a@" },
		"empty literal":              func(m *email.Message, _ *email.Content) { m.To[0].Email = "a@[]" },
		"long address":               func(m *email.Message, _ *email.Content) { m.To[0].Email = strings.Repeat("a", 320) + "@b" },
		"control in a name":          func(m *email.Message, _ *email.Content) { m.To[0].Name = "a\x1b[31m" },
		"delete in the subject":      func(m *email.Message, _ *email.Content) { m.Subject = "a\x7f" },
	}
}

// faultyContents break the caller's header fields and files.
func faultyContents() map[string]func(m *email.Message, c *email.Content) {
	return map[string]func(m *email.Message, c *email.Content){
		"header without a name":     func(_ *email.Message, c *email.Content) { c.Headers = []email.Header{{Value: "x"}} },
		"header name with a colon":  func(_ *email.Message, c *email.Content) { c.Headers = []email.Header{{Name: "X:Y", Value: "x"}} },
		"header name with a space":  func(_ *email.Message, c *email.Content) { c.Headers = []email.Header{{Name: "X Y", Value: "x"}} },
		"header name outside ASCII": func(_ *email.Message, c *email.Content) { c.Headers = []email.Header{{Name: "X-Ü", Value: "x"}} },
		"header name of 77": func(_ *email.Message, c *email.Content) {
			c.Headers = []email.Header{{Name: strings.Repeat("X", 77), Value: "x"}}
		},
		"header BCC": func(_ *email.Message, c *email.Content) {
			c.Headers = []email.Header{{Name: "BCC", Value: "a@b.example"}}
		},
		"header Sender": func(_ *email.Message, c *email.Content) {
			c.Headers = []email.Header{{Name: "Sender", Value: "a@b.example"}}
		},
		"header Content-Type": func(_ *email.Message, c *email.Content) {
			c.Headers = []email.Header{{Name: "content-type", Value: "a/b"}}
		},
		"header Resent-To": func(_ *email.Message, c *email.Content) {
			c.Headers = []email.Header{{Name: "Resent-To", Value: "a@b.example"}}
		},
		"References and references": func(_ *email.Message, c *email.Content) {
			c.Headers = []email.Header{{Name: "References", Value: "<a@b>"}, {Name: "references", Value: "<c@d>"}}
		},
		"structured outside ASCII": func(_ *email.Message, c *email.Content) {
			c.Headers = []email.Header{{Name: "List-Help", Value: "<https://b.example/ü>"}}
		},
		"structured too long": func(_ *email.Message, c *email.Content) {
			c.Headers = []email.Header{{Name: "References", Value: strings.Repeat("x", 901)}}
		},
		"file name with LF": func(_ *email.Message, c *email.Content) { c.Attachments = []email.Attachment{{Filename: "a\nb"}} },
		"file name of 1001": func(_ *email.Message, c *email.Content) {
			c.Attachments = []email.Attachment{{Filename: strings.Repeat("x", 1001)}}
		},
		"content type with CR": func(_ *email.Message, c *email.Content) {
			c.Attachments = []email.Attachment{{Filename: "a", ContentType: "a/b\r"}}
		},
		"content id with a space": func(_ *email.Message, c *email.Content) {
			c.Attachments = []email.Attachment{{Filename: "a", ContentID: "a b"}}
		},
		"content id in brackets": func(_ *email.Message, c *email.Content) {
			c.Attachments = []email.Attachment{{Filename: "a", ContentID: "<a>"}}
		},
	}
}

func TestMessageRefuses(t *testing.T) {
	cases := faultyMessages()
	maps.Copy(cases, faultyContents())
	for name, spoil := range cases {
		t.Run(name, func(t *testing.T) {
			m, c := plainMessage(), &email.Content{Text: "Hi"}
			spoil(m, c)
			raw, err := Message(m, c)
			if err == nil {
				t.Fatalf("accepted:\n%s", raw)
			}
			if strings.Contains(err.Error(), "b.example") {
				t.Errorf("the error has an address: %v", err)
			}
		})
	}
}

func TestAddrSpecsThatAreLegal(t *testing.T) {
	for _, s := range []string{"a@b", "a.b+c=d@e.example", `"a b"@c.example`, `"a\"b"@c.example`, `"a@b"@c.example`, "a@[192.0.2.1]", "a@[IPv6:2001:db8::1]", "#!$%&'*+-/=?^_`{}|~@x.example", "a@xn--mller-kva.example"} {
		if err := checkAddrSpec(s); err != nil {
			t.Errorf("%s: %v", s, err)
		}
	}
}

func TestFilenames(t *testing.T) {
	cases := map[string]struct{ given, want string }{
		"plain":            {"a.pdf", `filename=a.pdf`},
		"space":            {"a b.pdf", `filename="a b.pdf"`},
		"empty":            {"", `filename=attachment`},
		"up and away":      {"../../etc/passwd", `filename=.._.._etc_passwd`},
		"backslash":        {`..\x`, `filename=.._x`},
		"dots":             {"..", `filename=__`},
		"control":          {"a\x01b", `filename=a_b`},
		"quote":            {`a"b`, `filename="a\"b"`},
		"encoded-word":     {"=?utf-8?q?x?=", `filename="=_utf-8?q?x?="`},
		"not ASCII":        {"ä.pdf", "filename*=utf-8''%C3%A4.pdf; filename=_.pdf"},
		"right to left":    {"ann\u202efdp.exe", `filename=ann_fdp.exe`},
		"isolate":          {"ä\u2066b", "filename*=utf-8''%C3%A4_b; filename=__b"},
		"line separator":   {"a\u2028b\u0085c", `filename=a_b_c`},
		"invalid UTF-8":    {"a\xffb", `filename=a_b`},
		"zero-width space": {"a\u200b.exe", `filename=a_.exe`},
	}
	for name, test := range cases {
		t.Run(name, func(t *testing.T) {
			raw := compose(t, plainMessage(), &email.Content{Text: "x", Attachments: []email.Attachment{{Filename: test.given}}})
			raw = []byte(strings.ReplaceAll(string(raw), ";\r\n ", "; "))
			if want := "Content-Disposition: attachment; " + test.want + "\r\n"; !strings.Contains(string(raw), want) {
				t.Errorf("want %s in\n%s", want, raw)
			}
		})
	}
}

func TestContentTypes(t *testing.T) {
	cases := map[string]struct{ given, want string }{
		"plain":              {"image/png", "image/png"},
		"upper case":         {"Image/PNG", "image/png"},
		"parameter":          {"text/calendar; method=REQUEST; charset=utf-8", "text/calendar; charset=utf-8; method=REQUEST"},
		"quoted":             {`a/b; x="y z"`, `a/b; x="y z"`},
		"long and official":  {"application/vnd.openxmlformats-officedocument.presentationml.presentation", "application/vnd.openxmlformats-officedocument.presentationml.presentation"},
		"name is ours":       {"a/b; name=evil.exe", "a/b"},
		"not ASCII":          {`a/b; x*=utf-8''%C3%A4`, "a/b; x*=utf-8''%C3%A4"},
		"empty":              {"", octetStream},
		"no subtype":         {"text", octetStream},
		"rubbish":            {"a b/c", octetStream},
		"multipart":          {"multipart/mixed; boundary=x", octetStream},
		"mail":               {"message/rfc822", octetStream},
		"hidden control":     {"a/b; x*=utf-8''%0D%0AEvil:1", octetStream},
		"too long parameter": {"a/b; x=" + strings.Repeat("y", 1000), octetStream},
	}
	for name, test := range cases {
		t.Run(name, func(t *testing.T) {
			raw := string(compose(t, plainMessage(), &email.Content{Text: "x", Attachments: []email.Attachment{{Filename: "f", ContentType: test.given}}}))
			raw = strings.ReplaceAll(raw, ";\r\n ", "; ")
			if want := "Content-Type: " + test.want + "; name=f\r\n"; !strings.Contains(raw, want) {
				t.Errorf("want %s in\n%s", want, raw)
			}
		})
	}
}
