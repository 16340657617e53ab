package store

import (
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"postrider/internal/email"
)

// Whoever asks, and however many at once: a key gets its burst and its rate, no more.
// (It may be less where an answer was lost.)
func TestRates(t *testing.T) {
	each(t, Options{}, func(t *testing.T, f *fixture) {
		const rate, burst = 1, 40
		began := time.Now()
		var given atomic.Int64
		var asking sync.WaitGroup
		for range 8 {
			asking.Go(func() {
				for range 10 {
					got, err := f.Rates.Lease(t.Context(), email.Live, "key_1", rate, burst, 3)
					if err != nil {
						t.Error(err)
					}
					given.Add(int64(got.Given))
				}
			})
		}
		asking.Wait()
		most := int64(burst + rate*(1+time.Since(began)/time.Second))
		if n := given.Load(); n == 0 || n > most {
			t.Errorf("%d tokens were given, of at most %d", n, most)
		}
		got, err := f.Rates.Lease(t.Context(), email.Live, "key_2", rate, burst, 3)
		if err != nil || got != (Leased{Given: 3, Left: burst - 3}) {
			t.Errorf("another key: %+v, %v", got, err)
		}
		if got, err = f.Rates.Lease(t.Context(), email.Live, "key_1", rate, 1, 1); err != nil || got.Given > 1 || got.Given == 0 && got.Wait <= 0 {
			t.Errorf("over the limit: %+v, %v", got, err)
		}
	})
}
