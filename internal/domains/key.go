package domains

import (
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"

	"postrider/internal/dkim"
	"postrider/internal/store"
)

// The algorithms of a selector, as in k=.
const (
	algorithmRSA     = "rsa"
	algorithmEd25519 = "ed25519"
)

// rsaBits: RFC 8301 3.2 demands 1024 and recommends 2048; more does not fit into
// a DNS answer of one datagram.
const rsaBits = 2048

// newSelectors makes a pair of keys. Their selectors are called pr-xxxx-rsa and
// pr-xxxx-ed with the same random xxxx: two installations that send for one
// domain, and a key that replaces another, never want the same DNS name.
func (d *Domains) newSelectors(domain string) ([]store.Selector, error) {
	pair := "pr-" + strings.ToLower(rand.Text()[:4]) + "-"
	rsaKey, err := rsa.GenerateKey(rand.Reader, rsaBits)
	if err != nil {
		return nil, fmt.Errorf("make RSA key: %w", err)
	}
	_, edKey, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make Ed25519 key: %w", err)
	}
	first, err := d.newSelector(domain, store.Selector{Name: pair + "rsa", Algorithm: algorithmRSA}, rsaKey)
	if err != nil {
		return nil, err
	}
	second, err := d.newSelector(domain, store.Selector{Name: pair + "ed", Algorithm: algorithmEd25519}, edKey)
	return []store.Selector{first, second}, err
}

func (d *Domains) newSelector(domain string, s store.Selector, key crypto.Signer) (store.Selector, error) {
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return s, fmt.Errorf("encode private key: %w", err)
	}
	public, err := publicKey(key)
	if err != nil {
		return s, fmt.Errorf("encode public key: %w", err)
	}
	s.Public = base64.StdEncoding.EncodeToString(public)
	s.Sealed = d.Secret.Seal(private, owner(domain, s.Name))
	s.CreatedAt = d.now()
	return s, nil
}

// publicKey gives the octets of p=: for RSA a SubjectPublicKeyInfo (RFC 6376
// 3.6.1 as everybody reads it, erratum 3017), for Ed25519 the bare 32 octets (RFC
// 8463 4).
func publicKey(key crypto.Signer) ([]byte, error) {
	switch public := key.Public().(type) {
	case ed25519.PublicKey:
		return public, nil
	case *rsa.PublicKey:
		return x509.MarshalPKIXPublicKey(public)
	}
	return nil, errors.New("neither RSA nor Ed25519")
}

// parse opens and parses keys, or takes them from memory.
func (d *Domains) parse(domain string, selectors []store.Selector) ([]dkim.Key, error) {
	var keys []dkim.Key
	for _, s := range selectors {
		id := owner(domain, s.Name) + "/" + s.Public
		key, ok := d.memory.key(id)
		if !ok {
			var err error
			if key, err = d.open(domain, s); err != nil {
				return nil, fmt.Errorf("key %s: %w", owner(domain, s.Name), err)
			}
			d.memory.keepKey(id, key)
		}
		keys = append(keys, key)
	}
	return keys, nil
}

func (d *Domains) open(domain string, s store.Selector) (dkim.Key, error) {
	private, err := d.Secret.Open(s.Sealed, owner(domain, s.Name))
	if err != nil {
		return dkim.Key{}, err
	}
	parsed, err := x509.ParsePKCS8PrivateKey(private)
	if err != nil {
		return dkim.Key{}, errors.New("the private key cannot be read") // the cause could show parts of it
	}
	signer, ok := parsed.(crypto.Signer)
	if !ok {
		return dkim.Key{}, errors.New("the private key cannot sign")
	}
	// What is signed must be what DNS was seen to publish.
	if public, err := publicKey(signer); err != nil || base64.StdEncoding.EncodeToString(public) != s.Public {
		return dkim.Key{}, errors.New("private and public key do not belong together")
	}
	return dkim.Key{Domain: domain, Selector: s.Name, Signer: signer}, nil
}

// owner names a key, for sealing and for who signed with it.
func owner(domain, selector string) string { return domain + "/" + selector }
