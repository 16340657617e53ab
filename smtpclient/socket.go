package smtpclient

import (
	"errors"
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
	fd    syscall.RawConn // nil: cannot be looked at, as the pipes of tests
	plain bool            // TCP itself and nothing around it: can be asked
	// Only set by who reads:
	atOnce   bool          // Read does not wait
	patience time.Duration // how long from now on Read may wait, set as the deadline when first it has to; 0: that is done
	until    time.Time     // the deadline is never behind it, if it is not zero

	looked look
	asked  question
}

// look is one read without waiting. Like question it stays with its socket: made anew
// each time it would cost memory.
type look struct {
	at  func(fd uintptr)
	p   []byte
	n   int
	err error
}

func newSocket(nc net.Conn) *socket {
	s := &socket{Conn: nc}
	if sc, ok := nc.(syscall.Conn); ok && canLook {
		if fd, err := sc.SyscallConn(); err == nil {
			s.fd = fd
			l := &s.looked
			l.at = func(fd uintptr) { l.n, l.err = readNow(fd, l.p) }
			// What wraps a TCP connection may do more in its Read and Write.
			if _, s.plain = nc.(*net.TCPConn); s.plain {
				s.asked.step = s.asked.next
			}
		}
	}
	return s
}

// Read reads what has arrived, or waits for it. At once and with nothing there it
// gives os.ErrDeadlineExceeded, which TLS and bufio survive.
func (s *socket) Read(p []byte) (int, error) {
	switch {
	case s.pending():
		return s.asked.take(p)
	case !s.atOnce:
		s.arm()
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

// pending reports whether Read has something that was read by ask.
func (s *socket) pending() bool { return len(s.asked.got) > 0 || s.asked.gotErr != nil }

// arm sets the deadline of reads.
func (s *socket) arm() {
	if s.patience == 0 {
		return
	}
	deadline := time.Now().Add(s.patience)
	if s.patience = 0; !s.until.IsZero() && s.until.Before(deadline) {
		deadline = s.until
	}
	_ = s.Conn.SetReadDeadline(deadline)
}

// question is a write and the read of the answer in one: Go's own Read would try to read
// before it waits, and a look before the write is one read more. Here the look is that try.
type question struct {
	step func(fd uintptr) bool

	p       []byte // to be written
	written int
	err     error // of the write
	begun   bool

	room   [512]byte
	got    []byte // of room: read, and not yet taken
	gotErr error  // where the reading ended
}

// ask writes p if the server has said nothing, and waits until it does: that is for Read.
// It tells how much it wrote: none, with something to be read, if the server spoke first;
// not all if the rest would have to wait. False: this socket cannot do that.
func (s *socket) ask(p []byte) (n int, ok bool, err error) {
	q := &s.asked
	if !s.plain || s.pending() {
		return 0, false, nil
	}
	s.arm()
	q.p, q.written, q.err, q.begun = p, 0, nil, false
	if gone := s.fd.Read(q.step); gone != nil {
		q.gotErr = gone
	}
	q.p = nil
	return q.written, true, q.err
}

// next is what is done with the socket, at first and whenever it has become readable.
func (q *question) next(fd uintptr) (done bool) {
	n, err := readNow(fd, q.room[:])
	if !errors.Is(err, os.ErrDeadlineExceeded) {
		q.got, q.gotErr = q.room[:n], err
		return true
	}
	if q.begun {
		return false
	}
	q.begun = true
	q.written, q.err = writeNow(fd, q.p)
	return q.written < len(q.p)
}

// take gives what was read, and then the error.
func (q *question) take(p []byte) (int, error) {
	if len(q.got) == 0 {
		err := q.gotErr
		q.gotErr = nil
		return 0, err
	}
	n := copy(p, q.got)
	q.got = q.got[n:]
	return n, nil
}
