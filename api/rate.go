package api

import (
	"context"
	"fmt"
	"math"
	"net/netip"
	"sync"
	"time"

	"postrider/internal/email"
	"postrider/internal/store"
)

// A process leases a key's rate in blocks of a tenth of a second, and gives up what it
// did not use for leaseLife.
const (
	blocks    = 10
	leaseLife = time.Second
	maxRates  = 4096 // keys remembered
)

// rates spends the rate of each key: never a round trip per request. Over all
// processes a key gets its limit, and at most one block more for each.
type rates struct {
	store *store.Store
	limit int
	now   func() time.Time

	mu   sync.Mutex
	keys map[string]*keyRate
}

// keyRate is what this process has of one key's rate.
type keyRate struct {
	mu     sync.Mutex
	have   int       // leased and not used
	left   int       // in the bucket, as of the last lease
	leased time.Time // when
	dry    time.Time // until then there is nothing to lease
}

func newRates(s *store.Store, limit int, now func() time.Time) *rates {
	return &rates{store: s, limit: limit, now: now, keys: make(map[string]*keyRate)}
}

func (r *rates) of(key string) *keyRate {
	r.mu.Lock()
	defer r.mu.Unlock()
	k := r.keys[key]
	if k == nil {
		if len(r.keys) >= maxRates {
			clear(r.keys) // what they had is a tenth of a second's worth
		}
		k = &keyRate{}
		r.keys[key] = k
	}
	return k
}

// spend takes one request of a key's rate: how many are left, or how long to wait. A
// store that does not answer limits nobody: what is asked of it will fail by itself.
func (r *rates) spend(ctx context.Context, w email.World, key string) (left int, wait time.Duration) {
	k := r.of(key)
	k.mu.Lock()
	defer k.mu.Unlock()
	now := r.now()
	if now.Sub(k.leased) > leaseLife {
		k.have = 0
	}
	if k.have == 0 {
		if now.Before(k.dry) {
			return 0, k.dry.Sub(now)
		}
		got, err := r.store.Rates.Lease(ctx, w, key, r.limit, 2*r.limit, max(1, r.limit/blocks))
		if err != nil {
			return r.limit, 0
		}
		k.have, k.left, k.leased = got.Given, got.Left, now
		if got.Given == 0 {
			k.dry = now.Add(got.Wait)
			return 0, got.Wait
		}
	}
	k.have--
	return k.have + k.left, 0
}

// limitRate lets a request through, or refuses it, and says how much is left (the
// IETF's draft of RateLimit header fields).
func (d *door) limitRate(c *call) error {
	if d.rates.limit <= 0 {
		return nil
	}
	left, wait := d.rates.spend(c.Request.Context(), c.key.World, c.key.ID)
	c.Header("RateLimit-Policy", fmt.Sprintf(`"api";q=%d;w=1`, d.rates.limit))
	c.Header("RateLimit", fmt.Sprintf(`"api";r=%d;t=1`, left))
	if wait <= 0 {
		return nil
	}
	return tooMany("This API key makes more requests than it may. Try again in a moment.", wait)
}

func tooMany(detail string, wait time.Duration) *problem {
	return &problem{code: rateLimited, detail: detail, retryAfter: max(1, int(math.Ceil(wait.Seconds())))}
}

// Who fails to authenticate may do so strangerBurst times, and then once in
// strangerPause.
const (
	strangerBurst = 100
	strangerPause = time.Second
	maxStrangers  = 10_000
)

// strangers counts failed authentication by address, in this process. It is there to
// bound what guessing costs us; a key that is right is never held up, since many may
// come by one address.
type strangers struct {
	now func() time.Time

	mu   sync.Mutex
	free map[string]time.Time // when its failures will be forgotten
}

func newStrangers(now func() time.Time) *strangers {
	return &strangers{now: now, free: make(map[string]time.Time)}
}

// limit turns a refused key into rate_limited once there are too many from an address.
func (s *strangers) limit(address string, refused error) error {
	p, ok := refused.(*problem)
	if !ok || p.code != invalidAPIKey {
		return refused
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.now()
	if len(s.free) >= maxStrangers {
		clear(s.free)
	}
	free := s.free[network(address)]
	if free.Before(now) {
		free = now
	}
	if wait := free.Sub(now) - (strangerBurst-1)*strangerPause; wait > 0 {
		return tooMany("Too many requests with invalid API keys came from this address.", wait)
	}
	s.free[network(address)] = free.Add(strangerPause)
	return refused
}

// network is what one stranger has of addresses: one of IPv4, a /64 of IPv6.
func network(address string) string {
	a, err := netip.ParseAddr(address)
	if err != nil || a.Unmap().Is4() {
		return address
	}
	p, _ := a.WithZone("").Prefix(64) // of an IPv6 address it cannot fail
	return p.String()
}
