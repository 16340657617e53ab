package compose

import (
	"bytes"
	"encoding/base64"
	"io"
	"mime/quotedprintable"
	"strings"
	"testing"

	"postrider/internal/email"
)

func TestChooseForm(t *testing.T) {
	cases := map[string]struct{ text, want string }{
		"empty":               {"", "7bit"},
		"lines":               {"a\nb\r\nc\rd", "7bit"},
		"tab":                 {"a\tb", "7bit"},
		"78":                  {strings.Repeat("a", 78), "7bit"},
		"79":                  {strings.Repeat("a", 79), "quoted-printable"},
		"space at a line end": {"a \nb", "quoted-printable"},
		"space before CR":     {"a \rb", "quoted-printable"},
		"space at the end":    {"a ", "quoted-printable"},
		"From at a start":     {"a\nFrom b", "quoted-printable"},
		"From inside":         {"a From b", "7bit"},
		"dot":                 {"a\r\n.\r\n", "quoted-printable"},
		"like a delimiter":    {"a\n--=_b", "quoted-printable"},
		"signature dashes":    {"a\n--\nb", "7bit"},
		"NUL":                 {"a long enough line\x00", "quoted-printable"},
		"some umlauts":        {"Größe und Maß der Dinge", "quoted-printable"},
		"other script":        {"Привет, мир и все остальные", "base64"},
		"binary":              {"\x01\x02\x03\x04\xff\xfe", "base64"},
	}
	for name, test := range cases {
		t.Run(name, func(t *testing.T) {
			if got := chooseForm(test.text).encoding; got != test.want {
				t.Errorf("%s, want %s", got, test.want)
			}
		})
	}
}

func TestQuotedPrintable(t *testing.T) {
	cases := map[string]struct{ text, want string }{
		"line breaks":       {"a\nb\rc\r\nd", "a\r\nb\r\nc\r\nd"},
		"equals":            {"a=b", "a=3Db"},
		"space at the end":  {"a \nb\t", "a=20\r\nb=09"},
		"any byte":          {"\x00\x7f\xff", "=00=7F=FF"},
		"exactly 75":        {strings.Repeat("a", 75), strings.Repeat("a", 75)},
		"76":                {strings.Repeat("a", 76), strings.Repeat("a", 75) + "=\r\na"},
		"no escape split":   {strings.Repeat("a", 74) + "ä", strings.Repeat("a", 74) + "=\r\n=C3=A4"},
		"From":              {"From x", "=46rom x"},
		"From after a soft": {strings.Repeat("a", 75) + "From x", strings.Repeat("a", 75) + "=\r\n=46rom x"},
		"dot":               {".\n.x", "=2E\r\n=2Ex"},
		"dot after a soft":  {strings.Repeat("a", 75) + ".", strings.Repeat("a", 75) + "=\r\n=2E"},
	}
	for name, test := range cases {
		t.Run(name, func(t *testing.T) {
			if got := string(appendQuotedPrintable(nil, test.text)); got != test.want {
				t.Errorf("%q, want %q", got, test.want)
			}
		})
	}
}

// FuzzEncodings: what is written is read back by the standard library, in lines of
// at most 76 characters.
func FuzzEncodings(f *testing.F) {
	for _, text := range texts() {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		want := canonical(text)
		qp := appendQuotedPrintable(nil, text)
		got, err := io.ReadAll(quotedprintable.NewReader(bytes.NewReader(qp)))
		if err != nil || string(got) != want {
			t.Fatalf("quoted-printable: %v\n%q\n%q", err, got, want)
		}
		b64 := textForm{encoding: "base64"}.append(nil, text)
		got, err = base64.StdEncoding.DecodeString(string(b64))
		if err != nil || string(got) != want {
			t.Fatalf("base64: %v\n%q\n%q", err, got, want)
		}
		for _, encoded := range [][]byte{qp, b64} {
			for line := range bytes.SplitSeq(encoded, []byte("\r\n")) {
				if len(line) > 76 || bytes.HasSuffix(line, []byte(" ")) || bytes.HasPrefix(line, []byte("From ")) || bytes.HasPrefix(line, []byte("--=_")) {
					t.Fatalf("line %q", line)
				}
			}
		}
	})
}

// TestBoundariesDiffer: each multipart of each message has its own.
func TestBoundariesDiffer(t *testing.T) {
	seen := map[string]bool{}
	for _, id := range []string{"msg_1", "msg_2", "msg_11"} {
		w := &writer{id: id}
		for range 12 {
			b := w.boundary()
			if seen[b] || len(b) > 70 || !strings.HasPrefix(b, "=_") {
				t.Errorf("boundary %q", b)
			}
			seen[b] = true
		}
	}
}

func BenchmarkMessage10KB(b *testing.B) {
	line := "This is a line of plain text, about as long as mail has them.\n"
	c := &email.Content{Text: strings.Repeat(line, 40), HTML: "<html><body>" + strings.Repeat("<p style=\"color:#333\">"+line+"</p>\n", 80) + "</body></html>"}
	m := plainMessage()
	b.ReportAllocs()
	b.SetBytes(int64(len(c.Text) + len(c.HTML)))
	for b.Loop() {
		compose(b, m, c)
	}
}

func BenchmarkMessageAttachment1MB(b *testing.B) {
	c := &email.Content{Text: "Hi\n", Attachments: []email.Attachment{{Filename: "a.pdf", ContentType: "application/pdf", Content: make([]byte, 1<<20)}}}
	m := plainMessage()
	b.ReportAllocs()
	b.SetBytes(1 << 20)
	for b.Loop() {
		compose(b, m, c)
	}
}
