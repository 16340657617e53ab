package app

import (
	"context"
	"errors"
	"fmt"
	"time"

	"postrider/internal/config"
	"postrider/internal/queue"
	"postrider/internal/store"
)

const (
	// kindJob is a finding of an envelope that nothing will wake.
	kindJob = "job"
	// kindEpoch is the finding that Redis is not the one it was.
	kindEpoch = "epoch"
	// repairedWithin is how soon a sweeper that runs gives a waiting envelope a job.
	repairedWithin = 45 * time.Second
)

// Fsck compares all that is stored, in Redis, in the queue, and in the data
// directory, and reports each disagreement. It repairs nothing, and may run while
// mail flows. It returns how much it checked and found.
func Fsck(ctx context.Context, c config.Config, report func(store.Finding)) (store.Checked, error) {
	a, err := OpenStore(ctx, c)
	if err != nil {
		return store.Checked{}, err
	}
	defer func() { _ = a.Close() }() // nothing was written
	extra := 0
	found := func(f store.Finding) {
		extra++
		report(f)
	}
	dir, err := mirrorDir(c)
	if err != nil {
		return store.Checked{}, err
	}
	switch err := a.Store.CheckEpoch(ctx, dir); {
	case errors.Is(err, store.ErrEpoch):
		found(store.Finding{Kind: kindEpoch, Where: "install:epoch", Text: err.Error()})
	case err != nil:
		return store.Checked{}, err
	}
	jobs, err := openRedis(ctx, c.RedisURL)
	if err != nil {
		return store.Checked{}, err
	}
	defer func() { _ = jobs.Close() }()
	count, err := a.Store.Messages.Check(ctx, store.CheckOptions{Report: report, Waiting: overdue(queue.NewClient(jobs), found)})
	count.Findings += extra
	return count, err
}

// overdue finds the envelopes that a sweeper should have given a job long ago.
func overdue(jobs *queue.Client, found func(store.Finding)) func(context.Context, store.Entry, time.Time) error {
	return func(ctx context.Context, e store.Entry, due time.Time) error {
		late := time.Since(due)
		if late < repairedWithin {
			return nil
		}
		job := queue.Delivery{World: e.World, Message: e.Message, Envelope: e.Envelope, Generation: e.State.Generation}
		state, err := jobs.State(ctx, e.Class, job)
		if err != nil {
			return err
		}
		switch state {
		case queue.Pending, queue.Scheduled, queue.Retrying, queue.Active:
			return nil
		}
		found(store.Finding{Kind: kindJob, World: e.World, Where: e.Message, Text: fmt.Sprintf(
			"envelope %d waits, its job is %s, and no sweeper has looked for %v: is a worker running?", e.Envelope, state, late.Round(time.Second))})
		return nil
	}
}

// AcceptEpoch declares what Redis holds now to be right.
func AcceptEpoch(ctx context.Context, c config.Config) error {
	dir, err := mirrorDir(c)
	if err != nil {
		return err
	}
	if dir == "" {
		return errors.New("there is no data directory, so nothing remembers another epoch: set POSTRIDER_DATA_DIR to the one that serve uses")
	}
	a, err := OpenStore(ctx, c)
	if err != nil {
		return err
	}
	return errors.Join(a.Store.AcceptEpoch(ctx, dir), a.Close())
}

// mirrorDir is where the epoch is remembered: where this installation keeps files
// at all. Empty: nowhere.
func mirrorDir(c config.Config) (string, error) {
	if c.DataDir == "" && c.SecretKey != "" {
		return "", nil
	}
	return dataDir(c)
}
