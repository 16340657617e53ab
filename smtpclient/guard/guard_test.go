package guard

import (
	"errors"
	"net/netip"
	"testing"
)

func TestGuardDenies(t *testing.T) {
	g := New(nil)
	for _, c := range []struct{ what, first, last string }{
		{"this network", "0.0.0.0", "0.255.255.255"},
		{"private 10", "10.0.0.0", "10.255.255.255"},
		{"carrier NAT", "100.64.0.0", "100.127.255.255"},
		{"loopback", "127.0.0.0", "127.255.255.255"},
		{"link-local", "169.254.0.0", "169.254.255.255"},
		{"private 172", "172.16.0.0", "172.31.255.255"},
		{"IETF assignments", "192.0.0.0", "192.0.0.255"},
		{"private 192", "192.168.0.0", "192.168.255.255"},
		{"benchmarking", "198.18.0.0", "198.19.255.255"},
		{"multicast", "224.0.0.0", "239.255.255.255"},
		{"reserved and broadcast", "240.0.0.0", "255.255.255.255"},
		{"unspecified and compatible", "::", "::ffff:ffff"},
		{"loopback 6", "::1", "::1"},
		{"compatible with loopback", "::127.0.0.1", "::127.0.0.1"},
		{"mapped loopback", "::ffff:127.0.0.1", "::ffff:127.0.0.1"},
		{"mapped private", "::ffff:10.0.0.1", "::ffff:192.168.1.1"},
		{"NAT64", "64:ff9b::", "64:ff9b::ffff:ffff"},
		{"local NAT64", "64:ff9b:1::", "64:ff9b:1:ffff:ffff:ffff:ffff:ffff"},
		{"assignments 6", "2001::", "2001:1ff:ffff:ffff:ffff:ffff:ffff:ffff"},
		{"Teredo", "2001:0:7f00:1::", "2001:0:ffff::1"},
		{"6to4", "2002::", "2002:ffff:ffff:ffff:ffff:ffff:ffff:ffff"},
		{"unique local", "fc00::", "fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"},
		{"link-local 6", "fe80::", "febf:ffff:ffff:ffff:ffff:ffff:ffff:ffff"},
		{"link-local 6 with a zone", "fe80::1%lo", "fe80::1%eth0"},
		{"loopback 6 with a zone", "::1%lo", "::1%lo"},
		{"site-local", "fec0::", "feff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"},
		{"multicast 6", "ff00::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"},
	} {
		for _, s := range []string{c.first, c.last} {
			if err := g.Check(netip.MustParseAddr(s)); !errors.Is(err, ErrDenied) {
				t.Errorf("%s: %s is allowed: %v", c.what, s, err)
			}
		}
	}
	if g.Check(netip.Addr{}) == nil {
		t.Error("no address is allowed")
	}
}

// The neighbours of the denied ranges are ordinary addresses.
func TestGuardAllows(t *testing.T) {
	g := New(nil)
	for _, s := range []string{
		"1.0.0.0", "9.255.255.255", "11.0.0.0", "100.63.255.255", "100.128.0.0", "126.255.255.255", "128.0.0.0",
		"169.253.255.255", "169.255.0.0", "172.15.255.255", "172.32.0.0", "191.255.255.255", "192.0.1.0", "192.167.255.255",
		"192.169.0.0", "198.17.255.255", "198.20.0.0", "223.255.255.255", "::ffff:8.8.8.8", "64:ff9a::1", "64:ff9c::1",
		"64:ff9b:2::1", "2001:200::1", "2001:4860:4860::8888", "2003::1", "2a00:1450::1", "fbff::1",
	} {
		if err := g.Check(netip.MustParseAddr(s)); err != nil {
			t.Errorf("%s: %v", s, err)
		}
	}
}

func TestGuardAllowedNetworks(t *testing.T) {
	g := New([]netip.Prefix{
		netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("fd00:1::/32"),
		netip.MustParsePrefix("64:ff9b::/96"), netip.MustParsePrefix("2002::/16"),
	})
	for s, want := range map[string]bool{
		"127.0.0.1": true, "::ffff:127.9.9.9": true, "10.0.0.1": false, "fd00:1::5": true, "fd00:2::5": false, "::1": false,
		// Translated addresses are as good as what is behind them.
		"64:ff9b::8.8.8.8": true, "64:ff9b::10.0.0.1": false, "64:ff9b::127.0.0.1": true,
		"2002:808:808::1": true, "2002:a00:1::1": false,
	} {
		if got := g.permits(netip.MustParseAddr(s)); got != want {
			t.Errorf("%s: permitted %v, want %v", s, got, want)
		}
		// None of those is public: what may pass was allowed by name.
		if got := g.Allowed(netip.MustParseAddr(s)); got != want {
			t.Errorf("%s: allowed by name %v, want %v", s, got, want)
		}
	}
	if g.Allowed(netip.MustParseAddr("8.8.8.8")) {
		t.Error("a public address is allowed by name")
	}
}

func TestGuardControl(t *testing.T) {
	g := New(nil)
	for addr, want := range map[string]bool{
		"8.8.8.8:25": true, "127.0.0.1:25": false, "[::1]:25": false, "[fe80::1%lo]:25": false, "[2a00::1]:25": true, "mx.test:25": false,
	} {
		if err := g.Control("tcp", addr, nil); (err == nil) != want {
			t.Errorf("%s: %v", addr, err)
		}
	}
}
