package queue

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/hibiken/asynq"
)

// Job is one job as the queue keeps it.
type Job struct {
	ID           string
	State        State
	Delivery     Delivery
	Notification Notification // instead, in the class Notify
	Err          error        // its payload is no job of ours

	NextAt    time.Time // of a job that is scheduled or retrying
	Retried   int
	LastError string
}

// jobsPage is how many jobs are read at a time.
const jobsPage = 500

// Jobs goes through all jobs of a class, until visit returns an error. Jobs that
// change state meanwhile may be missed, or be seen twice.
func (c *Client) Jobs(ctx context.Context, class string, visit func(Job) error) error {
	for state, list := range c.lists() {
		for page := 1; ; page++ {
			if err := ctx.Err(); err != nil { // the inspector takes no context
				return fmt.Errorf("list jobs of %s: %w", class, err)
			}
			tasks, err := list(class, asynq.Page(page), asynq.PageSize(jobsPage))
			if errors.Is(err, asynq.ErrQueueNotFound) {
				return nil // nothing was ever added
			}
			if err != nil {
				return fmt.Errorf("list jobs of %s: %w", class, err)
			}
			for _, t := range tasks {
				if err := visit(jobOf(class, state, t)); err != nil {
					return err
				}
			}
			if len(tasks) < jobsPage {
				break
			}
		}
	}
	return nil
}
