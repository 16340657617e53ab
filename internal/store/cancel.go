package store

import (
	"context"
	"fmt"
	"time"

	"postrider/internal/email"
)

// cancelScript cancels recipients that are not final. Prelude, and
//
//	ARGV 6 why: 1 asked for, 2 superseded, 7... recipients (none: all)
//
// Returns {'gone'}, or {'ok' or 'no', record as HGETALL}. Safe to run twice: a
// recipient that a cancel ended or was noted for counts as canceled again, and
// makes no second event.
const cancelScript = `
local only
for k = 7, #ARGV do
  only = only or {}
  only[tonumber(ARGV[k]) + 1] = true
end
local could = false
for i, r in ipairs(s.r) do
  local e = envelopes[(r.e or 0) + 1]
  if only and not only[i] then
    -- another message's matter
  elseif r.s == 'canceled' or (r.s == 'failed' and r.x) then
    could = true
  elseif not FINAL[r.s] then
    could = true
    r.x = r.x or tonumber(ARGV[6])
    if not (e and (e.p == 'flight' or e.p == 'marked')) then drop(i) end
  end
end
if could then
  for i, e in ipairs(envelopes) do
    if (e.p == 'wait' or e.p == 'held') and not open(i - 1) then close(i - 1) end
  end
  save()
  return {'ok', redis.call('HGETALL', KEYS[1])}
end
return {'no', redis.call('HGETALL', KEYS[1])}
`

// Why recipients are canceled, as the state keeps it.
const (
	askedFor   = 1
	superseded = 2
)

// Cancel cancels every recipient not final; those whose attempt is running are
// marked CancelRequested. One that was tried with an unknown outcome becomes
// failed/outcome_unknown. Returns ErrNotCancelable with the message when nothing
// could be; what an earlier cancel did counts, so that asking again is no error.
func (m *Messages) Cancel(ctx context.Context, w email.World, id string, now time.Time) (*email.Message, error) {
	return m.cancel(ctx, w, id, now, askedFor)
}

func (m *Messages) cancel(ctx context.Context, w email.World, id string, now time.Time, whyAndWhom ...any) (*email.Message, error) {
	keys, name, err := m.locate(w, id)
	if err != nil {
		return nil, err
	}
	args := append(m.changeArgs(keys, name, now), whyAndWhom...)
	answer, err := m.scripts.cancel.Run(ctx, m.rdb, m.changeKeys(keys, name), args...).Slice()
	if err != nil {
		return nil, fmt.Errorf("cancel %s: %w", id, err)
	}
	msg, ok, err := changed(w, name, answer)
	if err != nil {
		return nil, fmt.Errorf("cancel %s: %w", id, err)
	}
	if !ok {
		return msg, ErrNotCancelable
	}
	return msg, nil
}

// changed reads {'gone'}, or {'ok' or 'no', record as HGETALL}.
func changed(w email.World, id string, answer []any) (msg *email.Message, ok bool, err error) {
	if at(answer, 0) == "gone" {
		return nil, false, ErrNotFound
	}
	pairs, _ := at(answer, 1).([]any)
	msg, err = decodeMessage(w, id, pairsToMap(pairs))
	return msg, at(answer, 0) == "ok", err
}
