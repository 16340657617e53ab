package signin

import (
	"errors"

	"github.com/prometheus/client_golang/prometheus"
)

// Metrics is what a Desk counts; nil counts nothing. Its labels tell neither who nor where.
type Metrics struct{ signIns *prometheus.CounterVec }

// NewMetrics registers a desk's metrics.
func NewMetrics(r prometheus.Registerer) *Metrics {
	m := &Metrics{signIns: prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "postrider_sign_ins_total", Help: "Tries to sign in to the dashboard with a password, by what came of them.",
	}, []string{"result"})}
	r.MustRegister(m.signIns)
	for _, result := range []string{"succeeded", "wrong", "throttled", "busy", "failed"} {
		m.signIns.WithLabelValues(result)
	}
	return m
}

// tried counts a try that ended with this error.
func (m *Metrics) tried(err error) {
	if m == nil {
		return
	}
	var slow *Throttled
	result := "failed"
	switch {
	case err == nil:
		result = "succeeded"
	case errors.Is(err, ErrWrong):
		result = "wrong"
	case errors.As(err, &slow):
		result = "throttled"
	case errors.Is(err, ErrBusy):
		result = "busy"
	}
	m.signIns.WithLabelValues(result).Inc()
}
