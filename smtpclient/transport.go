package smtpclient

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"time"

	"postrider/smtpclient/guard"
)

// Transport makes attempts and keeps connections between them, as http.Transport
// does. It is safe for concurrent use; make one and keep it.
type Transport struct {
	o     Options
	guard *guard.Guard
	pool  *pool

	silence silence
}

// NewTransport makes a Transport. Nothing is dialled before the first Send.
func NewTransport(o Options) *Transport {
	o = o.withDefaults()
	return &Transport{o: o, guard: guard.New(o.AllowedNetworks), pool: newPool(o.MaxIdle)}
}

// Send makes one attempt: the addresses of the plan in order until one takes the
// transaction, then a result per recipient. The next address is tried after a
// failure to connect, greet, EHLO, STARTTLS or AUTH, and where a server lacks an
// extension that the mail needs or wants TLS that was not to be had, within
// MaxAddresses and MaxGreeted; from MAIL on, what the server says is otherwise the
// outcome. A greeting or EHLO reply with 4.7.x (slow down) ends the attempt too.
//
// Send never returns nil, and ends within the session limit or when ctx does; a ctx
// that ends after the final dot makes the outcome unknown.
func (t *Transport) Send(ctx context.Context, p Plan, m *Mail) *Result {
	a := newAttempt(t, p, m)
	if a.admit() {
		a.session.begin(ctx, t.o.Timeouts.Session)
		defer a.session.end()
		a.run(&a.session)
	}
	return a.result()
}

// Close says QUIT on idle connections and closes them. Transactions that are
// running go on; their connections are not kept.
func (t *Transport) Close() error {
	t.pool.close()
	return nil
}

// patience is how long a connection is waited for. Where one IP family leads nowhere,
// as is common for IPv6, the other is to be tried soon (RFC 8305 does so for browsers);
// what did not answer then is tried last for a while, and with more patience.
func (a *attempt) patience(h *Host, addr netip.AddrPort) time.Duration {
	t := &a.t.o.Timeouts
	for _, other := range h.Addrs {
		tried := slices.ContainsFunc(a.failed, func(e *Error) bool { return e.Addr == other })
		if family(other.Addr()) != family(addr.Addr()) && !tried && !a.t.silence.expected(other.Addr(), time.Now()) {
			return min(t.Connect, t.FallOver)
		}
	}
	return t.Connect
}

// dial connects to one address and attaches the connection to the attempt.
func (a *attempt) dial(ctx context.Context, h *Host, addr netip.AddrPort) (*conn, *Error) {
	o := &a.t.o
	d := net.Dialer{}
	if !h.Trusted {
		d.Control = a.t.guard.Control
	}
	dial := d.DialContext
	if o.Dial != nil {
		dial = o.Dial
	}
	limit := a.patience(h, addr)
	dialCtx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	began := time.Now()
	nc, err := dial(dialCtx, "tcp", addr.String())
	if err != nil {
		o.Trace.connected(Peer{Host: h.Name, Addr: addr}, began, err)
		switch {
		case ctx.Err() != nil:
			err = context.Cause(ctx)
		case dialCtx.Err() != nil:
			a.t.silence.add(addr.Addr(), time.Now())
			err = fmt.Errorf("no connection within %v: %w", limit, dialCtx.Err())
		}
		a.log.note("connect to %s (%s): %v", h.Name, addr, err)
		return nil, &Error{Stage: StageConnect, Host: h.Name, Addr: addr, Temporary: true, Err: err}
	}
	a.t.silence.answered(addr.Addr())
	now := time.Now()
	c := &conn{
		key: keyOf(h, addr), where: h.Name + " (" + addr.String() + ")", timeouts: &o.Timeouts,
		raw: newSocket(nc), born: now, spoke: now, helo: o.Hostname,
	}
	c.nc, c.replies, c.abort = c.raw, newReplyReader(c.raw), func() { _ = c.raw.Close() }
	if tcp, ok := nc.LocalAddr().(*net.TCPAddr); ok {
		c.source = tcp.AddrPort()
	}
	if c.helo == "" {
		c.helo = "localhost"
		if c.source.IsValid() {
			c.helo = addressLiteral(c.source.Addr())
		}
	}
	c.attach(a)
	o.Trace.connected(c.peer(), began, nil)
	a.log.add("*", "connected to "+c.where)
	a.describe(c)
	return c, nil
}

// footing is how a new connection begins where an earlier one failed.
type footing struct {
	small bool   // with a small ClientHello
	clear string // without TLS, if not empty, for this reason
}

// open makes a connection on which MAIL may be sent. Where TLS fails it begins again,
// with a smaller ClientHello and at last, if the host's policy lets it, in clear text:
// never on the same connection, which may be in any state.
func (a *attempt) open(ctx context.Context, h *Host, addr netip.AddrPort) (*conn, *Error) {
	var f footing
	for {
		c, err := a.establish(ctx, h, addr, f)
		if err == nil || ctx.Err() != nil || f.clear != "" {
			return c, err
		}
		switch clear := clearReason(h, err); {
		case !f.small && handshakeFailed(err):
			f.small = true
			a.log.note("%v; again with a smaller ClientHello", err.Err)
		case clear != "":
			f.clear = clear
			a.log.note("%s; again in clear text", clear)
		default:
			return nil, err
		}
	}
}

func (a *attempt) establish(ctx context.Context, h *Host, addr netip.AddrPort, f footing) (*conn, *Error) {
	c, err := a.dial(ctx, h, addr)
	if err != nil {
		return nil, err
	}
	c.fellBack = f.clear != ""
	if err := a.introduce(ctx, c, h, f); err != nil {
		a.describe(c)
		a.hangUp(c)
		return nil, err
	}
	a.describe(c)
	return c, nil
}

// hangUp ends a connection: with QUIT if we are still in step with the server.
func (a *attempt) hangUp(c *conn) {
	if !c.broken {
		a.log.add("C", "QUIT")
	}
	if !c.detach() {
		_ = c.raw.Close()
		return
	}
	a.t.pool.quit(c)
}

// release keeps a connection for the next transaction, or ends it.
func (a *attempt) release(c *conn) {
	if c.broken || a.worn(c) || a.t.o.MaxIdle < 0 || c.unread() {
		a.hangUp(c)
		return
	}
	a.log.also("*", "connection kept for the next transaction")
	if !c.detach() {
		_ = c.raw.Close()
		return
	}
	a.t.pool.put(c)
}

// worn reports whether a connection has served enough.
func (a *attempt) worn(c *conn) bool {
	return c.transactions >= a.t.o.MaxTransactions || time.Since(c.born) >= maxConnAge
}
