package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"postrider/internal/email"
	"postrider/internal/store"
)

// KeyLifetime is how long a key is believed without asking the store: a revoked key
// works for at most as long.
const KeyLifetime = 5 * time.Second

// keyringSize is how many keys are remembered.
const keyringSize = 1024

// authenticate finds the key of a request. Errors: *problem with 401, or the store's.
func (d *door) authenticate(r *http.Request) (*store.Key, error) {
	values := r.Header.Values("Authorization")
	if len(values) == 0 || len(values) == 1 && strings.TrimSpace(values[0]) == "" {
		return nil, &problem{code: missingAPIKey, detail: "Send the API key as Authorization: Bearer pr_..."}
	}
	invalid := &problem{code: invalidAPIKey, detail: "The Authorization header holds no valid API key."}
	scheme, secret, ok := strings.Cut(values[0], " ")
	// RFC 9110 11.1: the scheme is case-insensitive.
	if !ok || len(values) > 1 || !strings.EqualFold(scheme, "Bearer") {
		return nil, invalid
	}
	secret = strings.TrimLeft(secret, " ")
	hash, ok := HashKey(secret)
	if !ok {
		return nil, invalid
	}
	world, _ := keyWorld(secret)
	key, err := d.keys.get(r.Context(), world, hash)
	if errors.Is(err, store.ErrNotFound) {
		return nil, invalid
	}
	return key, err
}

// findKey asks the store.
func (d *door) findKey(ctx context.Context, w email.World, hash [32]byte) (*store.Key, error) {
	key, err := d.store.Keys.ByHash(ctx, w, hash)
	if err != nil {
		return nil, fmt.Errorf("find api key: %w", err)
	}
	return key, nil
}

// requireScope refuses a key without a scope.
func requireScope(k *store.Key, scope string) error {
	if slices.Contains(k.Scopes, scope) {
		return nil
	}
	return &problem{
		code:          insufficientScope,
		detail:        "This API key lacks the scope " + scope + ".",
		requiredScope: scope,
	}
}

// keyring remembers keys for a few seconds, so that a key costs no round trip per
// message. Unknown ones are not remembered: they would push out the real ones.
type keyring struct {
	find func(context.Context, email.World, [32]byte) (*store.Key, error)
	now  func() time.Time

	mu   sync.Mutex
	seen map[keyName]rememberedKey
}

type keyName struct {
	world email.World
	hash  [32]byte
}

type rememberedKey struct {
	key   *store.Key
	until time.Time
}

func newKeyring(find func(context.Context, email.World, [32]byte) (*store.Key, error), now func() time.Time) *keyring {
	return &keyring{find: find, now: now, seen: make(map[keyName]rememberedKey)}
}

// get returns a key by its hash, at most KeyLifetime old. Errors are those of find.
func (k *keyring) get(ctx context.Context, w email.World, hash [32]byte) (*store.Key, error) {
	name, now := keyName{w, hash}, k.now()
	k.mu.Lock()
	entry, ok := k.seen[name]
	k.mu.Unlock()
	if ok && now.Before(entry.until) {
		return entry.key, nil
	}
	key, err := k.find(ctx, w, hash)
	if err != nil {
		return nil, err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if len(k.seen) >= keyringSize {
		clear(k.seen)
	}
	k.seen[name] = rememberedKey{key, now.Add(KeyLifetime)}
	return key, nil
}
