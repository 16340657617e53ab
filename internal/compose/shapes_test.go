package compose

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"mime"
	"strings"

	"postrider/internal/email"
)

// mail is what a reader makes of a composed message.
type mail struct {
	Fields                []string
	Subject               string
	From, To, Cc, ReplyTo []email.Address
	Values                []string // of the caller's fields
	Leaves                []leaf
	Defects               []string
}

type leaf struct {
	Path        string // the multiparts around it, outermost first
	Type        string
	Charset     string
	Method      string // of a calendar
	Disposition string
	Filename    string
	ContentID   string
	Body        string
}

// names are display names, and with a few more, subjects.
func names() []string {
	return []string{
		"", "Ada", "Ada Lovelace", "Acme, Inc.", `The "quoted" \ one`, "J. R. R. Tolkien", "O'Hara", "semi;colon: <at> @ (comment)",
		"Müller", "Grete Müßig-Größenwahn", "山田太郎", "Ünï cödé", "🚚 Versand 🚚", "=?utf-8?q?fake?=", "a =?b", "two  spaces",
		"مرحبا بالعالم", "x" + strings.Repeat("y", 100), strings.Repeat("long name ", 20) + "end", strings.Repeat("Größe ", 30) + "ende",
		strings.Repeat("漢字", 60), "👨‍👩‍👧‍👦 family", "e\u0301 combining", "tab\tinside", "a, b <c@d>", `"`, `\`, "ß", "-", "a.b", "%0d%0aBcc: x@y",
	}
}

func subjects() []string {
	return append(names()[1:],
		"Re: [Ticket #4711] plain words that are just long enough to need a fold somewhere in the middle of them",
		"https://example.org/"+strings.Repeat("path/", 30), strings.Repeat("x", 998), strings.Repeat("ä", 998), strings.Repeat("日本語", 300),
		"double  space and "+strings.Repeat("words  twice ", 12)+"end", "?=", "=?", "=?utf-8?b??=", "a\u00a0b", "low bytes \u560a\u560d",
		"trailing fold "+strings.Repeat("a b c d ", 40)+"z")
}

func filenames() []string {
	return []string{
		"a.txt", "with space.pdf", `quo"te.pdf`, "Größe.pdf", "山田.pdf", strings.Repeat("long", 30) + ".pdf", strings.Repeat("lang ü ", 30) + ".pdf",
		strings.Repeat("x", 250) + ".pdf", "semi;colon=equals.txt", "per%cent.txt", "apo'strophe.txt", "🚚.png", "a, b.txt", "noext", ".hidden",
	}
}

func texts() []string {
	return []string{
		"Hi", "Hi\n", "Hi\r\n", "one\ntwo\r\nthree\rfour", "\n", "\n\n\n", "Grüße\n", strings.Repeat("日本語のテキスト。", 200), strings.Repeat("long line ", 400),
		"From here\nFrom there", ".\n..\n.x", "trailing \ntab\t\nend ", "\x00nul\x01\x7f", "a=b==c=\n", "--=_b65c\n--\n", "=\n=\n= ", "🚚\u2028\u0085\u560a",
		strings.Repeat("x", 75) + "=" + strings.Repeat("y", 76) + " " + strings.Repeat("z", 77), "\r", "\r\r\n\n\r", strings.Repeat("ä", 5000), "\xff\xfe\x80 raw",
		strings.Repeat("a", 78) + "\n" + strings.Repeat("b", 79), "\n.\n \n.\r \r.\n", "<p>" + strings.Repeat("<b>x</b> ", 300) + "</p>",
	}
}

func contents(r *rand.Rand) [][]byte {
	random := make([]byte, 1+r.IntN(3000))
	for i := range random {
		random[i] = byte(r.Uint32())
	}
	return [][]byte{nil, []byte("x"), random, bytes.Repeat([]byte{0}, 57), bytes.Repeat([]byte("\r\n.\r\n"), 40), bytes.Repeat([]byte{0xff}, 114), []byte("--=_\n")}
}

func pick[T any](r *rand.Rand, list []T) T { return list[r.IntN(len(list))] }

// shape makes one message out of everything above, and what a reader must find.
func shape(seed uint64) (*email.Message, *email.Content, mail) {
	r := rand.New(rand.NewPCG(seed, 4711))
	m := plainMessage()
	m.ID = fmt.Sprintf("msg_%026d", seed)
	m.From.Name = pick(r, names())
	m.Subject = pick(r, subjects())
	m.To = people(r, 1+r.IntN(4))
	m.Cc = people(r, r.IntN(3))
	m.Bcc = []email.Address{{Email: "hidden@example.org", Name: "Hidden"}}
	m.ReplyTo = people(r, r.IntN(2))
	c := &email.Content{}
	for i := range r.IntN(4) {
		c.Headers = append(c.Headers, email.Header{Name: fmt.Sprintf("X-Field-%d", i), Value: pick(r, subjects())})
	}
	if r.IntN(2) == 0 {
		c.Headers = append(c.Headers, email.Header{Name: "References", Value: strings.Repeat("<some.message.id@example.org> ", 1+r.IntN(20))})
	}
	// Every combination of parts comes up ten times.
	has := func(bit int) bool { return seed>>bit&1 == 1 }
	if has(0) {
		c.Text = pick(r, texts())
	}
	if has(1) {
		c.HTML = pick(r, texts())
	}
	for i := range 6 {
		inline := i%2 == 0
		if inline && !has(2) || !inline && !has(3) || i > 1 && r.IntN(2) == 0 {
			continue
		}
		a := email.Attachment{Filename: pick(r, filenames()), ContentType: pick(r, []string{"application/pdf", "image/png", "text/csv; charset=utf-8"}), Content: pick(r, contents(r))}
		if inline {
			a.ContentID = fmt.Sprintf("file%d@acme.com", i)
		}
		c.Attachments = append(c.Attachments, a)
	}
	if has(4) {
		c.Calendar = &email.Calendar{Method: pick(r, []string{"REQUEST", "CANCEL", "REPLY"}), Component: "VEVENT", Content: pick(r, calendars())}
		if has(5) {
			c.Calendar.Filename = pick(r, filenames())
		}
	}
	if r.IntN(2) == 0 {
		m.FeedbackID = pick(r, []string{":transactional:acme.com:postrider", strings.Repeat("tag", 21) + ":critical:" + strings.Repeat("label.", 30) + "example:postrider"})
	}
	return m, c, expected(m, c)
}

