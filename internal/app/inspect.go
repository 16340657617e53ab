package app

import (
	"context"
	"errors"

	"postrider/internal/config"
	"postrider/internal/queue"
	"postrider/internal/store"
)

// kindEpoch is the finding that Redis is not the one it was.
const kindEpoch = "epoch"

// FsckConfigured is [Fsck] for the command: on the Redis of the configuration, and
// with its epoch compared to the one that the data directory remembers.
func FsckConfigured(ctx context.Context, c config.Config, report func(store.Finding)) (store.Checked, error) {
	dir, err := mirrorDir(c)
	if err != nil {
		return store.Checked{}, err
	}
	rdb, err := openRedis(ctx, c.RedisURL)
	if err != nil {
		return store.Checked{}, err
	}
	defer func() { _ = rdb.Close() }() // nothing was written
	jobs, err := openRedis(ctx, c.RedisURL)
	if err != nil {
		return store.Checked{}, err
	}
	defer func() { _ = jobs.Close() }()
	s, other := store.New(rdb, store.Options{}), 0
	switch err := s.CheckEpoch(ctx, dir); {
	case errors.Is(err, store.ErrEpoch):
		other++
		report(store.Finding{Kind: kindEpoch, Where: "Redis", Text: err.Error()})
	case err != nil:
		return store.Checked{}, err
	}
	count, err := Fsck(ctx, s, queue.NewClient(jobs), report)
	count.Findings += other
	return count, err
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
