package dns

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"time"

	wire "github.com/miekg/dns"
)

// Zone is a DNS world as a literal, for tests and dev. It is a Resolver without
// a cache, and Listen serves it over UDP and TCP as a recursive resolver would.
//
//	zone := &dns.Zone{Names: map[string]dns.Name{
//		"example.org":    {MX: []dns.MX{{Host: "mx.example.org", Pref: 10}}},
//		"mx.example.org": {A: []string{"127.0.0.1"}},
//		"broken.example": {Fault: dns.Fault{ServFail: dns.Always}},
//	}}
//
// A name that is not in it, nor above one that is, is NXDOMAIN. Once the zone is
// in use, change it by Set and Remove, or inside Change.
type Zone struct {
	Names map[string]Name // in lower case, without the trailing dot
	TTL   time.Duration   // of every answer, in whole seconds; zero is zero
	// OneStep answers with one CNAME at a time, as a resolver that does not
	// follow them.
	OneStep bool

	mu      sync.Mutex
	failed  map[string]int // SERVFAILs so far, by name
	queries map[question]int
}

// Name is what stands at one name. One with nothing at all exists, empty.
type Name struct {
	MX    []MX
	A     []string // IPv4 addresses
	AAAA  []string // IPv6 addresses
	TXT   []string // one string per record, of any length
	CNAME string
	Fault Fault
}

// Fault is what goes wrong with the questions about a name.
type Fault struct {
	Only     string        // if set, only for questions of this type: "MX", "A", "AAAA", "TXT"
	ServFail int           // so many questions are answered SERVFAIL, then all is well; Always: every one
	Refused  bool          // every answer is REFUSED
	Referral bool          // every answer names other servers, as one that does not resolve for us
	Silent   bool          // no answer. Asked directly, without a server, the zone fails at once
	Delay    time.Duration // before each answer
}

// Always as a number of failures means that they never end.
const Always = -1

// zoneChain is how many CNAMEs an answer holds: more than what a client follows.
const zoneChain = maxCNAME + 4

// Set puts what stands at name, and forgets how often it has failed.
func (z *Zone) Set(name string, n Name) {
	z.Change(func(names map[string]Name) {
		names[name] = n
		delete(z.failed, name)
	})
}

// Remove takes a name away.
func (z *Zone) Remove(name string) {
	z.Change(func(names map[string]Name) { delete(names, name) })
}

// Change runs change while no question is answered.
func (z *Zone) Change(change func(names map[string]Name)) {
	z.mu.Lock()
	defer z.mu.Unlock()
	if z.Names == nil {
		z.Names = map[string]Name{}
	}
	change(z.Names)
}

// Queries says how many questions of a type ("MX") were asked about a name.
func (z *Zone) Queries(name, qtype string) int {
	z.mu.Lock()
	defer z.mu.Unlock()
	return z.queries[question{name, wire.StringToType[qtype]}]
}

// MX looks up the MX records of name.
func (z *Zone) MX(ctx context.Context, name string) ([]MX, error) {
	return lookupMX(ctx, z.look, name)
}

// Addrs looks up AAAA and A of host.
func (z *Zone) Addrs(ctx context.Context, host string) ([]netip.Addr, error) {
	return lookupAddrs(ctx, z.look, host)
}

// TXT looks up the TXT records of name.
func (z *Zone) TXT(ctx context.Context, name string) ([]string, error) {
	return lookupTXT(ctx, z.look, name)
}

// look takes the way that a Client's answers take, without the wire.
func (z *Zone) look(ctx context.Context, q question) (answer, error) {
	return resolve(ctx, z.ask, q)
}

func (z *Zone) ask(ctx context.Context, q question) (*wire.Msg, error) {
	m, delay, err := z.reply(q)
	if err != nil {
		return nil, err
	}
	if delay > 0 {
		timer := time.NewTimer(delay)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-ctx.Done():
		}
	}
	switch {
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case m == nil:
		return nil, errors.New("no answer in time")
	case m.Rcode != wire.RcodeSuccess && m.Rcode != wire.RcodeNameError:
		return nil, errors.New(rcode(m.Rcode))
	}
	return m, nil
}

