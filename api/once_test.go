package api

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"

	"postrider/internal/email"
	"postrider/internal/store"
)

// holder is a door and an Idempotency-Key that it holds.
func (h *house) holder(key string) (*door, *store.Held) {
	h.t.Helper()
	held, _, err := h.store.Answers.Hold(h.t.Context(), email.Test, key, [32]byte{1})
	if err != nil || held == nil {
		h.t.Fatalf("hold: %v, %v", held, err)
	}
	return &door{store: h.store, log: slog.New(slog.NewTextHandler(h.logs, nil)), unsettled: unsettled{make(chan struct{}, 1)}}, held
}

// free reports whether another request could have the key.
func (h *house) free(key string) bool {
	h.t.Helper()
	held, _, err := h.store.Answers.Hold(h.t.Context(), email.Test, key, [32]byte{2})
	if err != nil && !errors.Is(err, store.ErrIdempotencyReused) {
		h.t.Fatal(err)
	}
	return held != nil
}

func TestKeyIsGivenBackAfterAPanic(t *testing.T) {
	h := openHouse(t)
	d, held := h.holder("panic")
	func() {
		defer func() {
			if recover() == nil {
				t.Error("the panic was swallowed")
			}
		}()
		_, _ = d.holding(t.Context(), held, func(context.Context) (*reply, error) { panic("no") })
	}()
	if !h.free("panic") {
		t.Error("the key is held for ever")
	}
}

func TestKeyIsGivenBackAfterAnError(t *testing.T) {
	h := openHouse(t)
	d, held := h.holder("error")
	wrong := errors.New("wrong")
	ctx, cancel := context.WithCancel(t.Context())
	_, err := d.holding(ctx, held, func(context.Context) (*reply, error) {
		cancel() // not even the end of its time keeps it
		return nil, wrong
	})
	if !errors.Is(err, wrong) || !h.free("error") {
		t.Errorf("%v", err)
	}
}

// What was done is answered, even if Redis went away before the answer was kept.
func TestAnswerIsGivenThoughItCannotBeKept(t *testing.T) {
	h := openHouse(t)
	d, held := h.holder("lost")
	r, err := d.holding(t.Context(), held, func(context.Context) (*reply, error) {
		if err := h.rdb.Close(); err != nil {
			t.Error(err)
		}
		return newReply(201, "/v1/webhooks/wh_1", map[string]string{"secret": "canary"})
	})
	if err != nil || r == nil || r.Status != 201 || string(r.Body) != `{"secret":"canary"}` {
		t.Errorf("%+v, %v", r, err)
	}
	if logs := h.logs.String(); !strings.Contains(logs, "idempotency key not settled") || strings.Contains(logs, "canary") {
		t.Errorf("log: %s", logs)
	}
}
