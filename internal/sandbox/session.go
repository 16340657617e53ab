package sandbox

import (
	"bytes"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/emersion/go-smtp"
)

// session answers one connection.
type session struct {
	box  *Sandbox
	conn *conn

	mu     sync.Mutex // BDAT reads its content in a goroutine of its own
	tx     transaction
	waited time.Duration // for slow addresses, on this connection
}

// transaction is one MAIL with the recipients taken so far.
type transaction struct {
	open bool
	from string
	to   []string
	keys []progressKey // whose scripts come to their end with this mail
	wait time.Duration // the longest of its recipients
}

func (s *Sandbox) newSession(c *smtp.Conn) (smtp.Session, error) {
	return &session{box: s, conn: c.Conn().(*conn)}, nil
}

// Reset forgets the transaction.
func (s *session) Reset() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tx = transaction{}
}

// Logout has nothing to free.
func (s *session) Logout() error { return nil }

// Mail opens a transaction.
func (s *session) Mail(from string, _ *smtp.MailOptions) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	// RFC 5321 4.1.4: MAIL must not be sent while a transaction is open. The
	// library does not look.
	if s.tx.open {
		return reply(503, smtp.EnhancedCode{5, 5, 1}, "A transaction is open already")
	}
	s.tx = transaction{open: true, from: from}
	return nil
}

// Rcpt takes a recipient or plays the next line of its script.
func (s *session) Rcpt(to string, _ *smtp.RcptOptions) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	sc := script{}
	if _, domain, _ := cutAddress(to); strings.EqualFold(domain, Domain) {
		var err error
		if sc, err = scriptOf(to); err != nil {
			return reply(550, smtp.EnhancedCode{5, 1, 1}, "No such sandbox address")
		}
	}
	if refusal := s.refusal(sc, to); refusal != nil {
		if refusal.Code == 421 {
			// RFC 5321 3.8: 421 announces that the server closes the connection.
			s.conn.end()
		}
		return refusal
	}
	s.tx.to = append(s.tx.to, to)
	s.tx.wait = max(s.tx.wait, time.Duration(sc.units)*s.box.delay)
	return nil
}

// refusal is the script's next refusal of a recipient of this envelope; nil if it
// is to be taken. A script that ended begins anew with the next mail.
func (s *session) refusal(sc script, to string) *smtp.SMTPError {
	if len(sc.refusals) == 0 {
		return nil
	}
	last := len(sc.refusals) - 1
	if !sc.remembers() {
		return sc.refusals[last]
	}
	key := keyOf(s.tx.from, to)
	asked := s.box.progress.advance(key)
	if asked > last {
		s.tx.keys = append(s.tx.keys, key)
		return nil
	}
	if r := sc.refusals[asked]; r.Temporary() {
		return r
	}
	s.box.progress.forget(key)
	return sc.refusals[asked]
}

// Data reads the mail and keeps it. The wait of slow recipients is here, behind
// the final dot, as it is with hosts that look at content.
func (s *session) Data(r io.Reader) error {
	s.mu.Lock()
	tx := s.tx
	s.mu.Unlock()
	data, err := io.ReadAll(r)
	if err != nil {
		return readError(err)
	}
	if err := s.pause(tx.wait); err != nil {
		return err
	}
	s.box.Inbox.add(&Mail{
		ID:   ownID(data),
		At:   time.Now(),
		From: tx.from,
		To:   tx.to,
		Data: bytes.Clone(data),
	})
	for _, key := range tx.keys {
		s.box.progress.forget(key)
	}
	return reply(250, smtp.EnhancedCode{2, 0, 0}, "Kept in the sandbox inbox")
}

// readError passes the library's own replies on and hides its other errors.
func readError(err error) error {
	if refusal, ok := err.(*smtp.SMTPError); ok {
		return refusal
	}
	return reply(451, smtp.EnhancedCode{4, 3, 0}, "The mail could not be read")
}

// pause waits d, unless the sandbox closes first. A connection that has waited
// too long in sum ends with the reply to come; its client finds it closed when it
// is idle, and dials again.
func (s *session) pause(d time.Duration) error {
	if d == 0 {
		return nil
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-s.box.closing:
		s.conn.end()
		return reply(421, smtp.EnhancedCode{4, 3, 2}, "The sandbox is closing")
	case <-timer.C:
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.waited += d; s.waited >= maxSessionWait {
		s.conn.end()
	}
	return nil
}
