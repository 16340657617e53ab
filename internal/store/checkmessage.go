package store

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/redis/go-redis/v9"

	"postrider/internal/email"
)

// facts are what is stored about one message, at one moment.
type facts struct {
	msg              *email.Message
	body             bool
	events, attempts int64
	purge            bool
	due              []time.Time // by envelope; zero: none
	in, missing      []string    // status indexes that hold it; other indexes that should
	quarantined      bool        // whether the index of what is quarantined holds it
}

// message compares everything about one message.
func (c *checker) message(ctx context.Context, id string) error {
	if !isShort(id) {
		c.found(KindRecord, c.keys.record(id), "its name is no message id")
		return nil
	}
	f, err := c.read(ctx, id)
	if errors.Is(err, ErrBroken) {
		c.found(KindRecord, long(id), "%v", err)
		return nil
	}
	if err != nil || f == nil {
		return err
	}
	c.state(f)
	c.clocks(f)
	c.indexes(f)
	c.history(f)
	return c.waiting(ctx, f)
}

// readTries bounds how often a message is read that changes meanwhile.
const readTries = 10

// read gathers the facts, nil if the message is gone.
func (c *checker) read(ctx context.Context, id string) (*facts, error) {
	for range readTries {
		fields, err := c.m.rdb.HGetAll(ctx, c.keys.record(id)).Result()
		if err != nil || len(fields) == 0 {
			return nil, err
		}
		msg, err := decodeMessage(c.world, id, fields)
		if err != nil {
			return nil, err
		}
		f, still, err := c.gather(ctx, id, msg, fields["s"])
		if err != nil || still {
			return f, err
		}
	}
	return nil, nil // it is being worked on: that is no disagreement
}

// gather reads the rest in one transaction; false if the state changed before it.
func (c *checker) gather(ctx context.Context, id string, msg *email.Message, state string) (*facts, bool, error) {
	var (
		now            *redis.StringCmd
		body           *redis.IntCmd
		events, tries  *redis.IntCmd
		purge, held    *redis.FloatCmd
		due, in, fixed []*redis.FloatCmd
	)
	statuses, indexes := email.MessageStatuses(), c.keys.indexes(msg)
	_, err := c.m.rdb.TxPipelined(ctx, func(p redis.Pipeliner) error {
		now, body = p.HGet(ctx, c.keys.record(id), "s"), p.Exists(ctx, c.keys.body(id))
		events, tries = p.LLen(ctx, c.keys.events(id)), p.LLen(ctx, c.keys.attempts(id))
		purge, held = p.ZScore(ctx, c.keys.purge(), id), p.ZScore(ctx, c.keys.quarantined(), id)
		for i := range msg.Envelopes {
			due = append(due, p.ZScore(ctx, c.keys.due(), dueMember(id, i)))
		}
		for _, s := range statuses {
			in = append(in, p.ZScore(ctx, c.keys.status(s), id))
		}
		for _, key := range indexes {
			fixed = append(fixed, p.ZScore(ctx, key, id))
		}
		return nil
	})
	if err != nil && !errors.Is(err, redis.Nil) {
		return nil, false, err
	}
	f := &facts{msg: msg, body: body.Val() == 1, events: events.Val(), attempts: tries.Val(), purge: purge.Err() == nil, quarantined: held.Err() == nil}
	for _, score := range due {
		at := time.Time{}
		if score.Err() == nil {
			at = time.UnixMilli(int64(score.Val())).UTC()
		}
		f.due = append(f.due, at)
	}
	for i, score := range in {
		if score.Err() == nil {
			f.in = append(f.in, string(statuses[i]))
		}
	}
	for i, score := range fixed {
		if score.Err() != nil {
			f.missing = append(f.missing, indexes[i])
		}
	}
	return f, now.Val() == state, nil
}

// state compares recipients, envelopes and completion.
func (c *checker) state(f *facts) {
	final := true
	for i, e := range f.msg.Envelopes {
		open := false
		for _, r := range e.Recipients {
			open = open || !f.msg.Recipients[r].State.Status.Final()
		}
		switch done := e.State.Phase == email.Done; {
		case done && open:
			c.found(KindState, f.msg.ID, "envelope %d is done, but not all of its recipients", i)
		case !done && !open:
			c.found(KindState, f.msg.ID, "all recipients of envelope %d are final, but it is not done", i)
		}
	}
	for i, r := range f.msg.Recipients {
		final = final && r.State.Status.Final()
		if r.Envelope < 0 && !r.State.Status.Final() {
			c.found(KindState, f.msg.ID, "recipient %d is in no envelope", i)
		}
	}
	if final == f.msg.CompletedAt.IsZero() {
		c.found(KindState, f.msg.ID, "all recipients are final: %t, but completed: %t", final, !final)
	}
	if final && f.msg.DropContent && f.body {
		c.found(KindBody, f.msg.ID, "its content should have gone with its last final state")
	}
	if !final && !f.body {
		c.found(KindBody, f.msg.ID, "it is not finished, but its content is gone")
	}
}

// clocks compares the due and purge sets with what there is to do.
func (c *checker) clocks(f *facts) {
	for i, e := range f.msg.Envelopes {
		switch done := e.State.Phase == email.Done; {
		case done && !f.due[i].IsZero():
			c.found(KindDue, f.msg.ID, "envelope %d is done, but due", i)
		case !done && f.due[i].IsZero():
			c.found(KindDue, f.msg.ID, "envelope %d is not done, but nobody will look at it", i)
		}
	}
	if done := !f.msg.CompletedAt.IsZero(); done != f.purge {
		c.found(KindPurge, f.msg.ID, "finished: %t, but to be forgotten: %t", done, f.purge)
	}
}

func (c *checker) indexes(f *facts) {
	for _, key := range f.missing {
		if !f.msg.CompletedAt.IsZero() && slices.Contains(c.keys.supersedes(f.msg), key) {
			continue // a newer message took it out
		}
		c.found(KindIndex, f.msg.ID, "%s does not name it", key)
	}
	if status := string(f.msg.Status()); len(f.in) != 1 || f.in[0] != status {
		c.found(KindIndex, f.msg.ID, "its status is %s, but it is indexed as %q", status, f.in)
	}
	if held := f.msg.Quarantined(); held != f.quarantined {
		c.found(KindIndex, f.msg.ID, "quarantined: %t, but indexed as such: %t", held, f.quarantined)
	}
}

// history compares the lengths of the events and attempts with what was counted.
func (c *checker) history(f *facts) {
	events, attempts := 0, 0
	for _, r := range f.msg.Recipients {
		events += r.State.Seq
	}
	for _, e := range f.msg.Envelopes {
		attempts += e.State.Attempts
	}
	if int64(events) != f.events {
		c.found(KindEvents, f.msg.ID, "%d events were counted, %d are kept", events, f.events)
	}
	if int64(attempts) != f.attempts {
		c.found(KindAttempts, f.msg.ID, "%d attempts were counted, %d are kept", attempts, f.attempts)
	}
}

func (c *checker) waiting(ctx context.Context, f *facts) error {
	if c.o.Waiting == nil {
		return nil
	}
	for i, e := range f.msg.Envelopes {
		if e.State.Phase != email.Waiting || f.due[i].IsZero() {
			continue
		}
		entry := Entry{
			World: c.world, Message: f.msg.ID, Envelope: i, Class: f.msg.Class, State: e.State, ExpiresAt: f.msg.ExpiresAt,
		}
		if err := c.o.Waiting(ctx, entry, f.due[i]); err != nil {
			return err
		}
	}
	return nil
}
