package store

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"postrider/internal/email"
)

// Concluded says whether and when the envelope is to be woken again.
type Concluded struct {
	Done       bool
	Held       bool // quarantined: it is not to be woken
	Generation int
	NextAt     time.Time
}

// concludeScript writes what an attempt came to. Prelude, giveBack, and
//
//	KEYS 7 attempts
//	ARGV 16 start of the attempt (0: it is not counted), 17 the attempt, 18... per
//	     outcome: recipient, status, 1 if unknown, reason, event tail, reply, what it
//	     counts for
//
// A holder who is late, since a repair ended its attempt, still says what was
// delivered or bounced while the envelope waits: it is no longer tried again. The
// rest of what it says the repair has said.
//
// Returns as giveBack, and is safe to run twice for its reason. Edges: only a
// recipient of this envelope that is not final moves; a canceled one becomes
// canceled unless it was delivered or bounced.
const concludeScript = `
local known = false
for k = 18, #ARGV, 7 do
  local r = s.r[tonumber(ARGV[k]) + 1]
  if not r or (r.e or 0) ~= envelope then return redis.error_reply('ERR an outcome outside the envelope') end
  if r.s == 'scheduled' then return redis.error_reply('ERR an outcome before its time') end
  known = known or ((ARGV[k + 1] == 'delivered' or ARGV[k + 1] == 'bounced') and not FINAL[r.s])
end
if repaired and not known then return {'lost'} end

local started = tonumber(ARGV[16])
local counted = repaired and e.y -- the repair counted this same attempt
if started > 0 then
  if not counted then e.a = (e.a or 0) + 1 end
  if repair then repairStart = started end
  redis.call('RPUSH', KEYS[7], string.format('%d ', e.a) .. ARGV[17])
end

for k = 18, #ARGV, 7 do
  local i = tonumber(ARGV[k]) + 1
  local r, status, reason, tail, sample = s.r[i], ARGV[k + 1], ARGV[k + 3], ARGV[k + 4], ARGV[k + 6]
  local settled = status == 'delivered' or status == 'bounced'
  if not FINAL[r.s] and (settled or not repaired) then
    if ARGV[k + 2] == '1' then r.u = (r.u or 0) + 1 end
    if started > 0 and not (counted and r.l == counted) then
      r.a = (r.a or 0) + 1
      r.f = r.f or started
      r.l = started
    end
    if ARGV[k + 5] ~= '' then redis.call('HSET', KEYS[1], 'y' .. ARGV[k], ARGV[k + 5]) end
    if settled then
      r.x = nil
      if status == 'delivered' then r.d = tonumber(now) else r.b = tonumber(now) end
      become(i, status, nil, tail, sample)
    elseif r.x then
      drop(i)
    elseif status == 'deferred' then
      r.n = tonumber(ARGV[8])
      become(i, status, nil, tail, sample)
    else
      if reason == 'expired' and (r.u or 0) > 0 then reason = 'outcome_unknown' end
      become(i, status, reason, tail, sample)
    end
  end
end
if repaired then
  e.v, e.y = nil, nil
  if not open(envelope) then close(envelope) end
  save()
  return answer()
end
for i, r in ipairs(s.r) do
  if (r.e or 0) == envelope and r.x and not FINAL[r.s] then drop(i) end
end
return giveBack()
`

// releaseScript gives an envelope back without an attempt. Prelude and giveBack.
// An attempt past its mark is never released: its bytes may be out.
const releaseScript = `
if e.p == 'marked' or repaired then return {'lost'} end
for i, r in ipairs(s.r) do
  if (r.e or 0) == envelope and r.x and not FINAL[r.s] then drop(i) end
end
return giveBack()
`

// Conclude writes what an attempt came to: states, events, the attempt, due. With
// a lost fence it returns ErrLostFence and changes nothing; run twice with the
// same claim it answers as the first time. Where a repair ended the attempt first,
// a delivered or bounced is still taken while the envelope waits. For recipients that are not final the
// envelope's next time is nextAt (their outcome's NextAt stays in the attempt
// only). The attempt's number is the envelope's next, whatever a.Number says. An
// attempt with a zero StartedAt never got as far as a slot: its outcomes count,
// the attempt itself does not. Canceled recipients become canceled (or
// failed/outcome_unknown once an attempt was unknown) unless the outcome is
// delivered or bounced; an unknown one that expires is failed/outcome_unknown.
func (m *Messages) Conclude(ctx context.Context, c Claim, a *email.Attempt, nextAt, now time.Time) (*Concluded, error) {
	return m.conclude(ctx, c, a, nextAt, now, ended{})
}

