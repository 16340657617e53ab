package app

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"

	"postrider/internal/store"
)

// pingLimit is how soon Redis must answer to count as reachable.
const pingLimit = 2 * time.Second

// health knows whether this process should be given work.
type health struct {
	app      *App
	ping     func(context.Context) error
	draining atomic.Bool
	lost     atomic.Bool // Redis is not the one it was
	mirrored bool        // the epoch is, in the data directory
}

// readiness is the answer of /readyz.
type readiness struct {
	Ready   bool             `json:"ready"`
	Version string           `json:"version"`
	Roles   []string         `json:"roles"`
	Checks  map[string]check `json:"checks"`
}

type check struct {
	OK     bool   `json:"ok"`
	Detail string `json:"detail"`
}

// operations puts what the operator asks before the API, whatever the role. These
// paths need no key and tell nothing about mail.
func (a *App) operations(door http.Handler) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		plain(w)
		_, _ = w.Write([]byte("ok\n"))
	})
	mux.HandleFunc("GET /readyz", a.health.serveReady)
	mux.Handle("GET /metrics", promhttp.HandlerFor(a.registry, promhttp.HandlerOpts{
		ErrorHandling: promhttp.ContinueOnError, MaxRequestsInFlight: 4, Timeout: 10 * time.Second,
	}))
	// Not mounted as "/": the mux would redirect what the API answers itself.
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/healthz", "/readyz", "/metrics":
			mux.ServeHTTP(w, r)
		default:
			door.ServeHTTP(w, r)
		}
	})
}

// elsewhere answers for the API in a process that has none.
func elsewhere(w http.ResponseWriter, _ *http.Request) {
	plain(w)
	w.WriteHeader(http.StatusNotFound)
	_, _ = w.Write([]byte("This process has not the role api. It serves /healthz, /readyz and /metrics.\n"))
}

func plain(w http.ResponseWriter) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
}

// Check is one of the things that /readyz asks, for whoever shows it to people.
type Check struct {
	Name   string
	OK     bool
	Detail string
}

// Checks asks them all, the most important first, and how much memory Redis uses.
func (a *App) Checks(ctx context.Context) []Check {
	found := a.health.readiness(ctx).Checks
	var list []Check
	for _, name := range []string{"redis", "durability", "epoch", "admission", "draining"} {
		list = append(list, Check{name, found[name].OK, found[name].Detail})
	}
	if i, _ := a.guard.Last(); i.MemoryUsed > 0 {
		used := fmt.Sprintf("%d MB", i.MemoryUsed>>20)
		if i.MemoryLimit > 0 {
			used += fmt.Sprintf(" of %d MB, %d %%", i.MemoryLimit>>20, 100*i.MemoryUsed/i.MemoryLimit)
		}
		list = append(list, Check{"memory", true, used})
	}
	return list
}

func (h *health) serveReady(w http.ResponseWriter, r *http.Request) {
	state := h.readiness(r.Context())
	raw, err := json.MarshalIndent(state, "", "  ")
	if err != nil {
		http.Error(w, "no answer", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	if !state.Ready {
		w.WriteHeader(http.StatusServiceUnavailable)
	}
	_, _ = w.Write(append(raw, '\n'))
}

func (h *health) readiness(ctx context.Context) readiness {
	c := h.app.options.Config
	s := readiness{Ready: true, Version: h.app.options.Version, Roles: c.Roles, Checks: map[string]check{
		"redis": h.redis(ctx), "durability": h.durability(), "epoch": h.epoch(), "draining": h.drain(), "admission": h.admission(),
	}}
	for _, c := range s.Checks {
		s.Ready = s.Ready && c.OK
	}
	return s
}

func (h *health) redis(ctx context.Context) check {
	ctx, cancel := context.WithTimeout(ctx, pingLimit)
	defer cancel()
	begun := time.Now()
	if err := h.ping(ctx); err != nil {
		h.app.options.Log.Warn("Redis does not answer", "error", err)
		return check{false, "Redis does not answer"}
	}
	return check{true, fmt.Sprintf("answers in %v", time.Since(begun).Round(10*time.Microsecond))}
}

func (h *health) durability() check {
	i, err := h.app.guard.Last()
	fatal := i.Fatal(h.app.options.Config.AllowUnsafe)
	said := []string{map[string]string{
		store.LevelAlways:   "always: no accepted mail is lost on power loss",
		store.LevelEverySec: "everysec: up to 1 s of accepted mail may be lost on power loss",
		store.LevelNo:       "no: some 30 s of accepted mail may be lost on power loss",
		store.LevelNone:     "none: accepted mail is lost when Redis restarts",
		store.LevelUnknown:  "unknown: Redis does not tell its settings",
		store.LevelMemory:   "memory only: all mail is lost when this process ends",
	}[i.Level]}
	for _, f := range i.Faults {
		said = append(said, f.Word+": "+f.Text)
	}
	// Whether Redis answers just now is another check.
	if err != nil && len(fatal) == 0 {
		said = append(said, "as of an earlier inspection: the last one got no answer")
	}
	return check{len(fatal) == 0, strings.Join(said, "; ")}
}

func (h *health) epoch() check {
	switch {
	case h.lost.Load():
		return check{false, store.ErrEpoch.Error() + ": run `postrider fsck --accept-epoch`"}
	case !h.mirrored:
		return check{true, "not compared: there is no data directory"}
	}
	return check{true, "this Redis holds what it held before"}
}

func (h *health) drain() check {
	if h.draining.Load() {
		return check{false, "this process is shutting down"}
	}
	return check{true, "no"}
}

func (h *health) admission() check {
	if err := h.app.Store.Admit(); err != nil {
		return check{false, err.Error()}
	}
	return check{true, "new mail is taken"}
}
