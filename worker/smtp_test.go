package worker

import (
	"bytes"
	"context"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"postrider/internal/email"
	"postrider/internal/redistest"
	"postrider/internal/shape"
	"postrider/smtpclient"
	"postrider/smtpclient/dns"
	"postrider/smtpclient/mx"
	"postrider/smtpclient/smtptest"
)

// overSMTP makes a rig's worker speak to servers in a zone: real lookups, real
// sockets. All servers share one port.
func (r *rig) overSMTP(zone *dns.Zone, port uint16) {
	r.t.Helper()
	transport := smtpclient.NewTransport(smtpclient.Options{
		Hostname: "us.test", AllowedNetworks: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")},
	})
	r.t.Cleanup(func() { _ = transport.Close() })
	planner := &mx.Planner{Resolver: zone, Port: port}
	r.o.Sender = transport
	r.router.plan = func(m *email.Message, envelope int) (smtpclient.Plan, error) {
		return planner.Plan(r.t.Context(), m.Envelopes[envelope].Domain)
	}
}

// host is a zone's entry of a domain with its MX hosts at loopback addresses.
func host(zone *dns.Zone, domain string, addrs ...string) {
	n := dns.Name{}
	for i, a := range addrs {
		name := fmt.Sprintf("mx%d.%s", i, domain)
		n.MX = append(n.MX, dns.MX{Host: name, Pref: uint16(i)})
		zone.Names[name] = dns.Name{A: []string{a}}
	}
	zone.Names[domain] = n
}

// moods are what happens to the mailboxes of b.test.
func moods() smtptest.Script {
	return smtptest.Script{
		"RCPT grey@b.test":    {smtptest.Reply("450 4.2.0 greylisted"), smtptest.Pass()},
		"RCPT nobody@b.test":  {smtptest.Reply("550 5.1.1 no such user")},
		"DOT full@b.test":     {smtptest.Reply("552 5.2.2 over quota")},
		"DOT reset@b.test":    {smtptest.Reset(), smtptest.Pass()},
		"DOT lost@b.test":     {smtptest.Reset()},
		"DATA busy@b.test":    {smtptest.ReplyClose("421 4.3.2 closing"), smtptest.Pass()},
		"DOT deferred@b.test": {smtptest.Reply("451 4.3.0 later"), smtptest.Pass()},
	}
}

// world is the DNS around b.test.
func world() *dns.Zone {
	zone := &dns.Zone{Names: map[string]dns.Name{
		"null.test":   {MX: []dns.MX{{Host: "."}}},
		"servf.test":  {MX: []dns.MX{{Host: "mx0.b.test"}}, Fault: dns.Fault{ServFail: 2}},
		"broken.test": {Fault: dns.Fault{ServFail: dns.Always}},
	}}
	host(zone, "b.test", "127.0.0.1")
	host(zone, "spare.test", "127.9.9.9", "127.0.0.1") // the first MX is dead
	host(zone, "dead.test", "127.9.9.9")
	return zone
}

func TestOverSMTP(t *testing.T) {
	each(t, func(t *testing.T, r *rig) {
		srv := smtptest.New(t, smtptest.Options{Script: moods()})
		r.overSMTP(world(), srv.Addr().Port())
		r.serve(r.Worker)

		life := func(d time.Duration, to ...string) *email.Message {
			m := draft(to...)
			m.ExpiresAt = m.CreatedAt.Add(d)
			return r.post(m)
		}
		for _, c := range []struct {
			name     string
			m        *email.Message
			want     string
			attempts int // -1: any
		}{
			{"250", life(day, "a@b.test"), "delivered", 1},
			{"450 then 250", life(day, "grey@b.test"), "delivered", 2},
			{"550", life(day, "nobody@b.test"), "bounced", 1},
			{"one of three", life(day, "a@b.test", "nobody@b.test", "c@b.test"), "delivered bounced delivered", 1},
			{"refused at the dot", life(day, "full@b.test"), "bounced", 1},
			{"421 in mid-dialogue", life(day, "busy@b.test"), "delivered", 2},
			{"451 at the dot", life(day, "deferred@b.test"), "delivered", 2},
			{"reset after the dot", life(day, "reset@b.test"), "delivered", 2},
			{"always reset after the dot", life(day, "lost@b.test"), "failed/outcome_unknown", 4},
			{"first MX dead", life(day, "a@spare.test"), "delivered", 1},
			{"null MX", life(day, "a@null.test"), "failed/no_route", 0},
			{"NXDOMAIN", life(day, "a@nowhere.test"), "failed/no_route", 0},
			{"SERVFAIL, then an answer", life(day, "a@servf.test"), "delivered", 1},
			{"SERVFAIL to the end", life(3*time.Second, "a@broken.test"), "failed/dns_failure", 0},
			{"no connection to the end", life(3*time.Second, "a@dead.test"), "failed/connection_failed", -1},
		} {
			m := r.final(c.m)
			if got := statuses(m); got != c.want {
				t.Errorf("%s: ended %s, want %s", c.name, got, c.want)
			}
			list := r.attempts(m)
			if c.attempts >= 0 && len(list) != c.attempts {
				t.Errorf("%s: %d attempts, want %d", c.name, len(list), c.attempts)
			}
			for _, a := range list {
				if len(a.Transcript) == 0 || a.Host == "" || a.Address == "" {
					t.Errorf("%s: an attempt without host or transcript: %+v", c.name, a)
				}
			}
		}
		if v := srv.Violations(); len(v) > 0 {
			t.Errorf("bad manners: %v", v)
		}
		sameBytes(t, srv)
	})
}

