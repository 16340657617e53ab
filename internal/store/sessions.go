package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"
)

// maxSessions is how many sessions a user may have: one more ends the one that was not
// used for longest.
const maxSessions = 50

// Session is somebody's being signed in. It is found by the hash of its token, which
// is not stored.
type Session struct {
	ID         string // the hash
	User       string // id
	Generation int    // the user's, when it began
	CreatedAt  time.Time
	SeenAt     time.Time
	Network    string // where it was used last
	Browser    string // by what, for people; may be empty
}

type storedSession struct {
	User       string `json:"u"`
	Generation int    `json:"g"`
	Created    int64  `json:"c"`
	Seen       int64  `json:"s"`
	Network    string `json:"n,omitempty"`
	Browser    string `json:"b,omitempty"`
}

func decodeSession(id, raw string) (*Session, error) {
	var s storedSession
	if err := json.Unmarshal([]byte(raw), &s); err != nil {
		return nil, fmt.Errorf("read a session: %w", ErrBroken)
	}
	return &Session{id, s.User, s.Generation, fromMS(s.Created), fromMS(s.Seen), s.Network, s.Browser}, nil
}

// Sessions are those of the dashboard's users.
type Sessions struct {
	rdb        redis.UniversalClient
	find, keep *redis.Script
}

// findSessionScript reads a session and its user.
//
//	KEYS 1 the session, 2 the users
//
// Returns the session and the user, or nothing. It changes nothing.
const findSessionScript = `
local s = redis.call('GET', KEYS[1])
if not s then return false end
local u = redis.call('HGET', KEYS[2], cjson.decode(s).u)
if not u then return false end
return {s, u}
`

// keepSessionScript writes a session, a new one or one that is still there.
//
//	KEYS 1 the session, 2 the sessions of its user
//	ARGV 1 the session, 2 ms until it is forgotten, 3 1 if it must be there, 4 its id,
//	     5 when it was used, 6 most sessions
//
// Returns the ids of those that are too many. Safe to run twice, and with whenFull:
// where that takes the TTL away, SET gives another.
const keepSessionScript = `
if ARGV[3] == '1' and redis.call('EXISTS', KEYS[1]) == 0 then return {} end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
redis.call('ZADD', KEYS[2], ARGV[5], ARGV[4])
if redis.call('PTTL', KEYS[2]) < tonumber(ARGV[2]) then redis.call('PEXPIRE', KEYS[2], ARGV[2]) end
return redis.call('ZRANGE', KEYS[2], 0, -1 - tonumber(ARGV[6]))
`

// Begin keeps a new session for so long.
func (s *Sessions) Begin(ctx context.Context, session Session, ttl time.Duration) error {
	return s.write(ctx, session, ttl, 0)
}

// Seen keeps a session for longer, unless it ended by now.
func (s *Sessions) Seen(ctx context.Context, session Session, ttl time.Duration) error {
	return s.write(ctx, session, ttl, 1)
}

func (s *Sessions) write(ctx context.Context, x Session, ttl time.Duration, there int) error {
	raw, err := json.Marshal(storedSession{x.User, x.Generation, toMS(x.CreatedAt), toMS(x.SeenAt), x.Network, x.Browser})
	var over []string
	if err == nil {
		keys := []string{sessPrefix + x.ID, ownSessions + x.User}
		over, err = s.keep.Run(ctx, s.rdb, keys, raw, max(1, ttl.Milliseconds()), there, x.ID, toMS(x.SeenAt), maxSessions).StringSlice()
	}
	if err != nil {
		return fmt.Errorf("keep a session of %s: %w", x.User, err)
	}
	return s.end(ctx, x.User, over)
}

// Find reads a session and its user in one step. ErrNotFound if either is gone.
func (s *Sessions) Find(ctx context.Context, hash string) (*Session, *User, error) {
	found, err := s.find.Run(ctx, s.rdb, []string{sessPrefix + hash, usersKey}).StringSlice()
	if errors.Is(err, redis.Nil) {
		return nil, nil, ErrNotFound
	}
	if err != nil {
		return nil, nil, fmt.Errorf("find a session: %w", err)
	}
	if len(found) != 2 {
		return nil, nil, fmt.Errorf("find a session: %w", ErrBroken)
	}
	session, err := decodeSession(hash, found[0])
	if err != nil {
		return nil, nil, err
	}
	user, err := decodeUser(found[1])
	return session, user, err
}

