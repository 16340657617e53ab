package smtpclient_test

import (
	"context"
	"fmt"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"postrider/smtpclient"
	"postrider/smtpclient/smtptest"
)

func TestConnectionIsReused(t *testing.T) {
	t.Parallel()
	for _, pipelining := range []bool{true, false} {
		srv := smtptest.New(t, smtptest.Options{NoPipelining: !pipelining})
		tr := newTransport(t, nil)
		for i := range 3 {
			res := send(tr, planFor(srv), mailTo("a@b.test"))
			wantFates(t, res, "250")
			if res.Reused != (i > 0) || res.Host != "mx1.b.test" || !res.Source.IsValid() || res.HELO != "client.test" {
				t.Errorf("transaction %d: %+v", i, res)
			}
		}
		_ = tr.Close()
		// RFC 5321 4.1.4: RSET between transactions; QUIT at the end.
		want := "EHLO MAIL RCPT DATA RSET MAIL RCPT DATA RSET MAIL RCPT DATA QUIT"
		if got := verbs(srv); got != want {
			t.Errorf("commands %q, want %q", got, want)
		}
		wantManners(t, srv)
	}
}

func TestMaxTransactions(t *testing.T) {
	t.Parallel()
	srv := smtptest.New(t, smtptest.Options{})
	tr := newTransport(t, func(o *smtpclient.Options) { o.MaxTransactions = 2 })
	for range 5 {
		wantFates(t, send(tr, planFor(srv), mailTo("a@b.test")), "250")
	}
	if n := len(srv.Sessions()); n != 3 {
		t.Errorf("%d connections", n)
	}
}

func TestNoIdleConnections(t *testing.T) {
	t.Parallel()
	srv := smtptest.New(t, smtptest.Options{})
	tr := newTransport(t, func(o *smtpclient.Options) { o.MaxIdle = -1 })
	for range 2 {
		if res := send(tr, planFor(srv), mailTo("a@b.test")); res.Reused {
			t.Errorf("reused")
		}
	}
	_ = tr.Close()
	if got := verbs(srv); got != "EHLO MAIL RCPT DATA QUIT EHLO MAIL RCPT DATA QUIT" {
		t.Errorf("commands %q", got)
	}
}

// A connection made for one host, policy, identity or trust never serves another.
func TestPoolKey(t *testing.T) {
	t.Parallel()
	srv := smtptest.New(t, smtptest.Options{Users: map[string]string{"u": "p", "v": "q"}})
	tr := newTransport(t, nil)
	first := planFor(srv).Hosts[0]
	for name, change := range map[string]func(*smtpclient.Host){
		"the same":    func(*smtpclient.Host) {},
		"name":        func(h *smtpclient.Host) { h.Name = "mx9.b.test" },
		"policy":      func(h *smtpclient.Host) { h.TLS = smtpclient.TLSOpportunistic },
		"trust":       func(h *smtpclient.Host) { h.Trusted = true },
		"user":        func(h *smtpclient.Host) { h.Auth = &smtpclient.Auth{Username: "u", Password: "p"} },
		"other user":  func(h *smtpclient.Host) { h.Auth = &smtpclient.Auth{Username: "v", Password: "q"} },
		"wrong words": func(h *smtpclient.Host) { h.Auth = &smtpclient.Auth{Username: "u", Password: "x"} },
	} {
		wantFates(t, send(tr, smtpclient.Plan{Hosts: []smtpclient.Host{first}}, mailTo("a@b.test")), "250")
		h := first
		change(&h)
		res := send(tr, smtpclient.Plan{Hosts: []smtpclient.Host{h}}, mailTo("a@b.test"))
		if res.Reused != (name == "the same") {
			t.Errorf("%s: reused %v", name, res.Reused)
		}
		if want := map[bool]string{true: "temporary auth 535", false: "250"}[name == "wrong words"]; fates(res)[0] != want {
			t.Errorf("%s: %v", name, fates(res))
		}
	}
}

