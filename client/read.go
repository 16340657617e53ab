package client

import (
	"context"
	"errors"
	"iter"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// Get reads a message as it stands.
func (c *Client) Get(ctx context.Context, id string) (*Message, error) {
	var m Message
	path, err := messagePath(id, "")
	if err != nil {
		return nil, err
	}
	if _, err := c.do(ctx, call{method: http.MethodGet, path: path}, &m); err != nil {
		return nil, err
	}
	return &m, nil
}

// messagePath is a path below a message. An id from elsewhere cannot lead to
// another path.
func messagePath(id, below string) (string, error) {
	if id == "" || id == "." || id == ".." {
		return "", errors.New("a message's id is needed, such as GET /v1/messages lists them")
	}
	return "/v1/messages/" + url.PathEscape(id) + below, nil
}

// Filter chooses messages: those for which everything given holds.
type Filter struct {
	Recipient     string
	From          string
	Status        Status
	Tags          []string // all of them
	Stream        string
	BatchID       string
	Template      string // id, or alias of one that is there
	CreatedAfter  time.Time
	CreatedBefore time.Time
}

func (f Filter) query() url.Values {
	q := make(url.Values)
	set(q, "recipient", f.Recipient)
	set(q, "from", f.From)
	set(q, "status", string(f.Status))
	set(q, "stream", f.Stream)
	set(q, "batch_id", f.BatchID)
	set(q, "template", f.Template)
	for _, tag := range f.Tags {
		q.Add("tag", tag)
	}
	setTime(q, "created_after", f.CreatedAfter)
	setTime(q, "created_before", f.CreatedBefore)
	return q
}

// List gives the messages that a filter chooses, newest first, and reads them page
// by page as the loop goes on. After an error there is nothing more.
func (c *Client) List(ctx context.Context, f Filter) iter.Seq2[*Message, error] {
	return list[Message](ctx, c, "/v1/messages", f.query())
}

// Events gives what happened to a message, oldest first. Each event is one change
// of one recipient.
func (c *Client) Events(ctx context.Context, id string) iter.Seq2[*Event, error] {
	path, err := messagePath(id, "/events")
	if err != nil {
		return failed[Event](err)
	}
	return list[Event](ctx, c, path, make(url.Values))
}

// Attempts gives the attempts to deliver a message, oldest first, each with its
// SMTP dialogue. The key needs the scope messages:read_content.
func (c *Client) Attempts(ctx context.Context, id string) ([]Attempt, error) {
	var p Page[Attempt]
	path, err := messagePath(id, "/attempts")
	if err != nil {
		return nil, err
	}
	if _, err := c.do(ctx, call{method: http.MethodGet, path: path}, &p); err != nil {
		return nil, err
	}
	return p.Data, nil
}

// LogFilter chooses events of the log: those for which everything given holds.
type LogFilter struct {
	Type         string // such as message.bounced
	MessageID    string // msg_...
	Recipient    string
	CreatedAfter time.Time
	Wait         time.Duration // for an event if there is none yet; at most 20 s
}

// Page is a part of a list.
type Page[T any] struct {
	Data       []T    `json:"data"`
	HasMore    bool   `json:"has_more"`
	NextCursor string `json:"next_cursor"` // where the next page begins
}

// Log reads a page of the log of all events, oldest first; an empty cursor is its
// beginning. Whoever keeps NextCursor, handles the page and goes on from there
// misses nothing, also after a restart: its place is in the log, not in time.
func (c *Client) Log(ctx context.Context, f LogFilter, cursor string) (*Page[Event], error) {
	q := make(url.Values)
	set(q, "type", f.Type)
	set(q, "message_id", f.MessageID)
	set(q, "recipient", f.Recipient)
	set(q, "cursor", cursor)
	setTime(q, "created_after", f.CreatedAfter)
	q.Set("limit", pageSize)
	if f.Wait > 0 {
		q.Set("wait", strconv.FormatInt(int64((f.Wait+time.Second-1)/time.Second), 10))
	}
	var p Page[Event]
	if _, err := c.do(ctx, call{method: http.MethodGet, path: "/v1/events", query: q}, &p); err != nil {
		return nil, err
	}
	return &p, nil
}

// failed is a list that cannot be read.
func failed[T any](err error) iter.Seq2[*T, error] {
	return func(yield func(*T, error) bool) { yield(nil, err) }
}

const pageSize = "100"

// list follows a list from page to page.
func list[T any](ctx context.Context, c *Client, path string, q url.Values) iter.Seq2[*T, error] {
	return func(yield func(*T, error) bool) {
		cursor := ""
		for {
			query := make(url.Values, len(q)+2)
			for name, values := range q {
				query[name] = values
			}
			query.Set("limit", pageSize)
			set(query, "cursor", cursor)
			var p Page[T]
			if _, err := c.do(ctx, call{method: http.MethodGet, path: path, query: query}, &p); err != nil {
				yield(nil, err)
				return
			}
			for i := range p.Data {
				if !yield(&p.Data[i], nil) {
					return
				}
			}
			// A cursor that does not move would be read for ever.
			if !p.HasMore || p.NextCursor == "" || p.NextCursor == cursor {
				return
			}
			cursor = p.NextCursor
		}
	}
}

func set(q url.Values, name, value string) {
	if value != "" {
		q.Set(name, value)
	}
}

func setTime(q url.Values, name string, at time.Time) {
	if !at.IsZero() {
		q.Set(name, at.UTC().Format(time.RFC3339Nano))
	}
}
