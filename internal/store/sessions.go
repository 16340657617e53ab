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

// Session is somebody's being signed in. It is found by the hash of its token, which
// is not stored.
type Session struct {
	User       string // id
	Generation int    // the user's, when it began
	CreatedAt  time.Time
	SeenAt     time.Time
}

type storedSession struct {
	User       string `json:"u"`
	Generation int    `json:"g"`
	Created    int64  `json:"c"`
	Seen       int64  `json:"s"`
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
//	KEYS 1 the session
//	ARGV 1 the session, 2 ms until it is forgotten, 3 1 if it must be there
//
// Safe to run twice, and with whenFull: where that takes the TTL away, SET gives another.
const keepSessionScript = `
if ARGV[3] == '1' and redis.call('EXISTS', KEYS[1]) == 0 then return 0 end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1
`

// Begin keeps a new session for so long.
func (s *Sessions) Begin(ctx context.Context, hash string, session Session, ttl time.Duration) error {
	return s.write(ctx, hash, session, ttl, 0)
}

// Seen keeps a session for longer, unless it ended by now.
func (s *Sessions) Seen(ctx context.Context, hash string, session Session, ttl time.Duration) error {
	return s.write(ctx, hash, session, ttl, 1)
}

func (s *Sessions) write(ctx context.Context, hash string, session Session, ttl time.Duration, there int) error {
	raw, err := json.Marshal(storedSession{session.User, session.Generation, toMS(session.CreatedAt), toMS(session.SeenAt)})
	if err == nil {
		err = s.keep.Run(ctx, s.rdb, []string{sessPrefix + hash}, raw, max(1, ttl.Milliseconds()), there).Err()
	}
	if err != nil {
		return fmt.Errorf("keep a session of %s: %w", session.User, err)
	}
	return nil
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
	var stored storedSession
	if len(found) != 2 || json.Unmarshal([]byte(found[0]), &stored) != nil {
		return nil, nil, fmt.Errorf("find a session: %w", ErrBroken)
	}
	user, err := decodeUser(found[1])
	if err != nil {
		return nil, nil, err
	}
	return &Session{stored.User, stored.Generation, fromMS(stored.Created), fromMS(stored.Seen)}, user, nil
}

// End forgets a session; one that is gone is no error.
func (s *Sessions) End(ctx context.Context, hash string) error {
	if err := s.rdb.Del(ctx, sessPrefix+hash).Err(); err != nil {
		return fmt.Errorf("end a session: %w", err)
	}
	return nil
}

// Tries counts how often somebody tried to sign in.
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
		return 0, fmt.Errorf("count a try to sign in: %w", err)
	}
	return time.Duration(ms) * time.Millisecond, nil
}

// Forgive takes back a try that was right, and forgets those counted as the first.
func (t *Tries) Forgive(ctx context.Context, tries []Try) error {
	if err := t.forgive.Run(ctx, t.rdb, triesKeys(tries)).Err(); err != nil {
		return fmt.Errorf("take back a try to sign in: %w", err)
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
