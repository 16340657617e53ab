package api

import (
	"context"
	"fmt"
	"math"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"github.com/gin-gonic/gin"

	"postrider/internal/apikey"
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
	limit int // of keys without one of their own; 0: none
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
func (r *rates) spend(ctx context.Context, w email.World, key string, limit int) (left int, wait time.Duration) {
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
		got, err := r.store.Rates.Lease(ctx, w, key, limit, 2*limit, max(1, limit/blocks))
		if err != nil {
			return limit, 0
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
	limit := apikey.Rate(c.key, d.rates.limit)
	if limit <= 0 {
		return nil
	}
	left, wait := d.rates.spend(c.Request.Context(), c.key.World, c.key.ID, limit)
	c.Header("RateLimit-Policy", fmt.Sprintf(`"api";q=%d;w=1`, limit))
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

// strangers counts failed authentication by whom it is of, in this process: addresses,
// or the beginnings of the keys that were tried. It is there to bound what guessing
// costs us and to tell of it; a key that is right is never held up, since many may come
// by one address.
type strangers struct {
	now func() time.Time

	mu   sync.Mutex
	free map[string]time.Time // when its failures will be forgotten
}

func newStrangers(now func() time.Time) *strangers {
	return &strangers{now: now, free: make(map[string]time.Time)}
}

// limit turns a refused key into rate_limited once there are too many of somebody.
func (s *strangers) limit(of, detail string, refused error) error {
	p, ok := refused.(*problem)
	if !ok || p.code != invalidAPIKey || of == "" {
		return refused
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.now()
	if len(s.free) >= maxStrangers {
		clear(s.free)
	}
	free := s.free[of]
	if free.Before(now) {
		free = now
	}
	if wait := free.Sub(now) - (strangerBurst-1)*strangerPause; wait > 0 {
		return tooMany(detail, wait)
	}
	s.free[of] = free.Add(strangerPause)
	return refused
}

// slowDown counts a refusal against the address that it goes to, and against the keys
// that begin as this one does: somebody who knows a beginning may have many addresses.
func (d *door) slowDown(g *gin.Context, refused error) error {
	refused = d.strangers.limit(network(g.ClientIP()), "Too many requests with invalid API keys came from this address.", refused)
	return d.guesses.limit(beginning(g.Request.Header), "Too many requests came with invalid API keys that begin as this one does.", refused)
}

// beginning is what may be shown of the key that was tried; empty if it is none.
func beginning(h http.Header) string {
	secret, err := bearer(h)
	if _, ok := apikey.WorldOf(secret); err != nil || !ok || len(secret) < apikey.Shown {
		return ""
	}
	return secret[:apikey.Shown]
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
