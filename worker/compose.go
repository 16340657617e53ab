package worker

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"postrider/internal/compose"
	"postrider/internal/dkim"
	"postrider/internal/store"
	"postrider/smtpclient"
)

// signatureSlack is how long a signature outlives the message: a receiver may keep
// the mail in its own queue for a while before it looks.
const signatureSlack = 7 * 24 * time.Hour

// errUnfit marks a fault of the message or its keys that no waiting mends.
var errUnfit = errors.New("cannot be sent as it is")

// compose makes the transaction: the same bytes on every attempt.
func (d *delivery) compose(ctx context.Context) (*smtpclient.Mail, error) {
	if d.content == nil {
		return nil, fmt.Errorf("%w: its content is gone", errUnfit)
	}
	data, err := compose.Message(d.m, d.content)
	if err != nil {
		return nil, fmt.Errorf("%w: compose: %w", errUnfit, err)
	}
	keys, err := d.keys(ctx)
	if err != nil {
		return nil, err
	}
	if len(keys) > 0 {
		// RFC 6376 8.6: x= bounds a replay; t= is stored time, so that a retry signs alike.
		if data, err = dkim.Sign(data, keys, d.m.Due(), d.m.ExpiresAt.Add(signatureSlack)); err != nil {
			return nil, fmt.Errorf("%w: sign: %w", errUnfit, err)
		}
	}
	mail := &smtpclient.Mail{From: d.env.ReversePath, Data: data, Mark: d.mark(keys)}
	for _, i := range d.to {
		mail.To = append(mail.To, d.m.Recipients[i].Address.Email)
	}
	return mail, nil
}

// keys are those whose record was seen in DNS, and once an attempt was marked
// exactly those that it signed with.
func (d *delivery) keys(ctx context.Context) ([]dkim.Key, error) {
	domain := d.m.From.Email[strings.LastIndexByte(d.m.From.Email, '@')+1:]
	if !d.env.State.Signed {
		keys, err := d.w.o.Signer.Keys(ctx, domain, nil)
		if errors.Is(err, store.ErrNotFound) {
			return nil, nil // a domain without keys of its own
		}
		return keys, err
	}
	want := d.env.State.Selectors
	if len(want) == 0 {
		return nil, nil
	}
	keys, err := d.w.o.Signer.Keys(ctx, domain, want)
	switch {
	case errors.Is(err, store.ErrNotFound), err == nil && len(keys) != len(want):
		return nil, fmt.Errorf("%w: a key that it was signed with is gone", errUnfit)
	case err != nil:
		return nil, fmt.Errorf("keys of %s: %w", domain, err)
	}
	return keys, nil
}

// mark is called before the final dot may leave: the point of no return.
func (d *delivery) mark(keys []dkim.Key) func(context.Context, []int) error {
	selectors := make([]string, 0, len(keys))
	for _, k := range keys {
		selectors = append(selectors, k.Domain+"/"+k.Selector)
	}
	return func(ctx context.Context, accepted []int) error {
		recipients := make([]int, 0, len(accepted))
		for _, i := range accepted {
			recipients = append(recipients, d.to[i])
		}
		return d.w.o.Store.Messages.Mark(ctx, d.claim, recipients, selectors, d.w.o.Now())
	}
}
