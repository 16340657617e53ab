package worker

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"strings"
	"time"

	"postrider/internal/bounce"
	"postrider/internal/email"
	"postrider/internal/shape"
	"postrider/internal/store"
	"postrider/smtpclient"
)

// trial is one attempt before its judge.
type trial struct {
	m        *email.Message
	envelope int
	to       []int // the recipients that were tried, as in Result.Recipients
	expires  time.Time
	now      time.Time
	schedule Schedule
	spare    bool // a hard bounce suppresses nobody
}

// verdict is what the attempt came to.
type verdict struct {
	outcomes []email.Outcome
	nextAt   time.Time // when those that are not final are tried again
	feedback shape.Feedback
	err      string // what ended the attempt early; empty if it ran to its end
	decided  bool   // there is something to write down, see decided
	lost     bool   // another attempt holds the envelope: change nothing
	unmarked bool   // the store could not be told of the mark, so nothing was sent
}

// judge is the only place that decides what is permanent and what temporary.
func (t *trial) judge(r *smtpclient.Result) verdict {
	var v verdict
	var waits []wait
	progress := false
	for i := range r.Recipients {
		e := r.Recipients[i].Err
		progress = progress || e == nil || e.Stage != smtpclient.StageRCPT
	}
	for i, rr := range r.Recipients {
		if e := rr.Err; e != nil && e.Stage == smtpclient.StageMark && errors.Is(e, store.ErrUnavailable) {
			// Not now is no failure: of the recipient nothing is known.
			v.unmarked = true
			waits = append(waits, wait{soon: true})
			continue
		}
		o, w := t.recipient(t.to[i], rr, r, progress)
		v.outcomes = append(v.outcomes, o)
		if !o.Status.Final() {
			waits = append(waits, w)
		}
		v.decided = v.decided || decided(rr.Err)
		if e := rr.Err; e != nil && e.Stage != smtpclient.StageRCPT && v.err == "" {
			v.err = printable(e.Error(), maxDetail)
		}
		var refused *store.Refused
		if rr.Err != nil && errors.As(rr.Err, &refused) && refused.Why == "lost" {
			v.lost = true
		}
	}
	v.feedback = t.feedback(r)
	t.plan(&v, t.m.Envelopes[t.envelope].State.Attempts+1, waits)
	return v
}

// decided reports whether there is something to write down: a server's word, or an
// attempt that may have set its mark and can no longer be taken for none.
func decided(e *smtpclient.Error) bool {
	if e == nil || e.Reply != nil || e.Unknown {
		return true
	}
	return e.Stage == smtpclient.StageMark || e.Stage == smtpclient.StageBody || e.Stage == smtpclient.StageDot
}

// plan sets when to try again after so many failures in a row, this one included:
// the envelope has one time for all that wait.
// unmarkedRest is how soon an envelope is tried again whose mark could not be set.
const unmarkedRest = time.Second

func (t *trial) plan(v *verdict, failures int, waits []wait) {
	if len(waits) == 0 {
		return
	}
	e := &t.m.Envelopes[t.envelope]
	r := retry{failures: failures, life: t.m.ExpiresAt.Sub(t.m.Due()), sandbox: e.Sandbox, seed: fmt.Sprint(t.m.ID, " ", t.envelope)}
	pace, unknowns, soon := merge(waits)
	r.pace, r.unknowns = pace, unknowns
	at := t.now
	switch {
	case !soon:
		at = at.Add(t.schedule.delay(r))
	case v.unmarked:
		at = at.Add(unmarkedRest)
	}
	// At its end of life the envelope is woken once more, to be given up.
	if at.After(t.expires) {
		at = t.expires
	}
	v.nextAt = at
	for i := range v.outcomes {
		if !v.outcomes[i].Status.Final() {
			v.outcomes[i].NextAt = at
		}
	}
}

// wait is how patiently one recipient has to be tried again.
type wait struct {
	pace     bounce.Pace
	unknowns int  // unknown outcomes so far, if this was one
	soon     bool // refused only for the number of recipients beside it, or not sent
}

// merge finds one wait for all. An unknown outcome is the most careful; rate and
// reputation concern the whole envelope; a full mailbox only itself, so that it is
// waited for only where nobody else waits. That is a choice: beside others a full
// mailbox is tried more often than once an hour, which costs it one RCPT each time,
// and the envelope keeps its one time (POSTRIDER_ENVELOPE=recipient parts them).
func merge(waits []wait) (pace bounce.Pace, unknowns int, soon bool) {
	soon, pace = true, bounce.Full
	for _, w := range waits {
		unknowns = max(unknowns, w.unknowns)
		if w.soon {
			continue
		}
		soon = false
		switch {
		case w.pace == bounce.Slow:
			pace = bounce.Slow
		case w.pace == bounce.Normal && pace == bounce.Full:
			pace = bounce.Normal
		}
	}
	return pace, unknowns, soon
}

