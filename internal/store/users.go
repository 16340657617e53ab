package store

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/redis/go-redis/v9"
)

// MaxUsers is how many users the dashboard may have.
const MaxUsers = 500

// Errors of a change of users.
var (
	ErrTooManyUsers      = errors.New("too many users")
	ErrLastAdministrator = errors.New("nobody else could administer")
	// ErrTooLate: the link for the first administrator was used, has expired, or there
	// is an administrator by now.
	ErrTooLate = errors.New("there is an administrator, or the link is over")
)

// Role is what a user of the dashboard may do; package signin says what each allows.
type Role string

// The roles.
const (
	RoleViewer        Role = "viewer"
	RoleOperator      Role = "operator"
	RoleAdministrator Role = "administrator"
)

// User is a user of the dashboard. Of passwords and links only hashes are stored.
type User struct {
	ID        string
	Name      string // never changes
	Role      Role
	ReadsMail bool // may see the content of mails
	Disabled  bool
	Password  string // encoded hash; empty: none was set yet
	// Generation counts what ended all sessions: those of an earlier one are over.
	Generation int
	// LinkHash is that of the link by which a password can be set until LinkUntil;
	// empty: there is none.
	LinkHash   string
	LinkUntil  time.Time
	CreatedAt  time.Time
	UpdatedAt  time.Time
	SignedInAt time.Time // last; zero: never
}

// administers reports whether a user can administer as things stand.
func (u *User) administers() bool {
	return u.Role == RoleAdministrator && !u.Disabled && u.Password != ""
}

type storedUser struct {
	ID         string `json:"i"`
	Name       string `json:"n"`
	Role       Role   `json:"r"`
	ReadsMail  bool   `json:"m,omitempty"`
	Disabled   bool   `json:"d,omitempty"`
	Password   string `json:"p,omitempty"`
	Generation int    `json:"g,omitempty"`
	LinkHash   string `json:"l,omitempty"`
	LinkUntil  int64  `json:"lu,omitempty"`
	Created    int64  `json:"c"`
	Updated    int64  `json:"u,omitempty"`
	SignedIn   int64  `json:"s,omitempty"`
	Nonce      string `json:"o"` // of the write
}

func encodeUser(u *User) ([]byte, error) {
	return json.Marshal(storedUser{
		u.ID, u.Name, u.Role, u.ReadsMail, u.Disabled, u.Password, u.Generation, u.LinkHash, toMS(u.LinkUntil),
		toMS(u.CreatedAt), toMS(u.UpdatedAt), toMS(u.SignedInAt), nonce(),
	})
}

func decodeUser(raw string) (*User, error) {
	var s storedUser
	if err := json.Unmarshal([]byte(raw), &s); err != nil {
		return nil, fmt.Errorf("read a user: %w: %w", ErrBroken, err)
	}
	return &User{
		s.ID, s.Name, s.Role, s.ReadsMail, s.Disabled, s.Password, s.Generation, s.LinkHash, fromMS(s.LinkUntil),
		fromMS(s.Created), fromMS(s.Updated), fromMS(s.SignedIn),
	}, nil
}

// Users is the aggregate of the dashboard's users.
type Users struct {
	rdb  redis.UniversalClient
	swap *redis.Script
}

// swapUserScript replaces a user if it is still what was read.
//
//	KEYS 1 the users, 2 their names, 3 who can administer, 4 the link for the first
//	     administrator, which must stand and is used up (1: none is needed)
//	ARGV 1 id, 2 value as read, empty: none, 3 new value, empty: none, 4 name,
//	     5 1 if the user can administer from now on, 6 most users
//
// Returns 1, 0 if another value stands there, -1 if the name is taken, -2 if there are
// too many, -3 if nobody could administer any more, -4 if the link is over. Safe to run
// twice: the second run finds its own value, which holds a nonce.
const swapUserScript = `
local standing = redis.call('HGET', KEYS[1], ARGV[1]) or ''
if standing == ARGV[3] then return 1 end
if standing ~= ARGV[2] then return 0 end
if standing == '' then
  if redis.call('HEXISTS', KEYS[2], ARGV[4]) == 1 then return -1 end
  if redis.call('HLEN', KEYS[1]) >= tonumber(ARGV[6]) then return -2 end
  if KEYS[4] ~= KEYS[1] then
    if redis.call('SCARD', KEYS[3]) > 0 then return -4 end
    if redis.call('DEL', KEYS[4]) == 0 then return -4 end
  end
end
if ARGV[5] == '0' and redis.call('SISMEMBER', KEYS[3], ARGV[1]) == 1 and redis.call('SCARD', KEYS[3]) == 1 then
  return -3
end
if ARGV[3] == '' then
  redis.call('HDEL', KEYS[1], ARGV[1])
  redis.call('HDEL', KEYS[2], ARGV[4])
else
  redis.call('HSET', KEYS[1], ARGV[1], ARGV[3])
  redis.call('HSET', KEYS[2], ARGV[4], ARGV[1])
end
if ARGV[5] == '1' then redis.call('SADD', KEYS[3], ARGV[1]) else redis.call('SREM', KEYS[3], ARGV[1]) end
return 1
`

