// Package intake is the one way into Postrider, whichever door a message comes
// through: it checks all of it, groups its recipients into envelopes, keeps it
// in the store and wakes its deliveries.
//
// It is not a door: it reads no JSON and no HTTP (package api does), and it sends
// nothing (package worker does). A message that it took has no fault that could
// have been known (api.md 3): addresses after RFC 5321 4.1.2 and RFC 5322 3.4,
// header fields after RFC 5322 2.2, content types after RFC 2045 5.1. Every fault
// is named at once, by a JSON Pointer (RFC 6901), and never repeats the value.
//
//	desk := intake.New(intake.Options{Store: st, Queue: q, Domains: domains, Marks: marks})
//	msg, replayed, err := desk.Accept(ctx, intake.Request{World: email.Live, Draft: draft})
//	var invalid *intake.Invalid
//	if errors.As(err, &invalid) {
//		return invalid.Faults
//	}
package intake

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"time"

	"postrider/internal/compose"
	"postrider/internal/email"
	"postrider/internal/library"
	"postrider/internal/queue"
	"postrider/internal/store"
)

const (
	// commitTimeout bounds keeping and enqueueing, which do not end with the request.
	commitTimeout = 15 * time.Second
	// enqueueWithin is how soon a message must be due to be enqueued here and not
	// by the sweeper (DESIGN.md 2, row 4).
	enqueueWithin = 2 * time.Minute
	// transactional is the stream of a message that names none.
	transactional = "transactional"
)

// Desk is the one way in, whichever door. It is safe for concurrent use.
type Desk struct {
	options Options
	library *library.Library
}

// Options is what a Desk works with.
type Options struct {
	Store   *store.Store
	Queue   Adder
	Domains Verifier
	Marks   Marker
	// ReturnPathDomain is the host of reverse-paths of mail whose From domain has
	// no host of its own for them.
	ReturnPathDomain string
	RequireVerified  bool // POSTRIDER_REQUIRE_VERIFIED_DOMAINS, for live keys
	AllowReserved    bool // POSTRIDER_ALLOW_RESERVED_DOMAINS
	PerRecipient     bool // POSTRIDER_ENVELOPE=recipient
	Limits           Limits
	// Streams are the streams that messages may name, each with its queue. Nil:
	// "transactional" alone, in [queue.Default].
	Streams map[string]string
	// Simulator reports whether an address is at sandbox.test; err says to the
	// caller, without repeating it, that it names no simulator. Nil: all do.
	Simulator func(address string) (is bool, err error)
	// Presuppressed reports whether an address is a simulator of one that is suppressed.
	// Nil: none is.
	Presuppressed func(address string) bool
	// FeedbackSender is the last part of every mail's Feedback-ID. Empty: no such field.
	FeedbackSender string
	Log            *slog.Logger     // nil: none
	Now            func() time.Time // nil: time.Now
}

// Adder wakes a delivery; *queue.Client does.
type Adder interface {
	Add(ctx context.Context, class string, d queue.Delivery, at time.Time) error
}

// Verifier knows the sending domains; *domains.Domains does.
type Verifier interface {
	Verified(ctx context.Context, name string) (ok bool, returnPath string, err error)
	// ID is empty for a domain that was never added.
	ID(ctx context.Context, name string) (string, error)
}

// Marker makes reverse-paths; *track.Marks does.
type Marker interface {
	ReversePath(messageID string, envelope int, domain string) (string, error)
}

