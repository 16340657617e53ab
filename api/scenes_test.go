package api

import (
	"context"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"postrider/internal/apikey"
	"postrider/internal/email"
)

// commonScenes are those that every operation with a key has.
func (h *house) commonScenes() []scene {
	other, _ := apikey.New(email.Test)
	var scenes []scene
	for _, o := range h.operations() {
		if o.keyless {
			continue
		}
		op, method, path := o.OperationID, o.method, o.path("nothing")
		with := func(change asker) func(*house) *answer {
			return func(h *house) *answer { return h.do(method, path, nil, change) }
		}
		scenes = append(scenes,
			scene{op, missingAPIKey, with(keyless)},
			scene{op, invalidAPIKey, with(as(other))},
			scene{op, expiredAPIKey, func(h *house) *answer { return h.do(method, path, nil, as(h.keys["expired"])) }},
			scene{op, ipNotAllowed, func(h *house) *answer { return h.do(method, path, nil, as(h.keys["elsewhere"])) }},
			scene{op, rateLimited, func(h *house) (a *answer) {
				for range 10 { // how many there are depends on the clock
					if a = h.do(method, path, nil); a.status == http.StatusTooManyRequests {
						break
					}
				}
				return a
			}},
			scene{op, shuttingDown, func(h *house) *answer { return h.do(method, path, nil) }},
		)
		if !o.scopeless() {
			scenes = append(scenes, scene{op, insufficientScope, func(h *house) *answer { return h.do(method, path, nil, as(h.keys["none"])) }})
		}
	}
	return scenes
}

// oom refuses scripts as a Redis without memory does.
type oom struct{}

func (oom) DialHook(next redis.DialHook) redis.DialHook { return next }

func (oom) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

func (oom) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		if strings.HasPrefix(cmd.Name(), "eval") {
			cmd.SetErr(noMemory{})
			return noMemory{}
		}
		return next(ctx, cmd)
	}
}

type noMemory struct{}

func (noMemory) Error() string { return "OOM command not allowed when used memory > 'maxmemory'" }
func (noMemory) RedisError()   {}

// expired is a message whose content was forgotten.
func (h *house) expired() string {
	h.t.Helper()
	id := h.send(minimal)
	h.conclude(id, 0, delivered())
	shard, err := email.Shard(id)
	if err != nil {
		h.t.Fatal(err)
	}
	later := time.Now().Add(8 * 24 * time.Hour)
	if _, err := h.store.Messages.Forget(context.Background(), email.Test, shard, later, 100); err != nil {
		h.t.Fatal(err)
	}
	return id
}

// zeros is a body of n octets.
func zeros(n int64) io.Reader { return io.LimitReader(zeroReader{}, n) }

type zeroReader struct{}

func (zeroReader) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}