// sameBytes checks that each recipient got the same mail on every attempt, and
// that only those with an unknown outcome got it more than once.
func sameBytes(t *testing.T, srv *smtptest.Server) {
	t.Helper()
	first := make(map[string][]byte)
	for _, m := range srv.Mails() {
		if len(m.To) != 1 || m.To[0] == "a@b.test" {
			continue // of several messages
		}
		to := m.To[0]
		if data, ok := first[to]; ok && !bytes.Equal(data, m.Data) {
			t.Errorf("%s got other bytes on the retry", to)
		} else if ok && m.Accepted() && to != "reset@b.test" && to != "deferred@b.test" && to != "full@b.test" {
			t.Errorf("%s got it twice", to)
		}
		first[to] = m.Data
	}
}

// A thousand mails to one provider, though it starts with two connections: they
// flow by its pace, not one per second of the queue's clock.
func TestAThousandToOneProvider(t *testing.T) {
	srv := smtptest.New(t, smtptest.Options{})
	r := newRig(t, redistest.Server(t))
	zone := &dns.Zone{Names: map[string]dns.Name{}}
	host(zone, "b.test", "127.0.0.1")
	r.o.Shaper = shape.New(shape.Options{Total: 20})
	r.overSMTP(zone, srv.Addr().Port())
	const n = 1000
	posted := make([]*email.Message, n)
	for i := range posted {
		posted[i] = r.post(draft("a@b.test"))
	}
	begun := time.Now()
	r.serve(r.Worker)
	for _, m := range posted {
		if m = r.final(m); statuses(m) != "delivered" || m.Recipients[0].State.Attempts != 1 {
			t.Fatalf("ended %s after %d attempts", statuses(m), m.Recipients[0].State.Attempts)
		}
	}
	t.Logf("%d delivered in %v over %d sessions", n, time.Since(begun), len(srv.Sessions()))
	if got := len(srv.Mails()); got != n {
		t.Errorf("%d mails received", got)
	}
	if most := len(srv.Sessions()); most > n/2 {
		t.Errorf("%d connections for %d mails", most, n)
	}
}

// A worker that is stopped in the dialogue gives the mail back; another sends it.
func TestStopInTheDialogue(t *testing.T) {
	each(t, func(t *testing.T, r *rig) {
		srv := smtptest.New(t, smtptest.Options{Script: smtptest.Script{"RCPT": {smtptest.Stall(), smtptest.Pass()}}})
		zone := &dns.Zone{Names: map[string]dns.Name{}}
		host(zone, "b.test", "127.0.0.1")
		r.overSMTP(zone, srv.Addr().Port())
		m := r.accept(draft("a@b.test"))
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- r.Deliver(ctx, r.job(m, 0)) }()
		for srv.Uses()["RCPT"] == 0 {
			time.Sleep(time.Millisecond)
		}
		cancel()
		if err := <-ended; err != nil {
			t.Fatal(err)
		}
		if e := r.get(m).Envelopes[0].State; e.Phase != email.Waiting || e.Attempts != 0 {
			t.Errorf("%+v", e)
		}
		if m = r.deliver(m); statuses(m) != "delivered" {
			t.Errorf("ended %s", statuses(m))
		}
	})
}
