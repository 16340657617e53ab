package store

import (
	"context"
	"crypto/rand"
	"fmt"
	"time"

	"postrider/internal/email"
)

// Verdict is what Begin says about a job.
type Verdict string

// The verdicts.
const (
	Begun    Verdict = "begun"     // the caller holds Fence
	Over     Verdict = "done"      // envelope final, or message gone
	Stale    Verdict = "stale"     // the job is of an older generation
	Early    Verdict = "early"     // not due yet: Message.Envelopes[i].State.NextAt
	Occupied Verdict = "in_flight" // another attempt runs (State.Worker, State.Fence), or it is quarantined
)

// Start is what Begin answers. Message and Content are set when Verdict is
// Begun; Message without Content for Early and Occupied. Content is nil if it
// was forgotten, and where Composed is the whole mail, before signing.
type Start struct {
	Verdict  Verdict
	Fence    int64
	Message  *email.Message
	Content  *email.Content
	Composed []byte
}

// Claim names one attempt that a worker holds.
type Claim struct {
	World    email.World
	Message  string
	Envelope int
	Fence    int64
	// Known is the message as Begin gave it, nil if it is not at hand: it spares the
	// follower to read it again.
	Known *email.Message
	// Repair: the caller is not the attempt's worker, and ends it in its place.
	Repair bool
}

// beginScript takes the next fence of an envelope. Prelude, and
//
//	KEYS 7 copy of the suppressions
//	ARGV 6 envelope, 7 generation, 8 worker, 9 nonce, 10 due score,
//	     11 earliest next time that counts as due, 12 1 if the caller has at hand what
//	     never changes of the message
//
// Returns {'gone'}, {verdict} or {verdict, fence, record as HGETALL, body or false}; at
// the first attempt of who has the rest at hand only what changes of the record, and of
// the body whether it is kept.
// Safe to run twice: the nonce is made once per call, and a second run that finds
// it holding the envelope answers as the first.
const beginScript = `
local envelope = tonumber(ARGV[6])
local e = envelopes[envelope + 1]
if not e then return {'gone'} end

local function loaded(verdict)
  local body = false
  if verdict == 'begun' and ARGV[12] == '1' and e.f == 1 then
    return {verdict, e.f, {'s', raw}, redis.call('EXISTS', KEYS[6]) == 1 and '' or false}
  end
  if verdict == 'begun' then body = redis.call('GET', KEYS[6]) end
  return {verdict, e.f or 0, redis.call('HGETALL', KEYS[1]), body}
end

if e.p == 'done' then return {'done'} end
if e.p == 'flight' and e.o == ARGV[9] then return loaded('begun') end
if tonumber(ARGV[7]) < (e.g or 0) then return {'stale'} end
if e.p ~= 'wait' then return loaded('in_flight') end
if (e.n or 0) > tonumber(ARGV[11]) then return loaded('early') end

-- Recipients that were suppressed since accept. Where an attempt was unknown the mail may
-- be out already: that is not to be hidden.
if redis.call('EXISTS', KEYS[7]) == 1 then
  local meta = cjson.decode(redis.call('HGET', KEYS[1], 'm'))
  local list = meta.r
  if not list then
    list = {}
    for _, part in ipairs({meta.t or {}, meta.cc or {}, meta.bc or {}}) do
      for _, a in ipairs(part) do list[#list + 1] = a end
    end
  end
  local domain, stream = string.match(meta.f.e, '([^@]*)$'), meta.st or 'transactional'
  for i, r in ipairs(s.r) do
    if (r.e or 0) == envelope and not FINAL[r.s] and list[i] then
      local entries = string.match(redis.call('HGET', KEYS[7], string.lower(list[i].e)) or '', '^%d+ (.+)$')
      for _, l in ipairs(entries and cjson.decode(entries) or {}) do
        if (l.d or domain) == domain and (l.t or stream) == stream and (l.x or tonumber(now) + 1) > tonumber(now) then
          if (r.u or 0) > 0 then
            become(i, 'failed', 'outcome_unknown', '')
          else
            r.p = 'sup_' .. l.i
            become(i, 'suppressed', l.w, '')
          end
          break
        end
      end
    end
  end
  if not open(envelope) then
    close(envelope)
    save()
    return {'done'}
  end
end

e.p, e.n, e.f, e.w, e.o, e.b = 'flight', nil, (e.f or 0) + 1, ARGV[8], ARGV[9], tonumber(now)
e.h, e.t = nil, nil
for i, r in ipairs(s.r) do
  if (r.e or 0) == envelope and r.s == 'scheduled' then become(i, 'queued', nil, '') end
end
redis.call('ZADD', KEYS[4], ARGV[10], id .. ':' .. ARGV[6])
save()
return loaded('begun')
`

