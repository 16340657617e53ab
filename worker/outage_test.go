package worker

import (
	"net/http"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"postrider/internal/email"
	"postrider/internal/events"
	"postrider/internal/queue"
	"postrider/internal/store"
)

// work does what a worker does in a moment: follow the events, and run every delivery
// whose time has come.
func (r *hookRig) work(hooks ...*target) {
	r.t.Helper()
	r.followAll(r.Worker)
	for _, to := range hooks {
		before := ""
		for {
			page, next, err := r.store.Deliveries.List(r.t.Context(), to.hook, store.DeliveryFilter{Status: store.DeliveryPending}, before, 100)
			if err != nil {
				r.t.Fatal(err)
			}
			for _, d := range page {
				if d.NextAt.After(r.now()) {
					continue
				}
				if err := r.Notify(r.t.Context(), queue.Notification{World: d.World, Delivery: d.ID, Generation: d.Generation}); err != nil {
					r.t.Fatal(err)
				}
			}
			if before = next; next == "" {
				break
			}
		}
	}
}

// An endpoint that is down for two days gets everything: by itself, or at once by one
// call. Another one never notices.
func TestOutageOfTwoDays(t *testing.T) {
	for _, replayed := range []bool{false, true} {
		eachHooked(t, func(t *testing.T, r *hookRig) {
			var up atomic.Bool
			down := r.target(func(w http.ResponseWriter, _ *http.Request) {
				if !up.Load() {
					w.WriteHeader(http.StatusServiceUnavailable)
				}
			}, "*")
			well := r.target(status(200), "*")
			since := r.now().Add(-time.Minute)
			var want []string
			for hour := range 48 {
				if hour%6 == 0 {
					want = append(want, r.event(r.accept(draft("ada@example.org")), 0).ID)
				}
				r.work(down, well)
				if got := well.posts(); !slices.Equal(got, want) {
					t.Fatalf("after %d h the other endpoint has %d events, want %d", hour, len(got), len(want))
				}
				r.skip(time.Hour)
			}
			up.Store(true)
			tried := len(down.posts())
			if replayed {
				count, resume, err := r.store.Deliveries.ReplayAll(t.Context(), down.hook, store.Again{Since: since, Until: r.now(), Match: events.Match}, r.now())
				if err != nil || count == 0 || !resume.IsZero() {
					t.Fatalf("ReplayAll = %d, %v, %v", count, resume, err)
				}
				r.skip(r.o.Notify.PauseMost) // the breaker lets a probe through again
				for range 20 {
					r.work(down, well)
					r.skip(time.Second)
				}
			} else {
				for range 40 { // at most as long as the longest delay
					r.skip(time.Hour)
					r.work(down, well)
				}
			}
			got := down.posts()[tried:]
			slices.Sort(got)
			slices.Sort(want)
			if !slices.Equal(got, want) {
				t.Errorf("after the outage it got %d posts of %d events", len(got), len(want))
			}
			if h := r.health(down); !h.Enabled || h.Health.Pending != 0 || h.Health.ConsecutiveFailures != 0 {
				t.Errorf("the endpoint that was down: %+v", h)
			}
		})
	}
}

// What happened while an endpoint was disabled comes with a replay, and nothing twice.
func TestReplayAfterDisabled(t *testing.T) {
	eachHooked(t, func(t *testing.T, r *hookRig) {
		to := r.target(status(200), "*")
		got := r.accept(draft("before@example.org"))
		r.work(to)
		enable := func(on bool) {
			hook, err := r.store.Webhooks.Update(t.Context(), email.Live, to.hook.ID, time.Now(), func(h *store.Webhook) error { h.Enabled = on; return nil })
			if err != nil {
				t.Fatal(err)
			}
			to.hook = hook
		}
		enable(false)
		missed := r.accept(draft("missed@example.org"))
		r.work(to)
		time.Sleep(2 * time.Millisecond) // the clock of Redis moves on
		enable(true)
		if to.hook.MissedSince.IsZero() {
			t.Error("it is not said that events were missed")
		}
		if n := len(to.posts()); n != 1 {
			t.Fatalf("%d posts before the replay", n)
		}
		again := store.Again{Since: r.now().Add(-time.Hour), Until: r.now(), Match: events.Match}
		for _, want := range []int{1, 0} {
			count, _, err := r.store.Deliveries.ReplayAll(t.Context(), to.hook, again, r.now())
			if err != nil || count != want {
				t.Errorf("ReplayAll = %d, %v; want %d", count, err, want)
			}
			r.work(to)
		}
		again.All = true
		if count, _, err := r.store.Deliveries.ReplayAll(t.Context(), to.hook, again, r.now()); err != nil || count != 2 {
			t.Errorf("ReplayAll of all = %d, %v; want 2", count, err)
		}
		r.work(to)
		want := []string{r.event(got, 0).ID, r.event(missed, 0).ID, r.event(got, 0).ID, r.event(missed, 0).ID}
		posts := to.posts()
		slices.Sort(posts[2:])
		slices.Sort(want[2:])
		if !slices.Equal(posts, want) {
			t.Errorf("posts %v, want %v", posts, want)
		}
	})
}
