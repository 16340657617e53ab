// Package smtptest has an SMTP server for tests, as httptest has one for HTTP: a
// real TCP listener on loopback that follows a script, misbehaves on request, and
// records what it was told and which mails it got.
//
// Without a script it takes every mail:
//
//	srv := smtptest.New(t, smtptest.Options{})
//	... send to srv.Addr() ...
//	for _, m := range srv.Mails() { ... m.From, m.To, m.Data ... }
//
// A script maps a stage of the dialogue, or a stage and a mailbox, to what happens
// there the first time, the second, and so on; the last action stays in force:
//
//	smtptest.Options{Script: smtptest.Script{
//		"RCPT busy@b.test":   {smtptest.Reply("450 4.7.1 greylisted"), smtptest.Pass()},
//		"RCPT nobody@b.test": {smtptest.Reply("550 5.1.1 no such user")},
//		"DOT":                {smtptest.Reset()},
//	}}
//
// Several MX hosts that share one port, as real ones share port 25, are servers on
// different loopback addresses:
//
//	one := smtptest.New(t, smtptest.Options{Addr: "127.0.0.2:0"})
//	two := smtptest.New(t, smtptest.Options{Addr: fmt.Sprintf("127.0.0.3:%d", one.Addr().Port())})
//
// What the server saw is told by [Server.Mails], [Server.Sessions] with their commands,
// [Server.Uses] of the script, and [Server.Violations]. A function, [Options].Handle, is
// asked where the script says nothing, for what a list cannot say:
//
//	Handle: func(c smtptest.Command) smtptest.Action {
//		if c.Stage == "RCPT" && len(c.To) == 10 {
//			return smtptest.Reply("452 4.5.3 too many recipients")
//		}
//		return smtptest.Pass()
//	}
//
// It misbehaves in more ways than replies: [Garbage] and [Flood] send what is no SMTP,
// [Stall], [Close] and [Reset] stop talking, and an [Action] combines them, as in
// Action{After: 1000, Answer: "552 5.3.4 too large", Close: true} while content is read.
// A reply before its command is Garbage with two replies at the stage before.
//
// It is a test double, not an MTA: it relays nothing and does not judge addresses. It
// does watch the client's manners (RFC 5321, RFC 2920): see [Session].Violations. Only
// tests may import it.
package smtptest

import (
	"bytes"
	"cmp"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"
)

// Options configure a Server. The zero value takes every mail on a free port and
// offers PIPELINING, 8BITMIME, ENHANCEDSTATUSCODES and SIZE.
type Options struct {
	Addr     string   // host:port to listen on; "127.0.0.1:0"
	Hostname string   // in greeting and EHLO reply, and in the certificate; "mx.test"
	Keywords []string // more EHLO keywords, announced as they are

	NoPipelining  bool
	No8BitMIME    bool
	NoEHLO        bool        // EHLO is answered with 502
	Size          int64       // announced; 0 announces SIZE without a limit
	STARTTLS      bool        // offered, with a certificate made for Hostname: see RootCAs
	ImplicitTLS   bool        // TLS from the first octet
	CertificateOf string      // make the certificate for this name instead of Hostname
	TLSConfig     *tls.Config // instead of a made certificate

	Users  map[string]string // user name -> password; if any, AUTH PLAIN and LOGIN are offered
	Script Script
	Handle func(Command) Action // asked where the script says nothing; called by many sessions at once
}

// Server is a running server. Its methods may be called at any time, by anyone.
type Server struct {
	o        Options
	listener net.Listener
	tls      *tls.Config
	roots    *x509.CertPool
	running  sync.WaitGroup

	mu       sync.Mutex
	closed   bool
	conns    map[net.Conn]bool
	seen     map[string]int // script key -> times used
	sessions []*Session
	mails    []Mail
}

