package dns

import (
	"sync"
	"time"
)

// Bounds of the cache.
const (
	maxEntries  = 10_000
	maxKept     = 4 << 10 // octets of one answer
	maxPositive = time.Hour
	maxNegative = 5 * time.Minute
	minKept     = 5 * time.Second
	evictLook   = 16 // entries looked at to make room for one
)

// cache keeps answers, positive and negative, for a bounded time and in bounded
// number.
type cache struct {
	floor time.Duration // the shortest time an answer is kept
	now   func() time.Time

	mu      sync.Mutex
	entries map[question]entry
}

type entry struct {
	answer  answer
	expires time.Time
}

func (c *cache) get(q question) (answer, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e, ok := c.entries[q]
	if !ok || !c.now().Before(e.expires) {
		return answer{}, false
	}
	return e.answer, true
}

func (c *cache) put(q question, a answer) {
	ttl := min(max(a.ttl, c.floor), maxPositive)
	if a.negative {
		ttl = min(ttl, maxNegative)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	// What is not kept now must not leave an older answer behind.
	delete(c.entries, q)
	if a.nosoa || ttl <= 0 || a.size() > maxKept {
		return
	}
	if len(c.entries) >= maxEntries {
		c.evict()
	}
	c.entries[q] = entry{a, c.now().Add(ttl)}
}

// evict makes room: of some entries, which the map picks at random, those that
// have expired, or else the one that would expire first.
func (c *cache) evict() {
	var first question
	var expires time.Time
	looked, removed := 0, false
	for q, e := range c.entries {
		if !c.now().Before(e.expires) {
			delete(c.entries, q)
			removed = true
		} else if expires.IsZero() || e.expires.Before(expires) {
			first, expires = q, e.expires
		}
		if looked++; looked == evictLook {
			break
		}
	}
	if !removed {
		delete(c.entries, first)
	}
}
