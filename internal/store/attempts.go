package store

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"postrider/internal/email"
)

// attempt is a stored attempt; its number stands before it in the list element,
// since only the script knows it.
type attempt struct {
	Envelope    int       `json:"e,omitempty"`
	Fence       int64     `json:"f,omitempty"`
	Worker      string    `json:"w,omitempty"`
	Started     int64     `json:"a,omitempty"`
	Ended       int64     `json:"z,omitempty"`
	Provider    string    `json:"p,omitempty"`
	ReversePath string    `json:"r,omitempty"`
	Host        string    `json:"h,omitempty"`
	Address     string    `json:"i,omitempty"`
	Source      string    `json:"s,omitempty"`
	HELO        string    `json:"l,omitempty"`
	TLS         string    `json:"v,omitempty"`
	Verified    bool      `json:"vv,omitempty"`
	TLSReason   string    `json:"vr,omitempty"`
	Error       string    `json:"x,omitempty"`
	Outcomes    []outcome `json:"o,omitempty"`
	Transcript  []line    `json:"t,omitempty"`
}

type outcome struct {
	Recipient int          `json:"r,omitempty"`
	Status    email.Status `json:"s"`
	Unknown   bool         `json:"u,omitempty"`
	Reason    string       `json:"w,omitempty"`
	Detail    string       `json:"x,omitempty"`
	Category  string       `json:"c,omitempty"`
	Bounce    string       `json:"b,omitempty"`
	Next      int64        `json:"n,omitempty"`
	Reply     *reply       `json:"y,omitempty"`
}

type line struct {
	At   int64         `json:"a,omitempty"`
	From email.Speaker `json:"f"`
	Text string        `json:"t"`
}

func toAttempt(a *email.Attempt) attempt {
	out := attempt{
		Envelope: a.Envelope, Fence: a.Fence, Worker: a.Worker, Started: toMS(a.StartedAt), Ended: toMS(a.EndedAt),
		Provider: a.Provider, ReversePath: a.ReversePath, Host: a.Host, Address: a.Address, Source: a.Source, HELO: a.HELO,
		TLS: a.TLS, Verified: a.TLSVerified, TLSReason: a.TLSReason, Error: a.Error,
	}
	for _, o := range a.Outcomes {
		out.Outcomes = append(out.Outcomes, outcome{
			Recipient: o.Recipient, Status: o.Status, Unknown: o.Unknown, Reason: o.Reason, Detail: o.Detail,
			Category: o.Category, Bounce: o.Bounce, Next: toMS(o.NextAt), Reply: toReply(o.Reply),
		})
	}
	for _, l := range a.Transcript {
		out.Transcript = append(out.Transcript, line{At: toMS(l.At), From: l.From, Text: l.Text})
	}
	return out
}

func fromAttempt(a attempt, number int) email.Attempt {
	out := email.Attempt{
		Number: number, Envelope: a.Envelope, Fence: a.Fence, Worker: a.Worker, StartedAt: fromMS(a.Started), EndedAt: fromMS(a.Ended),
		Provider: a.Provider, ReversePath: a.ReversePath, Host: a.Host, Address: a.Address, Source: a.Source, HELO: a.HELO,
		TLS: a.TLS, TLSVerified: a.Verified, TLSReason: a.TLSReason, Error: a.Error,
	}
	for _, o := range a.Outcomes {
		out.Outcomes = append(out.Outcomes, email.Outcome{
			Recipient: o.Recipient, Status: o.Status, Unknown: o.Unknown, Reason: o.Reason, Detail: o.Detail,
			Category: o.Category, Bounce: o.Bounce, NextAt: fromMS(o.Next), Reply: fromReply(o.Reply),
		})
	}
	for _, l := range a.Transcript {
		out.Transcript = append(out.Transcript, email.Line{At: fromMS(l.At), From: l.From, Text: l.Text})
	}
	return out
}

func (p *packer) decodeAttempt(raw string) (email.Attempt, error) {
	digits, packed, ok := strings.Cut(raw, " ")
	number, err := strconv.Atoi(digits)
	if !ok || err != nil || number < 1 {
		return email.Attempt{}, fmt.Errorf("%w: an attempt's number", ErrBroken)
	}
	unpacked, err := p.decompress(packed, maxAttempt)
	if err != nil {
		return email.Attempt{}, fmt.Errorf("an attempt: %w", err)
	}
	var a attempt
	if err := json.Unmarshal(unpacked, &a); err != nil {
		return email.Attempt{}, fmt.Errorf("%w: an attempt: %w", ErrBroken, err)
	}
	return fromAttempt(a, number), nil
}

// maxAttempts bounds one reading of a timeline.
const maxAttempts = 1000

// Attempts lists a message's attempts in the order in which they began; of more
// than 1,000 those that ended last. One that cannot be read is left out.
// ErrNotFound if there is no such message.
func (m *Messages) Attempts(ctx context.Context, w email.World, id string) ([]email.Attempt, error) {
	return m.LastAttempts(ctx, w, id, maxAttempts, time.Time{})
}

// LastAttempts is Attempts for those that ended at a time or later, and of these the last n.
func (m *Messages) LastAttempts(ctx context.Context, w email.World, id string, n int, since time.Time) ([]email.Attempt, error) {
	keys, name, err := m.locate(w, id)
	if err != nil {
		return nil, err
	}
	var exists *redis.IntCmd
	var list *redis.StringSliceCmd
	if _, err := m.rdb.Pipelined(ctx, func(p redis.Pipeliner) error {
		exists = p.Exists(ctx, keys.record(name))
		list = p.LRange(ctx, keys.attempts(name), -int64(max(n, 1)), -1)
		return nil
	}); err != nil {
		return nil, fmt.Errorf("read attempts of %s: %w", id, err)
	}
	if exists.Val() == 0 {
		return nil, ErrNotFound
	}
	var out []email.Attempt
	for _, raw := range slices.Backward(list.Val()) {
		a, err := m.packer.decodeAttempt(raw)
		if err != nil {
			m.options.Log.ErrorContext(ctx, "an attempt cannot be read and is left out", "message", id, "error", err)
			continue
		}
		if !a.EndedAt.IsZero() && a.EndedAt.Before(since) {
			break
		}
		out = append(out, a)
	}
	slices.Reverse(out)
	// The list has them as they ended: envelopes are tried side by side.
	slices.SortStableFunc(out, func(a, b email.Attempt) int { return a.StartedAt.Compare(b.StartedAt) })
	return out, nil
}
