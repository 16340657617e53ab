package intake

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"postrider/internal/email"
	"postrider/internal/store"
)

// Rights are what the key that a message came with allows. The zero value allows all.
type Rights struct {
	FromDomains      []string // A-labels; nil: all
	Paused           bool
	RecipientsPerDay int // 0: any number
}

// FromNotAllowed is a From address at a domain that the key may not send from.
type FromNotAllowed struct{ Domain string }

// QuotaExceeded is a message to more recipients than the key's day has left.
type QuotaExceeded struct {
	Limit    int
	ResetsAt time.Time
	Wait     time.Duration
}

// ErrPaused: the key's sending is paused.
var ErrPaused = errors.New("the sending of this key is paused")

func (e *FromNotAllowed) Error() string { return "the key may not send from the From domain" }

func (e *QuotaExceeded) Error() string {
	return fmt.Sprintf("the key's quota of %d recipients a day is used up", e.Limit)
}

// allow refuses what the key may not do.
func (r Rights) allow(m *email.Message) error {
	if r.Paused {
		return ErrPaused
	}
	if domain := m.From.Domain(); r.FromDomains != nil && !slices.Contains(r.FromDomains, domain) {
		return &FromNotAllowed{Domain: domain}
	}
	return nil
}

// keepWithin is keepListed within the quota of the key. What is not kept now, or was
// before, costs none of it.
func (d *Desk) keepWithin(ctx context.Context, r Rights, s *ready) (*email.Message, bool, error) {
	n := len(s.Message.Recipients)
	release, err := d.takeQuota(ctx, s.Message.World, s.Message.KeyID, r, n)
	if err != nil {
		return nil, false, err
	}
	msg, replayed, err := d.keepListed(ctx, s)
	if err != nil && !errors.Is(err, store.ErrUnavailable) || replayed {
		release(n)
	}
	return msg, replayed, err
}

// takeQuota takes recipients of a key's day. release gives some of them back.
func (d *Desk) takeQuota(ctx context.Context, w email.World, key string, r Rights, recipients int) (release func(int), err error) {
	if r.RecipientsPerDay == 0 {
		return func(int) {}, nil
	}
	now, quotas := d.options.Now(), d.options.Store.Quotas
	ok, err := quotas.Take(ctx, w, key, recipients, r.RecipientsPerDay, now)
	switch {
	case err != nil:
		return nil, err
	case !ok:
		resets := store.QuotaResets(now)
		return nil, &QuotaExceeded{Limit: r.RecipientsPerDay, ResetsAt: resets, Wait: resets.Sub(now)}
	}
	return func(n int) {
		if n == 0 {
			return
		}
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), commitTimeout)
		defer cancel()
		if _, err := quotas.Take(ctx, w, key, -n, r.RecipientsPerDay, now); err != nil {
			d.options.Log.Warn("recipients were not given back to the quota of a key", "key", key, "recipients", n, "error", err)
		}
	}, nil
}
