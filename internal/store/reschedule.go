package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"postrider/internal/email"
)

// ErrNotScheduled is a message that no longer waits for its time.
var ErrNotScheduled = errors.New("the message is not scheduled")

// rescheduleScript gives a message that waits for its time another one. Prelude, and
//
//	ARGV 6 the time, 7 due score, 8 lifetime in ms, 9 1 if the time is now, else 0
//
// Returns {'gone'}, or {'ok' or 'no', record as HGETALL}. Safe to run twice: the
// second run of one for now finds its own time, any other gives the same time again.
const rescheduleScript = `
local when, at_once, waits = tonumber(ARGV[6]), ARGV[9] == '1', false
local function loaded(word) return {word, redis.call('HGETALL', KEYS[1])} end
if at_once and s.t == when then return loaded('ok') end
for _, r in ipairs(s.r) do
  if r.s == 'scheduled' then
    waits = true
  elseif not FINAL[r.s] then
    return loaded('no')
  end
end
if not waits then return loaded('no') end

if not s.j then s.k, s.j = s.t, s.x end
s.t, s.x = when, when + tonumber(ARGV[8])
for i, r in ipairs(s.r) do
  if r.s == 'scheduled' then
    r.n = when
    if at_once then become(i, 'queued', nil, '') end
  end
end
for i, e in ipairs(envelopes) do
  if e.p == 'wait' then
    e.n, e.g = when, (e.g or 0) + 1
    redis.call('ZADD', KEYS[4], ARGV[7], id .. ':' .. string.format('%d', i - 1))
  end
end
save()
return loaded('ok')
`

// Reschedule gives a message that waits for its time another one, or has it sent
// now if at is not after now. Its lifetime counts from the new time; its envelopes
// get a new generation, for which the caller adds the jobs if the time is within
// two minutes. ErrNotScheduled with the message if it does not wait any more.
func (m *Messages) Reschedule(ctx context.Context, w email.World, id string, when, now time.Time) (*email.Message, error) {
	keys, name, err := m.locate(w, id)
	if err != nil {
		return nil, err
	}
	before, err := m.Get(ctx, w, id)
	if err != nil {
		return nil, err
	}
	atOnce := 0
	if !when.After(now) {
		when, atOnce = now, 1
	}
	life := before.ExpiresAt.Sub(before.Due()).Milliseconds() // is the same whenever it is due
	args := append(m.changeArgs(keys, name, now), toMS(when), dueScore(when, now), life, atOnce)
	answer, err := m.scripts.reschedule.Run(ctx, m.rdb, m.changeKeys(keys, name), args...).Slice()
	if err != nil {
		return nil, fmt.Errorf("reschedule %s: %w", id, err)
	}
	msg, ok, err := changed(w, name, answer)
	if err != nil {
		return nil, fmt.Errorf("reschedule %s: %w", id, err)
	}
	if !ok {
		return msg, ErrNotScheduled
	}
	return msg, nil
}
