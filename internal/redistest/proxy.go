package redistest

import (
	"io"
	"net"
	"net/url"
	"sync"
	"sync/atomic"
	"testing"
)

// Proxy stands between a client and a Redis, and fails at the moment that a test
// names: it loses the reply to one request, or is away altogether. It counts the round
// trips.
type Proxy struct {
	URL string // that of the Redis behind it, but for the address

	behind   string
	listener net.Listener
	mu       sync.Mutex
	away     bool
	held     chan struct{} // closed when replies flow
	lose     func(request []byte) bool
	lost     chan struct{}
	conns    map[net.Conn]struct{}
	trips    atomic.Int64
}

// NewProxy starts a proxy before the Redis at a URL. It ends with the test.
func NewProxy(tb testing.TB, behind string) *Proxy {
	tb.Helper()
	u, err := url.Parse(behind)
	if err != nil {
		tb.Fatalf("redistest: %v", err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatalf("redistest: start a proxy: %v", err)
	}
	p := &Proxy{behind: u.Host, listener: l, conns: make(map[net.Conn]struct{}), held: make(chan struct{})}
	close(p.held)
	u.Host = l.Addr().String()
	p.URL = u.String()
	var serving sync.WaitGroup
	serving.Go(func() { p.serve(&serving) })
	tb.Cleanup(func() {
		_ = l.Close()
		p.Hold(false)
		p.SetAway(true)
		serving.Wait()
	})
	return p
}

// Trips is how many round trips were begun: octets of a client that come first on their
// connection, or after a reply. A pipeline is one if it is not answered before its end.
func (p *Proxy) Trips() int64 { return p.trips.Load() }

// SetAway closes every connection and refuses new ones, or lets them in again.
func (p *Proxy) SetAway(away bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.away = away
	if away {
		for c := range p.conns {
			_ = c.Close()
		}
	}
}

// Hold keeps back all replies until it is called with false: a Redis that hangs.
func (p *Proxy) Hold(on bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	select {
	case <-p.held: // replies flow
		if on {
			p.held = make(chan struct{})
		}
	default:
		if !on {
			close(p.held)
		}
	}
}

// Lose has the next request that match knows reach Redis and be answered, but
// its reply get lost with the connection. The channel is closed when it happened.
func (p *Proxy) Lose(match func(request []byte) bool) <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.lose, p.lost = match, make(chan struct{})
	return p.lost
}

func (p *Proxy) serve(serving *sync.WaitGroup) {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		serving.Go(func() { p.connect(client) })
	}
}

// connect serves one client until either side ends.
func (p *Proxy) connect(client net.Conn) {
	defer client.Close()
	server, err := net.Dial("tcp", p.behind)
	if err != nil {
		return
	}
	defer server.Close()
	if !p.add(client, server) {
		return
	}
	defer p.remove(client, server)
	loses := make(chan chan struct{}, 1) // filled: the next reply is the one to lose
	var asked atomic.Bool                // and not answered
	var replying sync.WaitGroup
	replying.Go(func() {
		defer client.Close()
		p.reply(client, answering{server, &asked}, loses)
	})
	buffer := make([]byte, 1<<20)
	for {
		n, err := client.Read(buffer)
		if err != nil {
			break
		}
		if !asked.Swap(true) {
			p.trips.Add(1)
		}
		if lost := p.matches(buffer[:n]); lost != nil {
			loses <- lost
		}
		if _, err := server.Write(buffer[:n]); err != nil {
			break
		}
	}
	_ = server.Close()
	replying.Wait()
}

// answering notes what comes from a server.
type answering struct {
	io.Reader
	asked *atomic.Bool
}

func (a answering) Read(b []byte) (int, error) {
	n, err := a.Reader.Read(b)
	a.asked.Store(false)
	return n, err
}

// reply hands replies on until one is to be lost.
func (p *Proxy) reply(client io.Writer, server io.Reader, loses <-chan chan struct{}) {
	buffer := make([]byte, 1<<16)
	for {
		n, err := server.Read(buffer)
		if err != nil {
			return
		}
		p.mu.Lock()
		held := p.held
		p.mu.Unlock()
		<-held
		select {
		case lost := <-loses:
			close(lost)
			return
		default:
		}
		if _, err := client.Write(buffer[:n]); err != nil {
			return
		}
	}
}

// matches reports whether the reply to a request is to be lost, once.
func (p *Proxy) matches(request []byte) (lost chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.lose == nil || !p.lose(request) {
		return nil
	}
	p.lose = nil
	return p.lost
}

func (p *Proxy) add(conns ...net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.away {
		return false
	}
	for _, c := range conns {
		p.conns[c] = struct{}{}
	}
	return true
}

func (p *Proxy) remove(conns ...net.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range conns {
		delete(p.conns, c)
	}
}
