package store

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"postrider/internal/email"
)

// MaxAPIKeys is how many keys one world may have.
const MaxAPIKeys = 1000

// ErrTooManyKeys: the world has MaxAPIKeys keys.
var ErrTooManyKeys = errors.New("too many API keys")

// Key is an API key; only the hash of its secret is stored. Package apikey says what
// its members allow.
type Key struct {
	ID     string
	World  email.World
	Name   string
	Prefix string // first 12 characters of the secret
	Scopes []string
	// FromDomains are those that it may send from, as A-labels; nil: all.
	FromDomains []string
	// Networks are those that it may be used from; nil: all.
	Networks          []netip.Prefix
	ExpiresAt         time.Time // zero: never
	RequestsPerSecond int       // 0: as the installation's keys
	RecipientsPerDay  int       // 0: any number
	SendingPaused     bool
	// OldPrefix is that of the secret before the last rotation, which is valid until
	// OldUntil.
	OldPrefix  string
	OldUntil   time.Time
	CreatedAt  time.Time
	UpdatedAt  time.Time
	LastUsedAt time.Time // to a minute; read only

	// Old is set by ByHash: the key was found by the secret before the last rotation.
	Old bool

	oldHash string // hex; empty: none
}

// Keys is the aggregate of API keys.
type Keys struct {
	rdb                 redis.UniversalClient
	add, change, revoke *redis.Script
}

func newKeys(rdb redis.UniversalClient) *Keys {
	return &Keys{
		rdb: rdb, add: redis.NewScript(addKeyScript), change: redis.NewScript(whenFull + changeKeyScript),
		revoke: redis.NewScript(revokeKeyScript),
	}
}

// addKeyScript adds an API key.
//
//	KEYS 1 by hash, 2 by id, 3 the ids
//	ARGV 1 the key, 2 its hash, 3 its id, 4 most keys
//
// Returns 1, 0 if the hash or id exists, or -1 if there are too many. Safe to run
// twice: the nonce inside the value tells this Add's own entry from another's.
const addKeyScript = `
local standing = redis.call('GET', KEYS[1])
if standing == ARGV[1] then return 1 end
if standing or redis.call('EXISTS', KEYS[2]) == 1 then return 0 end
if redis.call('SCARD', KEYS[3]) >= tonumber(ARGV[4]) then return -1 end
redis.call('SET', KEYS[1], ARGV[1])
redis.call('SET', KEYS[2], ARGV[2])
redis.call('SADD', KEYS[3], ARGV[3])
return 1
`

// changeKeyScript replaces an API key if it is still what was read, and moves it to
// another hash if it has a new secret.
//
//	KEYS 1 by the hash as read, 2 by id, 3 by the hash from now on (1: the same),
//	     4 by the hash of the secret that ends to be known (3: none)
//	ARGV 1 value as read, 2 new value, 3 hash from now on, 4 reference to the key
//
// Returns 1, or 0 if another value stands there. Safe to run twice: the second run
// finds its own value, which holds a nonce.
const changeKeyScript = `
if redis.call('GET', KEYS[3]) == ARGV[2] then return 1 end
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
if KEYS[4] ~= KEYS[3] then redis.call('DEL', KEYS[4]) end
if KEYS[3] ~= KEYS[1] then
  redis.call('SET', KEYS[1], ARGV[4])
  redis.call('SET', KEYS[2], ARGV[3])
end
redis.call('SET', KEYS[3], ARGV[2])
return 1
`

// revokeKeyScript removes an API key if it is still what was read.
//
//	KEYS 1 by hash, 2 by id, 3 the ids, 4 by the hash of the secret before (1: none), 5 last use
//	ARGV 1 value as read, 2 its id
//
// Returns 1, or 0 if another value stands there. Safe to run twice: the second run
// finds nothing, and nothing to remove.
const revokeKeyScript = `
local standing = redis.call('GET', KEYS[1])
if standing and standing ~= ARGV[1] then return 0 end
redis.call('DEL', KEYS[1], KEYS[2], KEYS[4])
redis.call('SREM', KEYS[3], ARGV[2])
redis.call('HDEL', KEYS[5], ARGV[2])
return 1
`

