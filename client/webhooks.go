package client

import (
	"context"
	"encoding/json"
	"iter"
	"net/http"
	"net/url"
	"time"
)

// Webhook is an endpoint that is told what happens. The key of a client needs the
// scope webhooks:read or webhooks:write.
type Webhook struct {
	ID             string            `json:"id"` // wh_...
	Livemode       bool              `json:"livemode"`
	CreatedAt      time.Time         `json:"created_at"`
	UpdatedAt      time.Time         `json:"updated_at"`
	URL            string            `json:"url"` // with "redacted" in the place of a user and password
	Events         []string          `json:"events"`
	Description    string            `json:"description"`
	Headers        map[string]string `json:"headers"` // names; the values are not shown
	TagsFilter     []string          `json:"tags_filter"`
	Streams        []string          `json:"streams"`
	Deferred       string            `json:"deferred"`        // first or all: of the deferrals of a recipient
	Status         string            `json:"status"`          // enabled or disabled
	DisabledReason string            `json:"disabled_reason"` // gone or failing; empty: a caller did
	DisabledAt     time.Time         `json:"disabled_at"`
	MissedSince    time.Time         `json:"missed_since"` // what to give ReplayWebhook, if not zero
	Health         WebhookHealth     `json:"health"`

	Secret string `json:"secret,omitempty"` // only CreateWebhook gives it; see WebhookSecret

	Raw json.RawMessage `json:"-"` // the answer as it came
}

// WebhookHealth is how an endpoint has been answering.
type WebhookHealth struct {
	LastSuccessAt       time.Time `json:"last_success_at"`
	LastFailureAt       time.Time `json:"last_failure_at"`
	ConsecutiveFailures int       `json:"consecutive_failures"`
	Pending             int       `json:"pending"` // events that wait for an attempt
}

// NewWebhook is an endpoint to be made.
type NewWebhook struct {
	URL         string            `json:"url"`
	Events      []string          `json:"events"` // such as message.bounced, message.* or *
	Description string            `json:"description,omitempty"`
	Enabled     *bool             `json:"enabled,omitempty"`     // nil: true
	Headers     map[string]string `json:"headers,omitempty"`     // sent with every event
	TagsFilter  []string          `json:"tags_filter,omitempty"` // only of messages with one of these
	Streams     []string          `json:"streams,omitempty"`     // only of messages of one of these
	Deferred    string            `json:"deferred,omitempty"`    // first or all; empty: first

	IdempotencyKey string `json:"-"` // empty: a new one
}

// WebhookChange is what is to be different of an endpoint; what is nil or empty stays.
// A list that is empty but not nil is one without elements: no filter.
type WebhookChange struct {
	URL         string            `json:"url,omitempty"`
	Events      []string          `json:"events,omitzero"`
	Description *string           `json:"description,omitempty"`
	Enabled     *bool             `json:"enabled,omitempty"`
	Headers     map[string]string `json:"headers,omitzero"`
	TagsFilter  []string          `json:"tags_filter,omitzero"`
	Streams     []string          `json:"streams,omitzero"`
	Deferred    string            `json:"deferred,omitempty"`
}

// WebhookSecret is what verifies the deliveries of an endpoint.
type WebhookSecret struct {
	WebhookID         string    `json:"webhook_id"`
	Livemode          bool      `json:"livemode"`
	Secret            string    `json:"secret"`              // whsec_...
	PreviousExpiresAt time.Time `json:"previous_expires_at"` // until when the one before signs too; zero: it does not
}

// TestDelivery is one attempt with a sample.
type TestDelivery struct {
	ID           string      `json:"id"` // of the sample
	Livemode     bool        `json:"livemode"`
	CreatedAt    time.Time   `json:"created_at"`
	WebhookID    string      `json:"webhook_id"`
	Type         string      `json:"type"`
	Status       string      `json:"status"` // succeeded or failed
	StatusCode   int         `json:"status_code"`
	DurationMS   int         `json:"duration_ms"`
	Error        string      `json:"error"`
	ResponseBody string      `json:"response_body"`
	Request      WebhookPost `json:"request"`

	Raw json.RawMessage `json:"-"` // the answer as it came
}

// WebhookPost is what was sent, without its secrets.
type WebhookPost struct {
	URL     string            `json:"url"`
	Headers map[string]string `json:"headers"`
	Body    string            `json:"body"`
}

// Delivery is one event on its way to one endpoint.
type Delivery struct {
	ID             string    `json:"id"` // dlv_...
	Livemode       bool      `json:"livemode"`
	CreatedAt      time.Time `json:"created_at"`
	WebhookID      string    `json:"webhook_id"`
	EventID        string    `json:"event_id"`
	EventType      string    `json:"event_type"`
	MessageID      string    `json:"message_id"`
	Status         string    `json:"status"` // pending, succeeded or failed
	AttemptCount   int       `json:"attempt_count"`
	NextAttemptAt  time.Time `json:"next_attempt_at"`
	CompletedAt    time.Time `json:"completed_at"`
	LastStatusCode int       `json:"last_status_code"` // 0: no answer came
	LastError      string    `json:"last_error"`

	// Only the delivery read alone has these.
	Payload  json.RawMessage   `json:"payload,omitempty"` // what is posted
	Attempts []DeliveryAttempt `json:"attempts,omitempty"`

	Raw json.RawMessage `json:"-"` // the answer as it came
}

