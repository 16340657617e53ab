package smtptest

import (
	"bufio"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"time"
)

// errEnd ends a session.
var errEnd = errors.New("session over")

// maxLine is the longest command that is read.
const maxLine = 64 << 10

// session is the server's side of one connection.
type session struct {
	srv    *Server
	record *Session // guarded by srv.mu
	tcp    net.Conn
	nc     net.Conn // tcp or TLS on it
	r      *bufio.Reader
	w      *bufio.Writer

	helo   bool
	tls    bool
	from   string
	params string
	mail   bool // MAIL was accepted
	to     []string
}

func newSession(s *Server, c net.Conn, record *Session) *session {
	x := &session{srv: s, record: record, tcp: c}
	x.use(c)
	return x
}

func (x *session) use(c net.Conn) {
	x.nc = c
	x.r = bufio.NewReaderSize(c, maxLine)
	x.w = bufio.NewWriter(c)
}

func (x *session) serve() {
	defer func() {
		_ = x.w.Flush()
		_ = x.nc.Close()
		_ = x.tcp.Close()
		x.srv.mu.Lock()
		x.record.Ended = true
		delete(x.srv.conns, x.tcp)
		x.srv.mu.Unlock()
	}()
	if x.srv.o.ImplicitTLS && x.handshake() != nil {
		return
	}
	if x.greet() != nil {
		return
	}
	for {
		line, err := x.readCommand()
		if err != nil || x.command(line) != nil {
			return
		}
	}
}

// violation records what the client should not have done.
func (x *session) violation(format string, args ...any) {
	x.srv.mu.Lock()
	defer x.srv.mu.Unlock()
	x.record.Violations = append(x.record.Violations, fmt.Sprintf(format, args...))
}

func (x *session) greet() error {
	a := x.srv.action(Command{Session: x.record.ID, Stage: "GREETING"})
	if a.Delay > 0 {
		// RFC 5321 3.1: the client waits for the greeting.
		_ = x.nc.SetReadDeadline(time.Now().Add(a.Delay))
		if _, err := x.r.Peek(1); err == nil {
			x.violation("spoke before the greeting")
			time.Sleep(a.Delay)
		}
		_ = x.nc.SetReadDeadline(time.Time{})
		a.Delay = 0
	}
	_, err := x.answer(a, "220 "+x.srv.o.Hostname+" ESMTP")
	return err
}

// readCommand reads one command line and sends replies that wait for the client.
func (x *session) readCommand() (string, error) {
	if x.r.Buffered() == 0 {
		if err := x.w.Flush(); err != nil {
			return "", err
		}
	}
	raw, err := x.r.ReadSlice('\n')
	if err != nil {
		return "", err
	}
	line := string(raw)
	text, ok := strings.CutSuffix(line, "\r\n")
	if !ok || strings.ContainsAny(text, "\r\x00") {
		x.violation("command line with a bare CR, a bare LF or a NUL")
	}
	x.srv.mu.Lock()
	x.record.Commands = append(x.record.Commands, text)
	x.srv.mu.Unlock()
	return text, nil
}

// action looks up what to do, and waits if it says so.
func (x *session) action(c Command) Action {
	a := x.srv.action(c)
	if a.Delay > 0 {
		_ = x.w.Flush()
		time.Sleep(a.Delay)
		a.Delay = 0
	}
	return a
}

// answer does what an action says, or gives the ordinary reply. It returns the first
// digit of what was answered, and an error when the session is over.
func (x *session) answer(a Action, ordinary string) (class byte, err error) {
	text := a.Raw
	if a.Answer != "" {
		text = crlf(a.Answer) + text
	}
	if text == "" && ordinary != "" && !a.ends() {
		text = crlf(ordinary)
	}
	if _, err := x.w.WriteString(text); err != nil {
		return 0, err
	}
	for a.Endless {
		if _, err := x.w.WriteString(a.Raw); err != nil {
			return 0, err
		}
	}
	if a.ends() {
		return 0, x.end(a)
	}
	if text == "" {
		return 0, nil
	}
	return text[0], nil
}

func (x *session) end(a Action) error {
	if err := x.w.Flush(); err != nil {
		return err
	}
	if a.Stall {
		x.srv.mu.Lock()
		x.record.Stalled = true
		x.srv.mu.Unlock()
		_, _ = io.Copy(io.Discard, x.nc)
	}
	if tcp, ok := x.tcp.(*net.TCPConn); ok && a.Reset {
		_ = tcp.SetLinger(0)
		_ = tcp.Close()
	}
	return errEnd
}

// command runs one command.
func (x *session) command(line string) error {
	verb, arg, _ := strings.Cut(line, " ")
	verb = strings.ToUpper(verb)
	c := Command{Session: x.record.ID, Stage: verb, Line: line, To: x.to}
	x.manners(verb)
	switch verb {
	case "EHLO", "HELO":
		return x.hello(c, arg)
	case "STARTTLS":
		return x.startTLS(c)
	case "AUTH":
		return x.auth(c, arg)
	case "MAIL":
		return x.mailFrom(c, arg)
	case "RCPT":
		return x.rcptTo(c, arg)
	case "DATA":
		return x.data(c)
	case "RSET":
		x.reset()
		return x.simple(c, "250 2.0.0 ok")
	case "NOOP":
		return x.simple(c, "250 2.0.0 ok")
	case "QUIT":
		if err := x.simple(c, "221 2.0.0 bye"); err != nil {
			return err
		}
		return errEnd
	}
	return x.simple(c, "502 5.5.2 what?")
}

func (x *session) simple(c Command, ordinary string) error {
	_, err := x.answer(x.action(c), ordinary)
	return err
}

// manners watches for commands sent before the reply to an earlier one.
func (x *session) manners(verb string) {
	if x.r.Buffered() == 0 {
		return
	}
	switch verb {
	case "EHLO", "HELO", "STARTTLS", "AUTH", "DATA", "QUIT", "NOOP":
		// RFC 2920 3.1: these are the last of their group.
		x.violation("sent more behind %s", verb)
	default:
		if x.srv.o.NoPipelining || x.srv.o.NoEHLO {
			x.violation("did not wait for the reply to %s", verb)
		}
	}
}

func (x *session) reset() { x.from, x.params, x.mail, x.to = "", "", false, nil }

func (x *session) startTLS(c Command) error {
	if x.srv.tls == nil || x.tls {
		return x.simple(c, "502 5.5.1 not here")
	}
	class, err := x.answer(x.action(c), "220 2.0.0 go ahead")
	if err != nil || class != '2' {
		return err
	}
	if err := x.w.Flush(); err != nil {
		return err
	}
	return x.handshake()
}

// handshake puts TLS on the connection; what was said before is forgotten.
func (x *session) handshake() error {
	a := x.action(Command{Session: x.record.ID, Stage: "HANDSHAKE"})
	if a != (Action{}) {
		if _, err := x.r.Peek(1); err != nil { // the client speaks first
			return err
		}
		if _, err := x.answer(a, ""); err != nil {
			return err
		}
		return x.end(Action{Close: true})
	}
	tc := tls.Server(x.tcp, x.srv.tls)
	if err := tc.Handshake(); err != nil {
		return fmt.Errorf("handshake: %w", err)
	}
	x.use(tc)
	x.reset()
	x.helo, x.tls = false, true
	x.srv.mu.Lock()
	x.record.TLS = true
	x.srv.mu.Unlock()
	return nil
}
