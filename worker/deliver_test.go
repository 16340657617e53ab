package worker

import (
	"context"
	"crypto/ed25519"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"postrider/internal/dkim"
	"postrider/internal/email"
	"postrider/internal/queue"
	"postrider/internal/store"
	"postrider/smtpclient"
	"postrider/smtpclient/mx"
)

func rcpt(errs map[string]*smtpclient.Error) act { return act{rcpt: errs} }

// Whole lives, through the real queue.
func TestLives(t *testing.T) {
	later := fault("rcpt", 450, "4.2.0", "later")
	for _, c := range []struct {
		name     string
		to       []string
		acts     []act
		want     string
		attempts int
	}{
		{"delivered", []string{"a@b.test"}, nil, "delivered", 1},
		{"450 then 250", []string{"a@b.test"}, []act{rcpt(map[string]*smtpclient.Error{"a@b.test": later}), {}}, "delivered", 2},
		{"550", []string{"a@b.test"}, []act{rcpt(map[string]*smtpclient.Error{"a@b.test": fault("rcpt", 550, "5.1.1", "no")})}, "bounced", 1},
		{
			"one of three refused",
			[]string{"a@b.test", "b@b.test", "c@b.test"},
			[]act{rcpt(map[string]*smtpclient.Error{"b@b.test": fault("rcpt", 550, "5.1.1", "no")})},
			"delivered bounced delivered", 1,
		},
		{
			"one of three later",
			[]string{"a@b.test", "b@b.test", "c@b.test"},
			[]act{rcpt(map[string]*smtpclient.Error{"b@b.test": later}), {}},
			"delivered delivered delivered", 2,
		},
		{"unknown then delivered", []string{"a@b.test"}, []act{{dot: unknownOutcome()}, {}}, "delivered", 2},
		{"the fourth unknown", []string{"a@b.test"}, []act{{dot: unknownOutcome()}}, "failed/outcome_unknown", 4},
		{"421 then 250", []string{"a@b.test"}, []act{{dot: fault("dot", 421, "4.7.0", "slow down")}, {}}, "delivered", 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			each(t, func(t *testing.T, r *rig) {
				r.sender.acts = c.acts
				r.serve(r.Worker)
				m := r.final(r.post(draft(c.to...)))
				if got := statuses(m); got != c.want {
					t.Errorf("ended %s, want %s", got, c.want)
				}
				list := r.attempts(m)
				if len(list) != c.attempts {
					t.Errorf("%d attempts, want %d", len(list), c.attempts)
				}
				for i, a := range list {
					if a.Number != i+1 || a.Worker != "w1" || a.Provider != "provider.test" || a.ReversePath == "" || a.Host != "mx.b.test" || len(a.Transcript) != 1 || a.StartedAt.IsZero() {
						t.Errorf("attempt %d: %+v", i+1, a)
					}
				}
				if strings.Contains(r.log.String(), "@") {
					t.Errorf("an address in the log:\n%s", r.log)
				}
			})
		})
	}
}

func TestOnlyThoseLeftAreTriedAgain(t *testing.T) {
	each(t, func(t *testing.T, r *rig) {
		r.sender.acts = []act{rcpt(map[string]*smtpclient.Error{"b@b.test": fault("rcpt", 450, "", "later")}), {}}
		r.serve(r.Worker)
		r.final(r.post(draft("a@b.test", "b@b.test")))
		got := r.sender.transactions()
		if diff := cmp.Diff([][]string{{"a@b.test", "b@b.test"}, {"b@b.test"}}, [][]string{got[0].to, got[1].to}); diff != "" {
			t.Error(diff)
		}
		if got[0].data != got[1].data {
			t.Error("the retry sent other bytes")
		}
	})
}

func TestRetriesSignAlike(t *testing.T) {
	each(t, func(t *testing.T, r *rig) {
		key := dkim.Key{Domain: "acme.test", Selector: "pr1", Signer: ed25519.NewKeyFromSeed(make([]byte, 32))}
		r.signer.keys = []dkim.Key{key}
		r.sender.acts = []act{{dot: fault("dot", 451, "", "later")}, {}}
		r.serve(r.Worker)
		r.final(r.post(draft("a@b.test")))
		got := r.sender.transactions()
		if !strings.HasPrefix(got[0].data, "DKIM-Signature:") || got[0].data != got[1].data {
			t.Errorf("not signed alike:\n%s\n%s", got[0].data, got[1].data)
		}
		if diff := cmp.Diff([][]string{nil, {"acme.test/pr1"}}, r.signer.asked); diff != "" {
			t.Error(diff)
		}
	})
}

