package mx

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"postrider/smtpclient"
	"postrider/smtpclient/dns"
)

func zone() *dns.Zone {
	return &dns.Zone{Names: map[string]dns.Name{
		"example.org":     {MX: []dns.MX{{Host: "mx2.example.org", Pref: 20}, {Host: "mx1.example.org", Pref: 10}}, A: []string{"192.0.2.99"}},
		"mx1.example.org": {A: []string{"192.0.2.1"}, AAAA: []string{"2001:db8::1"}},
		"mx2.example.org": {A: []string{"192.0.2.2"}},
		"mx3.example.org": {A: []string{"192.0.2.3"}},
		"dead.example":    {},
		"fail.example":    {Fault: dns.Fault{ServFail: dns.Always}},

		"alias.test":        {CNAME: "example.org"},
		"implicit.test":     {A: []string{"192.0.2.80"}, AAAA: []string{"2001:db8::80"}},
		"null.test":         {MX: []dns.MX{{Host: ".", Pref: 0}}, A: []string{"192.0.2.80"}},
		"null10.test":       {MX: []dns.MX{{Host: ".", Pref: 10}}},
		"halfnull.test":     {MX: []dns.MX{{Host: ".", Pref: 0}, {Host: "mx1.example.org", Pref: 5}}},
		"nothing.test":      {},
		"failing.test":      {A: []string{"192.0.2.80"}, Fault: dns.Fault{ServFail: dns.Always}},
		"silent.test":       {A: []string{"192.0.2.80"}, Fault: dns.Fault{Silent: true}},
		"literal.test":      {MX: []dns.MX{{Host: "192.0.2.7", Pref: 0}}, A: []string{"192.0.2.80"}},
		"literal6.test":     {MX: []dns.MX{{Host: "2001:db8::7", Pref: 0}}, A: []string{"192.0.2.80"}},
		"spaces.test":       {MX: []dns.MX{{Host: "mail server.test", Pref: 0}}, A: []string{"192.0.2.80"}},
		"litnull.test":      {MX: []dns.MX{{Host: ".", Pref: 0}, {Host: "2001:db8::7", Pref: 5}}},
		"referral.test":     {A: []string{"192.0.2.80"}, Fault: dns.Fault{Referral: true}},
		"lamemx.test":       {MX: []dns.MX{{Host: "referral.test", Pref: 0}}},
		"literal2.test":     {MX: []dns.MX{{Host: "192.0.2.7", Pref: 0}, {Host: "mx2.example.org", Pref: 9}}},
		"deadmx.test":       {MX: []dns.MX{{Host: "dead.example", Pref: 1}, {Host: "gone.example", Pref: 2}}, A: []string{"192.0.2.80"}},
		"failmx.test":       {MX: []dns.MX{{Host: "dead.example", Pref: 1}, {Host: "fail.example", Pref: 2}}, A: []string{"192.0.2.80"}},
		"firstdead.test":    {MX: []dns.MX{{Host: "gone.example", Pref: 1}, {Host: "mx2.example.org", Pref: 2}}},
		"firstfail.test":    {MX: []dns.MX{{Host: "fail.example", Pref: 1}, {Host: "mx2.example.org", Pref: 2}}},
		"self.test":         {MX: []dns.MX{{Host: "me.example.net", Pref: 5}, {Host: "mx1.example.org", Pref: 10}}},
		"selflow.test":      {MX: []dns.MX{{Host: "mx1.example.org", Pref: 5}, {Host: "ME.example.net", Pref: 10}, {Host: "mx2.example.org", Pref: 10}, {Host: "mx3.example.org", Pref: 20}}},
		"me.example.net":    {A: []string{"192.0.2.25"}},
		"twice.test":        {MX: []dns.MX{{Host: "mx1.example.org", Pref: 10}, {Host: "MX1.example.org", Pref: 20}, {Host: "mx2.example.org", Pref: 15}}},
		"aspmx.l.goo.co.uk": {A: []string{"192.0.2.26"}},
		"goo.test":          {MX: []dns.MX{{Host: "aspmx.l.goo.co.uk", Pref: 1}, {Host: "mx1.example.org", Pref: 1}}},
		"half.test":         {AAAA: []string{"fd00::1"}, Fault: dns.Fault{Only: "A", ServFail: dns.Always}},
		"co.uk":             {A: []string{"192.0.2.27"}},
	}}
}

