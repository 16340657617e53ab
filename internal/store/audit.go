package store

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"regexp"
	"slices"
	"strings"
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

// Note records a change that was made. What was done stands, whether it can be noted or
// not: then the log says so, if there is one.
func (a *Audit) Note(ctx context.Context, log *slog.Logger, c Change) {
	if err := a.Add(ctx, c); err != nil && log != nil {
		log.Error("a change was not recorded", "action", c.Action, "actor", c.Actor, "object", c.Object, "error", err)
	}
}

// placed is a change and where it stands in the record of its world.
type placed struct {
	Change
	id string
}

// read reads the changes of a world before an entry (empty: the latest), newest first.
// What cannot be read is left out.
func (a *Audit) read(ctx context.Context, w email.World, before string, limit int) ([]placed, error) {
	from := "+"
	if before != "" {
		from = "(" + before
	}
	entries, err := a.rdb.XRevRangeN(ctx, auditKey(w), from, "-", int64(limit)).Result()
	if err != nil {
		return nil, fmt.Errorf("read the record of changes: %w", err)
	}
	list := make([]placed, 0, len(entries))
	for _, e := range entries {
		var s storedChange
		raw, _ := e.Values["e"].(string)
		if err := json.Unmarshal([]byte(raw), &s); err != nil {
			continue
		}
		list = append(list, placed{Change{w, fromMS(s.At), s.Actor, s.Action, s.Object, s.Detail, s.Request}, e.ID})
	}
	return list, nil
}

// Latest reads the changes of several worlds as one list, newest first. A world tells
// where something was done; what is in none, such as a user or a domain, may be found in
// any. next gives, as before, those that follow; empty: there are none. ErrCursor.
func (a *Audit) Latest(ctx context.Context, worlds []email.World, before string, limit int) (list []Change, next string, err error) {
	at := make([]string, len(worlds)) // the entry of each world that was reached
	if before != "" {
		if at = strings.Split(before, ","); len(at) != len(worlds) || slices.ContainsFunc(at, func(id string) bool { return id != "" && !entryID.MatchString(id) }) {
			return nil, "", ErrCursor
		}
	}
	left := make([][]placed, len(worlds))
	for i, w := range worlds {
		if left[i], err = a.read(ctx, w, at[i], limit+1); err != nil {
			return nil, "", err
		}
	}
	for {
		newest := -1
		for i, l := range left {
			if len(l) > 0 && (newest < 0 || l[0].At.After(left[newest][0].At)) {
				newest = i
			}
		}
		if newest < 0 {
			return list, "", nil
		}
		if len(list) == limit {
			return list, strings.Join(at, ","), nil
		}
		list, at[newest], left[newest] = append(list, left[newest][0].Change), left[newest][0].id, left[newest][1:]
	}
}

var entryID = regexp.MustCompile(`^[0-9]{1,20}-[0-9]{1,20}$`)
