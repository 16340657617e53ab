package signin

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"golang.org/x/crypto/argon2"
	"golang.org/x/text/secure/precis"
)

// The costs of a hash: 19 MiB, twice, for one thread. OWASP names it as the least.
const (
	memory  = 19 * 1024 // KiB
	passes  = 2
	threads = 1
	saltLen = 16
	hashLen = 32
)

const (
	// atOnce bounds what hashing takes: so many times the memory above.
	atOnce = 2
	// hashWait is how long one waits for that.
	hashWait = 5 * time.Second

	// MinPassword counts characters, maxPassword octets. What is longer is refused,
	// never cut.
	MinPassword = 12
	maxPassword = 1024
)

// form is how a hash is written: the PHC string format.
const form = "$argon2id$v=%d$m=%d,t=%d,p=%d$"

// hash encodes a password with a salt of its own.
func hash(password string) string {
	salt := make([]byte, saltLen)
	_, _ = rand.Read(salt) // it never fails
	return fmt.Sprintf(form, argon2.Version, memory, passes, threads) + text(salt) + "$" +
		text(argon2.IDKey([]byte(password), salt, passes, memory, threads, hashLen))
}

func text(b []byte) string { return base64.RawStdEncoding.EncodeToString(b) }

// costs are what a hash was made with.
type costs struct {
	memory, passes uint32
	threads        uint8
	salt, sum      []byte
}

// parse reads a hash. One that would cost too much is none of ours.
func parse(encoded string) (c costs, ok bool) {
	var version int
	parts := strings.Split(encoded, "$")
	if len(parts) != 6 {
		return c, false
	}
	if _, err := fmt.Sscanf(strings.Join(parts[:4], "$")+"$", form, &version, &c.memory, &c.passes, &c.threads); err != nil {
		return c, false
	}
	var err error
	if c.salt, err = base64.RawStdEncoding.DecodeString(parts[4]); err != nil {
		return c, false
	}
	if c.sum, err = base64.RawStdEncoding.DecodeString(parts[5]); err != nil {
		return c, false
	}
	return c, version == argon2.Version && c.memory <= 4*memory && c.passes > 0 && c.passes <= 10 &&
		c.threads > 0 && c.threads <= 4 && len(c.salt) >= 8 && len(c.sum) >= 16 && len(c.sum) <= 64
}

// weak reports whether a hash was made with other costs than are asked for now.
func weak(encoded string) bool {
	c, ok := parse(encoded)
	return !ok || c.memory != memory || c.passes != passes || c.threads != threads
}

// compare reports whether a password has this hash.
func (d *Desk) compare(ctx context.Context, encoded, password string) (bool, error) {
	c, ok := parse(encoded)
	if !ok {
		return false, nil
	}
	var sum []byte
	err := d.hashing(ctx, func() {
		sum = argon2.IDKey([]byte(prepared(password)), c.salt, c.passes, c.memory, c.threads, uint32(len(c.sum)))
	})
	return same(string(sum), string(c.sum)), err
}

// make hashes a password.
func (d *Desk) make(ctx context.Context, password string) (encoded string, err error) {
	err = d.hashing(ctx, func() { encoded = hash(prepared(password)) })
	return encoded, err
}

// hashing lets few hash at once. ErrBusy after a while.
func (d *Desk) hashing(ctx context.Context, do func()) error {
	timer := time.NewTimer(hashWait)
	defer timer.Stop()
	select {
	case d.hashers <- struct{}{}:
	case <-timer.C:
		return ErrBusy
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { <-d.hashers }()
	do()
	return nil
}

// prepared is a password as it is compared (RFC 8265, 4.2), so that keyboards that
// write a letter in other ways agree. What is none is hashed all the same, as nothing
// that anybody has.
func prepared(password string) string {
	if len(password) > maxPassword || !utf8.ValidString(password) {
		return ""
	}
	p, err := precis.OpaqueString.String(password)
	if err != nil {
		return ""
	}
	return p
}

// check refuses a password that is too short, too long or too easy. *Refused.
func check(name, password string) error {
	p := prepared(password)
	different := make(map[rune]bool)
	for _, r := range p {
		different[r] = true
	}
	switch {
	case len(password) > maxPassword:
		return &Refused{fmt.Sprintf("The password is longer than %d octets.", maxPassword)}
	case utf8.RuneCountInString(password) < MinPassword:
		return &Refused{fmt.Sprintf("The password must have at least %d characters. A few words that nobody would guess are good.", MinPassword)}
	case p == "":
		return &Refused{"The password holds a character that cannot be typed, such as a tab."}
	case len(different) < 5 || guessable(name, p):
		return &Refused{"This password is among the first that are tried: it is made of common words, names, years or runs such as 1234. Take a few words that nobody would guess."}
	}
	return nil
}