func planner() *Planner {
	return &Planner{Resolver: zone(), Self: []string{"me.example.net."}}
}

// route writes a plan as one line.
func route(p smtpclient.Plan) string {
	var parts []string
	for _, h := range p.Hosts {
		var addrs []string
		for _, a := range h.Addrs {
			addrs = append(addrs, a.String())
		}
		parts = append(parts, h.Name+"="+strings.Join(addrs, ","))
	}
	return strings.Join(parts, " ")
}

func TestPlan(t *testing.T) {
	for name, want := range map[string]string{
		"example.org":    "mx1.example.org=[2001:db8::1]:25,192.0.2.1:25 mx2.example.org=192.0.2.2:25",
		"EXAMPLE.org.":   "mx1.example.org=[2001:db8::1]:25,192.0.2.1:25 mx2.example.org=192.0.2.2:25",
		"alias.test":     "mx1.example.org=[2001:db8::1]:25,192.0.2.1:25 mx2.example.org=192.0.2.2:25",
		"implicit.test":  "implicit.test=[2001:db8::80]:25,192.0.2.80:25",
		"halfnull.test":  "mx1.example.org=[2001:db8::1]:25,192.0.2.1:25",
		"literal2.test":  "mx2.example.org=192.0.2.2:25",
		"firstdead.test": "mx2.example.org=192.0.2.2:25",
		"firstfail.test": "mx2.example.org=192.0.2.2:25",
		"selflow.test":   "mx1.example.org=[2001:db8::1]:25,192.0.2.1:25",
		"twice.test":     "mx1.example.org=[2001:db8::1]:25,192.0.2.1:25 mx2.example.org=192.0.2.2:25",
	} {
		plan, err := planner().Plan(t.Context(), name)
		if err != nil || route(plan) != want {
			t.Errorf("%s: %s, %v; want %s", name, route(plan), err, want)
		}
		for _, h := range plan.Hosts {
			if h.TLS != smtpclient.TLSOpportunistic || h.Reason != "opportunistic" || h.Auth != nil || h.Trusted {
				t.Errorf("%s: host %+v", name, h)
			}
		}
	}
}

func TestNoPlan(t *testing.T) {
	for name, want := range map[string]Error{
		"nowhere.test":  {Kind: NoDomain, Enhanced: "5.1.2"},
		"":              {Kind: NoDomain, Enhanced: "5.1.2"},
		"a b.test":      {Kind: NoDomain, Enhanced: "5.1.2"},
		"null.test":     {Kind: NullMX, Enhanced: "5.1.10"},
		"null10.test":   {Kind: NullMX, Enhanced: "5.1.10"},
		"nothing.test":  {Kind: NoAddress, Enhanced: "5.4.4"},
		"literal.test":  {Kind: NoAddress, Enhanced: "5.4.4"},
		"literal6.test": {Kind: NoAddress, Enhanced: "5.4.4"},
		"spaces.test":   {Kind: NoAddress, Enhanced: "5.4.4"},
		"litnull.test":  {Kind: NoAddress, Enhanced: "5.4.4"},
		"referral.test": {Kind: DNSFailure, Enhanced: "4.4.3", Temporary: true},
		"lamemx.test":   {Kind: NoAddress, Enhanced: "4.4.3", Temporary: true},
		"deadmx.test":   {Kind: NoAddress, Enhanced: "5.4.4"},
		"failmx.test":   {Kind: NoAddress, Enhanced: "4.4.3", Temporary: true},
		"failing.test":  {Kind: DNSFailure, Enhanced: "4.4.3", Temporary: true},
		"silent.test":   {Kind: DNSFailure, Enhanced: "4.4.3", Temporary: true},
		"self.test":     {Kind: Loop, Enhanced: "5.4.6"},
		// The implicit MX of our own name.
		"me.example.net": {Kind: Loop, Enhanced: "5.4.6"},
	} {
		plan, err := planner().Plan(t.Context(), name)
		var got *Error
		if !errors.As(err, &got) || len(plan.Hosts) > 0 {
			t.Errorf("%s: %s, %v", name, route(plan), err)
			continue
		}
		if got.Kind != want.Kind || got.Enhanced != want.Enhanced || got.Temporary != want.Temporary || got.Domain != name {
			t.Errorf("%s: %+v, want %+v", name, got, want)
		}
		if got.Err == nil || !strings.Contains(err.Error(), "plan "+name+": ") {
			t.Errorf("%s: error %v names no cause", name, err)
		}
	}
}

