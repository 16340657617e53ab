package smtpclient

import (
	"net/netip"
	"sync"
	"time"
)

const (
	silenceKept   = 10 * time.Minute // how long an address that did not answer is tried last
	maxSilent     = 1024             // addresses remembered
	familySilence = 3                // addresses in a row: then it is the whole family, most likely our side
)

// silence remembers which addresses took the whole time for a connection and gave none,
// so that not every mail waits for them again. They are still tried, behind the others
// of their host: nothing is refused for what was once. If only addresses of one family
// are silent, as IPv6 is where packets to it vanish, all of that family come last.
type silence struct {
	mu       sync.Mutex
	until    map[netip.Addr]time.Time
	families [2]struct { // IPv4, IPv6
		inARow int
		until  time.Time
	}
}

func family(a netip.Addr) int {
	if a.Unmap().Is4() {
		return 0
	}
	return 1
}

// add notes that an address did not answer in time.
func (s *silence) add(addr netip.Addr, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.until == nil {
		s.until = make(map[netip.Addr]time.Time)
	}
	for a, until := range s.until {
		if len(s.until) < maxSilent && now.Before(until) {
			continue
		}
		delete(s.until, a)
	}
	f := &s.families[family(addr)]
	if _, known := s.until[addr]; !known {
		f.inARow++
	}
	s.until[addr] = now.Add(silenceKept)
	if f.inARow >= familySilence {
		f.until = now.Add(silenceKept)
	}
}

// answered notes that a connection to an address was made.
func (s *silence) answered(addr netip.Addr) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.until, addr)
	f := &s.families[family(addr)]
	f.inARow, f.until = 0, time.Time{}
}

// expected reports whether an address is likely to be silent.
func (s *silence) expected(addr netip.Addr, now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.likely(addr, now)
}

func (s *silence) likely(addr netip.Addr, now time.Time) bool {
	return now.Before(s.until[addr]) || now.Before(s.families[family(addr)].until)
}

// order puts the addresses that are likely to be silent behind the others.
func (s *silence) order(addrs []netip.AddrPort, now time.Time) []netip.AddrPort {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.until) == 0 {
		return addrs
	}
	sorted := make([]netip.AddrPort, 0, 2*len(addrs))
	var last []netip.AddrPort
	for _, a := range addrs {
		if s.likely(a.Addr(), now) {
			last = append(last, a)
			continue
		}
		sorted = append(sorted, a)
	}
	return append(sorted, last...)
}
