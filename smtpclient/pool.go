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
	idle   map[connKey][]*conn
	count  int
	closed bool
	leave  sync.WaitGroup // connections saying QUIT
}

func newPool(maxIdle time.Duration) *pool {
	return &pool{maxIdle: maxIdle, idle: make(map[connKey][]*conn)}
}

// get takes the connection that was put back last, of those that are usable, or nil.
func (p *pool) get(k connKey, usable func(*conn) bool) *conn {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, last := range slices.Backward(p.idle[k]) {
		if usable(last) {
			p.remove(last)
			last.idle.Stop()
			return last
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
	c.kept = true
	if c.idle == nil {
		c.idle = time.AfterFunc(p.maxIdle, func() { p.expire(c) })
	} else {
		c.idle.Reset(p.maxIdle)
	}
	p.idle[c.key] = append(p.idle[c.key], c)
	p.count++
}

// expire ends a connection that nobody wanted. Whoever removes it from the map owns it.
// If it was taken and put back meanwhile, its next stay ends early.
func (p *pool) expire(c *conn) {
	p.mu.Lock()
	owned := p.remove(c)
	if owned {
		p.leave.Add(1)
	}
	p.mu.Unlock()
	if owned {
		defer p.leave.Done()
		c.quit()
	}
}

// remove takes c out of the map; false if it is not there. p.mu is held.
func (p *pool) remove(c *conn) bool {
	list := p.idle[c.key]
	n := slices.Index(list, c)
	if n < 0 {
		return false
	}
	if list = slices.Delete(list, n, n+1); len(list) == 0 {
		delete(p.idle, c.key)
	} else {
		p.idle[c.key] = list
	}
	p.count--
	return true
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
		for _, c := range list {
			c.idle.Stop()
			p.leave.Add(1)
			go func() {
				defer p.leave.Done()
				c.quit()
			}()
		}
	}
	p.idle, p.count = nil, 0
	p.mu.Unlock()
	p.leave.Wait()
}
