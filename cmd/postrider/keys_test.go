package main

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"postrider/client"
	"postrider/internal/apikey"
)

// TestKeys makes keys, uses them, and revokes one under a running process.
func TestKeys(t *testing.T) {
	t.Parallel()
	i := install(t, "smtp://127.0.0.1:1")
	if _, ok := apikey.Hash(i.key); !ok || !strings.HasPrefix(i.key, "pr_live_") || strings.Contains(i.key, "\n") {
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
	for row, wants := range map[int][]string{0: {"ID", "SCOPES"}, 1: {"app", "live", i.key[:12], "valid", "all"}, 2: {"tests", "test", "messages:send,messages:read"}} {
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

// TestKeysOnRedis changes, rotates and shows keys as the operator, whose name is recorded.
func TestKeysOnRedis(t *testing.T) {
	t.Parallel()
	i := install(t, "smtp://127.0.0.1:1")
	_, list, _ := i.run("keys", "list", "--json")
	var key client.APIKey
	if err := json.Unmarshal([]byte(list), &key); err != nil || key.Name != "app" || !key.Livemode {
		t.Fatalf("%v: %s", err, list)
	}
	status, shown, errs := i.run("keys", "update", key.ID, "--from-domain", "acme.com", "--ip", "192.0.2.0/24", "--pause", "--recipients-per-day", "5")
	for _, want := range []string{key.ID + " paused", "acme.com", "192.0.2.0/24", "Recipients/day", "all"} {
		if status != 0 || !strings.Contains(shown, want) {
			t.Errorf("update: %d, no %q\n%s%s", status, want, shown, errs)
		}
	}
	if status, shown, errs := i.run("keys", "update", key.ID, "--lift", "allowed_ips,allowed_from_domains", "--resume"); status != 0 || !strings.Contains(shown, key.ID+" valid") || strings.Contains(shown, "acme.com") {
		t.Errorf("lift: %d\n%s%s", status, shown, errs)
	}
	status, secret, hint := i.run("keys", "rotate", key.ID, "--overlap", "2h")
	if status != 0 || !strings.HasPrefix(secret, "pr_live_") || secret == i.key || !strings.Contains(hint, "is valid until") {
		t.Errorf("rotate: %d %s", status, hint)
	}
	onlyHashes(t, i, strings.TrimSpace(secret))
	if status, shown, _ := i.run("keys", "show", key.ID); status != 0 || !strings.Contains(shown, i.key[:12]+"... is valid until") || strings.Contains(shown, strings.TrimSpace(secret)) {
		t.Errorf("show: %d\n%s", status, shown)
	}
	if status, _, errs := i.run("keys", "show", "key_1"); status != 1 || !strings.Contains(errs, "there is no key") {
		t.Errorf("show nothing: %d %s", status, errs)
	}
	_, changes, _ := i.run("audit")
	rows := strings.Split(changes, "\n")
	if len(rows) != 6 || !strings.Contains(rows[1], "operator") || !strings.Contains(rows[1], "api_key.rotated") || !strings.Contains(rows[4], "api_key.created") {
		t.Errorf("audit:\n%s", changes)
	}
}

// TestKeysByAPI does with a server what TestKeysOnRedis does with Redis.
func TestKeysByAPI(t *testing.T) {
	t.Parallel()
	d := startDev(t)
	sh := d.shell()
	status, secret, hint := sh.run(t, "keys", "create", "--name", "shop", "--test", "--scopes", "messages:send", "--recipients-per-day", "3")
	secret = strings.TrimSpace(secret)
	if status != 0 || !strings.HasPrefix(secret, "pr_test_") || !strings.Contains(hint, "only its hash is stored") {
		t.Fatalf("create: %d %s%s", status, secret, hint)
	}
	_, list, _ := sh.run(t, "keys", "list")
	rows := strings.Split(strings.TrimSpace(list), "\n")
	if len(rows) != 3 || !strings.Contains(rows[1], "dev") || !strings.Contains(rows[2], "shop") || !strings.Contains(rows[2], "messages:send") {
		t.Fatalf("list:\n%s", list)
	}
	id, _, _ := strings.Cut(rows[2], " ")
	shop := d.shell()
	shop.environ[1] = "POSTRIDER_API_KEY=" + secret
	if status, _, errs := shop.run(t, mail("ada@example.org")...); status != 0 {
		t.Errorf("send with it: %d %s", status, errs)
	}
	if status, _, errs := shop.run(t, "keys", "list"); status != 1 || !strings.Contains(errs, "api_keys:write") {
		t.Errorf("list with it: %d %s", status, errs)
	}
	if status, _, errs := sh.run(t, "keys", "create", "--name", "x", "--scopes", "messages:send"); status != 0 {
		t.Errorf("create without --test: %d %s", status, errs)
	}
	status, second, _ := sh.run(t, "keys", "rotate", id, "--overlap", "0s", "--json")
	var rotated client.APIKey
	if err := json.Unmarshal([]byte(second), &rotated); err != nil || status != 0 || rotated.ID != id || rotated.Secret == secret || rotated.Secret == "" {
		t.Errorf("rotate: %d %v %s", status, err, second)
	}
	if status, shown, errs := sh.run(t, "keys", "update", id, "--pause"); status != 0 || !strings.Contains(shown, "paused") {
		t.Errorf("pause: %d %s%s", status, shown, errs)
	}
	if status, out, errs := sh.run(t, "keys", "revoke", id); status != 0 || !strings.Contains(out, "is revoked") {
		t.Errorf("revoke: %d %s%s", status, out, errs)
	}
	if status, _, errs := sh.run(t, "keys", "show", id); status != 1 || !strings.Contains(errs, "not_found") {
		t.Errorf("show: %d %s", status, errs)
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
		{[]string{"create", "--name", "a", "--scopes", "everything"}, "--scopes: is not a scope: there are messages:send"},
		{[]string{"create", "--name", "a", "--from-domain", "a b", "--ip", "10.0.0.0/33", "--requests-per-second", "200000"}, "--ip: is not an IP address"},
		{[]string{"create", "--name", "a", "--expires", "2020-01-01T00:00:00Z"}, "--expires: must be in the future"},
		{[]string{"update", "key_1"}, "say what to change"},
		{[]string{"update", "key_1", "--pause", "--resume"}, "--pause"},
		{[]string{"update", "key_1", "--lift", "scopes"}, `"scopes" is no bound`},
		{[]string{"rotate", "key_1", "--overlap", "200h"}, "--overlap"},
		{[]string{"list"}, "POSTRIDER_URL and POSTRIDER_API_KEY to ask a server"},
		{[]string{"create", "--name", "a"}, "POSTRIDER_REDIS_URL"},
		{[]string{"revoke"}, "<id>"},
	} {
		status, out, errs := command(t, nil, append([]string{"keys"}, c.args...)...)
		if status == 0 || out != "" || !strings.Contains(errs, c.err) {
			t.Errorf("%q: %d %s, want an error with %q", c.args, status, errs, c.err)
		}
	}
}
