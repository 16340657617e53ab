// Package sign makes the octets that go over the wire for one envelope: the composed
// mail with its DKIM signatures, the same ones each time.
//
// It chooses the keys: those whose record was seen in DNS, and once an attempt was
// marked exactly those that it signed with. It does not say what a mail looks like
// (package compose) nor how a signature is made (package dkim, RFC 6376).
//
//	mail, err := sign.Envelope(ctx, domains, sign.Order{Message: m, Envelope: 0, Content: c})
//	_ = mail.Data
package sign

import (
	"context"
	"errors"
	"fmt"
	"time"

	"postrider/internal/compose"
	"postrider/internal/dkim"
	"postrider/internal/email"
	"postrider/internal/store"
)

// slack is how long a signature outlives the message: a receiver may keep the mail in
// its own queue for a while before it looks.
const slack = 7 * 24 * time.Hour

// ErrUnfit marks a fault of the message or its keys that no waiting mends.
var ErrUnfit = errors.New("cannot be sent as it is")

// Signer gives the keys to sign with; *domains.Domains does.
type Signer interface {
	Keys(ctx context.Context, domain string, selectors []string) ([]dkim.Key, error)
}

// Order is what is to be made. Envelope -1 is a message without one, whose
// recipients were all suppressed.
type Order struct {
	Message  *email.Message
	Envelope int
	Content  *email.Content
	// Composed is the mail that Message and Content make, if it is at hand.
	Composed []byte
}

// Mail is a mail ready to be sent.
type Mail struct {
	Data      []byte
	Selectors []string // "domain/selector" of each signature, never nil
}

// Envelope makes the mail of an envelope. Errors wrap ErrUnfit, or are those of the
// signer.
func Envelope(ctx context.Context, s Signer, o Order) (*Mail, error) {
	data, err := o.compose()
	if err != nil {
		return nil, err
	}
	keys, err := o.keys(ctx, s)
	if err != nil {
		return nil, err
	}
	mail := &Mail{Data: data, Selectors: make([]string, 0, len(keys))}
	for _, k := range keys {
		mail.Selectors = append(mail.Selectors, k.Domain+"/"+k.Selector)
	}
	if len(keys) == 0 {
		return mail, nil
	}
	// RFC 6376 8.6: x= bounds a replay; t= is stored time, so that a retry signs alike.
	if mail.Data, err = dkim.Sign(data, keys, o.Message.Due(), o.Message.ExpiresAt.Add(slack)); err != nil {
		return nil, fmt.Errorf("%w: sign: %w", ErrUnfit, err)
	}
	return mail, nil
}

func (o Order) compose() ([]byte, error) {
	switch {
	case o.Composed != nil:
		return o.Composed, nil
	case o.Content == nil:
		return nil, fmt.Errorf("%w: its content is gone", ErrUnfit)
	}
	data, err := compose.Message(o.Message, o.Content)
	if err != nil {
		return nil, fmt.Errorf("%w: compose: %w", ErrUnfit, err)
	}
	return data, nil
}

func (o Order) keys(ctx context.Context, s Signer) ([]dkim.Key, error) {
	domain := o.Message.From.Domain()
	if o.Envelope < 0 || !o.Message.Envelopes[o.Envelope].State.Signed {
		keys, err := s.Keys(ctx, domain, nil)
		if errors.Is(err, store.ErrNotFound) {
			return nil, nil // a domain without keys of its own
		}
		return keys, err
	}
	want := o.Message.Envelopes[o.Envelope].State.Selectors
	if len(want) == 0 {
		return nil, nil
	}
	keys, err := s.Keys(ctx, domain, want)
	switch {
	case errors.Is(err, store.ErrNotFound), err == nil && len(keys) != len(want):
		return nil, fmt.Errorf("%w: a key that it was signed with is gone", ErrUnfit)
	case err != nil:
		return nil, fmt.Errorf("keys of %s: %w", domain, err)
	}
	return keys, nil
}