// earlySlack is how much before its time an attempt may begin: jobs are timed in
// whole seconds.
const earlySlack = time.Second

// Begin takes the next fence of an envelope, makes recipients suppressed that are on the
// list now (Over if none is left), moves scheduled recipients to
// queued, sets its due entry to look again in 25 s, and loads the message and its
// content. Every refusal is a Verdict, not an error. ErrBroken comes with a Start
// if only the content cannot be read: then the caller holds Fence.
func (m *Messages) Begin(ctx context.Context, w email.World, id string, envelope, generation int, worker string, now time.Time) (*Start, error) {
	keys, name, err := m.locate(w, id)
	if err != nil || envelope < 0 {
		return &Start{Verdict: Over}, nil
	}
	names := append(m.changeKeys(keys, name), keys.listed())
	ours, atHand := m.handoff.take(w, id, time.Now()), 0
	if ours != nil {
		atHand = 1
	}
	args := append(m.changeArgs(keys, name, now), envelope, generation, worker, rand.Text()[:12],
		toMS(now.Add(lookAfter)), toMS(now.Add(earlySlack)), atHand)
	answer, err := m.scripts.begin.Run(ctx, m.rdb, names, args...).Slice()
	if err != nil {
		return nil, fmt.Errorf("begin %s envelope %d: %w", id, envelope, err)
	}
	start, err := m.readStart(w, name, answer, ours)
	if err != nil {
		return start, fmt.Errorf("begin %s envelope %d: %w", id, envelope, err)
	}
	return start, nil
}

func (m *Messages) readStart(w email.World, id string, answer []any, ours *handedMail) (*Start, error) {
	verdict, _ := at(answer, 0).(string)
	start := &Start{Verdict: Verdict(verdict)}
	switch start.Verdict {
	case "gone", Over:
		return &Start{Verdict: Over}, nil
	case Stale:
		return start, nil
	case Begun, Early, Occupied:
	default:
		return nil, fmt.Errorf("%w: no verdict", ErrBroken)
	}
	start.Fence, _ = at(answer, 1).(int64)
	pairs, _ := at(answer, 2).([]any)
	fields := pairsToMap(pairs)
	body, kept := at(answer, 3).(string)
	var err error
	if _, whole := fields["m"]; !whole && ours != nil {
		if start.Message, err = assemble(w, id, *ours.meta, fields); err == nil && kept {
			start.Composed = ours.composed
		}
		return start, err
	}
	if start.Message, err = decodeMessage(w, id, fields); err != nil {
		return nil, err
	}
	if kept && start.Verdict == Begun {
		start.Content, err = m.packer.unpackContent(body)
	}
	return start, err
}

// changeKeys and changeArgs are the prelude's KEYS and ARGV.
func (m *Messages) changeKeys(k shardKeys, id string) []string {
	return []string{k.record(id), k.events(id), k.stream(), k.due(), k.purge(), k.body(id)}
}

func (m *Messages) changeArgs(k shardKeys, id string, now time.Time) []any {
	return []any{id, toMS(now), eventBase(), k.statusStem(), m.purgeScore(now)}
}

// at reads an element of a script's answer, nil if it is not there.
func at(answer []any, i int) any {
	if i < len(answer) {
		return answer[i]
	}
	return nil
}

func pairsToMap(pairs []any) map[string]string {
	out := make(map[string]string, len(pairs)/2)
	for i := 0; i+1 < len(pairs); i += 2 {
		key, _ := pairs[i].(string)
		value, _ := pairs[i+1].(string)
		out[key] = value
	}
	return out
}
