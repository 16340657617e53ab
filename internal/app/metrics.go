package app

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"postrider/internal/email"
	"postrider/internal/queue"
	"postrider/internal/store"
)

// scrapeLimit bounds what one scrape asks of Redis.
const scrapeLimit = 3 * time.Second

// newRegistry is a registry of this process alone, with what every Go program tells.
func newRegistry(version string) *prometheus.Registry {
	r := prometheus.NewRegistry()
	info := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "postrider_build_info", Help: "Always 1; the label is the version.", ConstLabels: prometheus.Labels{"version": version},
	})
	info.Set(1)
	r.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}), info)
	return r
}

// backlog measures what waits in Redis when it is asked. What cannot be measured is
// left out, and postrider_redis_up is 0.
type backlog struct{ app *App }

// gauge describes one metric; the names stay, so that dashboards do.
func gauge(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("postrider_"+name, help, labels, nil)
}

// Describe sends nothing: what is collected depends on what Redis tells.
func (b *backlog) Describe(chan<- *prometheus.Desc) {}

// Collect implements prometheus.Collector.
func (b *backlog) Collect(out chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), scrapeLimit)
	defer cancel()
	send := func(d *prometheus.Desc, value float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value, labels...)
	}
	up := 1.0
	if err := b.measure(ctx, send); err != nil {
		up = 0
		b.app.options.Log.Warn("metrics are incomplete", "error", err)
	}
	send(gauge("redis_up", "1 if Redis could be asked for the metrics about it."), up)
	draining := 0.0
	if b.app.health.draining.Load() {
		draining = 1
	}
	send(gauge("draining", "1 while the process ends."), draining)
}

func (b *backlog) measure(ctx context.Context, send func(*prometheus.Desc, float64, ...string)) error {
	sizes, err := b.app.Queue.Sizes(ctx, append(queue.Classes(), queue.Notify)...)
	if err != nil {
		return err
	}
	jobs := gauge("queue_jobs", "Jobs in the queue; each wakes one envelope, or one delivery to a webhook.", "queue", "state")
	oldest := gauge("queue_oldest_seconds", "How long the first pending job has been waiting.", "queue")
	for _, s := range sizes {
		for state, n := range s.Jobs {
			send(jobs, float64(n), s.Class, string(state))
		}
		send(oldest, s.Oldest.Seconds(), s.Class)
	}
	due := gauge("due_envelopes", "Envelopes that are not final: what is still to be delivered.", "world")
	lag := gauge("due_lag_seconds", "How long the sweeper has not looked at the first envelope that it should have.", "world")
	pending := gauge("webhook_pending", "Deliveries to webhooks that are not finished.", "world")
	behind := gauge("webhook_lag_seconds", "How long the sweeper has not looked at the first of them that it should have.", "world")
	for _, w := range []email.World{email.Live, email.Test} {
		waiting, err := b.app.Store.Messages.Backlog(ctx, w)
		if err != nil {
			return err
		}
		send(due, float64(waiting.Size), string(w))
		send(lag, late(waiting), string(w))
		if waiting, err = b.app.Store.Deliveries.Backlog(ctx, w); err != nil {
			return err
		}
		send(pending, float64(waiting.Size), string(w))
		send(behind, late(waiting), string(w))
	}
	i, err := b.app.Store.Inspect(ctx)
	if err != nil {
		return err
	}
	if i.MemoryUsed > 0 {
		send(gauge("redis_memory_used_bytes", "Memory that Redis uses."), float64(i.MemoryUsed))
	}
	if i.MemoryLimit > 0 {
		send(gauge("redis_memory_limit_bytes", "Its maxmemory, or its machine's memory."), float64(i.MemoryLimit))
	}
	return nil
}

// late is how long the first of a backlog should have been looked at.
func late(b store.Backlog) float64 {
	if b.Next.IsZero() {
		return 0
	}
	return max(0, time.Since(b.Next).Seconds())
}
