// Command service is the service under test where `postrider serve` is not to be
// had: the same rooms, wired by the same package, configured by the same names.
//
//	POSTRIDER_REDIS_URL=redis://127.0.0.1:6379 POSTRIDER_RELAY=smtp://127.0.0.1:2500 service serve
package main

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/alecthomas/kong"

	"postrider/internal/app"
	"postrider/internal/config"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	if err := run(ctx); err != nil {
		slog.Error("service ended", "error", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	var c struct {
		config.Config
		Serve struct {
			Roles []string
		} `cmd:""`
	}
	kong.Parse(&c, kong.Vars{"http_addr": ":8025"})
	log := slog.New(slog.NewJSONHandler(os.Stderr, nil))
	a, err := app.New(ctx, app.Options{Config: c.Config, Log: log})
	if err != nil {
		return err
	}
	return errors.Join(a.Run(ctx), a.Close())
}
