package store

import (
	"context"
	"fmt"
	"sync"
)

// Shares of the memory limit: from yieldShare on finished history goes before
// its time, from fullShare on no new mail is taken, so that what is queued can
// always be worked off (a full Redis refuses even the queue's dequeue).
const (
	yieldShare = 0.50
	fullShare  = 0.70
)

// room is what the last measurement said about taking new mail.
type room struct {
	mu          sync.Mutex
	used, limit int64
	red         error // why the last inspection forbids it
}

func (r *room) measured(used, limit int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.used, r.limit = used, limit
}

func (r *room) inspected(red error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.red = red
}

// above reports whether more than a share of the limit is in use; never if the
// limit is not known.
func (r *room) above(share float64) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.limit > 0 && float64(r.used) > share*float64(r.limit)
}

func (r *room) admit() error {
	r.mu.Lock()
	red := r.red
	r.mu.Unlock()
	if red != nil {
		return red
	}
	if r.above(fullShare) {
		return ErrFull
	}
	return nil
}

// Admit reports whether new mail may be taken, as of the last Measure and the
// last inspection by a Guard: nil, ErrFull, or ErrUnavailable while a fault stands
// that would have been refused at start. It asks nobody. Accept asks it itself.
func (s *Store) Admit() error { return s.room.admit() }

// Measure reads how much memory is in use and updates Admit by it: two small
// questions. It returns the run id, which changes when Redis is started anew; it
// is empty for a Redis in this process, and for one that does not tell.
func (s *Store) Measure(ctx context.Context) (runID string, err error) {
	if s.options.InProcess {
		return "", nil
	}
	a := &answers{}
	for _, section := range []string{"server", "memory"} {
		text, err := s.rdb.Info(ctx, section).Result()
		if err := a.refused(err); err != nil {
			return "", fmt.Errorf("measure Redis: %w", err)
		}
		info := parseInfo(text)
		if section == "server" {
			runID = info["run_id"]
			continue
		}
		s.room.measured(memoryOf(info))
	}
	return runID, nil
}
