package store

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"strconv"
	"time"

	"postrider/internal/email"
)

// keyReference begins what stands under the hash of a secret that was rotated out; the
// key's id follows.
const keyReference = "@"

// storedKey is a key as it is stored; its world stands in the key's name.
type storedKey struct {
	ID        string         `json:"i"`
	Name      string         `json:"n,omitempty"`
	Prefix    string         `json:"p,omitempty"`
	Scopes    []string       `json:"s,omitempty"`
	Domains   []string       `json:"f,omitempty"`
	Networks  []netip.Prefix `json:"w,omitempty"`
	Expires   int64          `json:"x,omitempty"`
	Rate      int            `json:"r,omitempty"`
	Quota     int            `json:"q,omitempty"`
	Paused    bool           `json:"h,omitempty"`
	OldHash   string         `json:"oh,omitempty"`
	OldPrefix string         `json:"op,omitempty"`
	OldUntil  int64          `json:"ou,omitempty"`
	Created   int64          `json:"c"`
	Updated   int64          `json:"u,omitempty"`
	Nonce     string         `json:"o"` // of the write
}

func encodeKey(k *Key) ([]byte, error) {
	return json.Marshal(storedKey{
		ID: k.ID, Name: k.Name, Prefix: k.Prefix, Scopes: k.Scopes, Domains: k.FromDomains, Networks: k.Networks,
		Expires: toMS(k.ExpiresAt), Rate: k.RequestsPerSecond, Quota: k.RecipientsPerDay, Paused: k.SendingPaused,
		OldHash: k.oldHash, OldPrefix: k.OldPrefix, OldUntil: toMS(k.OldUntil),
		Created: toMS(k.CreatedAt), Updated: toMS(k.UpdatedAt), Nonce: nonce(),
	})
}

func decodeKey(w email.World, raw string) (*Key, error) {
	var s storedKey
	if err := json.Unmarshal([]byte(raw), &s); err != nil {
		return nil, fmt.Errorf("read a key: %w: %w", ErrBroken, err)
	}
	k := &Key{
		ID: s.ID, World: w, Name: s.Name, Prefix: s.Prefix, Scopes: s.Scopes, FromDomains: s.Domains, Networks: s.Networks,
		ExpiresAt: fromMS(s.Expires), RequestsPerSecond: s.Rate, RecipientsPerDay: s.Quota, SendingPaused: s.Paused,
		OldPrefix: s.OldPrefix, OldUntil: fromMS(s.OldUntil), oldHash: s.OldHash,
		CreatedAt: fromMS(s.Created), UpdatedAt: fromMS(s.Updated),
	}
	if k.UpdatedAt.IsZero() {
		k.UpdatedAt = k.CreatedAt // it was never changed
	}
	return k, nil
}

// readMS reads a time as it is stored; what is none is zero.
func readMS(s string) time.Time {
	ms, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		return time.Time{}
	}
	return fromMS(ms)
}