// calendars are scheduling messages as intake passes them on: with CRLF, folded.
func calendars() []string {
	event := func(lines ...string) string {
		return "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nMETHOD:REQUEST\r\nBEGIN:VEVENT\r\n" + strings.Join(lines, "\r\n") + "\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n"
	}
	return []string{
		event("UID:1@acme.com", "SUMMARY:Review"), event("SUMMARY:"+strings.Repeat("日本", 11), " "+strings.Repeat("語", 24)),
		event("DESCRIPTION:a=b;c=\\n\\,", " .", " From here", "LOCATION:🚚 "), event(strings.Repeat("COMMENT:again and again\r\n", 200) + "X:y"),
	}
}

func people(r *rand.Rand, n int) []email.Address {
	var list []email.Address
	for range n {
		list = append(list, email.Address{Name: pick(r, names()), Email: pick(r, []string{"ada@example.org", "a.b+c@xn--mller-kva.example", `"odd one"@example.org`, "x_y@example.net"})})
	}
	return list
}

// expected says what a reader must find, from the rules and not from the code.
func expected(m *email.Message, c *email.Content) mail {
	want := mail{Fields: []string{"Date", "From"}, Subject: m.Subject, From: []email.Address{m.From}, To: m.To, Cc: m.Cc, ReplyTo: m.ReplyTo}
	if len(m.ReplyTo) > 0 {
		want.Fields = append(want.Fields, "Reply-To")
	}
	want.Fields = append(want.Fields, "To")
	if len(m.Cc) > 0 {
		want.Fields = append(want.Fields, "Cc")
	}
	want.Fields = append(want.Fields, "Subject", "Message-ID")
	for _, h := range c.Headers {
		want.Fields = append(want.Fields, h.Name)
		want.Values = append(want.Values, strings.TrimSpace(h.Value))
	}
	if m.FeedbackID != "" {
		want.Fields, want.Values = append(want.Fields, "Feedback-ID"), append(want.Values, m.FeedbackID)
	}
	want.Fields = append(want.Fields, "MIME-Version", "Content-Type")
	want.Leaves = expectedLeaves(c)
	if len(want.Leaves) == 1 && want.Leaves[0].Path == "" {
		want.Fields = append(want.Fields, "Content-Transfer-Encoding")
	}
	return want
}

func expectedLeaves(c *email.Content) []leaf {
	var inline, attached []leaf
	for _, a := range c.Attachments {
		kind, params, _ := mime.ParseMediaType(a.ContentType)
		l := leaf{Type: kind, Charset: params["charset"], Disposition: "attachment", Filename: a.Filename, Body: string(a.Content)}
		if a.ContentID != "" {
			l.Disposition, l.ContentID = "inline", "<"+a.ContentID+">"
			inline = append(inline, l)
		} else {
			attached = append(attached, l)
		}
	}
	if c.Calendar != nil && c.Calendar.Filename != "" {
		attached = append(attached, leaf{Type: "application/ics", Disposition: "attachment", Filename: c.Calendar.Filename, Body: c.Calendar.Content})
	}
	var bodies []leaf
	if c.Text != "" || (c.HTML == "" && len(c.Attachments) == 0 && c.Calendar == nil) {
		bodies = append(bodies, leaf{Type: "text/plain", Charset: "utf-8", Body: canonical(c.Text)})
	}
	if c.HTML != "" {
		html := []leaf{{Type: "text/html", Charset: "utf-8", Body: canonical(c.HTML)}}
		if len(inline) > 0 {
			html = within("related", append(html, inline...))
			inline = nil
		}
		bodies = append(bodies, html...)
	}
	if c.Calendar != nil {
		bodies = append(bodies, leaf{Type: "text/calendar", Charset: "utf-8", Method: c.Calendar.Method, Body: c.Calendar.Content})
	}
	if bodyCount(c) > 1 {
		bodies = within("alternative", bodies)
	}
	if len(inline)+len(attached) > 0 {
		return within("mixed", append(append(bodies, inline...), attached...))
	}
	if len(bodies) == 1 && bodies[0].Path == "" && bodies[0].Body != "" && !strings.HasSuffix(bodies[0].Body, "\r\n") {
		// The last line of a mail ends with CRLF; base64 has its own way to say so.
		bodies[0].Body += "\r\n"
	}
	return bodies
}

func bodyCount(c *email.Content) (n int) {
	for _, there := range []bool{c.Text != "", c.HTML != "", c.Calendar != nil} {
		if there {
			n++
		}
	}
	return n
}

func within(path string, leaves []leaf) []leaf {
	for i := range leaves {
		leaves[i].Path = strings.TrimSuffix(path+"/"+leaves[i].Path, "/")
	}
	return leaves
}

func canonical(s string) string {
	s = strings.ReplaceAll(s, "\r\n", "\n")
	s = strings.ReplaceAll(s, "\r", "\n")
	return strings.ReplaceAll(s, "\n", "\r\n")
}
