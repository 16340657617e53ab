package worker

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"postrider/internal/bounce"
	"postrider/internal/email"
	"postrider/internal/shape"
	"postrider/internal/store"
	"postrider/smtpclient"
)

func noon() time.Time { return time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC) }

// newTrial is of a message with n recipients in one envelope.
func newTrial(n int) *trial {
	m := &email.Message{ID: "msg_x", CreatedAt: noon().Add(-time.Minute), ExpiresAt: noon().Add(3 * day), Envelopes: make([]email.Envelope, 1)}
	t := &trial{m: m, expires: m.ExpiresAt, now: noon(), schedule: Schedule{}.withDefaults()}
	for i := range n {
		m.Recipients = append(m.Recipients, email.Recipient{Address: email.Address{Email: fmt.Sprintf("r%d@b.test", i)}})
		m.Envelopes[0].Recipients = append(m.Envelopes[0].Recipients, i)
		t.to = append(t.to, i)
	}
	return t
}

func fault(stage smtpclient.Stage, code int, enhanced, text string) *smtpclient.Error {
	return &smtpclient.Error{Stage: stage, Host: "mx.b.test", Reply: &smtpclient.Reply{Code: code, Enhanced: enhanced, Text: text}}
}

func silence(stage smtpclient.Stage, err error) *smtpclient.Error {
	return &smtpclient.Error{Stage: stage, Host: "mx.b.test", Temporary: true, Err: err}
}

func results(errs ...*smtpclient.Error) *smtpclient.Result {
	r := &smtpclient.Result{Host: "mx.b.test", Addr: netip.MustParseAddrPort("192.0.2.1:25")}
	for _, e := range errs {
		rr := smtpclient.RecipientResult{Err: e}
		if e == nil {
			rr.Reply = &smtpclient.Reply{Code: 250, Text: "queued"}
		} else {
			rr.Reply = e.Reply
		}
		r.Recipients = append(r.Recipients, rr)
	}
	return r
}

// ruling is what a case expects of one recipient and of the whole.
type ruling struct {
	name     string
	err      *smtpclient.Error
	status   email.Status
	reason   string
	category string
	bounce   string
	after    time.Duration // of a deferral; 0: not checked
	feedback shape.Feedback
}

