package store

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/redis/go-redis/v9"

	"postrider/internal/email"
)

// ErrEpoch says that Redis does not hold what it held when it was used before:
// its volume was lost, it was flushed, or it went back in time. To go on would
// forget accepted mail in silence.
var ErrEpoch = errors.New("this Redis does not hold what it held before")

// storedEpoch is the value of install:epoch.
type storedEpoch struct {
	ID string `json:"i"`
	// Previous are epochs that AcceptEpoch ended, newest first: who knows one of
	// them follows.
	Previous []string `json:"p,omitempty"`
}

// keptEpochs bounds how many ended epochs are known.
const keptEpochs = 20

// CheckEpoch compares the epoch in Redis with the mirror in dir, and brings the
// mirror up to date. The first time it makes both. An empty dir has no mirror:
// then there is nothing to compare. Errors: ErrEpoch.
func (s *Store) CheckEpoch(ctx context.Context, dir string) error {
	if s.options.InProcess {
		return nil
	}
	known, err := readMirror(dir)
	if err != nil {
		return fmt.Errorf("check the epoch: %w", err)
	}
	standing, err := s.epoch(ctx)
	if err != nil {
		return fmt.Errorf("check the epoch: %w", err)
	}
	if standing == nil {
		if known != nil {
			return fmt.Errorf("%w: it is empty", ErrEpoch)
		}
		if standing, err = s.claimEpoch(ctx); err != nil {
			return fmt.Errorf("check the epoch: %w", err)
		}
	}
	now, err := s.positions(ctx)
	if err != nil {
		return fmt.Errorf("check the epoch: %w", err)
	}
	if err := compare(known, standing, now); err != nil {
		return err
	}
	if err := writeMirror(dir, &mirror{ID: standing.ID, Positions: now}); err != nil {
		return fmt.Errorf("check the epoch: %w", err)
	}
	return nil
}

func compare(known *mirror, standing *storedEpoch, now map[string]string) error {
	switch {
	case known == nil || slices.Contains(standing.Previous, known.ID):
		return nil
	case known.ID != standing.ID:
		return fmt.Errorf("%w: it is another one (epoch %s, known is %s)", ErrEpoch, standing.ID, known.ID)
	}
	for stream, position := range known.Positions {
		if before(now[stream], position) {
			return fmt.Errorf("%w: its events %s end at %q, they were at %s", ErrEpoch, stream, now[stream], position)
		}
	}
	return nil
}

// AcceptEpoch declares what Redis holds now to be right, and begins a new epoch
// with it. Other processes follow, as their mirrors name an epoch that it ended.
func (s *Store) AcceptEpoch(ctx context.Context, dir string) error {
	known, err := readMirror(dir)
	if err != nil && !errors.Is(err, errMirror) {
		return fmt.Errorf("accept the epoch: %w", err)
	}
	next := storedEpoch{ID: rand.Text()}
	if known != nil {
		next.Previous = append(next.Previous, known.ID)
	}
	standing, err := s.epoch(ctx)
	if err != nil {
		return fmt.Errorf("accept the epoch: %w", err)
	}
	if standing != nil {
		next.Previous = append(append(next.Previous, standing.ID), standing.Previous...)
	}
	next.Previous = next.Previous[:min(len(next.Previous), keptEpochs)]
	raw, err := json.Marshal(next)
	if err != nil {
		return fmt.Errorf("accept the epoch: %w", err)
	}
	if err := s.rdb.Set(ctx, epochKey, raw, 0).Err(); err != nil {
		return fmt.Errorf("accept the epoch: %w", err)
	}
	now, err := s.positions(ctx)
	if err != nil {
		return fmt.Errorf("accept the epoch: %w", err)
	}
	if err := writeMirror(dir, &mirror{ID: next.ID, Positions: now}); err != nil {
		return fmt.Errorf("accept the epoch: %w", err)
	}
	return nil
}

// epoch reads the epoch, nil if there is none.
func (s *Store) epoch(ctx context.Context) (*storedEpoch, error) {
	raw, err := s.rdb.Get(ctx, epochKey).Bytes()
	if errors.Is(err, redis.Nil) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var e storedEpoch
	if err := json.Unmarshal(raw, &e); err != nil || e.ID == "" {
		return nil, fmt.Errorf("%w: the epoch", ErrBroken)
	}
	return &e, nil
}

// claimEpoch makes the first epoch, unless another process was faster.
func (s *Store) claimEpoch(ctx context.Context) (*storedEpoch, error) {
	raw, err := json.Marshal(storedEpoch{ID: rand.Text()})
	if err != nil {
		return nil, err
	}
	// SETNX and then GET: a retry after a lost reply finds its own value.
	if err := s.rdb.SetNX(ctx, epochKey, raw, 0).Err(); err != nil {
		return nil, err
	}
	e, err := s.epoch(ctx)
	if err == nil && e == nil {
		return nil, fmt.Errorf("%w: it forgot its epoch at once", ErrEpoch)
	}
	return e, err
}

// positions are the last ids that the event streams gave out; they stay when the
// streams are trimmed.
func (s *Store) positions(ctx context.Context) (map[string]string, error) {
	out := make(map[string]string)
	for _, w := range []email.World{email.Live, email.Test} {
		for shard := range s.options.Shards {
			name := keysOf(w, uint8(shard)).stream()
			info, err := s.rdb.XInfoStream(ctx, name).Result()
			switch {
			case redis.HasErrorPrefix(err, "no such key"):
			case err != nil:
				return nil, err
			default:
				out[name] = info.LastGeneratedID
			}
		}
	}
	return out, nil
}

// before orders two ids of stream entries ("<ms>-<n>"); what is no id is before all.
func before(a, b string) bool {
	aTime, aCount := parsePosition(a)
	bTime, bCount := parsePosition(b)
	return aTime < bTime || aTime == bTime && aCount < bCount
}

func parsePosition(id string) (ms, n uint64) {
	left, right, _ := strings.Cut(id, "-")
	ms, _ = strconv.ParseUint(left, 10, 64)
	n, _ = strconv.ParseUint(right, 10, 64)
	return ms, n
}
