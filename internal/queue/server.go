package queue

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"
)

// ServerOptions says which queue a Server serves, and how.
type ServerOptions struct {
	Class         string
	Concurrency   int           // jobs at once
	Takers        int           // that ask Redis for jobs side by side, default 1
	CheckInterval time.Duration // idle pick-up, default 10 ms
	DrainTimeout  time.Duration // how long Shutdown waits for handlers, default 90 s
	Log           *slog.Logger  // nil: silent
}

// Handler runs one job. With an error, or if it panics, the job is run again
// within seconds, for ever. It must return soon after its context ended, which
// happens at the end of a shutdown and at no other time: a job whose lease asynq
// lost runs on here while it is given out again, perhaps to another process.
type Handler[J Kind] func(ctx context.Context, job J) error

// Server runs the jobs of one class.
type Server struct {
	takers  []*asynq.Server // each asks for one job at a time
	handle  func(ctx context.Context, payload []byte) error
	crew    *crew
	drain   time.Duration
	log     *slog.Logger
	running sync.WaitGroup
	ended   context.Context // of all handlers
	end     context.CancelFunc
}

const (
	defaultCheckInterval = 10 * time.Millisecond
	defaultDrainTimeout  = 90 * time.Second
	// delayedInterval is how often jobs whose time has come are moved on.
	delayedInterval = time.Second
	// helpInterval is how often the takers behind the first look into an idle queue.
	helpInterval = 200 * time.Millisecond
	// lastGrace is how long Shutdown waits for handlers whose context it ended.
	lastGrace = 10 * time.Second
)

// NewServer returns a server on rdb, which stays the caller's to close. A class
// should have a Redis client apart from the store's, so that a stall of ours
// never costs asynq its leases.
func NewServer[J Kind](rdb redis.UniversalClient, o ServerOptions, h Handler[J]) *Server {
	if o.CheckInterval <= 0 {
		o.CheckInterval = defaultCheckInterval
	}
	if o.DrainTimeout <= 0 {
		o.DrainTimeout = defaultDrainTimeout
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	log := o.Log.With("queue", o.Class)
	handle := func(ctx context.Context, payload []byte) error {
		job, err := decode[J](payload)
		if err != nil {
			return err
		}
		return h(ctx, job)
	}
	s := &Server{takers: takers(rdb, o, log), handle: handle, drain: o.DrainTimeout, log: log}
	s.ended, s.end = context.WithCancel(context.Background())
	s.crew = newCrew(s.ended, o.Concurrency, log)
	return s
}

// takers are asynq servers that share the concurrency. A server of asynq waits for the
// answer before it asks for the next job: one alone would let workers stand idle
// beside a full queue.
func takers(rdb redis.UniversalClient, o ServerOptions, log *slog.Logger) []*asynq.Server {
	n := max(1, min(o.Takers, o.Concurrency))
	out := make([]*asynq.Server, n)
	for i := range out {
		out[i] = asynq.NewServerFromRedisClient(rdb, asynq.Config{
			Concurrency:              (o.Concurrency + i) / n, // the shares add up to all
			Queues:                   map[string]int{o.Class: 1},
			TaskCheckInterval:        checkInterval(o, i),
			DelayedTaskCheckInterval: delayedInterval,
			ShutdownTimeout:          o.DrainTimeout,
			RetryDelayFunc:           retryDelay,
			IsFailure:                isFailure,
			Logger:                   logger{log},
			LogLevel:                 asynq.WarnLevel,
		})
	}
	return out
}

// checkInterval is how often a taker looks into an idle queue: the first watches closely,
// the others see now and then whether it needs help. If all looked in less often instead,
// a single job would wait longer.
func checkInterval(o ServerOptions, taker int) time.Duration {
	if taker == 0 {
		return o.CheckInterval
	}
	return max(o.CheckInterval, helpInterval)
}

// Start begins to take jobs and returns. After an error nothing runs.
func (s *Server) Start() error {
	for _, t := range s.takers {
		if err := t.Start(asynq.HandlerFunc(s.process)); err != nil {
			s.Shutdown()
			return fmt.Errorf("start queue server: %w", err)
		}
	}
	return nil
}

// Stop takes no new jobs; running ones go on. All takers stop at once: each first waits
// for the answer of Redis, and one that comes later would take a job meanwhile.
func (s *Server) Stop() {
	var stopping sync.WaitGroup
	for _, t := range s.takers {
		stopping.Go(t.Stop)
	}
	stopping.Wait()
}

// Shutdown takes no new jobs, waits for the running ones up to DrainTimeout,
// then ends the contexts of those left (their jobs go back to the queue) and
// waits some seconds more for them to notice.
func (s *Server) Shutdown() {
	until := time.Now().Add(s.drain)
	s.Stop()
	var ending sync.WaitGroup
	for _, t := range s.takers {
		ending.Go(t.Shutdown)
	}
	ending.Wait()
	// What asynq has given up on may still run: its lease was lost.
	if !s.idle(time.Until(until)) {
		s.end()
		if !s.idle(lastGrace) {
			s.log.Error("a handler goes on after its context ended")
		}
	}
	s.end()
}

// idle waits until no handler runs, for at most so long.
func (s *Server) idle(within time.Duration) bool {
	ended := make(chan struct{})
	go func() {
		s.running.Wait()
		close(ended)
	}()
	timer := time.NewTimer(within)
	defer timer.Stop()
	select {
	case <-ended:
		return true
	case <-timer.C:
		return false
	}
}

func (s *Server) process(ctx context.Context, t *asynq.Task) error {
	s.running.Add(1)
	defer s.running.Done()
	// Without asynq's end: a lease lost in an outage of Redis must not break off a
	// transaction, whose outcome could not be had again.
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	defer context.AfterFunc(s.ended, cancel)()
	err := s.crew.run(func() error { return s.handle(ctx, t.Payload()) })
	if errors.Is(err, errNotAJob) {
		// Nobody can run it: asynq's archive is where it can be looked at.
		id, _ := asynq.GetTaskID(ctx)
		s.log.Error("job cannot be read", "id", id, "error", err)
		return fmt.Errorf("read job: %w: %w", err, asynq.SkipRetry)
	}
	return err
}

var errNotAJob = errors.New("not a job of ours")

func decode[J Kind](payload []byte) (J, error) {
	var job J
	if err := json.Unmarshal(payload, &job); err != nil {
		return job, fmt.Errorf("%w: %w", errNotAJob, err)
	}
	if !job.valid() {
		return job, errNotAJob
	}
	return job, nil
}

// retryDelay is 1 to 5 s: a retry repairs a crash or a stall of Redis, and is
// spread so that many do not come back at once.
func retryDelay(int, error, *asynq.Task) time.Duration {
	return time.Second + rand.N(4*time.Second)
}

// isFailure keeps what happens to a job from outside (a lost lease, a shutdown)
// out of asynq's count of retries.
func isFailure(err error) bool {
	return !errors.Is(err, asynq.ErrLeaseExpired) && !errors.Is(err, context.Canceled)
}

// logger writes asynq's messages to slog.
type logger struct{ log *slog.Logger }

func (l logger) Debug(args ...any) { l.log.Debug(fmt.Sprint(args...)) }
func (l logger) Info(args ...any)  { l.log.Info(fmt.Sprint(args...)) }
func (l logger) Warn(args ...any)  { l.log.Warn(fmt.Sprint(args...)) }
func (l logger) Error(args ...any) { l.log.Error(fmt.Sprint(args...)) }

// Fatal only logs: whether the process ends is not a library's decision.
func (l logger) Fatal(args ...any) { l.log.Error(fmt.Sprint(args...)) }
