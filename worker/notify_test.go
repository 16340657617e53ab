package worker

import (
	"errors"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/redis/go-redis/v9"

	"postrider/internal/email"
	"postrider/internal/events"
	"postrider/internal/queue"
	"postrider/internal/redistest"
	"postrider/internal/secret"
	"postrider/internal/store"
	"postrider/internal/webhook"
)

// hookRig is a rig whose worker follows events and posts to endpoints of the test.
type hookRig struct {
	*rig
	secret *secret.Secret
}

func eachHooked(t *testing.T, test func(t *testing.T, r *hookRig)) {
	t.Helper()
	redistest.Each(t, func(t *testing.T, url string) {
		r := &hookRig{rig: newRig(t, url), secret: secret.New()}
		r.rig.store = store.New(r.rdb, store.Options{Sealer: r.secret})
		r.Worker = r.hooked("w1", r.rdb)
		test(t, r)
	})
}

// Each post is counted by how it was answered, each delivery by how it ended.
func TestNotifyMetrics(t *testing.T) {
	r := &hookRig{rig: newRig(t, redistest.InProcess(t)), secret: secret.New()}
	r.rig.store = store.New(r.rdb, store.Options{Sealer: r.secret})
	r.Worker = r.hooked("w1", r.rdb)
	registry := prometheus.NewRegistry()
	r.o.Metrics = NewMetrics(registry)
	for _, answer := range []http.HandlerFunc{status(204), status(500), status(410), func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }} {
		to := r.target(answer, "*")
		m := r.accept(draft("ada@example.org"))
		r.followAll(r.Worker)
		r.tell(to, m, 0)
		if err := r.store.Webhooks.Delete(t.Context(), email.Live, to.hook.ID); err != nil {
			t.Fatal(err)
		}
	}
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]uint64{}
	for _, family := range families {
		for _, m := range family.GetMetric() {
			for _, label := range m.GetLabel() {
				got[family.GetName()+" "+label.GetValue()] = m.GetHistogram().GetSampleCount()
			}
		}
	}
	want := map[string]uint64{
		"postrider_webhook_attempt_duration_seconds accepted": 1, "postrider_webhook_attempt_duration_seconds refused": 2,
		"postrider_webhook_attempt_duration_seconds unanswered": 1,
		"postrider_webhook_latency_seconds succeeded":           1, "postrider_webhook_latency_seconds failed": 1,
	}
	if !maps.Equal(got, want) {
		t.Errorf("counted %v, want %v", got, want)
	}
}

// hooked is a worker on a client of its own.
func (r *hookRig) hooked(id string, rdb *redis.Client) *Worker {
	w := r.another(id)
	o := w.o
	o.Store, o.Queue = store.New(rdb, store.Options{Sealer: r.secret}), queue.NewClient(rdb)
	o.Poster = webhook.New(webhook.Options{AllowedNetworks: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}})
	o.FollowEvery = 10 * time.Millisecond
	return New(o)
}

// target is an endpoint of the test.
type target struct {
	hook *store.Webhook
	mu   sync.Mutex
	ids  []string // webhook-id of each post
	most int      // posts at once
	busy int
}

// target makes an endpoint that answers as it is told.
func (r *hookRig) target(answer http.HandlerFunc, events ...string) *target {
	r.t.Helper()
	return r.picky(answer, func(h *store.Webhook) { h.Events = events })
}

// picky makes an endpoint with what change says.
func (r *hookRig) picky(answer http.HandlerFunc, change func(*store.Webhook)) *target {
	r.t.Helper()
	to := &target{}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		_, _ = io.Copy(io.Discard, q.Body)
		to.mu.Lock()
		to.ids = append(to.ids, q.Header.Get("Webhook-Id"))
		to.busy++
		to.most = max(to.most, to.busy)
		to.mu.Unlock()
		answer(w, q)
		to.mu.Lock()
		to.busy--
		to.mu.Unlock()
	}))
	r.t.Cleanup(s.Close)
	hook := &store.Webhook{
		ID: email.NewID(email.WebhookPrefix), World: email.Live, URL: s.URL, Events: []string{"*"}, Enabled: true,
		Secret: webhook.NewSecret(), CreatedAt: time.Now(),
	}
	change(hook)
	var err error
	if to.hook, err = r.store.Webhooks.Create(r.t.Context(), hook); err != nil {
		r.t.Fatal(err)
	}
	return to
}

