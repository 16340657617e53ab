// Package dkim signs mail by RFC 6376, with rsa-sha256 (RFC 8301: at least 2048 bits)
// and ed25519-sha256 (RFC 8463), both canonicalised relaxed/relaxed.
//
// The same arguments give the same bytes: the time of signing and of expiry are
// arguments, and both kinds of signature are deterministic. A retry can therefore
// make the signature anew instead of storing it. That is why the field is written
// here and not by a library: those known take the time from the clock.
//
// Every signature covers the message as it was given and none covers another, so
// that each stands or falls alone. The fields that decide what a reader sees are
// oversigned (RFC 6376 8.15): h= names them once more than they are present, so that
// adding one breaks the signature. There is never an l=, with which text could be
// appended (RFC 6376 8.2).
//
// It verifies nothing, finds no keys and knows no DNS.
//
//	key := dkim.Key{Domain: "acme.com", Selector: "pr1", Signer: rsaKey}
//	signed, err := dkim.Sign(raw, []dkim.Key{key}, m.Due(), m.ExpiresAt.Add(7*24*time.Hour))
package dkim

import (
	"bytes"
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"time"
)

// MinRSABits is the shortest RSA key that Sign takes. RFC 8301 3.2: signers should
// use 2048 bits.
const MinRSABits = 2048

// Key is one signing key, parsed once.
type Key struct {
	Domain, Selector string
	Signer           crypto.Signer // *rsa.PrivateKey of at least 2048 bits, or ed25519.PrivateKey
}

// Sign puts one DKIM-Signature per key before message (complete RFC 5322 bytes,
// 7-bit and with CRLF only), in the order of the keys, and returns the whole in a new
// slice. It is reproducible: signed is t=, expires is x= and must be later; both are
// whole seconds on the wire. A zero expires leaves x= out. The domain and selector
// of a key are host names in A-labels.
//
// It is an error if the message has not exactly one From, if it has no header
// section, if it is not clean as said above (RFC 6376 5.3: a signature over what a
// relay must still convert would break), or if a key is weak or of another kind.
// Errors name the domain and selector, never key material.
func Sign(message []byte, keys []Key, signed, expires time.Time) ([]byte, error) {
	if signed.Unix() <= 0 || !expires.IsZero() && expires.Unix() <= signed.Unix() {
		return nil, errors.New("sign: the time of expiry is not later than the time of signing, or there is none")
	}
	d, err := digest(message)
	if err != nil {
		return nil, fmt.Errorf("sign: %w", err)
	}
	d.signed, d.expires = signed, expires
	out := make([]byte, 0, len(message)+1024*len(keys))
	for i := range keys {
		out, err = d.appendSignature(out, &keys[i])
		if err != nil {
			return nil, fmt.Errorf("sign with %s/%s: %w", keys[i].Domain, keys[i].Selector, err)
		}
	}
	return append(out, message...), nil
}

// digested is what all signatures of a message share.
type digested struct {
	header          []byte   // the signed fields, canonicalised
	names           []string // of h=
	bodyHash        string   // of bh=
	signed, expires time.Time
}

// digest canonicalises a message and hashes its body.
func digest(message []byte) (*digested, error) {
	if err := checkClean(message); err != nil {
		return nil, err
	}
	fields, body, err := split(message)
	if err != nil {
		return nil, err
	}
	d := &digested{}
	d.header, d.names = selectFields(fields)
	hash := sha256.New()
	relaxedBody(hash, body)
	d.bodyHash = base64.StdEncoding.EncodeToString(hash.Sum(nil))
	return d, nil
}

// appendSignature appends the DKIM-Signature field of one key.
func (d *digested) appendSignature(dst []byte, key *Key) ([]byte, error) {
	algorithm, options, err := algorithmOf(key.Signer)
	if err != nil {
		return nil, err
	}
	if !isHostName(key.Domain) || !isHostName(key.Selector) {
		return nil, errors.New("domain or selector is not a host name")
	}
	start := len(dst)
	dst = d.appendUnsigned(dst, key, algorithm)
	// RFC 6376 3.7: the field itself comes last, with an empty b= and without CRLF.
	input := relaxedField(bytes.Clone(d.header), dst[start:])
	sum := sha256.Sum256(bytes.TrimSuffix(input, []byte("\r\n")))
	// RFC 8463 3: Ed25519 too signs the SHA-256 of the data. Neither algorithm puts
	// randomness into its signature.
	signature, err := key.Signer.Sign(rand.Reader, sum[:], options)
	if err != nil {
		return nil, fmt.Errorf("sign the hash: %w", err)
	}
	return appendFolded(dst, base64.StdEncoding.EncodeToString(signature)), nil
}

