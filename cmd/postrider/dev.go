package main

import (
	"context"
	"log/slog"

	"postrider/internal/config"
	"postrider/internal/dev"
)

// devCommand is `postrider dev`. Some options have defaults of their own.
type devCommand struct {
	config.Config `set:"http_addr=127.0.0.1:8025"`
}

// Run implements the command.
func (d *devCommand) Run(ctx context.Context, t terminal) error {
	return dev.Run(ctx, dev.Options{
		Config: d.Config, Version: versionName(), Out: t.out, Log: newLog(d.Config, t.err, slog.LevelWarn),
	})
}