// A plan knows that an MX, or the addresses of one family, are missing from it because a
// lookup failed; one that has no address is not missed.
func TestIncompletePlan(t *testing.T) {
	for name, incomplete := range map[string]bool{"firstfail.test": true, "half.test": true, "firstdead.test": false, "example.org": false} {
		plan, err := planner().Plan(t.Context(), name)
		if err != nil || errors.Is(plan.Incomplete, dns.ErrTemporary) != incomplete || (plan.Incomplete != nil) != incomplete {
			t.Errorf("%s: %v, %v", name, plan.Incomplete, err)
		}
	}
}

// Within the five addresses that a transport dials come both families of the second host.
func TestSecondHostComesSoon(t *testing.T) {
	z := zone()
	var wide dns.Name
	for i := range 9 {
		wide.A = append(wide.A, fmt.Sprintf("198.51.100.%d", i+1))
		wide.AAAA = append(wide.AAAA, fmt.Sprintf("2001:db8::%x", i+1))
	}
	z.Set("wide.test", wide)
	z.Set("backup.test", dns.Name{A: []string{"192.0.2.9"}, AAAA: []string{"2001:db8::99"}})
	z.Set("two.test", dns.Name{MX: []dns.MX{{Host: "wide.test", Pref: 1}, {Host: "backup.test", Pref: 2}}})
	plan, err := (&Planner{Resolver: z}).Plan(t.Context(), "two.test")
	want := "wide.test=[2001:db8::1]:25,198.51.100.1:25,[2001:db8::2]:25 backup.test=[2001:db8::99]:25,192.0.2.9:25"
	if err != nil || route(plan) != want {
		t.Errorf("%s, %v; want %s", route(plan), err, want)
	}
}

// A failure that passes makes the same domain deliverable.
func TestFailureThenAnswer(t *testing.T) {
	z := zone()
	z.Set("example.org", dns.Name{MX: []dns.MX{{Host: "mx1.example.org"}}, Fault: dns.Fault{ServFail: 1}})
	p := &Planner{Resolver: z}
	var fault *Error
	if _, err := p.Plan(t.Context(), "example.org"); !errors.As(err, &fault) || !fault.Temporary || !errors.Is(err, dns.ErrTemporary) {
		t.Fatalf("first: %v", err)
	}
	if _, err := p.Plan(t.Context(), "example.org"); err != nil {
		t.Fatalf("second: %v", err)
	}
}

func TestNullMXLooksUpNoAddress(t *testing.T) {
	z := zone()
	_, _ = (&Planner{Resolver: z}).Plan(t.Context(), "null.test")
	if n := z.Queries("null.test", "A") + z.Queries("null.test", "AAAA"); n != 0 {
		t.Errorf("%d address lookups", n)
	}
}

