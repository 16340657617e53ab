package smtpclient

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"time"
)

// conn is one connection to one address. It is used by one goroutine at a time:
// an attempt attaches to it, and between attempts the pool owns it.
type conn struct {
	key      connKey
	timeouts *Timeouts
	where    string   // key's host and address, for notes
	again    string   // the note that it is used again
	raw      *socket  // TCP: closed to end everything at once
	nc       net.Conn // raw, or TLS on it
	replies  *replyReader
	out      []byte // commands not yet written
	asked    Stage  // of the first command in the latest write, until its reply is read
	born     time.Time
	spoke    time.Time // when we wrote last, or the connection was made

	source    netip.AddrPort
	helo      string
	ext       extensions
	tls       *TLSInfo
	tlsReason string
	fellBack  bool     // clear text because TLS failed
	secrets   []string // what the transcript and replies must not show

	kept         bool // it has been in the pool
	transactions int
	idle         *time.Timer // ends its stay in the pool
	broken       bool        // not in step with the server, or closed: nothing more may be said

	// of the attempt it is attached to
	ctx   *session
	log   *transcript
	trace *Trace
	stop  func() bool
	abort func() // closes raw
}

// attach lends c to an attempt: c is closed when the caller's context ends.
func (c *conn) attach(a *attempt) {
	c.ctx, c.log, c.trace = &a.session, &a.log, a.t.o.Trace
	c.raw.until = c.ctx.until
	if c.ctx.caller.Done() != nil {
		c.stop = context.AfterFunc(c.ctx.caller, c.abort)
	}
}

// detach takes c back. False means that it was closed meanwhile.
func (c *conn) detach() bool {
	alive := c.stop == nil || c.stop()
	c.ctx, c.log, c.trace, c.stop = nil, nil, nil, nil
	return alive && !c.broken
}

// queue adds one command to the next write. shown replaces it in the transcript
// if it is not empty.
func (c *conn) queue(stage Stage, line, shown string) *Error {
	if err := checkCommand(stage, line, c.ext.international()); err != nil {
		e := c.fault(stage, err)
		e.Temporary, e.Enhanced = false, "5.5.2"
		return e
	}
	if shown == "" {
		shown = line
	}
	if len(c.out) == 0 {
		c.log.add("C", shown)
	} else { // it leaves in the same write
		c.log.also("C", shown)
	}
	c.trace.command(c, stage, shown)
	c.out = append(append(c.out, line...), "\r\n"...)
	return nil
}

// flush writes the queued commands, if the server has said nothing behind our back.
func (c *conn) flush(stage Stage) *Error {
	c.spoke = time.Now()
	n, early, err := c.put(c.out, stage, stage)
	if early != nil {
		return early
	}
	if n < len(c.out) && err == nil {
		_ = c.nc.SetDeadline(c.ctx.sooner(c.spoke.Add(c.timeouts.of(stage))))
		c.asked = stage
		_, err = c.nc.Write(c.out[n:])
	}
	c.out = c.out[:0]
	if err != nil {
		return c.lost(stage, err)
	}
	return nil
}

// put begins to write, if the server has said nothing; otherwise early is what listen
// makes of that at the stage before. On a socket that can do so it writes what it can
// without waiting, and waits for the answer if that was all. The rest is the caller's to
// write.
func (c *conn) put(p []byte, before, stage Stage) (n int, early *Error, err error) {
	asked := false
	if c.tls == nil && c.replies.buffered() == 0 {
		c.raw.patience = c.timeouts.of(stage)
		n, asked, err = c.raw.ask(p)
	}
	if n == 0 && err == nil && (!asked || c.raw.pending()) {
		early = c.listen(before)
	}
	if n == len(p) {
		c.asked = stage
	}
	return n, early, err
}

// unread reports whether there are octets that no reply was read from.
func (c *conn) unread() bool { return c.replies.buffered() > 0 || c.raw.pending() }

// reply is answer in the form that callers of the package know.
func (c *conn) reply(stage Stage) (Reply, *Error) {
	raw, err := c.answer(stage)
	if err != nil {
		return Reply{}, err
	}
	return raw.reply(), nil
}

// answer reads one reply. The deadline is for all of it: octets that trickle in do not
// move it. A 421 is returned like any other, but c is not used again.
func (c *conn) answer(stage Stage) (rawReply, *Error) {
	if c.raw.patience = c.timeouts.of(stage); c.asked == stage {
		c.raw.patience = 0 // the deadline was set as the command left
	}
	c.asked = ""
	raw, err := c.receive(stage)
	if err != nil {
		return raw, c.lost(stage, err)
	}
	return raw, nil
}

