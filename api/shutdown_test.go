package api

import (
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
)

// A process that is to end refuses everything, in the form of the contract.
func TestShuttingDown(t *testing.T) {
	var draining atomic.Bool
	h := openHouse(t, func(o *Options) { o.Draining = draining.Load })
	id := h.send(minimal)
	draining.Store(true)
	for _, request := range []struct{ method, path, body string }{
		{"POST", "/messages", minimal},
		{"GET", "/v1/messages", ""},
		{"GET", "/v1/messages/" + id, ""},
		{"GET", "/v1/messages/" + id + "/events", ""},
		{"GET", "/v1/messages/" + id + "/attempts", ""},
		{"POST", "/v1/messages/" + id + "/cancel", ""},
	} {
		a := h.do(request.method, request.path, strings.NewReader(request.body))
		h.want(a, http.StatusServiceUnavailable, string(shuttingDown))
		if a.header.Get("Retry-After") == "" {
			t.Errorf("%s %s: no Retry-After", request.method, request.path)
		}
	}
	draining.Store(false)
	h.send(minimal)
}

func TestMetrics(t *testing.T) {
	m := NewMetrics(prometheus.NewRegistry())
	h := openHouse(t, func(o *Options) { o.Metrics = m })
	id := h.send(minimal)
	h.get("/v1/messages/" + id)
	h.get("/v1/messages/" + id + "/nothing")
	h.do("BREW", "/v1/messages", nil)
	again := func(r *http.Request) { r.Header.Set("Idempotency-Key", "one") }
	h.post("/messages", minimal, again)
	h.post("/messages", minimal, again)
	for _, c := range []struct {
		route, method, status string
		want                  float64
	}{
		{"/messages", "POST", "202", 2},
		{"/v1/messages", "POST", "202", 1},
		{"/v1/messages/:id", "GET", "200", 1},
		{"none", "GET", "404", 1},
		{"none", "other", "405", 1},
	} {
		if got := testutil.ToFloat64(m.requests.WithLabelValues(c.route, c.method, c.status)); got != c.want {
			t.Errorf("%+v: counted %v", c, got)
		}
	}
	if got := testutil.ToFloat64(m.messages.WithLabelValues("test")); got != 2 {
		t.Errorf("%v messages, want 2: a replay is none", got)
	}
	if got := testutil.ToFloat64(m.recipients.WithLabelValues("test")); got != 2 {
		t.Errorf("%v recipients, want 2", got)
	}
}
