package smtpclient_test

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"postrider/smtpclient"
	"postrider/smtpclient/smtptest"
)

func TestRecipientsHaveTheirOwnOutcome(t *testing.T) {
	t.Parallel()
	for _, pipelining := range []bool{true, false} {
		srv := smtptest.New(t, smtptest.Options{NoPipelining: !pipelining, Script: smtptest.Script{
			"RCPT no@b.test":    {smtptest.Reply("550-5.1.1 no such\r\n550 5.1.1 user")},
			"RCPT later@b.test": {smtptest.Reply("452 4.2.2 full")},
			"RCPT many@b.test":  {smtptest.Reply("552 5.5.3 too many recipients")},
			"RCPT quota@b.test": {smtptest.Reply("552 5.2.2 over quota")},
			"RCPT moved@b.test": {smtptest.Reply("251 2.1.5 will forward")},
		}})
		res := send(newTransport(t, nil), planFor(srv), mailTo("a@b.test", "no@b.test", "later@b.test",
			"many@b.test", "quota@b.test", "moved@b.test"))
		wantFates(t, res, "250", "permanent rcpt 550", "temporary rcpt 452", "temporary rcpt 552",
			"permanent rcpt 552", "250")
		if r := res.Recipients[1].Reply; r.Enhanced != "5.1.1" || r.Text != "no such\nuser" {
			t.Errorf("reply %+v", r)
		}
		mails := srv.Mails()
		if len(mails) != 1 || strings.Join(mails[0].To, " ") != "a@b.test moved@b.test" {
			t.Errorf("server took %+v", mails)
		}
		wantManners(t, srv)
	}
}

// RFC 5321 4.5.3.1.10: 552 to RCPT is read as 452. With nobody accepted before it is not
// tried again at once.
func TestStorageExceededForTheFirst(t *testing.T) {
	t.Parallel()
	srv := smtptest.New(t, smtptest.Options{Script: smtptest.Script{"RCPT": {smtptest.Reply("552 mailbox is full")}}})
	wantFates(t, send(newTransport(t, nil), planFor(srv), mailTo("a@b.test")), "temporary rcpt 552")
	if n := srv.Uses()["RCPT"]; n != 1 {
		t.Errorf("%d RCPTs", n)
	}
}

func TestNobodyAccepted(t *testing.T) {
	t.Parallel()
	refuse := smtptest.Reply("550 5.1.1 no such user")
	for name, c := range map[string]struct {
		o    smtptest.Options
		want string // the commands
	}{
		"pipelined":          {smtptest.Options{Script: smtptest.Script{"RCPT": {refuse}}}, "EHLO MAIL RCPT RCPT DATA"},
		"pipelined with 354": {smtptest.Options{Script: smtptest.Script{"RCPT": {refuse}, "DATA": {smtptest.Reply("354 go")}}}, "EHLO MAIL RCPT RCPT DATA"},
		"one by one":         {smtptest.Options{NoPipelining: true, Script: smtptest.Script{"RCPT": {refuse}}}, "EHLO MAIL RCPT RCPT"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			srv := smtptest.New(t, c.o)
			tr := newTransport(t, nil)
			m := mailTo("a@b.test", "b@b.test")
			wantFates(t, send(tr, planFor(srv), m), "permanent rcpt 550", "permanent rcpt 550")
			if got := verbs(srv); got != c.want {
				t.Errorf("commands %q, want %q", got, c.want)
			}
			next := send(tr, planFor(srv), m)
			wantFates(t, next, "permanent rcpt 550", "permanent rcpt 550")
			if !next.Reused {
				t.Errorf("connection was not reused\n%s", dialogue(next))
			}
			if n := len(srv.Mails()); n != 0 {
				t.Errorf("%d mails arrived", n)
			}
			wantManners(t, srv)
		})
	}
}

// More commands than fit a group: all must be answered, in order, without deadlock.
func TestManyRecipients(t *testing.T) {
	t.Parallel()
	srv := smtptest.New(t, smtptest.Options{Handle: func(c smtptest.Command) smtptest.Action {
		if c.Stage == "RCPT" && strings.Contains(c.Path, "7") {
			return smtptest.Reply("550-" + strings.Repeat("x", 900) + "\r\n550 no")
		}
		return smtptest.Pass()
	}})
	var to, want []string
	for i := range 1000 {
		to = append(to, fmt.Sprintf("recipient-%04d@b.test", i))
		want = append(want, "250")
		if strings.Contains(to[i], "7") {
			want[i] = "permanent rcpt 550"
		}
	}
	wantFates(t, send(newTransport(t, nil), planFor(srv), mailTo(to...)), want...)
	wantManners(t, srv)
}