// replyRulings are of what servers say, stage by stage.
func replyRulings() []ruling {
	return []ruling{
		{"accepted", nil, email.Delivered, "", "", "", 0, shape.Good},

		{"rcpt 550 5.1.1", fault("rcpt", 550, "5.1.1", "no"), email.Bounced, "", "invalid_recipient", "hard", 0, shape.Good},
		{"rcpt 550", fault("rcpt", 550, "", "no"), email.Bounced, "", "other", "undetermined", 0, shape.Good},
		{"rcpt 556", fault("rcpt", 556, "", "no"), email.Bounced, "", "invalid_recipient", "hard", 0, shape.Good},
		{"rcpt 552 5.2.2", fault("rcpt", 552, "5.2.2", "full"), email.Bounced, "", "mailbox_full", "soft", 0, shape.Good},
		{"rcpt 552 alone is 452", fault("rcpt", 552, "", "no"), email.Deferred, "", "mailbox_full", "", time.Hour, shape.Good},
		{"rcpt 552 5.5.3", fault("rcpt", 552, "5.5.3", "too many recipients"), email.Deferred, "", "rate_limited", "", 15 * time.Minute, shape.Good},
		{"rcpt 452 4.2.2", fault("rcpt", 452, "4.2.2", "full"), email.Deferred, "", "mailbox_full", "", time.Hour, shape.Good},
		{"rcpt 450 greylisted", fault("rcpt", 450, "4.7.1", "greylisted"), email.Deferred, "", "greylisted", "", time.Minute, shape.Good},
		{"rcpt 451", fault("rcpt", 451, "", "later"), email.Deferred, "", "other", "", time.Minute, shape.Good},
		{"rcpt 451 4.7.1", fault("rcpt", 451, "4.7.1", "later"), email.Deferred, "", "policy_rejected", "", 15 * time.Minute, shape.Pushback},
		{"rcpt 421", fault("rcpt", 421, "", "closing"), email.Deferred, "", "other", "", 15 * time.Minute, shape.Pushback},
		{"rcpt 550 5.7.1 block list", fault("rcpt", 550, "5.7.1", "blocked using spamhaus"), email.Bounced, "", "reputation_blocked", "block", 0, shape.Pushback},
		{"rcpt unknown 5yz", fault("rcpt", 599, "", "?"), email.Bounced, "", "other", "undetermined", 0, shape.Good},
		{"rcpt unknown 4yz", fault("rcpt", 499, "", "?"), email.Deferred, "", "other", "", time.Minute, shape.Good},

		{"mail 550", fault("mail", 550, "5.7.1", "no"), email.Bounced, "", "policy_rejected", "block", 0, shape.Good},
		{"mail 552 is permanent", fault("mail", 552, "5.3.4", "too large"), email.Bounced, "", "message_too_large", "block", 0, shape.Good},
		{"mail 451", fault("mail", 451, "", "later"), email.Deferred, "", "other", "", time.Minute, shape.Good},
		{"mail 421 4.7.0", fault("mail", 421, "4.7.0", "slow"), email.Deferred, "", "policy_rejected", "", 15 * time.Minute, shape.Pushback},
		{"data 554", fault("data", 554, "", "no"), email.Bounced, "", "other", "undetermined", 0, shape.Good},
		{"data 451", fault("data", 451, "", "later"), email.Deferred, "", "other", "", time.Minute, shape.Good},
		{"body 554", fault("body", 554, "5.6.0", "no"), email.Bounced, "", "content_rejected", "block", 0, shape.Good},
		{"dot 554 spam", fault("dot", 554, "5.7.1", "considered spam"), email.Bounced, "", "spam_rejected", "block", 0, shape.Good},
		{"dot 552", fault("dot", 552, "", "no"), email.Bounced, "", "mailbox_full", "soft", 0, shape.Good},
		{"dot 451", fault("dot", 451, "4.3.0", "later"), email.Deferred, "", "other", "", time.Minute, shape.Good},
		{"dot 421", fault("dot", 421, "", "closing"), email.Deferred, "", "other", "", 15 * time.Minute, shape.Pushback},

		{"greeting 521", fault("greeting", 521, "", "no mail here"), email.Bounced, "", "invalid_recipient", "hard", 0, shape.Dead},
		{"greeting 554", fault("greeting", 554, "", "no"), email.Deferred, "", "other", "", time.Minute, shape.Dead},
		{"greeting 554 5.7.1", fault("greeting", 554, "5.7.1", "no"), email.Deferred, "", "policy_rejected", "", time.Minute, shape.Dead},
		{"greeting 421", fault("greeting", 421, "", "busy"), email.Deferred, "", "other", "", 15 * time.Minute, shape.Pushback},
		{"ehlo 550", fault("ehlo", 550, "", "no"), email.Deferred, "", "other", "", time.Minute, shape.Dead},
		{"starttls 554", fault("starttls", 554, "", "no"), email.Deferred, "", "tls_failed", "", time.Minute, shape.Good},
		{"auth 535", fault("auth", 535, "", "no"), email.Deferred, "", "authentication_failed", "", time.Minute, shape.Good},
	}
}

