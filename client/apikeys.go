package client

import (
	"context"
	"encoding/json"
	"iter"
	"net/http"
	"net/url"
	"time"
)

// APIKey is an API key. The key of a client needs the scope api_keys:write to see or
// change keys, and it can make none that may do more than itself.
type APIKey struct {
	ID                 string          `json:"id"` // key_...
	Livemode           bool            `json:"livemode"`
	CreatedAt          time.Time       `json:"created_at"`
	UpdatedAt          time.Time       `json:"updated_at"`
	Name               string          `json:"name"`
	Prefix             string          `json:"prefix"` // how its secret begins
	Scopes             []string        `json:"scopes"`
	AllowedFromDomains []string        `json:"allowed_from_domains"` // nil: all
	AllowedIPs         []string        `json:"allowed_ips"`          // addresses and networks; nil: all
	ExpiresAt          time.Time       `json:"expires_at"`           // zero: never
	RequestsPerSecond  int             `json:"requests_per_second"`  // 0: as all keys
	RecipientsPerDay   int             `json:"recipients_per_day"`   // 0: any number
	SendingPaused      bool            `json:"sending_paused"`
	LastUsedAt         time.Time       `json:"last_used_at"` // to a minute; zero: never
	Previous           *PreviousSecret `json:"previous"`     // nil: none is valid

	// Secret is what a client needs as Options.APIKey. Only CreateAPIKey and
	// RotateAPIKey give it, once.
	Secret string `json:"secret,omitempty"`

	Raw json.RawMessage `json:"-"` // the answer as it came
}

// PreviousSecret is the secret before the last rotation, while it is valid.
type PreviousSecret struct {
	Prefix    string    `json:"prefix"`
	ExpiresAt time.Time `json:"expires_at"`
}

// NewAPIKey is a key to be made. What is left out is as of the key that asks.
type NewAPIKey struct {
	Name               string    `json:"name"`
	Scopes             []string  `json:"scopes"`
	AllowedFromDomains []string  `json:"allowed_from_domains,omitempty"`
	AllowedIPs         []string  `json:"allowed_ips,omitempty"`
	ExpiresAt          time.Time `json:"expires_at,omitzero"`
	RequestsPerSecond  int       `json:"requests_per_second,omitempty"`
	RecipientsPerDay   int       `json:"recipients_per_day,omitempty"`
	SendingPaused      bool      `json:"sending_paused,omitempty"`
	Livemode           *bool     `json:"livemode,omitempty"` // refused unless it is that of the key that asks

	IdempotencyKey string `json:"-"` // empty: a new one
}

// APIKeyChange is what is to be different of a key; what is nil or zero stays.
type APIKeyChange struct {
	Name               string    `json:"name,omitempty"`
	Scopes             []string  `json:"scopes,omitempty"`
	AllowedFromDomains []string  `json:"allowed_from_domains,omitempty"`
	AllowedIPs         []string  `json:"allowed_ips,omitempty"`
	ExpiresAt          time.Time `json:"expires_at,omitzero"`
	RequestsPerSecond  int       `json:"requests_per_second,omitempty"`
	RecipientsPerDay   int       `json:"recipients_per_day,omitempty"`
	SendingPaused      *bool     `json:"sending_paused,omitempty"`

	// Lift takes bounds away, by their names in JSON: allowed_from_domains,
	// allowed_ips, expires_at, requests_per_second, recipients_per_day.
	Lift []string `json:"-"`
}

// MarshalJSON implements json.Marshaler: a bound that is lifted is null.
func (c APIKeyChange) MarshalJSON() ([]byte, error) {
	type plain APIKeyChange
	raw, err := json.Marshal(plain(c))
	if err != nil || len(c.Lift) == 0 {
		return raw, err
	}
	members := make(map[string]json.RawMessage)
	if err := json.Unmarshal(raw, &members); err != nil {
		return nil, err
	}
	for _, name := range c.Lift {
		members[name] = json.RawMessage("null")
	}
	return json.Marshal(members)
}

