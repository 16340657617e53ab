package store

import (
	"errors"
	"sync"
	"testing"
	"time"
)

func TestDomains(t *testing.T) {
	each(t, Options{}, func(t *testing.T, f *fixture) {
		ctx := t.Context()
		dom := &Domain{
			ID: "dom_1", Name: "acme.com", CreatedAt: start(), Status: "pending",
			Selectors: []Selector{{Name: "s1", Algorithm: "ed25519", Public: "AAA=", Sealed: []byte{0, 255}, CreatedAt: start()}},
		}
		if err := f.Domains.Add(ctx, dom); err != nil {
			t.Fatal(err)
		}
		if err := f.Domains.Add(ctx, dom); !errors.Is(err, ErrAlreadyExists) {
			t.Errorf("Add again = %v, want ErrAlreadyExists", err)
		}
		got, err := f.Domains.Get(ctx, "acme.com")
		if err != nil {
			t.Fatal(err)
		}
		equal(t, "domain", got, dom)
		if _, err := f.Domains.Get(ctx, "other.com"); !errors.Is(err, ErrNotFound) {
			t.Errorf("Get of none = %v, want ErrNotFound", err)
		}
		if _, err := f.Domains.Update(ctx, "other.com", func(*Domain) error { return nil }); !errors.Is(err, ErrNotFound) {
			t.Errorf("Update of none = %v, want ErrNotFound", err)
		}
		stop := errors.New("stop")
		if _, err := f.Domains.Update(ctx, "acme.com", func(d *Domain) error { d.Status = "x"; return stop }); !errors.Is(err, stop) {
			t.Errorf("Update = %v, want the error of change", err)
		}
		if _, err := f.Domains.Update(ctx, "acme.com", func(d *Domain) error { d.Name = "b.com"; return nil }); err == nil {
			t.Error("Update changed the name")
		}
		updated, err := f.Domains.Update(ctx, "acme.com", func(d *Domain) error {
			d.Status, d.CheckedAt, d.ReturnPath, d.Selectors[0].SeenAt = "verified", start(), "bounce.acme.com", start()
			return nil
		})
		if err != nil || updated.Status != "verified" {
			t.Fatalf("Update = %+v, %v", updated, err)
		}
		if err := f.Domains.Add(ctx, &Domain{ID: "dom_2", Name: "a.com"}); err != nil {
			t.Fatal(err)
		}
		list, err := f.Domains.List(ctx)
		if err != nil || len(list) != 2 || list[0].Name != "a.com" {
			t.Fatalf("List = %v, %v; want a.com and acme.com", list, err)
		}
		equal(t, "the updated one in the list", list[1], updated)
	})
}

func TestDomainUpdatesAtOnce(t *testing.T) {
	each(t, Options{}, func(t *testing.T, f *fixture) {
		if err := f.Domains.Add(t.Context(), &Domain{ID: "dom_1", Name: "acme.com"}); err != nil {
			t.Fatal(err)
		}
		const n = 5
		var wg sync.WaitGroup
		for range n {
			wg.Go(func() {
				_, err := f.Domains.Update(t.Context(), "acme.com", func(d *Domain) error {
					d.Selectors = append(d.Selectors, Selector{Name: "s"})
					return nil
				})
				if err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if dom, err := f.Domains.Get(t.Context(), "acme.com"); err != nil || len(dom.Selectors) != n {
			t.Errorf("%v, %v; want %d selectors: no update lost", dom, err, n)
		}
	})
}

func TestLeases(t *testing.T) {
	each(t, Options{}, func(t *testing.T, f *fixture) {
		ctx := t.Context()
		hold := func(holder string, ttl time.Duration, want bool) {
			t.Helper()
			if held, err := f.Leases.Hold(ctx, "sweep", holder, ttl); err != nil || held != want {
				t.Errorf("Hold by %s = %t, %v; want %t", holder, held, err, want)
			}
		}
		hold("a", time.Hour, true)
		hold("b", time.Hour, false)
		hold("a", time.Hour, true)
		if err := f.Leases.Drop(ctx, "sweep", "b"); err != nil {
			t.Fatal(err)
		}
		hold("b", time.Hour, false)
		if err := f.Leases.Drop(ctx, "sweep", "a"); err != nil {
			t.Fatal(err)
		}
		hold("b", time.Millisecond, true)
		for range 500 {
			if f.rdb.Exists(ctx, leasePrefix+"sweep").Val() == 0 {
				break
			}
			time.Sleep(10 * time.Millisecond)
		}
		hold("c", time.Hour, true)
	})
}

func TestSecret(t *testing.T) {
	each(t, Options{}, func(t *testing.T, f *fixture) {
		ctx := t.Context()
		for _, c := range []struct {
			check string
			want  bool
		}{{"one", true}, {"one", true}, {"two", false}} {
			if ok, err := f.Leases.ClaimSecret(ctx, c.check); err != nil || ok != c.want {
				t.Errorf("ClaimSecret(%q) = %t, %v; want %t", c.check, ok, err, c.want)
			}
		}
	})
}