// reply makes the answer to q: nil if none is to be given, after delay. The error
// is for a literal with a mistake in it.
func (z *Zone) reply(q question) (m *wire.Msg, delay time.Duration, err error) {
	z.mu.Lock()
	defer z.mu.Unlock()
	if z.queries == nil {
		z.queries, z.failed = map[question]int{}, map[string]int{}
	}
	z.queries[q]++
	m = new(wire.Msg)
	m.RecursionAvailable = true
	f := z.Names[q.name].Fault
	if f.Only != "" && wire.StringToType[f.Only] != q.qtype {
		f = Fault{}
	}
	switch {
	case f.Silent:
		return nil, f.Delay, nil
	case f.Refused:
		m.Rcode = wire.RcodeRefused
		return m, f.Delay, nil
	case f.ServFail == Always || z.failed[q.name] < f.ServFail:
		z.failed[q.name]++
		m.Rcode = wire.RcodeServerFailure
		return m, f.Delay, nil
	case f.Referral:
		m.Ns = []wire.RR{&wire.NS{Hdr: z.header(".", wire.TypeNS), Ns: "ns.invalid."}}
		return m, f.Delay, nil
	}
	return m, f.Delay, z.fill(m, q)
}

// fill follows CNAMEs inside the zone and adds the records at their end.
func (z *Zone) fill(m *wire.Msg, q question) error {
	owner := q.name
	for range zoneChain {
		name := z.Names[owner]
		if name.CNAME == "" {
			return z.end(m, owner, q.qtype)
		}
		m.Answer = append(m.Answer, &wire.CNAME{Hdr: z.header(owner, wire.TypeCNAME), Target: wire.Fqdn(name.CNAME)})
		if z.OneStep {
			return nil
		}
		owner = plain(name.CNAME)
	}
	return nil
}

// end adds the records of the last name of the chain, or says that there are none.
func (z *Zone) end(m *wire.Msg, owner string, qtype uint16) error {
	records, err := z.records(owner, qtype)
	if err != nil {
		return err
	}
	m.Answer = append(m.Answer, records...)
	if len(records) > 0 {
		return nil
	}
	if !z.exists(owner) {
		m.Rcode = wire.RcodeNameError
	}
	m.Ns = []wire.RR{&wire.SOA{
		Hdr: z.header(".", wire.TypeSOA), Ns: "ns.invalid.", Mbox: "hostmaster.invalid.",
		Serial: 1, Refresh: 60, Retry: 60, Expire: 60, Minttl: uint32(z.TTL / time.Second),
	}}
	return nil
}

func (z *Zone) records(owner string, qtype uint16) (records []wire.RR, err error) {
	name, header := z.Names[owner], z.header(owner, qtype)
	switch qtype {
	case wire.TypeMX:
		for _, mx := range name.MX {
			records = append(records, &wire.MX{Hdr: header, Mx: wire.Fqdn(mx.Host), Preference: mx.Pref})
		}
	case wire.TypeA, wire.TypeAAAA:
		literals := name.A
		if qtype == wire.TypeAAAA {
			literals = name.AAAA
		}
		for _, s := range literals {
			addr, err := netip.ParseAddr(s)
			switch {
			case err != nil || addr.Is4() != (qtype == wire.TypeA):
				return nil, fmt.Errorf("zone: %q at %s is no address for %s", s, owner, wire.TypeToString[qtype])
			case addr.Is4():
				records = append(records, &wire.A{Hdr: header, A: addr.AsSlice()})
			default:
				records = append(records, &wire.AAAA{Hdr: header, AAAA: addr.AsSlice()})
			}
		}
	case wire.TypeTXT:
		for _, text := range name.TXT {
			records = append(records, &wire.TXT{Hdr: header, Txt: escape(text)})
		}
	}
	return records, nil
}

func (z *Zone) header(owner string, rrtype uint16) wire.RR_Header {
	return wire.RR_Header{Name: wire.Fqdn(owner), Rrtype: rrtype, Class: wire.ClassINET, Ttl: uint32(z.TTL / time.Second)}
}

// exists reports whether a name, or one below it, is in the zone (RFC 8020).
func (z *Zone) exists(owner string) bool {
	if _, ok := z.Names[owner]; ok {
		return true
	}
	for name := range z.Names {
		if strings.HasSuffix(name, "."+owner) {
			return true
		}
	}
	return false
}

// escape cuts a text into strings of 255 octets, in the wire library's
// presentation form.
func escape(text string) []string {
	parts := []string{}
	for first := true; first || text != ""; first = false {
		n := min(len(text), 255)
		var b strings.Builder
		for _, c := range []byte(text[:n]) {
			if c == '\\' || c < ' ' || c > '~' {
				fmt.Fprintf(&b, `\%03d`, c)
			} else {
				b.WriteByte(c)
			}
		}
		parts, text = append(parts, b.String()), text[n:]
	}
	return parts
}
