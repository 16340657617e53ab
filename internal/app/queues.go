package app

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"postrider/internal/queue"
	"postrider/internal/store"
)

// unhurried is how soon an idle queue sees a new job that is in no hurry of
// milliseconds. Each look costs Redis a command.
const unhurried = 50 * time.Millisecond

// notifyConcurrency is more than all endpoints of both worlds may hold at once: those
// that answer slowly can never take the last place.
const notifyConcurrency = 2*store.MaxWebhooks*10 + 48

// others is how many deliveries there are at once of each class but the default
// one. They come on top: a full class never takes the workers of another.
func others(concurrency int) int { return max(1, concurrency/4) }

// takersOf is how many jobs of a class are asked for at a time. Mail of the default
// class and notifications come by the thousand a second; idle takers cost little.
func takersOf(class string) int {
	switch class {
	case queue.Default, queue.Notify:
		return 6
	default:
		return 3
	}
}

// openQueues opens a server for each queue.
func (a *App) openQueues(rdb redis.UniversalClient) {
	options := queue.ServerOptions{Log: a.options.Log, DrainTimeout: a.options.Pace.Drain}
	deliver := func(ctx context.Context, d queue.Delivery) error { return a.worker.Deliver(ctx, d) }
	for _, class := range queue.Classes() {
		options.Class, options.Concurrency, options.CheckInterval = class, others(a.options.Config.Concurrency), 0
		options.Takers = takersOf(class)
		switch class {
		case queue.Default:
			options.Concurrency = a.options.Config.Concurrency
		case queue.Bulk:
			options.CheckInterval = unhurried
		}
		a.servers = append(a.servers, queue.NewServer(rdb, options, deliver))
	}
	options.Class, options.Concurrency, options.CheckInterval = queue.Notify, notifyConcurrency, unhurried
	options.Takers = takersOf(queue.Notify)
	a.servers = append(a.servers, queue.NewServer(rdb, options,
		func(ctx context.Context, n queue.Notification) error { return a.worker.Notify(ctx, n) }))
}

// startQueues begins to take jobs. After an error nothing runs.
func (a *App) startQueues() error {
	for _, s := range a.servers {
		if err := s.Start(); err != nil {
			a.shutdownQueues()
			return fmt.Errorf("start the queues: %w", err)
		}
	}
	return nil
}

// shutdownQueues takes no new jobs and waits for the running ones, of all queues at once.
func (a *App) shutdownQueues() {
	var ending sync.WaitGroup
	for _, s := range a.servers {
		ending.Go(s.Shutdown)
	}
	ending.Wait()
}
