package worker

import (
	"sync"

	"postrider/internal/email"
	"postrider/internal/queue"
	"postrider/internal/store"
)

// envelopeID names an envelope.
type envelopeID struct {
	world    email.World
	message  string
	envelope int
}

func idOfJob(d queue.Delivery) envelopeID { return envelopeID{d.World, d.Message, d.Envelope} }

func idOfEntry(e store.Entry) envelopeID { return envelopeID{e.World, e.Message, e.Envelope} }

// running counts what is in hand in this process for each envelope, from before its
// Begin until its end is written down: by it the sweeper tells an attempt of ours
// that is on its way from one whose Begin or end was lost.
type running struct {
	mu   sync.Mutex
	jobs map[envelopeID]int
}

func newRunning() *running { return &running{jobs: make(map[envelopeID]int)} }

func (r *running) add(id envelopeID) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.jobs[id]++
}

func (r *running) remove(id envelopeID) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.jobs[id]--; r.jobs[id] <= 0 {
		delete(r.jobs, id)
	}
}

func (r *running) has(id envelopeID) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.jobs[id] > 0
}

func (r *running) none() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.jobs) == 0
}
