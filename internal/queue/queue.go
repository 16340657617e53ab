// Package queue is the alarm clock: typed jobs that wake deliveries, on asynq, of
// which it is the only importer.
//
// A job carries ids only and proves nothing: it may be lost (the store's due set
// finds that), run twice (the store's fence stops that), or end in asynq's archive.
// So retries here only repair crashes; when to try a delivery again is decided
// elsewhere and is a new job with the next generation.
//
// What is known of asynq 0.26 and answered here: a retried enqueue reports a
// conflict with the task that it stored itself, which counts as success; its
// times are whole seconds, so times to come are rounded up; a task of which a
// worker died is retried and, with few retries left, archived unrun, so they are
// practically endless; a handler may outlive asynq's interest in it, so its
// context must end it.
//
//	c := queue.NewClient(rdb)
//	err := c.Add(ctx, queue.Default, queue.Delivery{World: email.Live, Message: id}, time.Now())
//	s := queue.NewServer(rdb, queue.ServerOptions{Class: queue.Default, Concurrency: 200}, deliver)
//	err = s.Start()
package queue

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"

	"postrider/internal/email"
)

// The classes: each is a queue with its own Server. Notify is for webhooks, the
// others are for mail.
const (
	Critical = "critical"
	Default  = "default"
	Bulk     = "bulk"
	Notify   = "notify"
)

// Classes are the queues of mail, the most urgent first.
func Classes() []string { return []string{Critical, Default, Bulk} }

// Kind is one kind of job: Delivery or Notification.
type Kind interface {
	taskType() string
	// taskID is the same for the same wish, so that asking twice is asking once.
	taskID() string
	valid() bool
}

// Delivery is the job that wakes one envelope. It carries ids only.
type Delivery struct {
	World      email.World `json:"w"`
	Message    string      `json:"m"`
	Envelope   int         `json:"e"`
	Generation int         `json:"g"`
}

func (d Delivery) taskType() string { return "deliver" }

func (d Delivery) taskID() string {
	return d.Message + ":" + strconv.Itoa(d.Envelope) + ":" + strconv.Itoa(d.Generation)
}

func (d Delivery) valid() bool {
	_, err := email.ParseID(email.MessagePrefix, d.Message)
	return err == nil && known(d.World) && d.Envelope >= 0 && d.Generation >= 0
}

// Notification is the job that wakes one delivery of an event to an endpoint.
type Notification struct {
	World      email.World `json:"w"`
	Delivery   string      `json:"d"`
	Generation int         `json:"g"`
}

func (n Notification) taskType() string { return "notify" }

func (n Notification) taskID() string { return n.Delivery + ":" + strconv.Itoa(n.Generation) }

func (n Notification) valid() bool {
	_, err := email.ParseID(email.DeliveryPrefix, n.Delivery)
	return err == nil && known(n.World) && n.Generation >= 0
}

func known(w email.World) bool { return w == email.Live || w == email.Test }

// jobTimeout is longer than any SMTP session is let run.
const jobTimeout = time.Hour

// Client adds jobs and asks after them. It is safe for concurrent use.
type Client struct {
	tasks     *asynq.Client
	inspector *asynq.Inspector
}

// NewClient returns a client on rdb, which stays the caller's to close.
func NewClient(rdb redis.UniversalClient) *Client {
	return &Client{tasks: asynq.NewClientFromRedisClient(rdb), inspector: asynq.NewInspectorFromRedisClient(rdb)}
}

// Add puts a job into a class's queue for time at, rounded up to seconds if it is
// to come. A job that is there already stays as it is, which is no error.
func (c *Client) Add(ctx context.Context, class string, d Delivery, at time.Time) error {
	return c.add(ctx, class, d, at)
}

// AddNotification is Add for a notification; its class is Notify.
func (c *Client) AddNotification(ctx context.Context, n Notification, at time.Time) error {
	return c.add(ctx, Notify, n, at)
}

func (c *Client) add(ctx context.Context, class string, job Kind, at time.Time) error {
	payload, err := json.Marshal(job)
	if err != nil {
		return fmt.Errorf("add job %s: %w", job.taskID(), err)
	}
	options := []asynq.Option{
		asynq.Queue(class), asynq.TaskID(job.taskID()), asynq.MaxRetry(math.MaxInt32), asynq.Timeout(jobTimeout),
	}
	if at.After(time.Now()) {
		options = append(options, asynq.ProcessAt(roundUp(at)))
	}
	_, err = c.tasks.EnqueueContext(ctx, asynq.NewTask(job.taskType(), payload), options...)
	if err != nil && !errors.Is(err, asynq.ErrTaskIDConflict) {
		return fmt.Errorf("add job %s: %w", job.taskID(), err)
	}
	return nil
}

func roundUp(t time.Time) time.Time {
	if whole := t.Truncate(time.Second); whole.Before(t) {
		return whole.Add(time.Second)
	}
	return t
}

// State is what the queue knows of a job.
type State string

// The states of a job. Archived stands for whatever does not run again by itself.
const (
	Absent    State = "absent"
	Pending   State = "pending"
	Scheduled State = "scheduled"
	Retrying  State = "retrying"
	Active    State = "active"
	Archived  State = "archived"
)

// State asks after a job.
func (c *Client) State(ctx context.Context, class string, d Delivery) (State, error) {
	return c.state(ctx, class, d)
}

// NotificationState asks after the job of a notification.
func (c *Client) NotificationState(ctx context.Context, n Notification) (State, error) {
	return c.state(ctx, Notify, n)
}

func (c *Client) state(ctx context.Context, class string, job Kind) (State, error) {
	if err := ctx.Err(); err != nil { // the inspector takes no context
		return "", fmt.Errorf("look for job %s: %w", job.taskID(), err)
	}
	info, err := c.inspector.GetTaskInfo(class, job.taskID())
	if errors.Is(err, asynq.ErrQueueNotFound) || errors.Is(err, asynq.ErrTaskNotFound) {
		return Absent, nil
	}
	if err != nil {
		return "", fmt.Errorf("look for job %s: %w", job.taskID(), err)
	}
	switch info.State {
	case asynq.TaskStatePending:
		return Pending, nil
	case asynq.TaskStateScheduled:
		return Scheduled, nil
	case asynq.TaskStateRetry:
		return Retrying, nil
	case asynq.TaskStateActive:
		return Active, nil
	}
	return Archived, nil
}

// Close ends the client. The Redis client it was made with stays open.
func (c *Client) Close() error { return nil }
