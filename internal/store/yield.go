package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"

	"postrider/internal/email"
)

// History is what of a finished message gives way to new mail.
type History string

// What gives way, in this order.
const (
	HistoryContent  History = "content"
	HistoryMetadata History = "metadata" // the record, its events and attempts
)

// One call of Yield looks at this many members of the purge set at most.
const (
	yieldChunk  = 500
	yieldChunks = 40
)

// Pressed reports whether memory is so short, as of the last Measure, that
// history has to give way before its time.
func (m *Messages) Pressed() bool { return m.room.above(yieldShare) }

// Yield forgets content or metadata of at most limit finished messages of a shard
// before their time, those first that finished first; returns how many. It does
// not ask whether memory is short: that is Pressed.
func (m *Messages) Yield(ctx context.Context, w email.World, shard uint8, what History, limit int) (int, error) {
	keys := keysOf(w, shard)
	ids, err := m.yielding(ctx, keys, what, limit)
	if err != nil {
		return 0, fmt.Errorf("find %s that can go: %w", what, err)
	}
	ahead, err := unfollowed(ctx, m.rdb, keys)
	if err != nil {
		return 0, fmt.Errorf("read how far shard %d was followed: %w", shard, err)
	}
	choose := chooser(func(msg *email.Message) (stage, error) { return m.early(msg, what) }).followed(ahead, time.Now())
	gone := 0
	for _, id := range ids {
		ok, err := m.forget(ctx, w, keys, id, choose)
		if errors.Is(err, ErrBroken) {
			continue // Forget sets it aside when its time has come
		}
		if err != nil {
			return gone, fmt.Errorf("let the %s of %s go: %w", what, long(id), err)
		}
		if ok {
			gone++
		}
	}
	return gone, nil
}

// early is the stage that what stands for, whatever the time.
func (m *Messages) early(msg *email.Message, what History) (stage, error) {
	if msg.CompletedAt.IsZero() {
		return stage{}, fmt.Errorf("%w: it is not finished", ErrBroken)
	}
	if what == HistoryContent {
		return stage{name: "content", next: msg.CompletedAt.Add(m.options.MetadataRetention)}, nil
	}
	kept, err := encodeStub(msg)
	return stage{name: "record", next: msg.CompletedAt.Add(m.options.StubRetention), stub: kept}, err
}

// yielding lists finished messages that have something to let go. The purge set
// is nearly in the order in which they finished: its scores add one constant for
// those that have content, another for those that have none.
func (m *Messages) yielding(ctx context.Context, keys shardKeys, what History, limit int) ([]string, error) {
	name := keys.body
	if what == HistoryMetadata {
		name = keys.record
	}
	var out []string
	for chunk := range yieldChunks {
		ids, err := m.rdb.ZRange(ctx, keys.purge(), int64(chunk*yieldChunk), int64((chunk+1)*yieldChunk-1)).Result()
		if err != nil {
			return nil, err
		}
		exist := make([]*redis.IntCmd, len(ids))
		if _, err := m.rdb.Pipelined(ctx, func(p redis.Pipeliner) error {
			for i, id := range ids {
				exist[i] = p.Exists(ctx, name(id))
			}
			return nil
		}); err != nil {
			return nil, err
		}
		for i, id := range ids {
			if exist[i].Val() == 1 {
				out = append(out, id)
			}
			if len(out) == limit {
				return out, nil
			}
		}
		if len(ids) < yieldChunk {
			break
		}
	}
	return out, nil
}
