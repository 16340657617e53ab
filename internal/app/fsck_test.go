package app_test

import (
	"slices"
	"testing"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"

	"postrider/internal/app"
	"postrider/internal/email"
	"postrider/internal/queue"
	"postrider/internal/redistest"
	"postrider/internal/store"
)

// Fsck sees where the queue and the store disagree, each in its own kind.
func TestFsck(t *testing.T) {
	o, err := redis.ParseURL(redistest.Server(t))
	if err != nil {
		t.Fatal(err)
	}
	o.DisableIdentity = true
	rdb := redis.NewClient(o)
	t.Cleanup(func() { _ = rdb.Close() })
	s, q, ctx := store.New(rdb, store.Options{}), queue.NewClient(rdb), t.Context()
	accept := func(at time.Time) *email.Message {
		t.Helper()
		to := email.Address{Email: "ada@example.org"}
		m, _, err := s.Messages.Accept(ctx, &store.Submission{
			Message: &email.Message{
				ID: email.NewMessageID(0), World: email.Live, CreatedAt: at, ExpiresAt: at.Add(72 * time.Hour),
				From: email.Address{Email: "hi@acme.com"}, To: []email.Address{to},
				Recipients: []email.Recipient{{Address: to, Type: email.To, State: email.RecipientState{Status: email.Queued}}},
				Envelopes:  []email.Envelope{{Domain: "example.org", ReversePath: "b-x@acme.com", Recipients: []int{0}}},
			},
			Content: &email.Content{Text: "Hi"},
		})
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	add := func(d queue.Delivery) {
		t.Helper()
		if err := q.Add(ctx, queue.Default, d, time.Now()); err != nil {
			t.Fatal(err)
		}
	}
	check := func(want ...string) {
		t.Helper()
		var got []string
		checked, err := app.Fsck(ctx, s, q, func(f store.Finding) { got = append(got, f.Kind) })
		if err != nil || checked.Findings != len(got) {
			t.Fatalf("Fsck = %+v, %v", checked, err)
		}
		slices.Sort(got)
		if !slices.Equal(got, want) {
			t.Errorf("findings %q, want %q", got, want)
		}
	}
	check()
	add(queue.Delivery{World: email.Live, Message: accept(time.Now()).ID})
	accept(time.Now()) // its job is not looked for yet
	check()
	old := accept(time.Now().Add(-time.Hour))
	check("job")
	add(queue.Delivery{World: email.Live, Message: old.ID})
	check()
	add(queue.Delivery{World: email.Live, Message: email.NewMessageID(0)}) // of nobody
	add(queue.Delivery{World: email.Live, Message: old.ID, Generation: 7}) // of a generation to come
	add(queue.Delivery{World: email.Live, Message: old.ID, Envelope: 7})   // of no envelope
	check("job", "job", "job")
	tasks := asynq.NewClientFromRedisClient(rdb)
	if _, err := tasks.Enqueue(asynq.NewTask("deliver", []byte("{")), asynq.Queue(queue.Default)); err != nil {
		t.Fatal(err)
	}
	check("job", "job", "job", "payload")
	if err := asynq.NewInspectorFromRedisClient(rdb).ArchiveTask(queue.Default, old.ID+":0:0"); err != nil {
		t.Fatal(err)
	}
	check("archived", "job", "job", "job", "job", "payload") // and now old waits without one

	// Deliveries to webhooks, and their jobs.
	deliver := func(m *email.Message, at time.Time) *store.Delivery {
		t.Helper()
		part, err := s.Deliveries.Unfollowed(ctx, email.Live, 0, 100)
		if err != nil {
			t.Fatal(err)
		}
		list, _, err := s.Messages.Events(ctx, m.World, m.ID, 0, 1)
		if err != nil {
			t.Fatal(err)
		}
		d := &store.Delivery{Webhook: email.NewID(email.WebhookPrefix), Event: list[0].ID, Type: list[0].Type, Message: m.ID}
		if moved, err := s.Deliveries.Follow(ctx, part, part.End, []*store.Delivery{d}, at); !moved || err != nil {
			t.Fatal(moved, err)
		}
		return d
	}
	notify := func(n queue.Notification) {
		t.Helper()
		if err := q.AddNotification(ctx, n, time.Now()); err != nil {
			t.Fatal(err)
		}
	}
	found := []string{"archived", "job", "job", "job", "job", "payload"}
	add(queue.Delivery{World: email.Live, Message: accept(time.Now()).ID})
	deliver(accept(time.Now()), time.Now()) // its job is not looked for yet
	check(found...)
	late := deliver(accept(time.Now()), time.Now().Add(-time.Hour))
	check(append(slices.Clone(found[:1]), append([]string{"job"}, found[1:]...)...)...)
	notify(queue.Notification{World: email.Live, Delivery: late.ID})
	check(found...)
	gone, err := store.DeliveryID(email.NewID(email.EventPrefix), late.Webhook, 0)
	if err != nil {
		t.Fatal(err)
	}
	notify(queue.Notification{World: email.Live, Delivery: gone}) // finds nothing to do
	check(found...)
	notify(queue.Notification{World: email.Live, Delivery: late.ID, Generation: 3})
	check(append(slices.Clone(found[:1]), append([]string{"job"}, found[1:]...)...)...)
	if _, err := tasks.Enqueue(asynq.NewTask("notify", []byte("{")), asynq.Queue(queue.Notify)); err != nil {
		t.Fatal(err)
	}
	check("archived", "job", "job", "job", "job", "job", "payload", "payload")
}