// recipient gives one recipient's outcome. progress tells that the attempt settled
// something else than refusals of RCPTs.
func (t *trial) recipient(index int, rr smtpclient.RecipientResult, r *smtpclient.Result, progress bool) (email.Outcome, wait) {
	o := email.Outcome{Recipient: index, Status: email.Deferred}
	e := rr.Err
	switch {
	case e == nil:
		// RFC 5321 6.1: the 250 to the final dot moves the responsibility.
		o.Status = email.Delivered
		o.Reply = t.reply(smtpclient.StageDot, rr.Reply, r, nil)
		return o, wait{}
	case e.Unknown:
		return t.unknown(o, e.Error())
	case errors.Is(e, store.ErrRefused):
		return t.refused(o, e), wait{}
	case e.Reply == nil:
		return t.silent(o, e), wait{}
	}
	o.Reply = t.reply(e.Stage, e.Reply, r, e)
	c := bounce.Classify(string(e.Stage), *o.Reply)
	o.Category, o.Detail = c.Category, c.Reason
	if e.Stage == smtpclient.StageSTARTTLS || errors.Is(e, smtpclient.ErrTLSRequired) {
		o.Category = bounce.TLSFailed
	}
	crowd := e.Stage == smtpclient.StageRCPT && bounce.TooManyRecipients(*o.Reply)
	if e.Temporary && wantsTLS(o.Reply) {
		o.Category = bounce.TLSFailed
		return o, wait{pace: c.Pace}
	}
	if permanent(e, crowd && progress) {
		o.Status, o.Bounce = email.Bounced, c.Type
		// The sandbox bounces what it was asked to (api.md 17.2).
		o.Suppress = c.Suppress && !t.m.Envelopes[t.envelope].Sandbox && !t.spare
		return o, wait{}
	}
	return o, wait{pace: c.Pace, soon: crowd && progress}
}

// wantsTLS reports whether a reply to MAIL or later refuses clear text. Said in clear,
// where TLS failed or was not even offered, that is no verdict on the mail or on anybody
// it is for: the host speaks of how it is spoken to, and the next attempt may have TLS.
func wantsTLS(r *email.Reply) bool {
	switch smtpclient.Stage(r.Stage) {
	case smtpclient.StageMAIL, smtpclient.StageRCPT, smtpclient.StageDATA, smtpclient.StageBody, smtpclient.StageDot:
		// RFC 3207 4: 530 until TLS is there. RFC 5248 2.4: x.7.10 and x.7.11, encryption is needed.
		return r.Code == 530 || strings.HasSuffix(r.EnhancedCode, ".7.10") || strings.HasSuffix(r.EnhancedCode, ".7.11")
	}
	return false
}

// permanent decides by code and stage.
func permanent(e *smtpclient.Error, crowded bool) bool {
	code := e.Reply.Code
	if code/100 != 5 || crowded {
		return false // RFC 5321 3.8: 421 is never permanent, whatever it answers
	}
	switch e.Stage {
	case smtpclient.StageRCPT:
		// RFC 5321 4.5.3.1.10: 552 to RCPT means too many recipients, unless its enhanced code says more.
		return code != 552 || (e.Reply.Enhanced != "" && e.Reply.Enhanced != "5.5.3")
	case smtpclient.StageMAIL, smtpclient.StageDATA, smtpclient.StageBody, smtpclient.StageDot:
		return true
	case smtpclient.StageGreeting:
		return code == 521 && !e.Temporary // RFC 7504: this host never takes mail. Any other may be about us, now
	}
	return false // EHLO, STARTTLS, AUTH: a fault between the two hosts, not with the mail
}

// lastUnknown is the number of unknown outcomes after which we give up (api.md 10.1).
const lastUnknown = 4

// unknown: the connection was lost after the final dot. RFC 5321 6.1, 4.5.3.2.6.
func (t *trial) unknown(o email.Outcome, detail string) (email.Outcome, wait) {
	o.Unknown, o.Category, o.Detail = true, bounce.NetworkError, printable(detail, maxDetail)
	n := t.m.Recipients[o.Recipient].State.Unknowns + 1
	if n >= lastUnknown {
		o.Status, o.Reason = email.Failed, email.ReasonOutcomeUnknown
	}
	return o, wait{unknowns: n}
}

// refused: the store did not let the final dot go out.
func (t *trial) refused(o email.Outcome, e *smtpclient.Error) email.Outcome {
	var why *store.Refused
	o.Category = bounce.Other
	if errors.As(e, &why) && why.Why == "expired" {
		o.Status, o.Reason, o.Detail = email.Failed, email.ReasonExpired, "expired before the final dot"
		if t.m.Recipients[o.Recipient].State.Unknowns > 0 {
			o.Reason = email.ReasonOutcomeUnknown
		}
		return o
	}
	o.Detail = "stopped before the final dot" // of a canceled one the store makes canceled
	return o
}