func TestDataArrivesAsGiven(t *testing.T) {
	t.Parallel()
	srv := smtptest.New(t, smtptest.Options{})
	tr := newTransport(t, nil)
	long := strings.Repeat(".dot at every line\r\n..two\r\n", 20_000)
	cases := []struct{ name, data, want string }{
		{"plain", "A: b\r\n\r\nc\r\n", "A: b\r\n\r\nc\r\n"},
		{"no final CRLF", "A: b\r\n\r\nc", "A: b\r\n\r\nc\r\n"},
		{"empty", "", ""},
		{"a dot", ".", ".\r\n"},
		{"a dot line", ".\r\n", ".\r\n"},
		{"dot lines", ".\r\n..\r\n...\r\n", ".\r\n..\r\n...\r\n"},
		{"terminator inside", "a\r\n.\r\nMAIL FROM:<x@y>\r\n", "a\r\n.\r\nMAIL FROM:<x@y>\r\n"},
		{"ends in a dot", "a\r\n.", "a\r\n.\r\n"},
		{"empty lines at the end", "a\r\n\r\n\r\n", "a\r\n\r\n\r\n"},
		{"many blocks", long, long},
		{"8-bit", "\r\n\xc3\xa9\r\n", "\r\n\xc3\xa9\r\n"},
	}
	for i, c := range cases {
		res := send(tr, planFor(srv), &smtpclient.Mail{To: []string{"a@b.test"}, Data: []byte(c.data)})
		wantFates(t, res, "250")
		if got := srv.Mails()[i].Data; !bytes.Equal(got, []byte(c.want)) {
			t.Errorf("%s: %d octets arrived, want %d: %.80q", c.name, len(got), len(c.want), got)
		}
	}
	wantManners(t, srv)
	params := srv.Mails()
	if got := params[1].Params; got != "SIZE=11" {
		t.Errorf("MAIL parameters %q: the CRLF that is added counts", got)
	}
	if got := params[len(cases)-1].Params; got != "SIZE=6 BODY=8BITMIME" {
		t.Errorf("MAIL parameters %q", got)
	}
}

func TestRefusedWithoutSending(t *testing.T) {
	t.Parallel()
	srv := smtptest.New(t, smtptest.Options{Size: 1000, No8BitMIME: true})
	tr := newTransport(t, nil)
	for _, c := range []struct {
		name     string
		mail     smtpclient.Mail
		stage    smtpclient.Stage
		enhanced string
		cause    error
	}{
		{"bare LF", smtpclient.Mail{Data: []byte("a\nb\r\n")}, smtpclient.StageLocal, "5.6.0", smtpclient.ErrData},
		{"bare CR", smtpclient.Mail{Data: []byte("a\r.\r\n")}, smtpclient.StageLocal, "5.6.0", smtpclient.ErrData},
		{"final CR", smtpclient.Mail{Data: []byte("a\r")}, smtpclient.StageLocal, "5.6.0", smtpclient.ErrData},
		{"NUL", smtpclient.Mail{Data: []byte("a\x00\r\n")}, smtpclient.StageLocal, "5.6.0", smtpclient.ErrData},
		{"sender with CRLF", smtpclient.Mail{From: "a@b\r\nRSET"}, smtpclient.StageLocal, "5.1.7", smtpclient.ErrPath},
		{"a line too long", smtpclient.Mail{Data: bytes.Repeat([]byte("x"), 999)}, smtpclient.StageLocal, "5.6.0", smtpclient.ErrData},
		{"ENVID", smtpclient.Mail{DSN: &smtpclient.DSN{EnvelopeID: "a\r\nRSET"}}, smtpclient.StageLocal, "5.5.4", smtpclient.ErrCommand},
		{"sender not ASCII", smtpclient.Mail{From: "\u00e9@b.test"}, smtpclient.StageMAIL, "5.6.7", smtpclient.ErrInternational},
		{"header not ASCII", smtpclient.Mail{Data: []byte("A: \u00e9\r\n")}, smtpclient.StageMAIL, "5.6.7", smtpclient.ErrInternational},
		{"too large", smtpclient.Mail{Data: bytes.Repeat([]byte("x\r\n"), 334)}, smtpclient.StageMAIL, "5.3.4", smtpclient.ErrTooLarge},
		{"8-bit", smtpclient.Mail{Data: []byte("\r\n\xff\r\n")}, smtpclient.StageMAIL, "5.6.3", smtpclient.ErrEightBit},
	} {
		c.mail.To = []string{"a@b.test"}
		err := send(tr, planFor(srv), &c.mail).Recipients[0].Err
		if err == nil || err.Temporary || err.Stage != c.stage || err.Enhanced != c.enhanced || !errors.Is(err, c.cause) {
			t.Errorf("%s: %+v", c.name, err)
		}
	}
	if got := verbs(srv); strings.Contains(got, "MAIL") {
		t.Errorf("server got %q", got)
	}
}

