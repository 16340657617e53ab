package smtpclient

import (
	"net"
	"os"
	"syscall"
)

// socket is the TCP connection under a conn. Its reads can be told not to wait, also
// from below TLS, whose own records (tickets) make a socket readable though the
// server has said nothing.
type socket struct {
	net.Conn
	fd     syscall.RawConn // nil: cannot be looked at, as the pipes of tests
	atOnce bool            // Read does not wait; only set by who reads
}

func newSocket(nc net.Conn) *socket {
	s := &socket{Conn: nc}
	if sc, ok := nc.(syscall.Conn); ok {
		if fd, err := sc.SyscallConn(); err == nil {
			s.fd = fd
		}
	}
	return s
}

// Read reads what has arrived, or waits for it. At once and with nothing there it
// gives os.ErrDeadlineExceeded, which TLS and bufio survive.
func (s *socket) Read(p []byte) (int, error) {
	switch {
	case !s.atOnce:
		return s.Conn.Read(p)
	case s.fd == nil:
		return 0, os.ErrDeadlineExceeded
	}
	var n int
	var err error
	// Control and not Read of the RawConn: deadlines, which may be over, have no say in it.
	if gone := s.fd.Control(func(fd uintptr) { n, err = readNow(fd, p) }); gone != nil {
		return 0, gone
	}
	return n, err
}
