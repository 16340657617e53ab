package smtptest_test

import (
	"bufio"
	"crypto/tls"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"postrider/smtpclient/smtptest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// peer is a client that says exactly what it is told to.
type peer struct {
	t *testing.T
	net.Conn
	r *bufio.Reader
}

func dial(t *testing.T, s *smtptest.Server) *peer {
	t.Helper()
	c, err := net.Dial("tcp", s.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	_ = c.SetDeadline(time.Now().Add(20 * time.Second))
	return &peer{t: t, Conn: c, r: bufio.NewReader(c)}
}

// say sends octets as they are.
func (p *peer) say(octets string) {
	p.t.Helper()
	if _, err := io.WriteString(p.Conn, octets); err != nil {
		p.t.Fatal(err)
	}
}

// hear reads one reply and wants its first line to begin so.
func (p *peer) hear(prefix string) {
	p.t.Helper()
	first := ""
	for {
		line, err := p.r.ReadString('\n')
		if err != nil {
			p.t.Fatalf("want %q: %v", prefix, err)
		}
		if first == "" {
			first = line
		}
		if len(line) < 4 || line[3] != '-' {
			break
		}
	}
	if !strings.HasPrefix(first, prefix) {
		p.t.Fatalf("got %q, want %q", first, prefix)
	}
}

// gone wants the connection closed.
func (p *peer) gone() {
	p.t.Helper()
	if b, err := p.r.ReadByte(); err == nil {
		p.t.Fatalf("got %q, want the end", b)
	}
}

// upToData runs a transaction up to 354.
func (p *peer) upToData(to ...string) {
	p.t.Helper()
	p.hear("220")
	p.say("EHLO peer.test\r\n")
	p.hear("250")
	p.say("MAIL FROM:<a@a.test> SIZE=5\r\n")
	p.hear("250")
	for _, one := range to {
		p.say("RCPT TO:<" + one + ">\r\n")
		p.hear("250")
	}
	p.say("DATA\r\n")
	p.hear("354")
}

func TestMailIsRecorded(t *testing.T) {
	t.Parallel()
	s := smtptest.New(t, smtptest.Options{})
	p := dial(t, s)
	p.upToData("b@b.test", "c@b.test")
	p.say("..dot\r\n\r\nx\r\n..\r\n.\r\n")
	p.hear("250")
	p.say("QUIT\r\n")
	p.hear("221")
	p.gone()
	mails := s.Mails()
	if len(mails) != 1 {
		t.Fatalf("%d mails", len(mails))
	}
	m := mails[0]
	if m.From != "a@a.test" || strings.Join(m.To, " ") != "b@b.test c@b.test" || m.Params != "SIZE=5" ||
		string(m.Data) != ".dot\r\n\r\nx\r\n.\r\n" || !m.Accepted() || m.TLS {
		t.Errorf("%+v", m)
	}
	one := s.Sessions()[0]
	if one.HELO != "peer.test" || len(one.Commands) != 6 || len(s.Violations()) != 0 {
		t.Errorf("%+v", one)
	}
}

// Only CRLF.CRLF ends the content, and what is wrong with it is noted.
func TestEndOfContent(t *testing.T) {
	t.Parallel()
	for _, end := range []string{"\n.\n", "\n.\r\n", "\r\n.\n", "\r\n.\r", "\r.\r\n"} {
		s := smtptest.New(t, smtptest.Options{})
		p := dial(t, s)
		p.upToData("b@b.test")
		p.say("x" + end + "y\r\n.\r\n")
		p.hear("250")
		if n := len(s.Mails()); n != 1 || len(s.Violations()) == 0 {
			t.Errorf("%q: %d mails, violations %q", end, n, s.Violations())
		}
	}
}

func TestScriptGoesOn(t *testing.T) {
	t.Parallel()
	s := smtptest.New(t, smtptest.Options{
		Script: smtptest.Script{
			"RCPT b@b.test": {smtptest.Reply("450 4.7.1 greylisted"), smtptest.Pass()},
			"RCPT":          {smtptest.Reply("550-5.1.1 no\r\n550 5.1.1 one")},
		},
		Handle: func(c smtptest.Command) smtptest.Action {
			if c.Stage == "MAIL" && c.Path == "bad@a.test" {
				return smtptest.Reply("553 5.1.8 no")
			}
			return smtptest.Pass()
		},
	})
	p := dial(t, s)
	p.hear("220")
	p.say("HELO x\r\n")
	p.hear("250 mx.test")
	p.say("MAIL FROM:<bad@a.test>\r\n")
	p.hear("553")
	p.say("MAIL FROM:<>\r\n")
	p.hear("250")
	for _, step := range []string{"b@b.test 450", "b@b.test 250", "b@b.test 250", "other@b.test 550"} {
		mailbox, code, _ := strings.Cut(step, " ")
		p.say("RCPT TO:<" + mailbox + ">\r\n")
		p.hear(code)
	}
	if u := s.Uses(); u["RCPT b@b.test"] != 3 || u["RCPT"] != 1 {
		t.Errorf("uses %v", u)
	}
}

func TestWaysToEnd(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		action smtptest.Action
		hear   string
	}{
		"close":       {smtptest.Close(), ""},
		"reset":       {smtptest.Reset(), ""},
		"reply close": {smtptest.ReplyClose("421 4.3.2 bye"), "421"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := smtptest.New(t, smtptest.Options{Script: smtptest.Script{"DOT b@b.test": {c.action}}})
			p := dial(t, s)
			p.upToData("b@b.test")
			p.say("x\r\n.\r\n")
			if c.hear != "" {
				p.hear(c.hear)
			}
			p.gone()
			if m := s.Mails(); len(m) != 1 || m[0].Accepted() {
				t.Errorf("%+v", m)
			}
		})
	}
}

