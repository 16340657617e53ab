package queue

import (
	"context"
	"log/slog"
	"runtime"
	"sync"
	"testing"
	"time"
)

// However quickly jobs follow each other, no more members stay than jobs ran at once, and
// none after the end.
func TestCrewStaysSmall(t *testing.T) {
	const size = 8
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(16))
	before := runtime.NumGoroutine()
	ended, end := context.WithCancel(t.Context())
	c := newCrew(ended, size, slog.New(slog.DiscardHandler))
	var group sync.WaitGroup
	for range size {
		group.Go(func() {
			for range 20_000 {
				if err := c.run(func() error { return nil }); err != nil {
					t.Error(err)
				}
			}
		})
	}
	group.Wait()
	within := func(n int, what string) {
		t.Helper()
		for deadline := time.Now().Add(20 * time.Second); runtime.NumGoroutine()-before > n; time.Sleep(time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("%d members %s, want at most %d", runtime.NumGoroutine()-before, what, n)
			}
		}
	}
	within(size, "stay")
	end()
	within(0, "outlive the end")
}
