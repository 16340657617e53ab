package store

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/redis/go-redis/v9"

	"postrider/internal/email"
)

// Operator is the actor of what is done on the installation itself.
const Operator = "operator"

// maxChanges is about how many changes of a world are kept.
const maxChanges = 10_000

// Change is something that a person or an app changed, and who it was. It holds no
// secret, and no address of a recipient.
type Change struct {
	World   email.World
	At      time.Time
	Actor   string // a key's id, a user of the dashboard, or Operator
	Action  string // such as api_key.created
	Object  string // the id of what was changed
	Detail  string // for people; may be empty
	Request string // the request's id, if there was one
}

// Audit is the record of changes.
type Audit struct{ rdb redis.UniversalClient }

type storedChange struct {
	At      int64  `json:"a"`
	Actor   string `json:"w"`
	Action  string `json:"x"`
	Object  string `json:"o,omitempty"`
	Detail  string `json:"d,omitempty"`
	Request string `json:"r,omitempty"`
}

// Add records a change.
func (a *Audit) Add(ctx context.Context, c Change) error {
	raw, err := json.Marshal(storedChange{toMS(c.At), c.Actor, c.Action, c.Object, c.Detail, c.Request})
	if err != nil {
		return fmt.Errorf("record %s: %w", c.Action, err)
	}
	err = a.rdb.XAdd(ctx, &redis.XAddArgs{
		Stream: auditKey(c.World), MaxLen: maxChanges, Approx: true, Values: []any{"e", raw},
	}).Err()
	if err != nil {
		return fmt.Errorf("record %s: %w", c.Action, err)
	}
	return nil
}

// List reads the latest changes of a world, newest first. What cannot be read is left out.
func (a *Audit) List(ctx context.Context, w email.World, limit int) ([]Change, error) {
	entries, err := a.rdb.XRevRangeN(ctx, auditKey(w), "+", "-", int64(limit)).Result()
	if err != nil {
		return nil, fmt.Errorf("read the record of changes: %w", err)
	}
	list := make([]Change, 0, len(entries))
	for _, e := range entries {
		var s storedChange
		raw, _ := e.Values["e"].(string)
		if err := json.Unmarshal([]byte(raw), &s); err != nil {
			continue
		}
		list = append(list, Change{w, fromMS(s.At), s.Actor, s.Action, s.Object, s.Detail, s.Request})
	}
	return list, nil
}

// Latest is List for several worlds as one. A world tells where something was done; what
// is in none, such as a user or a domain, may be found in any.
func (a *Audit) Latest(ctx context.Context, worlds []email.World, limit int) ([]Change, error) {
	var all []Change
	for _, w := range worlds {
		list, err := a.List(ctx, w, limit)
		if err != nil {
			return nil, err
		}
		all = append(all, list...)
	}
	slices.SortStableFunc(all, func(a, b Change) int { return b.At.Compare(a.At) })
	return all[:min(len(all), limit)], nil
}
