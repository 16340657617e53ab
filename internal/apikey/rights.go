package apikey

import (
	"fmt"
	"net/netip"
	"slices"

	"postrider/internal/email"
	"postrider/internal/store"
)

// Excess is what a key would have, or has, that the key that asks has not. Member and
// Index say where (Index -1: the member as a whole).
type Excess struct {
	Standing bool   // the key has it as it stands, whatever was asked for
	Member   string // scopes, allowed_from_domains, allowed_ips, expires_at, requests_per_second, recipients_per_day, livemode
	Index    int
	Scope    string // of scopes: which
}

func (e *Excess) Error() string {
	if e.Scope != "" {
		return fmt.Sprintf("%s: the key that asks does not have %s itself", e.Member, e.Scope)
	}
	return e.Member + ": goes beyond what the key that asks may do itself"
}

// within refuses a key that could do more than the actor can.
func (a Actor) within(k *store.Key) error {
	if a.Key == nil {
		return nil
	}
	if k.World != a.Key.World {
		return &Excess{Member: "livemode", Index: -1}
	}
	for i, s := range k.Scopes {
		if !Has(a.Key, s) {
			return &Excess{Member: "scopes", Index: i, Scope: s}
		}
	}
	if err := a.withinDomains(k); err != nil {
		return err
	}
	if err := a.withinNetworks(k); err != nil {
		return err
	}
	if own := a.Key.ExpiresAt; !own.IsZero() && (k.ExpiresAt.IsZero() || k.ExpiresAt.After(own)) {
		return &Excess{Member: "expires_at", Index: -1}
	}
	if own, rate := Rate(a.Key, a.RateLimit), Rate(k, a.RateLimit); own > 0 && (rate == 0 || rate > own) {
		return &Excess{Member: "requests_per_second", Index: -1}
	}
	if own := a.Key.RecipientsPerDay; own > 0 && (k.RecipientsPerDay == 0 || k.RecipientsPerDay > own) {
		return &Excess{Member: "recipients_per_day", Index: -1}
	}
	return nil
}

func (a Actor) withinDomains(k *store.Key) error {
	if a.Key.FromDomains == nil {
		return nil
	}
	if k.FromDomains == nil {
		return &Excess{Member: "allowed_from_domains", Index: -1}
	}
	for i, d := range k.FromDomains {
		if !slices.Contains(a.Key.FromDomains, d) {
			return &Excess{Member: "allowed_from_domains", Index: i}
		}
	}
	return nil
}

func (a Actor) withinNetworks(k *store.Key) error {
	if a.Key.Networks == nil {
		return nil
	}
	if k.Networks == nil {
		return &Excess{Member: "allowed_ips", Index: -1}
	}
	for i, n := range k.Networks {
		if !slices.ContainsFunc(a.Key.Networks, func(own netip.Prefix) bool { return own.Bits() <= n.Bits() && own.Contains(n.Addr()) }) {
			return &Excess{Member: "allowed_ips", Index: i}
		}
	}
	return nil
}

// inherit gives a new key what bounds its maker, where nothing was asked for.
func (a Actor) inherit(k *store.Key) {
	if a.Key == nil {
		return
	}
	if k.FromDomains == nil {
		k.FromDomains = slices.Clone(a.Key.FromDomains)
	}
	if k.Networks == nil {
		k.Networks = slices.Clone(a.Key.Networks)
	}
	if k.ExpiresAt.IsZero() {
		k.ExpiresAt = a.Key.ExpiresAt
	}
	if k.RequestsPerSecond == 0 {
		k.RequestsPerSecond = a.Key.RequestsPerSecond
	}
	if k.RecipientsPerDay == 0 {
		k.RecipientsPerDay = a.Key.RecipientsPerDay
	}
}

// Rate is how many requests a second a key may make; 0: any number. otherwise is that
// of keys without a limit of their own.
func Rate(k *store.Key, otherwise int) int {
	if k.RequestsPerSecond > 0 {
		return k.RequestsPerSecond
	}
	return otherwise
}

// From reports whether a key may send from an address at a domain (an A-label).
func From(domains []string, domain string) bool {
	return domains == nil || slices.Contains(domains, domain)
}

// Comes reports whether a key may be used from an address. What is no address may not.
func Comes(k *store.Key, address string) bool {
	if k.Networks == nil {
		return true
	}
	a, err := netip.ParseAddr(address)
	if err != nil {
		return false
	}
	a = a.Unmap().WithZone("")
	return slices.ContainsFunc(k.Networks, func(n netip.Prefix) bool { return n.Contains(a) })
}

// World is that of live or test keys.
func World(live bool) email.World {
	if live {
		return email.Live
	}
	return email.Test
}