func status(code int) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(code) }
}

func (to *target) posts() []string {
	to.mu.Lock()
	defer to.mu.Unlock()
	return slices.Clone(to.ids)
}

// live is the shard that the tests' mail is in.
func live() shardID { return shardID{world: email.Live} }

// followAll follows until there is nothing left.
func (r *hookRig) followAll(w *Worker) {
	r.t.Helper()
	for more := true; more; {
		var err error
		if more, err = w.followSome(r.t.Context(), live()); err != nil {
			r.t.Fatal(err)
		}
	}
}

// event is the n-th event of a message.
func (r *hookRig) event(m *email.Message, n int) email.Event {
	r.t.Helper()
	list, _, err := r.store.Messages.Events(r.t.Context(), m.World, m.ID, 0, 10)
	if err != nil || len(list) <= n {
		r.t.Fatalf("Events = %v, %v", list, err)
	}
	return list[n]
}

// delivery is what the n-th event of a message became for an endpoint, nil if nothing.
func (r *hookRig) delivery(to *target, m *email.Message, n int) *store.Delivery {
	r.t.Helper()
	id, err := store.DeliveryID(r.event(m, n).ID, to.hook.ID, 0)
	if err != nil {
		r.t.Fatal(err)
	}
	d, err := r.store.Deliveries.Get(r.t.Context(), m.World, id)
	if errors.Is(err, store.ErrNotFound) {
		return nil
	}
	if err != nil {
		r.t.Fatal(err)
	}
	return d
}

// tell runs the present job of a delivery by hand.
func (r *hookRig) tell(to *target, m *email.Message, n int) *store.Delivery {
	r.t.Helper()
	d := r.delivery(to, m, n)
	if err := r.Notify(r.t.Context(), queue.Notification{World: d.World, Delivery: d.ID, Generation: d.Generation}); err != nil {
		r.t.Fatal(err)
	}
	return r.delivery(to, m, n)
}

func (r *hookRig) health(to *target) *store.Webhook {
	r.t.Helper()
	hook, err := r.store.Webhooks.Get(r.t.Context(), email.Live, to.hook.ID)
	if err != nil {
		r.t.Fatal(err)
	}
	return hook
}

func TestNotify(t *testing.T) {
	eachHooked(t, func(t *testing.T, r *hookRig) {
		old := r.accept(draft("before@example.org"))
		time.Sleep(2 * time.Millisecond) // the clock of Redis moves on
		all, none := r.target(status(200), "*"), r.target(status(200))
		m := r.accept(draft("ada@example.org"))
		r.followAll(r.Worker)
		if r.delivery(all, old, 0) != nil || r.delivery(none, m, 0) != nil {
			t.Error("an endpoint gets what was before it, or what it did not ask for")
		}
		d := r.delivery(all, m, 0)
		job := queue.Notification{World: d.World, Delivery: d.ID, Generation: d.Generation}
		if state, err := r.queue.NotificationState(t.Context(), job); state != queue.Pending {
			t.Errorf("its job is %s, %v; want pending", state, err)
		}
		for range 2 { // the second finds the work done
			if err := r.Notify(t.Context(), job); err != nil {
				t.Fatal(err)
			}
		}
		if got := all.posts(); !slices.Equal(got, []string{r.event(m, 0).ID}) {
			t.Errorf("posted %v, want the event once", got)
		}
		d = r.delivery(all, m, 0)
		if d.Status != store.DeliverySucceeded || d.Attempts != 1 || d.LastStatus != 200 {
			t.Errorf("delivery: %+v", d)
		}
		if h := r.health(all).Health; h.Pending != 0 || h.LastSuccessAt.IsZero() || h.ConsecutiveFailures != 0 {
			t.Errorf("health: %+v", h)
		}
	})
}

