// Package secret holds the installation's one secret: 32 octets that seal what
// is kept at rest (private DKIM keys) and from which every other key is derived.
//
// It is not a key store: it knows one secret, and what it sealed is kept
// elsewhere. Sealing is XChaCha20-Poly1305 with a random nonce; the owner of what
// is sealed is authenticated with it, so that a sealed value moved to another
// owner does not open. Keys are derived with HKDF-SHA256 (RFC 5869).
//
//	s, err := secret.Load("/var/lib/postrider")
//	sealed := s.Seal(privateKey, "acme.com/pr1")
//	plain, err := s.Open(sealed, "acme.com/pr1")
package secret

import (
	"bytes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"strings"

	"golang.org/x/crypto/chacha20poly1305"
)

// size is the length of the secret in octets.
const size = 32

// A sealed value starts with the octet format and the key id, so that a later
// format or a second key can be told from this one.
const (
	format     = 1
	idSize     = 4
	prefixSize = 1 + idSize
)

const redacted = "[secret]"

// Errors of Open.
var (
	// ErrOtherKey: the value was sealed with another secret.
	ErrOtherKey = errors.New("sealed with another secret")
	// ErrSealed: the value was changed, cut, or belongs to another owner.
	ErrSealed = errors.New("sealed value does not open")
)

// Secret is the installation's key. It prints as [secret] whatever the verb.
type Secret struct {
	key    [size]byte
	prefix [prefixSize]byte
	aead   cipher.AEAD
}

// New makes a random secret, for dev and tests.
func New() *Secret {
	var key [size]byte
	rand.Read(key[:]) // never fails: crypto/rand ends the program instead
	return fromKey(key)
}

// Parse reads a secret written as base64 of 32 octets, with or without padding.
// Its errors do not repeat the input.
func Parse(base64Key string) (*Secret, error) {
	text := strings.TrimRight(strings.TrimSpace(base64Key), "=")
	raw, err := base64.RawStdEncoding.Strict().DecodeString(text)
	if err != nil {
		return nil, errors.New("parse secret key: not base64")
	}
	if len(raw) != size {
		return nil, fmt.Errorf("parse secret key: %d octets, want %d (make one with: openssl rand -base64 %d)", len(raw), size, size)
	}
	return fromKey([size]byte(raw)), nil
}

func fromKey(key [size]byte) *Secret {
	s := &Secret{key: key}
	s.prefix[0] = format
	id := s.derive("key id")
	copy(s.prefix[1:], id[:idSize])
	sealing := s.derive("seal")
	aead, err := chacha20poly1305.NewX(sealing[:])
	if err != nil { // only for a key of the wrong length, which the type rules out
		panic(err)
	}
	s.aead = aead
	return s
}

// Seal encrypts plain for owner: format, key id, nonce, then the ciphertext.
func (s *Secret) Seal(plain []byte, owner string) []byte {
	sealed := make([]byte, prefixSize+chacha20poly1305.NonceSizeX, prefixSize+chacha20poly1305.NonceSizeX+len(plain)+chacha20poly1305.Overhead)
	copy(sealed, s.prefix[:])
	nonce := sealed[prefixSize:]
	rand.Read(nonce)
	return s.aead.Seal(sealed, nonce, plain, s.additional(owner))
}

// Open returns what Seal encrypted for the same owner. The error is ErrOtherKey
// if another secret sealed it, else ErrSealed.
func (s *Secret) Open(sealed []byte, owner string) ([]byte, error) {
	if len(sealed) < prefixSize+chacha20poly1305.NonceSizeX+chacha20poly1305.Overhead || sealed[0] != format {
		return nil, ErrSealed
	}
	if !bytes.Equal(sealed[:prefixSize], s.prefix[:]) {
		return nil, ErrOtherKey
	}
	nonce := sealed[prefixSize:][:chacha20poly1305.NonceSizeX]
	plain, err := s.aead.Open(nil, nonce, sealed[prefixSize+len(nonce):], s.additional(owner))
	if err != nil {
		return nil, ErrSealed
	}
	return plain, nil
}

// additional is the data authenticated beside the ciphertext. The prefix has a
// fixed length, so no two owners give the same octets.
func (s *Secret) additional(owner string) []byte {
	return append(s.prefix[:len(s.prefix):len(s.prefix)], owner...)
}

// Derive gives a key for one purpose. Keys of different purposes are
// independent, and none tells anything about the secret.
func (s *Secret) Derive(purpose string) [32]byte { return s.derive("for " + purpose) }

// Check gives a value that tells two secrets apart and tells nothing of either:
// kept beside the data, it shows that a process was started with the wrong one.
func (s *Secret) Check() string {
	check := s.derive("check")
	return hex.EncodeToString(check[:16])
}

func (s *Secret) derive(info string) [32]byte {
	key, err := hkdf.Key(sha256.New, s.key[:], nil, "postrider "+info, size)
	if err != nil { // only for lengths that HKDF cannot give
		panic(err)
	}
	return [32]byte(key)
}

// Format prints [secret] for every verb.
func (s *Secret) Format(f fmt.State, _ rune) { fmt.Fprint(f, redacted) }

// String hides the secret.
func (s *Secret) String() string { return redacted }

// GoString hides the secret from %#v.
func (s *Secret) GoString() string { return redacted }

// LogValue hides the secret from slog.
func (s *Secret) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalText hides the secret from encoders.
func (s *Secret) MarshalText() ([]byte, error) { return []byte(redacted), nil }