// silent: no reply says why.
func (t *trial) silent(o email.Outcome, e *smtpclient.Error) email.Outcome {
	o.Detail = printable(e.Error(), maxDetail)
	switch {
	case errors.Is(e, smtpclient.ErrTLSRequired), e.Stage == smtpclient.StageSTARTTLS:
		o.Category = bounce.TLSFailed
	case errors.Is(e, smtpclient.ErrProtocol):
		o.Category = bounce.ProtocolError
	case errors.Is(e, smtpclient.ErrTooLarge):
		o.Category = bounce.MessageTooLarge
	case e.Stage == smtpclient.StageMark, localFault(e):
		o.Category = bounce.Other
	default:
		o.Category = bounce.NetworkError
	}
	switch {
	case e.Temporary || e.Stage == smtpclient.StageMark:
	case errors.Is(e, smtpclient.ErrTooLarge):
		// RFC 1870 7: the limit it announced is the server's refusal.
		o.Status, o.Bounce = email.Bounced, bounce.Block
	case errors.Is(e, smtpclient.ErrLoop), errors.Is(e, smtpclient.ErrDenied):
		o.Status, o.Reason = email.Failed, email.ReasonNoRoute
	case localFault(e):
		o.Status, o.Reason = email.Failed, email.ReasonLocalError
	}
	return o
}

// localFault reports what no server and no waiting will mend.
func localFault(e *smtpclient.Error) bool {
	if e.Stage == smtpclient.StageLocal {
		return true
	}
	for _, fault := range []error{smtpclient.ErrEightBit, smtpclient.ErrInternational, smtpclient.ErrPath, smtpclient.ErrData, smtpclient.ErrCommand} {
		if errors.Is(e, fault) {
			return true
		}
	}
	return false
}

// feedback is what the provider's pace should learn. The sandbox has no pace to
// lose: its refusals are asked for.
func (t *trial) feedback(r *smtpclient.Result) shape.Feedback {
	answered, dead, lost, silent := false, len(r.Recipients) > 0, false, false
	for _, rr := range r.Recipients {
		e := rr.Err
		if e == nil {
			answered, dead = true, false
			continue
		}
		if e.Reply != nil && pushback(e) && !t.m.Envelopes[t.envelope].Sandbox {
			return shape.Pushback
		}
		silent = silent || timedOut(e)
		switch e.Stage {
		case smtpclient.StageConnect, smtpclient.StageGreeting, smtpclient.StageEHLO:
			dead = dead && !errors.Is(e, smtpclient.ErrDenied)
		default:
			answered = answered || e.Reply != nil
			lost = lost || e.Reply == nil && e.Stage != smtpclient.StageMark && !localFault(e)
			dead = false
		}
	}
	switch {
	case (dead || silent) && !t.m.Envelopes[t.envelope].Sandbox:
		return shape.Dead
	case answered:
		return shape.Good
	case lost:
		return shape.Lost
	}
	return shape.Neutral
}

// timedOut reports whether the server let us wait for its reply until we gave up:
// who stalls in mid-dialogue holds a worker as long as who does not greet.
func timedOut(e *smtpclient.Error) bool {
	return e.Reply == nil && e.Stage != smtpclient.StageMark &&
		(errors.Is(e, os.ErrDeadlineExceeded) || errors.Is(e, context.DeadlineExceeded))
}

// pushback reports whether a reply asks us to go slower: 421, 4.7.x, or a
// refusal for our reputation; not a greylist, which asks for patience only.
func pushback(e *smtpclient.Error) bool {
	c := bounce.Classify(string(e.Stage), email.Reply{Code: e.Reply.Code, EnhancedCode: e.Reply.Enhanced, Text: e.Reply.Text})
	if c.Category == bounce.Greylisted {
		return false
	}
	return e.Reply.Code == 421 || strings.HasPrefix(e.Reply.Enhanced, "4.7.") || c.Category == bounce.ReputationBlocked
}

// reply is the stored form of a reply, with who said it.
func (t *trial) reply(stage smtpclient.Stage, from *smtpclient.Reply, r *smtpclient.Result, e *smtpclient.Error) *email.Reply {
	out := &email.Reply{Stage: string(stage), MXHost: r.Host, MXIP: ip(r.Addr), At: t.now}
	if r.TLS != nil {
		out.TLSVersion = r.TLS.Version
	}
	if e != nil && e.Host != "" && e.Host != r.Host {
		out.MXHost, out.MXIP, out.TLSVersion = e.Host, ip(e.Addr), ""
	}
	if from != nil {
		out.Code, out.EnhancedCode, out.Text = from.Code, from.Enhanced, printable(from.Text, maxReply)
	}
	return out
}

func ip(a netip.AddrPort) string {
	if !a.IsValid() {
		return ""
	}
	return a.Addr().String()
}
