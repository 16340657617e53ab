package queue

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/hibiken/asynq"
)

// Size is how much one class has to do.
type Size struct {
	Class string
	Jobs  map[State]int // every state but Absent
	// Oldest is how long the first pending job has been waiting; zero if none is.
	Oldest time.Duration
	Paused bool
	// Memory is about how many octets of Redis its jobs take. Processed and Failed count
	// the runs that ended today (UTC).
	Memory            int64
	Processed, Failed int
	Total             int64 // runs that ended, ever
}

// Sizes measures the classes. It costs one script for each, which samples the
// memory of a few jobs: some 100 us of Redis.
func (c *Client) Sizes(ctx context.Context, classes ...string) ([]Size, error) {
	if err := ctx.Err(); err != nil { // the inspector takes no context
		return nil, fmt.Errorf("measure the queues: %w", err)
	}
	known, err := c.inspector.Queues()
	if err != nil {
		return nil, fmt.Errorf("measure the queues: %w", err)
	}
	var list []Size
	for _, class := range classes {
		info := &asynq.QueueInfo{} // of one to which nothing was ever added
		if slices.Contains(known, class) {
			info, err = c.inspector.GetQueueInfo(class)
		}
		if err != nil {
			return nil, fmt.Errorf("measure queue %s: %w", class, err)
		}
		list = append(list, Size{
			Class: class, Oldest: info.Latency, Paused: info.Paused, Memory: info.MemoryUsage, Processed: info.Processed, Failed: info.Failed,
			Total: int64(info.ProcessedTotal), Jobs: map[State]int{
				Pending: info.Pending, Scheduled: info.Scheduled, Retrying: info.Retry, Active: info.Active, Archived: info.Archived,
			},
		})
	}
	return list, nil
}
