package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"
	"net/url"
	"time"
)

// NewSuppression is an address that mail must not go to any more.
type NewSuppression struct {
	Email     string    `json:"email"`
	Domain    string    `json:"domain,omitempty"` // only mail of this sending domain; empty: all
	Stream    string    `json:"stream,omitempty"` // only mail of this stream; empty: all
	Note      string    `json:"note,omitempty"`
	ExpiresAt time.Time `json:"expires_at,omitzero"` // zero: never

	IdempotencyKey string `json:"-"` // empty: a new one; not used by ChangeSuppressions
}

// SuppressionFilter chooses suppressions: those for which everything given holds.
type SuppressionFilter struct {
	Email        string
	Reason       string // hard_bounce, complaint, unsubscribe or manual
	Stream       string
	CreatedAfter time.Time
}

// SuppressionChange is up to 1,000 changes together.
type SuppressionChange struct {
	Add    []NewSuppression `json:"add,omitempty"`
	Remove []string         `json:"remove,omitempty"` // addresses, of which every entry goes

	IdempotencyKey string `json:"-"` // empty: a new one
}

// SuppressionsChanged is what changes came to.
type SuppressionsChanged struct {
	Livemode bool `json:"livemode"`
	Added    int  `json:"added"`
	Existing int  `json:"existing"` // stay as they were
	Removed  int  `json:"removed"`
}

// SuppressionsImported is what an import came to.
type SuppressionsImported struct {
	Livemode bool `json:"livemode"`
	Rows     int  `json:"rows"`
	Added    int  `json:"added"`
	Existing int  `json:"existing"` // stay as they were
}

const suppressionsPath = "/v1/suppressions/"

// Suppressions gives the addresses that mail does not go to, newest first.
func (c *Client) Suppressions(ctx context.Context, f SuppressionFilter) iter.Seq2[*Suppression, error] {
	q := make(url.Values)
	set(q, "email", f.Email)
	set(q, "reason", f.Reason)
	set(q, "stream", f.Stream)
	setTime(q, "created_after", f.CreatedAfter)
	return list[Suppression](ctx, c, "/v1/suppressions", q)
}

// Suppression reads an entry.
func (c *Client) Suppression(ctx context.Context, id string) (*Suppression, error) {
	return at[Suppression](ctx, c, call{method: http.MethodGet}, suppressionsPath, id, "")
}

// Suppress puts an address on the list. If the same entry is there, it is given as it is.
func (c *Client) Suppress(ctx context.Context, s NewSuppression) (*Suppression, error) {
	return send[Suppression](ctx, c, call{method: http.MethodPost, path: "/v1/suppressions", body: s, key: s.IdempotencyKey})
}

// DeleteSuppression takes an entry off the list.
func (c *Client) DeleteSuppression(ctx context.Context, id string) error {
	return c.remove(ctx, suppressionsPath, id)
}

// ChangeSuppressions adds and removes, all of it or nothing.
func (c *Client) ChangeSuppressions(ctx context.Context, s SuppressionChange) (*SuppressionsChanged, error) {
	return send[SuppressionsChanged](ctx, c, call{method: http.MethodPost, path: "/v1/suppressions/batch", body: s, key: s.IdempotencyKey})
}

// ImportSuppressions reads a CSV file whose first row names its columns: email, and any
// of reason, domain, stream, note, expires_at. If anything is wrong nothing is imported.
func (c *Client) ImportSuppressions(ctx context.Context, csv io.Reader) (*SuppressionsImported, error) {
	raw, err := io.ReadAll(io.LimitReader(csv, maxImport+1))
	if err != nil {
		return nil, fmt.Errorf("read the file: %w", err)
	}
	if len(raw) > maxImport {
		return nil, errors.New("the file is larger than 28 MiB: import it in parts")
	}
	return send[SuppressionsImported](ctx, c, call{
		method: http.MethodPost, path: "/v1/suppressions/import", body: json.RawMessage(raw), contentType: "text/csv",
	})
}

// ExportSuppressions writes the whole list as a CSV file. A file that is cut off is an
// error; the part that came is written all the same.
func (c *Client) ExportSuppressions(ctx context.Context, w io.Writer) error {
	return c.download(ctx, "/v1/suppressions/export", w)
}

const maxImport = 28 << 20
