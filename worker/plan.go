package worker

import (
	"context"
	"errors"
	"sync"
	"time"

	"postrider/internal/shape"
	"postrider/smtpclient"
	"postrider/smtpclient/mx"
)

// planLimit bounds the DNS work before an attempt. A lookup may go on behind it, and
// what it comes to is remembered.
const planLimit = 20 * time.Second

// plan finds where to go, or a later time to ask. A domain whose DNS answered the
// last time answers again at once, or loses that trust. Any other is asked about by
// few at a time, who take a small part of the process: a name server that is silent
// must not hold those whose mail could go.
func (d *delivery) plan(ctx context.Context) (plan smtpclient.Plan, later time.Time, err error) {
	w, domain := d.w, d.env.Domain
	if w.answering.has(domain) {
		if plan, err = d.route(ctx, w.o.Patience); answered(err) {
			return plan, time.Time{}, err
		}
		w.answering.remove(domain)
	}
	slot, later := w.o.Planning.Wait(ctx, domain, d.m.Class, w.o.Patience)
	if slot == nil {
		return smtpclient.Plan{}, later, nil
	}
	plan, err = d.route(ctx, planLimit)
	var e *mx.Error
	switch {
	case answered(err):
		w.answering.add(domain)
		slot.Release(shape.Good)
	case errors.As(err, &e):
		slot.Release(shape.Lost)
	default:
		slot.Release(shape.Neutral) // a fault of ours
	}
	return plan, time.Time{}, err
}

// answered reports whether DNS said something, be it that there is no way.
func answered(err error) bool {
	var e *mx.Error
	return err == nil || (errors.As(err, &e) && !e.Temporary)
}

func (d *delivery) route(ctx context.Context, limit time.Duration) (smtpclient.Plan, error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	plan, err := d.w.o.Router.Plan(ctx, d.m, d.job.Envelope)
	if plan.Provider == "" {
		plan.Provider = d.env.Domain
	}
	return plan, err
}

// maxAnswering bounds the domains that are trusted to answer.
const maxAnswering = 10_000

// answering knows the domains whose DNS answered the last time it was asked.
type answering struct {
	mu      sync.Mutex
	domains map[string]struct{}
}

func newAnswering() *answering { return &answering{domains: make(map[string]struct{})} }

func (a *answering) has(domain string) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	_, ok := a.domains[domain]
	return ok
}

func (a *answering) add(domain string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for other := range a.domains { // any one makes room
		if len(a.domains) < maxAnswering {
			break
		}
		delete(a.domains, other)
	}
	a.domains[domain] = struct{}{}
}

func (a *answering) remove(domain string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.domains, domain)
}
