// Package signin knows who may use the dashboard: its users, their passwords, and
// who is signed in.
//
// It is not a door: it makes no page and reads no cookie. Passwords are kept as
// argon2id (RFC 9106), sessions and links by the hash of a token that only its owner
// has. A session counts for what its user is now: who is disabled, removed or given
// another role is so from the next request on.
//
//	desk := signin.New(signin.Options{Store: st})
//	link, err := desk.First(ctx) // empty: somebody can administer
//	token, err := desk.SignIn(ctx, name, password, place)
//	user, err := desk.Visit(ctx, token, &place)
package signin

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"golang.org/x/text/secure/precis"

	"postrider/internal/email"
	"postrider/internal/store"
)

// UserPrefix begins the ids of users.
const UserPrefix = "usr"

// Errors that people are told of.
var (
	// ErrWrong: no such name, another password, no password yet, or disabled. Which of
	// these it is nobody is told.
	ErrWrong = errors.New("the name or the password is wrong")
	// ErrLink: the link was used, has expired, or never was one.
	ErrLink = errors.New("this link was used already, has expired, or was replaced by a newer one")
	// ErrSignedOut: there is no such session any more.
	ErrSignedOut = errors.New("not signed in")
	// ErrBusy: too many passwords are being checked.
	ErrBusy = errors.New("too many people sign in at this moment")
)

// Refused says what is wrong with something that was entered.
type Refused struct{ Text string }

func (r *Refused) Error() string { return r.Text }

// Throttled says that there were too many tries.
type Throttled struct{ Wait time.Duration }

func (t *Throttled) Error() string {
	return fmt.Sprintf("too many tries to sign in; the next one is possible in %v", t.Wait.Round(time.Second))
}

// Options are what a Desk is made from. Zero members have defaults.
type Options struct {
	Store *store.Store
	Log   *slog.Logger
	Now   func() time.Time
	// Metrics count the tries to sign in; nil: nothing does.
	Metrics *Metrics

	Idle     time.Duration // a session ends when it was not used for so long: 12 h
	Lifetime time.Duration // and after so long in any case: 7 days
	LinkFor  time.Duration // how long a link is good: 48 h
}

// Desk signs people in and keeps the list of users. It is safe for concurrent use.
type Desk struct {
	Options
	hashers chan struct{} // as many as may hash at once
	nobody  string        // the hash that is compared with where there is no user
}

// New makes a Desk.
func New(o Options) *Desk {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	for _, d := range []struct {
		field *time.Duration
		value time.Duration
	}{{&o.Idle, 12 * time.Hour}, {&o.Lifetime, 7 * 24 * time.Hour}, {&o.LinkFor, 48 * time.Hour}} {
		if *d.field <= 0 {
			*d.field = d.value
		}
	}
	return &Desk{Options: o, hashers: make(chan struct{}, atOnce), nobody: hash(rand.Text())}
}

// hashed is how tokens are stored: they have 128 bits or more, so one SHA-256 does.
func hashed(token string) string {
	sum := sha256.Sum256([]byte(token))
	return hex.EncodeToString(sum[:])
}

func same(a, b string) bool { return subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1 }

// SignIn checks a password and returns the token of a new session. ErrWrong, ErrBusy,
// *Throttled.
func (d *Desk) SignIn(ctx context.Context, name, password string, from Place) (token string, err error) {
	defer func() { d.Metrics.tried(err) }()
	u, err := d.verify(ctx, name, password, from.Network)
	if err != nil {
		return "", err
	}
	// The user may have been changed while the password was checked.
	checked := u.Password
	u, err = d.Store.Users.Update(ctx, u.ID, d.Now(), func(u *store.User) error {
		if u.Disabled || u.Password != checked {
			return ErrWrong
		}
		u.SignedInAt = d.Now()
		if weak(u.Password) {
			u.Password = hash(prepared(password))
		}
		return nil
	})
	if errors.Is(err, store.ErrNotFound) {
		return "", ErrWrong
	}
	if err != nil {
		return "", err
	}
	token, err = d.begin(ctx, u, from)
	if err == nil {
		d.record(ctx, Actor(u.Name), "user.signed_in", u, "from "+from.Network)
	}
	return token, err
}

// verify finds the user who has this name and password. What it does, and how long it
// takes, is the same whether there is one or not.
func (d *Desk) verify(ctx context.Context, name, password, from string) (*store.User, error) {
	name = canonical(name)
	tries := []store.Try{
		{Of: "both:" + hashed(name + "\x00" + from)[:32], Most: 10, Per: 15 * time.Minute},
		{Of: "from:" + hashed(from)[:32], Most: 50, Per: 15 * time.Minute},
		{Of: "name:" + hashed(name)[:32], Most: 100, Per: time.Hour},
	}
	wait, err := d.Store.Tries.Take(ctx, tries)
	if err != nil {
		return nil, err
	}
	if wait > 0 {
		d.Log.Warn("sign-in was throttled", "network", from, "wait", wait)
		return nil, &Throttled{wait}
	}
	u, err := d.Store.Users.ByName(ctx, name)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return nil, err
	}
	encoded := d.nobody
	known := u != nil && !u.Disabled && u.Password != ""
	if known {
		encoded = u.Password
	}
	matches, err := d.compare(ctx, encoded, password)
	if err != nil {
		return nil, err
	}
	if !known || !matches {
		d.Log.Warn("sign-in was refused", "network", from)
		return nil, ErrWrong
	}
	return u, d.Store.Tries.Forgive(ctx, tries)
}

// ChangePassword gives a user another password and ends all sessions; the token is that
// of a new one. ErrWrong if the old one is another, *Refused, ErrBusy, *Throttled.
func (d *Desk) ChangePassword(ctx context.Context, u *store.User, old, password string, from Place) (string, error) {
	if err := check(u.Name, password); err != nil {
		return "", err
	}
	known, err := d.verify(ctx, u.Name, old, from.Network)
	if err != nil {
		return "", err
	}
	if known.ID != u.ID {
		return "", ErrWrong
	}
	encoded, err := d.make(ctx, password)
	if err != nil {
		return "", err
	}
	changed, err := d.Store.Users.Update(ctx, u.ID, d.Now(), func(u *store.User) error {
		if u.Password != known.Password || u.Disabled {
			return ErrWrong
		}
		u.Password, u.LinkHash, u.LinkUntil = encoded, "", time.Time{}
		u.Generation++
		return nil
	})
	if err != nil {
		return "", err
	}
	d.record(ctx, Actor(u.Name), "user.password_changed", changed, "")
	return d.begin(ctx, changed, from)
}

// Actor is a user in the record of changes.
func Actor(name string) string { return "user:" + name }

// record notes who did what.
func (d *Desk) record(ctx context.Context, actor, action string, u *store.User, detail string) {
	d.Store.Audit.Note(ctx, d.Log, store.Change{
		World: email.Live, At: d.Now(), Actor: actor, Action: action, Object: u.ID, Detail: strings.TrimSpace(u.Name + " " + detail),
	})
}

// canonical is a name as it is compared (RFC 8265, 3.3); empty: it is none.
func canonical(name string) string {
	name = strings.TrimSpace(name)
	if len(name) > maxName {
		return ""
	}
	name, err := precis.UsernameCaseMapped.String(name)
	if err != nil || len(name) > maxName {
		return ""
	}
	return name
}

// IsName reports whether somebody may have this name.
func IsName(name string) bool { return canonical(name) != "" }

const maxName = 64
