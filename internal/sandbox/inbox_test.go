package sandbox

import (
	"bytes"
	"fmt"
	"strings"
	"sync"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"postrider/internal/email"
)

func subjects(mails []*Mail) []string {
	var all []string
	for _, m := range mails {
		all = append(all, m.Heading().Subject)
	}
	return all
}

func TestInboxBounds(t *testing.T) {
	big := strings.Repeat("x", 1000)
	tests := []struct {
		name         string
		mails, bytes int
		add          []string // bodies
		want         []string // subjects, newest first
	}{
		{"all fit", 10, 1 << 20, []string{"", "", ""}, []string{"2", "1", "0"}},
		{"number", 2, 1 << 20, []string{"", "", "", ""}, []string{"3", "2"}},
		{"octets", 10, 4000, []string{big, big, big, big}, []string{"3", "2"}},
		{"one too big is kept alone", 10, 500, []string{"", "", big}, []string{"2"}},
		{"none", 10, 500, nil, nil},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			box := newInbox(test.mails, test.bytes)
			for i, body := range test.add {
				box.add(&Mail{Data: []byte(mail("x", fmt.Sprint(i)) + body)})
			}
			if diff := cmp.Diff(test.want, subjects(box.List(100))); diff != "" {
				t.Error(diff)
			}
			if got, want := len(box.List(1)), min(1, len(test.want)); got != want {
				t.Errorf("List(1) has %d mails, want %d", got, want)
			}
			if got := box.List(-1); len(got) != 0 {
				t.Errorf("List(-1) has %d mails", len(got))
			}
			total := 0
			for _, m := range box.mails {
				total += m.size()
			}
			if total != box.bytes {
				t.Errorf("counts %d octets, has %d", box.bytes, total)
			}
		})
	}
}

func TestInboxConcurrently(t *testing.T) {
	box := newInbox(20, 1<<20)
	id := email.NewMessageID(0)
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			for range 50 {
				box.add(&Mail{ID: id, Data: []byte(mail(id, "s"))})
				for _, m := range box.List(5) {
					if m.Heading().Subject != "s" {
						t.Error("heading lost")
					}
				}
				box.ForMessage(id)
			}
		})
	}
	group.Wait()
	if got := len(box.ForMessage(id)); got != 20 {
		t.Errorf("%d mails, want 20", got)
	}
	if got := box.ForMessage(""); got != nil {
		t.Errorf("mails without an id: %v", got)
	}
}

