package domains

import (
	"maps"
	"sync"
	"time"

	"postrider/internal/dkim"
	"postrider/internal/store"
)

// Bounds of what is remembered.
const (
	keptFor    = 5 * time.Second
	maxDomains = 4096
	maxKeys    = 4096
)

// memory saves a round trip to the store and the parsing of keys for every mail.
// Its zero value is empty.
type memory struct {
	mu      sync.Mutex
	domains map[string]remembered
	keys    map[string]dkim.Key // by owner and public key: a key never changes
	forgets int
}

type remembered struct {
	domain *store.Domain // nil: there is none
	until  time.Time
}

func (m *memory) domain(name string, now time.Time) (*store.Domain, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	r, ok := m.domains[name]
	return r.domain, ok && now.Before(r.until)
}

// generation tells what was read before a change from what was read after it.
func (m *memory) generation() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.forgets
}

func (m *memory) keepDomain(name string, dom *store.Domain, now time.Time, generation int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.forgets != generation {
		return
	}
	if len(m.domains) >= maxDomains {
		maps.DeleteFunc(m.domains, func(_ string, r remembered) bool { return !now.Before(r.until) })
	}
	if m.domains == nil || len(m.domains) >= maxDomains {
		m.domains = map[string]remembered{}
	}
	m.domains[name] = remembered{dom, now.Add(keptFor)}
}

// forget makes a change of a domain seen at once in this process.
func (m *memory) forget(name string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.forgets++
	delete(m.domains, name)
}

func (m *memory) key(id string) (dkim.Key, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	k, ok := m.keys[id]
	return k, ok
}

func (m *memory) keepKey(id string, k dkim.Key) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.keys == nil || len(m.keys) >= maxKeys {
		m.keys = map[string]dkim.Key{}
	}
	m.keys[id] = k
}
