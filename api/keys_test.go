package api

import (
	"context"
	"crypto/sha256"
	"errors"
	"regexp"
	"strings"
	"testing"
	"time"

	"postrider/internal/email"
	"postrider/internal/store"
)

func TestNewKey(t *testing.T) {
	form := regexp.MustCompile(`^pr_(live|test)_[0-9A-Za-z]{43}[0-9A-Za-z]{6}$`)
	seen := make(map[string]bool)
	for i := range 200 {
		live := i%2 == 0
		secret, hash := NewKey(live)
		if !form.MatchString(secret) || strings.HasPrefix(secret, "pr_live_") != live {
			t.Fatalf("key of another form, of %d octets", len(secret))
		}
		if seen[secret] {
			t.Fatal("a key came twice")
		}
		seen[secret] = true
		got, ok := HashKey(secret)
		if !ok || got != hash || hash != sha256.Sum256([]byte(secret)) {
			t.Fatal("a new key is not taken, or has another hash")
		}
	}
}

func TestHashKeyRefuses(t *testing.T) {
	secret, _ := NewKey(false)
	changed := []byte(secret)
	changed[20] = map[bool]byte{true: 'b', false: 'a'}[changed[20] == 'a']
	tests := []struct{ name, secret string }{
		{"nothing", ""},
		{"prefix only", "pr_test_"},
		{"one character changed", string(changed)},
		{"two characters exchanged", secret[:8] + "01" + secret[10:]},
		{"cut", secret[:len(secret)-1]},
		{"longer", secret + "a"},
		{"of the other world", "pr_live_" + secret[len("pr_test_"):]},
		{"of another world", "pr_prod_" + secret[len("pr_test_"):]},
		{"with a space", " " + secret},
		{"in another case", strings.ToUpper(secret)},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if _, ok := HashKey(tt.secret); ok {
				t.Error("taken")
			}
		})
	}
}

func FuzzHashKey(f *testing.F) {
	live, _ := NewKey(true)
	test, _ := NewKey(false)
	for _, s := range []string{live, test, "", "pr_live_", strings.Repeat("z", 57)} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if hash, ok := HashKey(s); ok && (len(s) != 57 || hash != sha256.Sum256([]byte(s))) {
			t.Errorf("took %d octets", len(s))
		}
	})
}

func TestScopes(t *testing.T) {
	form := regexp.MustCompile(`^[a-z_]+:[a-z_]+$`)
	seen := make(map[string]bool)
	for _, s := range Scopes() {
		if seen[s] || !form.MatchString(s) {
			t.Errorf("scope %q", s)
		}
		seen[s] = true
	}
	for _, s := range []string{
		"messages:send", "messages:read", "messages:read_content", "templates:write", "suppressions:read",
		"domains:write", "webhooks:read", "events:read", "api_keys:write", "stats:read",
	} {
		if !seen[s] {
			t.Errorf("no scope %s", s)
		}
	}
}

func TestKeyringAsksSeldom(t *testing.T) {
	now, asked, fail := time.Unix(1_800_000_000, 0), 0, error(nil)
	k := newKeyring(func(context.Context, email.World, [32]byte) (*store.Key, error) {
		asked++
		if fail != nil {
			return nil, fail
		}
		return &store.Key{ID: "key_1"}, nil
	}, func() time.Time { return now })
	get := func(w email.World, first byte) error {
		_, err := k.get(context.Background(), w, [32]byte{first})
		return err
	}
	expect := func(n int, why string) {
		t.Helper()
		if asked != n {
			t.Fatalf("asked %d times, want %d: %s", asked, n, why)
		}
	}
	for range 3 {
		if err := get(email.Live, 1); err != nil {
			t.Fatal(err)
		}
	}
	expect(1, "a key is remembered")
	_ = get(email.Test, 1)
	expect(2, "a key of the other world is another key")
	now = now.Add(KeyLifetime)
	_ = get(email.Live, 1)
	expect(3, "but not for long")

	fail = store.ErrNotFound
	for range 2 {
		if err := get(email.Live, 9); !errors.Is(err, store.ErrNotFound) {
			t.Fatalf("get: %v", err)
		}
	}
	expect(5, "unknown keys are not remembered")
	fail = nil
	for i := range 3 * keyringSize {
		_, _ = k.get(context.Background(), email.Live, [32]byte{byte(i), byte(i >> 8), 7})
	}
	if len(k.seen) > keyringSize {
		t.Errorf("%d keys are remembered", len(k.seen))
	}
}