func (m *Messages) conclude(ctx context.Context, c Claim, a *email.Attempt, nextAt, now time.Time, how ended) (*Concluded, error) {
	keys, id, err := m.locate(c.World, c.Message)
	if err != nil {
		return nil, ErrLostFence
	}
	blob, err := m.packer.pack(toAttempt(a))
	if err != nil {
		return nil, fmt.Errorf("conclude %s envelope %d: %w", c.Message, c.Envelope, err)
	}
	args := append(m.giveBackArgs(keys, id, c, wait(a, nextAt), now, how), toMS(a.StartedAt), blob)
	for _, o := range a.Outcomes {
		more, err := outcomeArgs(c.Known, o)
		if err != nil {
			return nil, fmt.Errorf("conclude %s envelope %d: %w", c.Message, c.Envelope, err)
		}
		args = append(args, more...)
	}
	names := append(m.changeKeys(keys, id), keys.attempts(id))
	done, err := m.giveBack(ctx, m.scripts.conclude, names, args)
	if err != nil {
		return nil, fmt.Errorf("conclude %s envelope %d: %w", c.Message, c.Envelope, err)
	}
	return done, nil
}

// Wait is until when an envelope is put off, and why.
type Wait struct {
	Until  time.Time
	Hold   email.Hold // empty: as its recipients' states tell
	Detail string     // for people, without addresses
}

// wait is what follows from an attempt. One that got no slot and defers had nowhere
// to go to.
func wait(a *email.Attempt, nextAt time.Time) Wait {
	w := Wait{Until: nextAt}
	if !a.StartedAt.IsZero() {
		return w
	}
	for _, o := range a.Outcomes {
		if o.Status == email.Deferred {
			w.Hold, w.Detail = email.HoldDNS, o.Detail
		}
	}
	return w
}

// Release gives an envelope back without an attempt (no slot at its provider,
// shutdown, a dead worker's unmarked attempt): no event, no attempt; canceled
// recipients become canceled. Errors as Conclude, ErrLostFence also past the mark.
func (m *Messages) Release(ctx context.Context, c Claim, w Wait, now time.Time) (*Concluded, error) {
	return m.release(ctx, c, w, now, ended{deaths: sameDeaths})
}

func (m *Messages) release(ctx context.Context, c Claim, w Wait, now time.Time, how ended) (*Concluded, error) {
	keys, id, err := m.locate(c.World, c.Message)
	if err != nil {
		return nil, ErrLostFence
	}
	done, err := m.giveBack(ctx, m.scripts.release, m.changeKeys(keys, id), m.giveBackArgs(keys, id, c, w, now, how))
	if err != nil {
		return nil, fmt.Errorf("release %s envelope %d: %w", c.Message, c.Envelope, err)
	}
	return done, nil
}

func (m *Messages) giveBackArgs(k shardKeys, id string, c Claim, w Wait, now time.Time, how ended) []any {
	nextAt := w.Until
	if nextAt.Before(now) {
		nextAt = now
	}
	repair, look := 0, lookAfter
	if c.Repair {
		repair, look = 1, lookSoon
	}
	return append(m.changeArgs(k, id, now), c.Envelope, c.Fence, toMS(nextAt), dueAfter(nextAt, now, look),
		repair, how.deaths, maxDeaths, how.tail(), string(w.Hold), w.Detail)
}

func (m *Messages) giveBack(ctx context.Context, script *redis.Script, names []string, args []any) (*Concluded, error) {
	answer, err := script.Run(ctx, m.rdb, names, args...).Slice()
	if err != nil {
		return nil, err
	}
	if at(answer, 0) != "ok" {
		return nil, ErrLostFence
	}
	phase, _ := at(answer, 1).(string)
	generation, _ := at(answer, 2).(int64)
	next, _ := at(answer, 3).(int64)
	return &Concluded{
		Done: phase == string(email.Done), Held: phase == string(email.Quarantined),
		Generation: int(generation), NextAt: fromMS(next),
	}, nil
}

// outcomeArgs are the seven arguments of one outcome; m is nil if it is not at hand.
func outcomeArgs(m *email.Message, o email.Outcome) ([]any, error) {
	tail := eventTail{Detail: o.Detail, Reply: toReply(o.Reply)}
	reason := ""
	switch o.Status {
	case email.Delivered:
	case email.Deferred:
		tail.Category = o.Category
	case email.Bounced:
		tail.Category, tail.Bounce, tail.Source = o.Category, o.Bounce, "smtp"
		if o.Suppress {
			tail.Suppress = 1
		}
	case email.Failed:
		if reason = o.Reason; reason == "" {
			reason = email.ReasonLocalError
		}
		if strings.Trim(reason, "abcdefghijklmnopqrstuvwxyz_") != "" {
			return nil, fmt.Errorf("%q is no reason", reason)
		}
		tail.Category = o.Category
	default:
		return nil, fmt.Errorf("%q is no outcome", o.Status)
	}
	unknown := 0
	if o.Unknown {
		unknown = 1
	}
	text, err := members(tail)
	if err != nil {
		return nil, err
	}
	last := []byte(nil)
	if o.Reply != nil {
		if last, err = json.Marshal(toReply(o.Reply)); err != nil {
			return nil, err
		}
	}
	sample := ""
	if m != nil {
		if sample, err = tailOf(m, o.Reply).words(); err != nil {
			return nil, err
		}
	}
	return []any{o.Recipient, string(o.Status), unknown, reason, text, last, sample}, nil
}
