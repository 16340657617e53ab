// Package track makes and reads the marks by which a delivery is known when it
// comes back: today the variable envelope return path (VERP), a reverse-path that
// names the envelope it was sent for.
//
// It decides nothing about what a returned mail means and stores nothing. A
// reverse-path is b-<token>@<return-path domain>. The token is 29 octets, written
// as 47 characters of Crockford's base32 in lower case, as ids are (no
// look-alikes, and mail systems that change the case of a local part do no harm):
//
//	16  the UUID of the message
//	 2  the envelope's number, big-endian
//	 1  the id of the MAC key
//	10  HMAC-SHA256 over the 19 octets before, truncated to 80 bits (RFC 2104 5)
//
// It holds no attempt number, so every attempt shows the same reverse-path, as
// greylisting servers want (RFC 6647).
//
//	marks := track.New(secret.Derive("reverse path"), 1)
//	from, err := marks.ReversePath(message.ID, 0, "bounces.example.org")
//	id, envelope, err := marks.Read("B-06BR...")
package track

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base32"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"strings"

	"github.com/google/uuid"

	"postrider/internal/email"
)

// prefix tells a reverse-path from other local parts of the same domain.
const prefix = "b-"

// The parts of a token, in octets.
const (
	uuidSize     = 16
	envelopeSize = 2
	macSize      = 10
	signedSize   = uuidSize + envelopeSize + 1
	tokenSize    = signedSize + macSize
)

// tokenLength is the token's length in characters.
const tokenLength = (tokenSize*8 + 4) / 5

// maxAddress is the longest forward- or reverse-path without its angle brackets
// (RFC 5321 4.5.3.1.3).
const maxAddress = 254

// ErrNotOurs is returned for a local part that this installation did not make:
// another form, a wrong MAC, or the key of another installation.
var ErrNotOurs = errors.New("not a reverse-path of ours")

// Marks makes and reads the marks by which a delivery is known when it returns.
// It is safe for concurrent use.
type Marks struct {
	secret [32]byte
	keyID  uint8
}

// New takes the secret that the MAC is keyed with, and its id (one octet in the
// token, so that a later key can be told from this one).
func New(secret [32]byte, keyID uint8) *Marks { return &Marks{secret: secret, keyID: keyID} }

// ReversePath returns b-<token>@domain for one envelope of a message. It is the
// same for the same arguments. envelope is 0 to 65535, domain a name in A-labels.
func (m *Marks) ReversePath(messageID string, envelope int, domain string) (string, error) {
	id, err := email.ParseID(email.MessagePrefix, messageID)
	if err != nil {
		return "", fmt.Errorf("make reverse-path: message id: %w", err)
	}
	if envelope < 0 || envelope > math.MaxUint16 {
		return "", fmt.Errorf("make reverse-path: envelope %d is out of range", envelope)
	}
	path := prefix + encoding().EncodeToString(m.token(id, uint16(envelope))) + "@" + domain
	if !validDomain(domain) || len(path) > maxAddress {
		return "", fmt.Errorf("make reverse-path: %q is no domain for it", domain)
	}
	return path, nil
}

// Read verifies the local part of a reverse-path, in any case, and says which
// envelope it names. The error is ErrNotOurs whatever is wrong with it.
func (m *Marks) Read(localPart string) (messageID string, envelope int, err error) {
	if len(localPart) != len(prefix)+tokenLength {
		return "", 0, ErrNotOurs
	}
	lower := strings.ToLower(localPart)
	digits, ok := strings.CutPrefix(lower, prefix)
	if !ok {
		return "", 0, ErrNotOurs
	}
	token, err := encoding().DecodeString(digits)
	// Three bits of the last character carry nothing: they must be zero, so that
	// an envelope has one reverse-path only.
	if err != nil || len(token) != tokenSize || encoding().EncodeToString(token) != digits {
		return "", 0, ErrNotOurs
	}
	id := uuid.UUID(token[:uuidSize])
	number := binary.BigEndian.Uint16(token[uuidSize:])
	if !hmac.Equal(token, m.token(id, number)) {
		return "", 0, ErrNotOurs
	}
	return email.FormatID(email.MessagePrefix, id), int(number), nil
}

// token makes the octets of a token.
func (m *Marks) token(id uuid.UUID, envelope uint16) []byte {
	token := make([]byte, 0, signedSize+sha256.Size)
	token = append(token, id[:]...)
	token = binary.BigEndian.AppendUint16(token, envelope)
	token = append(token, m.keyID)
	mac := hmac.New(sha256.New, m.secret[:])
	mac.Write(token)
	return mac.Sum(token)[:tokenSize]
}

// String says nothing of the key.
func (m *Marks) String() string { return fmt.Sprintf("marks of key %d", m.keyID) }

// GoString says nothing of the key either.
func (m *Marks) GoString() string { return m.String() }

func encoding() *base32.Encoding {
	return base32.NewEncoding("0123456789abcdefghjkmnpqrstvwxyz").WithPadding(base32.NoPadding)
}

// validDomain keeps what would break the MAIL command out of it.
func validDomain(domain string) bool {
	for label := range strings.SplitSeq(domain, ".") {
		if label == "" || len(label) > 63 {
			return false
		}
		for _, c := range []byte(label) {
			letter := c|0x20 >= 'a' && c|0x20 <= 'z'
			if !letter && (c < '0' || c > '9') && c != '-' {
				return false
			}
		}
	}
	return true
}
