package store

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/redis/go-redis/v9"

	"postrider/internal/email"
)

// MaxWebhooks is how many endpoints one world may have.
const MaxWebhooks = 20

// ErrTooManyWebhooks: the world has MaxWebhooks endpoints.
var ErrTooManyWebhooks = errors.New("too many webhooks")

// Webhook is one endpoint that is told what happened. URL, Headers and Secret are
// sealed at rest: a URL may carry a password, a header a token.
type Webhook struct {
	ID    string // wh_
	World email.World
	// URL is as it was given, with its user and password: webhook.Redact makes it
	// fit to be shown.
	URL string
	// Events are the types it wants: names or patterns (events.CheckPattern); none
	// means those that are on by default.
	Events      []string
	Description string
	// TagsFilter and Streams, if any, let through only what concerns a message with one
	// of these tags, or of one of these streams.
	TagsFilter []string
	Streams    []string
	// AllDeferrals: it is told of every deferral of a recipient, not of the first alone.
	AllDeferrals bool
	Enabled      bool
	// DisabledReason is why the service disabled it; empty if a caller did, or none.
	DisabledReason string
	DisabledAt     time.Time // zero while it is enabled
	// MissedSince is since when it was not told of what happened, before it was enabled
	// again; zero once that was replayed.
	MissedSince time.Time
	Secret      string // whsec_ and base64: signs what is posted
	// OldSecret signs beside it until OldUntil, while the receiver changes to the new one.
	OldSecret string
	OldUntil  time.Time
	Headers   []email.Header // sent with every post
	CreatedAt time.Time
	UpdatedAt time.Time
	Health    WebhookHealth // read only; Create and Update leave it alone

	since int64 // Redis' time when it was last enabled: earlier events are not its own
}

// The reasons why the service disables an endpoint.
const (
	DisabledGone    = "gone"    // it answered 410
	DisabledFailing = "failing" // no success for five days
)

// Status is "enabled" or "disabled".
func (w *Webhook) Status() string {
	if w.Enabled {
		return "enabled"
	}
	return "disabled"
}

// Wants reports whether an event that the stream took in at this position
// happened while the endpoint was there and enabled.
func (w *Webhook) Wants(p Position) bool { return p.ms() >= w.since }

// Secrets are those to sign with at a time, the newest first.
func (w *Webhook) Secrets(now time.Time) []string {
	if w.OldSecret != "" && now.Before(w.OldUntil) {
		return []string{w.Secret, w.OldSecret}
	}
	return []string{w.Secret}
}

// Hears reports whether the filters let an event of a message through.
func (w *Webhook) Hears(m *email.Message, e email.Event) bool {
	if e.Status == email.Deferred && e.Previous == email.Deferred && !w.AllDeferrals {
		return false
	}
	tagged := len(w.TagsFilter) == 0 || slices.ContainsFunc(m.Tags, func(t string) bool { return slices.Contains(w.TagsFilter, t) })
	return tagged && (len(w.Streams) == 0 || slices.Contains(w.Streams, m.Stream))
}

// HearsOf is Hears for the event of a suppression, which has no tags.
func (w *Webhook) HearsOf(e *email.SuppressionEvent) bool {
	return len(w.TagsFilter) == 0 && (len(w.Streams) == 0 || slices.Contains(w.Streams, e.Suppression.Stream))
}

// WebhookHealth is how an endpoint has been answering.
type WebhookHealth struct {
	LastSuccessAt       time.Time
	LastFailureAt       time.Time
	FailingSince        time.Time // first failure after the last success; zero if it succeeds
	ConsecutiveFailures int
	Pending             int // deliveries that wait for an attempt
}

// Webhooks is the aggregate of endpoints; what is sent to them is in Deliveries.
type Webhooks struct {
	rdb    redis.UniversalClient
	shards int
	sealer Sealer
	swap   *redis.Script
}

// Sealer encrypts what is secret at rest for its owner; *secret.Secret is one.
type Sealer interface {
	Seal(plain []byte, owner string) []byte
	Open(sealed []byte, owner string) ([]byte, error)
}

type storedWebhook struct {
	Events      []string `json:"e,omitempty"`
	Description string   `json:"d,omitempty"`
	Disabled    bool     `json:"x,omitempty"`
	Reason      string   `json:"r,omitempty"`
	Tags        []string `json:"t,omitempty"`
	Streams     []string `json:"m,omitempty"`
	Deferrals   bool     `json:"f,omitempty"` // all of them
	DisabledAt  int64    `json:"a,omitempty"`
	MissedSince int64    `json:"i,omitempty"`
	OldUntil    int64    `json:"l,omitempty"`
	Created     int64    `json:"c"`
	Updated     int64    `json:"u"`
	Since       int64    `json:"n"`
	Sealed      []byte   `json:"s"` // sealedWebhook, for the owner "webhook <id>"
	Nonce       string   `json:"o"` // of the write
}

type sealedWebhook struct {
	URL     string         `json:"u"`
	Secret  string         `json:"s"`
	Old     string         `json:"o,omitempty"`
	Headers []email.Header `json:"h,omitempty"`
}

