package smtpclient_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"postrider/smtpclient"
	"postrider/smtpclient/smtptest"
)

// commands lists what a server got in its first session, without the greetings and the data.
func commands(s *smtptest.Server) string {
	var list []string
	for _, c := range s.Sessions()[0].Commands {
		if strings.HasPrefix(c, "MAIL") || strings.HasPrefix(c, "RCPT") {
			list = append(list, c)
		}
	}
	return strings.Join(list, "|")
}

func TestSMTPUTF8(t *testing.T) {
	t.Parallel()
	offered := smtptest.Options{Keywords: []string{"SMTPUTF8"}}
	body := []byte("A: b\r\n\r\n\u00e9\r\n")
	header := []byte("A: \u00e9\r\n\r\nb\r\n")
	for _, c := range []struct {
		name     string
		o        smtptest.Options
		mail     smtpclient.Mail
		fates    string
		commands string
	}{
		{"not needed", offered, smtpclient.Mail{From: "a@a.test", To: []string{"b@b.test"}, Data: body}, "250", "MAIL FROM:<a@a.test> SIZE=12 BODY=8BITMIME|RCPT TO:<b@b.test>"},
		{"domain only", smtptest.Options{}, smtpclient.Mail{From: "a@\u00fc.test", To: []string{"b@b\u00fc.test"}}, "250", "MAIL FROM:<a@xn--tda.test> SIZE=0|RCPT TO:<b@xn--b-eha.test>"},
		{"recipient", offered, smtpclient.Mail{From: "a@a.test", To: []string{"\u00e9@b\u00fc.test"}}, "250", "MAIL FROM:<a@a.test> SIZE=0 SMTPUTF8|RCPT TO:<\u00e9@xn--b-eha.test>"},
		{"sender", offered, smtpclient.Mail{From: "\u00e9@a.test", To: []string{"b@b.test"}}, "250", "MAIL FROM:<\u00e9@a.test> SIZE=0 SMTPUTF8|RCPT TO:<b@b.test>"},
		{"header", offered, smtpclient.Mail{From: "a@a.test", To: []string{"b@b.test"}, Data: header}, "250", "MAIL FROM:<a@a.test> SIZE=12 BODY=8BITMIME SMTPUTF8|RCPT TO:<b@b.test>"},
		{"not offered for the header", smtptest.Options{}, smtpclient.Mail{From: "a@a.test", To: []string{"b@b.test"}, Data: header}, "permanent mail -", ""},
		{"not offered for one", smtptest.Options{}, smtpclient.Mail{From: "a@a.test", To: []string{"\u00e9@b.test", "b@b.test"}}, "permanent mail - 250", "MAIL FROM:<a@a.test> SIZE=0|RCPT TO:<b@b.test>"},
		{"without 8BITMIME", smtptest.Options{No8BitMIME: true, Keywords: []string{"SMTPUTF8"}}, smtpclient.Mail{To: []string{"\u00e9@b.test"}}, "permanent mail -", ""},
		{"to an old server", smtptest.Options{NoEHLO: true}, smtpclient.Mail{To: []string{"\u00e9@b.test"}}, "permanent mail -", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			srv := smtptest.New(t, c.o)
			res := send(newTransport(t, nil), planFor(srv), &c.mail)
			if got := strings.Join(fates(res), " "); got != c.fates {
				t.Errorf("outcomes %q, want %q\n%s", got, c.fates, dialogue(res))
			}
			if got := commands(srv); got != c.commands {
				t.Errorf("commands %q, want %q", got, c.commands)
			}
			for _, r := range res.Recipients {
				if r.Err != nil && (!errors.Is(r.Err, smtpclient.ErrInternational) || r.Err.Enhanced != "5.6.7") {
					t.Errorf("cause %v", r.Err)
				}
			}
		})
	}
}

// RFC 6531 3.2: where one host cannot take it, another may; and a kept connection that
// cannot is left for one that may.
func TestAnotherHostMayOfferMore(t *testing.T) {
	t.Parallel()
	old := smtptest.New(t, smtptest.Options{No8BitMIME: true})
	busy := smtptest.New(t, smtptest.Options{Script: smtptest.Script{"GREETING": {smtptest.Reply("421 4.3.2 busy")}}})
	modern := smtptest.New(t, smtptest.Options{Keywords: []string{"SMTPUTF8"}})
	international := mailTo("\u00e9@b.test")
	eightBit := mailTo("a@b.test")
	eightBit.Data = []byte("\r\n\xff\r\n")
	for _, m := range []*smtpclient.Mail{international, eightBit} {
		tr := newTransport(t, nil)
		wantFates(t, send(tr, planFor(old), m), "permanent mail -")
		wantFates(t, send(tr, planFor(old, modern), m), "250")
		wantFates(t, send(tr, planFor(old, busy), m), "temporary greeting 421")
		// Nor does it matter how many there are before it.
		wantFates(t, send(tr, planFor(append(slices.Repeat([]*smtptest.Server{old}, 6), modern)...), m), "250")
	}
	// Some of them here, the others there.
	m := mailTo("a@b.test", "\u00e9@b.test")
	res := send(newTransport(t, nil), planFor(old, modern), m)
	wantFates(t, res, "250", "250")
	if got := deliveries(old); got != "a@b.test" {
		t.Errorf("the old server took %q", got)
	}
	// Behind one address there may be servers of both kinds.
	mixed := smtptest.New(t, smtptest.Options{Script: smtptest.Script{"EHLO": {smtptest.Reply("250-mx\r\n250 PIPELINING"), smtptest.Pass()}}, Keywords: []string{"SMTPUTF8"}})
	tr := newTransport(t, nil)
	wantFates(t, send(tr, planFor(mixed), mailTo("a@b.test")), "250")
	res = send(tr, planFor(mixed), international)
	wantFates(t, res, "250")
	if res.Reused {
		t.Error("a connection without SMTPUTF8 was used again")
	}
	if res = send(tr, planFor(mixed), international); !res.Reused {
		t.Error("one with SMTPUTF8 was not")
	}
}

func TestDSN(t *testing.T) {
	t.Parallel()
	m := mailTo("a@b.test", "b+c@b.test")
	m.DSN = &smtpclient.DSN{Notify: smtpclient.NotifyFailure, Return: smtpclient.ReturnHeader, EnvelopeID: "msg 1"}
	for _, c := range []struct {
		o    smtptest.Options
		want string
	}{
		{smtptest.Options{}, "MAIL FROM:<b-token@a.test> SIZE=22|RCPT TO:<a@b.test>|RCPT TO:<b+c@b.test>"},
		{
			smtptest.Options{Keywords: []string{"DSN"}}, "MAIL FROM:<b-token@a.test> SIZE=22 RET=HDRS ENVID=msg+201|" +
				"RCPT TO:<a@b.test> NOTIFY=FAILURE ORCPT=rfc822;a@b.test|RCPT TO:<b+c@b.test> NOTIFY=FAILURE ORCPT=rfc822;b+2Bc@b.test",
		},
	} {
		srv := smtptest.New(t, c.o)
		wantFates(t, send(newTransport(t, nil), planFor(srv), m), "250", "250")
		if got := commands(srv); got != c.want {
			t.Errorf("commands %q", got)
		}
		wantManners(t, srv)
	}
}
