package worker

import (
	"context"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"postrider/internal/queue"
	"postrider/internal/redistest"
	"postrider/internal/secret"
	"postrider/internal/store"
	"postrider/internal/webhook"
)

// Targets that lead to where we must not go, whatever let them in: refused, recorded with
// the reason, no connection made, and the others are told as ever.
func TestAcceptance13HostileTargets(t *testing.T) {
	r := &hookRig{rig: newRig(t, redistest.InProcess(t)), secret: secret.New()}
	r.rig.store = store.New(r.rdb, store.Options{Sealer: r.secret})
	r.Worker = r.hooked("w1", r.rdb)
	r.o.Poster = webhook.New(webhook.Options{AllowedNetworks: []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}})
	var hits atomic.Int64
	const other = "127.0.0.2" // not where the worker may go
	l, err := net.Listen("tcp", other+":0")
	if err != nil {
		t.Fatal(err)
	}
	canary := &http.Server{ConnState: func(_ net.Conn, s http.ConnState) {
		if s == http.StateNew {
			hits.Add(1)
		}
	}}
	var serving sync.WaitGroup
	serving.Go(func() { _ = canary.Serve(l) })
	t.Cleanup(func() { _ = canary.Close(); serving.Wait() })
	port := strconv.Itoa(l.Addr().(*net.TCPAddr).Port)
	well := r.target(status(200), "*")
	want := make(map[*target]string)
	for _, host := range []string{other, "2130706434", "0x7f000002", "0177.0.0.2", "127.2", "[::ffff:127.0.0.2]", "0.0.0.0", "169.254.169.254", "[fd00:ec2::254]"} {
		for _, scheme := range []string{"http", "https"} {
			to := r.picky(status(200), func(h *store.Webhook) { h.URL = scheme + "://" + host + ":" + port + "/" })
			want[to] = ""
		}
	}
	redirect := r.target(func(w http.ResponseWriter, q *http.Request) {
		http.Redirect(w, q, "http://"+l.Addr().String(), http.StatusTemporaryRedirect)
	}, "*")
	want[redirect] = "answered 307: redirects are not followed"
	m := r.accept(draft("ada@example.org"))
	r.followAll(r.Worker)
	for to, why := range want {
		d := r.delivery(to, m, 0)
		if err := r.Notify(t.Context(), queue.Notification{World: d.World, Delivery: d.ID, Generation: d.Generation}); err != nil {
			t.Fatal(err)
		}
		d = r.delivery(to, m, 0)
		posts, err := r.store.Deliveries.Posts(t.Context(), d.World, d.ID)
		if err != nil || d.Status != store.DeliveryPending || len(posts) != 1 || posts[0].Error != d.LastError || d.LastError == "" || (why != "" && d.LastError != why) {
			t.Errorf("%s: %+v, attempts %+v, %v", to.hook.URL, d, posts, err)
		}
		if why == "" && (d.LastStatus != 0 || len(to.posts()) != 0) {
			t.Errorf("%s was answered %d", to.hook.URL, d.LastStatus)
		}
	}
	if n := hits.Load(); n != 0 {
		t.Errorf("%d connections were made", n)
	}
	if d := r.tell(well, m, 0); d.Status != store.DeliverySucceeded {
		t.Errorf("the other: %+v", d)
	}
}

// serveHooks runs a worker and its queue of notifications until the test ends.
func (r *hookRig) serveHooks(w *Worker) {
	r.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { _ = w.Run(ctx) })
	s := queue.NewServer(connect(r.t, r.url), queue.ServerOptions{Class: queue.Notify, Concurrency: 50, DrainTimeout: 5 * time.Second}, w.Notify)
	if err := s.Start(); err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() {
		s.Shutdown()
		cancel()
		running.Wait()
	})
}

// An endpoint that never answers holds nobody: the other gets all its events while
// the first has answered none.
func TestSlowEndpointHoldsNobody(t *testing.T) {
	eachHooked(t, func(t *testing.T, r *hookRig) {
		release := make(chan struct{})
		slow := r.target(func(_ http.ResponseWriter, q *http.Request) {
			select {
			case <-release:
			case <-q.Context().Done():
			}
		}, "*")
		quick := r.target(status(200), "*")
		defer close(release)
		const events = 60
		for range events {
			r.accept(draft("ada@example.org"))
		}
		r.serveHooks(r.Worker)
		deadline := time.Now().Add(60 * time.Second)
		for len(quick.posts()) < events {
			if time.Now().After(deadline) {
				t.Fatalf("%d of %d events came through\n%s", len(quick.posts()), events, r.log)
			}
			time.Sleep(10 * time.Millisecond)
		}
		if h := r.health(slow).Health; !h.LastSuccessAt.IsZero() || h.Pending != events {
			t.Errorf("the slow one: %+v, want all %d pending", h, events)
		}
		slow.mu.Lock()
		defer slow.mu.Unlock()
		if slow.most > r.o.Notify.Most {
			t.Errorf("%d posts at once to one endpoint, want at most %d", slow.most, r.o.Notify.Most)
		}
	})
}
