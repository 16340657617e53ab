package store

import (
	"context"
	"fmt"
	"time"

	"postrider/internal/email"
)

// cancelScript cancels every recipient that is not final. Prelude.
//
// Returns {'gone'}, or {'ok' or 'no', record as HGETALL}. Safe to run twice: a
// recipient that a cancel ended or was noted for counts as canceled again, and
// makes no second event.
const cancelScript = `
local could = false
for i, r in ipairs(s.r) do
  local e = envelopes[(r.e or 0) + 1]
  if r.s == 'canceled' or (r.s == 'failed' and r.x == 1) then
    could = true
  elseif not FINAL[r.s] then
    could = true
    if e and (e.p == 'flight' or e.p == 'marked') then r.x = 1 else drop(i) end
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

// Cancel cancels every recipient not final; those whose attempt is running are
// marked CancelRequested. One that was tried with an unknown outcome becomes
// failed/outcome_unknown. Returns ErrNotCancelable with the message when nothing
// could be; what an earlier cancel did counts, so that asking again is no error.
func (m *Messages) Cancel(ctx context.Context, w email.World, id string, now time.Time) (*email.Message, error) {
	keys, name, err := m.locate(w, id)
	if err != nil {
		return nil, err
	}
	answer, err := m.scripts.cancel.Run(ctx, m.rdb, m.changeKeys(keys, name), m.changeArgs(keys, name, now)...).Slice()
	if err != nil {
		return nil, fmt.Errorf("cancel %s: %w", id, err)
	}
	if at(answer, 0) == "gone" {
		return nil, ErrNotFound
	}
	pairs, _ := at(answer, 1).([]any)
	msg, err := decodeMessage(w, name, pairsToMap(pairs))
	if err != nil {
		return nil, fmt.Errorf("cancel %s: %w", id, err)
	}
	if at(answer, 0) != "ok" {
		return msg, ErrNotCancelable
	}
	return msg, nil
}
