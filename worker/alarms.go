package worker

import (
	"context"
	"sync"
	"time"
)

// maxAlarms bounds the wake-ups kept in the process.
const maxAlarms = 10_000

// alarms are wake-ups a few seconds ahead. The queue counts in whole seconds; at
// a busy provider that would leave connections idle and then send all who wait at
// once. An alarm lost with the process costs only time: the sweeper finds the
// envelope due.
type alarms struct {
	mu      sync.Mutex
	closed  bool
	pending map[*alarm]struct{}
	ringing sync.WaitGroup
}

type alarm struct {
	timer *time.Timer
	ring  func(context.Context)
}

func newAlarms() *alarms { return &alarms{pending: make(map[*alarm]struct{})} }

// after has ring called in its own goroutine; false if there are too many alarms
// or they were flushed.
func (a *alarms) after(d time.Duration, ring func(context.Context)) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.closed || len(a.pending) >= maxAlarms {
		return false
	}
	al := &alarm{ring: ring}
	al.timer = time.AfterFunc(d, func() {
		if a.take(al) {
			defer a.ringing.Done()
			ctx, cancel := context.WithTimeout(context.Background(), alarmAhead)
			defer cancel()
			ring(ctx)
		}
	})
	a.pending[al] = struct{}{}
	return true
}

// take makes the caller the one who rings.
func (a *alarms) take(al *alarm) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if _, ok := a.pending[al]; !ok {
		return false
	}
	delete(a.pending, al)
	a.ringing.Add(1)
	return true
}

// flush rings all that is pending now, within ctx, and takes no more.
func (a *alarms) flush(ctx context.Context) {
	a.mu.Lock()
	a.closed = true
	pending := a.pending
	a.pending = make(map[*alarm]struct{})
	a.mu.Unlock()
	for al := range pending {
		al.timer.Stop()
		if ctx.Err() == nil {
			al.ring(ctx)
		}
	}
	a.ringing.Wait()
}
