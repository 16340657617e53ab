// Package sandbox is the scripted last hop behind sandbox addresses and test
// keys: a real SMTP server on a loopback port of its own choosing, and the inbox
// that keeps what it took. Nothing that goes here leaves the process.
//
// What happens to a mail is written in its recipient: bounced@sandbox.test is
// refused with 550 5.1.1, deferred@sandbox.test once with 451 and then taken, and
// so on ([Addresses] lists them all); every other address is taken at once. The
// package decides nothing about retries or states, and it is no place to receive
// real mail.
//
// It follows RFC 5321 (SMTP), RFC 2920 (PIPELINING), RFC 1870 (SIZE), RFC 2034
// and RFC 3463 (enhanced status codes) as far as a receiving host must.
//
//	box := sandbox.New(sandbox.Options{Log: log})
//	err := box.Start()
//	defer box.Close()
//	plan, err := box.Plan(ctx, "delivered@sandbox.test") // where to send it
//	mails := box.Inbox.List(10)                          // what arrived
package sandbox

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"sync"
	"time"

	"github.com/emersion/go-smtp"

	"postrider/smtpclient"
	"postrider/smtpclient/mx"
)

// Domain is the domain of the simulator addresses, and the name that the server
// greets with.
const Domain = "sandbox.test"

const (
	maxMessageBytes = 25 << 20
	maxRecipients   = 100
	maxLineLength   = 2000 // octets
	maxConns        = 200  // more wait in the backlog
	writeTimeout    = time.Minute
	// RFC 5321 4.5.3.2.7: a server waits at least 5 minutes for the next command.
	readTimeout = 5 * time.Minute
	// maxSessionWait is how long one connection may spend waiting for slow
	// addresses before it is closed behind the mail that used it up.
	maxSessionWait  = 10 * time.Minute
	shutdownTimeout = 5 * time.Second
)

// Options are what a sandbox is made with; the zero value serves.
type Options struct {
	Log *slog.Logger // nil: slog.Default()
	// Delay is the time that delivered@ takes and the unit of slow-N@: 1 s if
	// zero. Tests shorten it.
	Delay time.Duration
}

// Sandbox is the server and its inbox. It must be started before Plan is asked.
type Sandbox struct {
	Inbox *Inbox

	log      *slog.Logger
	delay    time.Duration
	progress *progress
	server   *smtp.Server
	closing  chan struct{} // closed by Close: ends every wait

	mu       sync.Mutex
	listener *listener
	served   chan struct{} // closed when Serve has returned
	closed   bool
}

// New makes a sandbox that does not listen yet.
func New(o Options) *Sandbox {
	if o.Log == nil {
		o.Log = slog.Default()
	}
	if o.Delay == 0 {
		o.Delay = time.Second
	}
	s := &Sandbox{
		Inbox:    newInbox(maxMails, maxInboxBytes),
		log:      o.Log,
		delay:    o.Delay,
		progress: newProgress(maxProgress),
		closing:  make(chan struct{}),
	}
	s.server = smtp.NewServer(smtp.BackendFunc(s.newSession))
	s.server.Domain = Domain
	s.server.MaxMessageBytes = maxMessageBytes
	s.server.MaxRecipients = maxRecipients
	s.server.MaxLineLength = maxLineLength
	s.server.ReadTimeout = readTimeout
	s.server.WriteTimeout = writeTimeout
	s.server.ErrorLog = serverLog{o.Log}
	return s
}

// Start listens on a free port of 127.0.0.1 and serves until Close. It may be
// called once.
func (s *Sandbox) Start() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || s.listener != nil {
		return errors.New("start sandbox: it was started before")
	}
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return fmt.Errorf("start sandbox: %w", err)
	}
	s.listener = newListener(inner, maxConns)
	s.served = make(chan struct{})
	go func() {
		defer close(s.served)
		if err := s.server.Serve(s.listener); !errors.Is(err, net.ErrClosed) {
			s.log.Error("sandbox stopped serving", "error", err)
		}
	}()
	return nil
}

// Close ends the server, its connections and every wait. The inbox stays
// readable. Closing twice is no error.
func (s *Sandbox) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil
	}
	s.closed = true
	close(s.closing)
	if s.listener == nil {
		return nil
	}
	// Serve must have returned before its connections are waited for: a
	// connection accepted meanwhile would be missed.
	err := s.listener.Close()
	<-s.served
	s.listener.closeConns()
	ctx, cancel := context.WithTimeout(context.Background(), shutdownTimeout)
	defer cancel()
	if e := s.server.Shutdown(ctx); e != nil && !errors.Is(e, net.ErrClosed) {
		err = errors.Join(err, e)
	}
	if err != nil {
		return fmt.Errorf("close sandbox: %w", err)
	}
	return nil
}

// Addr is where the server listens; it is invalid before Start.
func (s *Sandbox) Addr() netip.AddrPort {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.listener == nil {
		return netip.AddrPort{}
	}
	return s.listener.Addr().(*net.TCPAddr).AddrPort()
}

// Plan leads to the sandbox, whatever the recipient's domain is. For
// failed@sandbox.test there is no route: the error is a permanent *mx.Error.
//
// Each kind of simulator address is a provider of its own, so that the pauses
// that slow-N@ or smtp-421@ earn do not hold up other sandbox mail.
func (s *Sandbox) Plan(_ context.Context, recipient string) (smtpclient.Plan, error) {
	_, domain, _ := cutAddress(recipient)
	provider := Domain
	if strings.EqualFold(domain, Domain) {
		script, err := scriptOf(recipient)
		if err != nil {
			return smtpclient.Plan{}, fmt.Errorf("plan sandbox mail: %w", err)
		}
		if script.noRoute {
			return smtpclient.Plan{}, &mx.Error{
				Domain: domain, Kind: mx.NoDomain, Enhanced: "5.1.2",
				Err: errors.New("the sandbox has no route for failed@" + Domain),
			}
		}
		provider = script.name + "." + Domain
	}
	addr := s.Addr()
	if !addr.IsValid() {
		return smtpclient.Plan{}, errors.New("plan sandbox mail: the sandbox does not listen")
	}
	return smtpclient.Plan{
		Domain:   domain,
		Provider: provider,
		Hosts: []smtpclient.Host{{
			Name:    Domain,
			Addrs:   []netip.AddrPort{addr},
			TLS:     smtpclient.TLSNone,
			Reason:  "sandbox inside this process",
			Trusted: true,
		}},
	}, nil
}

// serverLog takes what go-smtp has to say about connections that broke.
type serverLog struct{ log *slog.Logger }

func (l serverLog) Printf(format string, v ...any) {
	l.log.Debug("sandbox server", "detail", fmt.Sprintf(format, v...))
}

func (l serverLog) Println(v ...any) {
	l.log.Debug("sandbox server", "detail", fmt.Sprintln(v...))
}
