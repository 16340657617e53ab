// Package dns looks up what a mail sender needs, and tells "no such domain",
// "nothing of that kind" and "the lookup failed" apart: the first two are answers,
// the third means try again later (RFC 5321 5.1).
//
// A [Client] asks recursive resolvers (RFC 1035, EDNS0 of RFC 6891) and caches
// (RFC 2308); a [Zone] is a DNS world written as a literal, for tests and dev. The
// package is no recursive resolver itself, does not validate DNSSEC, and does not
// read /etc/hosts or search lists: names are fully qualified.
//
// Answers come from strangers. Names that are no host names are dropped, and what
// is kept of one answer is bounded: 20 MX, 20 addresses, 64 KiB of TXT, 8 CNAMEs.
//
//	c, err := dns.NewClient(dns.ClientOptions{})
//	hosts, err := c.MX(ctx, "example.org")
//	switch {
//	case errors.Is(err, dns.ErrNXDomain): // will never work
//	case err != nil: // later
//	}
package dns

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"

	wire "github.com/miekg/dns"
)

// Resolver tells NXDOMAIN, empty, and failure apart. CNAMEs are followed (at most
// 8). Names are FQDN without the trailing dot. A name that exists without records
// of the type gives an empty slice and no error. Errors wrap ErrNXDomain,
// ErrTemporary or, from MX, ErrNoHost.
type Resolver interface {
	// MX gives the most preferred 20 MX, most preferred first.
	MX(ctx context.Context, name string) ([]MX, error)
	// Addrs gives AAAA and A in turn, at most 20. If the lookup of one family failed it
	// gives those of the other, and ErrTemporary.
	Addrs(ctx context.Context, host string) ([]netip.Addr, error)
	// TXT gives the records of a name, the strings of one record joined.
	TXT(ctx context.Context, name string) ([]string, error)
}

// MX is one MX record.
type MX struct {
	Host string // lower case, no trailing dot; "." for null MX (RFC 7505)
	Pref uint16 // lower is preferred
}

// The errors of a Resolver, wrapped with the question and the cause.
var (
	// ErrNXDomain: the name does not exist. Permanent.
	ErrNXDomain = errors.New("no such domain")
	// ErrNoHost: there are MX records, and none names a host: addresses, or what is no name. Permanent.
	ErrNoHost = errors.New("no MX record names a host")
	// ErrTemporary: SERVFAIL, REFUSED, a referral, a timeout, or an answer that makes no sense.
	ErrTemporary = errors.New("temporary DNS failure")
)

// What is kept of one answer.
const (
	maxMX    = 20
	maxAddrs = 20
	maxTXT   = 64 << 10 // octets
	maxCNAME = 8
)

// lookup answers one question: a Client over the wire, a Zone from memory.
type lookup func(ctx context.Context, q question) (answer, error)

type question struct {
	name  string // lower case, no trailing dot
	qtype uint16
}

func (q question) String() string { return wire.TypeToString[q.qtype] + " of " + q.name }

// newQuestion refuses what cannot be a name in DNS: it does not exist.
func newQuestion(name string, qtype uint16) (question, error) {
	q := question{strings.ToLower(strings.TrimSuffix(name, ".")), qtype}
	if !validName(q.name) {
		return q, fmt.Errorf("look up %s of %.80q: %w: not a domain name", wire.TypeToString[qtype], name, ErrNXDomain)
	}
	return q, nil
}

func lookupMX(ctx context.Context, look lookup, name string) ([]MX, error) {
	q, err := newQuestion(name, wire.TypeMX)
	if err != nil {
		return nil, err
	}
	a, err := look(ctx, q)
	return append([]MX(nil), a.mx...), err
}

func lookupTXT(ctx context.Context, look lookup, name string) ([]string, error) {
	q, err := newQuestion(name, wire.TypeTXT)
	if err != nil {
		return nil, err
	}
	a, err := look(ctx, q)
	return append([]string(nil), a.txt...), err
}

func lookupAddrs(ctx context.Context, look lookup, host string) ([]netip.Addr, error) {
	q6, err := newQuestion(host, wire.TypeAAAA)
	if err != nil {
		return nil, err
	}
	q4 := question{q6.name, wire.TypeA}
	var a6, a4 answer
	var err6, err4 error
	done := make(chan struct{})
	go func() {
		defer close(done)
		a6, err6 = look(ctx, q6)
	}()
	a4, err4 = look(ctx, q4)
	<-done
	addrs := alternate(a6.addrs, a4.addrs)
	switch {
	case errors.Is(err6, ErrTemporary):
		return addrs, err6
	case errors.Is(err4, ErrTemporary):
		return addrs, err4
	case len(addrs) > 0:
		return addrs, nil
	case err6 != nil && err4 != nil:
		return nil, err4
	}
	// Some name servers say NXDOMAIN for AAAA of names that do exist.
	return nil, nil
}

// alternate takes from both families in turn, so that none starves the other.
func alternate(a6, a4 []netip.Addr) []netip.Addr {
	var addrs []netip.Addr
	for i := 0; (i < len(a6) || i < len(a4)) && len(addrs) < maxAddrs; i++ {
		if i < len(a6) {
			addrs = append(addrs, a6[i])
		}
		if i < len(a4) && len(addrs) < maxAddrs {
			addrs = append(addrs, a4[i])
		}
	}
	return addrs
}

// validName reports whether name is made of labels of letters, digits, hyphens
// and underscores (as in _dmarc) and fits into a message (RFC 1035 2.3.4).
func validName(name string) bool {
	if len(name) > 253 {
		return false
	}
	for label := range strings.SplitSeq(name, ".") {
		if label == "" || len(label) > 63 {
			return false
		}
		for _, c := range []byte(label) {
			letter := c|0x20 >= 'a' && c|0x20 <= 'z'
			if !letter && (c < '0' || c > '9') && c != '-' && c != '_' {
				return false
			}
		}
	}
	return true
}
