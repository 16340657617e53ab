// Package guard decides which addresses may be dialled when somebody else chose
// them: the owner of a domain by its MX, the owner of a webhook by its URL. Without
// it anybody could make us talk to our own network.
//
// It resolves no names: its Control looks at the address that is really dialled, so
// that a name which changes its mind between two lookups gains nothing. It is part of
// smtpclient, which needs it and imports nothing of Postrider.
//
//	g := guard.New(allowed)
//	dialer := net.Dialer{Control: g.Control}
package guard

import (
	"errors"
	"fmt"
	"net/netip"
	"syscall"
)

// ErrDenied: the address is not to be dialled.
var ErrDenied = errors.New("address is not allowed")

// Guard refuses loopback, private and other special networks, unless they are
// allowed. It is safe for concurrent use.
type Guard struct{ denied, allowed []netip.Prefix }

// New makes a guard that lets these networks pass.
func New(allowed []netip.Prefix) *Guard {
	return &Guard{denied: specialNetworks(), allowed: allowed}
}

// specialNetworks lists what no public server can have as its address
// (IANA special-purpose registries, RFC 6890).
func specialNetworks() []netip.Prefix {
	var list []netip.Prefix
	for _, s := range []string{
		"0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12",
		"192.0.0.0/24", "192.168.0.0/16", "198.18.0.0/15", "224.0.0.0/4", "240.0.0.0/4",
		"::/96",          // unspecified, loopback, IPv4-compatible
		"64:ff9b::/96",   // NAT64: reaches IPv4 addresses
		"64:ff9b:1::/48", // local NAT64
		"2001::/23",      // protocol assignments, Teredo among them
		"2002::/16",      // 6to4
		"fc00::/7", "fe80::/10", "fec0::/10", "ff00::/8",
	} {
		list = append(list, netip.MustParsePrefix(s))
	}
	return list
}

// Check refuses an address with an error that wraps ErrDenied.
func (g *Guard) Check(addr netip.Addr) error {
	if !g.permits(addr) {
		return fmt.Errorf("dial %s: %w", addr, ErrDenied)
	}
	return nil
}

func (g *Guard) permits(addr netip.Addr) bool {
	// A zone would keep the address out of every prefix; a mapped address is dialled as IPv4.
	addr = addr.WithZone("").Unmap()
	if !addr.IsValid() {
		return false
	}
	if contains(g.allowed, addr) {
		inner, ok := translated(addr)
		return !ok || g.permits(inner)
	}
	return !contains(g.denied, addr)
}

// Allowed reports whether an address lies in the networks that were allowed by name.
func (g *Guard) Allowed(addr netip.Addr) bool {
	addr = addr.WithZone("").Unmap()
	return contains(g.allowed, addr) && g.permits(addr)
}

// Control is a net.Dialer.Control: the last look, at the address really dialled.
func (g *Guard) Control(_, address string, _ syscall.RawConn) error {
	ap, err := netip.ParseAddrPort(address)
	if err != nil {
		return fmt.Errorf("dial: %w", ErrDenied)
	}
	return g.Check(ap.Addr())
}

// translated gives the IPv4 address that a NAT64 (RFC 6052 2.1) or 6to4 (RFC 3056
// 2) address leads to, so that allowing the prefix does not allow all behind it.
func translated(addr netip.Addr) (netip.Addr, bool) {
	b := addr.As16()
	switch {
	case netip.MustParsePrefix("64:ff9b::/96").Contains(addr):
		return netip.AddrFrom4([4]byte(b[12:16])), true
	case netip.MustParsePrefix("2002::/16").Contains(addr):
		return netip.AddrFrom4([4]byte(b[2:6])), true
	}
	return netip.Addr{}, false
}

func contains(list []netip.Prefix, addr netip.Addr) bool {
	for _, p := range list {
		if p.Contains(addr) {
			return true
		}
	}
	return false
}
