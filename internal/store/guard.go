package store

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"
)

// GuardOptions say what a Guard tolerates and whom it tells. All may be zero.
type GuardOptions struct {
	Allowed []string // words of fatal faults that are tolerated (POSTRIDER_ALLOW_UNSAFE)
	DataDir string   // where the epoch is mirrored; empty: nowhere
	Log     *slog.Logger
	// Restarted is called when Redis was started anew: time to sweep.
	Restarted func()

	Every time.Duration // between inspections: 30 s
	Pulse time.Duration // between measurements of memory: 1 s
}

// Guard watches Redis for one process: its settings, its memory, its epoch. It
// keeps Admit up to date and stops the process when the store is not the one it
// was. It is safe for concurrent use.
//
//	g := s.Guard(store.GuardOptions{Allowed: words, DataDir: dir, Log: log})
//	err := g.Start(ctx) // refuses to start
//	err = g.Run(ctx)    // ErrEpoch: stop
type Guard struct {
	s *Store
	o GuardOptions

	mu    sync.Mutex
	last  *Inspection
	err   error // of the last inspection
	runID string
}

// Guard makes a Guard. It does nothing before Start.
func (s *Store) Guard(o GuardOptions) *Guard {
	if o.Every <= 0 {
		o.Every = 30 * time.Second
	}
	if o.Pulse <= 0 {
		o.Pulse = time.Second
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Restarted == nil {
		o.Restarted = func() {}
	}
	return &Guard{s: s, o: o, last: &Inspection{Level: LevelUnknown}}
}

// Refusal is why a service does not start on this Redis.
type Refusal struct{ Faults []Fault }

func (r *Refusal) Error() string {
	var lines []string
	for _, f := range r.Faults {
		lines = append(lines, fmt.Sprintf("%s (POSTRIDER_ALLOW_UNSAFE=%s to start nevertheless)", f.Text, f.Word))
	}
	return "this Redis would not keep mail safe: " + strings.Join(lines, "; ")
}

// Start inspects Redis for the first time. Errors: *Refusal, ErrEpoch,
// ErrUnavailable.
func (g *Guard) Start(ctx context.Context) error {
	i, err := g.inspect(ctx)
	if err != nil {
		return err
	}
	if fatal := i.Fatal(g.o.Allowed); fatal != nil {
		return &Refusal{Faults: fatal}
	}
	if err := g.s.CheckEpoch(ctx, g.o.DataDir); err != nil {
		return err
	}
	g.pulse(ctx)
	return nil
}

// Run watches until ctx ends and returns nil then, or ErrEpoch: then the process
// must stop. A Redis that is away is waited for.
func (g *Guard) Run(ctx context.Context) error {
	pulse, every := time.NewTicker(g.o.Pulse), time.NewTicker(g.o.Every)
	defer pulse.Stop()
	defer every.Stop()
	for {
		look := false
		select {
		case <-ctx.Done():
			return nil
		case <-every.C:
			look = true
		case <-pulse.C:
			look = g.pulse(ctx)
		}
		if !look {
			continue
		}
		if _, err := g.inspect(ctx); err != nil {
			continue // it is away, and that is logged
		}
		switch err := g.s.CheckEpoch(ctx, g.o.DataDir); {
		case errors.Is(err, ErrEpoch):
			g.o.Log.Error("the service stops: look what became of Redis, then run `postrider fsck --accept-epoch`", "error", err)
			return err
		case err != nil && ctx.Err() == nil:
			g.o.Log.Warn("epoch not checked", "error", err)
		}
	}
}

// Last is what the last inspection found; its level is LevelUnknown before the
// first. The error says why Redis could not be asked, or that a fatal fault
// stands which is not allowed: no mail is taken meanwhile.
func (g *Guard) Last() (*Inspection, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.last, g.err
}

// pulse measures memory; true if Redis was started anew.
func (g *Guard) pulse(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	runID, err := g.s.Measure(ctx)
	if err != nil {
		return false // the inspection tells of it
	}
	g.mu.Lock()
	anew := g.runID != "" && runID != "" && g.runID != runID
	g.runID = runID
	g.mu.Unlock()
	if anew {
		g.o.Log.Warn("Redis was started anew")
		g.o.Restarted()
	}
	return anew
}

// inspect inspects, tells Admit, and logs what is new.
func (g *Guard) inspect(ctx context.Context) (*Inspection, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	i, err := g.s.Inspect(ctx)
	var red error
	if err == nil {
		if fatal := i.Fatal(g.o.Allowed); fatal != nil {
			red = fmt.Errorf("%w: %s", ErrUnavailable, fatal[0].Text)
		}
		g.s.room.inspected(red)
	}
	g.mu.Lock()
	before, failed := g.last, g.err != nil
	if err == nil {
		g.last, g.err = i, red
	} else {
		g.err = err
	}
	g.mu.Unlock()
	switch {
	case err != nil && !failed:
		g.o.Log.Error("Redis cannot be inspected", "error", err)
	case err == nil:
		g.tell(before, i)
	}
	return i, err
}

// tell logs faults that came and went.
func (g *Guard) tell(before, now *Inspection) {
	for _, f := range now.Faults {
		if slices.ContainsFunc(before.Faults, func(b Fault) bool { return b.Word == f.Word && b.Fatal == f.Fatal }) {
			continue
		}
		level := slog.LevelWarn
		if f.Fatal {
			level = slog.LevelError
		}
		g.o.Log.Log(context.Background(), level, "Redis: "+f.Text, "fault", f.Word, "allowed", slices.Contains(g.o.Allowed, f.Word))
	}
	for _, f := range before.Faults {
		if !slices.ContainsFunc(now.Faults, func(n Fault) bool { return n.Word == f.Word }) {
			g.o.Log.Info("Redis: no longer", "fault", f.Word)
		}
	}
}