func TestEqualPreferencesAreShuffled(t *testing.T) {
	z := zone()
	z.Set("equal.test", dns.Name{MX: []dns.MX{
		{Host: "mx1.example.org", Pref: 5}, {Host: "mx2.example.org", Pref: 5}, {Host: "mx3.example.org", Pref: 9},
	}})
	first := map[string]int{}
	for range 200 {
		plan, err := (&Planner{Resolver: z}).Plan(t.Context(), "equal.test")
		if err != nil || len(plan.Hosts) != 3 || plan.Hosts[2].Name != "mx3.example.org" {
			t.Fatalf("%s, %v", route(plan), err)
		}
		first[plan.Hosts[0].Name]++
	}
	if len(first) != 2 {
		t.Errorf("first hosts of 200 plans: %v", first)
	}
}

func TestProvider(t *testing.T) {
	for name, want := range map[string]string{
		"example.org":    "example.org",
		"alias.test":     "example.org",
		"implicit.test":  "implicit.test",
		"literal2.test":  "example.org",
		"goo.test":       "goo.co.uk", // of two with equal preference always the first by name
		"co.uk":          "co.uk",
		"firstdead.test": "gone.example",
	} {
		for range 20 {
			plan, err := planner().Plan(t.Context(), name)
			if err != nil || plan.Provider != want {
				t.Errorf("%s: provider %q, %v; want %q", name, plan.Provider, err, want)
				break
			}
		}
	}
}

func TestCaps(t *testing.T) {
	z := zone()
	var many, wide dns.Name
	for i := range 30 {
		host := fmt.Sprintf("mx%02d.many.test", i)
		many.MX = append(many.MX, dns.MX{Host: host, Pref: uint16(i)})
		z.Set(host, dns.Name{A: []string{fmt.Sprintf("192.0.2.%d", i+1)}, AAAA: []string{fmt.Sprintf("2001:db8::%x", i+1)}})
		wide.A = append(wide.A, fmt.Sprintf("198.51.100.%d", i+1))
	}
	z.Set("many.test", many)
	z.Set("wide.test", wide)
	z.Set("two.test", dns.Name{MX: []dns.MX{{Host: "wide.test", Pref: 1}, {Host: "mx00.many.test", Pref: 2}}})
	for name, want := range map[string][2]int{"many.test": {20, 20}, "wide.test": {1, 20}, "two.test": {2, 5}} {
		plan, err := (&Planner{Resolver: z}).Plan(t.Context(), name)
		addrs := 0
		for _, h := range plan.Hosts {
			addrs += len(h.Addrs)
		}
		if err != nil || len(plan.Hosts) != want[0] || addrs != want[1] {
			t.Errorf("%s: %d hosts, %d addresses, %v; want %v", name, len(plan.Hosts), addrs, err, want)
		}
	}
}

// liar is a Resolver that answers with what the caller of it must not rely on.
type liar struct{ dns.Resolver }

func (liar) MX(context.Context, string) ([]dns.MX, error) {
	return []dns.MX{{Host: "MX2.example.org.", Pref: 2}, {Host: "mx1.example.org", Pref: 1}, {Host: "[2001:db8::9]", Pref: 0}}, nil
}

func TestPlanSortsItself(t *testing.T) {
	plan, err := (&Planner{Resolver: liar{zone()}, Port: 2525}).Plan(t.Context(), "liar.test")
	want := "mx1.example.org=[2001:db8::1]:2525,192.0.2.1:2525 mx2.example.org=192.0.2.2:2525"
	if err != nil || route(plan) != want {
		t.Errorf("%s, %v; want %s", route(plan), err, want)
	}
}

func TestFixed(t *testing.T) {
	addr := netip.MustParseAddrPort("127.0.0.1:2525")
	got := Fixed("sandbox", addr)
	want := smtpclient.Plan{Domain: "sandbox", Provider: "sandbox", Hosts: []smtpclient.Host{{
		Name: "sandbox", Addrs: []netip.AddrPort{addr}, TLS: smtpclient.TLSNone, Reason: "fixed address", Trusted: true,
	}}}
	if diff := cmp.Diff(want, got, cmp.Comparer(func(a, b netip.AddrPort) bool { return a == b })); diff != "" {
		t.Error(diff)
	}
}
