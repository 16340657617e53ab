package store

import (
	"context"
	"errors"
	"fmt"

	"github.com/redis/go-redis/v9"

	"postrider/internal/email"
)

// KindSuppression is about a suppression: the list, its indexes, or a shard's copy.
const KindSuppression = "suppression"

// Check compares the lists of suppressions with their indexes and with the copies of the
// shards, and reports each disagreement. It changes nothing. What was changed and not
// followed yet may differ: it is looked at again only once the log is empty.
func (s *Suppressions) Check(ctx context.Context, report func(Finding)) (findings int, err error) {
	for _, w := range []email.World{email.Live, email.Test} {
		c := &suppressionChecker{s: s, world: w, keys: suppressionsOf(w), listed: make(map[string]string)}
		if err := c.check(ctx); err != nil {
			return findings, fmt.Errorf("check the suppressions of %s: %w", w, err)
		}
		// A list that is being changed disagrees for a moment.
		if n, err := s.rdb.Get(ctx, c.keys.counter()).Int64(); err != nil && !errors.Is(err, redis.Nil) {
			return findings, err
		} else if n != c.number {
			continue
		}
		findings += len(c.found)
		for _, f := range c.found {
			report(f)
		}
	}
	return findings, nil
}

// suppressionChecker is one run of Check on one world.
type suppressionChecker struct {
	s      *Suppressions
	world  email.World
	keys   suppressionKeys
	number int64 // of the last change, before
	behind bool  // some of it was not followed yet
	listed map[string]string
	found  []Finding
}

func (c *suppressionChecker) add(where, format string, args ...any) {
	c.found = append(c.found, Finding{Kind: KindSuppression, World: c.world, Where: where, Text: fmt.Sprintf(format, args...)})
}

func (c *suppressionChecker) check(ctx context.Context) error {
	n, err := c.s.rdb.Get(ctx, c.keys.counter()).Int64()
	if err != nil && !errors.Is(err, redis.Nil) {
		return err
	}
	waiting, err := c.s.rdb.XLen(ctx, c.keys.log()).Result()
	if err != nil {
		return err
	}
	c.number, c.behind = n, waiting > 0
	entries := 0
	scan := c.s.rdb.HScan(ctx, c.keys.entries(), 0, "", 1000).Iterator()
	for scan.Next(ctx) {
		address := scan.Val()
		if !scan.Next(ctx) {
			break
		}
		count, err := c.address(ctx, address, scan.Val())
		if err != nil {
			return err
		}
		entries += count
	}
	if err := scan.Err(); err != nil {
		return err
	}
	indexed, err := c.s.rdb.ZCard(ctx, c.keys.all()).Result()
	if err != nil {
		return err
	}
	if int(indexed) != entries {
		c.add(c.keys.all(), "it names %d entries, there are %d", indexed, entries)
	}
	for shard := range c.s.shards {
		if err := c.copy(ctx, keysOf(c.world, uint8(shard))); err != nil {
			return err
		}
	}
	return nil
}

// address looks for the entries of an address in the indexes.
func (c *suppressionChecker) address(ctx context.Context, address, raw string) (int, error) {
	list, err := decodeSuppressions(c.world, address, raw)
	if err != nil || number(raw) == 0 || len(list) == 0 {
		c.add(c.keys.entries(), "an address whose entries cannot be read")
		return 0, nil
	}
	if c.listed[address], err = encodeSuppressions(list, toListed); err != nil {
		return 0, err
	}
	for i := range list {
		member := bare(list[i].ID) + " " + address
		indexes := []string{c.keys.all(), c.keys.reason(list[i].Reason)}
		if list[i].Stream != "" {
			indexes = append(indexes, c.keys.stream(list[i].Stream))
		}
		if !list[i].ExpiresAt.IsZero() {
			indexes = append(indexes, c.keys.expiries())
		}
		for _, index := range indexes {
			switch err := c.s.rdb.ZScore(ctx, index, member).Err(); {
			case errors.Is(err, redis.Nil):
				c.add(list[i].ID, "%s does not name it", index)
			case err != nil:
				return 0, err
			}
		}
	}
	return len(list), nil
}

// copy compares a shard's copy with the list, if all of that was followed.
func (c *suppressionChecker) copy(ctx context.Context, keys shardKeys) error {
	if c.behind || c.number == 0 {
		return nil
	}
	there, err := c.s.rdb.Exists(ctx, keys.listedCursor()).Result()
	if err != nil {
		return err
	}
	if there == 0 {
		c.add(keys.listed(), "it was never copied: is a worker running?")
		return nil
	}
	copied := make(map[string]string)
	scan := c.s.rdb.HScan(ctx, keys.listed(), 0, "", 1000).Iterator()
	for scan.Next(ctx) {
		address := scan.Val()
		if scan.Next(ctx) {
			list, err := decodeSuppressions(c.world, address, scan.Val())
			if err != nil {
				c.add(keys.listed(), "an address whose entries cannot be read")
				continue
			}
			if copied[address], err = encodeSuppressions(list, toListed); err != nil {
				return err
			}
		}
	}
	different := 0
	for address, entries := range c.listed {
		if copied[address] != entries {
			different++
		}
	}
	for address := range copied {
		if c.listed[address] == "" && copied[address] != "" {
			different++
		}
	}
	if different > 0 {
		c.add(keys.listed(), "%d addresses are not as in the list", different)
	}
	return scan.Err()
}
