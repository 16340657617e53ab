package worker

import (
	"maps"
	"sync"
	"time"

	"postrider/internal/queue"
)

// maxOrphans bounds what is remembered; beyond it the sweeper comes by chance.
const maxOrphans = 10_000

// orphans are jobs of this process that ended with an error: it may hold their
// fence without knowing, and no other worker will look, for its heart beats on.
type orphans struct {
	mu   sync.Mutex
	jobs map[queue.Delivery]time.Time // since when
}

func newOrphans() *orphans { return &orphans{jobs: make(map[queue.Delivery]time.Time)} }

func (o *orphans) add(job queue.Delivery, now time.Time) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.jobs) < maxOrphans {
		o.jobs[job] = now
	}
}

func (o *orphans) remove(job queue.Delivery) {
	o.mu.Lock()
	defer o.mu.Unlock()
	delete(o.jobs, job)
}

func (o *orphans) list() map[queue.Delivery]time.Time {
	o.mu.Lock()
	defer o.mu.Unlock()
	return maps.Clone(o.jobs)
}
