package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"postrider/api"
	"postrider/client"
	"postrider/internal/apikey"
	"postrider/internal/app"
	"postrider/internal/config"
	"postrider/internal/email"
	"postrider/internal/intake"
	"postrider/internal/store"
)

const keyLifetime = api.KeyLifetime

// keyAdmin is where keys are made and changed: on the Redis itself, or by a server.
type keyAdmin interface {
	create(context.Context, *keysCreate) (*client.APIKey, error)
	list(context.Context) ([]*client.APIKey, error)
	get(ctx context.Context, id string) (*client.APIKey, error)
	update(context.Context, *keysUpdate) (*client.APIKey, error)
	rotate(ctx context.Context, id string, overlap time.Duration) (*client.APIKey, error)
	revoke(ctx context.Context, id string) error
}

// withKeys does something to the keys of the Redis that is configured, or without one of
// the server.
func withKeys(ctx context.Context, c config.Config, t terminal, do func(keyAdmin) error) error {
	if c.RedisURL != "" {
		return withStore(ctx, c, func(s *store.Store) error {
			return do(&ownKeys{store: s, desk: &apikey.Desk{Store: s}, actor: apikey.Actor{RateLimit: c.RateLimit}})
		})
	}
	if t.variable("POSTRIDER_URL") == "" {
		return errors.New("no keys are at hand: set POSTRIDER_REDIS_URL to work on the Redis itself, as for the first key, or POSTRIDER_URL and POSTRIDER_API_KEY to ask a server")
	}
	remote, err := remote(t)
	if err != nil {
		return err
	}
	return do(&serverKeys{remote})
}

// withStore does something that needs the store and nothing else.
func withStore(ctx context.Context, c config.Config, do func(*store.Store) error) error {
	a, err := app.OpenStore(ctx, c)
	if err != nil {
		return err
	}
	return errors.Join(do(a.Store), a.Close())
}

// ownKeys are those of a Redis, of both worlds.
type ownKeys struct {
	store *store.Store
	desk  *apikey.Desk
	actor apikey.Actor
}

func (o *ownKeys) create(ctx context.Context, k *keysCreate) (*client.APIKey, error) {
	made, secret, err := o.desk.Create(ctx, o.actor, apikey.World(!k.Test), k.draft())
	return shown(made, secret, err)
}

func (o *ownKeys) list(ctx context.Context) ([]*client.APIKey, error) {
	var out []*client.APIKey
	for _, w := range []email.World{email.Live, email.Test} {
		found, err := o.store.Keys.List(ctx, w)
		if err != nil {
			return nil, err
		}
		for _, k := range found {
			key, err := shown(k, "", nil)
			if err != nil {
				return nil, err
			}
			out = append(out, key)
		}
	}
	slices.SortFunc(out, func(a, b *client.APIKey) int { return cmp.Compare(a.ID, b.ID) }) // ids sort by time
	return out, nil
}

func (o *ownKeys) get(ctx context.Context, id string) (*client.APIKey, error) {
	var found *store.Key
	err := o.inWorldOf(id, func(w email.World) (err error) {
		found, err = o.store.Keys.Get(ctx, w, id)
		return err
	})
	return shown(found, "", err)
}

func (o *ownKeys) update(ctx context.Context, k *keysUpdate) (*client.APIKey, error) {
	var changed *store.Key
	err := o.inWorldOf(k.ID, func(w email.World) (err error) {
		changed, err = o.desk.Update(ctx, o.actor, w, k.ID, k.draft())
		return err
	})
	return shown(changed, "", err)
}

func (o *ownKeys) rotate(ctx context.Context, id string, overlap time.Duration) (*client.APIKey, error) {
	var (
		rotated *store.Key
		secret  string
	)
	err := o.inWorldOf(id, func(w email.World) (err error) {
		rotated, secret, err = o.desk.Rotate(ctx, o.actor, w, id, overlap)
		return err
	})
	return shown(rotated, secret, err)
}

