package main

import (
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"strings"
	"testing"

	"postrider/api"
)

// TestKeys makes keys, uses them, and revokes one under a running process.
func TestKeys(t *testing.T) {
	t.Parallel()
	i := install(t, "smtp://127.0.0.1:1")
	if _, ok := api.HashKey(i.key); !ok || !strings.HasPrefix(i.key, "pr_live_") || strings.Contains(i.key, "\n") {
		t.Fatalf("keys create printed %q", i.key)
	}
	status, test, hint := i.run("keys", "create", "--name", "tests", "--test", "--scopes", "messages:send,messages:read")
	if status != 0 || !strings.HasPrefix(test, "pr_test_") || !strings.Contains(hint, "only its hash is stored") || strings.Contains(hint, test) {
		t.Fatalf("%d %q %q", status, test, hint)
	}
	onlyHashes(t, i, i.key)

	status, list, _ := i.run("keys", "list")
	if status != 0 || strings.Count(list, "\n") != 3 || strings.Contains(list, i.key) {
		t.Fatalf("keys list: %d\n%s", status, list)
	}
	rows := strings.Split(list, "\n")
	for row, wants := range map[int][]string{0: {"ID", "SCOPES"}, 1: {"app", "live", i.key[:12], "all"}, 2: {"tests", "test", "messages:send,messages:read"}} {
		for _, want := range wants {
			if !strings.Contains(rows[row], want) {
				t.Errorf("row %d %q has no %s", row, rows[row], want)
			}
		}
	}

	p := i.serve("--roles", "api")
	works := func() int {
		a, err := i.call(p, "GET", "/v1/messages", "")
		if err != nil {
			t.Fatal(err)
		}
		return a.status
	}
	if got := works(); got != http.StatusOK {
		t.Fatalf("a new key: %d", got)
	}
	id, _, _ := strings.Cut(rows[1], " ")
	if status, out, errs := i.run("keys", "revoke", id); status != 0 || !strings.Contains(out, "within 5s") {
		t.Fatalf("keys revoke: %d\n%s%s", status, out, errs)
	}
	p.await("the revoked key refused", func() bool { return works() == http.StatusUnauthorized })
	for _, id := range []string{id, "key_1", ""} {
		if status, _, errs := i.run("keys", "revoke", id); status != 1 || !strings.Contains(errs, "there is no key") {
			t.Errorf("revoke %q: %d %s", id, status, errs)
		}
	}
	if _, list, _ := i.run("keys", "list"); strings.Contains(list, id) {
		t.Errorf("a revoked key is listed:\n%s", list)
	}
}

// onlyHashes looks for a secret in all of Redis: only its hash may be there.
func onlyHashes(t *testing.T, i *installation, secret string) {
	t.Helper()
	rdb := i.redis()
	sum := sha256.Sum256([]byte(secret))
	hashed := false
	for _, key := range rdb.Keys(t.Context(), "*").Val() {
		value := key
		if rdb.Type(t.Context(), key).Val() == "string" {
			value += rdb.Get(t.Context(), key).Val()
		}
		if strings.Contains(value, secret[20:]) {
			t.Errorf("the secret is stored in %s", key)
		}
		hashed = hashed || strings.Contains(value, hex.EncodeToString(sum[:]))
	}
	if !hashed {
		t.Error("the hash is not stored")
	}
}

func TestKeysBadInput(t *testing.T) {
	for _, c := range []struct {
		args []string
		err  string
	}{
		{[]string{"create"}, "--name"},
		{[]string{"create", "--name", ""}, "--name"},
		{[]string{"create", "--name", "two\nlines"}, "on one line"},
		{[]string{"create", "--name", "a", "--scopes", "everything"}, `"everything" is no scope`},
		{[]string{"create", "--name", "a"}, "POSTRIDER_REDIS_URL"},
		{[]string{"revoke"}, "<id>"},
	} {
		status, out, errs := command(t, nil, append([]string{"keys"}, c.args...)...)
		if status == 0 || out != "" || !strings.Contains(errs, c.err) {
			t.Errorf("%q: %d %s, want an error with %q", c.args, status, errs, c.err)
		}
	}
}
