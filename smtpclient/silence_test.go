package smtpclient

import (
	"fmt"
	"net/netip"
	"testing"
	"time"
)

func ap(s string) netip.AddrPort { return netip.AddrPortFrom(netip.MustParseAddr(s), 25) }

func TestSilentAddressesComeLast(t *testing.T) {
	var s silence
	now := time.Unix(1_000_000, 0)
	both := []netip.AddrPort{ap("2001:db8::1"), ap("192.0.2.1"), ap("2001:db8::2"), ap("192.0.2.2")}
	wants := func(what, want string) {
		t.Helper()
		var got string
		for _, a := range s.order(both, now) {
			got += a.Addr().String() + " "
		}
		if got != want {
			t.Errorf("%s: %s; want %s", what, got, want)
		}
	}
	first := "2001:db8::1 192.0.2.1 2001:db8::2 192.0.2.2 "
	wants("nothing known", first)
	s.add(both[0].Addr(), now)
	wants("one address", "192.0.2.1 2001:db8::2 192.0.2.2 2001:db8::1 ")
	s.answered(both[0].Addr())
	wants("it answers again", first)
	for i := range familySilence {
		s.add(netip.MustParseAddr(fmt.Sprintf("2001:db8:1::%d", i)), now)
	}
	wants("a family", "192.0.2.1 192.0.2.2 2001:db8::1 2001:db8::2 ")
	now = now.Add(silenceKept)
	wants("later", first)
	for range familySilence + 1 {
		s.add(both[1].Addr(), now)
	}
	wants("one address again and again", "2001:db8::1 2001:db8::2 192.0.2.2 192.0.2.1 ")
	s.add(netip.MustParseAddr("192.0.2.9"), now)
	s.answered(netip.MustParseAddr("192.0.2.8"))
	s.add(netip.MustParseAddr("192.0.2.10"), now)
	wants("some of a family answer", "2001:db8::1 2001:db8::2 192.0.2.2 192.0.2.1 ")
}

func TestSilenceIsBounded(t *testing.T) {
	var s silence
	now := time.Unix(1_000_000, 0)
	for i := range 2 * maxSilent {
		s.add(netip.AddrFrom4([4]byte{192, 0, byte(i >> 8), byte(i)}), now)
	}
	if len(s.until) > maxSilent {
		t.Errorf("%d addresses", len(s.until))
	}
}
