package store

import (
	"testing"
	"time"
)

func TestSilence(t *testing.T) {
	each(t, Options{}, func(t *testing.T, f *fixture) {
		ctx := t.Context()
		beat := func(worker string) {
			t.Helper()
			if err := f.Leases.Beat(ctx, worker, 10*time.Second); err != nil {
				t.Fatal(err)
			}
		}
		// silent allows for the time that the test itself takes.
		silent := func(worker string, least time.Duration) {
			t.Helper()
			got, err := f.Leases.Silence(ctx, worker)
			if most := least + 9*time.Second; err != nil || got < least || got > most {
				t.Errorf("Silence of %s = %v, %v; want about %v", worker, got, err, least)
			}
		}
		// later moves the last heartbeat back in time.
		later := func(ms int64) {
			t.Helper()
			if err := f.rdb.HIncrBy(ctx, beatClock, "a", -ms).Err(); err != nil {
				t.Fatal(err)
			}
		}
		gone := func(worker string) {
			t.Helper()
			if got, err := f.Leases.Silence(ctx, worker); err != nil || got != Forever {
				t.Errorf("Silence of %s = %v, %v; want for ever", worker, got, err)
			}
		}
		gone("w1")
		beat("w1")
		silent("w1", 0)
		later(5000)
		silent("w1", 0) // nobody was heard since
		beat("w2")
		silent("w1", 5*time.Second)
		silent("w2", 0)
		later(60_000)
		beat("w2") // after an outage
		silent("w1", 5*time.Second)
		later(-60_000)
		beat("w2") // the clock of Redis went back
		silent("w1", 5*time.Second)
		later(9000)
		beat("w2")
		silent("w1", 14*time.Second)
		if err := f.Leases.Leave(ctx, "w2"); err != nil {
			t.Fatal(err)
		}
		gone("w2")
		if err := f.rdb.HIncrBy(ctx, beatClock, "c", beatMemory.Milliseconds()).Err(); err != nil {
			t.Fatal(err)
		}
		beat("w2")
		gone("w1") // forgotten
		silent("w2", 0)
	})
}
