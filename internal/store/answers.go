package store

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"postrider/internal/email"
)

// ErrInProgress is a request whose Idempotency-Key another one holds at this moment.
var ErrInProgress = errors.New("a request with this idempotency key is in progress")

// heldFor is how long a request may take that holds an Idempotency-Key. One whose
// process died holds it no longer than that.
const heldFor = time.Minute

// Answers is the aggregate of the Idempotency-Keys of requests that are no sends
// (api.md 6): while a request runs it holds its key, afterwards its answer stands
// there, sealed, since it may hold a secret that is shown once. A send has no need of
// it: its message is its answer.
type Answers struct {
	rdb        redis.UniversalClient
	messages   *Messages // whose shards and window they share
	sealer     Sealer
	hold, keep *redis.Script
}

// Held is an Idempotency-Key held by one request.
type Held struct {
	answers *Answers
	name    string // of the entry
	print   string // the fingerprint
	value   string // of the entry while it is held
}

// What stands behind the fingerprint of an entry that is no message's.
const (
	heldMark     = "?" // then the nonce of who holds it
	answeredMark = "=" // then the answer, sealed for the owner "answer <entry>"
)

// holdKeyScript takes an Idempotency-Key unless something stands there.
//
//	KEYS 1 idempotency entry
//	ARGV 1 value while held, 2 its TTL in ms
//
// Returns what stands there now. Safe to run twice: the second run finds its own value.
const holdKeyScript = `
local standing = redis.call('GET', KEYS[1])
if standing then return standing end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return ARGV[1]
`

// keepAnswerScript puts an answer in the place of a held key, or gives the key back.
//
//	KEYS 1 idempotency entry
//	ARGV 1 value while held, 2 answer (empty: give back), 3 its TTL in ms
//
// Returns 1. An entry of another request is left alone. Safe to run twice: the second
// run finds the answer, or nothing to give back.
const keepAnswerScript = `
local standing = redis.call('GET', KEYS[1])
if standing and standing ~= ARGV[1] then return 1 end
if ARGV[2] ~= '' then
  redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
elseif standing then
  redis.call('DEL', KEYS[1])
end
return 1
`

// Hold takes an Idempotency-Key for one request. If an earlier one with this
// fingerprint was answered, answer is what it kept, and held is nil. Errors:
// ErrInProgress, ErrIdempotencyReused; ErrUnavailable, with which held may be held all
// the same: drop it.
func (a *Answers) Hold(ctx context.Context, w email.World, key string, fingerprint [32]byte) (held *Held, answer []byte, err error) {
	print := base64.RawURLEncoding.EncodeToString(fingerprint[:])
	held = &Held{
		answers: a, print: print, value: print + " " + heldMark + rand.Text(),
		name: keysOf(w, a.messages.ShardFor(w, key)).idempotency(key),
	}
	standing, err := a.hold.Run(ctx, a.rdb, []string{held.name}, held.value, heldFor.Milliseconds()).Text()
	if err != nil {
		return held, nil, fmt.Errorf("hold an idempotency key: %w", err)
	}
	if standing == held.value {
		return held, nil, nil
	}
	answer, err = a.open(held.name, print, standing)
	return nil, answer, err
}

// open reads the answer in an entry. Errors: ErrInProgress, ErrIdempotencyReused.
func (a *Answers) open(name, print, standing string) ([]byte, error) {
	other, rest, _ := strings.Cut(standing, " ")
	if other != print {
		return nil, ErrIdempotencyReused
	}
	if strings.HasPrefix(rest, heldMark) {
		return nil, ErrInProgress
	}
	kept, ok := strings.CutPrefix(rest, answeredMark)
	if !ok {
		return nil, fmt.Errorf("read an idempotency entry: %w", ErrBroken)
	}
	if a.sealer == nil {
		return nil, fmt.Errorf("open a kept answer: %w", errNoSealer)
	}
	answer, err := a.sealer.Open([]byte(kept), answerOwner(name))
	if err != nil {
		return nil, fmt.Errorf("open a kept answer: %w", err)
	}
	return answer, nil
}

// sealed is an entry with an answer.
func (a *Answers) sealed(name, print string, answer []byte) (string, error) {
	if a.sealer == nil {
		return "", fmt.Errorf("keep an answer: %w", errNoSealer)
	}
	return print + " " + answeredMark + string(a.sealer.Seal(answer, answerOwner(name))), nil
}

func answerOwner(entry string) string { return "answer " + entry }

// Keep leaves an answer where the key was held, for the idempotency window.
func (h *Held) Keep(ctx context.Context, answer []byte) error {
	value, err := h.answers.sealed(h.name, h.print, answer)
	if err != nil {
		return err
	}
	return h.put(ctx, value)
}

// Drop gives the key back: the request was refused.
func (h *Held) Drop(ctx context.Context) error { return h.put(ctx, "") }

func (h *Held) put(ctx context.Context, value string) error {
	ttl := h.answers.messages.options.IdempotencyWindow.Milliseconds()
	if err := h.answers.keep.Run(ctx, h.answers.rdb, []string{h.name}, h.value, value, ttl).Err(); err != nil {
		return fmt.Errorf("keep the answer of an idempotency key: %w", err)
	}
	return nil
}
