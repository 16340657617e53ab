package api

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"time"

	"postrider/internal/apikey"
	"postrider/internal/email"
	"postrider/internal/store"
)

// keysRoute stands for the route in Location and fingerprints.
const keysRoute = "/v1/api-keys"

// keyView is an API key without its secret (api.md 2).
type keyView struct {
	Object            string           `json:"object"`
	ID                string           `json:"id"`
	Livemode          bool             `json:"livemode"`
	CreatedAt         stamp            `json:"created_at"`
	UpdatedAt         stamp            `json:"updated_at"`
	Name              string           `json:"name"`
	Prefix            string           `json:"prefix"`
	Scopes            []string         `json:"scopes"`
	FromDomains       []string         `json:"allowed_from_domains"`
	Networks          []string         `json:"allowed_ips"`
	ExpiresAt         stamp            `json:"expires_at"`
	RequestsPerSecond *int             `json:"requests_per_second"`
	RecipientsPerDay  *int             `json:"recipients_per_day"`
	SendingPaused     bool             `json:"sending_paused"`
	LastUsedAt        stamp            `json:"last_used_at"`
	Previous          *previousKeyView `json:"previous"`
}

// previousKeyView is the secret before the last rotation, while it is valid.
type previousKeyView struct {
	Prefix    string `json:"prefix"`
	ExpiresAt stamp  `json:"expires_at"`
}

// createdKey is the one answer that shows a secret.
type createdKey struct {
	keyView
	Secret string `json:"secret"`
}

func viewKey(k *store.Key, now time.Time) keyView {
	v := keyView{
		Object: "api_key", ID: k.ID, Livemode: k.World.Livemode(), CreatedAt: stamp(k.CreatedAt), UpdatedAt: stamp(k.UpdatedAt),
		Name: k.Name, Prefix: k.Prefix, Scopes: append([]string{}, k.Scopes...), FromDomains: k.FromDomains,
		ExpiresAt: stamp(k.ExpiresAt), RequestsPerSecond: orNull(k.RequestsPerSecond), RecipientsPerDay: orNull(k.RecipientsPerDay),
		SendingPaused: k.SendingPaused, LastUsedAt: stamp(k.LastUsedAt),
	}
	for _, n := range k.Networks {
		v.Networks = append(v.Networks, apikey.ShowNetwork(n))
	}
	if now.Before(k.OldUntil) {
		v.Previous = &previousKeyView{k.OldPrefix, stamp(k.OldUntil)}
	}
	return v
}

// orNull is null for a bound that there is not.
func orNull(n int) *int {
	if n == 0 {
		return nil
	}
	return &n
}

// KeyJSON is a key as the API shows it, for whoever does without the API; secret is
// empty if it is not to be shown.
func KeyJSON(k *store.Key, secret string, now time.Time) ([]byte, error) {
	if secret == "" {
		return encode(viewKey(k, now))
	}
	return encode(createdKey{viewKey(k, now), secret})
}

// actor is the key of a call as it is now: what a key may hand out must not be what it
// was allowed a moment ago.
func (d *door) actor(c *call) (apikey.Actor, error) {
	key, err := d.authenticate(c.Context, d.findKey)
	if err != nil {
		return apikey.Actor{}, err
	}
	return apikey.Actor{Key: key, RateLimit: d.rates.limit, Request: c.GetString(requestIDField)}, requireScope(key, apikey.KeysWrite)
}

// keyID is the id in the path. An id that cannot be is not found.
func (c *call) keyID() (string, error) {
	id := c.Param("id")
	if _, err := email.ParseID(email.KeyPrefix, id); err != nil {
		return "", noKey()
	}
	return id, nil
}

func noKey() *problem {
	return &problem{code: notFound, detail: "There is no API key with this id.", resource: "api_key"}
}

// ofKey gives the errors about one key their problem.
func ofKey(err error) error {
	if errors.Is(err, store.ErrNotFound) {
		return noKey()
	}
	return err
}

