package store

import (
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"postrider/internal/email"
)

func aKey(id string, w email.World) Key {
	return Key{
		ID: id, World: w, Name: "app", Prefix: "pr_live_abcd", Scopes: []string{"messages:send"},
		FromDomains: []string{"acme.com"}, Networks: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")},
		ExpiresAt: start().Add(time.Hour), RequestsPerSecond: 5, RecipientsPerDay: 100, SendingPaused: true,
		CreatedAt: start(), UpdatedAt: start(),
	}
}

func keep(*Key) error { return nil }

func TestKeys(t *testing.T) {
	each(t, Options{}, func(t *testing.T, f *fixture) {
		key := aKey("key_1", email.Live)
		if err := f.Keys.Add(t.Context(), key, [32]byte{1}); err != nil {
			t.Fatal(err)
		}
		for name, find := range map[string]func() (*Key, error){
			"by hash": func() (*Key, error) { return f.Keys.ByHash(t.Context(), email.Live, [32]byte{1}) },
			"by id":   func() (*Key, error) { return f.Keys.Get(t.Context(), email.Live, "key_1") },
		} {
			got, err := find()
			if err != nil {
				t.Fatal(err)
			}
			equal(t, name, got, &key)
		}
		other := key
		other.ID = "key_2"
		for name, err := range map[string]error{
			"the same again": f.Keys.Add(t.Context(), key, [32]byte{1}),
			"another id":     f.Keys.Add(t.Context(), other, [32]byte{1}),
			"another hash":   f.Keys.Add(t.Context(), key, [32]byte{2}),
		} {
			if !errors.Is(err, ErrAlreadyExists) {
				t.Errorf("%s: %v, want ErrAlreadyExists", name, err)
			}
		}
		for name, find := range map[string]func() (*Key, error){
			"unknown hash":        func() (*Key, error) { return f.Keys.ByHash(t.Context(), email.Live, [32]byte{2}) },
			"another world":       func() (*Key, error) { return f.Keys.ByHash(t.Context(), email.Test, [32]byte{1}) },
			"unknown id":          func() (*Key, error) { return f.Keys.Get(t.Context(), email.Live, "key_2") },
			"id of another world": func() (*Key, error) { return f.Keys.Get(t.Context(), email.Test, "key_1") },
		} {
			if got, err := find(); !errors.Is(err, ErrNotFound) {
				t.Errorf("%s: %v, %v; want ErrNotFound", name, got, err)
			}
		}
	})
}

// A key as it was stored before keys had bounds.
func TestKeyOfOldForm(t *testing.T) {
	each(t, Options{}, func(t *testing.T, f *fixture) {
		hash := strings.Repeat("00", 32)
		f.rdb.Set(t.Context(), apiKeyByHash(email.Live, hash), `{"i":"key_1","n":"app","p":"pr_live_abcd","s":["messages:send"],"c":1800000000000,"o":"X"}`, 0)
		got, err := f.Keys.ByHash(t.Context(), email.Live, [32]byte{})
		if err != nil {
			t.Fatal(err)
		}
		made := time.UnixMilli(1800000000000).UTC()
		equal(t, "key", got, &Key{ID: "key_1", World: email.Live, Name: "app", Prefix: "pr_live_abcd", Scopes: []string{"messages:send"}, CreatedAt: made, UpdatedAt: made})
	})
}

