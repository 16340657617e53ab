package interop_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"postrider/internal/compose"
	"postrider/internal/email"
)

// mail is one composed message, who sends it and who gets it.
type mail struct {
	id, from string
	to       []string
	raw      []byte
}

// names are display names, subjects and file names.
func names() []string {
	return []string{
		"", "Ada", "Acme, Inc.", `The "quoted" \ one`, "semi;colon: <at> @ (comment)", "Grete Müßig-Größenwahn", "山田太郎", "🚚 Versand 🚚",
		"=?utf-8?q?fake?=", "two  spaces", "مرحبا بالعالم", strings.Repeat("long name ", 30) + "end", strings.Repeat("Größe ", 40), "x" + strings.Repeat("y", 200),
		"%0d%0aBcc: x@y", ".", "..dots", "From here", "a b",
	}
}

func texts(r *rand.Rand) []string {
	return []string{
		"", "Hi", "Hi\n", "\n", "\n\n\n", ".", ".\n", "..\n.\n...\n", "\n.\n.\nQUIT\n", ".a\n.b\n", "one\r\ntwo\rthree\n", "Grüße\n", "trailing \ntab\t\nend ",
		strings.Repeat("long line ", 500), strings.Repeat("x", 998), strings.Repeat("x", 999), strings.Repeat("日本語のテキスト。", 300), "From here\n>From there\n",
		strings.Repeat(".", 76), strings.Repeat(".\n", 500), strings.Repeat("x", 75) + "\n." + strings.Repeat("y", 80), "\x00nul\x01\x7f", "--=_b\n--\n",
		strings.Repeat("many lines\n", 1+r.IntN(3000)), "<p>" + strings.Repeat("<b>x</b> ", 300) + "</p>", "\n.\r\nMAIL FROM:<evil@x.test>\r\n",
	}
}

func contents(r *rand.Rand) [][]byte {
	random := make([]byte, r.IntN(20000))
	for i := range random {
		random[i] = byte(r.Uint32())
	}
	return [][]byte{nil, []byte("."), random, bytes.Repeat([]byte("\r\n.\r\n"), 40), bytes.Repeat([]byte{0}, 57), []byte("\n.\n")}
}

func addresses() []string {
	return []string{
		"ada@example.org", "Mixed.Case+tag=x@Example.org", `"odd one"@example.org`, `"a\"b\\c"@example.org`, `"two@signs"@example.net`, `".dot."@example.org`,
		"!#$%&'*/?^_`{|}~@example.org", "x@xn--bcher-kva.example", "under_score@xn--mller-kva.example", strings.Repeat("l", 64) + "@example.org",
		"a@" + strings.Repeat("long-label.", 15) + "example.org", "1@1.example",
	}
}

func pick[T any](r *rand.Rand, list []T) T { return list[r.IntN(len(list))] }

// international makes a mail one for servers that offer SMTPUTF8 (RFC 6531): local parts,
// a reverse-path or a field of the header in UTF-8. We compose none such ourselves.
func international(r *rand.Rand, one mail) mail {
	shape := r.IntN(7) + 1 // at least one of the three
	if shape&1 != 0 {
		locals := []string{
			"jos\u00e9", "\u7528\u6237", "\u0434\u043c\u0438\u0442\u0440\u0438\u0439.x+y", "\u03b4\u03bf\u03ba\u03b9\u03bc\u03ae", "e\u0301", // not normalized
			strings.Repeat("\u00e9", 32), "\U0001f69a",
		}
		for _, k := range r.Perm(len(locals))[:1+r.IntN(3)] {
			one.to = append(one.to, locals[k]+pick(r, []string{"@example.org", "@xn--bcher-kva.example"}))
		}
	}
	if shape&2 != 0 {
		one.from = "r\u00fcck-b-token@bounce.acme.test"
	}
	if shape&4 != 0 {
		field := pick(r, []string{"Gr\u00fc\u00dfe aus \u014csaka", "\u65e5\u672c\u8a9e <\u7528\u6237@example.org>", strings.Repeat("\u00e9", 400), "\U0001f69a.\r\n \U0001f69a"})
		one.raw = append([]byte("X-International: "+field+"\r\n"), one.raw...)
	}
	return one
}

// mails composes n different ones, the same in every run.
func mails(t *testing.T, n int) []mail {
	t.Helper()
	var list []mail
	for i := range n {
		r := rand.New(rand.NewPCG(uint64(i), 321))
		m, c := message(r, i)
		raw, err := compose.Message(m, c)
		if err != nil {
			t.Fatal(err)
		}
		one := mail{id: m.ID, from: "b-token@bounce.acme.test", raw: raw}
		for _, a := range append(append([]email.Address{}, m.To...), m.Cc...) {
			one.to = append(one.to, a.Email)
		}
		if i%10 == 3 {
			one = international(r, one)
		}
		list = append(list, one)
	}
	return list
}

func message(r *rand.Rand, i int) (*email.Message, *email.Content) {
	m := &email.Message{
		ID: fmt.Sprintf("msg_%026d", i), CreatedAt: time.Date(2026, 8, 23, 16, 5, i%60, 0, time.UTC),
		From: email.Address{Email: "hi@acme.test", Name: pick(r, names())}, Subject: pick(r, names()),
	}
	m.MessageID = "<" + m.ID + "@acme.test>"
	some := r.Perm(len(addresses()))
	for k := range 1 + r.IntN(4) {
		m.To = append(m.To, email.Address{Email: addresses()[some[k]], Name: pick(r, names())})
	}
	if i%50 == 0 {
		for k := range 45 {
			m.Cc = append(m.Cc, email.Address{Email: fmt.Sprintf("user%d@example.com", k), Name: pick(r, names())})
		}
	}
	c := &email.Content{}
	for k := range r.IntN(4) {
		c.Headers = append(c.Headers, email.Header{Name: fmt.Sprintf("X-Field-%d", k), Value: pick(r, names())})
	}
	if r.IntN(4) > 0 {
		c.Text = pick(r, texts(r))
	}
	if r.IntN(3) == 0 {
		c.HTML = pick(r, texts(r))
	}
	for range max(0, r.IntN(6)-3) {
		c.Attachments = append(c.Attachments, email.Attachment{
			Filename: pick(r, names()[1:]), Content: pick(r, contents(r)),
			ContentType: pick(r, []string{"application/pdf", "image/png", "text/csv; charset=utf-8"}),
		})
	}
	return m, c
}
