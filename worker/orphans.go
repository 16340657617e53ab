package worker

import (
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
	jobs map[queue.Delivery]struct{}
}

func newOrphans() *orphans { return &orphans{jobs: make(map[queue.Delivery]struct{})} }

func (o *orphans) add(job queue.Delivery) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.jobs) < maxOrphans {
		o.jobs[job] = struct{}{}
	}
}

func (o *orphans) remove(job queue.Delivery) {
	o.mu.Lock()
	defer o.mu.Unlock()
	delete(o.jobs, job)
}

func (o *orphans) list() []queue.Delivery {
	o.mu.Lock()
	defer o.mu.Unlock()
	list := make([]queue.Delivery, 0, len(o.jobs))
	for job := range o.jobs {
		list = append(list, job)
	}
	return list
}

// pulse knows since when this worker's heartbeats have reached the store without
// a gap: before one life of a heartbeat nothing can be said of others.
type pulse struct {
	life time.Duration

	mu          sync.Mutex
	since, last time.Time
}

func (p *pulse) beat(now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if now.Sub(p.last) > p.life {
		p.since = now
	}
	p.last = now
}

func (p *pulse) steady(now time.Time) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return now.Sub(p.last) < p.life && now.Sub(p.since) >= p.life
}
