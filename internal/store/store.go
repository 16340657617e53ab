// Package store is all state of Postrider in Redis, one field per aggregate:
// messages with their recipients, events and attempts, API keys, sending domains,
// suppressions, webhooks and what is sent to them, leases. It is the truth; the queue is an alarm clock that may be lost.
//
// It decides nothing about delivery and never talks to asynq. Every change of a
// message is one Lua script on the keys of one shard, guarded by the envelope's
// fence, and safe to run twice, since go-redis runs a script again when its reply
// was lost. Key names and stored formats are described in keys.go and nowhere else.
// What it reads it decodes defensively: broken content is an error, never a panic.
//
//	s := store.New(rdb, store.Options{})
//	msg, replayed, err := s.Messages.Accept(ctx, &store.Submission{Message: m, Content: c})
//	start, err := s.Messages.Begin(ctx, msg.World, msg.ID, 0, 0, worker, now)
//	claim := store.Claim{World: msg.World, Message: msg.ID, Envelope: 0, Fence: start.Fence}
//	err = s.Messages.Mark(ctx, claim, []int{0}, selectors, now)
//	done, err := s.Messages.Conclude(ctx, claim, attempt, nextAt, now)
package store

import (
	"crypto/rand"
	"errors"
	"log/slog"
	"time"

	"github.com/redis/go-redis/v9"
)

// The errors that callers tell apart.
var (
	ErrNotFound          = errors.New("not found")
	ErrIdempotencyReused = errors.New("idempotency key was used with another request")
	ErrNotCancelable     = errors.New("no recipient can be canceled")
	ErrLostFence         = errors.New("another attempt holds the envelope")
	ErrRefused           = errors.New("the mark was refused") // wrapped by *Refused
	ErrAlreadyExists     = errors.New("already exists")
	ErrCursor            = errors.New("bad cursor")
	ErrNotQuarantined    = errors.New("not quarantined")
	// ErrUnavailable is a Redis that does not answer, loads, or may not be written
	// now. Whether what was asked of it happened is not known.
	ErrUnavailable = errors.New("the store is not available")
	// ErrFull refuses new mail while memory is short. What is there can be worked off.
	ErrFull = errors.New("the store is full")
	// ErrBroken is content of Redis that cannot be read.
	ErrBroken = errors.New("broken record")
)

// Options says how the key space is divided and how long things are kept.
type Options struct {
	// Shards is the number of parts of the key space, 1 (default) to 256.
	Shards int
	// IdempotencyWindow is how long an Idempotency-Key counts from acceptance: 24 h.
	IdempotencyWindow time.Duration
	// ContentRetention is how long bodies are kept after the last final state: 7 d.
	ContentRetention time.Duration
	// MetadataRetention is how long records, events and attempts are kept after
	// the last final state: 30 d. It should not be shorter than IdempotencyWindow.
	MetadataRetention time.Duration
	// StubRetention is how long the envelopes' stubs are kept after the last
	// final state, for late bounces and complaints: 90 d.
	StubRetention time.Duration
	// Log names what cannot be read and is passed over. Nil: silent.
	Log *slog.Logger
	// InProcess says that Redis is inside this process, as in dev: there is
	// nothing to inspect, and nothing survives.
	InProcess bool
	// AcceptsOnly says that this process delivers nothing: it keeps no mail at hand.
	AcceptsOnly bool
	// Sealer encrypts the secrets of webhooks and kept answers; without one neither
	// can be used.
	Sealer Sealer
}

func (o Options) withDefaults() Options {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	o.Shards = min(max(o.Shards, 1), 256)
	const day = 24 * time.Hour
	for _, d := range []struct {
		field *time.Duration
		value time.Duration
	}{
		{&o.IdempotencyWindow, day},
		{&o.ContentRetention, 7 * day},
		{&o.MetadataRetention, 30 * day},
		{&o.StubRetention, 90 * day},
	} {
		if *d.field <= 0 {
			*d.field = d.value
		}
	}
	return o
}

// Store is all state in Redis, one field per aggregate. It is safe for
// concurrent use.
type Store struct {
	Messages *Messages
	Keys     *Keys     // API keys
	Domains  *Domains  // sending domains
	Batches  *Batches  // messages that are taken together
	Answers  *Answers  // Idempotency-Keys of requests that are no sends
	Log      *Log      // the events of all messages, in order
	Stats    *Stats    // what happened, counted
	Rates    *Rates    // how much of its rate each key has used
	Quotas   *Quotas   // how much of its day's recipients
	Audit    *Audit    // who changed what
	Users    *Users    // of the dashboard
	Sessions *Sessions // of those users
	Tries    *Tries    // how often somebody tried to sign in
	Leases   *Leases   // leases, heartbeats, the check value of the installation's secret

	rdb        redis.UniversalClient
	options    Options
	room       *room
	instance   string      // names what an in-process Redis holds
	Webhooks   *Webhooks   // endpoints
	Deliveries *Deliveries // what is sent to them

	Templates *Templates // the texts that messages are made from

	Suppressions *Suppressions // addresses that mail must not go to
}

