package smtpclient

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

// The context of a Send is the caller's with the session limit, whether it was asked
// early, late, or only after Send had returned.
func TestSession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		type key struct{}
		caller, stop := context.WithCancelCause(context.WithValue(context.Background(), key{}, "v"))
		defer stop(nil)
		late := begun(caller)
		defer late.end()
		early := begun(caller)
		defer early.end()
		if until, ok := early.Deadline(); !ok || time.Until(until) != time.Minute || early.Err() != nil || early.Value(key{}) != "v" {
			t.Errorf("deadline %v, %v; error %v; value %v", until, ok, early.Err(), early.Value(key{}))
		}
		derived, cancel := context.WithTimeout(early, time.Hour)
		defer cancel()
		time.Sleep(time.Minute)
		synctest.Wait()
		for name, ctx := range map[string]context.Context{"early": early, "late": late, "derived": derived} {
			if !errors.Is(ctx.Err(), context.DeadlineExceeded) || !errors.Is(context.Cause(ctx), errSession) {
				t.Errorf("%s at the limit: %v, %v", name, ctx.Err(), context.Cause(ctx))
			}
		}
	})
}

func TestSessionEndsWithTheCaller(t *testing.T) {
	why := errors.New("shutting down")
	caller, stop := context.WithCancelCause(context.Background())
	s := begun(caller)
	defer s.end()
	stop(why)
	<-s.Done()
	if !errors.Is(s.Err(), context.Canceled) || !errors.Is(context.Cause(s), why) {
		t.Errorf("%v, %v", s.Err(), context.Cause(s))
	}
	soon, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	want, _ := soon.Deadline()
	short := begun(soon)
	defer short.end()
	if got, ok := short.Deadline(); !ok || got != want {
		t.Errorf("deadline %v, want %v", got, want)
	}
}

func TestSessionEndsWithSend(t *testing.T) {
	used, unused := begun(context.Background()), begun(context.Background())
	done := used.Done()
	used.end()
	unused.end()
	<-done
	<-unused.Done()
	for _, s := range []*session{used, unused} {
		if !errors.Is(s.Err(), context.Canceled) {
			t.Errorf("after the end: %v", s.Err())
		}
	}
}

func begun(ctx context.Context) *session {
	s := &session{}
	s.begin(ctx, time.Minute)
	return s
}

// Who is told that the caller's context ended finds the session's ended too, though it
// hears of it from the same cancellation, perhaps later.
func TestSessionEndsWithItsCaller(t *testing.T) {
	t.Parallel()
	why := errors.New("shutting down")
	for range 1000 {
		ctx, cancel := context.WithCancelCause(t.Context())
		for range 100 { // others that are told, in any order
			_, stop := context.WithCancel(ctx)
			defer stop()
		}
		var s session
		s.begin(ctx, time.Minute)
		_ = s.context()
		told := make(chan [2]error)
		context.AfterFunc(ctx, func() { told <- [2]error{s.Err(), context.Cause(&s)} })
		go cancel(why)
		if got := <-told; !errors.Is(got[0], context.Canceled) || !errors.Is(got[1], why) {
			t.Fatalf("error %v, cause %v", got[0], got[1])
		}
		s.end()
	}
}
