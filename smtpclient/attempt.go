package smtpclient

import (
	"context"
	"errors"
	"net/netip"
	"syscall"
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
		if err := a.t.guard.Check(addr.Addr()); err != nil {
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
	c, err := a.open(ctx, h, addr)
	if err == nil || !unreachable(err) {
		a.dialled++
	}
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
