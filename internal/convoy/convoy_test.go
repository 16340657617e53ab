package convoy_test

import (
	"context"
	"errors"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"postrider/internal/convoy"
	"postrider/internal/redistest"
)

// road sees what goes by, and can hold it up.
type road struct {
	hold             chan struct{} // closed: open
	single, together atomic.Int64
	mined            atomic.Bool // the next company panics
}

func (*road) DialHook(next redis.DialHook) redis.DialHook { return next }

func (r *road) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		if cmd.Name() == "evalsha" {
			r.single.Add(1)
			<-r.hold
		}
		return next(ctx, cmd)
	}
}

func (r *road) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		for _, cmd := range cmds {
			if cmd.Name() == "evalsha" { // and not the greeting of a new connection
				if r.mined.CompareAndSwap(true, false) {
					panic("mine")
				}
				r.together.Add(1)
			}
		}
		return next(ctx, cmds)
	}
}

func open(t *testing.T) (*convoy.Client, *redis.Script, *road) {
	t.Helper()
	o, err := redis.ParseURL(redistest.Server(t))
	if err != nil {
		t.Fatal(err)
	}
	rdb := redis.NewClient(o)
	t.Cleanup(func() { _ = rdb.Close() })
	script := redis.NewScript(`if ARGV[1] == 'bad' then return redis.error_reply('BAD it is') end return redis.call('INCRBY', KEYS[1], ARGV[1])`)
	if err := script.Load(t.Context(), rdb).Err(); err != nil {
		t.Fatal(err)
	}
	r := &road{hold: make(chan struct{})}
	rdb.AddHook(r)
	return convoy.New(rdb), script, r
}

// held has both lanes taken by scripts that are held up.
func held(t *testing.T, c *convoy.Client, script *redis.Script, r *road, group *sync.WaitGroup) {
	t.Helper()
	for i := range int64(2) {
		group.Go(func() { script.Run(t.Context(), c, []string{"first" + strconv.FormatInt(i, 10)}, "1") })
		wait(t, func() bool { return r.single.Load() == i+1 })
	}
}

func wait(t *testing.T, until func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !until(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("it does not happen")
		}
	}
}

func TestThoseWhoWaitGoTogetherAndEachGetsItsOwnAnswer(t *testing.T) {
	c, script, r := open(t)
	var group sync.WaitGroup
	held(t, c, script, r, &group)
	const n = 200 // more than one company
	for i := range n {
		group.Go(func() {
			arg := strconv.Itoa(i)
			if i == 7 {
				arg = "bad"
			}
			got, err := script.Run(t.Context(), c, []string{"k" + strconv.Itoa(i)}, arg).Int()
			if i == 7 {
				if !redis.HasErrorPrefix(err, "BAD") {
					t.Errorf("a script that fails says %v", err)
				}
			} else if err != nil || got != i {
				t.Errorf("script %d answers %d, %v", i, got, err)
			}
		})
	}
	wait(t, func() bool { return c.Waiting() == n })
	close(r.hold)
	group.Wait()
	if got := r.together.Load(); got != n {
		t.Errorf("%d went together, want %d", got, n)
	}
	if got := r.single.Load(); got != 2 {
		t.Errorf("%d went alone, want the first 2", got)
	}
}

func TestWhoLeavesTheLineIsNotRun(t *testing.T) {
	c, script, r := open(t)
	var group sync.WaitGroup
	held(t, c, script, r, &group)
	ctx, cancel := context.WithCancel(t.Context())
	var left error
	gone := make(chan struct{})
	go func() {
		left = script.Run(ctx, c, []string{"gone"}, "1").Err()
		close(gone)
	}()
	wait(t, func() bool { return c.Waiting() == 1 })
	group.Go(func() { script.Run(t.Context(), c, []string{"stays"}, "1") })
	wait(t, func() bool { return c.Waiting() == 2 })
	cancel()
	wait(t, func() bool { return c.Waiting() == 1 })
	close(r.hold)
	<-gone
	group.Wait()
	if !errors.Is(left, context.Canceled) {
		t.Errorf("who left is told %v", left)
	}
	if n, err := c.Exists(t.Context(), "gone").Result(); n != 0 || err != nil {
		t.Errorf("it was run all the same: %d, %v", n, err)
	}
	if n, err := c.Get(t.Context(), "stays").Int(); n != 1 || err != nil {
		t.Errorf("its fellow was not run: %d, %v", n, err)
	}
}

// A panic on the way is its leader's; the others are told, and the lane is free again.
func TestNobodyIsStrandedByAPanic(t *testing.T) {
	c, script, r := open(t)
	var group sync.WaitGroup
	held(t, c, script, r, &group)
	r.mined.Store(true)
	var panicked, failed, answered atomic.Int64
	const n = 20
	for range n {
		group.Go(func() {
			defer func() {
				if recover() != nil {
					panicked.Add(1)
				}
			}()
			if script.Run(t.Context(), c, []string{"k"}, "1").Err() != nil {
				failed.Add(1)
				return
			}
			answered.Add(1)
		})
	}
	wait(t, func() bool { return c.Waiting() == n })
	close(r.hold)
	group.Wait()
	if panicked.Load() != 1 || failed.Load() != n-1 {
		t.Errorf("%d panicked, %d failed, %d were answered", panicked.Load(), failed.Load(), answered.Load())
	}
	for range 3 { // more than there are lanes
		if err := script.Run(t.Context(), c, []string{"k"}, "1").Err(); err != nil {
			t.Errorf("afterwards: %v", err)
		}
	}
}

func TestHeavyBaggageGoesBesideTheLanes(t *testing.T) {
	c, script, r := open(t)
	var group sync.WaitGroup
	held(t, c, script, r, &group)
	group.Go(func() { script.Run(t.Context(), c, []string{"big"}, "1", make([]byte, 100<<10)) })
	wait(t, func() bool { return r.single.Load() == 3 })
	if c.Waiting() != 0 {
		t.Error("it waits")
	}
	close(r.hold)
	group.Wait()
}
