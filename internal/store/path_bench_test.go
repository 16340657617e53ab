package store

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"postrider/internal/convoy"
	"postrider/internal/email"
	"postrider/internal/redistest"
)

// What a message costs Redis on its way, step by step: processor time of the server for
// each, of 10 KB to one recipient, 32 at once.
func BenchmarkPath(b *testing.B) {
	rdb := connect(b, redistest.Server(b))
	s := New(convoy.New(rdb), Options{})
	claims := make([]Claim, b.N)
	now := time.Now()
	text := strings.Repeat("The quick brown fox jumps over the lazy dog; it is not amused.\n", 160)
	step := func(name string, do func(ctx context.Context, i int) error) {
		before := busy(b, rdb)
		atOnce(b, 32, do)
		b.ReportMetric(float64((busy(b, rdb)-before).Microseconds())/float64(b.N), "us-"+name)
	}
	b.ResetTimer()
	step("accept", func(ctx context.Context, i int) error {
		d := draft(s.Messages, fmt.Sprintf("user%d@example.org", i))
		d.Message.CreatedAt, d.Content.Text, d.IdempotencyKey = now, text, fmt.Sprint("key", i)
		d.Message.ScheduledAt = now
		d.Message.ExpiresAt = now.Add(time.Hour)
		claims[i] = Claim{World: d.Message.World, Message: d.Message.ID}
		_, _, err := s.Messages.Accept(ctx, d)
		return err
	})
	step("begin", func(ctx context.Context, i int) error {
		start, err := s.Messages.Begin(ctx, claims[i].World, claims[i].Message, 0, 0, "worker-1", now)
		if err == nil && start.Verdict != Begun {
			err = fmt.Errorf("%s", start.Verdict)
		}
		if err == nil {
			claims[i].Fence = start.Fence
		}
		return err
	})
	step("mark", func(ctx context.Context, i int) error {
		return s.Messages.Mark(ctx, claims[i], []int{0}, nil, now)
	})
	step("conclude", func(ctx context.Context, i int) error {
		_, err := s.Messages.Conclude(ctx, claims[i], tried(claims[i], now, email.Outcome{
			Status: email.Delivered, Reply: &email.Reply{Code: 250, EnhancedCode: "2.0.0", Text: "2.0.0 Ok: queued as 4Xyz", Stage: "data", MXHost: "mx1.example.org", At: now},
		}), time.Time{}, now)
		return err
	})
}

// busy is the processor time that a Redis has taken.
func busy(b *testing.B, rdb redis.UniversalClient) time.Duration {
	info := rdb.InfoMap(b.Context(), "cpu").Val()["CPU"]
	var sum time.Duration
	for _, name := range []string{"used_cpu_user", "used_cpu_sys"} {
		d, err := time.ParseDuration(info[name] + "s")
		if err != nil {
			b.Fatal(err)
		}
		sum += d
	}
	return sum
}

// atOnce does b.N things, n of them at once.
func atOnce(b *testing.B, n int, do func(ctx context.Context, i int) error) {
	next := make(chan int)
	var all sync.WaitGroup
	for range n {
		all.Go(func() {
			for i := range next {
				if err := do(b.Context(), i); err != nil {
					b.Error(err)
				}
			}
		})
	}
	for i := range b.N {
		next <- i
	}
	close(next)
	all.Wait()
}
