package worker

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"postrider/internal/dkim"
	"postrider/internal/email"
	"postrider/internal/logtest"
	"postrider/internal/queue"
	"postrider/internal/redistest"
	"postrider/internal/shape"
	"postrider/internal/store"
	"postrider/smtpclient"
)

// rig is one worker on a real store and queue; what lies beyond is the test's.
type rig struct {
	*Worker
	t       *testing.T
	url     string
	rdb     *redis.Client
	store   *store.Store
	queue   *queue.Client
	router  *router
	signer  *signer
	sender  *sender
	log     *logtest.Buffer
	skipped atomic.Int64 // ns that the worker's clock is ahead of the real one
}

// quick are delays that a test can sit through.
func quick() Schedule {
	const d = 30 * time.Millisecond
	return Schedule{
		Delays: []time.Duration{d}, RateMin: d, FullMin: d, Unknown: []time.Duration{d},
		Sandbox: []time.Duration{20 * time.Millisecond, 40 * time.Millisecond}, SandboxLife: 300 * time.Millisecond,
	}
}

func newRig(t *testing.T, url string) *rig {
	t.Helper()
	r := &rig{t: t, url: url, router: &router{}, signer: &signer{}, sender: &sender{}, log: &logtest.Buffer{}}
	r.rdb = connect(t, url)
	if err := r.rdb.FlushAll(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	r.store, r.queue = store.New(r.rdb, store.Options{}), queue.NewClient(r.rdb)
	r.Worker = r.another("w1")
	return r
}

// another is a second worker on the same store.
func (r *rig) another(id string) *Worker {
	return New(Options{
		ID: id, Store: r.store, Queue: r.queue, Router: r.router, Signer: r.signer, Sender: r.sender,
		Shaper: shape.New(shape.Options{Pause: 20 * time.Millisecond}), Schedule: quick(),
		Log: slog.New(slog.NewTextHandler(r.log, nil)), Now: r.now,
		SweepEvery: time.Hour, BeatEvery: 100 * time.Millisecond, ForgetEvery: time.Hour, Insist: 5 * time.Second,
	})
}

func connect(t *testing.T, url string) *redis.Client {
	t.Helper()
	o, err := redis.ParseURL(url)
	if err != nil {
		t.Fatal(err)
	}
	o.DisableIdentity = true
	rdb := redis.NewClient(o)
	t.Cleanup(func() { _ = rdb.Close() })
	return rdb
}

// outage makes Redis unreachable while away is set.
type outage struct{ away *atomic.Bool }

var errAway = fmt.Errorf("redis is away: %w", io.ErrUnexpectedEOF)

func (o outage) DialHook(next redis.DialHook) redis.DialHook { return next }

func (o outage) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

func (o outage) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		if o.away.Load() {
			cmd.SetErr(errAway)
			return errAway
		}
		return next(ctx, cmd)
	}
}

func (r *rig) now() time.Time { return time.Now().Add(time.Duration(r.skipped.Load())) }

// skip moves the worker's clock, not the world's.
func (r *rig) skip(d time.Duration) { r.skipped.Add(int64(d)) }

// serve runs the queue's server for a worker until the test ends.
func (r *rig) serve(w *Worker) {
	r.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { _ = w.Run(ctx) })
	s := queue.NewServer(connect(r.t, r.url), queue.ServerOptions{Class: queue.Default, Concurrency: 20, DrainTimeout: 5 * time.Second}, w.Deliver)
	if err := s.Start(); err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() {
		s.Shutdown()
		cancel()
		running.Wait()
	})
}

// draft is a message from acme.test; recipients of one domain share an envelope.
func draft(to ...string) *email.Message {
	now := time.Now().Truncate(time.Millisecond).UTC()
	m := &email.Message{
		ID: email.NewMessageID(0), World: email.Live, KeyID: "key_1", CreatedAt: now, ExpiresAt: now.Add(3 * day),
		From: email.Address{Email: "a@acme.test"}, Subject: "hello", Stream: "transactional",
	}
	m.MessageID = "<" + m.ID + "@acme.test>"
	envelopes := make(map[string]int)
	for i, address := range to {
		domain := address[strings.IndexByte(address, '@')+1:]
		e, ok := envelopes[domain]
		if !ok {
			e = len(m.Envelopes)
			envelopes[domain] = e
			m.Envelopes = append(m.Envelopes, email.Envelope{Domain: domain, ReversePath: "b-token@r.acme.test", State: email.EnvelopeState{Phase: email.Waiting}})
		}
		m.To = append(m.To, email.Address{Email: address})
		m.Recipients = append(m.Recipients, email.Recipient{
			Address: email.Address{Email: address}, Type: email.To, Envelope: e,
			State: email.RecipientState{Status: email.Queued, AtAccept: email.Queued, Seq: 1},
		})
		m.Envelopes[e].Recipients = append(m.Envelopes[e].Recipients, i)
	}
	return m
}

// accept keeps a message without a job.
func (r *rig) accept(m *email.Message) *email.Message {
	r.t.Helper()
	kept, _, err := r.store.Messages.Accept(r.t.Context(), &store.Submission{Message: m, Content: &email.Content{Text: "hello"}})
	if err != nil {
		r.t.Fatal(err)
	}
	return kept
}

// post keeps a message and adds its jobs.
func (r *rig) post(m *email.Message) *email.Message {
	r.t.Helper()
	m = r.accept(m)
	for e := range m.Envelopes {
		if err := r.queue.Add(r.t.Context(), queue.Default, r.job(m, e), m.Due()); err != nil {
			r.t.Fatal(err)
		}
	}
	return m
}

func (r *rig) job(m *email.Message, envelope int) queue.Delivery {
	return queue.Delivery{World: m.World, Message: m.ID, Envelope: envelope, Generation: m.Envelopes[envelope].State.Generation}
}