func TestListAndRevokeKeys(t *testing.T) {
	each(t, Options{}, func(t *testing.T, f *fixture) {
		list := func(want ...*Key) {
			t.Helper()
			got, err := f.Keys.List(t.Context(), email.Live)
			if err != nil {
				t.Fatal(err)
			}
			equal(t, "keys", got, want)
		}
		list()
		add := func(id string, w email.World, hash byte) *Key {
			key := aKey(id, w)
			if err := f.Keys.Add(t.Context(), key, [32]byte{hash}); err != nil {
				t.Fatal(err)
			}
			return &key
		}
		later, earlier := add("key_2", email.Live, 2), add("key_1", email.Live, 1)
		add("key_0", email.Test, 3)
		list(earlier, later)

		refused := errors.New("no")
		if err := f.Keys.Revoke(t.Context(), email.Live, "key_1", func(*Key) error { return refused }); !errors.Is(err, refused) {
			t.Errorf("revoke = %v, want the error of judge", err)
		}
		list(earlier, later)
		if err := f.Keys.Revoke(t.Context(), email.Live, "key_1", keep); err != nil {
			t.Fatal(err)
		}
		if _, err := f.Keys.ByHash(t.Context(), email.Live, [32]byte{1}); !errors.Is(err, ErrNotFound) {
			t.Errorf("a revoked key is found: %v", err)
		}
		for _, id := range []string{"key_1", "key_0", "key_3", ""} {
			if err := f.Keys.Revoke(t.Context(), email.Live, id, keep); !errors.Is(err, ErrNotFound) {
				t.Errorf("revoke %q: %v, want ErrNotFound", id, err)
			}
		}
		list(later)
		add("key_3", email.Live, 1) // the hash is free again
	})
}

