package store

// whenFull begins every script that works the queue off. A Redis above its
// maxmemory refuses commands that may take memory, but not after a script has
// written something: PERSIST of a key without TTL is the smallest such write, and
// changes nothing. Without it an outcome could not be written down, and the mail
// would go out twice. (The flag allow-oom says the same, but miniredis knows no
// flags.) accept does without: new mail is what a full Redis is to refuse.
const whenFull = "redis.call('PERSIST', KEYS[1])\n"

// preludeScript is the common beginning of the scripts that change recipients:
// begin, conclude, release, cancel. They share
//
//	KEYS 1 record, 2 events, 3 stream, 4 due, 5 purge, 6 body
//	ARGV 1 id, 2 now, 3 base of event ids, 4 stem of the status indexes
//	     (ix:s:, the same shard), 5 purge score if the message completes now
//
// A record that is gone answers {'gone'}. cjson in Redis raises an error for
// broken JSON, miniredis returns nil: either way the script stops before it wrote.
const preludeScript = `
local DIGITS = '0123456789abcdefghjkmnpqrstvwxyz'
local FINAL = {delivered = true, bounced = true, failed = true, suppressed = true, canceled = true}
local id, now, base, stem = ARGV[1], ARGV[2], ARGV[3], ARGV[4]

local raw = redis.call('HGET', KEYS[1], 's')
if not raw then return {'gone'} end
local s = cjson.decode(raw)
local envelopes = s.e or {}

-- derive is email.Message.Status in Lua (api.md 10.2).
local function derive()
  local first, same, final, delivered = s.r[1].s, true, true, false
  for _, r in ipairs(s.r) do
    same = same and r.s == first
    final = final and FINAL[r.s]
    delivered = delivered or r.s == 'delivered'
  end
  if same then return first end
  if not final then return 'processing' end
  if delivered then return 'partially_delivered' end
  return 'failed'
end

-- held reports whether an envelope is quarantined.
local function held()
  for _, e in ipairs(envelopes) do
    if e.p == 'held' then return true end
  end
  return false
end
local before, wasHeld = derive(), held()

-- event appends one event of recipient i (from 1) and counts its seq. tail is
-- JSON members without braces; sample is what the statistics need to know, each
-- member behind a comma (sample.go; nil or empty: the follower reads the message);
-- statuses and reasons are words of a-z and _.
local made = 0
local function event(i, previous, tail, sample)
  local r = s.r[i]
  r.q = (r.q or 0) + 1
  local high, low = math.floor(made / 32) + 1, made % 32 + 1
  made = made + 1
  local text = '{"i":"' .. string.sub(base, 1, 23) .. string.sub(DIGITS, high, high) .. string.sub(DIGITS, low, low)
    .. string.sub(base, 26) .. '","a":' .. now .. string.format(',"r":%d,"s":"%s","p":"%s","q":%d', i - 1, r.s, previous, r.q)
  if (r.a or 0) > 0 then text = text .. string.format(',"k":%d', r.a) end
  if r.n then text = text .. string.format(',"n":%.0f', r.n) end
  if r.w then text = text .. ',"w":"' .. r.w .. '"' end
  if tail ~= '' then text = text .. ',' .. tail end
  local length = redis.call('RPUSH', KEYS[2], text .. '}')
  local entry = {'m', id, 'p', length - 1}
  if string.find(tail, '"h":1', 1, true) then -- quotes inside of texts are escaped
    entry[5], entry[6] = 'b', 1
  elseif (sample or '') ~= '' then
    entry[5], entry[6] = 'c', '{"a":' .. now .. ',"s":"' .. r.s .. '","p":"' .. previous .. '"' .. sample .. '}'
  end
  redis.call('XADD', KEYS[3], '*', unpack(entry))
end

-- become moves recipient i to a status; the caller has checked the edge.
local function become(i, status, reason, tail, sample)
  local r = s.r[i]
  local previous = r.s
  r.s, r.w = status, reason
  if FINAL[status] then r.n = nil end
  event(i, previous, tail, sample)
end

-- drop is what a cancel (r.x is 1) or a newer message (2) makes of recipient i: its
-- mail may be out if an attempt was unknown.
local function drop(i)
  local r = s.r[i]
  if (r.u or 0) > 0 then
    become(i, 'failed', 'outcome_unknown', '')
  else
    local reason
    if r.x == 2 then reason = 'superseded' end
    r.x = nil
    become(i, 'canceled', reason, '')
  end
end

-- open reports whether an envelope (from 0) has a recipient that is not final.
local function open(envelope)
  for _, r in ipairs(s.r) do
    if (r.e or 0) == envelope and not FINAL[r.s] then return true end
  end
  return false
end

local function close(envelope)
  local e = envelopes[envelope + 1]
  e.p, e.n, e.w, e.b, e.o, e.m, e.d, e.h, e.t = 'done', nil, nil, nil, nil, nil, nil, nil, nil
  redis.call('ZREM', KEYS[4], id .. ':' .. string.format('%d', envelope))
end

-- save completes the message if its last recipient is final, moves it between
-- the status indexes and into or out of that of what is quarantined, and writes the
-- state.
local function save()
  local final = true
  for _, r in ipairs(s.r) do final = final and FINAL[r.s] end
  if final and not s.c then
    s.c = tonumber(now)
    redis.call('ZADD', KEYS[5], ARGV[5], id)
    if s.o == 1 then redis.call('DEL', KEYS[6]) end
  end
  local after = derive()
  if after ~= before then
    redis.call('ZREM', stem .. before, id)
    redis.call('ZADD', stem .. after, 0, id)
  end
  local isHeld = held()
  if isHeld and not wasHeld then redis.call('ZADD', stem .. 'quarantined', 0, id) end
  if wasHeld and not isHeld then redis.call('ZREM', stem .. 'quarantined', id) end
  raw = cjson.encode(s)
  redis.call('HSET', KEYS[1], 's', raw)
end
`

