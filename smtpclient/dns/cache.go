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
	firstFault  = 30 * time.Second
	maxFault    = 5 * time.Minute // RFC 2308 7.1, 7.2
	evictLook   = 16              // entries looked at to make room for one
)

// cache keeps answers, positive and negative, and failures, for a bounded time and
// in bounded number.
type cache struct {
	floor time.Duration // the shortest time an answer is kept
	fault time.Duration // how long a first failure is kept; each that follows twice as long
	now   func() time.Time

	mu      sync.Mutex
	entries map[question]entry
}

type entry struct {
	answer  answer
	expires time.Time
	failure error         // instead of an answer
	pause   time.Duration // how long that was kept
}

// get gives what is kept of a question and holds.
func (c *cache) get(q question) (entry, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e, ok := c.entries[q]
	if !ok || !c.now().Before(e.expires) {
		return entry{}, false
	}
	return e, true
}

// fail keeps a failure. An answer that still holds is better.
func (c *cache) fail(q question, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now, e := c.now(), c.entries[q]
	if c.fault <= 0 || (e.failure == nil && now.Before(e.expires)) {
		return
	}
	pause := c.fault
	if e.failure != nil && now.Sub(e.expires) < maxFault {
		pause = min(2*e.pause, maxFault)
	}
	c.store(q, entry{expires: now.Add(pause), failure: err, pause: pause})
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
	c.store(q, entry{answer: a, expires: c.now().Add(ttl)})
}

func (c *cache) store(q question, e entry) {
	if _, ok := c.entries[q]; !ok && len(c.entries) >= maxEntries {
		c.evict()
	}
	c.entries[q] = e
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
