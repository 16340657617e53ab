//go:build unix

package smtpclient_test

import (
	"context"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"postrider/smtpclient/smtptest"
)

// fault is one way for a server to misbehave, and when.
type fault struct {
	stage, path string // as smtptest names them
	skip, times int    // uses of the stage before it, and with it
	action      smtptest.Action
}

func faultNames() []string {
	return []string{
		"4xx", "5xx", "421", "close", "reset", "stall", "garbage", "huge line", "endless lines",
		"wrong code", "bare LF", "early reply",
	}
}

// faultAt is the fault of a name at a state.
func faultAt(state, name string) fault {
	f := fault{stage: state, times: 1}
	switch state {
	case "EHLO under TLS":
		f.stage, f.skip = "EHLO", 1
	case "RCPT a", "RCPT b":
		f.stage, f.path = "RCPT", state[5:]+"@b.test"
	case "HANDSHAKE":
		f.times = 2
	}
	if name == "early reply" {
		return early(state, f)
	}
	f.action = misbehave(state, name)
	if state == "BODY" {
		f.action.After = 1000
	}
	return f
}

func misbehave(state, name string) smtptest.Action {
	switch name {
	case "4xx":
		return smtptest.Reply("450 4.2.0 not now")
	case "5xx":
		return smtptest.Reply("550 5.7.1 never")
	case "421":
		return smtptest.ReplyClose("421 4.3.2 closing")
	case "close":
		return smtptest.Close()
	case "reset":
		return smtptest.Reset()
	case "stall":
		return smtptest.Stall()
	case "garbage":
		return smtptest.Garbage("HTTP/1.1 400 Bad Request\r\n\r\n")
	case "huge line":
		return smtptest.Flood(strings.Repeat("250-x", 1000))
	case "endless lines":
		return smtptest.Flood("250-x\r\n")
	case "wrong code":
		if state == "DATA" {
			return smtptest.Reply("250 2.0.0 ok")
		}
		return smtptest.Reply("354 go on")
	case "bare LF":
		if state == "DATA" {
			return smtptest.Garbage("354 go ahead\n")
		}
		return smtptest.Garbage("250 2.0.0 ok\n")
	}
	panic("no such fault: " + name)
}

// early is a reply before the command of a state was sent: right behind the reply to
// the one before. It is one that the command might have had.
func early(state string, f fault) fault {
	const ehlo = "250-mx.test\r\n250-AUTH PLAIN\r\n250-STARTTLS\r\n250 PIPELINING\r\n"
	before := map[string]struct{ stage, path, raw string }{
		"EHLO":      {"GREETING", "", "220 mx.test\r\n250 mx.test\r\n"},
		"HELO":      {"EHLO", "", "502 5.5.1 what?\r\n250 mx.test\r\n"},
		"STARTTLS":  {"EHLO", "", ehlo + "220 2.0.0 go\r\n"},
		"HANDSHAKE": {"STARTTLS", "", "220 2.0.0 go\r\n250-mx.test\r\n250 AUTH PLAIN\r\n"},
		"AUTH":      {"EHLO", "", ehlo + "235 2.7.0 welcome\r\n"},
		"MAIL":      {"EHLO", "", ehlo + "250 2.1.0 ok\r\n"},
		"RCPT a":    {"MAIL", "", "250 2.1.0 ok\r\n250 2.1.5 ok\r\n"},
		"RCPT b":    {"RCPT", "a@b.test", "250 2.1.5 ok\r\n250 2.1.5 ok\r\n"},
		"DATA":      {"RCPT", "b@b.test", "250 2.1.5 ok\r\n250 2.1.5 ok\r\n"},
		"DOT":       {"DATA", "", "354 go ahead\r\n250 2.0.0 queued\r\n"},
		"RSET":      {"DOT", "", "250 2.0.0 queued\r\n250 2.0.0 ok\r\n"},
		"QUIT":      {"DOT", "", "250 2.0.0 queued\r\n221 2.0.0 bye\r\n"},
	}
	if state == "BODY" {
		f.action = smtptest.Action{After: 1000, Raw: "250 2.0.0 queued\r\n"}
		return f
	}
	b := before[state]
	f.stage, f.path, f.times, f.action = b.stage, b.path, 1, smtptest.Garbage(b.raw)
	return f
}

// blockTime is long enough for any machine to write the few octets of an ordinary mail.
const blockTime = 500 * time.Millisecond

// hurry dials connections on which no time is waited in vain: deadlines are ignored,
// and over at once when a server is known to have stalled, so that the timeouts of
// RFC 5321 can be tested as they are. What the server said before is read first.
type hurry struct {
	stalls bool
	mu     sync.Mutex
	conns  []*hurried // by session
}

func (h *hurry) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	c, err := new(net.Dialer).DialContext(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	tcp := c.(*net.TCPConn)
	_ = tcp.SetWriteBuffer(16 << 10)
	if !h.stalls {
		return tcp, nil
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.conns = append(h.conns, &hurried{TCPConn: tcp})
	return h.conns[len(h.conns)-1], nil
}

// watch waits for sessions to stall until the test is over.
func (h *hurry) watch(t *testing.T, srv *smtptest.Server) {
	if !h.stalls {
		return
	}
	var running sync.WaitGroup
	running.Go(func() {
		for t.Context().Err() == nil {
			for _, s := range srv.Sessions() {
				if s.Stalled {
					h.end(s.ID)
				}
			}
			time.Sleep(time.Millisecond)
		}
	})
	t.Cleanup(running.Wait)
}

func (h *hurry) end(session int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if session < len(h.conns) { // else it is not yet dialled for the client
		h.conns[session].end()
	}
}

type hurried struct {
	*net.TCPConn
	over atomic.Bool
}

func (c *hurried) end() {
	c.over.Store(true)
	_ = c.TCPConn.SetWriteDeadline(time.Unix(1, 0))
}

func (c *hurried) SetDeadline(time.Time) error      { return nil }
func (c *hurried) SetReadDeadline(time.Time) error  { return nil }
func (c *hurried) SetWriteDeadline(time.Time) error { return nil }

func (c *hurried) Read(p []byte) (int, error) {
	raw, err := c.SyscallConn()
	if err != nil {
		return 0, err
	}
	for {
		over := c.over.Load()
		var n int
		var got error
		if err := raw.Control(func(fd uintptr) { n, got = syscall.Read(int(fd), p) }); err != nil {
			return 0, err
		}
		switch {
		case got == nil && n == 0:
			return 0, io.EOF
		case got == nil:
			return n, nil
		case got != syscall.EAGAIN && got != syscall.EINTR:
			return 0, got
		case over:
			return 0, os.ErrDeadlineExceeded
		}
		time.Sleep(200 * time.Microsecond)
	}
}
