package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/gin-gonic/gin"

	"postrider/internal/apikey"
	"postrider/internal/email"
	"postrider/internal/store"
)

// KeyLifetime is how long a key is believed without asking the store: a revoked key
// works for at most as long.
const KeyLifetime = 5 * time.Second

// keyringSize is how many keys are remembered.
const keyringSize = 1024

// authenticate finds the key of a request, by the keyring or, with another find, by what
// that says, and sees to it that it is valid here and now. Errors: *problem with 401 or
// 403, or the store's.
func (d *door) authenticate(g *gin.Context, find findKey) (*store.Key, error) {
	secret, err := bearer(g.Request.Header)
	if err != nil {
		return nil, err
	}
	invalid := &problem{code: invalidAPIKey, detail: "The Authorization header holds no valid API key."}
	hash, ok := apikey.Hash(secret)
	if !ok {
		return nil, invalid
	}
	world, _ := apikey.WorldOf(secret)
	key, err := find(g.Request.Context(), world, hash)
	switch {
	case errors.Is(err, store.ErrNotFound):
		return nil, invalid
	case err != nil:
		return nil, err
	}
	now := d.now()
	switch {
	case key.Old && !now.Before(key.OldUntil):
		return nil, &problem{code: expiredAPIKey, detail: "This secret was replaced, and its overlap with the new one has ended."}
	case !key.ExpiresAt.IsZero() && !now.Before(key.ExpiresAt):
		return nil, &problem{code: expiredAPIKey, detail: "This API key has expired."}
	case !apikey.Comes(key, g.ClientIP()):
		return nil, &problem{code: ipNotAllowed, detail: "This API key may not be used from the address that the request comes from."}
	}
	d.uses.note(g.Request.Context(), key, now)
	return key, nil
}

// bearer is the secret of a request. Errors: *problem with 401.
func bearer(h http.Header) (string, error) {
	values := h.Values("Authorization")
	if len(values) == 0 || len(values) == 1 && strings.TrimSpace(values[0]) == "" {
		return "", &problem{code: missingAPIKey, detail: "Send the API key as Authorization: Bearer pr_..."}
	}
	scheme, secret, ok := strings.Cut(values[0], " ")
	// RFC 9110 11.1: the scheme is case-insensitive.
	if !ok || len(values) > 1 || !strings.EqualFold(scheme, "Bearer") {
		return "", &problem{code: invalidAPIKey, detail: "The Authorization header holds no valid API key."}
	}
	return strings.TrimLeft(secret, " "), nil
}

type findKey func(context.Context, email.World, [32]byte) (*store.Key, error)

// findKey asks the store.
func (d *door) findKey(ctx context.Context, w email.World, hash [32]byte) (*store.Key, error) {
	key, err := d.store.Keys.ByHash(ctx, w, hash)
	if err != nil {
		return nil, fmt.Errorf("find api key: %w", err)
	}
	return key, nil
}

// usePause is how exactly the last use of a key is known.
const usePause = time.Minute

// uses notes when keys were used last, seldom enough to cost nothing.
type uses struct {
	store *store.Store
	mu    sync.Mutex
	noted map[string]time.Time
}

func newUses(s *store.Store) *uses { return &uses{store: s, noted: make(map[string]time.Time)} }

func (u *uses) note(ctx context.Context, key *store.Key, now time.Time) {
	u.mu.Lock()
	if now.Sub(key.LastUsedAt) < usePause || now.Sub(u.noted[key.ID]) < usePause {
		u.mu.Unlock()
		return
	}
	if len(u.noted) >= keyringSize {
		clear(u.noted)
	}
	u.noted[key.ID] = now
	u.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, storeLimit)
	defer cancel()
	_ = u.store.Keys.Used(ctx, key.World, key.ID, now) // a store that fails will say so to the request itself
}

// requireScope refuses a key without a scope; an empty one is everybody's.
func requireScope(k *store.Key, scope string) error {
	if scope == "" || apikey.Has(k, scope) {
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
	find findKey
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

func newKeyring(find findKey, now func() time.Time) *keyring {
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
