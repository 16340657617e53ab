package compose

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"postrider/internal/email"
)

func TestMain(m *testing.M) {
	flag.Bool("update", false, "write the golden files anew")
	flag.Parse()
	os.Exit(m.Run())
}

// plainMessage is a small one to start from.
func plainMessage() *email.Message {
	return &email.Message{
		ID:        "msg_01k3v5h8p2qxa7c9d1e3f5g7h9",
		CreatedAt: time.Date(2026, 8, 23, 16, 5, 9, 123e6, time.FixedZone("", 2*3600)),
		From:      email.Address{Email: "hi@acme.com", Name: "Acme"},
		To:        []email.Address{{Email: "ada@example.org"}},
		Subject:   "Hello",
		MessageID: "<msg_01k3v5h8p2qxa7c9d1e3f5g7h9@acme.com>",
	}
}

// letter is a larger one, with all that a message can have.
func letter() (*email.Message, *email.Content) {
	m := plainMessage()
	m.From.Name = "Acme, Inc."
	m.To = []email.Address{
		{Email: "ada@example.org", Name: "Ada Lovelace"},
		{Email: "grete@example.org", Name: "Grete Müßig"},
		{Email: "taro@example.jp", Name: "山田太郎"},
		{Email: `"odd one"@example.org`, Name: `The "odd" \ one`},
	}
	m.Cc = []email.Address{{Email: "cc@example.org"}}
	m.Bcc = []email.Address{{Email: "hidden@example.org", Name: "Hidden"}}
	m.ReplyTo = []email.Address{{Email: "support@acme.com", Name: "Support"}}
	m.Subject = "Ihre Bestellung № 4711 ist unterwegs – voraussichtliche Ankunft am Dienstag 🚚, bitte bereithalten"
	return m, &email.Content{
		Text: "Grüße aus München\nFrom here on\n.\n--=_x\ntrailing \n",
		HTML: "<p>Grüße aus <b>München</b></p><img src=\"cid:logo\">",
		Headers: []email.Header{
			{Name: "X-Entity-Ref-ID", Value: "order/4711"},
			{Name: "References", Value: "<" + strings.Repeat("a", 60) + "@example.org> <" + strings.Repeat("b", 60) + "@example.org>"},
			{Name: "List-Unsubscribe", Value: "<https://acme.com/u?t=" + strings.Repeat("x", 120) + ">, <mailto:u@acme.com>"},
			{Name: "X-Note", Value: "übermäßig"},
		},
		Attachments: []email.Attachment{
			{Filename: "logo.png", ContentType: "image/png", ContentID: "logo", Content: []byte("\x89PNG\r\n\x1a\n")},
			{Filename: "Rechnung für Grete, Größe 4711, zweite Ausfertigung.pdf", ContentType: "application/pdf", Content: bytes.Repeat([]byte("%PDF"), 50)},
			{Filename: "old.eml", ContentType: "message/rfc822", Content: []byte("Subject: old\n\nhi\n")},
		},
	}
}

func compose(t testing.TB, m *email.Message, c *email.Content) []byte {
	t.Helper()
	raw, err := Message(m, c)
	if err != nil {
		t.Fatalf("compose: %v", err)
	}
	return raw
}

// wireFaults lists what no composed message may have.
func wireFaults(raw []byte) []string {
	var faults []string
	if !bytes.HasSuffix(raw, []byte("\r\n")) {
		faults = append(faults, "no CRLF at the end")
	}
	header, _, _ := bytes.Cut(raw, []byte("\r\n\r\n"))
	for i, b := range raw {
		switch {
		case b == 0 || b >= 0x80:
			faults = append(faults, "not 7-bit clean")
		case b == '\n' && (i == 0 || raw[i-1] != '\r'):
			faults = append(faults, "bare LF")
		case b == '\r' && (i+1 == len(raw) || raw[i+1] != '\n'):
			faults = append(faults, "bare CR")
		}
	}
	for line := range bytes.SplitSeq(raw, []byte("\r\n")) {
		if len(line) > 998 {
			faults = append(faults, "line longer than 998")
		}
	}
	for line := range bytes.SplitSeq(header, []byte("\r\n")) {
		if len(bytes.TrimSpace(line)) == 0 {
			faults = append(faults, "header line of white space")
		}
		if len(line) > 76 && bytes.Contains(line, []byte("=?utf-8?")) {
			faults = append(faults, "line with encoded-word longer than 76: "+string(line))
		}
		// A word that is longer than a line may stand alone or beside its field name.
		if len(line) > 78 && bytes.Count(bytes.TrimSpace(line), []byte(" ")) > 1 && !bytes.Contains(line, []byte(`"`)) {
			faults = append(faults, "line longer than 78 that could be folded: "+string(line))
		}
	}
	return faults
}

func TestMessageGolden(t *testing.T) {
	m, full := letter()
	hidden := plainMessage()
	hidden.To, hidden.Bcc = nil, []email.Address{{Email: "ada@example.org"}}
	cases := map[string]struct {
		m *email.Message
		c *email.Content
	}{
		"text":        {plainMessage(), &email.Content{Text: "Hi\n"}},
		"alternative": {plainMessage(), &email.Content{Text: "Hi", HTML: "<p>Hi</p>"}},
		"bcc-only":    {hidden, &email.Content{Text: "Hi\n"}},
		"letter":      {m, full},
	}
	for name, test := range cases {
		t.Run(name, func(t *testing.T) {
			raw := compose(t, test.m, test.c)
			golden := filepath.Join("testdata", name+".eml")
			if flag.Lookup("update").Value.String() == "true" {
				if err := os.WriteFile(golden, raw, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), string(raw)); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
			if faults := wireFaults(raw); faults != nil {
				t.Errorf("faults: %q", faults)
			}
			if again := compose(t, test.m, test.c); !bytes.Equal(raw, again) {
				t.Error("composed twice, two results")
			}
		})
	}
}