// DeliveryAttempt is one post to an endpoint.
type DeliveryAttempt struct {
	Number       int       `json:"number"`
	At           time.Time `json:"at"`
	StatusCode   int       `json:"status_code"` // 0: no answer came
	DurationMS   int       `json:"duration_ms"`
	Error        string    `json:"error"`
	ResponseBody string    `json:"response_body"`
}

// DeliveryFilter chooses deliveries: those for which everything given holds.
type DeliveryFilter struct {
	Status    string // pending, succeeded or failed
	EventType string
	MessageID string
}

// Replay says what to post again.
type Replay struct {
	Since      time.Time `json:"since"`                 // when the first event happened
	Until      time.Time `json:"until,omitzero"`        // zero: now
	Types      []string  `json:"types,omitempty"`       // of those that the endpoint wants; nil: all
	OnlyFailed *bool     `json:"only_failed,omitempty"` // nil: true

	IdempotencyKey string `json:"-"` // empty: a new one
}

// Replayed is what a replay came to.
type Replayed struct {
	WebhookID string    `json:"webhook_id"`
	Livemode  bool      `json:"livemode"`
	Count     int       `json:"count"`
	ResumeAt  time.Time `json:"resume_at"` // there is more: replay again with Since this; zero: that was all
}

const webhooksPath = "/v1/webhooks/"

// Webhooks gives the endpoints, newest first.
func (c *Client) Webhooks(ctx context.Context) iter.Seq2[*Webhook, error] {
	return list[Webhook](ctx, c, "/v1/webhooks", make(url.Values))
}

// Webhook reads an endpoint with its health.
func (c *Client) Webhook(ctx context.Context, id string) (*Webhook, error) {
	return at[Webhook](ctx, c, call{method: http.MethodGet}, webhooksPath, id, "")
}

// CreateWebhook makes an endpoint. It need not answer yet.
func (c *Client) CreateWebhook(ctx context.Context, w NewWebhook) (*Webhook, error) {
	return send[Webhook](ctx, c, call{method: http.MethodPost, path: "/v1/webhooks", body: w, key: w.IdempotencyKey})
}

// UpdateWebhook changes an endpoint.
func (c *Client) UpdateWebhook(ctx context.Context, id string, change WebhookChange) (*Webhook, error) {
	return at[Webhook](ctx, c, call{method: http.MethodPatch, body: change}, webhooksPath, id, "")
}

// DeleteWebhook removes an endpoint; what still waits for it is dropped.
func (c *Client) DeleteWebhook(ctx context.Context, id string) error {
	return c.remove(ctx, webhooksPath, id)
}

// TestWebhook posts a sample of a type of event now (empty: message.delivered) and
// tells how the endpoint answered, which may have failed without an error of the call.
func (c *Client) TestWebhook(ctx context.Context, id, eventType string) (*TestDelivery, error) {
	body := struct {
		Type string `json:"type,omitempty"`
	}{eventType}
	return at[TestDelivery](ctx, c, call{method: http.MethodPost, body: body}, webhooksPath, id, "/test")
}

// WebhookSecret reads what verifies the deliveries; the key needs webhooks:write.
func (c *Client) WebhookSecret(ctx context.Context, id string) (*WebhookSecret, error) {
	return at[WebhookSecret](ctx, c, call{method: http.MethodGet}, webhooksPath, id, "/secret")
}

// RotateWebhookSecret makes a new secret; for overlap the one before signs too.
func (c *Client) RotateWebhookSecret(ctx context.Context, id string, overlap time.Duration) (*WebhookSecret, error) {
	made := call{method: http.MethodPost, body: overlapBody{int64(overlap / time.Second)}}
	return at[WebhookSecret](ctx, c, made, webhooksPath, id, "/rotate-secret")
}

// Deliveries gives the deliveries to an endpoint, newest first.
func (c *Client) Deliveries(ctx context.Context, webhook string, f DeliveryFilter) iter.Seq2[*Delivery, error] {
	path, err := pathTo(webhooksPath, webhook, "/deliveries")
	if err != nil {
		return failed[Delivery](err)
	}
	q := make(url.Values)
	set(q, "status", f.Status)
	set(q, "event_type", f.EventType)
	set(q, "message_id", f.MessageID)
	return list[Delivery](ctx, c, path, q)
}

// Delivery reads a delivery with its payload and attempts.
func (c *Client) Delivery(ctx context.Context, webhook, id string) (*Delivery, error) {
	return c.delivery(ctx, call{method: http.MethodGet}, webhook, id, "")
}

// ReplayDelivery posts an event again at once, whatever became of it.
func (c *Client) ReplayDelivery(ctx context.Context, webhook, id string) (*Delivery, error) {
	return c.delivery(ctx, call{method: http.MethodPost, body: struct{}{}}, webhook, id, "/replay")
}

func (c *Client) delivery(ctx context.Context, made call, webhook, id, below string) (*Delivery, error) {
	above, err := pathTo(webhooksPath, webhook, "/deliveries/")
	if err != nil {
		return nil, err
	}
	return at[Delivery](ctx, c, made, above, id, below)
}

// ReplayWebhook posts what an endpoint missed: a part of it at a time, as Replayed says.
func (c *Client) ReplayWebhook(ctx context.Context, id string, r Replay) (*Replayed, error) {
	return at[Replayed](ctx, c, call{method: http.MethodPost, body: r, key: r.IdempotencyKey}, webhooksPath, id, "/replay")
}