// algorithmOf names the algorithm of a key and what its Sign needs to be told.
func algorithmOf(signer crypto.Signer) (string, crypto.SignerOpts, error) {
	if signer == nil {
		return "", nil, errors.New("no key")
	}
	switch public := signer.Public().(type) {
	case *rsa.PublicKey:
		if public.N.BitLen() < MinRSABits {
			return "", nil, fmt.Errorf("RSA key has %d bits, fewer than %d", public.N.BitLen(), MinRSABits)
		}
		return "rsa-sha256", crypto.SHA256, nil
	case ed25519.PublicKey:
		return "ed25519-sha256", crypto.Hash(0), nil
	default:
		return "", nil, fmt.Errorf("no DKIM algorithm for a %T", public)
	}
}

// appendUnsigned appends the field up to and with b=.
func (d *digested) appendUnsigned(dst []byte, key *Key, algorithm string) []byte {
	f := folder{buf: dst, line: len(dst)}
	f.buf = append(f.buf, "DKIM-Signature:"...)
	f.tag("v=1;")
	f.tag("a=" + algorithm + ";")
	f.tag("c=relaxed/relaxed;")
	f.tag("d=" + key.Domain + ";")
	f.tag("s=" + key.Selector + ";")
	f.tag("t=" + strconv.FormatInt(d.signed.Unix(), 10) + ";")
	if !d.expires.IsZero() {
		f.tag("x=" + strconv.FormatInt(d.expires.Unix(), 10) + ";")
	}
	for i, name := range d.names {
		if i == 0 {
			f.tag("h=" + name)
		} else {
			f.part(":" + name)
		}
	}
	f.buf = append(f.buf, ';')
	f.tag("bh=" + d.bodyHash + ";")
	f.fold()
	return append(f.buf, " b="...)
}

// maxLine is the longest line of the field. RFC 5322 2.1.1 asks for 78; one is kept
// for a semicolon.
const maxLine = 77

// folder writes a field and folds it.
type folder struct {
	buf  []byte
	line int // index in buf where the current line starts
}

func (f *folder) fold() {
	f.buf = append(f.buf, '\r', '\n')
	f.line = len(f.buf)
}

// tag writes a space and a tag, on a new line if this one is full.
func (f *folder) tag(s string) {
	if len(f.buf)-f.line+1+len(s) > maxLine {
		f.fold()
	}
	f.buf = append(f.buf, ' ')
	f.buf = append(f.buf, s...)
}

// part continues a tag. RFC 6376 3.5: h= may be folded beside its colons.
func (f *folder) part(s string) {
	if len(f.buf)-f.line+len(s) > maxLine {
		f.fold()
		f.buf = append(f.buf, ' ')
	}
	f.buf = append(f.buf, s...)
}

// appendFolded appends base64 behind " b=", in lines of 72 characters, and ends the
// field. White space in b= is ignored (RFC 6376 3.5).
func appendFolded(dst []byte, s string) []byte {
	const width = 72
	for len(s) > width {
		dst = append(append(dst, s[:width]...), "\r\n "...)
		s = s[width:]
	}
	return append(append(dst, s...), '\r', '\n')
}

// isHostName tells whether s may be a domain or selector: labels of ASCII letters,
// digits, hyphens and underscores.
func isHostName(s string) bool {
	for label := range bytes.SplitSeq([]byte(s), []byte(".")) {
		if len(label) == 0 || len(label) > 63 {
			return false
		}
		for _, b := range label {
			if !('a' <= b && b <= 'z' || 'A' <= b && b <= 'Z' || '0' <= b && b <= '9' || b == '-' || b == '_') {
				return false
			}
		}
	}
	return len(s) <= 253
}
