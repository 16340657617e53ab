package signin

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"postrider/internal/email"
	"postrider/internal/store"
)

// Roles lists them, from little to all.
func Roles() []store.Role {
	return []store.Role{store.RoleViewer, store.RoleOperator, store.RoleAdministrator}
}

// LinkPath is where the dashboard takes the token of a link.
const LinkPath = "/ui/welcome/"

// first begins the token of a link that makes the first administrator.
const first = "first"

// First makes a link for the first administrator if nobody can administer yet, and
// returns its token; empty: somebody can.
func (d *Desk) First(ctx context.Context) (string, error) {
	administered, err := d.Store.Users.Administered(ctx)
	if err != nil || administered {
		return "", err
	}
	token := first + "." + rand.Text()
	return token, d.Store.Users.OfferFirst(ctx, hashed(token), d.LinkFor)
}

// Draft is what a user is to be.
type Draft struct {
	Role      store.Role
	ReadsMail bool
	Disabled  bool
}

func (r Draft) check() error {
	if !slices.Contains(Roles(), r.Role) {
		return &Refused{"There is no role of this name."}
	}
	return nil
}

// Invite makes a user who has no password yet, and the token of the link to set one.
// *Refused.
func (d *Desk) Invite(ctx context.Context, actor, name string, draft Draft) (*store.User, string, error) {
	if err := draft.check(); err != nil {
		return nil, "", err
	}
	if draft.Disabled {
		return nil, "", disabled()
	}
	u, err := d.fresh(name)
	if err != nil {
		return nil, "", err
	}
	u.Role, u.ReadsMail = draft.Role, draft.ReadsMail
	token := d.link(u)
	if err := refusal(d.Store.Users.Add(ctx, *u)); err != nil {
		return nil, "", err
	}
	d.record(ctx, actor, "user.created", u, told(u))
	return u, token, nil
}

// Find gives the user of a name, however it is written. store.ErrNotFound.
func (d *Desk) Find(ctx context.Context, name string) (*store.User, error) {
	return d.Store.Users.ByName(ctx, canonical(name))
}

// fresh is a new user of this name.
func (d *Desk) fresh(name string) (*store.User, error) {
	name = canonical(name)
	if name == "" {
		return nil, &Refused{fmt.Sprintf("The name must be 1 to %d letters, digits and signs such as . - _ @, without spaces.", maxName)}
	}
	now := d.Now()
	return &store.User{ID: email.NewID(UserPrefix), Name: name, CreatedAt: now, UpdatedAt: now}, nil
}

// link gives a user a new link; the one before is over.
func (d *Desk) link(u *store.User) (token string) {
	token = u.ID + "." + rand.Text()
	u.LinkHash, u.LinkUntil = hashed(token), d.Now().Add(d.LinkFor)
	return token
}

// Link makes a link by which a user can set a new password. The old one stays until
// then. *Refused, store.ErrNotFound.
func (d *Desk) Link(ctx context.Context, actor, id string) (*store.User, string, error) {
	var token string
	u, err := d.Store.Users.Update(ctx, id, d.Now(), func(u *store.User) error {
		if u.Disabled {
			return disabled()
		}
		token = d.link(u)
		return nil
	})
	if err != nil {
		return nil, "", err
	}
	d.record(ctx, actor, "user.link_made", u, "")
	return u, token, nil
}

// disabled refuses a link that leads nowhere now, and somewhere later.
func disabled() error {
	return &Refused{"Who is disabled gets no link: it would be good once they are enabled. Enable them first."}
}

// Change makes a user what the draft says. Who is disabled is signed out, and their link
// is over. *Refused, store.ErrNotFound.
func (d *Desk) Change(ctx context.Context, actor, id string, draft Draft) (*store.User, error) {
	if err := draft.check(); err != nil {
		return nil, err
	}
	var before string
	u, err := d.Store.Users.Update(ctx, id, d.Now(), func(u *store.User) error {
		before = told(u)
		if draft.Disabled && !u.Disabled {
			u.Generation++
		}
		if draft.Disabled != u.Disabled { // enabled too: an earlier version made links for who was disabled
			u.LinkHash, u.LinkUntil = "", time.Time{}
		}
		u.Role, u.ReadsMail, u.Disabled = draft.Role, draft.ReadsMail, draft.Disabled
		return nil
	})
	if err := refusal(err); err != nil {
		return nil, err
	}
	d.record(ctx, actor, "user.updated", u, before+" -> "+told(u))
	return u, nil
}

