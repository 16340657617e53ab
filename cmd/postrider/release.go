package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"postrider/internal/config"
	"postrider/internal/email"
	"postrider/internal/store"
)

// releaseCommand is `postrider release`.
type releaseCommand struct {
	config.Config
	Message string `arg:"" help:"Id of a message that is quarantined (deferred, with the detail quarantined)."`
}

// Run implements the command.
func (r *releaseCommand) Run(ctx context.Context, t terminal) error {
	return withStore(ctx, r.Config, func(s *store.Store) error {
		released := 0
		for _, w := range []email.World{email.Live, email.Test} {
			m, err := s.Messages.Get(ctx, w, r.Message)
			if errors.Is(err, store.ErrNotFound) {
				continue
			}
			if err != nil {
				return err
			}
			for e := range m.Envelopes {
				_, err := s.Messages.Free(ctx, w, m.ID, e, time.Now())
				if errors.Is(err, store.ErrNotQuarantined) {
					continue
				}
				if err != nil {
					return err
				}
				released++
			}
		}
		if released == 0 {
			return fmt.Errorf("nothing of %q is quarantined", r.Message)
		}
		fmt.Fprintf(t.out, "%s is released: it is tried again within half a minute.\n", r.Message)
		return nil
	})
}
