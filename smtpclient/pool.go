package smtpclient

import (
	"net/netip"
	"slices"
	"sync"
	"time"
)

const (
	maxIdleConns = 512             // in all; more are closed rather than kept
	maxConnAge   = 5 * time.Minute // from dialling; then a connection is not kept any more
)

// connKey is what must be equal for a connection to serve another transaction: a
// connection made under one TLS policy or identity never serves another.
type connKey struct {
	host    string
	addr    netip.AddrPort
	tls     TLSPolicy
	auth    Auth
	trusted bool
}

func keyOf(h *Host, addr netip.AddrPort) connKey {
	k := connKey{host: h.Name, addr: addr, tls: h.TLS, trusted: h.Trusted}
	if h.Auth != nil {
		k.auth = *h.Auth
	}
	return k
}

// pool keeps connections between transactions, each for a short time only. It
// runs no goroutine of its own: a timer ends each connection's stay.
type pool struct {
	maxIdle time.Duration

	mu     sync.Mutex
	idle   map[connKey][]*idleConn
	count  int
	closed bool
	leave  sync.WaitGroup // connections saying QUIT
}

type idleConn struct {
	*conn
	timer *time.Timer
}

func newPool(maxIdle time.Duration) *pool {
	return &pool{maxIdle: maxIdle, idle: make(map[connKey][]*idleConn)}
}

// get takes the connection that was put back last, of those that are usable, or nil.
func (p *pool) get(k connKey, usable func(*conn) bool) *conn {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, last := range slices.Backward(p.idle[k]) {
		if usable(last.conn) {
			p.remove(last)
			last.timer.Stop()
			return last.conn
		}
	}
	return nil
}

// put keeps c for the next transaction, or ends it if there is no room.
func (p *pool) put(c *conn) {
	p.mu.Lock()
	if p.closed || p.maxIdle < 0 || p.count >= maxIdleConns {
		p.mu.Unlock()
		p.quit(c)
		return
	}
	defer p.mu.Unlock()
	_ = c.nc.SetDeadline(time.Time{})
	c.kept = true
	i := &idleConn{conn: c}
	i.timer = time.AfterFunc(p.maxIdle, func() { p.expire(i) })
	p.idle[c.key] = append(p.idle[c.key], i)
	p.count++
}

// expire ends a connection that nobody wanted. Whoever removes it from the map owns it.
func (p *pool) expire(i *idleConn) {
	p.mu.Lock()
	owned := p.remove(i)
	if owned {
		p.leave.Add(1)
	}
	p.mu.Unlock()
	if owned {
		defer p.leave.Done()
		i.quit()
	}
}

// remove takes i out of the map; false if it is not there. p.mu is held.
func (p *pool) remove(i *idleConn) bool {
	list := p.idle[i.key]
	for n, other := range list {
		if other != i {
			continue
		}
		list = append(list[:n], list[n+1:]...)
		if len(list) == 0 {
			delete(p.idle, i.key)
		} else {
			p.idle[i.key] = list
		}
		p.count--
		return true
	}
	return false
}

// quit says QUIT without making the caller wait, unless the pool is closed, when
// nobody else would wait for it.
func (p *pool) quit(c *conn) {
	p.mu.Lock()
	closed := p.closed
	if !closed {
		p.leave.Add(1)
	}
	p.mu.Unlock()
	if closed {
		c.quit()
		return
	}
	go func() {
		defer p.leave.Done()
		c.quit()
	}()
}

// close ends all idle connections and waits for every QUIT, each bounded by its timeout.
func (p *pool) close() {
	p.mu.Lock()
	p.closed = true
	for _, list := range p.idle {
		for _, i := range list {
			i.timer.Stop()
			p.leave.Add(1)
			go func() {
				defer p.leave.Done()
				i.quit()
			}()
		}
	}
	p.idle, p.count = nil, 0
	p.mu.Unlock()
	p.leave.Wait()
}
