package smtpclient_test

import (
	"strings"
	"testing"

	"postrider/smtpclient/smtptest"
)

func TestLostWhileSendingTheBody(t *testing.T) {
	t.Parallel()
	big := mailTo("a@b.test")
	big.Data = []byte(strings.Repeat(strings.Repeat("x", 76)+"\r\n", 200_000)) // more than any socket buffer
	for name, action := range map[string]smtptest.Action{
		"close": {After: 1000, Close: true},
		"reset": {After: 1000, Reset: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			srv := smtptest.New(t, smtptest.Options{Script: smtptest.Script{"BODY": {action}}})
			res := send(newTransport(t, nil), planFor(srv), big)
			wantFates(t, res, "temporary body -")
			if n := len(srv.Mails()); n != 0 {
				t.Errorf("%d mails arrived", n)
			}
		})
	}
}

// A reply that is there before the dot was sent must not be taken for its answer.
func TestReplyBeforeTheDot(t *testing.T) {
	t.Parallel()
	srv := smtptest.New(t, smtptest.Options{Script: smtptest.Script{
		"DATA": {smtptest.Garbage("354 go\r\n250 2.0.0 taken\r\n")},
	}})
	res := send(newTransport(t, nil), planFor(srv), mailTo("a@b.test"))
	wantFates(t, res, "temporary body -")
	if n := len(srv.Mails()); n != 0 {
		t.Errorf("%d mails arrived", n)
	}
}

// Replies that are SMTP, but make no sense where they come.
func TestNonsenseReplies(t *testing.T) {
	t.Parallel()
	for key, c := range map[string]struct{ reply, want string }{
		"GREETING": {"354 go", "temporary greeting -"},
		"EHLO":     {"354 go", "temporary ehlo -"},
		"MAIL":     {"354 go", "temporary mail -"},
		"RCPT":     {"354 go", "temporary rcpt -"},
		"DATA":     {"250 ok", "temporary data -"},
		"DOT":      {"354 go", "unknown dot -"},
	} {
		t.Run(key, func(t *testing.T) {
			t.Parallel()
			srv := smtptest.New(t, smtptest.Options{Script: smtptest.Script{key: {smtptest.Reply(c.reply)}}})
			tr := newTransport(t, nil)
			wantFates(t, send(tr, planFor(srv), mailTo("a@b.test")), c.want)
			if res := send(tr, planFor(srv), mailTo("a@b.test")); res.Reused {
				t.Errorf("the connection was used again")
			}
		})
	}
}
