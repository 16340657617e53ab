package main

import (
	"context"
	"log/slog"
	"os"
	"runtime/debug"
	"strings"
	"time"

	"postrider/internal/app"
	"postrider/internal/config"
)

// linger is how long a process that was told to end goes on answering that it
// does, so that load balancers see it.
const linger = time.Second

// gcPercent lets the garbage of many short requests pile up to four times what is
// held, which is little: some 20 MB. GOGC overrides it.
const gcPercent = 400

// serveCommand is `postrider serve`.
type serveCommand struct{ config.Config }

// Run implements the command.
func (s *serveCommand) Run(ctx context.Context, t terminal) error {
	log := newLog(s.Config, t.err, slog.LevelInfo)
	app.LogRedis(log)
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
	a, err := app.New(ctx, app.Options{Config: s.Config, Version: versionName(), Log: log, Linger: linger})
	if err != nil {
		return err
	}
	log.Info("serving", "version", versionName(), "roles", strings.Join(s.Roles, ","), "address", a.Address(), "durability", a.Durability(), "worker", a.Worker())
	err = a.Run(ctx)
	if closeErr := a.Close(); err == nil {
		err = closeErr
	}
	log.Info("ended")
	return err
}
