package signin

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func TestThrottled(t *testing.T) {
	each(t, func(t *testing.T, f *fixture) {
		ctx := t.Context()
		f.administrator()
		var wrong, throttled atomic.Int32
		try := func(name, password, from string) {
			_, err := f.SignIn(ctx, name, password, Place{Network: from})
			var slow *Throttled
			switch {
			case errors.Is(err, ErrWrong):
				wrong.Add(1)
			case errors.As(err, &slow) && slow.Wait > time.Minute:
				throttled.Add(1)
			case err != nil:
				t.Error(err)
			}
		}
		var all sync.WaitGroup
		for range 20 {
			all.Go(func() { try("ada", other, net1().Network) })
		}
		all.Wait()
		if wrong.Load() != 10 || throttled.Load() != 10 {
			t.Errorf("of 20 at once %d were judged, %d throttled", wrong.Load(), throttled.Load())
		}
		if try("ada", good, net1().Network); throttled.Load() != 11 {
			t.Error("the right password counts at a moment when none does")
		}
		if try("ada", good, "192.0.2.2"); throttled.Load() != 11 {
			t.Error("she is kept out from elsewhere")
		}
		for i := range 45 {
			try(fmt.Sprint("user", i), other, net1().Network)
		}
		if wrong.Load() != 50 {
			t.Errorf("a network had %d tries", wrong.Load())
		}
		// What people type into the field of the name is not kept.
		try(good, other, "192.0.2.3")
		hash := regexp.MustCompile(`[0-9a-f]{32,}`) // which may spell a name by chance
		for _, key := range f.rdb.Keys(ctx, "*").Val() {
			if key = hash.ReplaceAllString(key, ""); strings.Contains(key, "horse") || strings.Contains(key, "ada") {
				t.Errorf("key %s", key)
			}
		}
	})
}

// Few passwords are hashed at once; who waits too long is told so.
func TestHashingIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := New(Options{})
		var running, most atomic.Int32
		var all sync.WaitGroup
		var busy atomic.Int32
		for range 20 {
			all.Go(func() {
				err := d.hashing(t.Context(), func() {
					if n := running.Add(1); n > most.Load() {
						most.Store(n)
					}
					time.Sleep(time.Second)
					running.Add(-1)
				})
				if errors.Is(err, ErrBusy) {
					busy.Add(1)
				}
			})
		}
		all.Wait()
		if most.Load() > atOnce || busy.Load() < 20-atOnce*6 || busy.Load() > 20-atOnce*5 {
			t.Errorf("%d at once, %d waited in vain", most.Load(), busy.Load())
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		d.hashers <- struct{}{}
		d.hashers <- struct{}{}
		if err := d.hashing(ctx, func() {}); !errors.Is(err, context.Canceled) {
			t.Errorf("who left still waits: %v", err)
		}
	})
}

func TestHash(t *testing.T) {
	d, encoded := New(Options{}), hash(good)
	if encoded == hash(good) || !strings.HasPrefix(encoded, "$argon2id$v=19$m=19456,t=2,p=1$") || weak(encoded) {
		t.Error(encoded)
	}
	if ok, err := d.compare(t.Context(), encoded, good); !ok || err != nil {
		t.Error(ok, err)
	}
	for _, bad := range []string{
		"", "$", good, "$argon2i$v=19$m=19456,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
		"$argon2id$v=19$m=4294967295,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
		"$argon2id$v=19$m=19456,t=0,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", encoded[:60], encoded + "$", encoded[:len(encoded)-30] + "!",
	} {
		if ok, err := d.compare(t.Context(), bad, ""); ok || err != nil || !weak(bad) {
			t.Errorf("%.60q: %v, %v", bad, ok, err)
		}
	}
}