// receive reads one reply and records it.
func (c *conn) receive(stage Stage) (rawReply, error) {
	raw, err := c.replies.read()
	if c.raw.patience == 0 || c.raw.atOnce {
		c.log.stamp() // it did not come with the reply before
	}
	for i, line := range raw.lines {
		if len(c.secrets) > 0 {
			line = line[:len(line)-len(raw.text(i))] + c.redact(raw.text(i))
			raw.lines[i] = line
		}
		c.log.also("S", line)
	}
	if raw.bad != "" {
		c.log.also("S", c.redact(strings.TrimRight(raw.bad, "\r\n")))
	}
	if err != nil {
		return raw, err
	}
	// RFC 5321 3.8: after 421 the server closes the connection.
	c.broken = c.broken || raw.code == 421
	c.trace.reply(c, stage, &raw)
	return raw, nil
}

// silent looks, without waiting, whether nothing is there to be read: no octet, no end.
func (c *conn) silent() bool {
	c.raw.atOnce = true
	defer func() { c.raw.atOnce = false }()
	return c.replies.silent()
}

// listen is silent's look before something is said at a stage. A reply that is there
// before its command went out must never be taken for the answer to it: the server
// is out of step, and the connection is not used again. The error is the server's own
// word only where that is meant for us: 421, and a refusal of data that it is being sent.
func (c *conn) listen(stage Stage) *Error {
	if c.silent() {
		return nil
	}
	c.raw.atOnce = true
	raw, err := c.receive(stage)
	c.raw.atOnce = false
	r := raw.reply()
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		err = fmt.Errorf("%w: part of a reply before %s", ErrProtocol, stage)
	case err != nil:
	case stage == StageBody && r.class() > 3, stage != StageRSET && r.Code == 421:
		c.broken = true
		return c.refused(stage, r)
	default:
		err = fmt.Errorf("%w: reply %d before %s", ErrProtocol, r.Code, stage)
	}
	return c.lost(stage, err)
}

// ask sends one command and reads its reply.
func (c *conn) ask(stage Stage, line string) (Reply, *Error) {
	if err := c.queue(stage, line, ""); err != nil {
		return Reply{}, err
	}
	if err := c.flush(stage); err != nil {
		return Reply{}, err
	}
	return c.reply(stage)
}

// redact keeps credentials that a server echoes out of transcript and replies.
func (c *conn) redact(s string) string {
	for _, secret := range c.secrets {
		s = strings.ReplaceAll(s, secret, "[redacted]")
	}
	return s
}

// lost is the Error of a connection that can no longer be used: closed, timed out,
// or botched by the server. Nothing is known but that it did not go on.
func (c *conn) lost(stage Stage, err error) *Error {
	c.broken = true
	switch {
	case c.ctx.Err() != nil:
		err = context.Cause(c.ctx)
	case errors.Is(err, os.ErrDeadlineExceeded):
		err = fmt.Errorf("no answer within %v: %w", c.timeouts.of(stage), os.ErrDeadlineExceeded)
	}
	c.log.note("%v", err)
	return c.fault(stage, err)
}

// botched is the Error of a well-formed reply that makes no sense where it came.
func (c *conn) botched(stage Stage, r Reply) *Error {
	return c.lost(stage, fmt.Errorf("%w: reply %d to %s", errOutOfStep, r.Code, stage))
}

// fault is a temporary Error without a reply.
func (c *conn) fault(stage Stage, err error) *Error {
	return &Error{Stage: stage, Host: c.key.host, Addr: c.key.addr, Temporary: true, Err: err}
}

// refused is the Error of a negative reply: 4yz and the connection-closing 421 are
// temporary, 5yz is permanent (RFC 5321 4.2.1), unless it only refuses clear text.
func (c *conn) refused(stage Stage, r Reply) *Error {
	temporary := r.class() != 5 || c.tls == nil && demandsTLS(r)
	return &Error{Stage: stage, Host: c.key.host, Addr: c.key.addr, Reply: &r, Temporary: temporary}
}

// demandsTLS reports whether a reply says that this server talks to us under TLS only,
// be it that it did not offer it: nothing is said about mail or recipient, and the next
// host, or the same one mended, may take it.
func demandsTLS(r Reply) bool {
	// RFC 3207 4: 530 until TLS is there. RFC 5248 2.4: x.7.10 and x.7.11, encryption is needed.
	return r.Code == 530 || strings.HasSuffix(r.Enhanced, ".7.10") || strings.HasSuffix(r.Enhanced, ".7.11")
}

// unable is the Error of what this server could not take, had we sent it.
func (c *conn) unable(enhanced string, err error) *Error {
	e := c.fault(StageMAIL, err)
	e.Temporary, e.Enhanced = false, enhanced
	c.log.note("%v", err)
	return e
}

// quit ends the connection in good order. Whatever comes of it changes nothing.
func (c *conn) quit() {
	c.raw.patience, c.raw.until = c.timeouts.QUIT, time.Time{}
	_ = c.nc.SetWriteDeadline(time.Now().Add(c.timeouts.QUIT))
	if _, err := c.nc.Write([]byte("QUIT\r\n")); err == nil {
		_, _ = c.replies.read()
	}
	_ = c.nc.Close()
	_ = c.raw.Close()
}