// What was first sent without a signature stays so, even when keys have come since.
func TestUnsignedStaysUnsigned(t *testing.T) {
	each(t, func(t *testing.T, r *rig) {
		r.sender.acts = []act{{dot: fault("dot", 451, "", "later")}, {}}
		m := r.accept(draft("a@b.test"))
		r.deliver(m)
		r.signer.keys = []dkim.Key{{Domain: "acme.test", Selector: "pr1", Signer: ed25519.NewKeyFromSeed(make([]byte, 32))}}
		r.skip(time.Minute)
		r.deliver(m)
		if got := r.sender.transactions(); len(got) != 2 || got[0].data != got[1].data {
			t.Errorf("%d transactions, or the retry was signed", len(got))
		}
	})
}

func TestFaultsOfOurs(t *testing.T) {
	away := errors.New("redis is away")
	for _, c := range []struct {
		name string
		harm func(r *rig)
		want string
		sent int
	}{
		{"keys not to be had, then had", func(r *rig) { r.signer.errs = []error{away, nil} }, "delivered", 1},
		{"a domain without keys", func(r *rig) { r.signer.errs = []error{store.ErrNotFound} }, "delivered", 1},
		{"the router fails, then not", func(r *rig) { r.router.errs = []error{away, nil} }, "delivered", 1},
		{"a key that cannot sign", func(r *rig) { r.signer.keys = []dkim.Key{{Domain: "acme.test", Selector: "x"}} }, "failed/local_error", 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			each(t, func(t *testing.T, r *rig) {
				c.harm(r)
				r.serve(r.Worker)
				m := r.final(r.post(draft("a@b.test")))
				if got := statuses(m); got != c.want || len(r.sender.transactions()) != c.sent {
					t.Errorf("ended %s after %d transactions", got, len(r.sender.transactions()))
				}
				if n := m.Recipients[0].State.Attempts; n != c.sent {
					t.Errorf("%d attempts counted", n)
				}
			})
		})
	}
}

func TestPlanErrors(t *testing.T) {
	permanent := &mx.Error{Domain: "b.test", Kind: mx.NullMX, Enhanced: "5.1.10", Err: errors.New("null MX")}
	temporary := &mx.Error{Domain: "b.test", Kind: mx.DNSFailure, Enhanced: "4.4.3", Temporary: true, Err: errors.New("SERVFAIL")}
	for _, c := range []struct {
		name string
		errs []error
		want string
		seq  int // events
	}{
		{"null MX", []error{permanent}, "failed/no_route", 2},
		{"SERVFAIL, then an answer", []error{temporary, temporary, nil}, "delivered", 4},
		{"SERVFAIL to the end", []error{temporary}, "failed/dns_failure", 5},
	} {
		t.Run(c.name, func(t *testing.T) {
			each(t, func(t *testing.T, r *rig) {
				r.router.errs = c.errs
				m := r.lifetime(draft("a@b.test"), 3)
				if got := statuses(m); got != c.want {
					t.Errorf("ended %s, want %s", got, c.want)
				}
				if s := m.Recipients[0].State; s.Seq != c.seq {
					t.Errorf("%d events, want %d", s.Seq, c.seq)
				}
			})
		})
	}
}

// The delays begin at the first step, for scheduled mail too.
func TestDelaysWithoutDNS(t *testing.T) {
	for _, scheduled := range []bool{false, true} {
		each(t, func(t *testing.T, r *rig) {
			r.o.Schedule = Schedule{}.withDefaults()
			r.router.errs = []error{&mx.Error{Domain: "b.test", Kind: mx.DNSFailure, Temporary: true, Err: errors.New("SERVFAIL")}}
			m := draft("a@b.test")
			if scheduled {
				m.ScheduledAt = m.CreatedAt.Add(time.Minute)
				m.Recipients[0].State.Status, m.Recipients[0].State.AtAccept = email.Scheduled, email.Scheduled
			}
			m = r.accept(m)
			r.skip(2 * time.Minute)
			for i, want := range []time.Duration{time.Minute, 5 * time.Minute, 15 * time.Minute} {
				m = r.deliver(m)
				wait := m.Envelopes[0].State.NextAt.Sub(r.now())
				if !near(wait, want) {
					t.Errorf("scheduled %v: delay %d is %v, want about %v", scheduled, i+1, wait, want)
				}
				r.skip(wait)
			}
		})
	}
}