// Add keeps a key under the SHA-256 of its secret. ErrAlreadyExists if the hash
// or the id exists, ErrTooManyKeys.
func (k *Keys) Add(ctx context.Context, key Key, hash [32]byte) error {
	raw, err := encodeKey(&key)
	if err != nil {
		return fmt.Errorf("add key %s: %w", key.ID, err)
	}
	text := hex.EncodeToString(hash[:])
	names := []string{apiKeyByHash(key.World, text), apiKeyByID(key.World, key.ID), apiKeyIDs(key.World)}
	added, err := k.add.Run(ctx, k.rdb, names, raw, text, key.ID, MaxAPIKeys).Int()
	switch {
	case err != nil:
	case added == 0:
		err = ErrAlreadyExists
	case added < 0:
		err = ErrTooManyKeys
	}
	if err != nil {
		return fmt.Errorf("add key %s: %w", key.ID, err)
	}
	return nil
}

// ByHash finds a key by the SHA-256 of its secret, the one before the last rotation
// too, however long ago. ErrNotFound if there is none.
func (k *Keys) ByHash(ctx context.Context, w email.World, hash [32]byte) (*Key, error) {
	raw, err := k.rdb.Get(ctx, apiKeyByHash(w, hex.EncodeToString(hash[:]))).Result()
	if errors.Is(err, redis.Nil) {
		return nil, ErrNotFound
	}
	if err != nil {
		return nil, fmt.Errorf("find a key: %w", err)
	}
	id, old := strings.CutPrefix(raw, keyReference)
	if !old {
		key, err := decodeKey(w, raw)
		if err != nil {
			return nil, err
		}
		return key, k.fillUse(ctx, w, key)
	}
	key, err := k.Get(ctx, w, id)
	if err != nil {
		return nil, err
	}
	key.Old = true
	return key, nil
}

// Get reads a key by its id. ErrNotFound if there is none in this world.
func (k *Keys) Get(ctx context.Context, w email.World, id string) (*Key, error) {
	_, _, key, err := k.read(ctx, w, id)
	if err != nil {
		return nil, err
	}
	return key, k.fillUse(ctx, w, key)
}

// List reads all keys of a world, oldest first.
func (k *Keys) List(ctx context.Context, w email.World) ([]*Key, error) {
	ids, err := k.rdb.SMembers(ctx, apiKeyIDs(w)).Result()
	if err != nil {
		return nil, fmt.Errorf("list keys: %w", err)
	}
	slices.Sort(ids) // ids sort by time
	names := make([]string, len(ids))
	for i, id := range ids {
		names[i] = apiKeyByID(w, id)
	}
	hashes, err := k.texts(ctx, names)
	if err != nil {
		return nil, err
	}
	for i, h := range hashes {
		hashes[i] = apiKeyByHash(w, h)
	}
	values, err := k.texts(ctx, hashes)
	if err != nil {
		return nil, err
	}
	var list []*Key
	for _, raw := range values {
		key, err := decodeKey(w, raw)
		if err != nil {
			return nil, fmt.Errorf("list keys: %w", err)
		}
		list = append(list, key)
	}
	return list, k.fillUse(ctx, w, list...)
}

// texts reads strings and leaves out those that are gone.
func (k *Keys) texts(ctx context.Context, names []string) ([]string, error) {
	if len(names) == 0 {
		return nil, nil
	}
	values, err := k.rdb.MGet(ctx, names...).Result()
	if err != nil {
		return nil, fmt.Errorf("list keys: %w", err)
	}
	var out []string
	for _, v := range values {
		if s, ok := v.(string); ok {
			out = append(out, s)
		}
	}
	return out, nil
}

// Update changes a key and returns it as stored. change sees it as it is, must not
// change its id or world, and is called again if another update came between; its error
// ends the update. ErrNotFound if there is no such key.
func (k *Keys) Update(ctx context.Context, w email.World, id string, now time.Time, change func(*Key) error) (*Key, error) {
	return k.swap(ctx, w, id, now, "", change)
}

// Rotate is Update for a key that gets a new secret, whose hash this is. The one before
// is valid until OldUntil, as change sets it; one that was valid still is not any more.
func (k *Keys) Rotate(ctx context.Context, w email.World, id string, hash [32]byte, now time.Time, change func(*Key) error) (*Key, error) {
	return k.swap(ctx, w, id, now, hex.EncodeToString(hash[:]), change)
}

