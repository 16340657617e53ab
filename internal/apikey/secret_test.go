package apikey

import (
	"crypto/sha256"
	"regexp"
	"strings"
	"testing"

	"postrider/internal/email"
)

func TestNew(t *testing.T) {
	form := regexp.MustCompile(`^pr_(live|test)_[0-9A-Za-z]{43}[0-9A-Za-z]{6}$`)
	seen := make(map[string]bool)
	for i := range 200 {
		live := i%2 == 0
		secret, hash := New(World(live))
		if !form.MatchString(secret) || strings.HasPrefix(secret, "pr_live_") != live {
			t.Fatalf("key of another form, of %d octets", len(secret))
		}
		if seen[secret] {
			t.Fatal("a key came twice")
		}
		seen[secret] = true
		got, ok := Hash(secret)
		if !ok || got != hash || hash != sha256.Sum256([]byte(secret)) {
			t.Fatal("a new key is not taken, or has another hash")
		}
	}
}

func TestHashRefuses(t *testing.T) {
	secret, _ := New(email.Test)
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
			if _, ok := Hash(tt.secret); ok {
				t.Error("taken")
			}
		})
	}
}

func FuzzHash(f *testing.F) {
	live, _ := New(email.Live)
	test, _ := New(email.Test)
	for _, s := range []string{live, test, "", "pr_live_", strings.Repeat("z", 57)} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if hash, ok := Hash(s); ok && (len(s) != 57 || hash != sha256.Sum256([]byte(s))) {
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
