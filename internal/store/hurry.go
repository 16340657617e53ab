package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"postrider/internal/email"
)

// ErrNotWaiting is a message of which no part waits for another attempt.
var ErrNotWaiting = errors.New("the message waits for no attempt")

// hurryScript lets the envelopes that wait be tried now, whatever they waited for. What
// is scheduled stays so. Prelude, and
//
//	ARGV 6 due score
//
// Returns {'gone'}, or {'ok' or 'no', record as HGETALL}. Safe to run twice: the second
// run finds envelopes that wait for this very time.
const hurryScript = `
local hurried = false
for i, e in ipairs(envelopes) do
  local later = false
  for _, r in ipairs(s.r) do
    if (r.e or 0) == i - 1 and r.s == 'scheduled' then later = true end
  end
  if e.p == 'wait' and not later then
    hurried = true
    if e.n ~= tonumber(now) then
      for _, r in ipairs(s.r) do
        if (r.e or 0) == i - 1 and not FINAL[r.s] then r.n = tonumber(now) end
      end
      e.n, e.g, e.h, e.t = tonumber(now), (e.g or 0) + 1, nil, nil
      redis.call('ZADD', KEYS[4], ARGV[6], id .. ':' .. string.format('%d', i - 1))
    end
  end
end
if not hurried then return {'no', redis.call('HGETALL', KEYS[1])} end
save()
return {'ok', redis.call('HGETALL', KEYS[1])}
`

// Hurry makes every envelope of a message that waits due now, in a new generation, for
// which the caller adds the jobs. Pauses of a provider still count when it is tried.
// ErrNotWaiting with the message if none waits, or it is scheduled.
func (m *Messages) Hurry(ctx context.Context, w email.World, id string, now time.Time) (*email.Message, error) {
	keys, name, err := m.locate(w, id)
	if err != nil {
		return nil, err
	}
	args := append(m.changeArgs(keys, name, now), dueScore(now, now))
	answer, err := m.scripts.hurry.Run(ctx, m.rdb, m.changeKeys(keys, name), args...).Slice()
	if err != nil {
		return nil, fmt.Errorf("hurry %s: %w", id, err)
	}
	msg, ok, err := changed(w, name, answer)
	if err != nil {
		return nil, fmt.Errorf("hurry %s: %w", id, err)
	}
	if !ok {
		return msg, ErrNotWaiting
	}
	return msg, nil
}