// Identity is the key of a client, and what holds for it.
type Identity struct {
	APIKey
	Limits  Limits `json:"limits"`
	Version string `json:"version"` // of the server
}

// Limits are what a server takes of a key.
type Limits struct {
	RequestsPerSecond        int       `json:"requests_per_second"` // 0: any number
	RecipientsPerDay         int       `json:"recipients_per_day"`  // 0: any number
	RecipientsToday          int       `json:"recipients_today"`
	RecipientsResetAt        time.Time `json:"recipients_reset_at"`
	RequestBytes             int64     `json:"request_bytes"`
	BatchRequestBytes        int64     `json:"batch_request_bytes"`
	MessageBytes             int64     `json:"message_bytes"`
	BodyBytes                int       `json:"body_bytes"`
	Recipients               int       `json:"recipients"`
	ReplyTo                  int       `json:"reply_to"`
	SubjectCharacters        int       `json:"subject_characters"`
	Attachments              int       `json:"attachments"`
	Headers                  int       `json:"headers"`
	Tags                     int       `json:"tags"`
	MetadataKeys             int       `json:"metadata_keys"`
	MetadataBytes            int       `json:"metadata_bytes"`
	BatchMessages            int       `json:"batch_messages"`
	BatchRecipients          int       `json:"batch_recipients"`
	ScheduleAheadSeconds     int64     `json:"schedule_ahead_seconds"`
	TTLMinSeconds            int64     `json:"ttl_min_seconds"`
	TTLMaxSeconds            int64     `json:"ttl_max_seconds"`
	TTLDefaultSeconds        int64     `json:"ttl_default_seconds"`
	IdempotencySeconds       int64     `json:"idempotency_seconds"`
	ContentRetentionSeconds  int64     `json:"content_retention_seconds"`
	MetadataRetentionSeconds int64     `json:"metadata_retention_seconds"`
	Webhooks                 int       `json:"webhooks"`
	APIKeys                  int       `json:"api_keys"`
	Page                     int       `json:"page"`
	Streams                  []string  `json:"streams"`
}

const keysPath = "/v1/api-keys/"

// Me reads what the client's key is and may do: a cheap call for smoke tests.
func (c *Client) Me(ctx context.Context) (*Identity, error) {
	return send[Identity](ctx, c, call{method: http.MethodGet, path: "/v1/me"})
}

// APIKeys gives the keys of the world of the client's key, newest first.
func (c *Client) APIKeys(ctx context.Context) iter.Seq2[*APIKey, error] {
	return list[APIKey](ctx, c, "/v1/api-keys", make(url.Values))
}

// APIKey reads a key.
func (c *Client) APIKey(ctx context.Context, id string) (*APIKey, error) {
	return at[APIKey](ctx, c, call{method: http.MethodGet}, keysPath, id, "")
}

// CreateAPIKey makes a key. Its Secret is in this answer only.
func (c *Client) CreateAPIKey(ctx context.Context, k NewAPIKey) (*APIKey, error) {
	return send[APIKey](ctx, c, call{method: http.MethodPost, path: "/v1/api-keys", body: k, key: k.IdempotencyKey})
}

// UpdateAPIKey changes a key. Within seconds all of the server's processes know.
func (c *Client) UpdateAPIKey(ctx context.Context, id string, change APIKeyChange) (*APIKey, error) {
	return at[APIKey](ctx, c, call{method: http.MethodPatch, body: change}, keysPath, id, "")
}

// RotateAPIKey gives a key a new Secret, which is in this answer only. The one before
// is valid for overlap still; less than a second is at once.
func (c *Client) RotateAPIKey(ctx context.Context, id string, overlap time.Duration) (*APIKey, error) {
	return at[APIKey](ctx, c, call{method: http.MethodPost, body: overlapBody{int64(overlap / time.Second)}}, keysPath, id, "/rotate")
}

// RevokeAPIKey ends a key for good, within seconds in all of the server's processes.
func (c *Client) RevokeAPIKey(ctx context.Context, id string) error {
	return c.remove(ctx, keysPath, id)
}

type overlapBody struct {
	Seconds int64 `json:"overlap_seconds"`
}
