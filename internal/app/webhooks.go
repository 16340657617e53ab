package app

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"postrider/internal/config"
	"postrider/internal/queue"
	"postrider/internal/store"
	"postrider/internal/webhook"
)

// openPoster opens what posts to webhooks: the worker's notifications and the
// test calls of the API.
func (a *App) openPoster() error {
	allowed, err := config.Prefixes(a.options.Config.WebhookAllowedNetworks)
	if err != nil {
		return fmt.Errorf("POSTRIDER_WEBHOOK_ALLOWED_NETWORKS: %w", err)
	}
	a.poster = webhook.New(webhook.Options{AllowedNetworks: allowed})
	return nil
}

// noticeCheck is how soon an idle queue of notifications sees a new one. Each look
// costs Redis a command, and a webhook is in no hurry of milliseconds.
const noticeCheck = 50 * time.Millisecond

// notifyConcurrency is more than all endpoints of both worlds may hold at once: those
// that answer slowly can never take the last place.
const notifyConcurrency = 2*store.MaxWebhooks*10 + 48

// openNotices opens the queue of notifications to webhooks.
func (a *App) openNotices(rdb redis.UniversalClient) {
	a.notices = queue.NewServer(rdb, queue.ServerOptions{
		Class: queue.Notify, Concurrency: notifyConcurrency, CheckInterval: noticeCheck,
		DrainTimeout: a.options.Pace.Drain, Log: a.options.Log,
	}, func(ctx context.Context, n queue.Notification) error { return a.worker.Notify(ctx, n) })
}

// startQueues begins to take jobs.
func (a *App) startQueues() error {
	for _, s := range a.queues() {
		if err := s.Start(); err != nil {
			return fmt.Errorf("start the queues: %w", err)
		}
	}
	return nil
}

// stopQueues takes no new jobs; running ones go on.
func (a *App) stopQueues() {
	for _, s := range a.queues() {
		s.Stop()
	}
}

// shutdownQueues waits for the running jobs, of both queues at once.
func (a *App) shutdownQueues() {
	var ending sync.WaitGroup
	for _, s := range a.queues() {
		ending.Go(s.Shutdown)
	}
	ending.Wait()
}

// queues are the servers of this process: none without the worker role.
func (a *App) queues() []*queue.Server {
	if a.server == nil {
		return nil
	}
	return []*queue.Server{a.server, a.notices}
}
