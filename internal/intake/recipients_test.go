package intake_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"postrider/internal/email"
	"postrider/internal/intake"
	"postrider/internal/sandbox"
	"postrider/internal/track"
)

func TestEnvelopes(t *testing.T) {
	many := mailboxes("a@one.org", "delivered@sandbox.test", "b@two.org", "c@one.org", "bounced+x@sandbox.test", "d@two.org")
	cases := []struct {
		name         string
		world        email.World
		perRecipient bool
		want         []string // domain, recipients, "sandbox"
	}{
		{"by domain", email.Live, false, []string{"one.org [0 3]", "sandbox.test [1] sandbox", "two.org [2 5]", "sandbox.test [4] sandbox"}},
		{"by recipient", email.Live, true, []string{
			"one.org [0]", "sandbox.test [1] sandbox", "two.org [2]", "one.org [3]", "sandbox.test [4] sandbox", "two.org [5]",
		}},
		{"test world", email.Test, false, []string{
			"one.org [0 3] sandbox", "sandbox.test [1] sandbox", "two.org [2 5] sandbox", "sandbox.test [4] sandbox",
		}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			b := inProcess(t, func(o *intake.Options) { o.PerRecipient = c.perRecipient })
			msg := b.accept(t, intake.Request{World: c.world, Draft: draft(func(d *intake.Draft) { d.To = many })})
			var got []string
			for _, e := range msg.Envelopes {
				line := fmt.Sprint(e.Domain, " ", e.Recipients)
				if e.Sandbox {
					line += " sandbox"
				}
				got = append(got, line)
			}
			if d := cmp.Diff(c.want, got); d != "" {
				t.Errorf("envelopes (-want +got):\n%s", d)
			}
			checkMarks(t, msg)
			checkStored(t, b, msg)
		})
	}
}

// checkMarks reads every reverse-path: it names its envelope, at the return path's host.
func checkMarks(t *testing.T, msg *email.Message) {
	t.Helper()
	for i, e := range msg.Envelopes {
		local, host, _ := strings.Cut(e.ReversePath, "@")
		id, n, err := track.New([32]byte{1}, 1).Read(local)
		if err != nil || id != msg.ID || n != i || host != "bounce.postrider.example.net" {
			t.Errorf("reverse-path %d names %s %d at %s, %v", i, id, n, host, err)
		}
	}
}

func TestDuplicatesFirstWins(t *testing.T) {
	b := inProcess(t, nil)
	msg := b.accept(t, live(draft(func(d *intake.Draft) {
		d.To = mailboxes("Ada@Lovelace.org", "First <ada@lovelace.org>")
		d.Cc, d.Bcc = mailboxes(`"ADA"@lovelace.org`, "b@babbage.org"), mailboxes("B@babbage.org", "c@babbage.org")
	})))
	var got []string
	for _, r := range msg.Recipients {
		got = append(got, string(r.Type)+" "+r.Address.Email)
	}
	if d := cmp.Diff([]string{"to Ada@lovelace.org", "cc b@babbage.org", "bcc c@babbage.org"}, got); d != "" {
		t.Errorf("recipients (-want +got):\n%s", d)
	}
	if len(msg.To) != 1 || len(msg.Cc) != 1 || len(msg.Bcc) != 1 {
		t.Errorf("to %v, cc %v, bcc %v", msg.To, msg.Cc, msg.Bcc)
	}
}

