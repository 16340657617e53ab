package smtpclient_test

import (
	"context"
	"crypto/tls"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"postrider/smtpclient"
	"postrider/smtpclient/smtptest"
)

// diary is a Trace that writes everything down.
func diary(lines *[]string) *smtpclient.Trace {
	note := func(p smtpclient.Peer, format string, args ...any) {
		if !p.Addr.IsValid() {
			format = "no address: " + format
		}
		*lines = append(*lines, strings.TrimSpace(p.Host+" "+fmt.Sprintf(format, args...)))
	}
	return &smtpclient.Trace{
		Connect: func(p smtpclient.Peer, _ time.Duration, err error) {
			note(p, "connect %v %v", p.Source.IsValid(), err != nil)
		},
		Reuse: func(p smtpclient.Peer) { note(p, "reuse") },
		TLS: func(p smtpclient.Peer, info smtpclient.TLSInfo, _ time.Duration, err error) {
			note(p, "tls %s %v %v", info.Version, info.Verified, err)
		},
		Command: func(p smtpclient.Peer, s smtpclient.Stage, line string) { note(p, "%s > %s", s, line) },
		Reply: func(p smtpclient.Peer, s smtpclient.Stage, r smtpclient.Reply, took time.Duration) {
			note(p, "%s < %d %v", s, r.Code, took >= 0)
		},
		Body: func(p smtpclient.Peer, octets int64, _ time.Duration) { note(p, "body %d", octets) },
		Done: func(r *smtpclient.Result) { *lines = append(*lines, "done "+strings.Join(fates(r), " ")) },
	}
}

func TestTrace(t *testing.T) {
	t.Parallel()
	srv := smtptest.New(t, smtptest.Options{
		STARTTLS: true, Hostname: "mx2.b.test", Users: map[string]string{"rider": "s3cret"},
		Script: smtptest.Script{"RCPT no@b.test": {smtptest.Reply("550 5.1.1 no such user")}},
	})
	var lines []string
	tr := newTransport(t, func(o *smtpclient.Options) {
		o.Trace = diary(&lines)
		o.TLSConfig = &tls.Config{RootCAs: srv.RootCAs()}
	})
	dead := smtptest.New(t, smtptest.Options{})
	p := planFor(dead, srv)
	dead.Close()
	p.Hosts[1].TLS, p.Hosts[1].Auth = smtpclient.TLSVerified, &smtpclient.Auth{Username: "rider", Password: "s3cret"}
	send(tr, p, mailTo("a@b.test", "no@b.test"))
	p.Hosts = p.Hosts[1:]
	send(tr, p, mailTo("c@b.test"))
	want := `mx1.b.test connect false true
mx2.b.test connect true false
mx2.b.test greeting < 220 true
mx2.b.test ehlo > EHLO client.test
mx2.b.test ehlo < 250 true
mx2.b.test starttls > STARTTLS
mx2.b.test starttls < 220 true
mx2.b.test tls TLS1.3 true <nil>
mx2.b.test ehlo > EHLO client.test
mx2.b.test ehlo < 250 true
mx2.b.test auth > AUTH PLAIN [redacted]
mx2.b.test auth < 235 true
mx2.b.test mail > MAIL FROM:<b-token@a.test> SIZE=22
mx2.b.test rcpt > RCPT TO:<a@b.test>
mx2.b.test rcpt > RCPT TO:<no@b.test>
mx2.b.test data > DATA
mx2.b.test mail < 250 true
mx2.b.test rcpt < 250 true
mx2.b.test rcpt < 550 true
mx2.b.test data < 354 true
mx2.b.test body 22
mx2.b.test dot > .
mx2.b.test dot < 250 true
done 250 permanent rcpt 550
mx2.b.test reuse
mx2.b.test rset > RSET
mx2.b.test mail > MAIL FROM:<b-token@a.test> SIZE=22
mx2.b.test rcpt > RCPT TO:<c@b.test>
mx2.b.test data > DATA
mx2.b.test rset < 250 true
mx2.b.test mail < 250 true
mx2.b.test rcpt < 250 true
mx2.b.test data < 354 true
mx2.b.test body 22
mx2.b.test dot > .
mx2.b.test dot < 250 true
done 250`
	if diff := cmp.Diff(want, strings.Join(lines, "\n")); diff != "" {
		t.Error(diff)
	}
}

func ExampleTrace() {
	srv, err := smtptest.Start(smtptest.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer srv.Close()
	t := smtpclient.NewTransport(smtpclient.Options{
		Hostname:        "mail.example.com",
		AllowedNetworks: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")},
		Trace: &smtpclient.Trace{
			Command: func(_ smtpclient.Peer, s smtpclient.Stage, line string) { fmt.Println(s, ">", line) },
			Reply: func(_ smtpclient.Peer, s smtpclient.Stage, r smtpclient.Reply, _ time.Duration) {
				fmt.Println(s, "<", r.Code)
			},
		},
	})
	defer t.Close()
	plan := smtpclient.Plan{Hosts: []smtpclient.Host{{Name: "mx.example.net", Addrs: []netip.AddrPort{srv.Addr()}}}}
	t.Send(context.Background(), plan, &smtpclient.Mail{
		From: "bounces@example.com", To: []string{"somebody@example.net"}, Data: []byte("Subject: Hello\r\n\r\nWorld\r\n"),
	})
	// Output:
	// greeting < 220
	// ehlo > EHLO mail.example.com
	// ehlo < 250
	// mail > MAIL FROM:<bounces@example.com> SIZE=25
	// rcpt > RCPT TO:<somebody@example.net>
	// data > DATA
	// mail < 250
	// rcpt < 250
	// data < 354
	// dot > .
	// dot < 250
}