func TestBadRecipientDoesNotStopOthers(t *testing.T) {
	t.Parallel()
	srv := smtptest.New(t, smtptest.Options{})
	res := send(newTransport(t, nil), planFor(srv),
		mailTo("\u00e9@b.test", "a@b.test", "x@b.test> NOTIFY=NEVER", "c@b.test\r\nQUIT"))
	wantFates(t, res, "permanent mail -", "250", "permanent local -", "permanent local -")
	if e := res.Recipients[0].Err; e.Enhanced != "5.6.7" || !errors.Is(e, smtpclient.ErrInternational) {
		t.Errorf("not ASCII: %v", e)
	}
	if e := res.Recipients[2].Err; e.Enhanced != "5.1.3" || !errors.Is(e, smtpclient.ErrPath) {
		t.Errorf("injection: %v", e)
	}
	for _, r := range res.Recipients {
		if r.Err != nil && strings.Contains(r.Err.Error(), "@") {
			t.Errorf("error shows an address: %v", r.Err)
		}
	}
	if got := srv.Mails()[0].To; len(got) != 1 || got[0] != "a@b.test" {
		t.Errorf("server took %q", got)
	}
}

func TestNullReversePathAndQuotedLocalPart(t *testing.T) {
	t.Parallel()
	srv := smtptest.New(t, smtptest.Options{})
	m := mailTo(`"a b\"> x"@b.test`, "Postmaster")
	m.From = ""
	wantFates(t, send(newTransport(t, nil), planFor(srv), m), "250", "250")
	if got := srv.Sessions()[0].Commands[1:4]; strings.Join(got, "|") !=
		`MAIL FROM:<> SIZE=22|RCPT TO:<"a b\"> x"@b.test>|RCPT TO:<Postmaster>` {
		t.Errorf("commands %q", got)
	}
}

func TestOldServer(t *testing.T) {
	t.Parallel()
	srv := smtptest.New(t, smtptest.Options{NoEHLO: true, Script: smtptest.Script{
		// RFC 5321 4.2: a code needs no text, and not even a space.
		"GREETING": {smtptest.Reply("220")}, "MAIL": {smtptest.Reply("250")}, "RCPT": {smtptest.Reply("250 ")},
	}})
	tr := newTransport(t, nil)
	for range 2 {
		wantFates(t, send(tr, planFor(srv), mailTo("a@b.test")), "250")
	}
	if got := verbs(srv); got != "EHLO HELO MAIL RCPT DATA RSET MAIL RCPT DATA" {
		t.Errorf("commands %q", got)
	}
	if got := srv.Sessions()[0].Commands[2]; got != "MAIL FROM:<b-token@a.test>" {
		t.Errorf("parameters without an extension: %q", got)
	}
	wantManners(t, srv)
}

func TestWaitsForTheGreeting(t *testing.T) {
	t.Parallel()
	srv := smtptest.New(t, smtptest.Options{Script: smtptest.Script{"GREETING": {smtptest.Delay(50 * time.Millisecond)}}})
	wantFates(t, send(newTransport(t, nil), planFor(srv), mailTo("a@b.test")), "250")
	wantManners(t, srv)
}

// Whatever is in a command, a line break in it never leaves.
func TestCommandInjectionByHostname(t *testing.T) {
	t.Parallel()
	srv := smtptest.New(t, smtptest.Options{})
	tr := newTransport(t, func(o *smtpclient.Options) { o.Hostname = "client.test\r\nRSET" })
	res := send(tr, planFor(srv), mailTo("a@b.test"))
	wantFates(t, res, "permanent ehlo -")
	if e := res.Recipients[0].Err; !errors.Is(e, smtpclient.ErrCommand) {
		t.Errorf("cause %v", e)
	}
	_ = tr.Close()
	if got := verbs(srv); got != "QUIT" {
		t.Errorf("commands %q", got)
	}
}

// What answers the lone dot with 354 is out of step.
func TestLoneDotAnsweredWithNonsense(t *testing.T) {
	t.Parallel()
	tr, p := over(t, 0, func(c net.Conn) {
		talk(c, func(_ net.Conn, line string) string {
			switch {
			case strings.HasPrefix(line, "RCPT "):
				return "550 5.1.1 no such user\r\n"
			case line == ".":
				return "354 go\r\n"
			}
			return wholly("PIPELINING", line)
		})
	})
	for range 2 {
		res := send(tr, p, mailTo("a@b.test"))
		wantFates(t, res, "permanent rcpt 550")
		if res.Reused {
			t.Errorf("the connection was used again\n%s", dialogue(res))
		}
	}
}
