package worker

import (
	"context"
	"errors"
	"strings"

	"postrider/internal/bounce"
	"postrider/internal/email"
	"postrider/internal/sign"
	"postrider/internal/store"
	"postrider/smtpclient"
	"postrider/smtpclient/mx"
)

// unplanned: there is nowhere to connect to. What DNS says for good fails at once
// (RFC 5321 5.1, RFC 7505 3); what it could not say is asked again by the schedule.
func (d *delivery) unplanned(ctx context.Context, err error) error {
	var e *mx.Error
	if ctx.Err() != nil || !errors.As(err, &e) {
		return d.wait(ctx, "plan", err)
	}
	o := email.Outcome{Status: email.Failed, Reason: email.ReasonNoRoute, Category: bounce.NetworkError}
	o.Detail = printable(strings.TrimSpace(e.Enhanced+" "+e.Error()), maxDetail)
	if e.Kind == mx.NoDomain || e.Kind == mx.NullMX {
		o.Category = bounce.InvalidRecipient
	}
	if !e.Temporary {
		return d.settle(ctx, o)
	}
	o.Status, o.Reason = email.Deferred, ""
	t := d.trial()
	var v verdict
	for range d.to {
		v.outcomes = append(v.outcomes, o)
	}
	t.plan(&v, d.deferrals()+1, make([]wait, len(d.to)))
	o.NextAt = v.nextAt
	return d.settle(ctx, o)
}

// deferrals is how often the envelope was deferred. Without a slot it counts no
// attempt, so the events of its recipients tell: all but those of being accepted
// and of coming due are deferrals.
func (d *delivery) deferrals() int {
	n := 0
	for _, i := range d.to {
		s := d.m.Recipients[i].State
		before := 1
		if s.AtAccept == email.Scheduled {
			before = 2
		}
		n = max(n, s.Seq-before)
	}
	return n
}

// unfit: the mail could not be made. A fault of the mail ends it; one of ours, say
// a store that is away, is waited for.
func (d *delivery) unfit(ctx context.Context, err error) error {
	if !errors.Is(err, sign.ErrUnfit) {
		return d.wait(ctx, "compose", err)
	}
	return d.settle(ctx, email.Outcome{
		Status: email.Failed, Reason: email.ReasonLocalError, Category: bounce.Other, Detail: printable(err.Error(), maxDetail),
	})
}

// wait gives the envelope back for a fault of ours, which is no attempt: at once
// if we are being stopped, else after the schedule's first delay.
func (d *delivery) wait(ctx context.Context, what string, err error) error {
	wait := store.Wait{Until: d.w.o.Now(), Hold: email.HoldQueue}
	if ctx.Err() == nil {
		d.w.o.Log.Warn("delivery waits", "message", d.m.ID, "envelope", d.job.Envelope, "for", what, "error", printable(err.Error(), maxDetail))
		wait.Hold, wait.Detail = email.HoldFault, "a fault of this service: "+what
		wait.Until = wait.Until.Add(d.w.o.Schedule.delay(retry{failures: 1, life: d.m.ExpiresAt.Sub(d.m.Due()), sandbox: d.env.Sandbox, seed: d.m.ID}))
	}
	return d.release(ctx, wait)
}

// settle concludes all open recipients alike, without an attempt.
func (d *delivery) settle(ctx context.Context, o email.Outcome) error {
	a := &email.Attempt{Envelope: d.job.Envelope, Fence: d.claim.Fence, Worker: d.w.o.ID}
	for _, i := range d.to {
		o.Recipient = i
		a.Outcomes = append(a.Outcomes, o)
	}
	d.log(ctx, a)
	return d.conclude(ctx, a, o.NextAt)
}

// expire gives up on all recipients that are still open.
func (d *delivery) expire(ctx context.Context) error {
	a := &email.Attempt{Envelope: d.job.Envelope, Fence: d.claim.Fence, Worker: d.w.o.ID}
	attempts := d.history(ctx)
	for _, i := range d.to {
		reason := d.whyExpired(i, attempts)
		a.Outcomes = append(a.Outcomes, email.Outcome{
			Recipient: i, Status: email.Failed, Reason: reason, Category: bounce.Other, Detail: "not delivered before it expired",
		})
	}
	d.log(ctx, a)
	return d.conclude(ctx, a, d.w.o.Now())
}

// history loads the attempts if they are needed to say why nothing came of them.
func (d *delivery) history(ctx context.Context) []email.Attempt {
	for _, i := range d.to {
		if s := d.m.Recipients[i].State; s.LastReply == nil && s.Attempts > 0 {
			attempts, err := d.w.o.Store.Messages.Attempts(ctx, d.job.World, d.m.ID)
			if err != nil {
				d.w.o.Log.Warn("attempts not read", "message", d.m.ID, "error", err)
			}
			return attempts
		}
	}
	return nil
}

// whyExpired chooses a recipient's reason: outcome_unknown if any attempt was;
// tls_required if TLS was the last thing to fail; expired if a server ever said
// something; dns_failure if no attempt had an address to go to; connection_failed
// if the last one got no answer; else expired, as of mail that never had its turn.
func (d *delivery) whyExpired(recipient int, attempts []email.Attempt) string {
	s := d.m.Recipients[recipient].State
	switch {
	case s.Unknowns > 0:
		return email.ReasonOutcomeUnknown
	case s.LastReply != nil && (s.LastReply.Stage == string(smtpclient.StageSTARTTLS) || wantsTLS(s.LastReply)):
		return email.ReasonTLSRequired
	case s.LastReply != nil:
		return email.ReasonExpired
	case s.Attempts == 0 && s.Status == email.Deferred:
		return email.ReasonDNSFailure
	}
	for k := len(attempts) - 1; k >= 0; k-- {
		for _, o := range attempts[k].Outcomes {
			if o.Recipient != recipient {
				continue
			}
			switch o.Category {
			case bounce.TLSFailed:
				return email.ReasonTLSRequired
			case bounce.NetworkError:
				return email.ReasonConnectionFailed
			}
			return email.ReasonExpired
		}
	}
	return email.ReasonExpired
}