// lifetime delivers by hand, each time when it is due: at most so many times, and
// once more after the end of an hour's life.
func (r *rig) lifetime(m *email.Message, tries int) *email.Message {
	r.t.Helper()
	m.ExpiresAt = m.CreatedAt.Add(time.Hour)
	m = r.accept(m)
	for n := 0; n < tries && m.CompletedAt.IsZero(); n++ {
		m = r.deliver(m)
		if at := m.Envelopes[0].State.NextAt; at.After(r.now()) {
			r.skip(at.Sub(r.now()))
		}
	}
	if m.CompletedAt.IsZero() {
		r.skip(time.Hour)
		m = r.deliver(m)
	}
	return m
}

func TestExpiry(t *testing.T) {
	for _, c := range []struct {
		name string
		act  act
		want string
	}{
		{"refused for now to the end", rcpt(map[string]*smtpclient.Error{"a@b.test": fault("rcpt", 451, "", "later")}), "failed/expired"},
		{"never a connection", rcpt(map[string]*smtpclient.Error{"a@b.test": silence("connect", errors.New("refused"))}), "failed/connection_failed"},
		{"never TLS", rcpt(map[string]*smtpclient.Error{"a@b.test": silence("starttls", smtpclient.ErrTLSRequired)}), "failed/tls_required"},
		{"once unknown", act{dot: unknownOutcome()}, "failed/outcome_unknown"},
	} {
		t.Run(c.name, func(t *testing.T) {
			each(t, func(t *testing.T, r *rig) {
				r.sender.acts = []act{c.act}
				m := r.lifetime(draft("a@b.test"), 2)
				if got := statuses(m); got != c.want {
					t.Errorf("ended %s, want %s", got, c.want)
				}
				if n, counted := len(r.sender.transactions()), len(r.attempts(m)); n != 2 || counted != 2 {
					t.Errorf("%d attempts, %d in the timeline", n, counted)
				}
			})
		})
	}
}

// A sandbox envelope lives for a moment after its first attempt, not after accept.
func TestSandboxEnvelope(t *testing.T) {
	each(t, func(t *testing.T, r *rig) {
		r.sender.acts = []act{rcpt(map[string]*smtpclient.Error{"stuck@sandbox.test": fault("rcpt", 451, "", "stuck")})}
		m := draft("stuck@sandbox.test")
		m.Envelopes[0].Sandbox = true
		m = r.post(m)
		time.Sleep(400 * time.Millisecond) // nobody works yet
		r.serve(r.Worker)
		m = r.final(m)
		if n := len(r.sender.transactions()); statuses(m) != "failed/expired" || n < 1 {
			t.Errorf("ended %s after %d attempts", statuses(m), n)
		}
	})
}

func TestCancelInFlight(t *testing.T) {
	for _, c := range []struct {
		name string
		act  func(cancel func(context.Context)) act
		want string
	}{
		{"before the mark", func(cancel func(context.Context)) act { return act{before: cancel} }, "canceled"},
		{"after the mark it wins", func(cancel func(context.Context)) act { return act{after: cancel} }, "delivered"},
		{"after the mark, refused", func(cancel func(context.Context)) act {
			return act{after: cancel, dot: fault("dot", 451, "", "later")}
		}, "canceled"},
		{"after the mark, unknown", func(cancel func(context.Context)) act {
			return act{after: cancel, dot: unknownOutcome()}
		}, "failed/outcome_unknown"},
	} {
		t.Run(c.name, func(t *testing.T) {
			each(t, func(t *testing.T, r *rig) {
				m := r.accept(draft("a@b.test"))
				r.sender.acts = []act{c.act(func(ctx context.Context) {
					if _, err := r.store.Messages.Cancel(ctx, m.World, m.ID, r.now()); err != nil {
						t.Error(err)
					}
				})}
				if m = r.deliver(m); statuses(m) != c.want {
					t.Errorf("ended %s, want %s", statuses(m), c.want)
				}
			})
		})
	}
}

