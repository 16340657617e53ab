package store

import (
	"context"
	"errors"
	"fmt"

	"github.com/redis/go-redis/v9"

	"postrider/internal/email"
)

// Get reads a message with its states of now. ErrNotFound if there is none.
func (m *Messages) Get(ctx context.Context, w email.World, id string) (*email.Message, error) {
	keys, name, err := m.locate(w, id)
	if err != nil {
		return nil, err
	}
	fields, err := m.rdb.HGetAll(ctx, keys.record(name)).Result()
	if err != nil {
		return nil, fmt.Errorf("read message %s: %w", id, err)
	}
	if len(fields) == 0 {
		return nil, ErrNotFound
	}
	return decodeMessage(w, name, fields)
}

// Content reads a message's content: nil, nil once it was forgotten while the
// record still exists; ErrNotFound if the record does not.
func (m *Messages) Content(ctx context.Context, w email.World, id string) (*email.Content, error) {
	keys, name, err := m.locate(w, id)
	if err != nil {
		return nil, err
	}
	var exists *redis.IntCmd
	var body *redis.StringCmd
	_, err = m.rdb.Pipelined(ctx, func(p redis.Pipeliner) error {
		exists = p.Exists(ctx, keys.record(name))
		body = p.Get(ctx, keys.body(name))
		return nil
	})
	switch {
	case err != nil && !errors.Is(err, redis.Nil):
		return nil, fmt.Errorf("read content of %s: %w", id, err)
	case exists.Val() == 0:
		return nil, ErrNotFound
	case errors.Is(body.Err(), redis.Nil):
		return nil, nil
	}
	packed, err := body.Result()
	if err != nil {
		return nil, fmt.Errorf("read content of %s: %w", id, err)
	}
	return m.packer.unpackContent(packed)
}
