package sandbox

import (
	"io"
	"net"
	"sync"
	"sync/atomic"
)

// listener hands out at most a number of connections at a time, and knows them.
type listener struct {
	net.Listener
	slots chan struct{}
	done  chan struct{}
	once  sync.Once

	mu    sync.Mutex
	conns map[*conn]struct{}
}

func newListener(inner net.Listener, limit int) *listener {
	return &listener{
		Listener: inner,
		slots:    make(chan struct{}, limit),
		done:     make(chan struct{}),
		conns:    make(map[*conn]struct{}),
	}
}

// Accept waits for a free slot first: further connections stay in the backlog.
func (l *listener) Accept() (net.Conn, error) {
	select {
	case l.slots <- struct{}{}:
	case <-l.done:
		return nil, net.ErrClosed
	}
	inner, err := l.Listener.Accept()
	if err != nil {
		<-l.slots
		return nil, err
	}
	c := &conn{Conn: inner, listener: l}
	l.mu.Lock()
	l.conns[c] = struct{}{}
	l.mu.Unlock()
	return c, nil
}

// Close stops accepting; connections live on.
func (l *listener) Close() error {
	var err error
	l.once.Do(func() {
		close(l.done)
		err = l.Listener.Close()
	})
	return err
}

func (l *listener) closeConns() {
	l.mu.Lock()
	conns := make([]*conn, 0, len(l.conns))
	for c := range l.conns {
		conns = append(conns, c)
	}
	l.mu.Unlock()
	for _, c := range conns {
		c.Close()
	}
}

// conn is a connection that can be told that its next reply is its last.
type conn struct {
	net.Conn
	listener *listener
	once     sync.Once
	ending   atomic.Bool // the next write is the last
	ended    atomic.Bool
}

// end makes the next reply the last one: then the connection closes, and commands
// that were pipelined behind it are never answered.
func (c *conn) end() { c.ending.Store(true) }

func (c *conn) Read(p []byte) (int, error) {
	if c.ended.Load() {
		return 0, io.EOF
	}
	return c.Conn.Read(p)
}

func (c *conn) Write(p []byte) (int, error) {
	if c.ended.Load() {
		return 0, net.ErrClosed
	}
	n, err := c.Conn.Write(p)
	if c.ending.Load() {
		c.ended.Store(true)
		// A full close would answer pipelined commands still on their way with a
		// reset, which may overtake the reply.
		if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
			_ = half.CloseWrite()
		}
	}
	return n, err
}

func (c *conn) Close() error {
	err := c.Conn.Close()
	c.once.Do(func() {
		c.listener.mu.Lock()
		delete(c.listener.conns, c)
		c.listener.mu.Unlock()
		<-c.listener.slots
	})
	return err
}
