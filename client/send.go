package client

import (
	"context"
	"fmt"
	"net/http"
	"time"
)

// Send hands a mail over. Recipients that mail must not go to are no error: they
// are Suppressed in the answer.
func (c *Client) Send(ctx context.Context, m Mail) (*Accepted, error) {
	var accepted Accepted
	header, err := c.do(ctx, call{method: http.MethodPost, path: "/v1/messages", body: m.body(), key: m.IdempotencyKey}, &accepted)
	if err != nil {
		return nil, err
	}
	if accepted.ID == "" {
		return nil, fmt.Errorf("%w: it names no message", errUnreadable)
	}
	accepted.Replayed = replayed(header)
	return &accepted, nil
}

func replayed(header http.Header) bool { return header.Get("Idempotent-Replayed") == "true" }

// Cancel stops whatever is not final of a message, and tells how it stands then.
// An attempt that has handed the mail over already wins. If nothing was left to
// stop, the error has the code message_not_cancelable.
func (c *Client) Cancel(ctx context.Context, id string) (*Message, error) {
	var m Message
	path, err := messagePath(id, "/cancel")
	if err != nil {
		return nil, err
	}
	if _, err := c.do(ctx, call{method: http.MethodPost, path: path, body: struct{}{}}, &m); err != nil {
		return nil, err
	}
	return &m, nil
}

// Reschedule gives a message that is still Scheduled another time; the zero time
// sends it now.
func (c *Client) Reschedule(ctx context.Context, id string, at time.Time) (*Message, error) {
	var m Message
	path, err := messagePath(id, "")
	if err != nil {
		return nil, err
	}
	body := map[string]*time.Time{"scheduled_at": nil}
	if !at.IsZero() {
		body["scheduled_at"] = &at
	}
	if _, err := c.do(ctx, call{method: http.MethodPatch, path: path, body: body}, &m); err != nil {
		return nil, err
	}
	return &m, nil
}