func (o *ownKeys) revoke(ctx context.Context, id string) error {
	return o.inWorldOf(id, func(w email.World) error { return o.desk.Revoke(ctx, o.actor, w, id) })
}

// inWorldOf does something in the world that has a key.
func (o *ownKeys) inWorldOf(id string, do func(email.World) error) error {
	for _, w := range []email.World{email.Live, email.Test} {
		if err := do(w); !errors.Is(err, store.ErrNotFound) {
			return err
		}
	}
	return fmt.Errorf("there is no key with the id %q; `postrider keys list` shows them", id)
}

// shown is a key as the API gives it.
func shown(k *store.Key, secret string, err error) (*client.APIKey, error) {
	if err != nil {
		return nil, err
	}
	raw, err := api.KeyJSON(k, secret, time.Now())
	if err != nil {
		return nil, err
	}
	var out client.APIKey
	return &out, json.Unmarshal(raw, &out)
}

// serverKeys are those that a server shows to the client's key.
type serverKeys struct{ client *client.Client }

func (s *serverKeys) create(ctx context.Context, k *keysCreate) (*client.APIKey, error) {
	asked := client.NewAPIKey{
		Name: k.Name, Scopes: k.Scopes, AllowedFromDomains: k.FromDomain, AllowedIPs: k.IP, ExpiresAt: k.Expires,
		RequestsPerSecond: int(k.PerSecond), RecipientsPerDay: int(k.RecipientsPerDay),
	}
	if k.Test {
		asked.Livemode = new(bool)
	}
	if len(asked.Scopes) == 0 {
		me, err := s.client.Me(ctx)
		if err != nil {
			return nil, err
		}
		asked.Scopes = me.Scopes
	}
	return s.client.CreateAPIKey(ctx, asked)
}

func (s *serverKeys) list(ctx context.Context) ([]*client.APIKey, error) {
	var out []*client.APIKey
	for k, err := range s.client.APIKeys(ctx) {
		if err != nil {
			return nil, err
		}
		out = append(out, k)
	}
	slices.Reverse(out) // oldest first, as on the Redis
	return out, nil
}

func (s *serverKeys) get(ctx context.Context, id string) (*client.APIKey, error) {
	return s.client.APIKey(ctx, id)
}

func (s *serverKeys) update(ctx context.Context, k *keysUpdate) (*client.APIKey, error) {
	change := client.APIKeyChange{
		Name: k.Name, Scopes: k.Scopes, AllowedFromDomains: k.FromDomain, AllowedIPs: k.IP, ExpiresAt: k.Expires,
		RequestsPerSecond: int(k.PerSecond), RecipientsPerDay: int(k.RecipientsPerDay), Lift: k.Lift,
	}
	if k.Pause || k.Resume {
		change.SendingPaused = &k.Pause
	}
	return s.client.UpdateAPIKey(ctx, k.ID, change)
}

func (s *serverKeys) rotate(ctx context.Context, id string, overlap time.Duration) (*client.APIKey, error) {
	return s.client.RotateAPIKey(ctx, id, overlap)
}

func (s *serverKeys) revoke(ctx context.Context, id string) error {
	return s.client.RevokeAPIKey(ctx, id)
}

// flagFaults names what is wrong by the flags that said it.
func flagFaults(faults []intake.Fault) error {
	flags := map[string]string{"allowed_from_domains": "from-domain", "allowed_ips": "ip", "expires_at": "expires"}
	var errs []error
	for _, f := range faults {
		name, _, _ := strings.Cut(strings.TrimPrefix(f.Pointer, "#/"), "/")
		flag, ok := flags[name]
		if !ok {
			flag = strings.ReplaceAll(name, "_", "-")
		}
		errs = append(errs, fmt.Errorf("--%s: %s", flag, f.Detail))
	}
	return errors.Join(errs...)
}
