// Package mx turns a recipient's domain into a plan: which hosts to try, in which
// order, at which addresses, and with which TLS (RFC 5321 5.1, RFC 7505).
//
// A [Planner] asks DNS for the MX; a [Relay] is a host that the operator named,
// and [Fixed] an address known beforehand. The package dials nothing and decides
// nothing about retries: a plan is a value, and an [Error] says whether there may
// be one later.
//
//	p := &mx.Planner{Resolver: resolver, Port: 25, Self: []string{"mail.example.org"}}
//	plan, err := p.Plan(ctx, "example.com")
package mx

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"sync"

	"golang.org/x/net/publicsuffix"

	"postrider/smtpclient"
	"postrider/smtpclient/dns"
)

const (
	smtpPort = 25
	maxHosts = 20
	maxAddrs = 20 // of a plan
	// hostAddrs is what one of several hosts gives: a transport tries five
	// addresses per attempt, and must come to both families of the second host.
	hostAddrs = 3
)

// Planner turns a domain into a Plan. It is safe for concurrent use.
type Planner struct {
	Resolver dns.Resolver
	Port     uint16   // 0: 25
	Self     []string // our own host names: an MX that is one of them, and all less preferred, are dropped
	// SelfAddrs are the addresses at which we take mail ourselves: an MX that has one is us
	// under another name.
	SelfAddrs []netip.Addr
}

// Kind is why there is no plan.
type Kind string

// The kinds of an Error.
const (
	NoDomain   Kind = "nxdomain"
	NullMX     Kind = "null_mx"
	NoAddress  Kind = "no_address" // no MX host has an address: temporary if any lookup failed
	Loop       Kind = "loop"
	DNSFailure Kind = "dns_failure"
)

// Error says why there is no plan.
type Error struct {
	Domain    string
	Kind      Kind
	Temporary bool
	Enhanced  string // 5.1.10 null MX, 5.1.2 no such domain, 5.4.6 loop, 4.4.3 DNS failure, 5.4.4 no address
	Err       error  // the cause, for people
}

func (e *Error) Error() string { return fmt.Sprintf("plan %s: %v", e.Domain, e.Err) }

func (e *Error) Unwrap() error { return e.Err }

// Plan looks the domain's MX up and orders them: by preference, equal ones at
// random; without any MX the domain itself is its MX. At most 20 hosts and 20
// addresses. Each host is used opportunistically with TLS. Errors are *Error.
func (p *Planner) Plan(ctx context.Context, domain string) (smtpclient.Plan, error) {
	domain = plain(domain)
	records, err := p.Resolver.MX(ctx, domain)
	if err != nil {
		return smtpclient.Plan{}, lookupError(domain, err)
	}
	candidates, fault := p.candidates(domain, records)
	if fault != nil {
		return smtpclient.Plan{}, fault
	}
	plan := smtpclient.Plan{Domain: domain, Provider: provider(candidates)}
	found, failed := p.resolve(ctx, candidates)
	kept := p.beforeOurAddress(candidates, found)
	if len(kept) == 0 {
		return smtpclient.Plan{}, loop(domain, candidates[0].Host)
	}
	plan.Hosts, plan.Incomplete = p.hosts(kept, found[:len(kept)]), failed
	if len(plan.Hosts) == 0 {
		return smtpclient.Plan{}, noAddress(domain, plan.Incomplete)
	}
	return plan, nil
}

// loop is for a domain of whose MX none is preferred to ourselves.
func loop(domain, host string) *Error {
	err := fmt.Errorf("%s is the best MX and is this host: mail would loop", host)
	return &Error{Domain: domain, Kind: Loop, Enhanced: "5.4.6", Err: err}
}

// candidates gives the hosts to ask addresses for, in the order to try.
func (p *Planner) candidates(domain string, records []dns.MX) ([]dns.MX, *Error) {
	if len(records) == 0 {
		// RFC 5321 5.1: only an empty list of MX makes the domain its own MX.
		records = []dns.MX{{Host: domain}}
	}
	var usable []dns.MX
	null := 0
	seen := map[string]bool{}
	sorted := slices.Clone(records)
	rand.Shuffle(len(sorted), func(i, j int) { sorted[i], sorted[j] = sorted[j], sorted[i] })
	slices.SortStableFunc(sorted, func(a, b dns.MX) int { return cmp.Compare(a.Pref, b.Pref) })
	for _, r := range sorted {
		r.Host = plain(r.Host)
		if r.Host == "" {
			null++ // "." without its dot
			continue
		}
		// RFC 5321 5.1: the data field of an MX is a domain name, no address.
		if isAddress(r.Host) || seen[r.Host] {
			continue
		}
		seen[r.Host] = true
		usable = append(usable, r)
	}
	switch {
	case null == len(records):
		// RFC 7505 3: the domain says that it accepts no mail. Beside other MX
		// "." means nothing.
		return nil, &Error{Domain: domain, Kind: NullMX, Enhanced: "5.1.10", Err: errors.New("the domain accepts no mail (null MX)")}
	case len(usable) == 0:
		return nil, &Error{Domain: domain, Kind: NoAddress, Enhanced: "5.4.4", Err: errors.New("no MX record names a host")}
	}
	before := p.beforeSelf(usable)
	if len(before) == 0 {
		return nil, loop(domain, usable[0].Host)
	}
	return before[:min(len(before), maxHosts)], nil
}