// A kept connection that the server has left is replaced within the attempt, and
// the address is not given up for it.
func TestStaleConnection(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, stage string
		action      smtptest.Action
		fate        string
		sessions    int
	}{
		{"421 to RSET", "RSET", smtptest.ReplyClose("421 4.4.2 idle too long"), "250", 2},
		{"closed", "RSET", smtptest.Close(), "250", 2},
		{"reset", "RSET", smtptest.Reset(), "250", 2},
		{"garbage", "RSET", smtptest.Garbage("x\r\n"), "250", 2},
		{"RSET refused", "RSET", smtptest.Reply("500 5.5.1 what?"), "250", 2},
		{"421 to MAIL", "MAIL", smtptest.ReplyClose("421 4.3.0 too many mails on this connection"), "250", 2},
		{"closed at MAIL", "MAIL", smtptest.Close(), "250", 2},
		{"slow down", "MAIL", smtptest.ReplyClose("421 4.7.0 too fast"), "temporary mail 421", 1},
		{"lost at RCPT", "RCPT", smtptest.Close(), "temporary rcpt -", 1},
		{"lost at the dot", "DOT", smtptest.Close(), "unknown dot -", 1},
	} {
		for _, pipelining := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s/pipelining=%v", c.name, pipelining), func(t *testing.T) {
				t.Parallel()
				script := smtptest.Script{c.stage: {smtptest.Pass(), c.action, smtptest.Pass()}}
				if c.stage == "RSET" {
					script = smtptest.Script{"RSET": {c.action, smtptest.Pass()}}
				}
				srv := smtptest.New(t, smtptest.Options{NoPipelining: !pipelining, Script: script})
				tr := newTransport(t, func(o *smtpclient.Options) { o.MaxAddresses = 1 })
				wantFates(t, send(tr, planFor(srv), mailTo("a@b.test")), "250")
				marks := 0
				m := mailTo("b@b.test")
				m.Mark = func(context.Context, []int) error { marks++; return nil }
				res := send(tr, planFor(srv), m)
				wantFates(t, res, c.fate)
				if n := len(srv.Sessions()); n != c.sessions || res.Reused != (c.sessions == 1) || len(res.Tried) != 0 || marks > 1 {
					t.Errorf("%d connections, reused %v, tried %v, %d marks\n%s", n, res.Reused, res.Tried, marks, dialogue(res))
				}
			})
		}
	}
}

func TestStaleConnectionToADeadServer(t *testing.T) {
	t.Parallel()
	srv, other := smtptest.New(t, smtptest.Options{}), smtptest.New(t, smtptest.Options{})
	tr := newTransport(t, nil)
	p := planFor(srv, other)
	wantFates(t, send(tr, p, mailTo("a@b.test")), "250")
	srv.Close()
	res := send(tr, p, mailTo("a@b.test"))
	wantFates(t, res, "250")
	if res.Host != "mx2.b.test" || res.Reused || len(res.Tried) != 1 {
		t.Errorf("result %+v", res)
	}
}

func TestIdleConnectionsLeave(t *testing.T) {
	t.Parallel()
	srv := smtptest.New(t, smtptest.Options{})
	tr := newTransport(t, func(o *smtpclient.Options) { o.MaxIdle = 20 * time.Millisecond })
	wantFates(t, send(tr, planFor(srv), mailTo("a@b.test")), "250")
	for deadline := time.Now().Add(10 * time.Second); srv.Open() > 0; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the connection is still open")
		}
	}
	if got := verbs(srv); !strings.HasSuffix(got, "QUIT") {
		t.Errorf("commands %q", got)
	}
}

func TestManySendsAtOnce(t *testing.T) {
	t.Parallel()
	srv := smtptest.New(t, smtptest.Options{})
	tr := newTransport(t, nil)
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for n := range 50 {
				res := send(tr, planFor(srv), mailTo(fmt.Sprintf("r%d-%d@b.test", i, n)))
				if res.Recipients[0].Err != nil {
					t.Error(res.Recipients[0].Err)
				}
			}
		})
	}
	wg.Wait()
	seen := make(map[string]int)
	for _, m := range srv.Mails() {
		seen[m.To[0]]++
	}
	if len(seen) != 400 || len(srv.Mails()) != 400 {
		t.Errorf("%d mails to %d recipients", len(srv.Mails()), len(seen))
	}
	if n := len(srv.Sessions()); n > 8 {
		t.Errorf("%d connections for 8 senders", n)
	}
	wantManners(t, srv)
}

// Sends that run while the transport closes end as usual and leave nothing open.
func TestCloseWhileSending(t *testing.T) {
	t.Parallel()
	srv := smtptest.New(t, smtptest.Options{Script: smtptest.Script{"DOT": {smtptest.Delay(50 * time.Millisecond)}}})
	tr := newTransport(t, nil)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() { wantFates(t, send(tr, planFor(srv), mailTo("a@b.test")), "250") })
	}
	_ = tr.Close()
	wg.Wait()
	for deadline := time.Now().Add(10 * time.Second); srv.Open() > 0; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%d connections are still open", srv.Open())
		}
	}
}

// A connection on which no mail was sent, for this server cannot take it, is probed
// before the next like any other.
func TestStaleConnectionThatServedNobody(t *testing.T) {
	t.Parallel()
	gone := make(chan bool, 1)
	var conns atomic.Int32
	tr, p := over(t, 0, func(c net.Conn) {
		if conns.Add(1) > 1 {
			talk(c, func(_ net.Conn, line string) string { return wholly("SIZE 1000", line) })
			return
		}
		talk(c, func(c net.Conn, line string) string {
			if line == "RSET" || strings.HasPrefix(line, "MAIL ") {
				_ = c.Close()
				gone <- true
			}
			return wholly("SIZE 1000", line)
		})
	})
	large := mailTo("a@b.test")
	large.Data = []byte(strings.Repeat("x\r\n", 1000))
	wantFates(t, send(tr, p, large), "permanent mail -")
	wantFates(t, send(tr, p, mailTo("a@b.test")), "250")
	<-gone // the first was used again
}
