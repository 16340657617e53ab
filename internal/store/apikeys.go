package store

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"postrider/internal/email"
)

// Key is an API key; only the hash of its secret is stored.
type Key struct {
	ID        string
	World     email.World
	Name      string
	Prefix    string // first 12 characters of the secret
	Scopes    []string
	CreatedAt time.Time
}

// Keys is the aggregate of API keys.
type Keys struct {
	rdb         redis.UniversalClient
	add, revoke *redis.Script
}

// storedKey is a key as it is stored; its world stands in the key's name.
type storedKey struct {
	ID      string   `json:"i"`
	Name    string   `json:"n,omitempty"`
	Prefix  string   `json:"p,omitempty"`
	Scopes  []string `json:"s,omitempty"`
	Created int64    `json:"c"`
	Nonce   string   `json:"o"` // of the Add that made it
}

// addKeyScript adds an API key.
//
//	KEYS 1 by hash, 2 by id, 3 the ids
//	ARGV 1 the key, 2 its hash, 3 its id
//
// Returns 1, or 0 if the hash or id exists. Safe to run twice: the nonce inside
// the value tells this Add's own entry from another's.
const addKeyScript = `
local standing = redis.call('GET', KEYS[1])
if standing == ARGV[1] then return 1 end
if standing or redis.call('EXISTS', KEYS[2]) == 1 then return 0 end
redis.call('SET', KEYS[1], ARGV[1])
redis.call('SET', KEYS[2], ARGV[2])
redis.call('SADD', KEYS[3], ARGV[3])
return 1
`

// revokeKeyScript removes an API key.
//
//	KEYS 1 by hash, 2 by id, 3 the ids
//	ARGV 1 its hash, 2 its id
//
// Returns 1, or 0 if the id names another hash. Safe to run twice: the second run
// removes nothing.
const revokeKeyScript = `
local standing = redis.call('GET', KEYS[2])
if standing and standing ~= ARGV[1] then return 0 end
redis.call('DEL', KEYS[1], KEYS[2])
redis.call('SREM', KEYS[3], ARGV[2])
return 1
`

// Add keeps a key under the SHA-256 of its secret. ErrAlreadyExists if the hash
// or the id exists.
func (k *Keys) Add(ctx context.Context, key Key, hash [32]byte) error {
	raw, err := json.Marshal(storedKey{
		ID: key.ID, Name: key.Name, Prefix: key.Prefix, Scopes: key.Scopes, Created: toMS(key.CreatedAt), Nonce: rand.Text(),
	})
	if err != nil {
		return fmt.Errorf("add key %s: %w", key.ID, err)
	}
	names := []string{apiKeyByHash(key.World, hash), apiKeyByID(key.World, key.ID), apiKeyIDs(key.World)}
	added, err := k.add.Run(ctx, k.rdb, names, raw, hex.EncodeToString(hash[:]), key.ID).Int()
	if err != nil {
		return fmt.Errorf("add key %s: %w", key.ID, err)
	}
	if added == 0 {
		return fmt.Errorf("add key %s: %w", key.ID, ErrAlreadyExists)
	}
	return nil
}

// ByHash finds a key by the SHA-256 of its secret. ErrNotFound if there is none.
func (k *Keys) ByHash(ctx context.Context, w email.World, hash [32]byte) (*Key, error) {
	raw, err := k.rdb.Get(ctx, apiKeyByHash(w, hash)).Bytes()
	if errors.Is(err, redis.Nil) {
		return nil, ErrNotFound
	}
	if err != nil {
		return nil, fmt.Errorf("find a key: %w", err)
	}
	return decodeKey(w, raw)
}

func decodeKey(w email.World, raw []byte) (*Key, error) {
	var s storedKey
	if err := json.Unmarshal(raw, &s); err != nil {
		return nil, fmt.Errorf("read a key: %w: %w", ErrBroken, err)
	}
	return &Key{ID: s.ID, World: w, Name: s.Name, Prefix: s.Prefix, Scopes: s.Scopes, CreatedAt: fromMS(s.Created)}, nil
}

// List reads all keys of both worlds, oldest first.
func (k *Keys) List(ctx context.Context) ([]*Key, error) {
	var list []*Key
	for _, w := range []email.World{email.Live, email.Test} {
		ids, err := k.rdb.SMembers(ctx, apiKeyIDs(w)).Result()
		if err != nil {
			return nil, fmt.Errorf("list keys: %w", err)
		}
		for _, id := range ids {
			hash, err := k.hashOf(ctx, w, id)
			if errors.Is(err, ErrNotFound) {
				continue // revoked meanwhile
			}
			if err != nil {
				return nil, fmt.Errorf("list keys: %w", err)
			}
			key, err := k.ByHash(ctx, w, hash)
			if err != nil && !errors.Is(err, ErrNotFound) {
				return nil, fmt.Errorf("list keys: %w", err)
			}
			if key != nil {
				list = append(list, key)
			}
		}
	}
	// The ids sort by time.
	slices.SortFunc(list, func(a, b *Key) int { return strings.Compare(a.ID, b.ID) })
	return list, nil
}

func (k *Keys) hashOf(ctx context.Context, w email.World, id string) (hash [32]byte, err error) {
	text, err := k.rdb.Get(ctx, apiKeyByID(w, id)).Result()
	if errors.Is(err, redis.Nil) {
		return hash, ErrNotFound
	}
	if err != nil {
		return hash, fmt.Errorf("read key %s: %w", id, err)
	}
	raw, err := hex.DecodeString(text)
	if err != nil || len(raw) != len(hash) {
		return hash, fmt.Errorf("read key %s: %w", id, ErrBroken)
	}
	return [32]byte(raw), nil
}

// Revoke removes a key for good. ErrNotFound if there is none with this id.
func (k *Keys) Revoke(ctx context.Context, id string) error {
	for _, w := range []email.World{email.Live, email.Test} {
		hash, err := k.hashOf(ctx, w, id)
		if errors.Is(err, ErrNotFound) {
			continue
		}
		if err != nil {
			return fmt.Errorf("revoke: %w", err)
		}
		names := []string{apiKeyByHash(w, hash), apiKeyByID(w, id), apiKeyIDs(w)}
		if err := k.revoke.Run(ctx, k.rdb, names, hex.EncodeToString(hash[:]), id).Err(); err != nil {
			return fmt.Errorf("revoke key %s: %w", id, err)
		}
		return nil
	}
	return fmt.Errorf("revoke key %s: %w", id, ErrNotFound)
}
