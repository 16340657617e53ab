package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/redis/go-redis/v9"

	"postrider/internal/email"
)

// event is a stored event. The head is written by Lua (prelude.go) from what
// only the script knows, the tail is made in Go.
type event struct {
	ID        string       `json:"i"` // 26 characters
	At        int64        `json:"a"`
	Recipient int          `json:"r"`
	Status    email.Status `json:"s"`
	Previous  email.Status `json:"p,omitempty"`
	Seq       int          `json:"q"`
	Attempts  int          `json:"k,omitempty"`
	Next      int64        `json:"n,omitempty"`
	Reason    string       `json:"w,omitempty"`
	eventTail
}

type eventTail struct {
	Type     email.EventType `json:"t,omitempty"` // absent: message.<status>
	Detail   string          `json:"x,omitempty"`
	Category string          `json:"c,omitempty"`
	Bounce   string          `json:"b,omitempty"`
	Source   string          `json:"o,omitempty"`
	Reply    *reply          `json:"y,omitempty"`
	Suppress int             `json:"h,omitempty"` // 1: the recipient is to be suppressed
}

// members returns those of a JSON object without braces, empty if there is none.
func members(object any) (string, error) {
	raw, err := json.Marshal(object)
	return strings.TrimSuffix(strings.TrimPrefix(string(raw), "{"), "}"), err
}

func decodeEvent(raw string) (email.Event, error) {
	var e event
	if err := json.Unmarshal([]byte(raw), &e); err != nil {
		return email.Event{}, fmt.Errorf("%w: an event: %w", ErrBroken, err)
	}
	if e.Recipient < 0 {
		return email.Event{}, fmt.Errorf("%w: an event's recipient", ErrBroken)
	}
	if e.Type == "" {
		e.Type = email.TypeFor(e.Status)
	}
	return email.Event{
		ID: email.EventPrefix + "_" + e.ID, Type: e.Type, At: fromMS(e.At), Recipient: e.Recipient, Status: e.Status,
		Previous: e.Previous, Seq: e.Seq, Attempts: e.Attempts, Reason: e.Reason, Detail: e.Detail, Category: e.Category,
		Bounce: e.Bounce, Source: e.Source, NextAt: fromMS(e.Next), Reply: fromReply(e.Reply),
		Suppress: e.Suppress == 1,
	}, nil
}

// eventBase is the id of the first event of a script's run; the script numbers
// the others by two characters of its random part (1,024 at most).
func eventBase() string {
	return strings.TrimPrefix(email.NewID(email.EventPrefix), email.EventPrefix+"_")
}

// Events lists a message's events from position after (0: the first), at most
// limit, oldest first; next is the position to go on from, 0 at the end.
// Errors: ErrNotFound, ErrCursor for a negative position.
func (m *Messages) Events(ctx context.Context, w email.World, id string, after, limit int) (events []email.Event, next int, err error) {
	if after < 0 || limit < 1 {
		return nil, 0, ErrCursor
	}
	keys, name, err := m.locate(w, id)
	if err != nil {
		return nil, 0, err
	}
	var exists *redis.IntCmd
	var list *redis.StringSliceCmd
	if _, err := m.rdb.Pipelined(ctx, func(p redis.Pipeliner) error {
		exists = p.Exists(ctx, keys.record(name))
		list = p.LRange(ctx, keys.events(name), int64(after), int64(after)+int64(limit)) // one more than asked for
		return nil
	}); err != nil {
		return nil, 0, fmt.Errorf("read events of %s: %w", id, err)
	}
	if exists.Val() == 0 {
		return nil, 0, ErrNotFound
	}
	for i, raw := range list.Val() {
		if i == limit {
			return events, after + limit, nil
		}
		e, err := decodeEvent(raw)
		if err != nil {
			return nil, 0, errors.Join(fmt.Errorf("read event %d of %s", after+i, id), err)
		}
		events = append(events, e)
	}
	return events, 0, nil
}