// swapped is the answer of swapUserScript: whether it did the change, or why never.
func (u *Users) swapped(ctx context.Context, user *User, before, after, link string) (bool, error) {
	administers := 0
	if after != "" && user.administers() {
		administers = 1
	}
	code, err := u.swap.Run(ctx, u.rdb, []string{usersKey, userNames, adminsKey, link}, user.ID, before, after, user.Name, administers, MaxUsers).Int()
	if err != nil {
		return false, err
	}
	return code == 1, map[int]error{-1: ErrAlreadyExists, -2: ErrTooManyUsers, -3: ErrLastAdministrator, -4: ErrTooLate}[code]
}

// Add keeps a new user. ErrAlreadyExists if the name is taken, ErrTooManyUsers.
func (u *Users) Add(ctx context.Context, user User) error { return u.add(ctx, user, usersKey) }

// AddFirst is Add for the first administrator, who has a link of this hash: it is used
// up. ErrTooLate if it is over.
func (u *Users) AddFirst(ctx context.Context, user User, link string) error {
	return u.add(ctx, user, firstPrefix+link)
}

func (u *Users) add(ctx context.Context, user User, link string) error {
	raw, err := encodeUser(&user)
	if err == nil {
		var done bool
		if done, err = u.swapped(ctx, &user, "", string(raw), link); err == nil && !done {
			err = ErrAlreadyExists
		}
	}
	if err != nil {
		return fmt.Errorf("add user %s: %w", user.ID, err)
	}
	return nil
}

// Get reads a user. ErrNotFound if there is none of this id.
func (u *Users) Get(ctx context.Context, id string) (*User, error) {
	_, user, err := u.read(ctx, id)
	return user, err
}

// ByName finds a user by the name. ErrNotFound if there is none.
func (u *Users) ByName(ctx context.Context, name string) (*User, error) {
	id, err := u.rdb.HGet(ctx, userNames, name).Result()
	if errors.Is(err, redis.Nil) {
		return nil, ErrNotFound
	}
	if err != nil {
		return nil, fmt.Errorf("find a user: %w", err)
	}
	return u.Get(ctx, id)
}

// List reads all users, by name.
func (u *Users) List(ctx context.Context) ([]*User, error) {
	values, err := u.rdb.HVals(ctx, usersKey).Result()
	if err != nil {
		return nil, fmt.Errorf("list users: %w", err)
	}
	list := make([]*User, 0, len(values))
	for _, raw := range values {
		user, err := decodeUser(raw)
		if err != nil {
			return nil, err
		}
		list = append(list, user)
	}
	slices.SortFunc(list, func(a, b *User) int { return cmp.Compare(a.Name, b.Name) })
	return list, nil
}

// Update changes a user and returns it as stored. change sees it as it is, must not
// change its id or name, and is called again if another update came between; its error
// ends the update. ErrNotFound, ErrLastAdministrator.
func (u *Users) Update(ctx context.Context, id string, now time.Time, change func(*User) error) (*User, error) {
	for range updateTries {
		before, user, err := u.read(ctx, id)
		if err != nil {
			return nil, err
		}
		if err := change(user); err != nil {
			return nil, err
		}
		user.UpdatedAt = fromMS(toMS(now))
		raw, err := encodeUser(user)
		if err != nil {
			return nil, fmt.Errorf("update user %s: %w", id, err)
		}
		done, err := u.swapped(ctx, user, before, string(raw), usersKey)
		if err != nil {
			return nil, fmt.Errorf("update user %s: %w", id, err)
		}
		if done {
			return user, nil
		}
	}
	return nil, fmt.Errorf("update user %s: others kept changing it", id)
}

// Remove removes a user and returns what it was. ErrNotFound, ErrLastAdministrator.
func (u *Users) Remove(ctx context.Context, id string) (*User, error) {
	for range updateTries {
		before, user, err := u.read(ctx, id)
		if err != nil {
			return nil, err
		}
		done, err := u.swapped(ctx, user, before, "", usersKey)
		if err != nil {
			return nil, fmt.Errorf("remove user %s: %w", id, err)
		}
		if done {
			return user, nil
		}
	}
	return nil, fmt.Errorf("remove user %s: others kept changing it", id)
}

func (u *Users) read(ctx context.Context, id string) (string, *User, error) {
	raw, err := u.rdb.HGet(ctx, usersKey, id).Result()
	if errors.Is(err, redis.Nil) {
		return "", nil, ErrNotFound
	}
	if err != nil {
		return "", nil, fmt.Errorf("read user %s: %w", id, err)
	}
	user, err := decodeUser(raw)
	if err == nil && user.ID != id {
		err = fmt.Errorf("read user %s: %w", id, ErrBroken)
	}
	return raw, user, err
}

// Administered reports whether anybody can administer.
func (u *Users) Administered(ctx context.Context) (bool, error) {
	n, err := u.rdb.SCard(ctx, adminsKey).Result()
	if err != nil {
		return false, fmt.Errorf("look for administrators: %w", err)
	}
	return n > 0, nil
}

// OfferFirst keeps the hash of a link that makes the first administrator.
func (u *Users) OfferFirst(ctx context.Context, link string, ttl time.Duration) error {
	if err := u.rdb.Set(ctx, firstPrefix+link, "1", ttl).Err(); err != nil {
		return fmt.Errorf("keep the link for the first administrator: %w", err)
	}
	return nil
}

// Offered reports whether the link of this hash would make the first administrator.
func (u *Users) Offered(ctx context.Context, link string) (bool, error) {
	n, err := u.rdb.Exists(ctx, firstPrefix+link).Result()
	if err != nil {
		return false, fmt.Errorf("look for the link for the first administrator: %w", err)
	}
	administered, err := u.Administered(ctx)
	return n > 0 && !administered, err
}
