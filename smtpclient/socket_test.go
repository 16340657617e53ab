package smtpclient_test

import (
	"context"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"postrider/smtpclient"
	"postrider/smtpclient/smtptest"
)

// A server that says nothing more is left when its time is over, whichever command a
// write ended with.
func TestNoAnswer(t *testing.T) {
	t.Parallel()
	const patience = 150 * time.Millisecond
	for _, c := range []struct {
		stage, want string
		timeouts    smtpclient.Timeouts
	}{
		{"EHLO", "temporary ehlo -", smtpclient.Timeouts{EHLO: patience}},
		{"MAIL", "temporary mail -", smtpclient.Timeouts{MAIL: patience}},
		{"RCPT", "temporary rcpt -", smtpclient.Timeouts{RCPT: patience}},
		{"DATA", "temporary data -", smtpclient.Timeouts{DATA: patience}},
		{"DOT", "unknown dot -", smtpclient.Timeouts{Dot: patience}},
	} {
		for _, pipelining := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s/pipelining=%v", c.stage, pipelining), func(t *testing.T) {
				t.Parallel()
				srv := smtptest.New(t, smtptest.Options{NoPipelining: !pipelining, Script: smtptest.Script{c.stage: {smtptest.Stall()}}})
				tr := newTransport(t, func(o *smtpclient.Options) { o.Timeouts = c.timeouts })
				began := time.Now()
				res := send(tr, planFor(srv), mailTo("a@b.test"))
				wantFates(t, res, c.want)
				if took := time.Since(began); took < patience || !strings.Contains(dialogue(res), "no answer within 150ms") {
					t.Errorf("after %v:\n%s", took, dialogue(res))
				}
			})
		}
	}
}

// A mail that the socket does not take at once arrives all the same, and only once.
func TestSocketThatTakesLittle(t *testing.T) {
	t.Parallel()
	for _, octets := range []int{32<<10 - 64, 200 << 10} {
		srv := smtptest.New(t, smtptest.Options{Script: smtptest.Script{"BODY": {{Delay: 100 * time.Millisecond}}}})
		tr := newTransport(t, func(o *smtpclient.Options) {
			o.Dial = func(ctx context.Context, network, addr string) (net.Conn, error) {
				nc, err := new(net.Dialer).DialContext(ctx, network, addr)
				if err == nil {
					err = nc.(*net.TCPConn).SetWriteBuffer(4 << 10)
				}
				return nc, err
			}
		})
		m := mailTo("a@b.test")
		m.Data = []byte("Subject: hi\r\n\r\n" + strings.Repeat("."+strings.Repeat("x", 61)+"\r\n", octets/64))
		wantFates(t, send(tr, planFor(srv), m), "250")
		if mails := srv.Mails(); len(mails) != 1 || string(mails[0].Data) != string(m.Data) {
			t.Errorf("%d octets: %d mails arrived, or not as they were sent", octets, len(mails))
		}
	}
}
