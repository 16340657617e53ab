package smtpclient

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// Bounds of what DSN adds, in octets as encoded: RFC 3461 4.4 and 4.2.
const (
	maxEnvelopeID = 100
	maxOriginal   = 500
)

// DSN asks for delivery status notifications (RFC 3461). A server that does not offer
// them is not asked, and sends what it would have sent anyway.
type DSN struct {
	Notify     Notify     // when the sender wants to hear of a recipient; zero leaves it to the server
	Return     ReturnPart // how much of the mail a notice of failure holds; empty leaves it to the server
	EnvelopeID string     // printable ASCII that every notice repeats: what the sender knows the mail by
	// Original are the addresses that notices name, one for each of Mail.To, where mail was
	// redirected; nil or an empty one: the same as in Mail.To.
	Original []string
}

// Notify is when a notice is wanted: NotifyNever, or a union of the others.
type Notify uint8

// The members of Notify.
const (
	NotifyFailure Notify = 1 << iota
	NotifyDelay
	NotifySuccess
	NotifyNever
)

// ReturnPart is how much of a mail comes back with a notice of failure.
type ReturnPart string

// The values of ReturnPart.
const (
	ReturnHeader ReturnPart = "HDRS"
	ReturnFull   ReturnPart = "FULL"
)

// check refuses what RFC 3461 has no form for.
func (d *DSN) check() error {
	switch {
	case d == nil:
		return nil
	case d.Notify&NotifyNever != 0 && d.Notify != NotifyNever, d.Notify > NotifyNever:
		return fmt.Errorf("%w: NOTIFY", ErrCommand) // RFC 3461 4.1: NEVER stands alone
	case d.Return != "" && d.Return != ReturnHeader && d.Return != ReturnFull:
		return fmt.Errorf("%w: RET", ErrCommand)
	case strings.ContainsFunc(d.EnvelopeID, func(r rune) bool { return r < ' ' || r > '~' }), len(xtext(d.EnvelopeID)) > maxEnvelopeID:
		return fmt.Errorf("%w: ENVID", ErrCommand) // RFC 3461 4.4: printable, 100 octets
	}
	return nil
}

// ofMail are the parameters of MAIL.
func (d *DSN) ofMail(from mailbox) string {
	params := ""
	// RFC 3461 6.1: never of a notice itself.
	if d.Return != "" && from.path != "" {
		params += " RET=" + string(d.Return)
	}
	if d.EnvelopeID != "" {
		params += " ENVID=" + xtext(d.EnvelopeID)
	}
	return params
}

// ofRecipient are the parameters of the RCPT of Mail.To[i], to a server that reads UTF-8 or not.
func (d *DSN) ofRecipient(i int, to mailbox, international bool) string {
	params := ""
	var when []string
	for _, n := range []struct {
		bit  Notify
		word string
	}{{NotifyNever, "NEVER"}, {NotifySuccess, "SUCCESS"}, {NotifyFailure, "FAILURE"}, {NotifyDelay, "DELAY"}} {
		if d.Notify&n.bit != 0 {
			when = append(when, n.word)
		}
	}
	if len(when) > 0 {
		params += " NOTIFY=" + strings.Join(when, ",")
	}
	original := to.path
	if i < len(d.Original) && d.Original[i] != "" {
		original = d.Original[i]
	}
	if address := typedAddress(original, international); len(address) <= maxOriginal {
		params += " ORCPT=" + address
	}
	return params
}

// typedAddress is an address as ORCPT names it: RFC 3461 4.2, or RFC 6533 3 if it is not ASCII.
func typedAddress(address string, international bool) string {
	if ascii(address) {
		return "rfc822;" + xtext(address)
	}
	var b strings.Builder
	b.WriteString("utf-8;")
	for _, r := range address {
		switch {
		case r >= 0xa0 && r != utf8.RuneError && international, r > ' ' && r <= '~' && !strings.ContainsRune(`\+=`, r):
			b.WriteRune(r)
		default:
			fmt.Fprintf(&b, `\x{%02X}`, r)
		}
	}
	return b.String()
}

// xtext hides what may not stand in a parameter (RFC 3461 4): no value can end it,
// or begin another.
func xtext(s string) string {
	var b strings.Builder
	for i := range len(s) {
		if c := s[i]; c <= ' ' || c > '~' || c == '+' || c == '=' {
			fmt.Fprintf(&b, "+%02X", c)
		} else {
			b.WriteByte(c)
		}
	}
	return b.String()
}
