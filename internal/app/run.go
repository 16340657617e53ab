package app

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"golang.org/x/sync/errgroup"

	"postrider/api"
	"postrider/internal/store"
)

// lastRequests bounds the wait for requests that are still being answered at the end.
const lastRequests = 20 * time.Second

// Run serves until ctx ends, then drains: requests are refused with 503, no job is
// begun, running transactions end within 90 s. One that still waits for the answer
// to its final dot then is an unknown outcome; one that was not so far is given back.
// It ends likewise, with [store.ErrEpoch], when Redis is not the one it was.
func (a *App) Run(ctx context.Context) error {
	if err := a.startQueues(); err != nil {
		return err
	}
	web := api.Server(a.options.Config.HTTPAddr, a.handler)
	// Upkeep outlives ctx: the heartbeat must go on while transactions end.
	upkeep, stopUpkeep := context.WithCancel(context.WithoutCancel(ctx))
	group, ctx := errgroup.WithContext(ctx)
	if a.worker != nil {
		group.Go(func() error { return a.worker.Run(upkeep) })
	}
	group.Go(func() error {
		err := a.guard.Run(ctx)
		if errors.Is(err, store.ErrEpoch) {
			a.health.lost.Store(true)
		}
		return err
	})
	group.Go(func() error {
		if err := web.Serve(a.listener); !errors.Is(err, http.ErrServerClosed) {
			return fmt.Errorf("serve HTTP: %w", err)
		}
		return nil
	})
	group.Go(func() error {
		defer stopUpkeep()
		<-ctx.Done()
		return a.drain(context.WithoutCancel(ctx), web)
	})
	return group.Wait()
}

// drain ends what runs. HTTP goes last: until then whoever asks is told.
func (a *App) drain(ctx context.Context, web *http.Server) error {
	a.health.draining.Store(true)
	a.options.Log.Info("draining: no new requests and jobs; a second signal ends at once")
	told := time.After(a.options.Linger)
	a.shutdownQueues()
	<-told
	ctx, cancel := context.WithTimeout(ctx, lastRequests)
	defer cancel()
	if err := web.Shutdown(ctx); err != nil {
		return fmt.Errorf("end HTTP: %w", err)
	}
	return nil
}
