package worker

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"postrider/internal/email"
	"postrider/internal/queue"
	"postrider/internal/store"
)

// mortal is a process that dies after so many commands to Redis. The last one either
// never arrives, or its answer is not read any more.
type mortal struct {
	left     *atomic.Int64
	answered bool // the last command is still carried out
}

var errDead = errors.New("the process is dead")

func (mortal) DialHook(next redis.DialHook) redis.DialHook { return next }

func (m mortal) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		left := m.left.Add(-1)
		if left > 0 {
			return next(ctx, cmd)
		}
		if left == 0 && m.answered {
			_ = next(ctx, cmd)
		}
		cmd.SetErr(errDead)
		return errDead
	}
}

func (m mortal) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		left := m.left.Add(-1)
		if left > 0 {
			return next(ctx, cmds)
		}
		if left == 0 && m.answered {
			_ = next(ctx, cmds)
		}
		for _, cmd := range cmds {
			cmd.SetErr(errDead)
		}
		return errDead
	}
}

// die has a worker follow the events and tell the endpoint, and dies after so many
// commands. It reports whether it came to its end alive.
func (r *hookRig) die(to *target, m *email.Message, commands int64, answered bool) bool {
	r.t.Helper()
	left := &atomic.Int64{}
	left.Store(commands)
	rdb := connect(r.t, r.url)
	rdb.AddHook(mortal{left, answered})
	w := r.hooked("dying", rdb)
	w.o.Insist = time.Millisecond
	for more := true; more; {
		var err error
		if more, err = w.followSome(r.t.Context(), live()); err != nil {
			return false
		}
	}
	d := r.delivery(to, m, 0)
	if d == nil {
		r.t.Fatalf("followed to the end without a delivery, after %d commands", commands)
	}
	err := w.Notify(r.t.Context(), queue.Notification{World: d.World, Delivery: d.ID, Generation: d.Generation})
	return err == nil && left.Load() > 0
}

// However far a worker comes before it dies, another tells every endpoint of every
// event: at least once, and by the same webhook-id.
func TestEventsOutliveTheirFollower(t *testing.T) {
	eachHooked(t, func(t *testing.T, r *hookRig) {
		for _, answered := range []bool{false, true} {
			alive := false
			for commands := int64(1); !alive; commands++ {
				if commands > 100 {
					t.Fatal("it never came to its end")
				}
				if err := r.rdb.FlushAll(t.Context()).Err(); err != nil {
					t.Fatal(err)
				}
				to := r.target(status(200), "*")
				m := r.accept(draft("ada@example.org"))
				alive = r.die(to, m, commands, answered)
				r.survive(to, m)
				if t.Failed() {
					t.Fatalf("after %d commands, the last carried out: %v", commands, answered)
				}
			}
		}
	})
}

// survive is the worker that goes on, and what must have come of the event then.
func (r *hookRig) survive(to *target, m *email.Message) {
	r.t.Helper()
	w := r.hooked("survivor", r.rdb)
	r.followAll(w)
	d := r.delivery(to, m, 0)
	if d == nil {
		r.t.Fatal("the event was followed, and nothing came of it")
	}
	if d.Status == store.DeliveryPending {
		r.skip(time.Minute) // until the sweeper looks
		if err := w.sweepDeliveries(r.t.Context()); err != nil {
			r.t.Fatal(err)
		}
		d = r.delivery(to, m, 0)
		job := queue.Notification{World: d.World, Delivery: d.ID, Generation: d.Generation}
		if state, err := r.queue.NotificationState(r.t.Context(), job); state != queue.Pending && state != queue.Scheduled {
			r.t.Errorf("no job will wake it: %s, %v", state, err)
		}
		if err := w.Notify(r.t.Context(), job); err != nil {
			r.t.Fatal(err)
		}
		d = r.delivery(to, m, 0)
	}
	if d.Status != store.DeliverySucceeded {
		r.t.Errorf("delivery: %+v", d)
	}
	posts := to.posts()
	if len(posts) == 0 || len(posts) > 2 {
		r.t.Errorf("%d posts, want one, or two after a death between post and record", len(posts))
	}
	for _, id := range posts {
		if id != r.event(m, 0).ID {
			r.t.Errorf("webhook-id %s, want the event's", id)
		}
	}
}

