package store

import (
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"postrider/internal/email"
	"postrider/internal/secret"
)

func TestAnswersAreKeptOnce(t *testing.T) {
	each(t, Options{Shards: 4, Sealer: secret.New()}, func(t *testing.T, f *fixture) {
		ctx, print := t.Context(), [32]byte{1}
		hold := func(key string, print [32]byte) (*Held, string, error) {
			h, answer, err := f.Answers.Hold(ctx, email.Test, key, print)
			return h, string(answer), err
		}
		held, answer, err := hold("k", print)
		if err != nil || held == nil || answer != "" {
			t.Fatalf("first: %v, %q, %v", held, answer, err)
		}
		if _, _, err := hold("k", print); !errors.Is(err, ErrInProgress) {
			t.Errorf("while it runs: %v", err)
		}
		if _, _, err := hold("k", [32]byte{2}); !errors.Is(err, ErrIdempotencyReused) {
			t.Errorf("another request while it runs: %v", err)
		}
		const given = "\x00 ?=\xff the answer" // any octets
		if err := held.Keep(ctx, []byte(given)); err != nil {
			t.Fatal(err)
		}
		if h, answer, err := hold("k", print); err != nil || h != nil || answer != given {
			t.Errorf("afterwards: %v, %q, %v", h, answer, err)
		}
		if _, _, err := hold("k", [32]byte{2}); !errors.Is(err, ErrIdempotencyReused) {
			t.Errorf("another request afterwards: %v", err)
		}
		if raw := f.rdb.Get(ctx, held.name).Val(); strings.Contains(raw, "the answer") {
			t.Errorf("the answer is not sealed: %q", raw)
		}
		if err := held.Drop(ctx); err != nil {
			t.Fatal(err)
		}
		if _, answer, _ := hold("k", print); answer != given {
			t.Errorf("a late Drop took the answer: %q", answer)
		}
		if h, _, err := f.Answers.Hold(ctx, email.Live, "k", [32]byte{3}); err != nil || h == nil {
			t.Errorf("the other world: %v, %v", h, err)
		}
	})
}

func TestDroppedKeysAreFree(t *testing.T) {
	each(t, Options{Sealer: secret.New()}, func(t *testing.T, f *fixture) {
		held, _, err := f.Answers.Hold(t.Context(), email.Test, "k", [32]byte{1})
		if err != nil {
			t.Fatal(err)
		}
		if err := held.Drop(t.Context()); err != nil {
			t.Fatal(err)
		}
		again, _, err := f.Answers.Hold(t.Context(), email.Test, "k", [32]byte{2})
		if err != nil || again == nil {
			t.Fatalf("after Drop: %v, %v", again, err)
		}
		// Whose hold ran out must not disturb the next.
		if err := held.Keep(t.Context(), []byte("late")); err != nil {
			t.Fatal(err)
		}
		if _, _, err := f.Answers.Hold(t.Context(), email.Test, "k", [32]byte{2}); !errors.Is(err, ErrInProgress) {
			t.Errorf("after a late Keep: %v", err)
		}
	})
}

// A held key and an answer end by themselves, the answer with the window.
func TestAnswersHaveAnEnd(t *testing.T) {
	each(t, Options{Sealer: secret.New()}, func(t *testing.T, f *fixture) {
		held, _, err := f.Answers.Hold(t.Context(), email.Test, "k", [32]byte{1})
		if err != nil {
			t.Fatal(err)
		}
		left := f.rdb.PTTL(t.Context(), held.name).Val()
		if left <= 0 || left > heldFor {
			t.Errorf("held for %v", left)
		}
		if err := held.Keep(t.Context(), []byte("a")); err != nil {
			t.Fatal(err)
		}
		window := f.Answers.messages.options.IdempotencyWindow
		if left := f.rdb.PTTL(t.Context(), held.name).Val(); left <= heldFor || left > window {
			t.Errorf("kept for %v", left)
		}
	})
}

// Keys have one namespace: a send and another request cannot share one.
func TestAnswersShareTheNamespaceOfSends(t *testing.T) {
	each(t, Options{Sealer: secret.New()}, func(t *testing.T, f *fixture) {
		s := draft(f.Messages, "ada@example.org")
		s.Message.World = email.Test
		s.IdempotencyKey, s.Fingerprint = "sent", [32]byte{1}
		f.accept(t, s)
		if _, _, err := f.Answers.Hold(t.Context(), email.Test, "sent", [32]byte{2}); !errors.Is(err, ErrIdempotencyReused) {
			t.Errorf("the key of a send: %v", err)
		}
		held, _, err := f.Answers.Hold(t.Context(), email.Test, "other", [32]byte{3})
		if err != nil {
			t.Fatal(err)
		}
		for _, state := range []string{"held", "answered"} {
			if _, err := f.Messages.Replay(t.Context(), email.Test, "other", [32]byte{4}); !errors.Is(err, ErrIdempotencyReused) {
				t.Errorf("a send with a key that is %s: %v", state, err)
			}
			again := draft(f.Messages, "ada@example.org")
			again.Message.World, again.IdempotencyKey, again.Fingerprint = email.Test, "other", [32]byte{4}
			if _, _, err := f.Messages.Accept(t.Context(), again); !errors.Is(err, ErrIdempotencyReused) {
				t.Errorf("accepting with a key that is %s: %v", state, err)
			}
			if err := held.Keep(t.Context(), []byte("a")); err != nil {
				t.Fatal(err)
			}
		}
	})
}

func TestOneOfManyHoldsAKey(t *testing.T) {
	each(t, Options{Sealer: secret.New()}, func(t *testing.T, f *fixture) {
		var (
			group sync.WaitGroup
			held  atomic.Int32
		)
		for range 20 {
			group.Go(func() {
				h, _, err := f.Answers.Hold(t.Context(), email.Test, "k", [32]byte{1})
				switch {
				case err == nil && h != nil:
					held.Add(1)
				case !errors.Is(err, ErrInProgress):
					t.Errorf("Hold = %v, %v", h, err)
				}
			})
		}
		group.Wait()
		if held.Load() != 1 {
			t.Errorf("%d hold the key", held.Load())
		}
	})
}

func TestBrokenAnswersAreErrors(t *testing.T) {
	each(t, Options{Sealer: secret.New()}, func(t *testing.T, f *fixture) {
		held, _, err := f.Answers.Hold(t.Context(), email.Test, "k", [32]byte{1})
		if err != nil {
			t.Fatal(err)
		}
		for _, broken := range []string{held.print, held.print + " ", held.print + " !", held.print + " =x"} {
			if err := f.rdb.Set(t.Context(), held.name, broken, 0).Err(); err != nil {
				t.Fatal(err)
			}
			if _, _, err := f.Answers.Hold(t.Context(), email.Test, "k", [32]byte{1}); err == nil || errors.Is(err, ErrInProgress) {
				t.Errorf("%q: %v", broken, err)
			}
		}
	})
}
