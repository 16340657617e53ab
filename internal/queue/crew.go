package queue

import (
	"context"
	"fmt"
	"log/slog"
	"runtime/debug"
)

// crew runs jobs on goroutines that stay for the next one: a new goroutine for each job
// would grow its stack again each time, which costs more than to hand a job over.
type crew struct {
	idle  chan func()
	ended context.Context
	log   *slog.Logger
}

func newCrew(ended context.Context, log *slog.Logger) *crew {
	return &crew{idle: make(chan func()), ended: ended, log: log}
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
		go c.member(work)
	}
	return <-done
}

// member works until the end of the server. There are never more than jobs at once.
func (c *crew) member(work func()) {
	for {
		work()
		select {
		case work = <-c.idle:
		case <-c.ended.Done():
			return
		}
	}
}
