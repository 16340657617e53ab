package store

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"postrider/internal/email"
)

// maxDeaths is how many attempts in a row may take their worker with them before
// the envelope is quarantined.
const maxDeaths = 5

// sameDeaths leaves the count of deaths as it is.
const sameDeaths = -1

// ended is how an attempt came to its end.
type ended struct {
	deaths int    // to add; 0: the worker lived, sameDeaths: nothing was tried
	detail string // of a quarantine
}

func (e ended) tail() string {
	detail := e.detail
	if detail == "" {
		detail = fmt.Sprintf("quarantined: the worker died during %d attempts in a row", maxDeaths)
	}
	text, err := members(eventTail{Detail: detail, Category: "other"})
	if err != nil {
		return "" // words and a sentence: cannot be refused
	}
	return text
}

// Died ends an attempt of which the worker died, by a panic or altogether: as
// Release if a is nil, which is for an attempt that came to no mark, else as
// Conclude. The fifth time in a row the envelope is quarantined: its recipients
// are deferred with reason quarantined and not tried again, until Free, Cancel or
// the end of the message's life (GiveUp).
func (m *Messages) Died(ctx context.Context, c Claim, a *email.Attempt, nextAt, now time.Time) (*Concluded, error) {
	if a == nil {
		return m.release(ctx, c, Wait{Until: nextAt}, now, ended{deaths: 1})
	}
	return m.conclude(ctx, c, a, nextAt, now, ended{deaths: 1})
}

// Quarantine gives an envelope back that must not be tried again before somebody
// has looked at it. detail says why. Errors as Release.
func (m *Messages) Quarantine(ctx context.Context, c Claim, detail string, now time.Time) (*Concluded, error) {
	return m.release(ctx, c, Wait{Until: now}, now, ended{deaths: maxDeaths, detail: "quarantined: " + detail})
}

// CountQuarantined counts the messages of a world that have a quarantined envelope: one
// round trip.
func (m *Messages) CountQuarantined(ctx context.Context, w email.World) (n int64, err error) {
	sizes := make([]*redis.IntCmd, m.options.Shards)
	if _, err := m.rdb.Pipelined(ctx, func(p redis.Pipeliner) error {
		for shard := range sizes {
			sizes[shard] = p.ZCard(ctx, keysOf(w, uint8(shard)).quarantined())
		}
		return nil
	}); err != nil {
		return 0, fmt.Errorf("count what is quarantined: %w", err)
	}
	for _, size := range sizes {
		n += size.Val()
	}
	return n, nil
}

// causeEvents is among how many of a message's last events its cause is looked for: its
// other envelopes may go on.
const causeEvents = 100

// QuarantineCauses says of messages why they were quarantined last, empty where that is
// not among their last events: one round trip.
func (m *Messages) QuarantineCauses(ctx context.Context, w email.World, ids []string) ([]string, error) {
	lists := make([]*redis.StringSliceCmd, len(ids))
	if _, err := m.rdb.Pipelined(ctx, func(p redis.Pipeliner) error {
		for i, id := range ids {
			keys, name, err := m.locate(w, id)
			if err != nil {
				return err
			}
			lists[i] = p.LRange(ctx, keys.events(name), -causeEvents, -1)
		}
		return nil
	}); err != nil {
		return nil, fmt.Errorf("read causes of quarantine: %w", err)
	}
	causes := make([]string, len(ids))
	for i, list := range lists {
		causes[i] = quarantineCause(list.Val())
	}
	return causes, nil
}

func quarantineCause(events []string) string {
	for _, raw := range slices.Backward(events) {
		if !strings.Contains(raw, email.ReasonQuarantined) {
			continue // most: not worth reading
		}
		if e, err := decodeEvent(raw); err == nil && e.Reason == email.ReasonQuarantined && e.Detail != "" {
			return e.Detail
		}
	}
	return ""
}

// freeScript ends a quarantine. Prelude.
//
//	ARGV 6 envelope, 7 due score
//
// Returns {'gone'}, {'no'} if it is not quarantined, or {'ok', generation}. Safe to
// run twice: the second run finds the envelope waiting, freed at this very time.
const freeScript = `
local e = envelopes[tonumber(ARGV[6]) + 1]
if not e then return {'gone'} end
if e.p == 'wait' and e.n == tonumber(now) then return {'ok', e.g or 0} end
if e.p ~= 'held' then return {'no'} end
for _, r in ipairs(s.r) do
  if (r.e or 0) == tonumber(ARGV[6]) and not FINAL[r.s] then r.n, r.w = tonumber(now), nil end
end
e.p, e.n, e.g, e.d = 'wait', tonumber(now), (e.g or 0) + 1, nil
redis.call('ZADD', KEYS[4], ARGV[7], id .. ':' .. ARGV[6])
save()
return {'ok', e.g}
`

// Free ends the quarantine of an envelope: it waits again, from now on, for a job
// of the generation that is returned (within 25 s the sweeper adds one).
// ErrNotFound if there is no such envelope, ErrNotQuarantined if it is not.
func (m *Messages) Free(ctx context.Context, w email.World, id string, envelope int, now time.Time) (generation int, err error) {
	keys, name, err := m.locate(w, id)
	if err != nil {
		return 0, err
	}
	args := append(m.changeArgs(keys, name, now), envelope, dueScore(now, now))
	answer, err := m.scripts.free.Run(ctx, m.rdb, m.changeKeys(keys, name), args...).Slice()
	if err != nil {
		return 0, fmt.Errorf("free %s envelope %d: %w", id, envelope, err)
	}
	switch at(answer, 0) {
	case "gone":
		return 0, ErrNotFound
	case "no":
		return 0, ErrNotQuarantined
	}
	n, _ := at(answer, 1).(int64)
	return int(n), nil
}

// giveUpScript fails a quarantined envelope whose message's life is over. Prelude.
//
//	ARGV 6 envelope, 7 event tail
//
// Returns {'gone'}, {'no'} if it is not quarantined or lives, or {'ok'}. Safe to run
// twice: the second run finds no quarantine.
const giveUpScript = `
local envelope = tonumber(ARGV[6])
local e = envelopes[envelope + 1]
if not e then return {'gone'} end
if e.p ~= 'held' or (s.x or 0) > tonumber(now) then return {'no'} end
for i, r in ipairs(s.r) do
  if (r.e or 0) == envelope and not FINAL[r.s] then
    local reason = 'local_error'
    if (r.u or 0) > 0 then reason = 'outcome_unknown' end
    become(i, 'failed', reason, ARGV[7])
  end
end
close(envelope)
save()
return {'ok'}
`

// GiveUp fails the recipients of a quarantined envelope once its message has
// expired: local_error, or outcome_unknown if an attempt was. False if it is not
// quarantined, or has not expired.
func (m *Messages) GiveUp(ctx context.Context, e Entry, now time.Time) (bool, error) {
	keys, id, err := m.locate(e.World, e.Message)
	if err != nil {
		return false, fmt.Errorf("give up %q: %w", e.Message, err)
	}
	tail, err := members(eventTail{Detail: "quarantined until it expired", Category: "other"})
	if err != nil {
		return false, fmt.Errorf("give up %s envelope %d: %w", e.Message, e.Envelope, err)
	}
	args := append(m.changeArgs(keys, id, now), e.Envelope, tail)
	answer, err := m.scripts.giveUp.Run(ctx, m.rdb, m.changeKeys(keys, id), args...).Slice()
	if err != nil {
		return false, fmt.Errorf("give up %s envelope %d: %w", e.Message, e.Envelope, err)
	}
	return at(answer, 0) == "ok", nil
}
