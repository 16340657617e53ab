package dashboard

import (
	"errors"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"

	"postrider/internal/apikey"
	"postrider/internal/email"
	"postrider/internal/store"
)

func TestKeys(t *testing.T) {
	w := newWorld(t)
	if got := text(t, body(t, w.get("/ui/keys"), 200)); !strings.Contains(got, "No keys yet") {
		t.Error("the empty page does not teach")
	}
	secretOf := func(page string) string {
		found := regexp.MustCompile(`id="secret">(pr_test_\w+)<`).FindStringSubmatch(page)
		if found == nil {
			t.Fatalf("no secret in %s", page)
		}
		return found[1]
	}
	byHash := func(secret string) (*store.Key, error) {
		hash, ok := apikey.Hash(secret)
		if !ok {
			t.Fatal("the secret is malformed")
		}
		return w.store.Keys.ByHash(t.Context(), email.Test, hash)
	}
	page := body(t, w.post("/ui/keys", url.Values{"name": {"orders <b>"}, "preset": {"sending"}, "domains": {"acme.com, acme.org"}, "expires": {"90"}}, nil), 200)
	if got := text(t, page); !strings.Contains(got, "orders <b>") || !strings.Contains(got, "shown this once") {
		t.Errorf("the page says %s", got)
	}
	secret := secretOf(page)
	key, err := byHash(secret)
	if err != nil || !slices.Equal(key.Scopes, []string{apikey.Send}) || !slices.Equal(key.FromDomains, []string{"acme.com", "acme.org"}) || key.ExpiresAt.IsZero() {
		t.Fatalf("made %+v, %v", key, err)
	}
	if again := body(t, w.get("/ui/keys"), 200); strings.Contains(again, secret) || !strings.Contains(again, secret[:apikey.Shown]) {
		t.Error("the secret is shown again, or the key cannot be told by its beginning")
	}
	own := body(t, w.post("/ui/keys", url.Values{"name": {"own"}, "preset": {"own"}, "scope": {"events:read", "stats:read"}}, nil), 200)
	if k, err := byHash(secretOf(own)); err != nil || !slices.Equal(k.Scopes, []string{"events:read", "stats:read"}) {
		t.Errorf("made %+v, %v", k, err)
	}
	for _, bad := range []url.Values{
		{"preset": {"sending"}},
		{"name": {"x"}, "preset": {"own"}, "scope": {"all"}},
		{"name": {"x"}, "preset": {"sending"}, "domains": {"<x>"}},
		{"name": {"x"}, "preset": {"sending"}, "expires": {"1"}},
	} {
		if page := body(t, w.post("/ui/keys", bad, nil), 422); strings.Contains(page, `id="secret"`) {
			t.Errorf("%v made a key", bad)
		}
	}
	rotated := secretOf(body(t, w.post("/ui/keys/"+key.ID+"/rotate", nil, nil), 200))
	for _, s := range []string{secret, rotated} {
		if _, err := byHash(s); err != nil || rotated == secret {
			t.Errorf("after the rotation: %v", err)
		}
	}
	body(t, w.post("/ui/keys/"+key.ID+"/revoke", nil, nil), 303)
	if _, err := byHash(rotated); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("revoked, and: %v", err)
	}
	body(t, w.post("/ui/keys/"+key.ID+"/revoke", nil, nil), 404)
	if got := text(t, body(t, w.get("/ui/settings"), 200)); !strings.Contains(got, "api_key.created") {
		t.Error("the record does not tell of it")
	}
}