// silentRulings are of what no reply explains.
func silentRulings() []ruling {
	reset, stall := errors.New("connection reset by peer"), fmt.Errorf("no answer within 5m0s: %w", os.ErrDeadlineExceeded)
	temporary := func(s smtpclient.Stage) *smtpclient.Error { return silence(s, reset) }
	permanent := func(s smtpclient.Stage, err error) *smtpclient.Error { return &smtpclient.Error{Stage: s, Err: err} }
	return []ruling{
		{"no connection", temporary("connect"), email.Deferred, "", "network_error", "", time.Minute, shape.Dead},
		{"no greeting", temporary("greeting"), email.Deferred, "", "network_error", "", time.Minute, shape.Dead},
		{"lost at EHLO", temporary("ehlo"), email.Deferred, "", "network_error", "", time.Minute, shape.Dead},
		{"handshake failed", temporary("starttls"), email.Deferred, "", "tls_failed", "", time.Minute, shape.Lost},
		{"TLS required", silence("ehlo", smtpclient.ErrTLSRequired), email.Deferred, "", "tls_failed", "", time.Minute, shape.Dead},
		{"lost at AUTH", temporary("auth"), email.Deferred, "", "network_error", "", time.Minute, shape.Lost},
		{"lost at MAIL", temporary("mail"), email.Deferred, "", "network_error", "", time.Minute, shape.Lost},
		{"lost at RCPT", temporary("rcpt"), email.Deferred, "", "network_error", "", time.Minute, shape.Lost},
		{"lost at DATA", temporary("data"), email.Deferred, "", "network_error", "", time.Minute, shape.Lost},
		{"lost in the body", temporary("body"), email.Deferred, "", "network_error", "", time.Minute, shape.Lost},
		{"stall at MAIL", silence("mail", stall), email.Deferred, "", "network_error", "", time.Minute, shape.Dead},
		{"stall at RCPT", silence("rcpt", stall), email.Deferred, "", "network_error", "", time.Minute, shape.Dead},
		{"stall at DATA", silence("data", stall), email.Deferred, "", "network_error", "", time.Minute, shape.Dead},
		{"the session's time was up", silence("rcpt", context.DeadlineExceeded), email.Deferred, "", "network_error", "", time.Minute, shape.Dead},
		{"no answer to the dot", &smtpclient.Error{Stage: "dot", Unknown: true, Temporary: true, Err: stall}, email.Deferred, "", "network_error", "", 15 * time.Minute, shape.Dead},
		{"the store stalls at the mark", silence("mark", stall), email.Deferred, "", "other", "", time.Minute, shape.Neutral},
		{"garbage", silence("rcpt", smtpclient.ErrProtocol), email.Deferred, "", "protocol_error", "", time.Minute, shape.Lost},
		{"the store did not take the mark", silence("mark", errors.New("redis is away")), email.Deferred, "", "other", "", time.Minute, shape.Neutral},
		{"expired before the dot", silence("mark", &store.Refused{Why: "expired"}), email.Failed, "expired", "other", "", 0, shape.Neutral},
		{"canceled before the dot", silence("mark", &store.Refused{Why: "canceled"}), email.Deferred, "", "other", "", time.Minute, shape.Neutral},

		{"larger than SIZE", permanent("mail", smtpclient.ErrTooLarge), email.Bounced, "", "message_too_large", "block", 0, shape.Lost},
		{"loop", permanent("greeting", smtpclient.ErrLoop), email.Failed, "no_route", "network_error", "", 0, shape.Dead},
		{"loop, but a better host is down", silence("greeting", smtpclient.ErrLoop), email.Deferred, "", "network_error", "", time.Minute, shape.Dead},
		{"only denied addresses", permanent("connect", smtpclient.ErrDenied), email.Failed, "no_route", "network_error", "", 0, shape.Neutral},
		{"bad path", permanent("local", smtpclient.ErrPath), email.Failed, "local_error", "other", "", 0, shape.Neutral},
		{"not ASCII", permanent("local", smtpclient.ErrInternational), email.Failed, "local_error", "other", "", 0, shape.Neutral},
		{"bad data", permanent("local", smtpclient.ErrData), email.Failed, "local_error", "other", "", 0, shape.Neutral},
		{"8-bit data", permanent("mail", smtpclient.ErrEightBit), email.Failed, "local_error", "other", "", 0, shape.Neutral},
		{"unknown outcome", &smtpclient.Error{Stage: "dot", Unknown: true, Temporary: true, Err: reset}, email.Deferred, "", "network_error", "", 15 * time.Minute, shape.Lost},
	}
}

func TestJudge(t *testing.T) {
	for _, c := range append(replyRulings(), silentRulings()...) {
		t.Run(c.name, func(t *testing.T) {
			v := newTrial(1).judge(results(c.err))
			o := v.outcomes[0]
			got := ruling{c.name, c.err, o.Status, o.Reason, o.Category, o.Bounce, c.after, v.feedback}
			if diff := cmp.Diff(c, got, cmp.AllowUnexported(ruling{}), cmp.Comparer(func(a, b *smtpclient.Error) bool { return a == b })); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
			if o.Status.Final() != v.nextAt.IsZero() || o.NextAt != v.nextAt {
				t.Errorf("%s, and next at %v and %v", o.Status, v.nextAt, o.NextAt)
			}
			if wait := v.nextAt.Sub(noon()); c.after > 0 && (wait < c.after*9/10 || wait > c.after*122/100) {
				t.Errorf("next after %v, want about %v", wait, c.after)
			}
			if c.err != nil && c.err.Reply != nil && (o.Reply == nil || o.Reply.Stage != string(c.err.Stage) || o.Reply.MXIP != "192.0.2.1" || o.Reply.Code != c.err.Reply.Code) {
				t.Errorf("reply %+v", o.Reply)
			}
			if o.Status != email.Delivered && o.Detail == "" {
				t.Error("nothing for people to read")
			}
		})
	}
}

