// Package worker is the queued half of Postrider: it wakes up for one envelope at
// a time, sends it once, and writes down what came of it.
//
// [Worker.Deliver] is the story, one step per line: take the fence, plan, get a
// slot at the provider, compose and sign, send, judge, conclude. The judge is the
// only place that decides whether a failure is permanent; the schedule the only
// one that decides when to try again. [Worker.Run] does what is not a job: the
// heartbeat, the sweeper that finds lost jobs and dead workers, the forgetting, and
// the follower, which reads the events and has [Worker.Notify] tell the webhooks.
//
// The store is the truth and the queue an alarm clock: a job that comes twice finds
// the work done, a job that is lost is found by the sweeper. Nothing here changes
// state without the fence. It is not an SMTP client (smtpclient), does not decide how
// fast to go (shape) nor what a reply means (bounce). RFC 5321 4.5.4.1, 6.1.
//
//	w := worker.New(worker.Options{ID: id, Store: st, Queue: q, Router: r, Signer: d, Sender: t, Shaper: s})
//	server := queue.NewServer(rdb, queue.ServerOptions{Class: queue.Default}, w.Deliver)
//	go w.Run(ctx) // end it after server.Shutdown has returned
package worker

import (
	"context"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"postrider/internal/email"
	"postrider/internal/queue"
	"postrider/internal/shape"
	"postrider/internal/sign"
	"postrider/internal/store"
	"postrider/internal/webhook"
	"postrider/smtpclient"
)

// Router plans where an envelope goes: sandbox, relay route or MX. An error that
// is an *mx.Error speaks of the recipient's domain; any other is a local fault, and
// the envelope waits for it to pass.
type Router interface {
	Plan(ctx context.Context, m *email.Message, envelope int) (smtpclient.Plan, error)
}

// Sender makes one attempt; *smtpclient.Transport does.
type Sender interface {
	Send(ctx context.Context, p smtpclient.Plan, m *smtpclient.Mail) *smtpclient.Result
}

// Options are what a Worker works with. Store, Queue, Router, Signer, Sender and
// Shaper are needed; zero members of the rest take the defaults.
type Options struct {
	ID     string // of this worker process, in fences and heartbeats; never used again by another
	Store  *store.Store
	Queue  *queue.Client
	Router Router
	Signer sign.Signer
	Sender Sender
	Shaper *shape.Shaper
	// Planning gives the slots for the DNS work, by recipient domain, apart from
	// the providers' in Shaper: its Total is the part of the process that this may
	// hold. Nil: 25.
	Planning *shape.Shaper
	Schedule Schedule
	// SpareStreams are those whose hard bounces suppress nobody (api.md 15).
	SpareStreams []string
	Metrics      *Metrics        // nil: not measured
	Poster       *webhook.Poster // nil: one that reaches public addresses only
	Notify       NotifyPace
	Log          *slog.Logger
	Now          func() time.Time

	SweepEvery  time.Duration // 2 s: how often it is asked what is due
	BeatEvery   time.Duration // 5 s; who is silent for 4 times as long is dead
	ForgetEvery time.Duration // 1 min
	FollowEvery time.Duration // 100 ms: how long an event waits for its follower
	Patience    time.Duration // 1 s: how long a delivery stands in a provider's line
	Insist      time.Duration // 1 min: how long a handler waits for a store that is away to take its outcome
}

func (o Options) withDefaults() Options {
	for _, d := range []struct {
		set *time.Duration
		to  time.Duration
	}{
		{&o.SweepEvery, 2 * time.Second},
		{&o.BeatEvery, 5 * time.Second},
		{&o.ForgetEvery, time.Minute},
		{&o.FollowEvery, 100 * time.Millisecond},
		{&o.Patience, time.Second},
		{&o.Insist, time.Minute},
	} {
		if *d.set <= 0 {
			*d.set = d.to
		}
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Planning == nil {
		o.Planning = shape.New(shape.Options{Total: 25})
	}
	if o.Metrics == nil {
		o.Metrics = NewMetrics(prometheus.NewRegistry())
	}
	if o.Poster == nil {
		o.Poster = webhook.New(webhook.Options{})
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	o.Schedule, o.Notify = o.Schedule.withDefaults(), o.Notify.withDefaults()
	return o
}

// Worker delivers. It is safe for concurrent use.
type Worker struct {
	o       Options
	running *running
	orphans *orphans
	alarms  *alarms
	over    context.Context // ends with the last heartbeat of Run
	end     context.CancelFunc

	answering *answering
	// sweepNow asks the sweeper not to wait for its time.
	sweepNow  chan struct{}
	endpoints *endpoints
}

// New makes a Worker. It does nothing before Deliver or Run.
func New(o Options) *Worker {
	o = o.withDefaults()
	w := &Worker{
		o: o, running: newRunning(), orphans: newOrphans(), alarms: newAlarms(),
		answering: newAnswering(), sweepNow: make(chan struct{}, 1),
		endpoints: newEndpoints(o.Notify, o.Now),
	}
	w.over, w.end = context.WithCancel(context.Background())
	return w
}

// ID is this worker's name in fences, heartbeats and logs.
func (w *Worker) ID() string { return w.o.ID }

const (
	// jobAhead is how long before its time an envelope's job is in the queue.
	// Further ahead it is the sweeper's to add.
	jobAhead = 2 * time.Minute
	// lookAfter is when the sweeper looks at an envelope that is in good hands.
	lookAfter = 25 * time.Second
	// alarmAhead is how long a wake-up is kept in this process, to the millisecond,
	// rather than in the queue, whose times are whole seconds.
	alarmAhead = 5 * time.Second
)

// wake adds the job that is to wake an envelope again, if that is within two
// minutes. A job that cannot be added is found missing by the sweeper.
func (w *Worker) wake(ctx context.Context, class string, job queue.Delivery, c *store.Concluded) {
	if c.Done || c.Held {
		return
	}
	job.Generation = c.Generation
	in := c.NextAt.Sub(w.o.Now())
	if in > jobAhead {
		return
	}
	add := func(ctx context.Context) {
		if err := w.o.Queue.Add(ctx, class, job, c.NextAt); err != nil {
			w.o.Log.Warn("job not added", "message", job.Message, "envelope", job.Envelope, "error", err)
		}
	}
	if in > 0 && in <= alarmAhead && w.alarms.after(in, add) {
		return
	}
	add(context.WithoutCancel(ctx))
}
