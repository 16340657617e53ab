package smtpclient_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"postrider/smtpclient"
)

// pipes makes in-memory connections to a server function, for synctest bubbles.
type pipes struct {
	serve   func(net.Conn)
	dials   int
	running sync.WaitGroup
}

func (p *pipes) dial(context.Context, string, string) (net.Conn, error) {
	p.dials++
	client, server := net.Pipe()
	p.running.Go(func() {
		defer server.Close()
		p.serve(server)
	})
	return client, nil
}

// pipePlan leads to one address that the guard lets pass.
func pipePlan() smtpclient.Plan {
	return smtpclient.Plan{Hosts: []smtpclient.Host{{
		Name: "mx.b.test", Addrs: []netip.AddrPort{netip.MustParseAddrPort("192.0.2.1:25")}, TLS: smtpclient.TLSNone,
	}}}
}

// sendToPipe sends one mail to a server function and tells how long that took.
func sendToPipe(m *smtpclient.Mail, serve func(net.Conn)) (*smtpclient.Result, time.Duration) {
	return sendByPlan(pipePlan(), m, serve)
}

func sendByPlan(plan smtpclient.Plan, m *smtpclient.Mail, serve func(net.Conn)) (*smtpclient.Result, time.Duration) {
	p := &pipes{serve: serve}
	tr := smtpclient.NewTransport(smtpclient.Options{Hostname: "client.test", Dial: p.dial})
	start := time.Now()
	res := tr.Send(context.Background(), plan, m)
	took := time.Since(start)
	_ = tr.Close()
	p.running.Wait()
	return res, took
}

// talk answers each command line with what reply gives, the greeting being the
// reply to "", and content with the reply to ".".
func talk(c net.Conn, reply func(c net.Conn, line string) string) {
	r := bufio.NewReader(c)
	line := ""
	for {
		if _, err := fmt.Fprint(c, reply(c, line)); err != nil {
			return
		}
		inData := line == "DATA"
		for {
			next, err := r.ReadString('\n')
			if err != nil {
				return
			}
			line = strings.TrimSuffix(next, "\r\n")
			if !inData || line == "." {
				break
			}
		}
	}
}

// ordinary is what a small server without PIPELINING answers.
func ordinary(line string) string {
	if line == "" {
		return "220 mx.b.test\r\n"
	}
	if line == "DATA" {
		return "354 go\r\n"
	}
	return "250 ok\r\n"
}

// trickle writes an octet every 50 s until the client leaves.
func trickle(c net.Conn) string {
	for {
		if _, err := c.Write([]byte("2")); err != nil {
			return ""
		}
		time.Sleep(50 * time.Second)
	}
}

// A server that trickles octets holds us for the time of one command, no longer.
func TestTrickleAtEachCommand(t *testing.T) {
	for _, c := range []struct {
		at, fate string
		took     time.Duration
	}{
		{"", "temporary greeting -", 5 * time.Minute},
		{"EHLO", "temporary ehlo -", 5 * time.Minute},
		{"MAIL", "temporary mail -", 5 * time.Minute},
		{"RCPT", "temporary rcpt -", 5 * time.Minute},
		{"DATA", "temporary data -", 2 * time.Minute},
		{".", "unknown dot -", 10 * time.Minute},
	} {
		synctest.Test(t, func(t *testing.T) {
			res, took := sendToPipe(mailTo("a@b.test"), func(conn net.Conn) {
				talk(conn, func(conn net.Conn, line string) string {
					if verb, _, _ := strings.Cut(line, " "); verb == c.at {
						return trickle(conn)
					}
					return ordinary(line)
				})
			})
			wantFates(t, res, c.fate)
			if took != c.took {
				t.Errorf("at %q: took %v, want %v", c.at, took, c.took)
			}
		})
	}
}

// So it is on the way to TLS; the handshake is tried twice.
func TestTrickleAtTLS(t *testing.T) {
	for answer, want := range map[string]time.Duration{"": 5 * time.Minute, "220 go\r\n": 2 * time.Minute} {
		synctest.Test(t, func(t *testing.T) {
			plan := pipePlan()
			plan.Hosts[0].TLS = smtpclient.TLSRequired
			res, took := sendByPlan(plan, mailTo("a@b.test"), func(conn net.Conn) {
				talk(conn, func(conn net.Conn, line string) string {
					if line != "STARTTLS" {
						return wholly("STARTTLS", line)
					}
					_, _ = conn.Write([]byte(answer))
					if answer != "" {
						go func() { _, _ = io.Copy(io.Discard, conn) }() // the ClientHello
					}
					return trickle(conn)
				})
			})
			wantFates(t, res, "temporary starttls -")
			if took != want {
				t.Errorf("behind %q: took %v, want %v", answer, took, want)
			}
		})
	}
}

