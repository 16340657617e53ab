package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"

	"github.com/redis/go-redis/v9"
)

// typed is a hook that gives the errors of Redis the types that callers know:
// ErrUnavailable for a Redis that does not answer or may not be written now,
// ErrFull for one without memory, ErrBroken for content that is not of its kind.
// It stands outside the client's own retries,
// so that what it sees is their last word.
type typed struct{}

func (typed) DialHook(next redis.DialHook) redis.DialHook { return next }

func (typed) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		err := classify(next(ctx, cmd))
		if err != nil {
			cmd.SetErr(err)
		}
		return err
	}
}

func (typed) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		err := classify(next(ctx, cmds))
		for _, cmd := range cmds {
			if cmd.Err() != nil {
				cmd.SetErr(classify(cmd.Err()))
			}
		}
		return err
	}
}

// classify wraps an error of go-redis with the type it has for our callers.
func classify(err error) error {
	switch {
	case err == nil, errors.Is(err, redis.Nil), errors.Is(err, ErrUnavailable), errors.Is(err, context.Canceled):
		return err
	case redis.HasErrorPrefix(err, "OOM"):
		return fmt.Errorf("%w: %w: %w", ErrFull, ErrUnavailable, err)
	case unavailable(err):
		return fmt.Errorf("%w: %w", ErrUnavailable, err)
	case redis.HasErrorPrefix(err, "WRONGTYPE"), redis.HasErrorPrefix(err, "user_script"), redis.HasErrorPrefix(err, "Error compiling script"):
		// A key of another kind, or a script that met what it cannot work on.
		return fmt.Errorf("%w: %w", ErrBroken, err)
	}
	return err
}

// unavailable tells a Redis that does not answer, or says "not now", from one
// that found a fault in what it was asked.
func unavailable(err error) bool {
	var network net.Error // time-outs of a context are of this kind too
	if errors.As(err, &network) {
		return true
	}
	for _, sentinel := range []error{
		net.ErrClosed, io.EOF, io.ErrUnexpectedEOF, redis.ErrClosed, redis.ErrPoolExhausted, redis.ErrPoolTimeout,
	} {
		if errors.Is(err, sentinel) {
			return true
		}
	}
	return slices.ContainsFunc(refusals(), func(word string) bool { return redis.HasErrorPrefix(err, word) })
}

// refusals are the first words by which a Redis says "not now".
func refusals() []string {
	return []string{
		"LOADING", "READONLY", "MASTERDOWN", "CLUSTERDOWN", "TRYAGAIN", "NOREPLICAS", "MISCONF", "BUSY",
		"NOAUTH", "WRONGPASS", "NOPERM", "max number of clients", "UNKILLABLE",
	}
}
