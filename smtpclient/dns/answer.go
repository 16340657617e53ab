package dns

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	wire "github.com/miekg/dns"
)

// answer is what one question came to.
type answer struct {
	mx      []MX
	addrs   []netip.Addr
	txt     []string
	missing bool // NXDOMAIN: the end of the chain does not exist

	alias string // set if the chain ended here without an answer: ask for this name
	hops  int    // CNAMEs followed

	ttl      time.Duration // how long it may be kept; with nosoa not at all
	negative bool          // nothing was found
	nosoa    bool          // negative, without the SOA that says for how long
}

// maxTTL is more than any answer is kept.
const maxTTL = 24 * time.Hour

// ask puts one question to one or more servers and returns a reply to exactly
// that question with rcode NOERROR or NXDOMAIN.
type ask func(ctx context.Context, q question) (*wire.Msg, error)

// resolve asks until the chain of CNAMEs ends. Its errors wrap ErrTemporary or,
// with the answer that says so, ErrNXDomain.
func resolve(ctx context.Context, ask ask, q question) (answer, error) {
	hops, ttl := 0, maxTTL
	for at := q; ; {
		m, err := ask(ctx, at)
		if err != nil {
			return answer{}, fmt.Errorf("look up %s: %w: %w", q, ErrTemporary, err)
		}
		a, err := read(m, at, maxCNAME-hops)
		switch {
		case errors.Is(err, ErrNoHost):
			return answer{}, fmt.Errorf("look up %s: %w", q, err)
		case err != nil:
			return answer{}, fmt.Errorf("look up %s: %w: %w", q, ErrTemporary, err)
		}
		ttl = min(ttl, a.ttl)
		hops += a.hops
		if a.alias == "" {
			a.ttl = ttl
			return a, a.err(q)
		}
		at.name = a.alias
	}
}

// err is the error that an answer without a name stands for.
func (a answer) err(q question) error {
	if a.missing {
		return fmt.Errorf("look up %s: %w", q, ErrNXDomain)
	}
	return nil
}

var (
	errChain    = fmt.Errorf("more than %d CNAMEs, or a loop of them", maxCNAME)
	errReferral = errors.New("referral to other servers")
)

// read takes the answer to q out of a reply, following at most hops CNAMEs.
// Nothing in the reply is trusted to be well-formed.
func read(m *wire.Msg, q question, hops int) (answer, error) {
	a := answer{ttl: maxTTL}
	owner := q.name
	for {
		found, err := a.collect(m.Answer, owner, q.qtype)
		if err != nil {
			return answer{}, err
		}
		if found && m.Rcode == wire.RcodeSuccess {
			return a, nil
		}
		target, ok := a.cname(m.Answer, owner)
		if !ok {
			break
		}
		if a.hops++; a.hops > hops {
			return answer{}, errChain
		}
		if !validName(target) {
			return answer{}, errors.New("CNAME to what is no domain name")
		}
		owner = target
	}
	// RFC 6604 3: the code is about the last name of the chain.
	if m.Rcode == wire.RcodeNameError {
		a = answer{ttl: a.ttl, hops: a.hops, missing: true, negative: true}
		a.bound(m.Ns)
		return a, nil
	}
	if owner != q.name {
		a.alias = owner
		return a, nil
	}
	if refers(m.Ns) {
		return answer{}, errReferral
	}
	a.negative = true
	a.bound(m.Ns)
	return a, nil
}

// refers reports whether an answer without records is none, but names other servers
// to ask (RFC 2308 2.2.1): with a SOA it would say that there is nothing.
func refers(authority []wire.RR) bool {
	servers := false
	for _, rr := range authority {
		switch rr.Header().Rrtype {
		case wire.TypeSOA:
			return false
		case wire.TypeNS:
			servers = true
		}
	}
	return servers
}

