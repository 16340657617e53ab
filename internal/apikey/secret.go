package apikey

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"hash/crc32"
	"math/big"
	"strings"

	"postrider/internal/email"
)

// The form of a secret (api.md 2): a prefix that secret scanners know, 32 random bytes
// in base62, and a checksum, so that a mistyped key costs no look-up.
const (
	livePrefix     = "pr_live_"
	testPrefix     = "pr_test_"
	randomDigits   = 43 // 62^43 > 2^256
	checksumDigits = 6  // 62^6 > 2^32
)

// Shown is how many characters of a secret may be stored and shown, to tell
// keys apart.
const Shown = 12

// New makes a secret, to show once, and its hash, to store.
func New(w email.World) (secret string, hash [32]byte) {
	var raw [32]byte
	_, _ = rand.Read(raw[:]) // never fails: crypto/rand ends the program instead
	prefix := testPrefix
	if w.Livemode() {
		prefix = livePrefix
	}
	body := prefix + base62(new(big.Int).SetBytes(raw[:]), randomDigits)
	secret = body + checksum(body)
	return secret, sha256.Sum256([]byte(secret))
}

// Hash checks the form and checksum of a secret and hashes it.
func Hash(secret string) (hash [32]byte, ok bool) {
	if _, ok := WorldOf(secret); !ok || len(secret) != len(livePrefix)+randomDigits+checksumDigits {
		return hash, false
	}
	body := secret[:len(secret)-checksumDigits]
	if subtle.ConstantTimeCompare([]byte(checksum(body)), []byte(secret[len(body):])) != 1 {
		return hash, false
	}
	return sha256.Sum256([]byte(secret)), true
}

// WorldOf reads the world from a secret's prefix.
func WorldOf(secret string) (email.World, bool) {
	switch {
	case strings.HasPrefix(secret, livePrefix):
		return email.Live, true
	case strings.HasPrefix(secret, testPrefix):
		return email.Test, true
	}
	return "", false
}

// checksum covers the prefix too: a live key does not pass for a test key.
func checksum(body string) string {
	return base62(new(big.Int).SetUint64(uint64(crc32.ChecksumIEEE([]byte(body)))), checksumDigits)
}

func base62(n *big.Int, width int) string {
	digits := n.Text(62)
	return strings.Repeat("0", width-len(digits)) + digits
}