// Ten attempts, each later than the one before, and then no more.
func TestNotifySchedule(t *testing.T) {
	eachHooked(t, func(t *testing.T, r *hookRig) {
		to := r.target(status(500), "*")
		m := r.accept(draft("ada@example.org"))
		r.followAll(r.Worker)
		for n, delay := range r.o.Notify.Delays {
			d := r.tell(to, m, 0)
			wait := d.NextAt.Sub(r.now())
			if d.Status != store.DeliveryPending || d.Attempts != n+1 || wait < delay*85/100 || wait > delay*11/10 {
				t.Fatalf("after %d: %+v, waits %v, want about %v", n+1, d, wait, delay)
			}
			r.skip(delay*11/10 + r.o.Notify.PauseMost)
		}
		d := r.tell(to, m, 0)
		if d.Status != store.DeliveryFailed || d.Attempts != 10 || d.LastError != "answered 500" || !d.NextAt.IsZero() {
			t.Errorf("at last: %+v", d)
		}
		posts, err := r.store.Deliveries.Posts(t.Context(), email.Live, d.ID)
		if err != nil || len(posts) != 10 || posts[9].Status != 500 {
			t.Errorf("Posts: %d, %v", len(posts), err)
		}
		if h := r.health(to).Health; h.ConsecutiveFailures != 10 || h.Pending != 0 {
			t.Errorf("health: %+v", h)
		}
	})
}

func TestNotifyRetryAfter(t *testing.T) {
	eachHooked(t, func(t *testing.T, r *hookRig) {
		to := r.target(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Retry-After", "7200")
			w.WriteHeader(http.StatusServiceUnavailable)
		}, "*")
		m := r.accept(draft("ada@example.org"))
		other := r.accept(draft("bob@example.org"))
		r.followAll(r.Worker)
		d := r.tell(to, m, 0)
		if wait := d.NextAt.Sub(r.now()); wait < 119*time.Minute || wait > 2*time.Hour {
			t.Errorf("it waits %v, want two hours", wait)
		}
		// The others leave it alone for a while as well, which is no attempt of theirs.
		d = r.tell(to, other, 0)
		if d.Attempts != 0 || d.Status != store.DeliveryPending || !d.NextAt.After(r.now()) || len(to.posts()) != 1 {
			t.Errorf("the other: %+v, %d posts", d, len(to.posts()))
		}
	})
}

func TestNotifyDisables(t *testing.T) {
	eachHooked(t, func(t *testing.T, r *hookRig) {
		gone, failing := r.target(status(410), "*"), r.target(status(500), "*")
		m, second := r.accept(draft("ada@example.org")), r.accept(draft("bob@example.org"))
		r.followAll(r.Worker)
		if d := r.tell(gone, m, 0); d.Status != store.DeliveryFailed || d.Attempts != 1 || d.LastStatus != 410 {
			t.Errorf("410: %+v", d)
		}
		if h := r.health(gone); h.Enabled || h.DisabledReason != store.DisabledGone {
			t.Errorf("after 410: %+v", h)
		}
		if d := r.tell(gone, second, 0); d.Status != store.DeliveryFailed || d.Attempts != 0 || len(gone.posts()) != 1 {
			t.Errorf("what was pending: %+v, %d posts", d, len(gone.posts()))
		}

		r.tell(failing, m, 0)
		r.skip(r.o.Notify.GiveUp - time.Hour)
		r.tell(failing, m, 0)
		if h := r.health(failing); !h.Enabled {
			t.Errorf("disabled too early: %+v", h)
		}
		r.skip(2 * time.Hour)
		r.tell(failing, m, 0)
		if h := r.health(failing); h.Enabled || h.DisabledReason != store.DisabledFailing {
			t.Errorf("after five days: %+v", h)
		}
		late := r.accept(draft("cy@example.org"))
		r.followAll(r.Worker)
		if r.delivery(failing, late, 0) != nil || r.delivery(gone, late, 0) != nil {
			t.Error("a disabled endpoint gets deliveries")
		}
	})
}

