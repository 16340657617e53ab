// Package apikey is what an API key may do, and how keys are made and changed,
// whoever does it: the API, the command line or the dashboard.
//
// The form of a secret, the scopes, the checks of what is asked for, and the rule
// that nobody hands out more than they have are here (api.md 2). It reads no HTTP and
// keeps nothing: keys are kept by package store, which sees only the SHA-256 of a
// secret.
//
//	keys := apikey.Desk{Store: st}
//	key, secret, err := keys.Create(ctx, apikey.Actor{Key: mine}, email.Live, apikey.Draft{Name: &name})
//	var excess *apikey.Excess
//	if errors.As(err, &excess) { ... } // mine has not what the new one would
package apikey

import (
	"cmp"
	"slices"

	"postrider/internal/store"
)

// The scopes (api.md 2).
const (
	Send        = "messages:send"
	Read        = "messages:read"
	ReadContent = "messages:read_content"

	TemplatesRead  = "templates:read"
	TemplatesWrite = "templates:write"

	SuppressionsRead  = "suppressions:read"
	SuppressionsWrite = "suppressions:write"

	DomainsRead  = "domains:read"
	DomainsWrite = "domains:write"

	WebhooksRead  = "webhooks:read"
	WebhooksWrite = "webhooks:write"

	EventsRead = "events:read"
	KeysWrite  = "api_keys:write"
	StatsRead  = "stats:read"
)

// Scopes lists every scope that a key may have.
func Scopes() []string {
	return []string{
		Send, Read, ReadContent, TemplatesRead, TemplatesWrite, SuppressionsRead, SuppressionsWrite,
		DomainsRead, DomainsWrite, WebhooksRead, WebhooksWrite, EventsRead, KeysWrite, StatsRead,
	}
}

// Has reports whether a key has a scope.
func Has(k *store.Key, scope string) bool { return slices.Contains(k.Scopes, scope) }

// Actor is who makes or changes a key: another key, or, without one, a user of the
// dashboard or the operator of the installation, who may do everything.
type Actor struct {
	Key  *store.Key
	User string // as in the record of changes; empty: the operator
	// RateLimit is how many requests a second a key may make that has no limit of its
	// own; 0: any number.
	RateLimit int
	Request   string // the id of its request, for the record; empty: none
}

// Name is the actor in the record of changes.
func (a Actor) Name() string {
	if a.Key == nil {
		return cmp.Or(a.User, store.Operator)
	}
	return a.Key.ID
}
