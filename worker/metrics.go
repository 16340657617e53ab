package worker

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"postrider/internal/email"
	"postrider/internal/store"
	"postrider/internal/webhook"
)

// Metrics is what a worker counts. Its labels are statuses, never addresses or
// domains.
type Metrics struct {
	attempts  prometheus.Counter
	seconds   prometheus.Histogram
	outcomes  *prometheus.CounterVec
	unknown   prometheus.Counter
	toFinal   *prometheus.HistogramVec
	inFlight  prometheus.Gauge
	putOff    prometheus.Counter
	lateFence prometheus.Counter
	posts     *prometheus.HistogramVec
	told      *prometheus.HistogramVec
}

// NewMetrics registers a worker's metrics.
func NewMetrics(r prometheus.Registerer) *Metrics {
	m := &Metrics{
		attempts: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "postrider_attempts_total", Help: "SMTP attempts that got a slot at their provider.",
		}),
		seconds: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "postrider_attempt_duration_seconds", Help: "Time of an SMTP attempt.",
			Buckets: []float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 300, 1800},
		}),
		outcomes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "postrider_outcomes_total", Help: "Outcomes of attempts, one per recipient, by the status they lead to.",
		}, []string{"status"}),
		unknown: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "postrider_unknown_outcomes_total", Help: "Outcomes that nobody knows: the connection was lost after the final dot.",
		}),
		toFinal: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "postrider_delivery_latency_seconds", Help: "Time from accept (or scheduled_at) to the final status of a recipient.",
			Buckets: []float64{.01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3600, 14400, 86400, 259200},
		}, []string{"status"}),
		inFlight: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "postrider_attempts_in_flight", Help: "Deliveries that this process works on now.",
		}),
		putOff: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "postrider_put_off_total", Help: "Deliveries that found no slot at their provider and were given a later time.",
		}),
		lateFence: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "postrider_lost_fences_total", Help: "Attempts whose end was not written because another attempt held the envelope.",
		}),
	}
	m.posts = prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: "postrider_webhook_attempt_duration_seconds", Help: "Time of one post to a webhook, by how it was answered.",
		Buckets: []float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 15},
	}, []string{"outcome"})
	m.told = prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: "postrider_webhook_latency_seconds", Help: "Time from when an event was followed to the end of its delivery to a webhook, by its status.",
		Buckets: []float64{.05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3600, 14400, 86400, 259200},
	}, []string{"status"})
	r.MustRegister(m.attempts, m.seconds, m.outcomes, m.unknown, m.toFinal, m.inFlight, m.putOff, m.lateFence, m.posts, m.told)
	return m
}

// posted counts one post to a webhook.
func (m *Metrics) posted(a webhook.Attempt) {
	outcome := "refused"
	switch {
	case a.OK():
		outcome = "accepted"
	case a.Status == 0:
		outcome = "unanswered"
	}
	m.posts.WithLabelValues(outcome).Observe(a.Duration.Seconds())
}

// settled counts a delivery to a webhook that came to its end.
func (m *Metrics) settled(d *store.Delivery) {
	if d.Status != store.DeliveryPending {
		m.told.WithLabelValues(string(d.Status)).Observe(max(0, d.EndedAt.Sub(d.CreatedAt).Seconds()))
	}
}

// concluded counts an attempt whose end was written down. An attempt with a zero
// start never got a slot; its outcomes count.
func (m *Metrics) concluded(msg *email.Message, a *email.Attempt, now time.Time) {
	if !a.StartedAt.IsZero() {
		m.attempts.Inc()
		m.seconds.Observe(a.EndedAt.Sub(a.StartedAt).Seconds())
	}
	for _, o := range a.Outcomes {
		m.outcomes.WithLabelValues(string(o.Status)).Inc()
		if o.Unknown {
			m.unknown.Inc()
		}
		if o.Status.Final() {
			m.toFinal.WithLabelValues(string(o.Status)).Observe(max(0, now.Sub(msg.Due()).Seconds()))
		}
	}
}
