package mx

import (
	"errors"
	"net/netip"
	"testing"

	"postrider/smtpclient/dns"
)

// An MX with one of our addresses is us, whatever its name: it goes, with its equals and
// all less preferred (RFC 5321 5.1).
func TestOurAddressUnderAnotherName(t *testing.T) {
	z := zone()
	z.Set("us.test", dns.Name{A: []string{"192.0.2.50"}, AAAA: []string{"2001:db8::50"}})
	z.Set("alias-of-us.test", dns.Name{CNAME: "us.test"})
	mxs := func(hosts ...string) dns.Name {
		var n dns.Name
		for i, h := range hosts {
			n.MX = append(n.MX, dns.MX{Host: h, Pref: uint16(10 * (i / 2))}) // in pairs of equals
		}
		return n
	}
	z.Set("last.test", mxs("mx1.example.org", "mx2.example.org", "us.test", "mx3.example.org"))
	z.Set("first.test", mxs("us.test", "mx1.example.org", "mx2.example.org"))
	z.Set("aliased.test", mxs("alias-of-us.test"))
	p := &Planner{Resolver: z, SelfAddrs: []netip.Addr{netip.MustParseAddr("2001:db8::50")}}
	for range 20 { // equals come in any order
		plan, err := p.Plan(t.Context(), "last.test")
		if err != nil || len(plan.Hosts) != 2 || plan.Hosts[0].Name == "us.test" || plan.Hosts[1].Name == "us.test" || plan.Hosts[0].Name == "mx3.example.org" {
			t.Fatalf("%s, %v", route(plan), err)
		}
		for _, name := range []string{"first.test", "aliased.test", "us.test"} {
			var fault *Error
			if plan, err := p.Plan(t.Context(), name); !errors.As(err, &fault) || fault.Kind != Loop || fault.Enhanced != "5.4.6" || fault.Temporary {
				t.Fatalf("%s: %s, %v", name, route(plan), err)
			}
		}
	}
}

// Out of spec and common: an MX whose name is an alias.
func TestMXThatIsAnAlias(t *testing.T) {
	z := zone()
	z.Set("alias-mx.test", dns.Name{CNAME: "mx2.example.org"})
	z.Set("aliased.test", dns.Name{MX: []dns.MX{{Host: "alias-mx.test"}}})
	plan, err := (&Planner{Resolver: z}).Plan(t.Context(), "aliased.test")
	if err != nil || route(plan) != "alias-mx.test=192.0.2.2:25" {
		t.Errorf("%s, %v", route(plan), err)
	}
}
