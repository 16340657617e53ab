package apikey

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"postrider/internal/email"
	"postrider/internal/intake"
	"postrider/internal/store"
)

// Limits of a key's members.
const (
	MaxName     = 100 // characters
	MaxDomains  = 50
	MaxNetworks = 50
	MaxRate     = 100_000
	MaxQuota    = 100_000_000
	// MaxOverlap is how long a secret that was rotated out may go on being valid.
	MaxOverlap = 7 * 24 * time.Hour
	// DefaultOverlap is how long it is unless the caller says.
	DefaultOverlap = time.Hour
)

// Draft is what is asked for; nil is not given. What it lifts is named in Lift.
type Draft struct {
	Name              *string
	Scopes            []string // nil: not given
	FromDomains       []string
	Networks          []string
	ExpiresAt         *time.Time
	RequestsPerSecond *int64
	RecipientsPerDay  *int64
	SendingPaused     *bool
	// Lift names the members whose bound is taken away: allowed_from_domains,
	// allowed_ips, expires_at, requests_per_second, recipients_per_day.
	Lift []string
}

// Liftable are the members that Lift may name.
func Liftable() []string {
	return []string{"allowed_from_domains", "allowed_ips", "expires_at", "requests_per_second", "recipients_per_day"}
}

// Check gathers what is wrong with a draft, with pointers into the body that it stands
// for. whole: it is of a new key, which must have a name and scopes.
func (d *Draft) Check(whole bool, now time.Time) []intake.Fault {
	f := &faults{}
	d.checkName(f, whole)
	d.checkScopes(f, whole)
	f.list("allowed_from_domains", d.FromDomains, MaxDomains, func(s string) string {
		if _, err := email.ParseDomain(s); err != nil {
			return "is not a domain"
		}
		return ""
	})
	f.list("allowed_ips", d.Networks, MaxNetworks, func(s string) string {
		if _, err := ParseNetwork(s); err != nil {
			return "is not an IP address or a network such as 192.0.2.0/24"
		}
		return ""
	})
	if at := d.ExpiresAt; at != nil && (!at.After(now) || at.Year() > 9999) {
		f.add("expires_at", intake.OutOfRange, "must be in the future")
	}
	f.between("requests_per_second", d.RequestsPerSecond, MaxRate)
	f.between("recipients_per_day", d.RecipientsPerDay, MaxQuota)
	return f.found
}

func (d *Draft) checkName(f *faults, whole bool) {
	switch name := d.Name; {
	case name == nil && whole, name != nil && strings.TrimSpace(*name) == "":
		f.add("name", intake.Required, "is required: what the key is for, such as the app's name")
	case name == nil:
	case utf8.RuneCountInString(*name) > MaxName:
		f.add("name", intake.TooLong, fmt.Sprintf("has more than %d characters", MaxName))
	case !utf8.ValidString(*name) || strings.ContainsFunc(*name, func(r rune) bool { return !unicode.IsPrint(r) }):
		f.add("name", intake.InvalidFormat, "must be on one line, without control characters")
	}
}

func (d *Draft) checkScopes(f *faults, whole bool) {
	if d.Scopes == nil && whole {
		f.add("scopes", intake.Required, "is required: what the key may do")
	}
	f.list("scopes", d.Scopes, len(Scopes()), func(s string) string {
		if !slices.Contains(Scopes(), s) {
			return "is not a scope: there are " + strings.Join(Scopes(), ", ")
		}
		return ""
	})
}

// apply writes a draft that was checked into a key.
func (d *Draft) apply(k *store.Key) {
	if d.Name != nil {
		k.Name = *d.Name
	}
	if d.Scopes != nil {
		k.Scopes = inOrder(d.Scopes)
	}
	if d.FromDomains != nil {
		k.FromDomains = nil
		for _, s := range d.FromDomains {
			domain, _ := email.ParseDomain(s) // Check has seen to it
			k.FromDomains = append(k.FromDomains, domain)
		}
		slices.Sort(k.FromDomains)
		k.FromDomains = slices.Compact(k.FromDomains)
	}
	if d.Networks != nil {
		k.Networks = nil
		for _, s := range d.Networks {
			if n, err := ParseNetwork(s); err == nil && !slices.Contains(k.Networks, n) {
				k.Networks = append(k.Networks, n)
			}
		}
	}
	if d.ExpiresAt != nil {
		k.ExpiresAt = d.ExpiresAt.UTC().Truncate(time.Millisecond)
	}
	if d.RequestsPerSecond != nil {
		k.RequestsPerSecond = int(*d.RequestsPerSecond)
	}
	if d.RecipientsPerDay != nil {
		k.RecipientsPerDay = int(*d.RecipientsPerDay)
	}
	if d.SendingPaused != nil {
		k.SendingPaused = *d.SendingPaused
	}
	d.lift(k)
}

func (d *Draft) lift(k *store.Key) {
	for _, member := range d.Lift {
		switch member {
		case "allowed_from_domains":
			k.FromDomains = nil
		case "allowed_ips":
			k.Networks = nil
		case "expires_at":
			k.ExpiresAt = time.Time{}
		case "requests_per_second":
			k.RequestsPerSecond = 0
		case "recipients_per_day":
			k.RecipientsPerDay = 0
		}
	}
}

// inOrder lists scopes in the order of Scopes, each once.
func inOrder(scopes []string) []string {
	return slices.DeleteFunc(Scopes(), func(s string) bool { return !slices.Contains(scopes, s) })
}

// ParseNetwork reads a CIDR or a single address. IPv4 inside IPv6 is IPv4.
func ParseNetwork(s string) (netip.Prefix, error) {
	if a, err := netip.ParseAddr(s); err == nil {
		if a.Zone() != "" {
			return netip.Prefix{}, fmt.Errorf("a zone has no meaning elsewhere")
		}
		a = a.Unmap()
		return netip.PrefixFrom(a, a.BitLen()), nil
	}
	p, err := netip.ParsePrefix(s)
	if err != nil {
		return p, err
	}
	const mapped = 96 // bits before the IPv4 address
	if p.Addr().Is4In6() && p.Bits() >= mapped {
		p = netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-mapped)
	}
	return p.Masked(), nil
}

// ShowNetwork writes a network; one address stands alone.
func ShowNetwork(p netip.Prefix) string {
	if p.IsSingleIP() {
		return p.Addr().String()
	}
	return p.String()
}

// faults gathers what is wrong with a draft.
type faults struct{ found []intake.Fault }

func (f *faults) add(member, code, detail string) {
	f.found = append(f.found, intake.Fault{Pointer: "#/" + member, Code: code, Detail: detail})
}

// list checks a list: of no element, which would say nothing, of too many, and each.
func (f *faults) list(member string, list []string, most int, fault func(string) string) {
	switch {
	case list == nil:
	case len(list) == 0:
		f.add(member, intake.Required, "has no element; leave it out, or in a PATCH give null, for no bound")
	case len(list) > most:
		f.add(member, intake.TooMany, fmt.Sprintf("has more than %d elements", most))
	default:
		for i, s := range list {
			if why := fault(s); why != "" {
				f.add(member+"/"+strconv.Itoa(i), intake.InvalidFormat, why)
			}
		}
	}
}

func (f *faults) between(member string, n *int64, most int64) {
	if n != nil && (*n < 1 || *n > most) {
		f.add(member, intake.OutOfRange, fmt.Sprintf("is not between 1 and %d", most))
	}
}
