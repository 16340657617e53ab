package signin

import (
	"context"
	"crypto/rand"
	"errors"
	"slices"
	"strings"
	"time"

	"postrider/internal/store"
)

// Place is where somebody sits, as far as can be told.
type Place struct {
	Network string // an address, or the network that it is of
	Browser string // for people; may be empty
}

// Visit tells who has a session. It lasts longer by that, and is noted to be used at a
// place; nil: nobody is active, a page just refreshes itself. ErrSignedOut.
func (d *Desk) Visit(ctx context.Context, token string, at *Place) (*store.User, error) {
	s, u, err := d.session(ctx, token)
	if err != nil {
		return nil, err
	}
	now := d.Now()
	if at != nil && (now.Sub(s.SeenAt) > d.Idle/100 || *at != Place{s.Network, s.Browser}) {
		s.SeenAt, s.Network, s.Browser = now, at.Network, at.Browser
		if err := d.Store.Sessions.Seen(ctx, *s, d.left(s)); err != nil {
			d.Log.Warn("a session was not prolonged", "user", u.ID, "error", err)
		}
	}
	return u, nil
}

// maxToken is more than any token of ours.
const maxToken = 100

// session is the one that a token opens, and its user. ErrSignedOut.
func (d *Desk) session(ctx context.Context, token string) (*store.Session, *store.User, error) {
	if len(token) > maxToken || token == "" {
		return nil, nil, ErrSignedOut
	}
	s, u, err := d.Store.Sessions.Find(ctx, hashed(token))
	if errors.Is(err, store.ErrNotFound) {
		return nil, nil, ErrSignedOut
	}
	if err != nil {
		return nil, nil, err
	}
	if u.Disabled || d.over(s, u) {
		return nil, nil, ErrSignedOut
	}
	return s, u, nil
}

// over reports whether a session of a user has ended.
func (d *Desk) over(s *store.Session, u *store.User) bool {
	now := d.Now()
	return s.Generation != u.Generation || now.Sub(s.SeenAt) >= d.Idle || now.Sub(s.CreatedAt) >= d.Lifetime
}

// left is how long a session is remembered if nothing more happens.
func (d *Desk) left(s *store.Session) time.Duration {
	return min(d.Idle, s.CreatedAt.Add(d.Lifetime).Sub(d.Now()))
}

// begin makes a session of a user.
func (d *Desk) begin(ctx context.Context, u *store.User, from Place) (token string, err error) {
	token, now := rand.Text()+rand.Text(), d.Now()
	s := store.Session{
		ID: hashed(token), User: u.ID, Generation: u.Generation, CreatedAt: now, SeenAt: now, Network: from.Network, Browser: from.Browser,
	}
	return token, d.Store.Sessions.Begin(ctx, s, d.left(&s))
}

// Session is one of somebody's.
type Session struct {
	*store.Session
	This bool // it is the one that asks
}

// Sessions lists those of a user, this one and then the one that was used last first.
// token is that of the session that asks.
func (d *Desk) Sessions(ctx context.Context, u *store.User, token string) ([]Session, error) {
	found, err := d.Store.Sessions.Of(ctx, u.ID)
	if err != nil {
		return nil, err
	}
	var list []Session
	for _, s := range found {
		switch {
		case d.over(s, u):
		case s.ID == hashed(token):
			list = slices.Insert(list, 0, Session{s, true})
		default:
			list = append(list, Session{s, false})
		}
	}
	return list, nil
}

// SignOut ends the session of a token.
func (d *Desk) SignOut(ctx context.Context, token string) error {
	s, u, err := d.session(ctx, token)
	if errors.Is(err, ErrSignedOut) {
		return nil
	}
	if err != nil {
		return err
	}
	return d.Store.Sessions.End(ctx, u.ID, s.ID)
}

// EndSession ends one session of a user. store.ErrNotFound if it is none of theirs.
func (d *Desk) EndSession(ctx context.Context, u *store.User, id string) error {
	found, err := d.Store.Sessions.Of(ctx, u.ID)
	if err != nil {
		return err
	}
	i := slices.IndexFunc(found, func(s *store.Session) bool { return s.ID == id && !d.over(s, u) })
	if i < 0 {
		return store.ErrNotFound
	}
	if err := d.Store.Sessions.End(ctx, u.ID, id); err != nil {
		return err
	}
	place := strings.TrimSuffix("from "+found[i].Network+", "+found[i].Browser, ", ")
	d.record(ctx, Actor(u.Name), "user.session_ended", u, place)
	return nil
}

// SignOutOthers ends all sessions of a user but that of a token. ErrSignedOut.
func (d *Desk) SignOutOthers(ctx context.Context, token string) error {
	s, u, err := d.session(ctx, token)
	if err != nil {
		return err
	}
	// A generation ends also what no list names.
	if u, err = d.nextGeneration(ctx, u.ID); err != nil {
		return err
	}
	s.Generation = u.Generation
	if err := d.Store.Sessions.Seen(ctx, *s, d.left(s)); err != nil {
		return err
	}
	d.record(ctx, Actor(u.Name), "user.signed_out_elsewhere", u, "")
	return nil
}

// SignOutEverywhere ends all sessions of a user. store.ErrNotFound.
func (d *Desk) SignOutEverywhere(ctx context.Context, actor, id string) error {
	u, err := d.nextGeneration(ctx, id)
	if err == nil {
		d.record(ctx, actor, "user.signed_out_everywhere", u, "")
	}
	return err
}

func (d *Desk) nextGeneration(ctx context.Context, id string) (*store.User, error) {
	return d.Store.Users.Update(ctx, id, d.Now(), func(u *store.User) error {
		u.Generation++
		return nil
	})
}