// swapWebhookScript replaces an endpoint if it is still what was read.
//
//	KEYS 1 the hash of endpoints
//	ARGV 1 id, 2 value as read (empty: none), 3 new value (empty: remove), 4 most endpoints
//
// Returns 1, 0 if another value stands there, or -1 if there are too many. Safe to
// run twice: the second run finds its own value, which holds a nonce.
const swapWebhookScript = `
local standing = redis.call('HGET', KEYS[1], ARGV[1]) or ''
if standing == ARGV[3] then return 1 end
if standing ~= ARGV[2] then return 0 end
if ARGV[3] == '' then
  redis.call('HDEL', KEYS[1], ARGV[1])
  return 1
end
if standing == '' and redis.call('HLEN', KEYS[1]) >= tonumber(ARGV[4]) then return -1 end
-- As whenFull: what stands can be changed, so that an endpoint is disabled; a new one waits.
if standing ~= '' then redis.call('PERSIST', KEYS[1]) end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[3])
return 1
`

// Create keeps a new endpoint and returns it as stored; it is told of events from
// now on. ErrTooManyWebhooks, ErrAlreadyExists.
func (s *Webhooks) Create(ctx context.Context, hook *Webhook) (*Webhook, error) {
	made := *hook
	made.UpdatedAt = made.CreatedAt
	if !made.Enabled {
		made.DisabledAt = made.CreatedAt
	}
	if err := s.put(ctx, "", &made); err != nil {
		if errors.Is(err, errChanged) {
			err = ErrAlreadyExists
		}
		return nil, fmt.Errorf("create webhook %s: %w", hook.ID, err)
	}
	made.Health = WebhookHealth{}
	return &made, nil
}

// Get reads an endpoint with its health. ErrNotFound if there is none.
func (s *Webhooks) Get(ctx context.Context, w email.World, id string) (*Webhook, error) {
	hook, err := s.Peek(ctx, w, id)
	if err != nil {
		return nil, err
	}
	return hook, s.fillHealth(ctx, w, []*Webhook{hook})
}

// Peek is Get without the health, which takes more reading.
func (s *Webhooks) Peek(ctx context.Context, w email.World, id string) (*Webhook, error) {
	_, hook, err := s.read(ctx, w, id)
	return hook, err
}

// List reads all endpoints of a world with their health, newest first.
func (s *Webhooks) List(ctx context.Context, w email.World) ([]*Webhook, error) {
	list, broken, err := s.all(ctx, w)
	if err := errors.Join(append(broken, err)...); err != nil {
		return nil, err
	}
	slices.Reverse(list)
	return list, s.fillHealth(ctx, w, list)
}

// Enabled lists the endpoints that are to be told of events, without their health.
// broken names those that cannot be read: they must not keep the others from theirs.
func (s *Webhooks) Enabled(ctx context.Context, w email.World) (list []*Webhook, broken []error, err error) {
	list, broken, err = s.all(ctx, w)
	return slices.DeleteFunc(list, func(h *Webhook) bool { return !h.Enabled }), broken, err
}

// Update changes an endpoint and returns it as stored. change sees it as it is,
// must not change its id or world, and is called again if another update came
// between; its error ends the update. ErrNotFound if there is no such endpoint.
func (s *Webhooks) Update(ctx context.Context, w email.World, id string, now time.Time, change func(*Webhook) error) (*Webhook, error) {
	for range updateTries {
		before, hook, err := s.read(ctx, w, id)
		if err != nil {
			return nil, err
		}
		was := hook.Enabled
		missed := hook.MissedSince
		if err := change(hook); err != nil {
			return nil, err
		}
		if hook.ID != id || hook.World != w {
			return nil, fmt.Errorf("update webhook %s: its id must not change", id)
		}
		switch {
		case hook.Enabled && !was:
			hook.since = 0 // as if it were new
			if hook.MissedSince.IsZero() {
				hook.MissedSince = hook.DisabledAt
			}
			fallthrough
		case hook.Enabled:
			hook.DisabledReason, hook.DisabledAt = "", time.Time{}
		case was:
			hook.DisabledAt = now
			if missed.IsZero() {
				if hook.MissedSince, err = s.unheard(ctx, hook, now); err != nil {
					return nil, err
				}
			}
		}
		hook.UpdatedAt = now
		err = s.put(ctx, before, hook)
		if err == nil && hook.Enabled && !was {
			err = s.freshHealth(ctx, hook)
		}
		if err == nil {
			return hook, s.fillHealth(ctx, w, []*Webhook{hook})
		}
		if !errors.Is(err, errChanged) {
			return nil, fmt.Errorf("update webhook %s: %w", id, err)
		}
	}
	return nil, fmt.Errorf("update webhook %s: others kept changing it", id)
}

