package smtpclient_test

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/google/go-cmp/cmp"

	"postrider/smtpclient"
	"postrider/smtpclient/smtptest"
)

func TestTranscript(t *testing.T) {
	t.Parallel()
	srv := smtptest.New(t, smtptest.Options{No8BitMIME: true, Script: smtptest.Script{
		"RCPT no@b.test": {smtptest.Reply("550-5.1.1 no \x1b]0;x\x07\r\n550 5.1.1 such user")},
	}})
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	tr := newTransport(t, func(o *smtpclient.Options) { o.Now = func() time.Time { return now } })
	res := send(tr, planFor(srv), mailTo("a@b.test", "no@b.test"))
	want := fmt.Sprintf(`* connected to mx1.b.test (%s)
S 220 mx.test ESMTP
C EHLO client.test
S 250-mx.test
S 250-ENHANCEDSTATUSCODES
S 250-PIPELINING
S 250 SIZE
C MAIL FROM:<b-token@a.test> SIZE=22
C RCPT TO:<a@b.test>
C RCPT TO:<no@b.test>
C DATA
S 250 2.1.0 ok
S 250 2.1.5 ok
S 550-5.1.1 no ?]0;x?
S 550 5.1.1 such user
S 354 go ahead
* 22 octets of data
C .
S 250 2.0.0 queued as 0
* connection kept for the next transaction
`, srv.Addr())
	if diff := cmp.Diff(want, dialogue(res)); diff != "" {
		t.Error(diff)
	}
	for _, l := range res.Transcript {
		if !l.At.Equal(now) {
			t.Errorf("%+v", l)
		}
	}
	if !res.StartedAt.Equal(now) || !res.EndedAt.Equal(now) {
		t.Errorf("from %v to %v", res.StartedAt, res.EndedAt)
	}
}

// However much a server says, the transcript is small, printable, and keeps its end.
func TestTranscriptIsBounded(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("550-"+strings.Repeat("\x1b\u202ex", 100)+"\r\n", 90) + "550 no"
	srv := smtptest.New(t, smtptest.Options{Script: smtptest.Script{"RCPT": {smtptest.Reply(long)}, "RCPT z@b.test": {smtptest.Pass()}}})
	var to []string
	for i := range 30 {
		to = append(to, fmt.Sprintf("r%d@b.test", i))
	}
	res := send(newTransport(t, nil), planFor(srv), mailTo(append(to, "z@b.test")...))
	octets := 0
	for _, l := range res.Transcript {
		octets += len(l.Text)
		for _, c := range l.Text {
			if !unicode.IsPrint(c) {
				t.Fatalf("transcript holds %q", c)
			}
		}
		if len(l.Text) > 512 {
			t.Errorf("line of %d octets", len(l.Text))
		}
	}
	if len(res.Transcript) > 170 || octets > 64<<10 {
		t.Errorf("%d lines, %d octets", len(res.Transcript), octets)
	}
	all := dialogue(res)
	if !strings.Contains(all, "lines left out") || !strings.Contains(all, "S 250 2.0.0 queued") || !strings.Contains(all, "S 220 ") {
		t.Errorf("beginning or end is missing:\n%s", all)
	}
}

func TestErrorText(t *testing.T) {
	t.Parallel()
	addr := netip.MustParseAddrPort("192.0.2.1:25")
	for _, c := range []struct {
		err  smtpclient.Error
		want string
	}{
		{
			smtpclient.Error{Stage: smtpclient.StageRCPT, Host: "mx", Addr: addr, Reply: &smtpclient.Reply{Code: 550, Enhanced: "5.1.1", Text: "no a@b.test"}},
			"smtp rcpt with mx (192.0.2.1:25): reply 550 5.1.1",
		},
		{
			smtpclient.Error{Stage: smtpclient.StageDot, Host: "mx", Addr: addr, Unknown: true, Err: errors.New("lost")},
			"smtp dot with mx (192.0.2.1:25): lost (outcome unknown)",
		},
		{
			smtpclient.Error{Stage: smtpclient.StageLocal, Enhanced: "5.6.7", Err: smtpclient.ErrInternational},
			"smtp local: 5.6.7 server does not take internationalized mail",
		},
	} {
		if got := c.err.Error(); got != c.want {
			t.Errorf("%q, want %q", got, c.want)
		}
	}
}
