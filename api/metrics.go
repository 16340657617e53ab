package api

import (
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"postrider/internal/email"
)

// Metrics is what the door counts; nil counts nothing. Its labels are routes as they are declared, never
// paths, addresses or keys.
type Metrics struct {
	requests   *prometheus.CounterVec
	durations  *prometheus.HistogramVec
	messages   *prometheus.CounterVec
	recipients *prometheus.CounterVec
}

// NewMetrics registers the door's metrics.
func NewMetrics(r prometheus.Registerer) *Metrics {
	m := &Metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "postrider_http_requests_total", Help: "Requests to the API, by declared route, method and status.",
		}, []string{"route", "method", "status"}),
		durations: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "postrider_http_request_duration_seconds", Help: "Time to answer a request to the API.",
			Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 10},
		}, []string{"route", "method"}),
		messages: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "postrider_accepted_messages_total", Help: "Messages accepted (202), replays not counted.",
		}, []string{"world"}),
		recipients: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "postrider_accepted_recipients_total", Help: "Recipients of accepted messages.",
		}, []string{"world"}),
	}
	r.MustRegister(m.requests, m.durations, m.messages, m.recipients)
	return m
}

func (m *Metrics) request(method, route string, status int, took time.Duration) {
	if m == nil {
		return
	}
	if route == "" {
		route = "none"
	}
	// Callers invent methods: each would be a time series.
	if !slices.Contains([]string{http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPatch, http.MethodPut, http.MethodDelete}, method) {
		method = "other"
	}
	m.requests.WithLabelValues(route, method, strconv.Itoa(status)).Inc()
	m.durations.WithLabelValues(route, method).Observe(took.Seconds())
}

func (m *Metrics) accepted(msg *email.Message) {
	if m == nil {
		return
	}
	m.messages.WithLabelValues(string(msg.World)).Inc()
	m.recipients.WithLabelValues(string(msg.World)).Add(float64(len(msg.Recipients)))
}