// Remove removes a user, who is signed out by that. *Refused, store.ErrNotFound.
func (d *Desk) Remove(ctx context.Context, actor, id string) error {
	u, err := d.Store.Users.Remove(ctx, id)
	if err := refusal(err); err != nil {
		return err
	}
	d.record(ctx, actor, "user.removed", u, told(u))
	return nil
}

// told is what a user may, for the record.
func told(u *store.User) string {
	said := string(u.Role)
	if u.ReadsMail {
		said += ", reads mail"
	}
	if u.Disabled {
		said += ", disabled"
	}
	return said
}

// refusal says for people what the store refuses.
func refusal(err error) error {
	switch {
	case errors.Is(err, store.ErrAlreadyExists):
		return &Refused{"There is a user of this name already."}
	case errors.Is(err, store.ErrTooManyUsers):
		return &Refused{fmt.Sprintf("There are %d users already, which is the limit. Remove one first.", store.MaxUsers)}
	case errors.Is(err, store.ErrLastAdministrator):
		return &Refused{"This is the last administrator: nobody could administer any more. Make somebody else an administrator first, who has set a password."}
	case errors.Is(err, store.ErrTooLate):
		return ErrLink
	}
	return err
}

// Welcome is what a link is for.
type Welcome struct {
	First bool   // it makes the first administrator, who chooses a name
	Name  string // whose password it sets
}

// Welcome looks at a link and changes nothing: mail programs and chats open links to
// show what they lead to. ErrLink.
func (d *Desk) Welcome(ctx context.Context, token string) (*Welcome, error) {
	if len(token) > maxToken {
		return nil, ErrLink
	}
	id, _, _ := strings.Cut(token, ".")
	if id == first {
		offered, err := d.Store.Users.Offered(ctx, hashed(token))
		if err == nil && !offered {
			err = ErrLink
		}
		return &Welcome{First: true}, err
	}
	u, err := d.Store.Users.Get(ctx, id)
	if errors.Is(err, store.ErrNotFound) {
		return nil, ErrLink
	}
	if err != nil {
		return nil, err
	}
	return &Welcome{Name: u.Name}, d.good(u, token)
}

// good refuses a link that is not, or no more, this user's.
func (d *Desk) good(u *store.User, token string) error {
	if u.Disabled || u.LinkHash == "" || !same(u.LinkHash, hashed(token)) || !d.Now().Before(u.LinkUntil) {
		return ErrLink
	}
	return nil
}

// Redeem uses a link up: the password is set, all sessions of the user end, and one
// begins, whose token it returns. name is that of the first administrator. ErrLink,
// *Refused, ErrBusy.
func (d *Desk) Redeem(ctx context.Context, token, name, password string, from Place) (string, error) {
	w, err := d.Welcome(ctx, token)
	if err != nil {
		return "", err
	}
	if !w.First {
		name = w.Name
	}
	if err := check(name, password); err != nil {
		return "", err
	}
	var u *store.User
	if w.First {
		// The one who sets this up reads mail too, or the first look would disappoint.
		if u, err = d.fresh(name); err != nil {
			return "", err
		}
		u.Role, u.ReadsMail = store.RoleAdministrator, true
	}
	encoded, err := d.make(ctx, password)
	if err != nil {
		return "", err
	}
	now := d.Now()
	if w.First {
		u.Password, u.SignedInAt = encoded, now
		err = refusal(d.Store.Users.AddFirst(ctx, *u, hashed(token)))
	} else {
		id, _, _ := strings.Cut(token, ".")
		u, err = d.Store.Users.Update(ctx, id, now, func(u *store.User) error {
			if err := d.good(u, token); err != nil {
				return err
			}
			u.Password, u.LinkHash, u.LinkUntil, u.SignedInAt = encoded, "", time.Time{}, now
			u.Generation++
			return nil
		})
	}
	if err != nil {
		return "", err
	}
	d.record(ctx, Actor(u.Name), "user.password_set", u, "by a link")
	return d.begin(ctx, u, from)
}
