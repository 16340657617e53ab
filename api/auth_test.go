package api

import (
	"context"
	"errors"
	"testing"
	"time"

	"postrider/internal/email"
	"postrider/internal/store"
)

func TestKeyringAsksSeldom(t *testing.T) {
	now, asked, fail := time.Unix(1_800_000_000, 0), 0, error(nil)
	k := newKeyring(func(context.Context, email.World, [32]byte) (*store.Key, error) {
		asked++
		if fail != nil {
			return nil, fail
		}
		return &store.Key{ID: "key_1"}, nil
	}, func() time.Time { return now })
	get := func(w email.World, first byte) error {
		_, err := k.get(context.Background(), w, [32]byte{first})
		return err
	}
	expect := func(n int, why string) {
		t.Helper()
		if asked != n {
			t.Fatalf("asked %d times, want %d: %s", asked, n, why)
		}
	}
	for range 3 {
		if err := get(email.Live, 1); err != nil {
			t.Fatal(err)
		}
	}
	expect(1, "a key is remembered")
	_ = get(email.Test, 1)
	expect(2, "a key of the other world is another key")
	now = now.Add(KeyLifetime)
	_ = get(email.Live, 1)
	expect(3, "but not for long")

	fail = store.ErrNotFound
	for range 2 {
		if err := get(email.Live, 9); !errors.Is(err, store.ErrNotFound) {
			t.Fatalf("get: %v", err)
		}
	}
	expect(5, "unknown keys are not remembered")
	fail = nil
	for i := range 3 * keyringSize {
		_, _ = k.get(context.Background(), email.Live, [32]byte{byte(i), byte(i >> 8), 7})
	}
	if len(k.seen) > keyringSize {
		t.Errorf("%d keys are remembered", len(k.seen))
	}
}
