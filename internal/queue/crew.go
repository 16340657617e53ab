package queue

import (
	"context"
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync/atomic"
)

// crew runs jobs on goroutines that stay for the next one: a new goroutine for each job
// would grow its stack again each time, which costs more than to hand a job over.
type crew struct {
	idle    chan func()
	size    int // how many stay
	members atomic.Int64
	ended   context.Context
	log     *slog.Logger
}

func newCrew(ended context.Context, size int, log *slog.Logger) *crew {
	return &crew{idle: make(chan func()), size: size, ended: ended, log: log}
}

// run runs a job and waits for it. A panic becomes an error, as in asynq.
func (c *crew) run(job func() error) error {
	done := make(chan error, 1)
	work := func() {
		defer func() {
			if p := recover(); p != nil {
				c.log.Error("a job panicked", "stack", string(debug.Stack()))
				done <- fmt.Errorf("panic: %v", p)
			}
		}()
		done <- job()
	}
	select {
	case c.idle <- work:
	default:
		c.members.Add(1)
		go c.member(work)
	}
	return <-done
}

// member works until the end of the server, or until enough others are there: one that
// has just ended a job is not idle yet, so that more come than jobs run at once.
func (c *crew) member(work func()) {
	for {
		work()
		if c.members.Add(-1) >= int64(c.size) {
			return
		}
		c.members.Add(1)
		select {
		case work = <-c.idle:
		case <-c.ended.Done():
			return
		}
	}
}
