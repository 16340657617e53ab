package smtpclient

import (
	"encoding/hex"
	"errors"
	"strings"
	"testing"
)

func TestDSNParameters(t *testing.T) {
	to := mailbox{path: "a+b=c@b.test"}
	utf8 := mailbox{path: "\u00e9+x y\\@b.test", utf8: true}
	for _, c := range []struct {
		name          string
		dsn           DSN
		from, to      mailbox
		international bool
		mail, rcpt    string
	}{
		{"nothing asked", DSN{}, to, to, false, "", " ORCPT=rfc822;a+2Bb+3Dc@b.test"},
		{
			"all of it",
			DSN{Notify: NotifyFailure | NotifyDelay | NotifySuccess, Return: ReturnHeader, EnvelopeID: "msg_1+ =2"},
			to, to, false,
			" RET=HDRS ENVID=msg_1+2B+20+3D2", " NOTIFY=SUCCESS,FAILURE,DELAY ORCPT=rfc822;a+2Bb+3Dc@b.test",
		},
		{"never", DSN{Notify: NotifyNever, Return: ReturnFull}, to, to, false, " RET=FULL", " NOTIFY=NEVER ORCPT=rfc822;a+2Bb+3Dc@b.test"},
		{"of a notice", DSN{Notify: NotifyNever, Return: ReturnFull, EnvelopeID: "x"}, mailbox{}, to, false, " ENVID=x", " NOTIFY=NEVER ORCPT=rfc822;a+2Bb+3Dc@b.test"},
		{"redirected", DSN{Original: []string{"old@b.test"}}, to, to, false, "", " ORCPT=rfc822;old@b.test"},
		{"redirected, injected", DSN{Original: []string{"old@b.test\r\nRSET\x00 X=1"}}, to, to, false, "", " ORCPT=rfc822;old@b.test+0D+0ARSET+00+20X+3D1"},
		{"redirected, too long", DSN{Original: []string{strings.Repeat("+", 200)}}, to, to, false, "", ""},
		{"UTF-8", DSN{}, to, utf8, true, "", " ORCPT=utf-8;\u00e9\\x{2B}x\\x{20}y\\x{5C}@b.test"},
		{"UTF-8 to a server without", DSN{Original: []string{"\u00e9\u4f8b@b.test"}}, to, to, false, "", ` ORCPT=utf-8;\x{E9}\x{4F8B}@b.test`},
		{"not even UTF-8", DSN{Original: []string{"\xff\u0085\x7f"}}, to, to, true, "", ` ORCPT=utf-8;\x{FFFD}\x{85}\x{7F}`},
	} {
		if got := c.dsn.ofMail(c.from); got != c.mail {
			t.Errorf("%s: MAIL%s, want%s", c.name, got, c.mail)
		}
		if got := c.dsn.ofRecipient(0, c.to, c.international); got != c.rcpt {
			t.Errorf("%s: RCPT%s, want%s", c.name, got, c.rcpt)
		}
	}
}

func TestDSNCheck(t *testing.T) {
	good := []*DSN{nil, {}, {Notify: NotifyNever}, {Notify: NotifyFailure | NotifyDelay}, {Return: ReturnFull, EnvelopeID: strings.Repeat("x", 100)}}
	for _, d := range good {
		if err := d.check(); err != nil {
			t.Errorf("%+v: %v", d, err)
		}
	}
	bad := []*DSN{
		{Notify: NotifyNever | NotifyFailure},
		{Notify: 1 << 7},
		{Return: "HEADERS"},
		{Return: "HDRS\r\nRSET"},
		{EnvelopeID: "a\r\nb"},
		{EnvelopeID: "\u00e9"},
		{EnvelopeID: "a\tb"},
		{EnvelopeID: strings.Repeat("x", 101)},
		{EnvelopeID: strings.Repeat("+", 34)},
	}
	for _, d := range bad {
		if err := d.check(); !errors.Is(err, ErrCommand) {
			t.Errorf("%+v: %v", d, err)
		}
	}
}

// FuzzDSN lets any text be an ENVID and an original recipient: what passes is one
// parameter each, in octets that a command may hold, and reads back as it was.
func FuzzDSN(f *testing.F) {
	for _, s := range []string{"msg_1", "a b+c=d", "x\r\nRSET", "\u00e9@b.test", "\xff", "a\\x{41}", "\u0085\x7f\u2028", "ORCPT=a NOTIFY=NEVER"} {
		f.Add(s, s, true)
		f.Add(s, s, false)
	}
	f.Fuzz(func(t *testing.T, id, original string, international bool) {
		d := &DSN{EnvelopeID: id, Original: []string{original}}
		to := mailbox{path: "a@b.test"}
		if d.check() == nil {
			params := strings.Fields(d.ofMail(to))
			if len(params) > 1 || len(params) == 1 && unxtext(t, strings.TrimPrefix(params[0], "ENVID=")) != id {
				t.Fatalf("%q became %q", id, params)
			}
		}
		line := "RCPT TO:<a@b.test>" + d.ofRecipient(0, to, international)
		if err := checkCommand(StageRCPT, line, international); err != nil || strings.Count(line, " ") > 2 {
			t.Fatalf("%q: %q, %v", original, line, err)
		}
		address, ok := strings.CutPrefix(line[strings.LastIndexByte(line, ' ')+1:], "ORCPT=rfc822;")
		if ok && original != "" && unxtext(t, address) != original {
			t.Fatalf("%q became %q", original, address)
		}
	})
}

// unxtext reads xtext as RFC 3461 4 tells a server to.
func unxtext(t *testing.T, s string) string {
	t.Helper()
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '=' || s[i] < '!' || s[i] > '~' {
			t.Fatalf("%q is not xtext", s)
		}
		if s[i] != '+' {
			b.WriteByte(s[i])
			continue
		}
		octet, err := hex.DecodeString(s[i+1 : i+3])
		if err != nil {
			t.Fatalf("%q is not xtext: %v", s, err)
		}
		b.Write(octet)
		i += 2
	}
	return b.String()
}
