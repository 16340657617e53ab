package smtpclient

import (
	"context"
	"errors"
	"net/netip"
)

// attempt is one Send on its way.
type attempt struct {
	t    *Transport
	plan *Plan
	mail *Mail
	res  *Result
	log  *transcript

	eightBit bool // the data has octets above 127
	size     int64
	failed   []*Error // addresses given up

	dialled     int // addresses
	greeted     int // of those, that greeted with 2xx
	greetedAddr netip.AddrPort
}

func newAttempt(t *Transport, p *Plan, m *Mail) *attempt {
	now := t.o.Now
	return &attempt{
		t: t, plan: p, mail: m,
		log:  &transcript{now: now},
		size: wireSize(m.Data),
		res:  &Result{Recipients: make([]RecipientResult, len(m.To)), StartedAt: now()},
	}
}

// admit refuses what no server should ever see. False if nobody is left to send to.
func (a *attempt) admit() bool {
	eightBit, err := checkData(a.mail.Data)
	a.eightBit = eightBit
	if err != nil {
		a.settle(localError("5.6.0", err))
		return false
	}
	if a.mail.From != "" {
		if err := checkPath(a.mail.From); err != nil {
			a.settle(localError(pathStatus(err, "5.1.7"), err))
			return false
		}
	}
	for i, to := range a.mail.To {
		if err := checkPath(to); err != nil {
			a.set(i, localError(pathStatus(err, "5.1.3"), err))
		}
	}
	return len(a.unsettled()) > 0
}

// localError is a permanent Error of our own making.
func localError(enhanced string, err error) *Error {
	return &Error{Stage: StageLocal, Enhanced: enhanced, Err: err}
}

func pathStatus(err error, syntax string) string {
	if errors.Is(err, ErrInternational) {
		return "5.6.7"
	}
	return syntax
}

// run tries the addresses until one gives an outcome.
func (a *attempt) run(ctx context.Context) {
	for i := range a.plan.Hosts {
		h := &a.plan.Hosts[i]
		for _, addr := range h.Addrs {
			if a.dialled >= a.t.o.MaxAddresses || a.greeted >= a.t.o.MaxGreeted || ctx.Err() != nil {
				a.giveUp(ctx)
				return
			}
			err := a.try(ctx, h, addr)
			if err == nil {
				a.res.Tried = a.failed
				return
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

// try runs the transaction with one address, on a kept connection if there is one.
// It returns an error if the address could not be brought to MAIL.
func (a *attempt) try(ctx context.Context, h *Host, addr netip.AddrPort) *Error {
	if !h.Trusted {
		if err := a.t.guard.check(addr.Addr()); err != nil {
			a.log.note("%s: %v", h.Name, err)
			return &Error{Stage: StageConnect, Host: h.Name, Addr: addr, Enhanced: "5.4.4", Err: err}
		}
	}
	if c := a.t.pool.get(keyOf(h, addr)); c != nil {
		c.attach(ctx, a.log)
		a.log.note("kept connection to %s (%s)", h.Name, addr)
		a.describe(c)
		a.res.Reused = true
		if stale := a.transact(c); !stale {
			return nil
		}
		a.log.note("the kept connection was stale")
		a.res.Reused = false
	}
	a.res.Host, a.res.Addr = h.Name, addr
	a.dialled++
	c, err := a.open(ctx, h, addr)
	if err != nil {
		return err
	}
	a.transact(c)
	return nil
}

// describe notes in the result what connection the attempt is on.
func (a *attempt) describe(c *conn) {
	r := a.res
	r.Host, r.Addr, r.Source, r.HELO = c.key.host, c.key.addr, c.source, c.helo
	r.TLS, r.TLSReason = c.tls, c.tlsReason
}

// giveUp settles the recipients when no address took the transaction: with the
// last failure, but one of an address that was dialled before one that was denied.
func (a *attempt) giveUp(ctx context.Context) {
	last := len(a.failed) - 1
	for i := last; i >= 0; i-- {
		if !errors.Is(a.failed[i], ErrDenied) {
			last = i
			break
		}
	}
	if last < 0 {
		err := errors.New("the plan has no address")
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		a.settle(&Error{Stage: StageConnect, Enhanced: "4.4.4", Temporary: true, Err: err})
		return
	}
	final := a.failed[last]
	a.res.Tried = append(a.failed[:last:last], a.failed[last+1:]...)
	if errors.Is(final, ErrLoop) {
		// RFC 5321 5.1: a better host that only failed for now may yet take the mail.
		for _, e := range a.res.Tried {
			if e.Temporary {
				final.Temporary, final.Enhanced = true, "4.4.6"
			}
		}
	}
	a.settle(final)
}

// unsettled lists the recipients without an outcome.
func (a *attempt) unsettled() []int {
	var list []int
	for i := range a.res.Recipients {
		if r := &a.res.Recipients[i]; r.Err == nil && r.Reply == nil {
			list = append(list, i)
		}
	}
	return list
}

// set gives one recipient its outcome.
func (a *attempt) set(i int, e *Error) {
	a.res.Recipients[i] = RecipientResult{Reply: e.Reply, Err: e}
}

// settle gives all recipients that have none yet the same outcome.
func (a *attempt) settle(e *Error) {
	for _, i := range a.unsettled() {
		a.set(i, e)
	}
}

func (a *attempt) result() *Result {
	a.res.Transcript = a.log.lines()
	a.res.EndedAt = a.t.o.Now()
	return a.res
}
