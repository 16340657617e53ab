// Package domains makes, checks and uses what a sending domain needs in DNS: its
// DKIM keys (RFC 6376, RFC 8301, RFC 8463), a return path of its own with MX and
// SPF (RFC 7208), and a DMARC policy (RFC 7489).
//
// A domain gets an RSA-2048 and an Ed25519 key when it is added; the private
// halves are sealed before they are stored. A key signs only once its record was
// seen in DNS, and a domain counts as verified once its RSA record was. The
// package publishes nothing itself, composes no signature (package dkim does),
// and never takes a state back because a lookup failed.
//
//	d := &domains.Domains{Store: s.Domains, Secret: key, Resolver: resolver}
//	dom, records, err := d.Add(ctx, "acme.com") // publish records, then
//	dom, records, err = d.Check(ctx, "acme.com")
//	keys, err := d.Keys(ctx, "acme.com", nil)
package domains

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"golang.org/x/net/publicsuffix"

	"postrider/internal/dkim"
	"postrider/internal/email"
	"postrider/internal/secret"
	"postrider/internal/store"
	"postrider/smtpclient/dns"
)

// The states of a domain (Pending, Verified) and of a record (all).
const (
	Pending  = "pending"  // not looked up yet
	Verified = "verified" // seen in DNS as it should be
	Missing  = "missing"  // nothing of the kind in DNS
	Mismatch = "mismatch" // something else in DNS
)

// maxName leaves room for a selector before the name, and for a reverse-path at
// its bounce host.
const maxName = 190

// ErrName: not a name that mail can be sent from.
var ErrName = errors.New("not a domain to send from")

// Domains makes, checks and uses the DNS records and keys of sending domains. It
// is safe for concurrent use; its exported fields are set before first use.
type Domains struct {
	Store            *store.Domains
	Secret           *secret.Secret
	Resolver         dns.Resolver
	ReturnPathDomain string           // POSTRIDER_RETURN_PATH_DOMAIN, may be empty: then there are no return path records
	Now              func() time.Time // time.Now if nil

	memory memory
}

// Add makes keys for a domain and stores it. name may be an international name.
// Errors wrap ErrName for a name that cannot send mail, and
// store.ErrAlreadyExists.
func (d *Domains) Add(ctx context.Context, name string) (*store.Domain, []Record, error) {
	name, err := parseName(name)
	if err != nil {
		return nil, nil, fmt.Errorf("add domain: %w", err)
	}
	switch _, err := d.Store.Get(ctx, name); {
	case err == nil:
		return nil, nil, fmt.Errorf("add domain %s: %w: check shows its records, and its keys stay as they are", name, store.ErrAlreadyExists)
	case !errors.Is(err, store.ErrNotFound):
		return nil, nil, fmt.Errorf("add domain %s: %w", name, err)
	}
	dom := &store.Domain{ID: email.NewID(email.DomainPrefix), Name: name, CreatedAt: d.now(), Status: Pending}
	if dom.Selectors, err = d.newSelectors(name); err != nil {
		return nil, nil, fmt.Errorf("add domain %s: %w", name, err)
	}
	if err := d.Store.Add(ctx, dom); err != nil {
		return nil, nil, fmt.Errorf("add domain %s: %w", name, err)
	}
	d.memory.forget(name)
	return dom, d.Records(dom), nil
}

// Verified reports whether a From domain counts as verified - itself, not one of
// its parents - and its return path host if it has one of its own. name is in
// A-labels. Answers are kept for some seconds. A domain that was never added is
// not verified, and no error.
func (d *Domains) Verified(ctx context.Context, name string) (ok bool, returnPath string, err error) {
	dom, err := d.recall(ctx, strings.ToLower(name))
	if err != nil || dom == nil {
		return false, "", err
	}
	return dom.Status == Verified, dom.ReturnPath, nil
}

// ID is the id of a domain, in A-labels; empty for one that was never added. Answers
// are kept for some seconds.
func (d *Domains) ID(ctx context.Context, name string) (string, error) {
	dom, err := d.recall(ctx, strings.ToLower(name))
	if err != nil || dom == nil {
		return "", err
	}
	return dom.ID, nil
}

// Keys gives the parsed keys to sign with for a From domain. With selectors nil:
// those whose record was seen, none for a domain that was never added. Otherwise
// exactly those named ("domain/selector"), in their order; one that does not
// exist is an error that wraps store.ErrNotFound. Parsed keys are kept.
func (d *Domains) Keys(ctx context.Context, name string, selectors []string) ([]dkim.Key, error) {
	name = strings.ToLower(name)
	dom, err := d.recall(ctx, name)
	if err != nil {
		return nil, err
	}
	if selectors == nil {
		return d.parse(name, seen(dom))
	}
	chosen, ok := choose(name, dom, selectors)
	if !ok {
		// It may be newer than what is remembered.
		d.memory.forget(name)
		if dom, err = d.recall(ctx, name); err != nil {
			return nil, err
		}
		if chosen, ok = choose(name, dom, selectors); !ok {
			return nil, fmt.Errorf("keys of %s: a selector it is to be signed with: %w", name, store.ErrNotFound)
		}
	}
	return d.parse(name, chosen)
}

func seen(dom *store.Domain) (chosen []store.Selector) {
	if dom == nil {
		return nil
	}
	for _, s := range dom.Selectors {
		if !s.SeenAt.IsZero() {
			chosen = append(chosen, s)
		}
	}
	return chosen
}

func choose(name string, dom *store.Domain, selectors []string) (chosen []store.Selector, ok bool) {
	byName := map[string]store.Selector{}
	if dom != nil {
		for _, s := range dom.Selectors {
			byName[owner(name, s.Name)] = s
		}
	}
	for _, wanted := range selectors {
		s, ok := byName[wanted]
		if !ok {
			return nil, false
		}
		chosen = append(chosen, s)
	}
	return chosen, true
}

// recall reads a domain, from memory if it was read within some seconds; nil if
// there is none. The result is shared: it must not be changed.
func (d *Domains) recall(ctx context.Context, name string) (*store.Domain, error) {
	if dom, ok := d.memory.domain(name, d.now()); ok {
		return dom, nil
	}
	generation := d.memory.generation()
	dom, err := d.Store.Get(ctx, name)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return nil, fmt.Errorf("read domain %s: %w", name, err)
	}
	if err != nil {
		dom = nil
	}
	d.memory.keepDomain(name, dom, d.now(), generation)
	return dom, nil
}

func (d *Domains) now() time.Time {
	if d.Now == nil {
		return time.Now()
	}
	return d.Now()
}

// parseName gives a name as it is stored: A-labels in lower case.
func parseName(name string) (string, error) {
	given := name
	name, err := email.ParseDomain(strings.TrimSuffix(strings.TrimSpace(name), "."))
	if err != nil {
		why := strings.TrimPrefix(err.Error(), email.ErrMailbox.Error()+": ")
		return "", fmt.Errorf("%.80q is %w: it %s", given, ErrName, why)
	}
	if len(name) > maxName {
		return "", fmt.Errorf("%.80q is %w: it is longer than %d octets", given, ErrName, maxName)
	}
	if suffix, icann := publicsuffix.PublicSuffix(name); icann && suffix == name {
		return "", fmt.Errorf("%s is %w: it is a public suffix, under which others have their domains", name, ErrName)
	}
	return name, nil
}
