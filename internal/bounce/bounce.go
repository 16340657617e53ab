// Package bounce says what a refusal means: an SMTP reply in, a class out.
//
// A reply is read from the most exact to the vaguest: an enhanced status code
// that says one thing only, then texts that a provider is known to write, then
// what an inexact enhanced code or the code alone still says (550 5.7.1 is sent
// for spam, for block lists and for closed relays alike). Every line of the
// tables gives its reason, and [Class.Reason] repeats it for people.
//
// The package decides neither whether a failure is permanent nor when to try
// again: the worker's judge does. It never reads a host name or an address, does
// no I/O and keeps no state. RFC 5321 4.2, RFC 3463, RFC 5248, RFC 7372.
//
//	c := bounce.Classify("rcpt", email.Reply{Code: 550, EnhancedCode: "5.1.1", Text: "no such user"})
//	// c.Category == "invalid_recipient", c.Type == "hard", c.Suppress
package bounce

import (
	"strings"

	"postrider/internal/email"
)

// The categories of a bounce or deferral (api.md 10.3).
const (
	InvalidRecipient     = "invalid_recipient"
	MailboxDisabled      = "mailbox_disabled"
	MailboxFull          = "mailbox_full"
	MessageTooLarge      = "message_too_large"
	ContentRejected      = "content_rejected"
	SpamRejected         = "spam_rejected"
	PolicyRejected       = "policy_rejected"
	AuthenticationFailed = "authentication_failed"
	ReputationBlocked    = "reputation_blocked"
	RateLimited          = "rate_limited"
	Greylisted           = "greylisted"
	TLSFailed            = "tls_failed"
	NetworkError         = "network_error"
	ProtocolError        = "protocol_error"
	Other                = "other"
)

// The types of a bounce (api.md 10.3).
const (
	Hard         = "hard"         // the address or the domain will not work
	Soft         = "soft"         // refused for good, for a reason that passes
	Block        = "block"        // policy, reputation, content
	Undetermined = "undetermined" // the reply does not say
)

// Class is what a refusal means.
type Class struct {
	Category string // api.md 10.3
	Type     string // hard, soft, block, undetermined: what a bounce for this is
	Suppress bool   // may create a suppression
	Pace     Pace   // how soon to try again, of a temporary one
	Reason   string // the table's line
}

// Pace is how patiently a temporary refusal is retried.
type Pace int

// The paces.
const (
	Normal Pace = iota // the schedule
	Full               // a full mailbox: at least 1 h
	Slow               // rate and reputation: at least 15 min
)

// Classify reads the code, enhanced code and known texts of a refusal at a stage
// ("rcpt", "mail", "data", ...). Only a 5xx to "rcpt" may suppress. Any reply
// gives a class; its text is hostile, and only the first KiB of it is read.
func Classify(stage string, r email.Reply) Class {
	text := fold(r.Text)
	l := find(r.Code, enhanced(r), text)
	c := Class{Category: l.category, Type: typeOf(l.category), Reason: l.reason}
	c.Pace = pace(r.Code, enhanced(r), l.category)
	// api.md 10.3: never from 4xx, nor from a 5xx to greeting, MAIL or data, nor from a
	// policy (5.7.x), whatever its text says.
	c.Suppress = stage == "rcpt" && r.Code/100 == 5 && !strings.HasPrefix(r.EnhancedCode, "5.7.") &&
		(c.Category == InvalidRecipient || c.Category == MailboxDisabled)
	return c
}

// TooManyRecipients reports whether a reply to RCPT refuses only the number of
// recipients of this transaction, not this one of them.
func TooManyRecipients(r email.Reply) bool {
	if e := enhanced(r); e != "" && detail(e) == "5.3" {
		return true
	}
	text := fold(r.Text)
	return strings.Contains(text, "too many recipients") || strings.Contains(text, "too many rcpt")
}

func find(code int, enhancedCode, text string) line {
	if l, ok := exact(enhancedCode, text); ok {
		return l
	}
	for _, l := range texts() {
		if l.matches(text) {
			return l
		}
	}
	if l, ok := vague(enhancedCode); ok {
		return l
	}
	return vagueCode(code)
}

// enhanced gives the enhanced code if it can be trusted.
// RFC 2034 4: its class must be that of the reply.
func enhanced(r email.Reply) string {
	e := r.EnhancedCode
	if len(e) < 5 || len(e) > 9 || e[1] != '.' || strings.Count(e, ".") != 2 || int(e[0]-'0') != r.Code/100 {
		return ""
	}
	return e
}

// detail is an enhanced code without its class: "5.1.1" gives "1.1".
func detail(enhancedCode string) string { return enhancedCode[2:] }

func typeOf(category string) string {
	switch category {
	case InvalidRecipient, MailboxDisabled:
		return Hard
	case MailboxFull, RateLimited, Greylisted, NetworkError:
		return Soft
	case MessageTooLarge, ContentRejected, SpamRejected, PolicyRejected, AuthenticationFailed, ReputationBlocked, TLSFailed:
		return Block
	}
	return Undetermined
}

// pace slows down where trying harder makes it worse.
func pace(code int, enhancedCode, category string) Pace {
	switch category {
	case MailboxFull:
		return Full
	case Greylisted:
		return Normal // coming back on time is what a greylist asks for
	case RateLimited, ReputationBlocked:
		return Slow
	}
	if code == 421 || strings.HasPrefix(enhancedCode, "4.7.") {
		return Slow
	}
	return Normal
}

// maxText is how much of a reply's text is looked at.
const maxText = 1024

// fold lower-cases a reply's text, drops the enhanced code that many servers
// repeat on each line, and joins the lines: a sentence may be broken anywhere.
func fold(text string) string {
	if len(text) > maxText {
		text = text[:maxText]
	}
	words := strings.Fields(strings.ToLower(text))
	kept := words[:0]
	for _, w := range words {
		if !isStatus(w) {
			kept = append(kept, w)
		}
	}
	return strings.Join(kept, " ")
}

// isStatus reports whether a word is an enhanced status code: d.d.d to d.ddd.ddd.
func isStatus(w string) bool {
	if len(w) < 5 || len(w) > 9 || (w[0] != '4' && w[0] != '5') || w[1] != '.' {
		return false
	}
	return strings.Trim(w, "0123456789.") == "" && strings.Count(w, ".") == 2
}
