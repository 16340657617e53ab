package main

import (
	"context"
	"errors"
	"fmt"

	"postrider/internal/app"
	"postrider/internal/config"
	"postrider/internal/store"
)

// fsckCommand is `postrider fsck`.
type fsckCommand struct {
	config.Config
	AcceptEpoch bool `help:"First declare what Redis holds now to be right, after it was emptied or restored."`
}

// Run implements the command. A line on standard output for each disagreement; with
// any, the exit status is 1.
func (f *fsckCommand) Run(ctx context.Context, t terminal) error {
	if f.AcceptEpoch {
		if err := app.AcceptEpoch(ctx, f.Config); err != nil {
			return err
		}
		fmt.Fprintln(t.err, "A new epoch begins with what Redis holds now. Start the processes again.")
	}
	count, err := app.FsckConfigured(ctx, f.Config, func(found store.Finding) { fmt.Fprintln(t.out, found) })
	switch {
	case err != nil:
		return err
	case count.Findings == 1:
		return fmt.Errorf("1 disagreement in %d messages", count.Messages)
	case count.Findings > 0:
		return fmt.Errorf("%d disagreements in %d messages", count.Findings, count.Messages)
	case ctx.Err() != nil:
		return errors.New("interrupted: not everything was checked")
	}
	fmt.Fprintf(t.out, "%d messages checked: no disagreement.\n", count.Messages)
	return nil
}