// A server that wants TLS and was talked to in clear, which the client calls temporary,
// has refused nothing but clear text.
func TestTLSDemandedInClear(t *testing.T) {
	for _, c := range []struct {
		err      *smtpclient.Error
		clear    bool
		status   email.Status
		category string
	}{
		{fault("mail", 530, "5.7.0", "Must issue a STARTTLS command first"), true, email.Deferred, bounce.TLSFailed},
		{fault("mail", 530, "5.7.0", "Must issue a STARTTLS command first"), false, email.Bounced, bounce.TLSFailed},
		{fault("rcpt", 530, "", "Must issue a STARTTLS command first"), true, email.Deferred, bounce.TLSFailed},
		{fault("data", 554, "5.7.10", "encryption needed"), true, email.Deferred, bounce.TLSFailed},
		{fault("rcpt", 550, "5.7.10", "encryption needed"), true, email.Deferred, bounce.TLSFailed},
		{fault("rcpt", 550, "5.7.10", "encryption needed"), false, email.Bounced, bounce.TLSFailed},
		{fault("mail", 538, "5.7.11", "encryption required"), true, email.Deferred, bounce.TLSFailed},
		{fault("dot", 550, "5.7.10", "encryption needed"), true, email.Deferred, bounce.TLSFailed},
		{fault("mail", 451, "4.7.10", "encryption needed"), true, email.Deferred, bounce.TLSFailed},
		{fault("rcpt", 550, "5.1.1", "no such user"), true, email.Bounced, bounce.InvalidRecipient},
		{fault("mail", 550, "5.7.1", "no"), true, email.Bounced, bounce.PolicyRejected},
	} {
		tr := newTrial(1)
		c.err.Temporary = c.clear
		r := results(c.err)
		o := tr.judge(r).outcomes[0]
		if o.Status != c.status || o.Category != c.category {
			t.Errorf("%v, in clear %v: %s, %s", c.err, c.clear, o.Status, o.Category)
		}
		if !c.clear || o.Status != email.Deferred {
			continue
		}
		d := &delivery{m: &email.Message{Recipients: []email.Recipient{{State: email.RecipientState{Status: o.Status, Attempts: 1, LastReply: o.Reply}}}}}
		if got := d.whyExpired(0, nil); c.err.Reply.Code/100 == 5 && got != email.ReasonTLSRequired {
			t.Errorf("%v: at its end %s", c.err, got)
		}
	}
}

// The judge does not bounce what the client calls temporary.
func TestTemporary521(t *testing.T) {
	e := fault("greeting", 521, "", "no mail here")
	e.Temporary = true
	if o := newTrial(1).judge(results(e)).outcomes[0]; o.Status != email.Deferred {
		t.Errorf("%s", o.Status)
	}
}

func TestEveryRecipientHasItsOwnFate(t *testing.T) {
	tr := newTrial(3)
	v := tr.judge(results(nil, fault("rcpt", 550, "5.1.1", "no"), fault("rcpt", 450, "", "later")))
	var got []email.Status
	for i, o := range v.outcomes {
		got = append(got, o.Status)
		if o.Recipient != i {
			t.Errorf("outcome %d is of recipient %d", i, o.Recipient)
		}
	}
	if diff := cmp.Diff([]email.Status{email.Delivered, email.Bounced, email.Deferred}, got); diff != "" {
		t.Error(diff)
	}
	if v.err != "" || v.feedback != shape.Good {
		t.Errorf("error %q, feedback %d", v.err, v.feedback)
	}
}