func TestUpdateKey(t *testing.T) {
	each(t, Options{}, func(t *testing.T, f *fixture) {
		if err := f.Keys.Add(t.Context(), aKey("key_1", email.Live), [32]byte{1}); err != nil {
			t.Fatal(err)
		}
		// Every change counts, whoever comes between.
		var all sync.WaitGroup
		for i := range 20 {
			all.Go(func() {
				_, err := f.Keys.Update(t.Context(), email.Live, "key_1", start().Add(time.Minute), func(k *Key) error { k.Scopes = append(k.Scopes, fmt.Sprint(i)); return nil })
				if err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		got, err := f.Keys.ByHash(t.Context(), email.Live, [32]byte{1})
		if err != nil || len(slices.Compact(slices.Sorted(slices.Values(got.Scopes)))) != 21 || !got.UpdatedAt.Equal(start().Add(time.Minute)) {
			t.Errorf("after 20 changes: %+v, %v", got, err)
		}
		stop := errors.New("stop")
		if _, err := f.Keys.Update(t.Context(), email.Live, "key_1", start(), func(*Key) error { return stop }); !errors.Is(err, stop) {
			t.Errorf("update = %v, want the error of change", err)
		}
		if _, err := f.Keys.Update(t.Context(), email.Test, "key_1", start(), keep); !errors.Is(err, ErrNotFound) {
			t.Errorf("update in another world = %v", err)
		}
	})
}

func TestRotateKey(t *testing.T) {
	each(t, Options{}, func(t *testing.T, f *fixture) {
		ctx := t.Context()
		if err := f.Keys.Add(ctx, aKey("key_1", email.Live), [32]byte{1}); err != nil {
			t.Fatal(err)
		}
		rotate := func(n byte, prefix string) {
			t.Helper()
			_, err := f.Keys.Rotate(ctx, email.Live, "key_1", [32]byte{n}, start(), func(k *Key) error {
				k.Prefix, k.OldUntil = prefix, start().Add(time.Hour)
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
		}
		by := func(n byte) *Key {
			t.Helper()
			k, err := f.Keys.ByHash(ctx, email.Live, [32]byte{n})
			if err != nil && !errors.Is(err, ErrNotFound) {
				t.Fatal(err)
			}
			return k
		}
		rotate(2, "pr_live_2222")
		if k := by(1); k == nil || !k.Old || k.Prefix != "pr_live_2222" || k.OldPrefix != "pr_live_abcd" || !k.OldUntil.Equal(start().Add(time.Hour)) {
			t.Errorf("by the old secret: %+v", k)
		}
		if k := by(2); k == nil || k.Old || k.ID != "key_1" {
			t.Errorf("by the new secret: %+v", k)
		}
		// What changes holds for both secrets.
		if _, err := f.Keys.Update(ctx, email.Live, "key_1", start(), func(k *Key) error { k.Scopes = nil; return nil }); err != nil {
			t.Fatal(err)
		}
		if k := by(1); k == nil || k.Scopes != nil {
			t.Errorf("the old secret kept its scopes: %+v", k)
		}
		rotate(3, "pr_live_3333")
		if k := by(1); k != nil {
			t.Errorf("the secret before the last is known: %+v", k)
		}
		if by(2) == nil || by(3) == nil {
			t.Error("a secret got lost")
		}
		if err := f.Keys.Revoke(ctx, email.Live, "key_1", keep); err != nil {
			t.Fatal(err)
		}
		if by(2) != nil || by(3) != nil {
			t.Error("a secret of a revoked key is known")
		}
		if left := f.rdb.Keys(ctx, "live:{keys}:*").Val(); len(left) != 0 {
			t.Errorf("of a revoked key is left %v", left)
		}
	})
}

// A script that runs again since its reply was lost does the same once.
func TestKeyScriptsRunTwice(t *testing.T) {
	each(t, Options{}, func(t *testing.T, f *fixture) {
		ctx := t.Context()
		if err := f.Keys.Add(ctx, aKey("key_1", email.Live), [32]byte{1}); err != nil {
			t.Fatal(err)
		}
		old, before, key, err := f.Keys.read(ctx, email.Live, "key_1")
		if err != nil {
			t.Fatal(err)
		}
		fresh := hex.EncodeToString([]byte(strings.Repeat("x", 32)))
		key.oldHash = old
		raw, err := encodeKey(key)
		if err != nil {
			t.Fatal(err)
		}
		names := []string{apiKeyByHash(email.Live, old), apiKeyByID(email.Live, "key_1"), apiKeyByHash(email.Live, fresh), apiKeyByHash(email.Live, fresh)}
		for range 2 {
			if n, err := f.Keys.change.Run(ctx, f.rdb, names, before, raw, fresh, keyReference+"key_1").Int(); n != 1 || err != nil {
				t.Errorf("change: %d, %v", n, err)
			}
		}
		names = []string{apiKeyByHash(email.Live, fresh), apiKeyByID(email.Live, "key_1"), apiKeyIDs(email.Live), apiKeyByHash(email.Live, old), apiKeyUse(email.Live)}
		for range 2 {
			if n, err := f.Keys.revoke.Run(ctx, f.rdb, names, raw, "key_1").Int(); n != 1 || err != nil {
				t.Errorf("revoke: %d, %v", n, err)
			}
		}
	})
}

func TestLastUseOfKeys(t *testing.T) {
	each(t, Options{}, func(t *testing.T, f *fixture) {
		ctx := t.Context()
		if err := f.Keys.Add(ctx, aKey("key_1", email.Live), [32]byte{1}); err != nil {
			t.Fatal(err)
		}
		if err := f.Keys.Used(ctx, email.Live, "key_1", start()); err != nil {
			t.Fatal(err)
		}
		list, err := f.Keys.List(ctx, email.Live)
		if err != nil || len(list) != 1 || !list[0].LastUsedAt.Equal(start()) {
			t.Errorf("%+v, %v", list, err)
		}
	})
}

func TestQuotas(t *testing.T) {
	each(t, Options{}, func(t *testing.T, f *fixture) {
		ctx := t.Context()
		var taken, refused int
		var mu sync.Mutex
		var all sync.WaitGroup
		for range 20 {
			all.Go(func() {
				ok, err := f.Quotas.Take(ctx, email.Live, "key_1", 10, 100, start())
				mu.Lock()
				defer mu.Unlock()
				switch {
				case err != nil:
					t.Error(err)
				case ok:
					taken += 10
				default:
					refused++
				}
			})
		}
		all.Wait()
		// A script that ran twice, with another between, has taken twice.
		if taken > 100 || taken+10*refused != 200 {
			t.Errorf("%d were taken of 100, %d times refused", taken, refused)
		}
		later := start().Add(48 * time.Hour)
		for _, step := range []struct {
			recipients, left int
			ok               bool
		}{{100, 0, true}, {1, 0, false}, {-30, 30, true}, {31, 30, false}, {30, 0, true}, {-200, 100, true}} {
			if ok, err := f.Quotas.Take(ctx, email.Live, "key_1", step.recipients, 100, later); ok != step.ok || err != nil {
				t.Errorf("take %d: %v, %v", step.recipients, ok, err)
			}
			if n, err := f.Quotas.Taken(ctx, email.Live, "key_1", later); 100-n != step.left || err != nil {
				t.Errorf("taken: %d, %v", n, err)
			}
		}
		for _, other := range []struct {
			w   email.World
			key string
			at  time.Time
		}{{email.Test, "key_1", start()}, {email.Live, "key_2", start()}, {email.Live, "key_1", QuotaResets(start())}} {
			if n, err := f.Quotas.Taken(ctx, other.w, other.key, other.at); n != 0 || err != nil {
				t.Errorf("%+v: %d, %v", other, n, err)
			}
		}
	})
}

func TestQuotaResets(t *testing.T) {
	for at, want := range map[string]string{
		"2026-12-31T23:59:59.999Z":  "2027-01-01T00:00:00Z",
		"2026-11-27T00:00:00Z":      "2026-11-28T00:00:00Z",
		"2026-11-27T23:30:00-05:00": "2026-11-29T00:00:00Z",
	} {
		parsed, err := time.Parse(time.RFC3339, at)
		if err != nil {
			t.Fatal(err)
		}
		if got := QuotaResets(parsed).Format(time.RFC3339); got != want {
			t.Errorf("%s: %s, want %s", at, got, want)
		}
	}
}

func TestAudit(t *testing.T) {
	each(t, Options{}, func(t *testing.T, f *fixture) {
		ctx := t.Context()
		first := Change{World: email.Live, At: start(), Actor: Operator, Action: "api_key.created", Object: "key_1", Detail: "app"}
		second := Change{World: email.Live, At: start().Add(time.Second), Actor: "key_1", Action: "api_key.revoked", Object: "key_2", Request: "req_1"}
		for _, c := range []Change{first, second, {World: email.Test, At: start(), Actor: "x", Action: "y"}} {
			if err := f.Audit.Add(ctx, c); err != nil {
				t.Fatal(err)
			}
		}
		got, _, err := f.Audit.Latest(ctx, []email.World{email.Live}, "", 10)
		if err != nil {
			t.Fatal(err)
		}
		equal(t, "changes", got, []Change{second, first})
		other := Change{World: email.Test, At: start().Add(30 * time.Second), Actor: "key_2", Action: "api_key.updated"}
		if err := f.Audit.Add(ctx, other); err != nil {
			t.Fatal(err)
		}
		// Of both, in pages of each size.
		both := []email.World{email.Test, email.Live}
		all, next, err := f.Audit.Latest(ctx, both, "", 4)
		if err != nil || next != "" || len(all) != 4 || all[0] != other || all[1] != second {
			t.Errorf("of both: %+v, %q, %v", all, next, err)
		}
		for size := 1; size < len(all); size++ {
			var paged []Change
			for next = ""; len(paged) == 0 || next != ""; {
				var page []Change
				if page, next, err = f.Audit.Latest(ctx, both, next, size); err != nil || len(page) == 0 || len(page) > size {
					t.Fatalf("a page of %d: %d, %v", size, len(page), err)
				}
				paged = append(paged, page...)
			}
			equal(t, "paged", paged, all)
		}
		for _, bad := range []string{"x", "1-1", "1-1,x", "1-1,+", "1-1,1-1,1-1", "1-1," + strings.Repeat("9", 21) + "-1"} {
			if _, _, err := f.Audit.Latest(ctx, both, bad, 1); !errors.Is(err, ErrCursor) {
				t.Errorf("from %q: %v", bad, err)
			}
		}
		if got, _, err := f.Audit.Latest(ctx, []email.World{email.Live}, "", 1); err != nil || len(got) != 1 {
			t.Errorf("one: %v, %v", got, err)
		}
	})
}