// Two followers that read the same make everything once.
func TestTwoFollowers(t *testing.T) {
	eachHooked(t, func(t *testing.T, r *hookRig) {
		to := r.target(status(200), "*")
		const events = 120
		for range events {
			r.accept(draft("ada@example.org"))
		}
		done := make(chan error, 2)
		for _, id := range []string{"a", "b"} {
			w := r.hooked(id, connect(t, r.url))
			go func() {
				for range 20 {
					if _, err := w.followSome(context.Background(), live()); err != nil {
						done <- err
						return
					}
				}
				done <- nil
			}()
		}
		for range 2 {
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
		r.followAll(r.Worker)
		if h := r.health(to).Health; h.Pending != events {
			t.Errorf("%d deliveries, want %d", h.Pending, events)
		}
	})
}

// A lease keeps a second worker from a shard, until the first is gone.
func TestFollowLease(t *testing.T) {
	eachHooked(t, func(t *testing.T, r *hookRig) {
		to := r.target(status(200), "*")
		first := &follower{w: r.Worker, leases: make(map[string]lease)}
		second := &follower{w: r.hooked("w2", r.rdb), leases: make(map[string]lease)}
		if err := first.turn(t.Context()); err != nil {
			t.Fatal(err)
		}
		r.accept(draft("ada@example.org"))
		if err := second.turn(t.Context()); err != nil {
			t.Fatal(err)
		}
		if h := r.health(to).Health; h.Pending != 0 {
			t.Errorf("a worker without the lease made %d deliveries", h.Pending)
		}
		if err := first.turn(t.Context()); err != nil {
			t.Fatal(err)
		}
		if h := r.health(to).Health; h.Pending != 1 {
			t.Errorf("%d deliveries, want 1", h.Pending)
		}
	})
}

// What is no event, or cannot be read, does not stand before the others.
func TestFollowBrokenEvents(t *testing.T) {
	eachHooked(t, func(t *testing.T, r *hookRig) {
		to := r.target(status(200), "*")
		broken, wrong := r.accept(draft("ada@example.org")), r.accept(draft("ada@example.org"))
		r.rdb.LSet(t.Context(), "live:{s0}:e:"+broken.ID[4:], 0, "{")
		r.rdb.Del(t.Context(), "live:{s0}:m:"+wrong.ID[4:])
		r.rdb.Set(t.Context(), "live:{s0}:m:"+wrong.ID[4:], "x", 0)
		r.rdb.XAdd(t.Context(), &redis.XAddArgs{Stream: "live:{s0}:events", Values: []any{"m", "x", "p", "y"}})
		whole, odd := r.accept(draft("bob@example.org")), r.accept(draft("bob@example.org"))
		r.spoilSamples(odd)
		r.followAll(r.Worker)
		if d := r.delivery(to, whole, 0); d == nil {
			t.Error("an event behind broken ones is not followed")
		}
		if d := r.delivery(to, odd, 0); d == nil {
			t.Error("an event is lost because nobody can read what it adds to the statistics")
		}
		if h := r.health(to).Health; h.Pending != 2 {
			t.Errorf("%d deliveries, want 2", h.Pending)
		}
		counted, err := r.store.Stats.Read(t.Context(), email.Live, store.Question{
			Interval: store.Day, Group: store.ByStatus, From: odd.CreatedAt.Add(-48 * time.Hour), To: odd.CreatedAt.Add(48 * time.Hour),
		})
		// The two whose message or event is broken count too: their entries tell it.
		if sum := store.Sum(counted); err != nil || sum.Counts[store.Accepted] != 4 {
			t.Errorf("%v were counted, %v", sum.Counts, err)
		}
	})
}

// spoilSamples puts a message's entries into the stream again as a later version might
// write them, with a status that ours does not know.
func (r *hookRig) spoilSamples(m *email.Message) {
	r.t.Helper()
	const stream = "live:{s0}:events"
	for _, x := range r.rdb.XRange(r.t.Context(), stream, "-", "+").Val() {
		if x.Values["m"] == m.ID[4:] {
			x.Values["c"] = `{"a":1,"s":"vanished"}`
			r.rdb.XDel(r.t.Context(), stream, x.ID)
			if err := r.rdb.XAdd(r.t.Context(), &redis.XAddArgs{Stream: stream, Values: x.Values}).Err(); err != nil {
				r.t.Fatal(err)
			}
		}
	}
}

func TestEndpoints(t *testing.T) {
	now := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	e := newEndpoints(NotifyPace{}.withDefaults(), func() time.Time { return now })
	enter := func() bool {
		t.Helper()
		ok, again := e.enter("wh_1")
		if !ok && !again.After(now) {
			t.Error("put off to the past")
		}
		return ok
	}
	for range e.o.Most {
		if !enter() {
			t.Fatal("not let in below the limit")
		}
	}
	if enter() {
		t.Error("let in above the limit")
	}
	if ok, _ := e.enter("wh_2"); !ok {
		t.Error("another endpoint waits for this one")
	}
	for range e.o.Most {
		e.leave("wh_1", endedBadly, 0)
	}
	if enter() {
		t.Error("let in although it keeps failing")
	}
	now = now.Add(e.o.PauseMost)
	if !enter() {
		t.Error("no probe")
	}
	if enter() {
		t.Error("a second probe beside the first")
	}
	e.leave("wh_1", endedBadly, 0)
	if enter() {
		t.Error("let in right after a probe failed")
	}
	now = now.Add(e.o.PauseMost)
	if !enter() {
		t.Error("no second probe")
	}
	e.leave("wh_1", endedEarly, 0)
	if !enter() {
		t.Error("a probe that was broken off counts")
	}
	e.leave("wh_1", endedWell, 0)
	for range 2 {
		if !enter() {
			t.Error("not let in after it did well")
		}
	}
	e.leave("wh_1", endedSlowly, time.Minute)
	if enter() {
		t.Error("let in although it asked for a minute")
	}
	now = now.Add(time.Minute)
	if !enter() {
		t.Error("not let in after that minute")
	}
}