// Delete removes an endpoint; what still waits for it is dropped. ErrNotFound if
// there is none.
func (s *Webhooks) Delete(ctx context.Context, w email.World, id string) error {
	n, err := s.rdb.HDel(ctx, webhooksKey(w), id).Result()
	if err != nil {
		return fmt.Errorf("delete webhook %s: %w", id, err)
	}
	if n == 0 {
		return ErrNotFound
	}
	return nil
}

var errChanged = errors.New("it was changed meanwhile")

// put writes an endpoint in the place of the value before, if that still stands.
func (s *Webhooks) put(ctx context.Context, before string, hook *Webhook) error {
	if hook.since == 0 {
		// By the clock that also stamps the stream.
		now, err := s.rdb.Time(ctx).Result()
		if err != nil {
			return fmt.Errorf("read the clock of Redis: %w", err)
		}
		hook.since = toMS(now)
	}
	for _, t := range []*time.Time{&hook.CreatedAt, &hook.UpdatedAt, &hook.OldUntil, &hook.DisabledAt, &hook.MissedSince} {
		*t = fromMS(toMS(*t))
	}
	raw, err := s.encode(hook)
	if err != nil {
		return err
	}
	swapped, err := s.swap.Run(ctx, s.rdb, []string{webhooksKey(hook.World)}, hook.ID, before, raw, MaxWebhooks).Int()
	switch {
	case err != nil:
		return err
	case swapped < 0:
		return ErrTooManyWebhooks
	case swapped == 0:
		return errChanged
	}
	return nil
}

var errNoSealer = errors.New("the store was opened without a secret")

func webhookOwner(id string) string { return "webhook " + id }

func (s *Webhooks) encode(h *Webhook) ([]byte, error) {
	if s.sealer == nil {
		return nil, errNoSealer
	}
	plain, err := json.Marshal(sealedWebhook{URL: h.URL, Secret: h.Secret, Old: h.OldSecret, Headers: h.Headers})
	if err != nil {
		return nil, err
	}
	return json.Marshal(storedWebhook{
		Events: h.Events, Description: h.Description, Disabled: !h.Enabled, Reason: h.DisabledReason,
		Tags: h.TagsFilter, Streams: h.Streams, Deferrals: h.AllDeferrals,
		DisabledAt: toMS(h.DisabledAt), MissedSince: toMS(h.MissedSince), OldUntil: toMS(h.OldUntil),
		Created: toMS(h.CreatedAt), Updated: toMS(h.UpdatedAt), Since: h.since,
		Sealed: s.sealer.Seal(plain, webhookOwner(h.ID)), Nonce: rand.Text()[:12],
	})
}

func (s *Webhooks) decode(w email.World, id, raw string) (*Webhook, error) {
	var v storedWebhook
	if err := json.Unmarshal([]byte(raw), &v); err != nil {
		return nil, fmt.Errorf("decode webhook %s: %w: %w", id, ErrBroken, err)
	}
	if s.sealer == nil {
		return nil, fmt.Errorf("decode webhook %s: %w", id, errNoSealer)
	}
	plain, err := s.sealer.Open(v.Sealed, webhookOwner(id))
	if err != nil {
		return nil, fmt.Errorf("decode webhook %s: %w: %w", id, ErrBroken, err)
	}
	var hidden sealedWebhook
	if err := json.Unmarshal(plain, &hidden); err != nil {
		return nil, fmt.Errorf("decode webhook %s: %w", id, ErrBroken) // the cause may quote a secret
	}
	return &Webhook{
		ID: id, World: w, URL: hidden.URL, Secret: hidden.Secret, OldSecret: hidden.Old, OldUntil: fromMS(v.OldUntil), Headers: hidden.Headers, Events: v.Events,
		TagsFilter: v.Tags, Streams: v.Streams, AllDeferrals: v.Deferrals, DisabledAt: fromMS(v.DisabledAt), MissedSince: fromMS(v.MissedSince),
		Description: v.Description, Enabled: !v.Disabled, DisabledReason: v.Reason,
		CreatedAt: fromMS(v.Created), UpdatedAt: fromMS(v.Updated), since: v.Since,
	}, nil
}

func (s *Webhooks) read(ctx context.Context, w email.World, id string) (raw string, hook *Webhook, err error) {
	raw, err = s.rdb.HGet(ctx, webhooksKey(w), id).Result()
	if errors.Is(err, redis.Nil) {
		return "", nil, ErrNotFound
	}
	if err != nil {
		return "", nil, fmt.Errorf("read webhook %s: %w", id, err)
	}
	hook, err = s.decode(w, id, raw)
	return raw, hook, err
}

// all reads the endpoints of a world, oldest first: ids sort by time.
func (s *Webhooks) all(ctx context.Context, w email.World) (list []*Webhook, broken []error, err error) {
	stored, err := s.rdb.HGetAll(ctx, webhooksKey(w)).Result()
	if err != nil {
		return nil, nil, fmt.Errorf("list webhooks: %w", err)
	}
	for _, id := range slices.Sorted(maps.Keys(stored)) {
		hook, err := s.decode(w, id, stored[id])
		if err != nil {
			broken = append(broken, err)
			continue
		}
		list = append(list, hook)
	}
	return list, broken, nil
}
