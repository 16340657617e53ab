package store_test

import (
	"bufio"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"postrider/internal/email"
	"postrider/internal/queue"
	"postrider/internal/redistest"
	"postrider/internal/store"
)

// A queued message with one recipient and one tag takes at most 2.5 KB of Redis
// beside its body, the queue's job included.
func TestMemoryPerQueuedMessage(t *testing.T) {
	const messages, budget = 2000, 2560
	o, err := redis.ParseURL(redistest.Server(t))
	if err != nil {
		t.Fatal(err)
	}
	o.DisableIdentity, o.PoolSize = true, 1
	rdb := redis.NewClient(o)
	defer rdb.Close()
	s, q := store.New(rdb, store.Options{}), queue.NewClient(rdb)
	add := func(i int) {
		t.Helper()
		msg := queued(i)
		_, _, err := s.Messages.Accept(t.Context(), &store.Submission{Message: msg, Content: &email.Content{Text: "Hi"}})
		if err == nil {
			d := queue.Delivery{World: msg.World, Message: msg.ID}
			err = q.Add(t.Context(), queue.Default, d, time.Now())
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	add(0) // the scripts and the sets that all messages share
	before := used(t, rdb)
	for i := range messages {
		add(i + 1)
	}
	total := used(t, rdb) - before
	bodies := int64(0)
	keys, err := rdb.Keys(t.Context(), "live:{s0}:b:*").Result()
	if err != nil || len(keys) != messages+1 {
		t.Fatalf("%d bodies, %v", len(keys), err)
	}
	for _, key := range keys[1:] {
		bodies += rdb.MemoryUsage(t.Context(), key, 0).Val()
	}
	each := (total - bodies) / messages
	t.Logf("%d bytes per queued message beside its body", each)
	if each < 500 || each > budget {
		t.Errorf("%d bytes per queued message beside its body, want at most %d (and believable)", each, budget)
	}
}

func queued(i int) *email.Message {
	now := time.Now()
	id := email.NewMessageID(0)
	to := email.Address{Email: fmt.Sprintf("some.recipient%d@example.org", i), Name: "Some Recipient"}
	return &email.Message{
		ID: id, World: email.Live, KeyID: email.NewID(email.KeyPrefix), CreatedAt: now, ExpiresAt: now.Add(72 * time.Hour),
		From: email.Address{Email: "hello@acme.com", Name: "Acme Incorporated"}, To: []email.Address{to},
		Subject: "Your order 1234567 has been shipped today", Tags: []string{"shipping"}, FeedbackID: "shipping:transactional:acme.com:postrider", Stream: "transactional",
		MessageID: "<" + id + "@acme.com>", SizeBytes: 12345,
		Recipients: []email.Recipient{{Address: to, Type: email.To, State: email.RecipientState{Status: email.Queued, NextAttemptAt: now}}},
		Envelopes: []email.Envelope{{
			Domain: "example.org", ReversePath: "b-" + strings.Repeat("x", 47) + "@bounces.acme.com", Recipients: []int{0},
		}},
	}
}

func used(t *testing.T, rdb *redis.Client) int64 {
	t.Helper()
	lines := bufio.NewScanner(strings.NewReader(rdb.Info(t.Context(), "memory").Val()))
	for lines.Scan() {
		if value, ok := strings.CutPrefix(lines.Text(), "used_memory:"); ok {
			n, err := strconv.ParseInt(strings.TrimSpace(value), 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			return n
		}
	}
	t.Fatal("INFO memory names no used_memory")
	return 0
}