// Of lists the sessions of a user, the one that was used last first.
func (s *Sessions) Of(ctx context.Context, user string) ([]*Session, error) {
	ids, err := s.rdb.ZRevRange(ctx, ownSessions+user, 0, -1).Result()
	if err != nil {
		return nil, fmt.Errorf("list the sessions of %s: %w", user, err)
	}
	if len(ids) == 0 {
		return nil, nil
	}
	keys := make([]string, len(ids))
	for i, id := range ids {
		keys[i] = sessPrefix + id
	}
	found, err := s.rdb.MGet(ctx, keys...).Result()
	if err != nil {
		return nil, fmt.Errorf("list the sessions of %s: %w", user, err)
	}
	var list []*Session
	var gone []string
	for i, value := range found {
		raw, ok := value.(string)
		if !ok {
			gone = append(gone, ids[i])
			continue
		}
		session, err := decodeSession(ids[i], raw)
		if err != nil {
			return nil, err
		}
		list = append(list, session)
	}
	return list, s.end(ctx, user, gone)
}

// End forgets a session of a user; one that is gone is no error.
func (s *Sessions) End(ctx context.Context, user, id string) error {
	return s.end(ctx, user, []string{id})
}

func (s *Sessions) end(ctx context.Context, user string, ids []string) error {
	if len(ids) == 0 {
		return nil
	}
	_, err := s.rdb.TxPipelined(ctx, func(p redis.Pipeliner) error {
		for _, id := range ids {
			p.Del(ctx, sessPrefix+id)
			p.ZRem(ctx, ownSessions+user, id)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("end a session of %s: %w", user, err)
	}
	return nil
}

// Tries counts what may be done only so often: signing in, or sending a form that was shown.
type Tries struct {
	rdb           redis.UniversalClient
	take, forgive *redis.Script
}

// Try is one count and its bound: at most Most within Per.
type Try struct {
	Of   string // what is counted; not what somebody entered as it is
	Most int
	Per  time.Duration
}

// takeTryScript counts a try in all counts, or in none if one of them is at its bound.
//
//	KEYS 1 the users (whenFull: a key that lasts), and the counts
//	ARGV 1 none, and for each count: most, ms that it lasts
//
// Returns 0, or in how many ms there is one to have. Run twice it counts twice.
const takeTryScript = `
local wait = 0
for i = 2, #KEYS do
  if tonumber(redis.call('GET', KEYS[i]) or '0') >= tonumber(ARGV[2*i-2]) then
    wait = math.max(wait, redis.call('PTTL', KEYS[i]), 1)
  end
end
if wait > 0 then return wait end
for i = 2, #KEYS do
  if redis.call('INCR', KEYS[i]) == 1 then redis.call('PEXPIRE', KEYS[i], ARGV[2*i-1]) end
end
return 0
`

// forgiveTryScript takes a try that was right out of all counts, and forgets the first.
//
//	KEYS 1 the users (whenFull: a key that lasts), and the counts
//
// Run twice it takes two.
const forgiveTryScript = `
redis.call('DEL', KEYS[2])
for i = 3, #KEYS do
  if tonumber(redis.call('GET', KEYS[i]) or '0') > 0 then redis.call('DECR', KEYS[i]) end
end
return 0
`

// Take counts a try before it is judged, so that many at once cannot pass the bound. It
// returns how long to wait if there is none to have.
func (t *Tries) Take(ctx context.Context, tries []Try) (time.Duration, error) {
	args := []any{""}
	for _, try := range tries {
		args = append(args, try.Most, strconv.FormatInt(try.Per.Milliseconds(), 10))
	}
	ms, err := t.take.Run(ctx, t.rdb, triesKeys(tries), args...).Int64()
	if err != nil {
		return 0, fmt.Errorf("count a try: %w", err)
	}
	return time.Duration(ms) * time.Millisecond, nil
}

// Forgive takes back a try that was right, and forgets those counted as the first.
func (t *Tries) Forgive(ctx context.Context, tries []Try) error {
	if err := t.forgive.Run(ctx, t.rdb, triesKeys(tries)).Err(); err != nil {
		return fmt.Errorf("take back a try: %w", err)
	}
	return nil
}

func triesKeys(tries []Try) []string {
	keys := []string{usersKey}
	for _, try := range tries {
		keys = append(keys, triesPrefix+try.Of)
	}
	return keys
}
