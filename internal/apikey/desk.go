package apikey

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"postrider/internal/email"
	"postrider/internal/intake"
	"postrider/internal/store"
)

// ErrPaused: a key whose sending is paused changes no keys, or it could lift its pause.
var ErrPaused = errors.New("the sending of the key that asks is paused")

// Desk makes and changes keys and records who did. It is safe for concurrent use.
type Desk struct {
	Store *store.Store
	Log   *slog.Logger     // nil: none
	Now   func() time.Time // nil: time.Now
}

func (d *Desk) now() time.Time {
	if d.Now == nil {
		return time.Now()
	}
	return d.Now()
}

// Create makes a key and the secret that is shown only now. Errors: *intake.Invalid, *Excess, ErrPaused.
func (d *Desk) Create(ctx context.Context, a Actor, w email.World, draft Draft) (k *store.Key, secret string, err error) {
	if found := draft.Check(true, d.now()); len(found) > 0 {
		return nil, "", &intake.Invalid{Faults: found}
	}
	now := d.now().UTC().Truncate(time.Millisecond)
	k = &store.Key{ID: email.NewID(email.KeyPrefix), World: w, CreatedAt: now, UpdatedAt: now}
	draft.apply(k)
	a.inherit(k)
	if err := d.allow(a, k); err != nil {
		return nil, "", err
	}
	secret, hash := New(w)
	k.Prefix = secret[:Shown]
	err = d.Store.Keys.Add(ctx, *k, hash)
	if errors.Is(err, store.ErrTooManyKeys) {
		return nil, "", &intake.Invalid{Faults: []intake.Fault{{
			Pointer: "#", Code: intake.TooMany,
			Detail: fmt.Sprintf("there are %d keys already, which is the limit: revoke one first", store.MaxAPIKeys),
		}}}
	}
	if err != nil {
		return nil, "", err
	}
	d.record(ctx, a, "api_key.created", k)
	return k, secret, nil
}

// Update changes a key, which takes effect in all processes within seconds. An actor
// changes no key that may do more than it may itself. Errors: as Create, and
// store.ErrNotFound.
func (d *Desk) Update(ctx context.Context, a Actor, w email.World, id string, draft Draft) (*store.Key, error) {
	if found := draft.Check(false, d.now()); len(found) > 0 {
		return nil, &intake.Invalid{Faults: found}
	}
	k, err := d.Store.Keys.Update(ctx, w, id, d.now(), func(k *store.Key) error {
		if err := d.touch(a, k); err != nil {
			return err
		}
		draft.apply(k)
		return d.allow(a, k)
	})
	if err != nil {
		return nil, err
	}
	d.record(ctx, a, "api_key.updated", k)
	return k, nil
}

// Rotate gives a key a new secret; the one before goes on being valid for overlap.
// Errors: as Update.
func (d *Desk) Rotate(ctx context.Context, a Actor, w email.World, id string, overlap time.Duration) (k *store.Key, secret string, err error) {
	secret, hash := New(w)
	k, err = d.Store.Keys.Rotate(ctx, w, id, hash, d.now(), func(k *store.Key) error {
		if err := d.touch(a, k); err != nil { // who rotates a key can use it
			return err
		}
		k.Prefix, k.OldUntil = secret[:Shown], d.now().Add(overlap).UTC().Truncate(time.Millisecond)
		return nil
	})
	if err != nil {
		return nil, "", err
	}
	d.record(ctx, a, "api_key.rotated", k)
	return k, secret, nil
}

// Revoke removes a key for good. Errors: as Update.
func (d *Desk) Revoke(ctx context.Context, a Actor, w email.World, id string) error {
	var revoked *store.Key
	err := d.Store.Keys.Revoke(ctx, w, id, func(k *store.Key) error {
		revoked = k
		return d.touch(a, k)
	})
	if err != nil {
		return err
	}
	d.record(ctx, a, "api_key.revoked", revoked)
	return nil
}

// allow refuses an actor that may not do what it asks for with a key.
func (d *Desk) allow(a Actor, k *store.Key) error {
	if a.Key != nil && a.Key.SendingPaused {
		return ErrPaused
	}
	return a.within(k)
}

// touch is allow for a key as it stands: nobody changes one that reaches further.
func (d *Desk) touch(a Actor, k *store.Key) error {
	err := d.allow(a, k)
	var excess *Excess
	if errors.As(err, &excess) {
		excess.Standing = true
	}
	return err
}

// record notes who did what.
func (d *Desk) record(ctx context.Context, a Actor, action string, k *store.Key) {
	d.Store.Audit.Note(ctx, d.Log, store.Change{
		World: k.World, At: d.now(), Actor: a.Name(), Action: action, Object: k.ID, Detail: k.Name, Request: a.Request,
	})
}
