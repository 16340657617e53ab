package smtpclient

import (
	"net/netip"
	"time"
)

// Trace has hooks that a Transport calls as its Sends go on: for metrics, for logs, or
// to watch. Those that are nil are skipped. They run in the goroutine of their Send and
// hold it up, and are called by many Sends at once. What they are told is bounded and
// printable, and credentials are redacted, as in a transcript.
type Trace struct {
	// Connect is called when a connection was made, or was not: then with an error.
	Connect func(p Peer, took time.Duration, err error)
	// Reuse is called when a kept connection is taken.
	Reuse func(p Peer)
	// TLS is called when a handshake has ended, well or with an error.
	TLS func(p Peer, info TLSInfo, took time.Duration, err error)
	// Command is called for each command as it is written.
	Command func(p Peer, s Stage, line string)
	// Reply is called for each reply, the greeting first; took counts from the commands
	// that it answers, which PIPELINING sends together. A stage can have several: EHLO
	// before and after TLS, and HELO; the steps of AUTH.
	Reply func(p Peer, s Stage, r Reply, took time.Duration)
	// Body is called when the data has been written, but for what leaves with the final dot: all
	// of it, if it is short.
	Body func(p Peer, octets int64, took time.Duration)
	// Done is called with what Send is about to return.
	Done func(r *Result)
}

// Peer is a server at one of its addresses, as hooks are told of it.
type Peer struct {
	Host   string
	Addr   netip.AddrPort
	Source netip.AddrPort // ours; invalid while there is no connection
}

func (c *conn) peer() Peer { return Peer{Host: c.key.host, Addr: c.key.addr, Source: c.source} }

func (t *Trace) connected(p Peer, began time.Time, err error) {
	if t != nil && t.Connect != nil {
		t.Connect(p, time.Since(began), err)
	}
}

func (t *Trace) reused(c *conn) {
	if t != nil && t.Reuse != nil {
		t.Reuse(c.peer())
	}
}

func (t *Trace) secured(c *conn, info TLSInfo, began time.Time, err error) {
	if t != nil && t.TLS != nil {
		t.TLS(c.peer(), info, time.Since(began), err)
	}
}

func (t *Trace) command(c *conn, s Stage, line string) {
	if t != nil && t.Command != nil {
		t.Command(c.peer(), s, printable(line, maxLineText))
	}
}

func (t *Trace) reply(c *conn, s Stage, raw *rawReply) {
	if t != nil && t.Reply != nil {
		t.Reply(c.peer(), s, raw.reply(), time.Since(c.spoke))
	}
}

func (t *Trace) body(c *conn, octets int64, took time.Duration) {
	if t != nil && t.Body != nil {
		t.Body(c.peer(), octets, took)
	}
}

func (t *Trace) done(r *Result) {
	if t != nil && t.Done != nil {
		t.Done(r)
	}
}
