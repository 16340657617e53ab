package smtpclient

import (
	"net"
	"os"
	"syscall"
	"time"
)

// socket is the TCP connection under a conn. Its reads can be told not to wait, also
// from below TLS, whose own records (tickets) make a socket readable though the
// server has said nothing.
type socket struct {
	net.Conn
	fd syscall.RawConn // nil: cannot be looked at, as the pipes of tests
	// Only set by who reads:
	atOnce   bool          // Read does not wait
	patience time.Duration // how long from now on Read may wait, set as the deadline when first it has to; 0: that is done
	until    time.Time     // the deadline is never behind it, if it is not zero
	looked   look          // of a Read that does not wait
}

// look is one read without waiting, kept so that it costs no memory.
type look struct {
	at  func(fd uintptr)
	p   []byte
	n   int
	err error
}

func newSocket(nc net.Conn) *socket {
	s := &socket{Conn: nc}
	if sc, ok := nc.(syscall.Conn); ok {
		if fd, err := sc.SyscallConn(); err == nil {
			s.fd = fd
			l := &s.looked
			l.at = func(fd uintptr) { l.n, l.err = readNow(fd, l.p) }
		}
	}
	return s
}

// Read reads what has arrived, or waits for it. At once and with nothing there it
// gives os.ErrDeadlineExceeded, which TLS and bufio survive.
func (s *socket) Read(p []byte) (int, error) {
	switch {
	case !s.atOnce:
		if s.patience > 0 {
			deadline := time.Now().Add(s.patience)
			if s.patience = 0; !s.until.IsZero() && s.until.Before(deadline) {
				deadline = s.until
			}
			_ = s.Conn.SetReadDeadline(deadline)
		}
		return s.Conn.Read(p)
	case s.fd == nil:
		return 0, os.ErrDeadlineExceeded
	}
	l := &s.looked
	l.p = p
	// Control and not Read of the RawConn: deadlines, which may be over, have no say in it.
	if gone := s.fd.Control(l.at); gone != nil {
		return 0, gone
	}
	return l.n, l.err
}