// collect keeps the records of one owner and type, within the caps.
func (a *answer) collect(records []wire.RR, owner string, qtype uint16) (found bool, err error) {
	size, hosts, unusable := 0, 0, 0
	for _, rr := range records {
		h := rr.Header()
		if h.Rrtype != qtype || h.Class != wire.ClassINET || plain(h.Name) != owner {
			continue
		}
		found = true
		a.lower(h.Ttl)
		switch rr := rr.(type) {
		case *wire.MX:
			switch host := plain(rr.Mx); {
			case host == ".":
				a.mx = append(a.mx, MX{host, rr.Preference})
			case hostName(host):
				a.mx = append(a.mx, MX{host, rr.Preference})
				hosts++
			default:
				unusable++
			}
		case *wire.A:
			a.addAddr(netip.AddrFromSlice(rr.A.To4()))
		case *wire.AAAA:
			a.addAddr(netip.AddrFromSlice(rr.AAAA))
		case *wire.TXT:
			text := unescape(rr.Txt)
			if size += len(text); size <= maxTXT {
				a.txt = append(a.txt, text)
			}
		}
	}
	if found && qtype == wire.TypeMX {
		// An empty list would mean "no MX records" and deliver to the A records, one of
		// "." alone a null MX, which it is not beside others (RFC 7505 3).
		if hosts == 0 && unusable > 0 {
			return true, ErrNoHost
		}
		slices.SortStableFunc(a.mx, func(x, y MX) int { return int(x.Pref) - int(y.Pref) })
		a.mx = slices.Clone(a.mx[:min(len(a.mx), maxMX)]) // the others are not held
	}
	return found, nil
}

// addAddr keeps an address once. An AAAA record that holds an IPv4 address is
// nobody's mail host.
func (a *answer) addAddr(addr netip.Addr, ok bool) {
	if ok && !addr.Is4In6() && len(a.addrs) < maxAddrs && !slices.Contains(a.addrs, addr) {
		a.addrs = append(a.addrs, addr)
	}
}

// cname gives the target of owner's CNAME.
func (a *answer) cname(records []wire.RR, owner string) (string, bool) {
	for _, rr := range records {
		c, ok := rr.(*wire.CNAME)
		if ok && c.Hdr.Class == wire.ClassINET && plain(c.Hdr.Name) == owner {
			a.lower(c.Hdr.Ttl)
			return plain(c.Target), true
		}
	}
	return "", false
}

// hostName reports whether an MX names a host. RFC 5321 5.1: an address is no name,
// also with a dot behind it.
func hostName(host string) bool {
	_, err := netip.ParseAddr(host)
	return err != nil && validName(host)
}

func (a *answer) lower(ttl uint32) { a.ttl = min(a.ttl, time.Duration(ttl)*time.Second) }

// bound sets how long "nothing" may be believed: RFC 2308 5, the lower of the
// SOA's own TTL and its minimum, and without a SOA not at all.
func (a *answer) bound(authority []wire.RR) {
	for _, rr := range authority {
		if soa, ok := rr.(*wire.SOA); ok && soa.Hdr.Class == wire.ClassINET {
			a.lower(soa.Hdr.Ttl)
			a.lower(soa.Minttl)
			return
		}
	}
	a.nosoa = true
}

// size is about the octets that an answer takes in the cache.
func (a answer) size() int {
	n := 32*len(a.mx) + 24*len(a.addrs)
	for _, mx := range a.mx {
		n += len(mx.Host)
	}
	for _, text := range a.txt {
		n += len(text)
	}
	return n
}

// plain is a wire name as the rest of the package writes it; the root stays ".".
func plain(name string) string {
	if name == "." {
		return name
	}
	return strings.ToLower(strings.TrimSuffix(name, "."))
}

// unescape joins the strings of a TXT record and undoes the presentation form
// that the wire library gives them in: \DDD and \X (RFC 1035 5.1).
func unescape(parts []string) string {
	var b strings.Builder
	for _, s := range parts {
		for i := 0; i < len(s); i++ {
			if s[i] != '\\' || i+1 == len(s) {
				b.WriteByte(s[i])
				continue
			}
			if i+3 < len(s) && digits(s[i+1:i+4]) {
				b.WriteByte((s[i+1]-'0')*100 + (s[i+2]-'0')*10 + s[i+3] - '0')
				i += 3
				continue
			}
			i++
			b.WriteByte(s[i])
		}
	}
	return b.String()
}

func digits(s string) bool {
	return strings.Trim(s, "0123456789") == ""
}
