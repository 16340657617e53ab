package smtpclient_test

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"postrider/smtpclient"
	"postrider/smtpclient/smtptest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// loopback lets the tests talk to smtptest, which the address guard would refuse.
func loopback() []netip.Prefix { return []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")} }

func newTransport(t *testing.T, change func(*smtpclient.Options)) *smtpclient.Transport {
	t.Helper()
	o := smtpclient.Options{Hostname: "client.test", AllowedNetworks: loopback(), MaxIdle: time.Minute}
	if change != nil {
		change(&o)
	}
	tr := smtpclient.NewTransport(o)
	t.Cleanup(func() {
		if err := tr.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return tr
}

// planFor has a host for each server, without TLS, in order.
func planFor(servers ...*smtptest.Server) smtpclient.Plan {
	p := smtpclient.Plan{Domain: "b.test", Provider: "b.test"}
	for i, s := range servers {
		p.Hosts = append(p.Hosts, smtpclient.Host{
			Name: fmt.Sprintf("mx%d.b.test", i+1), Addrs: []netip.AddrPort{s.Addr()}, TLS: smtpclient.TLSNone,
		})
	}
	return p
}

func mailTo(to ...string) *smtpclient.Mail {
	return &smtpclient.Mail{From: "b-token@a.test", To: to, Data: []byte("Subject: hi\r\n\r\nhello\r\n")}
}

// fates gives each recipient's outcome in words: "250", "permanent rcpt 550",
// "temporary mail -", "unknown dot -".
func fates(res *smtpclient.Result) []string {
	var list []string
	for _, r := range res.Recipients {
		if r.Err == nil {
			list = append(list, fmt.Sprint(r.Reply.Code))
			continue
		}
		kind, code := "permanent", "-"
		if r.Err.Temporary {
			kind = "temporary"
		}
		if r.Err.Unknown {
			kind = "unknown"
		}
		if r.Err.Reply != nil {
			code = fmt.Sprint(r.Err.Reply.Code)
		}
		list = append(list, fmt.Sprintf("%s %s %s", kind, r.Err.Stage, code))
	}
	return list
}

func wantFates(t *testing.T, res *smtpclient.Result, want ...string) {
	t.Helper()
	if got := fates(res); strings.Join(got, "|") != strings.Join(want, "|") {
		t.Errorf("outcomes %q, want %q\n%s", got, want, dialogue(res))
	}
}

// dialogue prints the transcript.
func dialogue(res *smtpclient.Result) string {
	var b strings.Builder
	for _, l := range res.Transcript {
		fmt.Fprintf(&b, "%s %s\n", l.From, l.Text)
	}
	return b.String()
}

func send(tr *smtpclient.Transport, p smtpclient.Plan, m *smtpclient.Mail) *smtpclient.Result {
	return tr.Send(context.Background(), p, m)
}

func wantManners(t *testing.T, servers ...*smtptest.Server) {
	t.Helper()
	for _, s := range servers {
		if v := s.Violations(); len(v) > 0 {
			t.Errorf("the client misbehaved: %q", v)
		}
	}
}

// verbs lists the first words of all commands that a server got.
func verbs(s *smtptest.Server) string {
	var list []string
	for _, one := range s.Sessions() {
		for _, c := range one.Commands {
			verb, _, _ := strings.Cut(c, " ")
			list = append(list, verb)
		}
	}
	return strings.Join(list, " ")
}