// beforeSelf drops ourselves, and who is not preferred to us: RFC 5321 5.1, all
// records at that preference level and higher-numbered ones.
func (p *Planner) beforeSelf(sorted []dns.MX) []dns.MX {
	for _, r := range sorted {
		if slices.ContainsFunc(p.Self, func(own string) bool { return plain(own) == r.Host }) {
			return slices.DeleteFunc(slices.Clone(sorted), func(other dns.MX) bool { return other.Pref >= r.Pref })
		}
	}
	return sorted
}

// beforeOurAddress does the same with an MX that is us by its address.
func (p *Planner) beforeOurAddress(sorted []dns.MX, found [][]netip.Addr) []dns.MX {
	for i, addrs := range found {
		ours := slices.ContainsFunc(addrs, func(a netip.Addr) bool { return slices.Contains(p.SelfAddrs, a.Unmap()) })
		if !ours {
			continue
		}
		for i > 0 && sorted[i-1].Pref == sorted[i].Pref {
			i--
		}
		return sorted[:i]
	}
	return sorted
}

// resolve looks up the addresses of all candidates at once. The error is that of a
// failed lookup, if one failed.
func (p *Planner) resolve(ctx context.Context, candidates []dns.MX) ([][]netip.Addr, error) {
	found := make([][]netip.Addr, len(candidates))
	faults := make([]error, len(candidates))
	var group sync.WaitGroup
	for i, c := range candidates {
		group.Go(func() {
			found[i], faults[i] = p.Resolver.Addrs(ctx, c.Host)
		})
	}
	group.Wait()
	for _, err := range faults {
		if err != nil && !errors.Is(err, dns.ErrNXDomain) {
			return found, err
		}
	}
	return found, nil
}

// hosts keeps, in order, the candidates that have an address.
func (p *Planner) hosts(candidates []dns.MX, found [][]netip.Addr) []smtpclient.Host {
	port := cmp.Or(p.Port, smtpPort)
	var hosts []smtpclient.Host
	for i, addrs := range share(found) {
		if len(addrs) == 0 {
			continue
		}
		hosts = append(hosts, smtpclient.Host{
			Name: candidates[i].Host, Addrs: withPort(addrs, port),
			TLS: smtpclient.TLSOpportunistic, Reason: "opportunistic",
		})
	}
	return hosts
}

// share cuts the addresses of the hosts to those of a plan, one of each host in
// turn, so that none is left out for another's sake.
func share(found [][]netip.Addr) [][]netip.Addr {
	limit, with := maxAddrs, 0
	for _, addrs := range found {
		if len(addrs) > 0 {
			with++
		}
	}
	if with > 1 {
		limit = hostAddrs
	}
	shared, total := make([][]netip.Addr, len(found)), 0
	for round := range limit {
		for i, addrs := range found {
			if round < len(addrs) && total < maxAddrs {
				shared[i] = append(shared[i], addrs[round])
				total++
			}
		}
	}
	return shared
}

func withPort(addrs []netip.Addr, port uint16) []netip.AddrPort {
	var out []netip.AddrPort
	for _, a := range addrs {
		out = append(out, netip.AddrPortFrom(a, port))
	}
	return out
}

// provider names who runs the mail of a domain: the organisational domain of its
// most preferred MX. Among equals the first by name, so that chance and failing
// lookups do not change it.
func provider(sorted []dns.MX) string {
	first := sorted[0]
	for _, r := range sorted[1:] {
		if r.Pref == first.Pref && r.Host < first.Host {
			first = r
		}
	}
	return Provider(first.Host)
}

// Provider names who runs an MX host: its organisational domain.
func Provider(host string) string {
	host = plain(host)
	if org, err := publicsuffix.EffectiveTLDPlusOne(host); err == nil {
		return org
	}
	return host
}

// lookupError judges a failed MX lookup. RFC 5321 5.1: a temporary error means
// that the mail is queued, a domain that does not exist is an error.
func lookupError(domain string, err error) *Error {
	if errors.Is(err, dns.ErrNXDomain) {
		return &Error{Domain: domain, Kind: NoDomain, Enhanced: "5.1.2", Err: err}
	}
	if errors.Is(err, dns.ErrNoHost) {
		return &Error{Domain: domain, Kind: NoAddress, Enhanced: "5.4.4", Err: err}
	}
	return &Error{Domain: domain, Kind: DNSFailure, Temporary: true, Enhanced: "4.4.3", Err: err}
}

// noAddress is for MX of which none is usable; failed is a lookup that failed.
func noAddress(domain string, failed error) *Error {
	if failed != nil {
		return &Error{Domain: domain, Kind: NoAddress, Temporary: true, Enhanced: "4.4.3", Err: failed}
	}
	return &Error{Domain: domain, Kind: NoAddress, Enhanced: "5.4.4", Err: errors.New("no MX host has an address")}
}

// isAddress reports whether a host is an IP address written as a name.
func isAddress(host string) bool {
	_, err := netip.ParseAddr(strings.Trim(host, "[]"))
	return err == nil
}

func plain(name string) string { return strings.ToLower(strings.TrimSuffix(name, ".")) }