// giveBackScript follows the prelude in conclude and release: an attempt that
// holds the fence gives its envelope back, or a repair does so in its place.
//
//	ARGV 6 envelope, 7 fence, 8 next time, 9 due score, 10 1 if this is a repair,
//	     else 0, 11 deaths: how many to add (0: the row is broken, -1: as it was),
//	     12 how many are too many, 13 event tail of a quarantine, 14 and 15 why it
//	     waits (empty: for the reason that its recipients' states tell) and a detail
//
// Returns {'gone'}, {'lost'}, or {'ok', phase, generation, next time}. Safe to run
// twice: giving back stores the fence as the last one that ended (z), and whether a
// repair ended it (v), and clears the hold, so a second run finds its own end there,
// changes nothing and answers from the state. What the other of the two ended is
// lost.
const giveBackScript = `
local envelope, fence, repair = tonumber(ARGV[6]), tonumber(ARGV[7]), ARGV[10] == '1'
local deaths = tonumber(ARGV[11])
local e = envelopes[envelope + 1]
if not e then return {'gone'} end

local function answer() return {'ok', e.p, e.g or 0, e.n or 0} end

if e.f ~= fence then return {'lost'} end
-- repaired: a repair ended it, and the envelope still waits: the holder is late.
local repaired = false
local repairStart -- of the attempt that a repair counts
if e.z == fence then
  if repair == (e.v == 1) then return answer() end
  if repair or e.p ~= 'wait' then return {'lost'} end
  repaired = true
elseif e.p ~= 'flight' and e.p ~= 'marked' then
  return {'lost'}
end

-- quarantine keeps the envelope from being tried. Its due entry tells when to give up.
local function quarantine()
  for i, r in ipairs(s.r) do
    if (r.e or 0) == envelope and not FINAL[r.s] then
      r.n = nil
      become(i, 'deferred', 'quarantined', ARGV[13])
    end
  end
  e.p, e.n = 'held', nil
  redis.call('ZADD', KEYS[4], s.x or 0, id .. ':' .. string.format('%d', envelope))
end

local function giveBack()
  e.z, e.v, e.y = fence, nil, nil
  if repair then e.v, e.y = 1, repairStart end
  if deaths > 0 then e.d = (e.d or 0) + deaths elseif deaths == 0 then e.d = nil end
  e.w, e.b, e.o, e.m = nil, nil, nil, nil
  if not open(envelope) then
    close(envelope)
  elseif (e.d or 0) >= tonumber(ARGV[12]) then
    e.g = (e.g or 0) + 1
    quarantine()
  else
    local nextAt = tonumber(ARGV[8])
    for _, r in ipairs(s.r) do
      if (r.e or 0) == envelope and not FINAL[r.s] then r.n = nextAt end
    end
    e.p, e.n, e.g = 'wait', nextAt, (e.g or 0) + 1
    if ARGV[14] ~= '' then e.h = ARGV[14] end
    if ARGV[15] ~= '' then e.t = ARGV[15] end
    redis.call('ZADD', KEYS[4], ARGV[9], id .. ':' .. string.format('%d', envelope))
  end
  save()
  return answer()
end
`
