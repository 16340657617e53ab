package dns

import (
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	wire "github.com/miekg/dns"
)

// Server serves a Zone over UDP and TCP.
type Server struct {
	addr   string
	udp    *wire.Server
	tcp    *wire.Server
	zone   *Zone
	done   chan struct{}
	once   sync.Once
	served sync.WaitGroup
}

// listenTries is how often a free port is looked for that both protocols have.
const listenTries = 10

// Listen serves the zone on addr ("127.0.0.1:0"), the same port over UDP and TCP,
// until Close.
func (z *Zone) Listen(addr string) (*Server, error) {
	var packets net.PacketConn
	listener, err := net.Listen("tcp", addr)
	for try := 1; err == nil; try++ {
		if packets, err = net.ListenPacket("udp", listener.Addr().String()); err == nil {
			break
		}
		listener.Close()
		if try == listenTries {
			break
		}
		listener, err = net.Listen("tcp", addr)
	}
	if err != nil {
		return nil, fmt.Errorf("serve zone: %w", err)
	}
	s := &Server{addr: listener.Addr().String(), zone: z, done: make(chan struct{})}
	s.udp = &wire.Server{PacketConn: packets, Handler: s}
	s.tcp = &wire.Server{Listener: listener, Handler: s}
	for _, server := range []*wire.Server{s.udp, s.tcp} {
		started := make(chan struct{})
		start := sync.OnceFunc(func() { close(started) })
		server.NotifyStartedFunc = start
		s.served.Go(func() {
			defer start()
			// It returns by Shutdown; the listeners are there already.
			_ = server.ActivateAndServe()
		})
		<-started
	}
	return s, nil
}

// Addr is where it listens, host:port.
func (s *Server) Addr() string { return s.addr }

// Close ends the server and waits for what it was answering.
func (s *Server) Close() error {
	var err error
	s.once.Do(func() {
		close(s.done)
		err = errors.Join(s.udp.Shutdown(), s.tcp.Shutdown())
		s.served.Wait()
	})
	return err
}

// ServeDNS answers one request; the wire library calls it in a goroutine of its
// own.
func (s *Server) ServeDNS(w wire.ResponseWriter, req *wire.Msg) {
	if len(req.Question) != 1 {
		_ = w.WriteMsg(new(wire.Msg).SetRcode(req, wire.RcodeFormatError))
		return
	}
	q := req.Question[0]
	m, delay, err := s.zone.reply(question{plain(q.Name), q.Qtype})
	if err != nil {
		m = &wire.Msg{MsgHdr: wire.MsgHdr{Rcode: wire.RcodeServerFailure}}
	}
	if delay > 0 {
		timer := time.NewTimer(delay)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-s.done:
			return
		}
	}
	if m == nil {
		return
	}
	code := m.Rcode
	m.SetReply(req)
	m.Rcode = code
	limit := wire.MinMsgSize
	if opt := req.IsEdns0(); opt != nil {
		m.SetEdns0(udpSize, false)
		limit = int(opt.UDPSize())
	}
	if w.RemoteAddr().Network() == "tcp" {
		limit = wire.MaxMsgSize
	}
	m.Truncate(limit)
	_ = w.WriteMsg(m)
}