func TestOneTimeForAllThatWait(t *testing.T) {
	full, normal, slow := fault("rcpt", 452, "4.2.2", ""), fault("rcpt", 450, "", ""), fault("rcpt", 451, "4.7.1", "")
	crowd := fault("rcpt", 452, "4.5.3", "too many recipients")
	unknown := &smtpclient.Error{Stage: "dot", Unknown: true, Err: errors.New("reset")}
	for _, c := range []struct {
		name  string
		errs  []*smtpclient.Error
		after time.Duration
	}{
		{"a full mailbox waits alone", []*smtpclient.Error{full, full}, time.Hour},
		{"a full mailbox does not hold others up", []*smtpclient.Error{full, normal}, time.Minute},
		{"slow holds all", []*smtpclient.Error{slow, normal, full}, 15 * time.Minute},
		{"unknown is the most careful", []*smtpclient.Error{normal, unknown}, 15 * time.Minute},
		{"the crowd goes again at once", []*smtpclient.Error{nil, crowd, crowd}, 0},
		{"the crowd waits with those that wait", []*smtpclient.Error{nil, crowd, normal}, time.Minute},
		{"a crowd of which nobody got in", []*smtpclient.Error{crowd, crowd}, 15 * time.Minute},
	} {
		t.Run(c.name, func(t *testing.T) {
			v := newTrial(len(c.errs)).judge(results(c.errs...))
			if got := v.nextAt.Sub(noon()); got < c.after*9/10 || got > c.after*122/100 {
				t.Errorf("next after %v, want about %v", got, c.after)
			}
		})
	}
}

func TestTheFourthUnknownIsTheEnd(t *testing.T) {
	tr := newTrial(1)
	e := &smtpclient.Error{Stage: "dot", Unknown: true, Err: errors.New("reset")}
	for n, want := range []time.Duration{15 * time.Minute, time.Hour, 4 * time.Hour} {
		v := tr.judge(results(e))
		if o := v.outcomes[0]; o.Status != email.Deferred || !o.Unknown || !near(v.nextAt.Sub(noon()), want) {
			t.Fatalf("unknown %d: %s after %v", n+1, o.Status, v.nextAt.Sub(noon()))
		}
		tr.m.Recipients[0].State.Unknowns++
	}
	if o := tr.judge(results(e)).outcomes[0]; o.Status != email.Failed || o.Reason != email.ReasonOutcomeUnknown || !o.Unknown {
		t.Errorf("the fourth: %+v", o)
	}
}

func TestNextIsNeverPastTheEnd(t *testing.T) {
	tr := newTrial(1)
	tr.expires = noon().Add(20 * time.Second)
	v := tr.judge(results(fault("rcpt", 450, "", "later")))
	if !v.nextAt.Equal(tr.expires) || v.outcomes[0].Status != email.Deferred {
		t.Errorf("%s, next at %v", v.outcomes[0].Status, v.nextAt)
	}
}

func TestRefusalsInTheSandboxTeachNothing(t *testing.T) {
	for _, e := range []*smtpclient.Error{fault("rcpt", 421, "", "closing"), silence("connect", errors.New("down"))} {
		tr := newTrial(1)
		tr.m.Envelopes[0].Sandbox = true
		if f := tr.judge(results(e)).feedback; f == shape.Pushback || f == shape.Dead {
			t.Errorf("%v: feedback %d", e, f)
		}
	}
}

func TestLostFenceIsSeen(t *testing.T) {
	if v := newTrial(1).judge(results(silence("mark", &store.Refused{Why: "lost"}))); !v.lost {
		t.Error("a lost fence was not seen")
	}
}

func TestDecided(t *testing.T) {
	for _, c := range []struct {
		stage smtpclient.Stage
		want  bool
	}{{"connect", false}, {"rcpt", false}, {"data", false}, {"mark", true}, {"body", true}, {"dot", true}} {
		if v := newTrial(1).judge(results(silence(c.stage, errors.New("stopped")))); v.decided != c.want {
			t.Errorf("%s: decided %v", c.stage, v.decided)
		}
	}
}

