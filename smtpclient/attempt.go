package smtpclient

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"syscall"
	"time"
)

// attempt is one Send on its way.
type attempt struct {
	t    *Transport
	plan Plan
	mail *Mail
	res  *Result
	log  transcript

	session session

	from    mailbox
	boxes   []mailbox // of Mail.To
	to      []int     // of the transaction that runs, indexes into Mail.To
	content content
	size    int64
	batch   int      // recipients of a transaction at most
	failed  []*Error // addresses given up

	dialled     int // addresses
	greeted     int // of those, that greeted with 2xx
	greetedAddr netip.AddrPort

	// room for one recipient
	oneOf struct {
		boxes [1]mailbox
		to    [1]int
	}
}

func newAttempt(t *Transport, p Plan, m *Mail) *attempt {
	now := t.o.Now
	a := &attempt{
		t: t, plan: p, mail: m,
		log:   newTranscript(now),
		size:  wireSize(m.Data),
		batch: t.o.MaxRecipients,
		res:   &Result{Recipients: make([]RecipientResult, len(m.To)), StartedAt: now()},
	}
	a.to = a.oneOf.to[:0]
	if a.boxes = a.oneOf.boxes[:]; len(m.To) != 1 {
		a.boxes = make([]mailbox, len(m.To))
	}
	return a
}

// admit refuses what no server should ever see. False if nobody is left to send to.
func (a *attempt) admit() bool {
	var err error
	if a.content, err = checkData(a.mail.Data); err != nil {
		a.settle(localError("5.6.0", err))
		return false
	}
	if err := a.mail.DSN.check(); err != nil {
		a.settle(localError("5.5.4", err))
		return false
	}
	if a.mail.From != "" { // RFC 5321 4.5.5: the null reverse-path
		if a.from, err = parseMailbox(a.mail.From); err != nil {
			a.settle(localError("5.1.7", err))
			return false
		}
	}
	for i, to := range a.mail.To {
		if a.boxes[i], err = parseMailbox(to); err != nil {
			a.set(i, localError("5.1.3", err))
		}
	}
	return a.unsettled() > 0
}

// localError is a permanent Error of our own making.
func localError(enhanced string, err error) *Error {
	return &Error{Stage: StageLocal, Enhanced: enhanced, Err: err}
}

// run tries the addresses until one gives an outcome.
func (a *attempt) run(ctx context.Context) {
	for i := range a.plan.Hosts {
		h := &a.plan.Hosts[i]
		addrs := h.Addrs
		if len(addrs) > 1 {
			addrs = a.t.silence.order(addrs, time.Now())
		}
		for _, addr := range addrs {
			if a.dialled >= a.t.o.MaxAddresses || a.greeted >= a.t.o.MaxGreeted || ctx.Err() != nil {
				a.giveUp(ctx)
				return
			}
			dialled, greeted := a.dialled, a.greeted
			err := a.try(ctx, h, addr)
			if err == nil {
				a.res.Tried = a.failed
				return
			}
			if !err.Temporary {
				// It will never take this mail, which is no reason to leave out one that may.
				a.dialled, a.greeted = dialled, greeted
			}
			a.failed = append(a.failed, err)
			if a.endsAttempt(ctx, err) {
				a.giveUp(ctx)
				return
			}
		}
	}
	a.giveUp(ctx)
}

// try hands the recipients that have no outcome yet to one address, on a kept
// connection if there is one. It returns an error if the address could not be brought
// to take them.
func (a *attempt) try(ctx context.Context, h *Host, addr netip.AddrPort) *Error {
	if !h.Trusted {
		if err := a.t.guard.Check(addr.Addr()); err != nil {
			a.log.note("%s: %v", h.Name, err)
			return &Error{Stage: StageConnect, Host: h.Name, Addr: addr, Enhanced: "5.4.4", Err: err}
		}
	}
	if c := a.t.pool.get(keyOf(h, addr), a.fitted); c != nil {
		c.attach(a)
		c.trace.reused(c)
		if c.again == "" {
			c.again = "kept connection to " + c.where
		}
		a.log.add("*", c.again)
		a.describe(c)
		a.res.Reused = true
		before := a.unsettled()
		if err := a.serve(c); err != nil || a.unsettled() == 0 {
			return err
		}
		if a.unsettled() == before {
			a.log.note("the kept connection was stale")
			a.res.Reused = false
		}
	}
	// A new connection settles at least one recipient, and all but those whom this
	// server wants on another.
	for n := 0; ; n++ {
		a.res.Host, a.res.Addr = h.Name, addr
		c, err := a.open(ctx, h, addr)
		if n == 0 && (err == nil || !unreachable(err)) {
			a.dialled++
		}
		if err != nil {
			return err
		}
		if err := a.serve(c); err != nil || a.unsettled() == 0 {
			return err
		}
	}
}

// serve runs one transaction after the other on a connection, until everybody has an
// outcome or the connection has served enough; then the rest is left for a new one.
// It returns an error if this server cannot take those who are left.
func (a *attempt) serve(c *conn) *Error {
	defer a.release(c)
	for {
		to, err := a.next(c)
		if err != nil || len(to) == 0 {
			return err
		}
		if err := newTransaction(a, c, to).run(); err != nil {
			return err
		}
		if c.broken || a.unsettled() == 0 || a.worn(c) {
			return nil
		}
	}
}