// Who is enabled again is judged by what it answers now, and the replay that is offered
// brings what was pending when it was disabled.
func TestNotifyAfterEnabling(t *testing.T) {
	eachHooked(t, func(t *testing.T, r *hookRig) {
		to := r.target(status(500), "*")
		m, second := r.accept(draft("ada@example.org")), r.accept(draft("bob@example.org"))
		r.followAll(r.Worker)
		r.tell(to, m, 0)
		r.skip(r.o.Notify.GiveUp + time.Hour)
		r.tell(to, m, 0)
		if r.health(to).Enabled {
			t.Fatal("it is not disabled")
		}
		if d := r.tell(to, second, 0); d.Status != store.DeliveryFailed {
			t.Fatalf("what was pending: %+v", d)
		}
		hook, err := r.store.Webhooks.Update(t.Context(), email.Live, to.hook.ID, r.now(), func(h *store.Webhook) error { h.Enabled = true; return nil })
		if err != nil {
			t.Fatal(err)
		}
		if hook.Health.ConsecutiveFailures != 0 || !hook.Health.FailingSince.IsZero() {
			t.Errorf("what it answered before still counts: %+v", hook.Health)
		}
		count, _, err := r.store.Deliveries.ReplayAll(t.Context(), hook, store.Again{Since: hook.MissedSince, Until: r.now(), Match: events.Match}, r.now())
		if err != nil || count != 2 {
			t.Errorf("ReplayAll since %v = %d, %v; want 2", hook.MissedSince, count, err)
		}
		to.hook = hook
		r.tell(to, m, 0)
		if h := r.health(to); !h.Enabled {
			t.Errorf("its first failure disabled it again: %+v", h)
		}
	})
}

func TestNotifyWithoutEndpointOrEvent(t *testing.T) {
	eachHooked(t, func(t *testing.T, r *hookRig) {
		deleted, lost := r.target(status(200), "*"), r.target(status(200), "*")
		m := r.accept(draft("ada@example.org"))
		r.followAll(r.Worker)
		d := r.delivery(deleted, m, 0)
		if err := r.store.Webhooks.Delete(t.Context(), email.Live, deleted.hook.ID); err != nil {
			t.Fatal(err)
		}
		if err := r.Notify(t.Context(), queue.Notification{World: d.World, Delivery: d.ID}); err != nil {
			t.Fatal(err)
		}
		if d := r.delivery(deleted, m, 0); d != nil {
			t.Errorf("a delivery to nobody is left: %+v", d)
		}
		d = r.delivery(lost, m, 0)
		for _, key := range r.rdb.Keys(t.Context(), "live:{s0}:e:*").Val() {
			r.rdb.Del(t.Context(), key)
		}
		if err := r.Notify(t.Context(), queue.Notification{World: d.World, Delivery: d.ID}); err != nil {
			t.Fatal(err)
		}
		if d, err := r.store.Deliveries.Get(t.Context(), email.Live, d.ID); err != nil || d.Status != store.DeliveryFailed || d.LastError == "" {
			t.Errorf("a delivery of nothing: %+v, %v", d, err)
		}
		unread := r.accept(draft("cy@example.org"))
		r.followAll(r.Worker)
		r.rdb.HSet(t.Context(), "live:{hooks}:w", lost.hook.ID, "{")
		if d := r.tell(lost, unread, 0); d.Status != store.DeliveryPending || d.Attempts != 0 || d.NextAt.Sub(r.now()) < 59*time.Minute {
			t.Errorf("a delivery to an endpoint that cannot be read: %+v", d)
		}
		if n := len(deleted.posts()) + len(lost.posts()); n != 0 {
			t.Errorf("%d posts", n)
		}
		if err := r.Notify(t.Context(), queue.Notification{World: email.Live, Delivery: email.NewID(email.DeliveryPrefix)}); err != nil {
			t.Errorf("a job of no delivery: %v", err)
		}
	})
}
