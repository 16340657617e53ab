package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"
)

// Batch is up to 500 mails that are sent with one call.
type Batch struct {
	// Partial accepts the mails without fault, whatever the others are. Otherwise it
	// is all of them or none.
	Partial bool

	// Defaults is what mails have that do not say otherwise. Its IdempotencyKey has no
	// meaning.
	Defaults Mail

	// Mails may have an IdempotencyKey each: one that was sent before under its key is
	// not sent again, even if the batch is another one.
	Mails []Mail

	// IdempotencyKey is that of the whole call. Empty is a new one.
	IdempotencyKey string
}

// BatchResults say what became of each mail, in their order.
type BatchResults struct {
	ID       string        `json:"id"` // bat_..., for Filter.BatchID
	Livemode bool          `json:"livemode"`
	Created  time.Time     `json:"created_at"`
	Accepted int           `json:"accepted"`
	Rejected int           `json:"rejected"`
	Results  []BatchResult `json:"results"`

	Replayed bool `json:"-"` // accepted before, under the same IdempotencyKey
}

// BatchResult is what became of one mail: it has either Message or Error.
type BatchResult struct {
	Message  *Accepted  `json:"message"`
	Error    *Rejection `json:"error"`
	Replayed bool       `json:"replayed"` // accepted before, under the mail's IdempotencyKey
}

// Rejection is why a mail of a batch was not accepted.
type Rejection struct {
	Code   string  `json:"code"`
	Detail string  `json:"detail"`
	Errors []Fault `json:"errors"`

	Missing []string `json:"missing"` // variables of a template that were not given
}

// Error names every fault.
func (r *Rejection) Error() string {
	return (&Error{Code: r.Code, Detail: r.Detail, Errors: r.Errors}).Error()
}

type batchBody struct {
	Mode     string     `json:"mode"`
	Defaults mailBody   `json:"defaults"`
	Messages []mailBody `json:"messages"`
}

// SendBatch hands mails over together. With Partial, look at the results: some may
// have been rejected without an error of the call. If all of them are, that is an
// error (batch_rejected), and the results are there beside it.
func (c *Client) SendBatch(ctx context.Context, b Batch) (*BatchResults, error) {
	body := batchBody{Mode: "atomic", Defaults: b.Defaults.body(), Messages: make([]mailBody, len(b.Mails))}
	if b.Partial {
		body.Mode = "partial"
	}
	for i := range b.Mails {
		body.Messages[i] = b.Mails[i].body()
		body.Messages[i].IdempotencyKey = b.Mails[i].IdempotencyKey
	}
	var results BatchResults
	header, err := c.do(ctx, call{method: http.MethodPost, path: "/v1/messages/batch", body: body, key: b.IdempotencyKey}, &results)
	if err != nil {
		return rejected(err), err
	}
	if len(results.Results) != len(b.Mails) {
		return nil, fmt.Errorf("%w: it tells of %d mails, not %d", errUnreadable, len(results.Results), len(b.Mails))
	}
	results.Replayed = replayed(header)
	return &results, nil
}

// rejected is the results of a batch of which nothing was accepted.
func rejected(err error) *BatchResults {
	var refused *Error
	var results BatchResults
	if !errors.As(err, &refused) || refused.Code != "batch_rejected" || json.Unmarshal(refused.Body, &results) != nil {
		return nil
	}
	results.Rejected = len(results.Results)
	return &results
}

// Preview is what would become of a mail.
type Preview struct {
	Subject    string             `json:"subject"`
	HTML       string             `json:"html"`
	Text       string             `json:"text"` // as given, or as made from HTML
	SizeBytes  int64              `json:"size_bytes"`
	Recipients []PreviewRecipient `json:"recipients"`
	Warnings   []Warning          `json:"warnings"`
}

// PreviewRecipient is what would become of a recipient.
type PreviewRecipient struct {
	Email  string `json:"email"`
	Type   string `json:"type"`  // to, cc or bcc
	Would  string `json:"would"` // send or suppress
	Reason string `json:"reason"`
}

// Warning is something that is allowed, but likely not meant.
type Warning struct {
	Code   string `json:"code"`
	Detail string `json:"detail"`
}

// Preview checks a mail as Send does, and sends nothing.
func (c *Client) Preview(ctx context.Context, m Mail) (*Preview, error) {
	var p Preview
	query := url.Values{"dry_run": {"true"}}
	if _, err := c.do(ctx, call{method: http.MethodPost, path: "/v1/messages", query: query, body: m.body()}, &p); err != nil {
		return nil, err
	}
	return &p, nil
}