func (r *rig) get(m *email.Message) *email.Message {
	r.t.Helper()
	got, err := r.store.Messages.Get(r.t.Context(), m.World, m.ID)
	if err != nil {
		r.t.Fatal(err)
	}
	return got
}

// deliver runs the envelope's present job by hand.
func (r *rig) deliver(m *email.Message) *email.Message {
	r.t.Helper()
	if err := r.Deliver(r.t.Context(), r.job(r.get(m), 0)); err != nil {
		r.t.Fatal(err)
	}
	return r.get(m)
}

// until waits for a message to come into a state.
func (r *rig) until(m *email.Message, what string, ok func(*email.Message) bool) *email.Message {
	r.t.Helper()
	deadline := time.Now().Add(30 * time.Second)
	for {
		got := r.get(m)
		if ok(got) {
			return got
		}
		if time.Now().After(deadline) {
			r.t.Fatalf("never %s: %s, %+v\n%s", what, statuses(got), got.Envelopes[0].State, r.log)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

func (r *rig) final(m *email.Message) *email.Message {
	r.t.Helper()
	return r.until(m, "final", func(m *email.Message) bool { return !m.CompletedAt.IsZero() })
}

func (r *rig) attempts(m *email.Message) []email.Attempt {
	r.t.Helper()
	list, err := r.store.Messages.Attempts(r.t.Context(), m.World, m.ID)
	if err != nil {
		r.t.Fatal(err)
	}
	return list
}

// statuses reads "delivered failed/expired".
func statuses(m *email.Message) string {
	var words []string
	for _, rcpt := range m.Recipients {
		word := string(rcpt.State.Status)
		if rcpt.State.Reason != "" {
			word += "/" + rcpt.State.Reason
		}
		words = append(words, word)
	}
	return strings.Join(words, " ")
}

// router leads every domain to one provider, unless told otherwise.
type router struct {
	mu   sync.Mutex
	errs []error // one per Plan, then none
	plan func(m *email.Message, envelope int) (smtpclient.Plan, error)
}

func (r *router) Plan(_ context.Context, m *email.Message, envelope int) (smtpclient.Plan, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.errs) > 0 {
		err := r.errs[0]
		if len(r.errs) > 1 || err == nil {
			r.errs = r.errs[1:]
		}
		if err != nil {
			return smtpclient.Plan{}, err
		}
	}
	if r.plan != nil {
		return r.plan(m, envelope)
	}
	return smtpclient.Plan{Domain: m.Envelopes[envelope].Domain, Provider: "provider.test"}, nil
}

// signer gives its keys, and remembers what it was asked.
type signer struct {
	mu    sync.Mutex
	keys  []dkim.Key
	errs  []error
	asked [][]string
}

func (s *signer) Keys(_ context.Context, _ string, selectors []string) ([]dkim.Key, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked = append(s.asked, selectors)
	if len(s.errs) > 0 {
		err := s.errs[0]
		s.errs = s.errs[1:]
		if err != nil {
			return nil, err
		}
	}
	return s.keys, nil
}

// sent is one transaction as the fake server saw it.
type sent struct {
	to   []string
	data string
}

// sender plays one act per transaction; the last stays.
type sender struct {
	mu   sync.Mutex
	acts []act
	got  []sent
}

// act answers RCPTs, and then the dot for those accepted.
type act struct {
	rcpt   map[string]*smtpclient.Error
	dot    *smtpclient.Error
	before func(ctx context.Context) // before DATA
	after  func(ctx context.Context) // after the mark, before the dot's reply
}

func (s *sender) Send(ctx context.Context, p smtpclient.Plan, m *smtpclient.Mail) *smtpclient.Result {
	s.mu.Lock()
	a := act{}
	if len(s.acts) > 0 {
		a = s.acts[min(len(s.got), len(s.acts)-1)]
	}
	s.got = append(s.got, sent{m.To, string(m.Data)})
	s.mu.Unlock()

	r := &smtpclient.Result{Recipients: make([]smtpclient.RecipientResult, len(m.To)), Host: "mx." + p.Domain, HELO: "us.test", StartedAt: time.Now()}
	defer func() { r.EndedAt = time.Now() }()
	r.Transcript = []smtpclient.Line{{At: r.StartedAt, From: "*", Text: "connected"}}
	var accepted []int
	for i, to := range m.To {
		if e := a.rcpt[to]; e != nil {
			r.Recipients[i] = smtpclient.RecipientResult{Err: e, Reply: e.Reply}
		} else {
			accepted = append(accepted, i)
		}
	}
	if len(accepted) == 0 {
		return r
	}
	if a.before != nil {
		a.before(ctx)
	}
	e := a.dot
	if err := m.Mark(ctx, accepted); err != nil {
		e = &smtpclient.Error{Stage: smtpclient.StageMark, Temporary: true, Err: err}
	} else if a.after != nil {
		a.after(ctx)
	}
	for _, i := range accepted {
		r.Recipients[i] = smtpclient.RecipientResult{Reply: &smtpclient.Reply{Code: 250, Text: "queued"}}
		if e != nil {
			r.Recipients[i] = smtpclient.RecipientResult{Err: e, Reply: e.Reply}
		}
	}
	return r
}

func (s *sender) transactions() []sent {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]sent(nil), s.got...)
}

func unknownOutcome() *smtpclient.Error {
	return &smtpclient.Error{Stage: "dot", Unknown: true, Temporary: true, Err: errors.New("connection reset")}
}

// each runs a test on both kinds of Redis.
func each(t *testing.T, test func(t *testing.T, r *rig)) {
	t.Helper()
	redistest.Each(t, func(t *testing.T, url string) { test(t, newRig(t, url)) })
}