func TestStallAndFloodEndWithTheServer(t *testing.T) {
	t.Parallel()
	for _, a := range []smtptest.Action{smtptest.Stall(), smtptest.Flood("250-x\r\n")} {
		s := smtptest.New(t, smtptest.Options{Script: smtptest.Script{"MAIL": {a}}})
		p := dial(t, s)
		p.hear("220")
		p.say("EHLO x\r\n")
		p.hear("250")
		p.say("MAIL FROM:<>\r\n")
		s.Close()
		_, _ = io.Copy(io.Discard, p.r)
	}
}

func TestViolations(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		o    smtptest.Options
		say  string
		want string
	}{
		"bare LF":                  {smtptest.Options{}, "NOOP\n", "bare LF"},
		"pipelining without offer": {smtptest.Options{NoPipelining: true}, "MAIL FROM:<>\r\nRCPT TO:<b@b.test>\r\n", "did not wait"},
		"behind EHLO":              {smtptest.Options{}, "EHLO x\r\nMAIL FROM:<>\r\n", "behind EHLO"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := smtptest.New(t, c.o)
			p := dial(t, s)
			p.hear("220")
			p.say(c.say)
			p.hear("")
			p.say("QUIT\r\n")
			_, _ = io.Copy(io.Discard, p.r)
			if got := strings.Join(s.Violations(), "; "); !strings.Contains(got, c.want) {
				t.Errorf("violations %q", got)
			}
		})
	}
}

func TestEarlyTalkerIsNoted(t *testing.T) {
	t.Parallel()
	s := smtptest.New(t, smtptest.Options{Script: smtptest.Script{"GREETING": {smtptest.Delay(50 * time.Millisecond)}}})
	p := dial(t, s)
	p.say("EHLO x\r\n")
	p.hear("220")
	if got := s.Violations(); len(got) != 1 {
		t.Errorf("violations %q", got)
	}
}

func TestSTARTTLSAndAuth(t *testing.T) {
	t.Parallel()
	s := smtptest.New(t, smtptest.Options{STARTTLS: true, Users: map[string]string{"u": "p"}})
	p := dial(t, s)
	p.hear("220")
	p.say("EHLO x\r\n")
	p.hear("250")
	p.say("STARTTLS\r\n")
	p.hear("220")
	tc := tls.Client(p.Conn, &tls.Config{ServerName: "mx.test", RootCAs: s.RootCAs()})
	if err := tc.Handshake(); err != nil {
		t.Fatal(err)
	}
	p.Conn, p.r = tc, bufio.NewReader(tc)
	p.say("MAIL FROM:<>\r\n")
	p.hear("503") // EHLO is forgotten
	p.say("EHLO x\r\n")
	p.hear("250")
	encode := func(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) + "\r\n" }
	p.say("AUTH PLAIN " + encode("\x00u\x00wrong"))
	p.hear("535")
	p.say("AUTH LOGIN\r\n")
	p.hear("334")
	p.say(encode("u"))
	p.hear("334")
	p.say(encode("p"))
	p.hear("235")
	if one := s.Sessions()[0]; !one.TLS || one.User != "u" {
		t.Errorf("%+v", one)
	}
}

// Servers on different loopback addresses can share a port.
func TestOnePortManyAddresses(t *testing.T) {
	t.Parallel()
	first := smtptest.New(t, smtptest.Options{Addr: "127.0.0.2:0", Hostname: "one.test"})
	second, err := smtptest.Start(smtptest.Options{Addr: fmt.Sprintf("127.0.0.3:%d", first.Addr().Port()), Hostname: "two.test"})
	if err != nil {
		t.Fatal(err)
	}
	defer second.Close()
	dial(t, first).hear("220 one.test")
	dial(t, second).hear("220 two.test")
	if _, err := smtptest.Start(smtptest.Options{Addr: first.Addr().String()}); err == nil {
		t.Error("one address was taken twice")
	}
}

func TestManyMailsAtOnce(t *testing.T) {
	t.Parallel()
	s := smtptest.New(t, smtptest.Options{})
	const clients, each = 8, 250
	var wg sync.WaitGroup
	for i := range clients {
		p := dial(t, s)
		p.hear("220")
		p.say("EHLO x\r\n")
		p.hear("250")
		wg.Go(func() {
			for n := range each {
				fmt.Fprintf(p, "MAIL FROM:<>\r\nRCPT TO:<%d-%d@b.test>\r\nDATA\r\n", i, n)
				for range 3 {
					if _, err := p.r.ReadString('\n'); err != nil {
						t.Error(err)
						return
					}
				}
				fmt.Fprintf(p, "%d\r\n.\r\n", n)
				if _, err := p.r.ReadString('\n'); err != nil {
					t.Error(err)
					return
				}
				_ = s.Mails()[:0]
			}
		})
	}
	wg.Wait()
	if n := len(s.Mails()); n != clients*each {
		t.Errorf("%d mails", n)
	}
	s.CloseConnections()
}