func (k *Keys) swap(ctx context.Context, w email.World, id string, now time.Time, hash string, change func(*Key) error) (*Key, error) {
	for range updateTries {
		standing, before, key, err := k.read(ctx, w, id)
		if err != nil {
			return nil, err
		}
		if err := k.fillUse(ctx, w, key); err != nil {
			return nil, err
		}
		oldPrefix, forgotten := key.Prefix, ""
		if err := change(key); err != nil {
			return nil, err
		}
		after := standing
		if hash == standing {
			return key, nil // the reply of our own script was lost
		}
		if hash != "" {
			after, forgotten, key.oldHash, key.OldPrefix = hash, key.oldHash, standing, oldPrefix
		}
		key.UpdatedAt = fromMS(toMS(now))
		raw, err := encodeKey(key)
		if err != nil {
			return nil, fmt.Errorf("update key %s: %w", id, err)
		}
		names := []string{apiKeyByHash(w, standing), apiKeyByID(w, id), apiKeyByHash(w, after), apiKeyByHash(w, after)}
		if forgotten != "" {
			names[3] = apiKeyByHash(w, forgotten)
		}
		swapped, err := k.change.Run(ctx, k.rdb, names, before, raw, after, keyReference+id).Int()
		if err != nil {
			return nil, fmt.Errorf("update key %s: %w", id, err)
		}
		if swapped == 1 {
			return key, nil
		}
	}
	return nil, fmt.Errorf("update key %s: others kept changing it", id)
}

// Revoke removes a key for good, unless judge refuses: it sees the key as it is.
// ErrNotFound if there is none with this id in this world.
func (k *Keys) Revoke(ctx context.Context, w email.World, id string, judge func(*Key) error) error {
	for range updateTries {
		standing, before, key, err := k.read(ctx, w, id)
		if err != nil {
			return err
		}
		if err := judge(key); err != nil {
			return err
		}
		names := []string{apiKeyByHash(w, standing), apiKeyByID(w, id), apiKeyIDs(w), apiKeyByHash(w, standing), apiKeyUse(w)}
		if key.oldHash != "" {
			names[3] = apiKeyByHash(w, key.oldHash)
		}
		done, err := k.revoke.Run(ctx, k.rdb, names, before, id).Int()
		if err != nil {
			return fmt.Errorf("revoke key %s: %w", id, err)
		}
		if done == 1 {
			return nil
		}
	}
	return fmt.Errorf("revoke key %s: others kept changing it", id)
}

// Used notes that a key was used.
func (k *Keys) Used(ctx context.Context, w email.World, id string, at time.Time) error {
	if err := k.rdb.HSet(ctx, apiKeyUse(w), id, toMS(at)).Err(); err != nil {
		return fmt.Errorf("note the use of key %s: %w", id, err)
	}
	return nil
}

// fillUse reads when keys were used last.
func (k *Keys) fillUse(ctx context.Context, w email.World, keys ...*Key) error {
	if len(keys) == 0 {
		return nil
	}
	ids := make([]string, len(keys))
	for i, key := range keys {
		ids[i] = key.ID
	}
	values, err := k.rdb.HMGet(ctx, apiKeyUse(w), ids...).Result()
	if err != nil {
		return fmt.Errorf("read the last use of keys: %w", err)
	}
	for i, v := range values {
		if s, ok := v.(string); ok {
			keys[i].LastUsedAt = readMS(s)
		}
	}
	return nil
}

// read finds a key by its id: its hash, and its value as it stands.
func (k *Keys) read(ctx context.Context, w email.World, id string) (hash, raw string, key *Key, err error) {
	hash, err = k.rdb.Get(ctx, apiKeyByID(w, id)).Result()
	if err == nil {
		raw, err = k.rdb.Get(ctx, apiKeyByHash(w, hash)).Result()
	}
	if errors.Is(err, redis.Nil) {
		return "", "", nil, ErrNotFound
	}
	if err != nil {
		return "", "", nil, fmt.Errorf("read key %s: %w", id, err)
	}
	key, err = decodeKey(w, raw)
	if err == nil && key.ID != id {
		err = fmt.Errorf("read key %s: %w", id, ErrBroken)
	}
	return hash, raw, key, err
}

func nonce() string { return rand.Text()[:12] }