// New starts a server that ends with the test. A server that does not start fails it.
func New(t testing.TB, o Options) *Server {
	t.Helper()
	s, err := Start(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

// Start starts a server; the caller closes it.
func Start(o Options) (*Server, error) {
	o.Addr = cmp.Or(o.Addr, "127.0.0.1:0")
	o.Hostname = cmp.Or(o.Hostname, "mx.test")
	s := &Server{o: o, tls: o.TLSConfig, conns: make(map[net.Conn]bool), seen: make(map[string]int)}
	if s.tls == nil && (o.STARTTLS || o.ImplicitTLS) {
		cert, roots, err := makeCertificate(cmp.Or(o.CertificateOf, o.Hostname))
		if err != nil {
			return nil, fmt.Errorf("make certificate: %w", err)
		}
		s.tls, s.roots = &tls.Config{Certificates: []tls.Certificate{cert}}, roots
	}
	l, err := net.Listen("tcp", o.Addr)
	if err != nil {
		return nil, fmt.Errorf("listen: %w", err)
	}
	s.listener = l
	s.running.Go(s.accept)
	return s, nil
}

// Addr is where the server listens.
func (s *Server) Addr() netip.AddrPort {
	return s.listener.Addr().(*net.TCPAddr).AddrPort()
}

// RootCAs holds the made certificate, for clients that verify. Nil without TLS or
// with Options.TLSConfig.
func (s *Server) RootCAs() *x509.CertPool { return s.roots }

// Close ends the listener and every connection, and waits for all of it.
func (s *Server) Close() {
	s.mu.Lock()
	s.closed = true
	_ = s.listener.Close()
	for c := range s.conns {
		_ = c.Close()
	}
	s.mu.Unlock()
	s.running.Wait()
}

// CloseConnections drops every open connection; the server goes on.
func (s *Server) CloseConnections() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.conns {
		_ = c.Close()
	}
}

// Open is the number of open connections.
func (s *Server) Open() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.conns)
}

// Mail is one mail whose final dot arrived, whatever was answered to it.
type Mail struct {
	Session int      // ID of the Session
	From    string   // reverse-path without angle brackets
	To      []string // accepted forward-paths, in order
	Params  string   // what followed the reverse-path in MAIL
	Data    []byte   // as composed: dots un-stuffed, the last CRLF included
	TLS     bool
	Reply   string // what was answered to the dot; empty if nothing was
	At      time.Time
}

// Accepted reports whether the server took responsibility for the mail.
func (m *Mail) Accepted() bool { return len(m.Reply) > 0 && m.Reply[0] == '2' }

// Session is one connection.
type Session struct {
	ID         int // from 0, in the order of accept
	Remote     netip.AddrPort
	HELO       string
	TLS        bool
	User       string   // authenticated
	Commands   []string // as received, without CRLF; credentials too
	Violations []string // what the client should not have done
	Stalled    bool     // an Action.Stall is in force: all that was to be said has been sent
	Ended      bool
}

// Mails lists the mails received so far, oldest first.
func (s *Server) Mails() []Mail {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := slices.Clone(s.mails)
	for i := range list {
		list[i].To = slices.Clone(list[i].To)
		list[i].Data = bytes.Clone(list[i].Data)
	}
	return list
}

// Sessions lists the connections so far, oldest first, as they are now.
func (s *Server) Sessions() []Session {
	s.mu.Lock()
	defer s.mu.Unlock()
	var list []Session
	for _, one := range s.sessions {
		c := *one
		c.Commands, c.Violations = slices.Clone(one.Commands), slices.Clone(one.Violations)
		list = append(list, c)
	}
	return list
}

// Violations lists what clients should not have done, in all sessions.
func (s *Server) Violations() []string {
	var list []string
	for _, one := range s.Sessions() {
		list = append(list, one.Violations...)
	}
	return list
}

// Uses tells how often each key of the script has been used.
func (s *Server) Uses() map[string]int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.seen)
}

func (s *Server) accept() {
	for {
		c, err := s.listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			time.Sleep(10 * time.Millisecond) // out of file descriptors, most likely
			continue
		}
		s.mu.Lock()
		if s.closed {
			s.mu.Unlock()
			_ = c.Close()
			return
		}
		record := &Session{ID: len(s.sessions), Remote: c.RemoteAddr().(*net.TCPAddr).AddrPort()}
		s.sessions = append(s.sessions, record)
		s.conns[c] = true
		s.running.Go(func() { newSession(s, c, record).serve() })
		s.mu.Unlock()
	}
}
