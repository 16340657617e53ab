package store

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/redis/go-redis/v9"
)

// Domain is a sending domain with its signing keys, private halves sealed.
type Domain struct {
	ID         string
	Name       string // A-labels, lower case
	CreatedAt  time.Time
	CheckedAt  time.Time
	Status     string // pending, verified
	ReturnPath string // host of its own return path once its MX and SPF were seen right, else empty
	Selectors  []Selector
}

// Selector is one signing key and the DNS name it is published under.
type Selector struct {
	Name      string
	Algorithm string    // rsa, ed25519
	Public    string    // base64 as in p=
	Sealed    []byte    // private key, sealed
	SeenAt    time.Time // when its record was last seen right in DNS; zero: it must not sign
	CreatedAt time.Time
}

// Domains is the aggregate of sending domains. They belong to the installation,
// not to a world.
type Domains struct {
	rdb  redis.UniversalClient
	swap *redis.Script
}

type storedDomain struct {
	ID         string           `json:"i"`
	Created    int64            `json:"c"`
	Checked    int64            `json:"k,omitempty"`
	Status     string           `json:"s"`
	ReturnPath string           `json:"r,omitempty"`
	Selectors  []storedSelector `json:"l,omitempty"`
	Nonces     []string         `json:"o"` // of the last writes, newest first
}

type storedSelector struct {
	Name      string `json:"n"`
	Algorithm string `json:"a"`
	Public    string `json:"p"`
	Sealed    []byte `json:"x"`
	Seen      int64  `json:"s,omitempty"`
	Created   int64  `json:"c"`
}

// swapDomainScript replaces a domain if it is still what was read.
//
//	KEYS 1 the hash of domains
//	ARGV 1 name, 2 value as read (empty: none), 3 new value, 4 the write's nonce
//
// Returns 1, or 0 if another value stands there. Safe to run twice: the nonce is
// found in the value that stands, even if some other writes came between.
const swapDomainScript = `
local standing = redis.call('HGET', KEYS[1], ARGV[1]) or ''
if string.find(standing, ARGV[4], 1, true) then return 1 end
if standing ~= ARGV[2] then return 0 end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[3])
return 1
`

// keptNonces is how many writes may come between a write and its repetition.
const keptNonces = 8

func encodeDomain(d *Domain, nonces []string) ([]byte, error) {
	out := storedDomain{
		ID: d.ID, Created: toMS(d.CreatedAt), Checked: toMS(d.CheckedAt), Status: d.Status, ReturnPath: d.ReturnPath,
		Nonces: nonces,
	}
	for _, s := range d.Selectors {
		out.Selectors = append(out.Selectors, storedSelector{
			Name: s.Name, Algorithm: s.Algorithm, Public: s.Public, Sealed: s.Sealed, Seen: toMS(s.SeenAt), Created: toMS(s.CreatedAt),
		})
	}
	return json.Marshal(out)
}

func decodeDomain(name, raw string) (*Domain, error) {
	var s storedDomain
	if err := json.Unmarshal([]byte(raw), &s); err != nil {
		return nil, fmt.Errorf("decode domain %s: %w: %w", name, ErrBroken, err)
	}
	d := &Domain{
		ID: s.ID, Name: name, CreatedAt: fromMS(s.Created), CheckedAt: fromMS(s.Checked), Status: s.Status, ReturnPath: s.ReturnPath,
	}
	for _, l := range s.Selectors {
		d.Selectors = append(d.Selectors, Selector{
			Name: l.Name, Algorithm: l.Algorithm, Public: l.Public, Sealed: l.Sealed, SeenAt: fromMS(l.Seen), CreatedAt: fromMS(l.Created),
		})
	}
	return d, nil
}

// Add keeps a new domain. ErrAlreadyExists if its name is there.
func (d *Domains) Add(ctx context.Context, dom *Domain) error {
	ok, _, err := d.put(ctx, "", dom)
	if err != nil {
		return fmt.Errorf("add domain %s: %w", dom.Name, err)
	}
	if !ok {
		return fmt.Errorf("add domain %s: %w", dom.Name, ErrAlreadyExists)
	}
	return nil
}

// put writes dom in the place of the value before, if that still stands.
func (d *Domains) put(ctx context.Context, before string, dom *Domain) (ok bool, stored *Domain, err error) {
	var standing storedDomain
	if before != "" {
		if err := json.Unmarshal([]byte(before), &standing); err != nil {
			return false, nil, fmt.Errorf("%w: %w", ErrBroken, err)
		}
	}
	nonce := rand.Text()[:16]
	nonces := append([]string{nonce}, standing.Nonces[:min(len(standing.Nonces), keptNonces-1)]...)
	raw, err := encodeDomain(dom, nonces)
	if err != nil {
		return false, nil, err
	}
	swapped, err := d.swap.Run(ctx, d.rdb, []string{domainsKey}, dom.Name, before, raw, nonce).Int()
	if err != nil || swapped != 1 {
		return false, nil, err
	}
	stored, err = decodeDomain(dom.Name, string(raw))
	return true, stored, err
}

func (d *Domains) read(ctx context.Context, name string) (raw string, dom *Domain, err error) {
	raw, err = d.rdb.HGet(ctx, domainsKey, name).Result()
	if errors.Is(err, redis.Nil) {
		return "", nil, ErrNotFound
	}
	if err != nil {
		return "", nil, fmt.Errorf("read domain %s: %w", name, err)
	}
	dom, err = decodeDomain(name, raw)
	return raw, dom, err
}

// Get reads a domain by its name. ErrNotFound if there is none.
func (d *Domains) Get(ctx context.Context, name string) (*Domain, error) {
	_, dom, err := d.read(ctx, name)
	return dom, err
}

// updateTries bounds how often an update is tried against others.
const updateTries = 20

// Update changes a domain and returns it as stored. change sees the domain as it
// is, must not change its name, and is called again if another update came
// between; its error ends the update. ErrNotFound if there is no such domain.
func (d *Domains) Update(ctx context.Context, name string, change func(*Domain) error) (*Domain, error) {
	for range updateTries {
		before, dom, err := d.read(ctx, name)
		if err != nil {
			return nil, err
		}
		if err := change(dom); err != nil {
			return nil, err
		}
		if dom.Name != name {
			return nil, fmt.Errorf("update domain %s: its name must not change", name)
		}
		ok, stored, err := d.put(ctx, before, dom)
		if err != nil {
			return nil, fmt.Errorf("update domain %s: %w", name, err)
		}
		if ok {
			return stored, nil
		}
	}
	return nil, fmt.Errorf("update domain %s: others kept changing it", name)
}

// List reads all domains, by name.
func (d *Domains) List(ctx context.Context) ([]*Domain, error) {
	all, err := d.rdb.HGetAll(ctx, domainsKey).Result()
	if err != nil {
		return nil, fmt.Errorf("list domains: %w", err)
	}
	var list []*Domain
	for _, name := range slices.Sorted(maps.Keys(all)) {
		dom, err := decodeDomain(name, all[name])
		if err != nil {
			return nil, err
		}
		list = append(list, dom)
	}
	return list, nil
}