// New opens a desk.
func New(o Options) *Desk {
	o.Limits = o.Limits.orDefaults()
	if o.Streams == nil {
		o.Streams = map[string]string{transactional: queue.Default}
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Simulator == nil {
		o.Simulator = func(string) (bool, error) { return false, nil }
	}
	if o.Presuppressed == nil {
		o.Presuppressed = func(string) bool { return false }
	}
	return &Desk{options: o, library: library.New(o.Store, o.Log)}
}

// Library is the templates that messages are made from.
func (d *Desk) Library() *library.Library { return d.library }

// Limits are those that the desk holds to.
func (d *Desk) Limits() Limits { return d.options.Limits }

// Streams are the names of those that messages may name.
func (d *Desk) Streams() []string { return slices.Sorted(maps.Keys(d.options.Streams)) }

// Request is one message to accept.
type Request struct {
	World          email.World
	KeyID          string
	Rights         Rights
	IdempotencyKey string // empty: none
	Fingerprint    [32]byte
	Draft          Draft
	Faults         []Fault // found while decoding; a member with a fault is not checked again

	rendering *rendering // of the batch that it is in
}

// Accept checks everything and keeps the message. When it returns without error the
// message is safe, even if ctx ends meanwhile. replayed is true if the
// Idempotency-Key had been used for the same request: then msg is the message of
// that time. Errors: *[Invalid] (all faults), *[NotVerified], *[TemplateRefused], *[TooLarge],
// [store.ErrIdempotencyReused], else internal.
func (d *Desk) Accept(ctx context.Context, r Request) (msg *email.Message, replayed bool, err error) {
	s, err := d.prepare(ctx, &r, d.options.Store.Messages.ShardFor(r.World, r.IdempotencyKey))
	if err != nil {
		return nil, false, err
	}
	return d.keepWithin(ctx, r.Rights, s)
}

// prepare checks a request and makes of it what is kept. Errors: as Accept.
func (d *Desk) prepare(ctx context.Context, r *Request, shard uint8) (*ready, error) {
	c := d.check(r)
	if faults := c.faults.all(); len(faults) > 0 {
		return nil, &Invalid{Faults: faults}
	}
	returnPath, err := d.sender(ctx, r, c)
	if err != nil {
		return nil, err
	}
	if c.encoded > d.options.Limits.MessageBytes {
		return nil, &TooLarge{Limit: d.options.Limits.MessageBytes, Actual: c.encoded}
	}
	if err := c.decodeAttachments(); err != nil {
		return nil, err
	}
	if c.generateText {
		c.content.Text = compose.Text(c.content.HTML)
	}
	c.msg.ID = email.NewMessageID(shard)
	s := &store.Submission{Message: c.msg, Content: c.content, IdempotencyKey: r.IdempotencyKey, Fingerprint: r.Fingerprint}
	return &ready{checker: c, returnPath: returnPath, Submission: s}, nil
}

// sender looks at the From address, and makes the content if that is left to a template:
// the address, if the request has it, counts before the template (api.md 3.3).
func (d *Desk) sender(ctx context.Context, r *Request, c *checker) (returnPath string, err error) {
	look := func() error {
		if err := r.Rights.allow(c.msg); err != nil {
			return err
		}
		returnPath, err = d.returnPath(ctx, c.msg)
		return err
	}
	first := c.draft.Template == nil || c.draft.From != nil
	if first {
		err = look()
	}
	if err == nil && c.draft.Template != nil {
		err = d.fromTemplate(ctx, r, c)
	}
	if err == nil && !first {
		err = look()
	}
	return returnPath, err
}

// ready is a message that has no fault, and is complete once the suppressions of its
// recipients are known.
type ready struct {
	*store.Submission
	checker    *checker
	returnPath string
}

// keepListed completes and keeps a message. Most recipients are on no list: the first
// try supposes that none is, and the store says if it knows better.
func (d *Desk) keepListed(ctx context.Context, r *ready) (*email.Message, bool, error) {
	for range listTries {
		if err := d.complete(r.checker, r.returnPath, r.Listed); err != nil {
			return nil, false, err
		}
		r.Composed = r.checker.composed
		msg, replayed, err := d.keep(ctx, r.Submission)
		var changed *store.ListChanged
		if !errors.As(err, &changed) {
			return msg, replayed, err
		}
		r.Listed = changed.Listed
	}
	return nil, false, errors.New("keep the message: its recipients' suppressions keep changing")
}

// completed completes a message that is not kept by keepListed. Suppressions that
// change meanwhile are found before its first attempt.
func (d *Desk) completed(ctx context.Context, r *ready) (*store.Submission, error) {
	listed, err := d.options.Store.Messages.Listed(ctx, r.Message)
	if err != nil {
		return nil, err
	}
	r.Listed = listed[0]
	return r.Submission, d.complete(r.checker, r.returnPath, r.Listed)
}

// listTries bounds how often a message is judged anew by suppressions that changed.
const listTries = 20

// Replay answers an Idempotency-Key that was used before: nil if it was not (the
// read of api.md 3.3, before the schema). [store.ErrIdempotencyReused] if it was
// used for another request.
func (d *Desk) Replay(ctx context.Context, w email.World, key string, fingerprint [32]byte) (*email.Message, error) {
	return d.options.Store.Messages.Replay(ctx, w, key, fingerprint)
}

// returnPath finds the host of the message's reverse-paths and refuses a From
// domain that must be verified and is not.
func (d *Desk) returnPath(ctx context.Context, m *email.Message) (string, error) {
	domain := m.From.Domain()
	ok, own, err := d.options.Domains.Verified(ctx, domain)
	switch {
	case err != nil:
		return "", fmt.Errorf("look up the domain %s: %w", domain, err)
	case !ok && m.World.Livemode() && d.options.RequireVerified:
		id, err := d.options.Domains.ID(ctx, domain)
		if err != nil {
			return "", fmt.Errorf("look up the domain %s: %w", domain, err)
		}
		return "", &NotVerified{Domain: domain, DomainID: id}
	case ok && own != "":
		return own, nil
	}
	return d.options.ReturnPathDomain, nil
}

// complete fills in what follows from the message's id and the suppressions of its
// recipients: times, envelopes, size.
func (d *Desk) complete(c *checker, returnPath string, listed store.Listed) error {
	m := c.msg
	id, err := email.ParseID(email.MessagePrefix, m.ID)
	if err != nil {
		return fmt.Errorf("read the id just made: %w", err)
	}
	m.CreatedAt = email.IDTime(id)
	if !m.ScheduledAt.After(m.CreatedAt) {
		m.ScheduledAt = time.Time{}
	}
	m.ExpiresAt = m.Due().Add(c.ttl)
	if m.MessageID == "" { // a raw mail may have one
		m.MessageID = "<" + m.ID + "@" + m.From.Domain() + ">"
	}
	if sender := d.options.FeedbackSender; sender != "" {
		m.FeedbackID = m.FeedbackOf(sender)
	}
	if err := d.suppress(m, listed); err != nil {
		return err
	}
	group(m, d.options.PerRecipient)
	for i := range m.Envelopes {
		m.Envelopes[i].ReversePath, err = d.options.Marks.ReversePath(m.ID, i, returnPath)
		if err != nil {
			return fmt.Errorf("mark envelope %d of %s: %w", i, m.ID, err)
		}
	}
	if c.composed, err = compose.Message(m, c.content); err != nil {
		return fmt.Errorf("compose %s: %w", m.ID, err)
	}
	m.SizeBytes = int64(len(c.composed))
	if m.SizeBytes > d.options.Limits.MessageBytes {
		return &TooLarge{Limit: d.options.Limits.MessageBytes, Actual: m.SizeBytes}
	}
	return nil
}

// keep stores the message and wakes its deliveries. A caller who hangs up must not
// stop it halfway.
func (d *Desk) keep(ctx context.Context, s *store.Submission) (*email.Message, bool, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), commitTimeout)
	defer cancel()
	msg, replayed, err := d.options.Store.Messages.Accept(ctx, s)
	if err != nil {
		return nil, false, fmt.Errorf("keep the message: %w", err)
	}
	// After a replay too: the first request may have ended before this.
	if err := d.options.Store.Messages.Supersede(ctx, d.options.Now(), msg); err != nil {
		return nil, false, fmt.Errorf("supersede older messages: %w", err)
	}
	if !replayed {
		d.wake(ctx, msg, msg.CreatedAt)
	}
	return msg, replayed, nil
}

// wake enqueues the envelopes of a message that is due soon. A failure is no error
// of the caller's: the sweeper finds what was not enqueued.
func (d *Desk) wake(ctx context.Context, m *email.Message, now time.Time) {
	due := m.Due()
	// Measured as the store does, so that each envelope is one side's to wake.
	if due.Sub(now) > enqueueWithin {
		return
	}
	for i, e := range m.Envelopes {
		if e.State.Phase != email.Waiting {
			continue
		}
		job := queue.Delivery{World: m.World, Message: m.ID, Envelope: i, Generation: e.State.Generation}
		if err := d.options.Queue.Add(ctx, m.Class, job, due); err != nil {
			// The next one would fail, or wait, likewise.
			d.options.Log.Warn("not enqueued, left to the sweeper", "message", m.ID, "envelope", i, "of", len(m.Envelopes), "error", err)
			return
		}
	}
}