func TestOwnID(t *testing.T) {
	id := email.NewMessageID(3)
	tests := []struct{ name, header, want string }{
		{"ours", "Message-ID: <" + id + "@acme.test>\r\n", id},
		{"another case of the name", "MESSAGE-ID: <" + id + "@acme.test>\r\n", id},
		{"folded", "Message-ID:\r\n <" + id + "@acme.test>\r\n", id},
		{"foreign", "Message-ID: <123@acme.test>\r\n", ""},
		{"event id", "Message-ID: <" + email.NewID("evt") + "@acme.test>\r\n", ""},
		{"no brackets", "Message-ID: " + id + "@acme.test\r\n", ""},
		{"no at", "Message-ID: <" + id + ">\r\n", ""},
		{"none", "Subject: x\r\n", ""},
		{"garbage", "\x00\x01 no header at all", ""},
		{"empty", "", ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if got := ownID([]byte(test.header + "\r\nbody")); got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}

const alternative = "From: =?utf-8?q?J=C3=BCrgen?= <j@acme.test>\r\nTo: a@b.test\r\nSubject: =?utf-8?b?R3LDvMOfZQ==?=\r\n" +
	"Content-Type: multipart/mixed; boundary=m\r\n\r\n" +
	"--m\r\nContent-Type: multipart/alternative; boundary=a\r\n\r\n" +
	"--a\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\nsch=C3=B6n\r\n" +
	"--a\r\nContent-Type: text/html; charset=utf-8\r\nContent-Transfer-Encoding: base64\r\n\r\nPGI+c2Now7ZuPC9iPg==\r\n--a--\r\n" +
	"--m\r\nContent-Type: image/png\r\nContent-ID: <logo@x>\r\nContent-Disposition: inline; filename*=utf-8''l%C3%B6go.png\r\nContent-Transfer-Encoding: base64\r\n\r\nAAEC\r\n" +
	"--m--\r\n"

func TestParse(t *testing.T) {
	got := (&Mail{Data: []byte(alternative)}).Parse()
	want := &Parsed{
		Heading: Heading{Subject: "Grüße", From: "Jürgen <j@acme.test>", To: "a@b.test"},
		Fields: []Field{
			{"From", "Jürgen <j@acme.test>"}, {"To", "a@b.test"}, {"Subject", "Grüße"}, {"Content-Type", "multipart/mixed; boundary=m"},
		},
		Text:  "schön",
		HTML:  "<b>schön</b>",
		Files: []File{{Name: "lögo.png", ContentType: "image/png", ContentID: "logo@x", Content: []byte{0, 1, 2}}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestParseHostile(t *testing.T) {
	deep := strings.Builder{}
	for i := range 100 {
		fmt.Fprintf(&deep, "Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d\r\n", i, i)
	}
	many := "Content-Type: multipart/mixed; boundary=b\r\n\r\n" + strings.Repeat("--b\r\nContent-Type: image/png\r\n\r\nx\r\n", 1000) + "--b--\r\n"
	tests := []struct{ name, data, problem string }{
		{"no header", "\x00\x01\x02", "header is malformed"},
		{"nested", deep.String(), "nested too deep"},
		{"many parts", many, "too many parts"},
		{"no boundary", "Content-Type: multipart/mixed\r\n\r\nx", "multipart is malformed"},
		{"cut off", strings.SplitAfter(alternative, "sch")[0], "damaged"},
		{"bad base64", "Content-Transfer-Encoding: base64\r\n\r\n!!!!", "damaged"},
		{"unknown charset", "Content-Type: text/plain; charset=klingon\r\n\r\n\xff", ""},
		{"unknown encoding", "Content-Transfer-Encoding: rot13\r\n\r\nx", ""},
		{"bad content type", "Content-Type: ;;;\r\n\r\nx", ""},
		{"huge header", "Subject: " + strings.Repeat("x", 2<<20) + "\r\n\r\n", "header is malformed"},
		{"empty", "", ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			p := (&Mail{Data: []byte(test.data)}).Parse()
			if test.problem == "" && p.Problem != "" || !strings.Contains(p.Problem, test.problem) {
				t.Errorf("problem %q, want %q", p.Problem, test.problem)
			}
			if len(p.Files) > maxParts {
				t.Errorf("%d files", len(p.Files))
			}
		})
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(alternative))
	f.Add([]byte(mail("msg_x", "s")))
	f.Add([]byte("Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: message/rfc822\r\n\r\nSubject: x\r\n\r\n--b--"))
	f.Add([]byte("Content-Type: text/plain; charset=utf-16\r\nSubject: =?x?b?!?=\r\n\r\n\xff\xfe"))
	f.Fuzz(func(t *testing.T, data []byte) {
		m := &Mail{Data: bytes.Clone(data)}
		p := m.Parse()
		for _, s := range []string{p.Text, p.HTML, p.Heading.Subject, p.Heading.From, m.Heading().Subject, ownID(data)} {
			if !utf8.ValidString(s) {
				t.Errorf("%q is not UTF-8", s)
			}
		}
		if len(p.Files) > maxParts || len(p.Fields) > maxFields {
			t.Errorf("%d files, %d fields", len(p.Files), len(p.Fields))
		}
		if !bytes.Equal(m.Data, data) {
			t.Error("parsing changed the mail")
		}
	})
}

func TestInboxDelete(t *testing.T) {
	box := newInbox(10, 1<<20)
	for i := range 3 {
		box.add(&Mail{Data: []byte(mail("x", fmt.Sprint(i)))})
	}
	if !box.Delete(2) || box.Delete(2) || box.Delete(9) {
		t.Error("Delete tells wrongly whether there was one")
	}
	if diff := cmp.Diff([]string{"2", "0"}, subjects(box.List(10))); diff != "" {
		t.Error(diff)
	}
	box.Clear()
	if len(box.List(10)) != 0 || box.bytes != 0 {
		t.Errorf("after Clear: %d octets", box.bytes)
	}
	box.add(&Mail{Data: []byte(mail("x", "3"))})
	if got := box.List(1)[0].Number; got != 4 {
		t.Errorf("a number is used again: %d", got)
	}
}