// New returns a store on rdb, whose retries of lost replies may stay on, and
// whose errors it gives types (a hook). It does not connect.
func New(rdb redis.UniversalClient, o Options) *Store {
	o = o.withDefaults()
	rdb.AddHook(typed{})
	room := &room{}
	messages := &Messages{rdb: rdb, options: o, scripts: newScripts(), packer: newPacker(), room: room}
	if !o.AcceptsOnly {
		messages.handoff = newHandoff()
	}
	answers := &Answers{
		rdb: rdb, messages: messages, sealer: o.Sealer, hold: redis.NewScript(holdKeyScript), keep: redis.NewScript(keepAnswerScript),
	}
	s := &Store{
		rdb: rdb, options: o, room: room, instance: rand.Text(),
		Messages: messages,
		Keys:     newKeys(rdb),
		Quotas:   &Quotas{rdb: rdb, take: redis.NewScript(takeQuotaScript)},
		Audit:    &Audit{rdb: rdb},
		Users:    &Users{rdb: rdb, swap: redis.NewScript(whenFull + swapUserScript)},
		Sessions: &Sessions{rdb: rdb, find: redis.NewScript(findSessionScript), keep: redis.NewScript(whenFull + keepSessionScript)},
		Tries:    &Tries{rdb: rdb, take: redis.NewScript(whenFull + takeTryScript), forgive: redis.NewScript(whenFull + forgiveTryScript)},
		Domains:  &Domains{rdb: rdb, swap: redis.NewScript(swapDomainScript)},
		Batches:  &Batches{rdb: rdb, messages: messages, answers: answers, commit: redis.NewScript(commitScript)},
		Answers:  answers,
		Leases:   newLeases(rdb),
		Stats:    &Stats{rdb: rdb, shards: o.Shards},
		Rates:    &Rates{rdb: rdb, lease: redis.NewScript(leaseScript)},

		Webhooks:   &Webhooks{rdb: rdb, shards: o.Shards, sealer: o.Sealer, swap: redis.NewScript(swapWebhookScript)},
		Deliveries: newDeliveries(rdb, o, messages.packer),

		Templates: &Templates{rdb: rdb, packer: messages.packer, change: redis.NewScript(changeTemplateScript)},

		Suppressions: newSuppressions(rdb, o),
	}
	s.Log = &Log{store: s, rdb: rdb}
	return s
}

// Kept is how long things are kept, and what else the store was opened with.
func (s *Store) Kept() Options { return s.options }

// Messages is the aggregate of messages: accept, read, deliver, sweep.
type Messages struct {
	rdb     redis.UniversalClient
	options Options
	scripts *scripts
	packer  *packer
	room    *room
	handoff *handoff // nil: none
}

// scripts are the Lua scripts that change a message.
type scripts struct {
	accept, begin, mark, conclude, release, cancel *redis.Script
	lookAgain, advance, forget, setAside           *redis.Script
	free, giveUp, reschedule, link, trim, discard  *redis.Script
	hurry                                          *redis.Script
}

func newScripts() *scripts {
	return &scripts{
		accept:     redis.NewScript(acceptScript),
		begin:      redis.NewScript(whenFull + preludeScript + beginScript),
		mark:       redis.NewScript(whenFull + markScript),
		conclude:   redis.NewScript(whenFull + preludeScript + giveBackScript + concludeScript),
		release:    redis.NewScript(whenFull + preludeScript + giveBackScript + releaseScript),
		cancel:     redis.NewScript(whenFull + preludeScript + cancelScript),
		lookAgain:  redis.NewScript(whenFull + lookAgainScript),
		advance:    redis.NewScript(whenFull + advanceScript),
		forget:     redis.NewScript(whenFull + forgetScript),
		setAside:   redis.NewScript(whenFull + setAsideScript),
		discard:    redis.NewScript(whenFull + discardScript),
		reschedule: redis.NewScript(whenFull + preludeScript + rescheduleScript),
		hurry:      redis.NewScript(whenFull + preludeScript + hurryScript),
		free:       redis.NewScript(whenFull + preludeScript + freeScript),
		giveUp:     redis.NewScript(whenFull + preludeScript + giveUpScript),
		link:       redis.NewScript(whenFull + linkScript),
		trim:       redis.NewScript(whenFull + trimScript),
	}
}
