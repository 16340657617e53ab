package intake

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"postrider/internal/email"
	"postrider/internal/store"
)

// sandboxDomain is where the simulator addresses live (api.md 17.2).
const sandboxDomain = "sandbox.test"

func (c *checker) from() {
	if c.draft.From == nil {
		if !c.faults.touched("#/from") && !c.usesTemplate() {
			c.faults.add("#/from", Required, "is required")
		}
		return
	}
	c.msg.From, _ = c.mailbox(*c.draft.From, "#/from")
}

func (c *checker) replyTo() {
	for i, m := range bounded(c, "#/reply_to", c.draft.ReplyTo, c.desk.options.Limits.ReplyTo) {
		if a, ok := c.mailbox(m, Pointer("reply_to", strconv.Itoa(i))); ok {
			c.msg.ReplyTo = append(c.msg.ReplyTo, a)
		}
	}
}

// recipients takes to, cc and bcc. Of duplicates the first wins, silently.
func (c *checker) recipients() {
	if len(c.draft.To) == 0 && !c.faults.touched("#/to") {
		c.faults.add("#/to", Required, "is required: at least one recipient")
	}
	seen := make(map[string]bool)
	c.recipientList(email.To, c.draft.To, &c.msg.To, seen)
	c.recipientList(email.Cc, c.draft.Cc, &c.msg.Cc, seen)
	c.recipientList(email.Bcc, c.draft.Bcc, &c.msg.Bcc, seen)
}

func (c *checker) recipientList(as email.RecipientType, list []Mailbox, into *[]email.Address, seen map[string]bool) {
	limit, name := c.desk.options.Limits.Recipients, string(as)
	before, written := len(seen), limit*maxWritten
	for i, m := range bounded(c, Pointer(name), list, written) {
		at := Pointer(name, strconv.Itoa(i))
		a, ok := c.mailbox(m, at)
		if !ok || seen[a.Normalized()] {
			continue
		}
		seen[a.Normalized()] = true
		c.destination(m, at, a)
		*into = append(*into, a)
		c.msg.Recipients = append(c.msg.Recipients, email.Recipient{Address: a, Type: as})
	}
	// Said once, of the list that goes too far.
	if len(seen) > limit && before <= limit && len(list) <= written {
		c.faults.addf(Pointer(name), TooMany, "makes more than %d different recipients of to, cc and bcc together", limit)
	}
}

// mailbox reads an address in either form.
func (c *checker) mailbox(m Mailbox, at string) (email.Address, bool) {
	at, addrSpec := pointers(m, at)
	if !m.Object {
		a, err := email.ParseAddress(m.Text)
		if err != nil {
			c.faults.add(at, codeOf(err, InvalidEmail), err.Error())
		}
		return a, err == nil
	}
	name, nameErr := email.ParseDisplayName(m.Name)
	if nameErr != nil {
		c.faults.add(at+"/name", codeOf(nameErr, InvalidFormat), nameErr.Error())
	}
	if m.Email == "" {
		c.faults.add(addrSpec, Required, "is required")
		return email.Address{}, false
	}
	a, err := email.NewAddress(m.Email, "")
	if err != nil {
		c.faults.add(addrSpec, codeOf(err, InvalidEmail), err.Error())
	}
	a.Name = name
	return a, err == nil && nameErr == nil
}

// destination refuses recipients that mail must not or cannot go to.
func (c *checker) destination(m Mailbox, at string, a email.Address) {
	_, at = pointers(m, at)
	domain := a.Domain()
	switch {
	case domain == sandboxDomain:
		if _, err := c.desk.options.Simulator(a.Email); err != nil {
			c.faults.add(at, InvalidEmail, "is refused by the sandbox: "+err.Error())
		}
	case c.msg.World.Livemode() && !c.desk.options.AllowReserved && isReserved(domain):
		c.faults.add(at, RecipientDomainReserved,
			"is at a domain reserved for examples and tests; a live key cannot send there (delivered@"+sandboxDomain+" is for trying)")
	}
}

// pointers says where a mailbox stands, and where its addr-spec.
func pointers(m Mailbox, at string) (mailbox, addrSpec string) {
	if m.Pointer != "" {
		at = m.Pointer
	}
	if m.Object {
		return at, at + "/email"
	}
	return at, at
}

// codeOf is the code of an error of package email, or otherwise.
func codeOf(err error, otherwise string) string {
	switch {
	case errors.Is(err, email.ErrSMTPUTF8):
		return SMTPUTF8NotSupported
	case errors.Is(err, email.ErrTooLong):
		return TooLong
	}
	return otherwise
}

// isReserved reports whether a domain is reserved for documentation and tests and
// never receives mail: RFC 2606 2 and 3, RFC 6761 6, and test.com.
func isReserved(domain string) bool {
	labels := strings.Split(domain, ".")
	switch labels[len(labels)-1] {
	case "example", "invalid", "localhost", "test":
		return true
	case "com", "net", "org":
		return len(labels) > 1 && labels[len(labels)-2] == "example" || domain == "test.com"
	}
	return false
}

// suppress gives the recipients that are on a list their state; they get no envelope.
func (d *Desk) suppress(m *email.Message, listed store.Listed) error {
	for i := range m.Recipients {
		r := &m.Recipients[i]
		r.State, r.Envelope = email.RecipientState{}, -1
		found, err := listed.Find(m, r.Address)
		if err != nil {
			return fmt.Errorf("look up the suppressions of recipient %d: %w", i, err)
		}
		switch {
		case found != nil:
			r.State = email.RecipientState{Status: email.Suppressed, AtAccept: email.Suppressed, Seq: 1, Reason: found.Reason, SuppressionID: found.ID}
		case r.Address.Domain() == sandboxDomain && d.options.Presuppressed(r.Address.Email):
			r.State = email.RecipientState{Status: email.Suppressed, AtAccept: email.Suppressed, Seq: 1, Reason: email.SuppressedManual}
		}
	}
	return nil
}

// group gives every recipient that is not suppressed its first state and its envelope: one for each
// destination domain in the order of appearance, or for each recipient. A simulator
// always has one of its own, as it decides the fate of the transaction.
func group(m *email.Message, perRecipient bool) {
	status := email.Queued
	if !m.ScheduledAt.IsZero() {
		status = email.Scheduled
	}
	byDomain := make(map[string]int)
	m.Envelopes = nil
	for i := range m.Recipients {
		r := &m.Recipients[i]
		if r.State.Status == email.Suppressed {
			continue
		}
		domain := r.Address.Domain()
		simulated := domain == sandboxDomain
		number, shared := byDomain[domain]
		if !shared || simulated || perRecipient {
			number = len(m.Envelopes)
			byDomain[domain] = number
			m.Envelopes = append(m.Envelopes, email.Envelope{
				Domain: domain, Sandbox: simulated || !m.World.Livemode(),
				State: email.EnvelopeState{Phase: email.Waiting, NextAt: m.Due()},
			})
		}
		m.Envelopes[number].Recipients = append(m.Envelopes[number].Recipients, i)
		r.Envelope = number
		r.State = email.RecipientState{Status: status, AtAccept: status, Seq: 1, NextAttemptAt: m.Due()}
	}
}