// createKey is POST /api-keys. Its fingerprint has the key that asks in it: an
// Idempotency-Key replays a secret to nobody else.
func (d *door) createKey(c *call) error {
	doc, err := readJSON(c.Request)
	if err != nil {
		return err
	}
	return d.once(c, keysRoute+" "+c.key.ID, doc, func(ctx context.Context) (*reply, error) {
		actor, err := d.actor(c)
		if err != nil {
			return nil, err
		}
		draft, live, err := readKey(doc, true)
		if err != nil {
			return nil, err
		}
		world := c.key.World
		if live != nil {
			world = apikey.World(*live)
		}
		key, secret, err := d.apiKeys.Create(ctx, actor, world, draft)
		if err != nil {
			return nil, err
		}
		return newReply(http.StatusCreated, keysRoute+"/"+key.ID, createdKey{viewKey(key, d.now()), secret})
	})
}

// listKeys is GET /api-keys, newest first. There are few, so a page is cut from all.
func (d *door) listKeys(c *call) error {
	limit, err := c.limit()
	if err != nil {
		return err
	}
	hash := listHash(c.key.World, "api_keys")
	at, err := c.cursor(hash, email.KeyPrefix)
	if err != nil {
		return err
	}
	found, err := d.store.Keys.List(c.ctx(), c.key.World)
	if err != nil {
		return err
	}
	slices.Reverse(found)
	if at.Before != "" {
		found = slices.DeleteFunc(found, func(k *store.Key) bool { return k.ID >= at.Before })
	}
	var next *cursor
	if len(found) > limit {
		found = found[:limit]
		next = &cursor{Version: cursorVersion, List: hash, Before: found[limit-1].ID}
	}
	data := make([]keyView, len(found))
	for i, k := range found {
		data[i] = viewKey(k, d.now())
	}
	d.answerPage(c, data, next)
	return nil
}

// getKey is GET /api-keys/{id}.
func (d *door) getKey(c *call) error {
	id, err := c.keyID()
	if err != nil {
		return err
	}
	key, err := d.store.Keys.Get(c.ctx(), c.key.World, id)
	if err != nil {
		return ofKey(err)
	}
	c.answer(http.StatusOK, viewKey(key, d.now()))
	return nil
}

// updateKey is PATCH /api-keys/{id}: what is not given stays, and null lifts a bound.
func (d *door) updateKey(c *call) error {
	doc, err := readJSON(c.Request)
	if err != nil {
		return err
	}
	id, err := c.keyID()
	if err != nil {
		return err
	}
	draft, _, err := readKey(doc, false)
	if err != nil {
		return err
	}
	actor, err := d.actor(c)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(c.ctx()), commitTimeout)
	defer cancel()
	key, err := d.apiKeys.Update(ctx, actor, c.key.World, id, draft)
	if err != nil {
		return ofKey(err)
	}
	c.answer(http.StatusOK, viewKey(key, d.now()))
	return nil
}

// revokeKey is DELETE /api-keys/{id}.
func (d *door) revokeKey(c *call) error {
	id, err := c.keyID()
	if err != nil {
		return err
	}
	actor, err := d.actor(c)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(c.ctx()), commitTimeout)
	defer cancel()
	if err := d.apiKeys.Revoke(ctx, actor, c.key.World, id); err != nil {
		return ofKey(err)
	}
	c.Status(http.StatusNoContent)
	c.Writer.WriteHeaderNow()
	return nil
}

// rotateKey is POST /api-keys/{id}/rotate: a new secret, beside which the old one goes
// on being valid for a while.
func (d *door) rotateKey(c *call) error {
	doc, err := readOptionalJSON(c.Request)
	if err != nil {
		return err
	}
	id, err := c.keyID()
	if err != nil {
		return err
	}
	return d.once(c, keysRoute+"/"+id+"/rotate "+c.key.ID, doc, func(ctx context.Context) (*reply, error) {
		overlap, err := readOverlap(doc, apikey.DefaultOverlap, apikey.MaxOverlap)
		if err != nil {
			return nil, err
		}
		actor, err := d.actor(c)
		if err != nil {
			return nil, err
		}
		key, secret, err := d.apiKeys.Rotate(ctx, actor, c.key.World, id, overlap)
		if err != nil {
			return nil, ofKey(err)
		}
		return newReply(http.StatusOK, "", createdKey{viewKey(key, d.now()), secret})
	})
}
