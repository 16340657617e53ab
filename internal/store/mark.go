package store

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// markScript sets the point of no return.
//
//	KEYS 1 record
//	ARGV 1 envelope, 2 fence, 3 now, 4 accepted recipients and 5 selectors, each
//	     separated by spaces
//
// Returns 'ok', 'lost', 'canceled' or 'expired'. Safe to run twice: a second run
// finds its own mark and answers ok. An attempt has several marks if it has several
// transactions: each adds its recipients.
const markScript = `
local raw = redis.call('HGET', KEYS[1], 's')
if not raw then return 'lost' end
local s = cjson.decode(raw)
local e = (s.e or {})[tonumber(ARGV[1]) + 1]
if not e or e.f ~= tonumber(ARGV[2]) then return 'lost' end
if e.p ~= 'flight' and e.p ~= 'marked' then return 'lost' end

local marked, all = {}, true
for i in string.gmatch(e.p == 'marked' and e.m or '', '%d+') do marked[i] = true end
for i in string.gmatch(ARGV[4], '%d+') do all = all and marked[i] end
if all then return 'ok' end

local wanted = false
for i in string.gmatch(ARGV[4], '%d+') do
  local r = s.r[tonumber(i) + 1]
  if not r or (r.e or 0) ~= tonumber(ARGV[1]) then
    return redis.error_reply('ERR a recipient outside the envelope')
  end
  wanted = wanted or not r.x
end
if not wanted then return 'canceled' end
if s.x and tonumber(ARGV[3]) >= s.x then return 'expired' end

e.p, e.m = 'marked', (e.p == 'marked' and e.m .. ' ' or '') .. ARGV[4]
if not e.k then e.k = ARGV[5] end
redis.call('HSET', KEYS[1], 's', cjson.encode(s))
return 'ok'
`

// Refused says why a mark was refused: "lost", "canceled", "expired".
type Refused struct{ Why string }

func (r *Refused) Error() string { return "mark refused: " + r.Why }

// Unwrap makes every Refused an ErrRefused.
func (r *Refused) Unwrap() error { return ErrRefused }

// Mark is the point of no return, called before the final dot: *Refused if the
// fence was lost, every accepted recipient is canceled, or the message expired.
// accepted are the recipients (indexes into Message.Recipients, at least one)
// whose RCPT was accepted; selectors the DKIM selectors signed with, of which the
// first mark's stay.
func (m *Messages) Mark(ctx context.Context, c Claim, accepted []int, selectors []string, now time.Time) error {
	keys, id, err := m.locate(c.World, c.Message)
	if err != nil {
		return &Refused{Why: "lost"}
	}
	if len(accepted) == 0 {
		return fmt.Errorf("mark %s envelope %d: no recipient was accepted", c.Message, c.Envelope)
	}
	if slices.ContainsFunc(selectors, func(s string) bool { return s == "" || strings.ContainsAny(s, " \t\r\n") }) {
		return fmt.Errorf("mark %s envelope %d: a selector is empty or has a space", c.Message, c.Envelope)
	}
	words := make([]string, len(accepted))
	for i, r := range accepted {
		words[i] = strconv.Itoa(r)
	}
	answer, err := m.scripts.mark.Run(ctx, m.rdb, []string{keys.record(id)},
		c.Envelope, c.Fence, toMS(now), strings.Join(words, " "), strings.Join(selectors, " ")).Text()
	if err != nil {
		return fmt.Errorf("mark %s envelope %d: %w", c.Message, c.Envelope, err)
	}
	if answer != "ok" {
		return &Refused{Why: answer}
	}
	return nil
}