// next picks the recipients of the next transaction, as many as one may have.
// Without SMTPUTF8 those whose address is not ASCII are left for another host.
func (a *attempt) next(c *conn) ([]int, *Error) {
	if err := a.unfit(c); err != nil {
		return nil, err
	}
	to, some := a.to[:0], false
	for i, box := range a.boxes {
		if a.settled(i) {
			continue
		}
		some = true
		if box.utf8 && !c.ext.international() {
			continue
		}
		if to = append(to, i); len(to) == a.batch {
			break
		}
	}
	a.to = to
	if len(to) == 0 && some {
		return nil, c.unable("5.6.7", ErrInternational)
	}
	return to, nil
}

// unfit tells what this server cannot take, before anything is sent: nobody's outcome
// yet, for another host may. Only a mail above its size limit ends here.
func (a *attempt) unfit(c *conn) *Error {
	switch {
	case c.ext.size > 0 && a.size > c.ext.size:
		// RFC 1870 7: the announced limit alone tells that it will never be accepted.
		a.settle(c.unable("5.3.4", fmt.Errorf("%w: %d octets, limit %d", ErrTooLarge, a.size, c.ext.size)))
	case (a.from.utf8 || a.content.international) && !c.ext.international():
		return c.unable("5.6.7", ErrInternational) // RFC 6531 3.2
	case a.content.eightBit && !c.ext.eightBit:
		return c.unable("5.6.3", ErrEightBit) // RFC 6152 3
	}
	return nil
}

// fitted reports whether a kept connection is one for this mail. Another to the same
// address may offer more: there can be many servers behind one.
func (a *attempt) fitted(c *conn) bool {
	for i, box := range a.boxes {
		if box.utf8 && !c.ext.international() && !a.settled(i) {
			return false
		}
	}
	return (c.ext.size == 0 || a.size <= c.ext.size) &&
		(c.ext.international() || !a.from.utf8 && !a.content.international) &&
		(c.ext.eightBit || !a.content.eightBit)
}

// describe notes in the result what connection the attempt is on.
func (a *attempt) describe(c *conn) {
	r := a.res
	r.Host, r.Addr, r.Source, r.HELO = c.key.host, c.key.addr, c.source, c.helo
	r.TLS, r.TLSReason, r.FellBack = c.tls, c.tlsReason, c.fellBack
}

// giveUp settles the recipients when no address took the transaction: for good only
// if nothing that may yet take the mail was left out.
func (a *attempt) giveUp(ctx context.Context) {
	final := a.decisive()
	if final == nil || !final.Temporary {
		if e := a.untried(ctx); e != nil {
			final = e
		}
	}
	for _, e := range a.failed {
		if e != final {
			a.res.Tried = append(a.res.Tried, e)
		}
	}
	a.settle(final)
}

// decisive picks the failure that stands for all: the last of those that weigh most.
// A host that fails for now may take the mail later, whatever others say.
func (a *attempt) decisive() *Error {
	var final *Error
	heaviest := -1
	for _, e := range a.failed {
		if w := a.weight(e); w >= heaviest {
			final, heaviest = e, w
		}
	}
	return final
}

func (a *attempt) weight(e *Error) int {
	switch {
	case errors.Is(e, ErrDenied):
		return 0
	case !e.Temporary:
		return 2
	case !unreachable(e):
		return 4
	}
	for _, other := range a.failed {
		if other.Host == e.Host && !other.Temporary && !errors.Is(other, ErrDenied) {
			return 1 // the host has spoken at another of its addresses
		}
	}
	return 3
}

// untried is why there are hosts or addresses that had no say, nil if all had theirs.
func (a *attempt) untried(ctx context.Context) *Error {
	e := &Error{Stage: StageConnect, Enhanced: "4.4.4", Temporary: true}
	switch {
	case ctx.Err() != nil:
		e.Err = context.Cause(ctx)
	case a.plan.Incomplete != nil:
		e.Enhanced, e.Err = "4.4.3", a.plan.Incomplete
	case len(a.failed) == 0:
		e.Err = errors.New("the plan has no address")
	default:
		return nil
	}
	return e
}

// unreachable reports whether no packet could leave for an address: this machine has
// no such network, as with IPv6 on a host without it.
func unreachable(e *Error) bool {
	if e.Stage != StageConnect {
		return false
	}
	for _, errno := range []syscall.Errno{syscall.ENETUNREACH, syscall.EHOSTUNREACH, syscall.EADDRNOTAVAIL, syscall.EAFNOSUPPORT} {
		if errors.Is(e, errno) {
			return true
		}
	}
	return false
}

// settled reports whether a recipient has an outcome.
func (a *attempt) settled(i int) bool {
	r := &a.res.Recipients[i]
	return r.Err != nil || r.Reply != nil
}

// unsettled is the number of recipients without an outcome.
func (a *attempt) unsettled() int {
	n := 0
	for i := range a.res.Recipients {
		if !a.settled(i) {
			n++
		}
	}
	return n
}

// set gives one recipient its outcome.
func (a *attempt) set(i int, e *Error) {
	a.res.Recipients[i] = RecipientResult{Reply: e.Reply, Err: e}
}

// settle gives all recipients that have none yet the same outcome.
func (a *attempt) settle(e *Error) {
	for i := range a.res.Recipients {
		if !a.settled(i) {
			a.set(i, e)
		}
	}
}

func (a *attempt) result() *Result {
	a.res.Transcript = a.log.lines()
	a.res.EndedAt = a.t.o.Now()
	a.t.o.Trace.done(a.res)
	return a.res
}