func TestForeignTextIsBounded(t *testing.T) {
	long := strings.Repeat("\x1b[31mü", 4000)
	v := newTrial(1).judge(results(fault("dot", 550, "", long)))
	if text := v.outcomes[0].Reply.Text; len(text) > maxReply || strings.Contains(text, "\x1b") {
		t.Errorf("%d octets kept: %q", len(text), text[:20])
	}
	var lines []smtpclient.Line
	for i := range 5000 {
		lines = append(lines, smtpclient.Line{From: "S", Text: fmt.Sprint(i, " ", long)})
	}
	kept := transcript(lines)
	octets := 0
	for _, l := range kept {
		octets += len(l.Text)
	}
	if octets > maxTranscript || !strings.HasPrefix(kept[0].Text, "0 ") || !strings.HasPrefix(kept[len(kept)-1].Text, "4999 ") {
		t.Errorf("%d lines of %d octets, from %.5q to %.5q", len(kept), octets, kept[0].Text, kept[len(kept)-1].Text)
	}
	if got := transcript(lines[:3]); len(got) != 3 || got[2].Text[:2] != "2 " {
		t.Errorf("a short dialogue was changed: %d lines", len(got))
	}
}

func TestWhyExpired(t *testing.T) {
	tried := func(category string) []email.Attempt {
		return []email.Attempt{{Outcomes: []email.Outcome{{Category: bounce.Other}}}, {Outcomes: []email.Outcome{{Category: category}}}}
	}
	for _, c := range []struct {
		name     string
		state    email.RecipientState
		attempts []email.Attempt
		want     string
	}{
		{"never its turn", email.RecipientState{Status: email.Queued}, nil, "expired"},
		{"a server spoke", email.RecipientState{Status: email.Deferred, Attempts: 3, LastReply: &email.Reply{Code: 451, Stage: "rcpt"}}, nil, "expired"},
		{"an unknown outcome", email.RecipientState{Status: email.Deferred, Attempts: 3, Unknowns: 1, LastReply: &email.Reply{}}, nil, "outcome_unknown"},
		{"DNS never answered", email.RecipientState{Status: email.Deferred}, nil, "dns_failure"},
		{"no connection", email.RecipientState{Status: email.Deferred, Attempts: 2}, tried(bounce.NetworkError), "connection_failed"},
		{"no TLS", email.RecipientState{Status: email.Deferred, Attempts: 2}, tried(bounce.TLSFailed), "tls_required"},
		{"STARTTLS refused", email.RecipientState{Status: email.Deferred, Attempts: 2, LastReply: &email.Reply{Code: 454, Stage: "starttls"}}, nil, "tls_required"},
		{"garbage only", email.RecipientState{Status: email.Deferred, Attempts: 2}, tried(bounce.ProtocolError), "expired"},
		{"attempts could not be read", email.RecipientState{Status: email.Deferred, Attempts: 2}, nil, "expired"},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := &delivery{m: &email.Message{Recipients: []email.Recipient{{State: c.state}}}}
			if got := d.whyExpired(0, c.attempts); got != c.want {
				t.Errorf("got %s, want %s", got, c.want)
			}
		})
	}
}

// Whatever a server says at whatever stage, there is one bounded outcome.
func FuzzJudge(f *testing.F) {
	for _, r := range replyRulings() {
		if r.err != nil {
			f.Add(string(r.err.Stage), r.err.Reply.Code, r.err.Reply.Enhanced, r.err.Reply.Text)
		}
	}
	f.Add("dot", 700, "9.9.9", "\x00\xff\r\n")
	f.Fuzz(func(t *testing.T, stage string, code int, enhanced, text string) {
		v := newTrial(1).judge(results(fault(smtpclient.Stage(stage), code, enhanced, text)))
		o := v.outcomes[0]
		if o.Status != email.Deferred && o.Status != email.Bounced {
			t.Errorf("status %s", o.Status)
		}
		if o.Status == email.Bounced && (code < 500 || code > 599 || o.Bounce == "") {
			t.Errorf("%d bounced as %q", code, o.Bounce)
		}
		if o.Status == email.Deferred && !v.nextAt.After(noon()) {
			t.Errorf("next at %v", v.nextAt)
		}
		if len(o.Reply.Text) > maxReply || !utf8.ValidString(o.Reply.Text) {
			t.Errorf("kept %q", o.Reply.Text)
		}
	})
}
