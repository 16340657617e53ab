// Package convoy sends scripts to Redis in company: what is asked for while others are
// on their way waits for them and goes with all who wait in one pipeline. A script
// alone goes at once. Under load that saves client and server most of the system
// calls of a round trip, and Redis a write to its append-only file for each.
//
// It is a client like the one it wraps, with the same errors, hooks and retries, and
// only changes how EVALSHA travels. A pipeline that failed is tried again as a whole,
// so every script must be safe to run twice; ours are, and asynq's as far as the queue
// relies on them.
//
//	rdb := convoy.New(redis.NewClient(options))
//	answer, err := script.Run(ctx, rdb, keys, args...).Result()
package convoy

import (
	"context"
	"errors"
	"slices"
	"sync"

	"github.com/redis/go-redis/v9"
)

const (
	// lanes is how many pipelines travel at once: one that is stuck leaves a way round.
	lanes = 2
	// maxCompany bounds one pipeline.
	maxCompany = 64
	// maxBaggage is from which size, in octets, a script goes alone at once, beside the
	// lanes: others would wait long for it.
	maxBaggage = 64 << 10
)

// errStranded is the answer to those whose leader did not arrive.
var errStranded = errors.New("the pipeline panicked")

// Client is a Redis client. It is safe for concurrent use.
type Client struct {
	redis.UniversalClient

	mu      sync.Mutex
	free    int // lanes
	waiting []*traveller
}

// traveller is one script that waits for its answer.
type traveller struct {
	ctx  context.Context
	sha  string
	keys []string
	args []any
	cmd  *redis.Cmd
	// turn gives its traveller a company to lead, of which it is the first, or is closed
	// once it has its answer.
	turn chan []*traveller
}

// New wraps a client.
func New(rdb redis.UniversalClient) *Client { return &Client{UniversalClient: rdb, free: lanes} }

// Options are those of the client it wraps, nil if that has not one address.
func (c *Client) Options() *redis.Options {
	if one, ok := c.UniversalClient.(interface{ Options() *redis.Options }); ok {
		return one.Options()
	}
	return nil
}

// EvalSha runs a loaded script.
func (c *Client) EvalSha(ctx context.Context, sha string, keys []string, args ...any) *redis.Cmd {
	if size(args) > maxBaggage {
		return c.UniversalClient.EvalSha(ctx, sha, keys, args...)
	}
	c.mu.Lock()
	if c.free > 0 {
		c.free--
		c.mu.Unlock()
		defer c.leave()
		return c.UniversalClient.EvalSha(ctx, sha, keys, args...)
	}
	t := &traveller{ctx: ctx, sha: sha, keys: keys, args: args, turn: make(chan []*traveller, 1)}
	c.waiting = append(c.waiting, t)
	c.mu.Unlock()
	select {
	case company := <-t.turn:
		c.lead(company)
	case <-ctx.Done():
		if c.stay(t) {
			// The client itself says what an ended context comes to.
			return c.UniversalClient.EvalSha(ctx, sha, keys, args...)
		}
		c.lead(<-t.turn) // it is on its way: not longer than the client's own time-outs
	}
	return t.cmd
}

// leave gives a lane to those who wait, or makes it free. Who is first in the line leads
// the others: a goroutine that is there already, with a stack that has grown.
func (c *Client) leave() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.waiting) == 0 {
		c.waiting = nil
		c.free++
		return
	}
	n := min(len(c.waiting), maxCompany)
	company := c.waiting[:n:n]
	c.waiting = c.waiting[n:]
	company[0].turn <- company
}

// lead runs a company, nil for none, and gives its lane on.
func (c *Client) lead(company []*traveller) {
	if len(company) == 0 {
		return
	}
	defer c.leave()
	// No one's context ends the journey of the others.
	ctx := context.WithoutCancel(company[0].ctx)
	p := c.Pipeline()
	for _, t := range company {
		t.cmd = p.EvalSha(ctx, t.sha, t.keys, t.args...)
	}
	arrived := false
	defer func() {
		for _, t := range company[1:] {
			if !arrived { // a hook panicked: the others must not wait for ever
				t.cmd.SetErr(errStranded)
			}
			close(t.turn)
		}
	}()
	_, _ = p.Exec(ctx) // each has its own answer
	arrived = true
}

// stay takes one who has not departed off the line.
func (c *Client) stay(t *traveller) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	i := slices.Index(c.waiting, t)
	if i < 0 {
		return false
	}
	c.waiting = slices.Delete(slices.Clone(c.waiting), i, i+1)
	return true
}

func size(args []any) (octets int) {
	for _, a := range args {
		switch v := a.(type) {
		case string:
			octets += len(v)
		case []byte:
			octets += len(v)
		}
	}
	return octets
}
