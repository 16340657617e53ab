package queue

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/hibiken/asynq"
)

// The errors of who asks for one job.
var (
	ErrNoJob = errors.New("there is no such job")
	ErrRuns  = errors.New("the job is in a state that allows no change")
	// ErrUnused is a queue to which nothing was ever added: asynq would keep its pause and
	// tell nobody of it.
	ErrUnused = errors.New("the queue was never used")
)

// States lists the states that a job in a queue can be in.
func States() []State { return []State{Pending, Active, Scheduled, Retrying, Archived} }

// List gives a page of the jobs of a class in a state, the next ones first. Pages count
// from 1.
func (c *Client) List(ctx context.Context, class string, state State, page, size int) ([]Job, error) {
	if err := ctx.Err(); err != nil { // the inspector takes no context
		return nil, fmt.Errorf("list jobs of %s: %w", class, err)
	}
	list, ok := c.lists()[state]
	if !ok {
		return nil, fmt.Errorf("list jobs of %s: no state %q", class, state)
	}
	tasks, err := list(class, asynq.Page(page), asynq.PageSize(size))
	if errors.Is(err, asynq.ErrQueueNotFound) {
		return nil, nil // nothing was ever added
	}
	if err != nil {
		return nil, fmt.Errorf("list jobs of %s: %w", class, err)
	}
	jobs := make([]Job, len(tasks))
	for i, t := range tasks {
		jobs[i] = jobOf(class, state, t)
	}
	return jobs, nil
}

func (c *Client) lists() map[State]func(string, ...asynq.ListOption) ([]*asynq.TaskInfo, error) {
	return map[State]func(string, ...asynq.ListOption) ([]*asynq.TaskInfo, error){
		Pending:   c.inspector.ListPendingTasks,
		Active:    c.inspector.ListActiveTasks,
		Scheduled: c.inspector.ListScheduledTasks,
		Retrying:  c.inspector.ListRetryTasks,
		Archived:  c.inspector.ListArchivedTasks,
	}
}

func jobOf(class string, state State, t *asynq.TaskInfo) Job {
	j := Job{ID: t.ID, State: state, Retried: t.Retried, LastError: t.LastErr}
	if state == Scheduled || state == Retrying {
		j.NextAt = t.NextProcessAt
	}
	if class == Notify {
		j.Notification, j.Err = decode[Notification](t.Payload)
	} else {
		j.Delivery, j.Err = decode[Delivery](t.Payload)
	}
	return j
}

// Pause keeps every job of a class from being begun; those that run go on.
func (c *Client) Pause(ctx context.Context, class string) error {
	return c.steer(ctx, "pause", class, c.inspector.PauseQueue)
}

// Resume ends a pause.
func (c *Client) Resume(ctx context.Context, class string) error {
	return c.steer(ctx, "resume", class, c.inspector.UnpauseQueue)
}

// steer does nothing twice: asynq takes that for an error.
func (c *Client) steer(ctx context.Context, what, class string, do func(string) error) error {
	sizes, err := c.Sizes(ctx, class)
	if err != nil {
		return err
	}
	known, err := c.inspector.Queues()
	if err != nil {
		return fmt.Errorf("%s queue %s: %w", what, class, err)
	}
	if !slices.Contains(known, class) {
		return ErrUnused
	}
	if sizes[0].Paused == (what == "pause") {
		return nil
	}
	if err := do(class); err != nil {
		return fmt.Errorf("%s queue %s: %w", what, class, err)
	}
	return nil
}

// Run has a job run as soon as a worker is free. ErrNoJob, ErrRuns.
func (c *Client) Run(ctx context.Context, class, id string) error {
	return c.one(ctx, class, id, c.inspector.RunTask)
}

// Delete takes a job out. What it was to wake stays: the sweeper adds a new one for it
// when its time comes. ErrNoJob, ErrRuns.
func (c *Client) Delete(ctx context.Context, class, id string) error {
	return c.one(ctx, class, id, c.inspector.DeleteTask)
}

func (c *Client) one(ctx context.Context, class, id string, do func(queue, id string) error) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("change job %s: %w", id, err)
	}
	switch err := do(class, id); {
	case err == nil:
		return nil
	case errors.Is(err, asynq.ErrQueueNotFound), errors.Is(err, asynq.ErrTaskNotFound):
		return ErrNoJob
	case strings.Contains(err.Error(), "FAILED_PRECONDITION"), strings.Contains(err.Error(), "already"), strings.Contains(err.Error(), "active state"):
		return ErrRuns // asynq has no error of its own for it
	default:
		return fmt.Errorf("change job %s: %w", id, err)
	}
}

// Process is one server of a class, in some process, with what it does now.
type Process struct {
	Host        string
	PID         int
	Class       string
	Concurrency int
	StartedAt   time.Time
	Stopping    bool
	Working     []Work
}

// Work is one job that runs.
type Work struct {
	Job       Job
	StartedAt time.Time
}

// Processes lists the servers that were heard of within seconds, with at most most jobs
// of each, those that run longest first.
func (c *Client) Processes(ctx context.Context, most int) ([]Process, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("list the servers: %w", err)
	}
	servers, err := c.inspector.Servers()
	if err != nil {
		return nil, fmt.Errorf("list the servers: %w", err)
	}
	found := make(map[string]*Process)
	for _, s := range servers {
		for class := range s.Queues {
			name := fmt.Sprint(s.Host, " ", s.PID, " ", class)
			if found[name] == nil {
				found[name] = &Process{Host: s.Host, PID: s.PID, Class: class, StartedAt: s.Started}
			}
			found[name].add(s)
		}
	}
	out := make([]Process, 0, len(found))
	for _, name := range slices.Sorted(maps.Keys(found)) {
		p := found[name]
		slices.SortFunc(p.Working, func(a, b Work) int { return a.StartedAt.Compare(b.StartedAt) })
		p.Working = p.Working[:min(len(p.Working), most)]
		out = append(out, *p)
	}
	return out, nil
}

// add counts in one of the process's takers.
func (p *Process) add(taker *asynq.ServerInfo) {
	p.Concurrency += taker.Concurrency
	p.Stopping = p.Stopping || taker.Status != "active"
	if taker.Started.Before(p.StartedAt) {
		p.StartedAt = taker.Started
	}
	for _, w := range taker.ActiveWorkers {
		p.Working = append(p.Working, Work{jobOf(p.Class, Active, &asynq.TaskInfo{ID: w.TaskID, Payload: w.TaskPayload}), w.Started})
	}
}
