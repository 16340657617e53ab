package smtpclient

import (
	"context"
	"errors"
	"sync"
	"time"
)

// errSession is the cause when Send ran out of its own time.
var errSession = errors.New("session limit reached")

// session is the context of one Send: the caller's, with the session limit. Most mails
// that go over a kept connection never look at it, so the context with the timer is only
// made when somebody does: to dial, to wait for it, to derive another. Input and output
// do not wait for it: their deadlines are never behind the limit.
type session struct {
	caller context.Context
	until  time.Time

	mu     sync.Mutex
	full   context.Context // nil: nobody asked for it yet
	cancel context.CancelFunc
	ended  bool // Send has returned
}

func (s *session) begin(ctx context.Context, limit time.Duration) {
	s.caller, s.until = ctx, time.Now().Add(limit)
}

// end ends the context, whoever still holds it.
func (s *session) end() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ended = true
	if s.cancel != nil {
		s.cancel()
	}
}

// context is the whole thing.
func (s *session) context() context.Context {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.full == nil {
		s.full, s.cancel = context.WithDeadlineCause(s.caller, s.until, errSession)
		if s.ended {
			s.cancel()
		}
	}
	return s.full
}

// Deadline is the earlier of the caller's and the session limit.
func (s *session) Deadline() (time.Time, bool) {
	if at, ok := s.caller.Deadline(); ok && at.Before(s.until) {
		return at, true
	}
	return s.until, true
}

// Err is asked between commands; as long as there is none, no timer is needed to know.
func (s *session) Err() error {
	if s.caller.Err() == nil && time.Now().Before(s.until) && !s.over() {
		return nil
	}
	full := s.context()
	<-full.Done() // what ends it is on its way
	return full.Err()
}

func (s *session) over() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ended
}

// Done is closed when the context ends.
func (s *session) Done() <-chan struct{} { return s.context().Done() }

// Value is the caller's, but for what package context finds itself by.
func (s *session) Value(key any) any { return s.context().Value(key) }

// sooner is a deadline that is not behind the session limit.
func (s *session) sooner(at time.Time) time.Time {
	if s.until.Before(at) {
		return s.until
	}
	return at
}