func TestDomainsAndReturnPaths(t *testing.T) {
	broken := errors.New("the store does not answer")
	cases := []struct {
		name, from string
		world      email.World
		change     func(*intake.Options)
		host       string // of the reverse-path; empty: refused
		want       error
	}{
		{"verified", "a@acme.com", email.Live, nil, "bounce.postrider.example.net", nil},
		{"with a host of its own", "a@own.acme.com", email.Live, nil, "bounce.own.acme.com", nil},
		{"not verified", "a@pending.com", email.Live, nil, "", &intake.NotVerified{DomainID: "dom_of_pending.com"}},
		{"not known", "a@other.com", email.Live, nil, "", new(intake.NotVerified)},
		{"a sub-domain of a verified one", "a@sub.acme.com", email.Live, nil, "", new(intake.NotVerified)},
		{"not verified, in the test world", "a@other.com", email.Test, nil, "bounce.postrider.example.net", nil},
		{"not verified, not required", "a@other.com", email.Live, func(o *intake.Options) { o.RequireVerified = false }, "bounce.postrider.example.net", nil},
		{"cannot be looked up", "a@acme.com", email.Live, func(o *intake.Options) { o.Domains = zone{err: broken} }, "", broken},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			b := inProcess(t, c.change)
			msg, _, err := b.Accept(t.Context(), intake.Request{
				World: c.world, Draft: draft(func(d *intake.Draft) { d.From = &intake.Mailbox{Text: c.from} }),
			})
			var notVerified *intake.NotVerified
			switch {
			case c.want == nil:
				if err != nil || !strings.HasSuffix(msg.Envelopes[0].ReversePath, "@"+c.host) {
					t.Errorf("message %+v, %v", msg, err)
				}
			case errors.Is(c.want, broken):
				if !errors.Is(err, broken) {
					t.Errorf("error %v", err)
				}
			case !errors.As(err, &notVerified) || notVerified.Domain != strings.TrimPrefix(c.from, "a@") ||
				notVerified.DomainID != c.want.(*intake.NotVerified).DomainID:
				t.Errorf("error %+v", err)
			}
		})
	}
}

func TestReservedDomains(t *testing.T) {
	reserved := []string{
		"a@example.com", "a@example.net", "a@example.org", "a@mail.example.com", "a@acme.example", "a@x.invalid", "a@x.localhost",
		"a@x.test", "a@sub.sandbox.test", "a@test.com", "a@EXAMPLE.com",
	}
	free := []string{"a@acme.com", "a@notexample.com", "a@example.io", "a@mail.test.com", "a@test.org", "delivered@sandbox.test"}
	b := inProcess(t, nil)
	for _, a := range reserved {
		b.one(t, draft(func(d *intake.Draft) { d.Cc = mailboxes(a) }), "#/cc/0 recipient_domain_reserved")
		b.accept(t, intake.Request{World: email.Test, Draft: draft(func(d *intake.Draft) { d.Cc = mailboxes(a) })})
	}
	for _, a := range free {
		b.accept(t, live(draft(func(d *intake.Draft) { d.Cc = mailboxes(a) })))
	}
	lifted := inProcess(t, func(o *intake.Options) { o.AllowReserved = true })
	lifted.accept(t, live(draft(func(d *intake.Draft) { d.To = mailboxes(reserved...) })))
}

func TestSimulators(t *testing.T) {
	b := inProcess(t, func(o *intake.Options) {
		o.Simulator = func(address string) (bool, error) {
			if address == "delivered@sandbox.test" {
				return true, nil
			}
			return true, errors.New("use delivered@")
		}
	})
	b.accept(t, live(draft(func(d *intake.Draft) { d.To = mailboxes("delivered@Sandbox.Test") })))
	for _, world := range []email.World{email.Live, email.Test} {
		d := draft(func(d *intake.Draft) { d.To = []intake.Mailbox{{Object: true, Email: "delivred@sandbox.test"}} })
		faults := b.faults(t, intake.Request{World: world, Draft: d})
		want := []intake.Fault{{Pointer: "#/to/0/email", Code: "invalid_email", Detail: "is refused by the sandbox: use delivered@"}}
		if d := cmp.Diff(want, faults); d != "" {
			t.Errorf("%s (-want +got):\n%s", world, d)
		}
	}
}

// The desk and the sandbox agree on what is a simulator.
func TestRealSimulators(t *testing.T) {
	b := inProcess(t, func(o *intake.Options) { o.Simulator = sandbox.Simulator })
	for _, a := range sandbox.Addresses() {
		msg := b.accept(t, live(draft(func(d *intake.Draft) { d.To = mailboxes(a.Address) })))
		if !msg.Envelopes[0].Sandbox || msg.Envelopes[0].Domain != sandbox.Domain {
			t.Errorf("%s: envelope %+v", a.Address, msg.Envelopes[0])
		}
	}
	b.one(t, draft(func(d *intake.Draft) { d.To = mailboxes("delivred@sandbox.test") }), "#/to/0 invalid_email")
}