func TestExpiredInFlight(t *testing.T) {
	each(t, func(t *testing.T, r *rig) {
		m := r.accept(draft("a@b.test"))
		r.sender.acts = []act{{before: func(context.Context) { r.skip(4 * day) }}}
		if m = r.deliver(m); statuses(m) != "failed/expired" {
			t.Errorf("ended %s", statuses(m))
		}
	})
}

// Who lost the fence writes nothing, whatever the server said.
func TestLostFenceInFlight(t *testing.T) {
	for _, when := range []string{"before the mark", "after the mark"} {
		t.Run(when, func(t *testing.T) {
			each(t, func(t *testing.T, r *rig) {
				m := r.accept(draft("a@b.test"))
				thief := r.another("w2") // takes us for dead: our heart does not beat
				steal := func(context.Context) {
					r.skip(time.Minute)
					r.sweepAs(thief)
					r.skip(time.Minute)
					r.begun(r.get(m), "w2") // and the next attempt is on its way
				}
				a := act{before: steal}
				if when == "after the mark" {
					a = act{after: steal}
				}
				r.sender.acts = []act{a, {dot: fault("dot", 554, "", "no")}}
				m = r.deliver(m)
				if m.Recipients[0].State.Status == email.Delivered || m.Envelopes[0].State.Phase != email.InFlight {
					t.Errorf("the loser wrote: %s, %s", statuses(m), m.Envelopes[0].State.Phase)
				}
			})
		})
	}
}

func TestJobsThatComeAtTheWrongTime(t *testing.T) {
	each(t, func(t *testing.T, r *rig) {
		m := draft("a@b.test")
		m.ScheduledAt = m.CreatedAt.Add(time.Minute)
		for i := range m.Recipients {
			m.Recipients[i].State.Status, m.Recipients[i].State.AtAccept = email.Scheduled, email.Scheduled
		}
		m = r.accept(m)
		early := r.job(r.get(m), 0)
		m = r.deliver(m)
		if len(r.sender.transactions()) != 0 || m.Recipients[0].State.Status != email.Scheduled {
			t.Error("sent before its time")
		}
		next := r.job(m, 0)
		if state, err := r.queue.State(t.Context(), queue.Default, next); err != nil || state != queue.Scheduled || next == early {
			t.Errorf("no new job: %s, %v", state, err)
		}
		r.skip(2 * time.Minute)
		if err := r.Deliver(t.Context(), early); err != nil || len(r.sender.transactions()) != 0 {
			t.Errorf("a superseded job sent, or failed: %v", err)
		}
		m = r.deliver(m)
		if statuses(m) != "delivered" {
			t.Fatalf("ended %s", statuses(m))
		}
		if err := r.Deliver(t.Context(), next); err != nil || len(r.sender.transactions()) != 1 {
			t.Errorf("a job that came twice sent twice, or failed: %v", err)
		}
	})
}

// No slot at the provider is neither an attempt nor an event.
func TestNoSlotIsNoAttempt(t *testing.T) {
	each(t, func(t *testing.T, r *rig) {
		r.o.Patience = time.Millisecond
		for range 2 {
			if slot, _ := r.o.Shaper.Acquire("provider.test", queue.Default); slot == nil {
				t.Fatal("no slot to block with")
			}
		}
		m := r.deliver(r.accept(draft("a@b.test")))
		s := m.Recipients[0].State
		if w := m.WaitingFor(0, m.CreatedAt); w == nil || w.Reason != email.HoldProvider || !strings.Contains(w.Detail, "provider.test") || w.Until.IsZero() {
			t.Errorf("it waits for %+v", w)
		}
		if s.Attempts != 0 || s.Seq != 1 || s.Status != email.Queued || m.Envelopes[0].State.Phase != email.Waiting || m.Envelopes[0].State.Generation != 1 {
			t.Errorf("%+v, %+v", s, m.Envelopes[0].State)
		}
	})
}

func TestBccAndHeaderStay(t *testing.T) {
	each(t, func(t *testing.T, r *rig) {
		m := draft("a@b.test", "hidden@b.test")
		m.Bcc, m.To = m.To[1:], m.To[:1]
		m.Recipients[1].Type = email.Bcc
		r.deliver(r.accept(m))
		got := r.sender.transactions()[0]
		if len(got.to) != 2 || strings.Contains(got.data, "hidden@") || !strings.Contains(got.data, "Subject: hello") {
			t.Errorf("to %d, data:\n%s", len(got.to), got.data)
		}
	})
}