// A kept connection whose server trickles is soon left for a new one.
func TestTrickleOnAKeptConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &pipes{serve: func(conn net.Conn) {
			talk(conn, func(conn net.Conn, line string) string {
				if line == "RSET" {
					return trickle(conn)
				}
				return ordinary(line)
			})
		}}
		tr := smtpclient.NewTransport(smtpclient.Options{Hostname: "client.test", Dial: p.dial})
		start := time.Now()
		for range 2 {
			wantFates(t, tr.Send(context.Background(), pipePlan(), mailTo("a@b.test")), "250")
		}
		if took := time.Since(start); took != 20*time.Second || p.dials != 2 {
			t.Errorf("took %v, %d connections", took, p.dials)
		}
		_ = tr.Close()
		p.running.Wait()
	})
}

// A server that takes the content by octets is given up by the minimum data rate.
func TestContentIsTakenTooSlowly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := mailTo("a@b.test")
		m.Data = []byte(strings.Repeat(strings.Repeat("x", 76)+"\r\n", 2000)) // 156,000 octets
		res, took := sendToPipe(m, func(conn net.Conn) {
			talk(conn, func(conn net.Conn, line string) string {
				if line != "DATA" {
					return ordinary(line)
				}
				_, _ = conn.Write([]byte("354 go\r\n"))
				for block := make([]byte, 200); ; time.Sleep(time.Second) { // 200 octets/s: each block in time
					if _, err := conn.Read(block); err != nil {
						return ""
					}
				}
			})
		})
		wantFates(t, res, "temporary body -")
		if took > 10*time.Minute {
			t.Errorf("took %v", took)
		}
	})
}

// However slow the server is at every command, Send ends at the session limit.
func TestSessionLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var to []string
		for i := range 100 {
			to = append(to, fmt.Sprintf("r%d@b.test", i))
		}
		res, took := sendToPipe(mailTo(to...), func(conn net.Conn) {
			talk(conn, func(_ net.Conn, line string) string {
				time.Sleep(4 * time.Minute)
				return ordinary(line)
			})
		})
		if took != 30*time.Minute {
			t.Errorf("took %v", took)
		}
		for _, got := range fates(res) {
			if got != "temporary rcpt -" {
				t.Errorf("outcome %q", got)
			}
		}
	})
}

func TestConnectTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tr := smtpclient.NewTransport(smtpclient.Options{
			Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
				<-ctx.Done()
				return nil, ctx.Err()
			},
		})
		addr := netip.MustParseAddrPort("192.0.2.1:25")
		p := smtpclient.Plan{Hosts: []smtpclient.Host{{Name: "mx", Addrs: []netip.AddrPort{addr, addr, addr, addr, addr, addr, addr}}}}
		start := time.Now()
		res := tr.Send(context.Background(), p, mailTo("a@b.test"))
		wantFates(t, res, "temporary connect -")
		if took := time.Since(start); took != 5*30*time.Second || len(res.Tried) != 4 {
			t.Errorf("took %v for %d addresses", took, len(res.Tried)+1)
		}
	})
}

// A kept connection leaves after MaxIdle, and one that is old is not kept.
func TestConnectionAges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &pipes{serve: func(c net.Conn) {
			talk(c, func(_ net.Conn, line string) string { return ordinary(line) })
		}}
		tr := smtpclient.NewTransport(smtpclient.Options{Hostname: "client.test", Dial: p.dial})
		reused := func() bool { return tr.Send(context.Background(), pipePlan(), mailTo("a@b.test")).Reused }
		if reused() {
			t.Error("the first is reused")
		}
		time.Sleep(1900 * time.Millisecond)
		if !reused() {
			t.Error("not reused within 2 s")
		}
		time.Sleep(2100 * time.Millisecond)
		if reused() {
			t.Error("reused after 2 s")
		}
		for range 200 { // 1.9 s each: after 5 min it is replaced
			time.Sleep(1900 * time.Millisecond)
			_ = reused()
		}
		if p.dials < 4 || p.dials > 5 {
			t.Errorf("%d connections", p.dials)
		}
		_ = tr.Close()
		p.running.Wait()
	})
}
