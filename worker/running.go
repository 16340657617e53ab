package worker

import (
	"sync"

	"postrider/internal/store"
)

// running knows the attempts of this process, so that the sweeper can tell an
// attempt that is on its way from one whose end could not be written down.
type running struct {
	mu     sync.Mutex
	claims map[store.Claim]struct{}
}

func newRunning() *running { return &running{claims: make(map[store.Claim]struct{})} }

func (r *running) add(c store.Claim) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.claims[c] = struct{}{}
}

func (r *running) remove(c store.Claim) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.claims, c)
}

func (r *running) has(c store.Claim) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	_, ok := r.claims[c]
	return ok
}

func (r *running) none() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.claims) == 0
}
