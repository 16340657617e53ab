// Package smtpclient delivers mail to SMTP servers: it is the sending half of
// RFC 5321, with connection reuse, TLS, and an exact account of what happened.
//
// A caller says where mail may go with a [Plan], what it is with a [Mail], and
// hands both to a [Transport], which, like http.Transport, is made once, is safe
// for concurrent use, and keeps connections for the next transaction. [Transport.Send]
// makes one attempt: it tries the plan's addresses in order until a server takes
// the transaction, then gives a [Result] with one outcome per recipient and the
// whole dialogue as a transcript.
//
//	t := smtpclient.NewTransport(smtpclient.Options{Hostname: "mail.example.com"})
//	defer t.Close()
//	res := t.Send(ctx, plan, &smtpclient.Mail{From: from, To: to, Data: data})
//	for i, r := range res.Recipients {
//		switch {
//		case r.Err == nil: // accepted: r.Reply is the answer to the final dot
//		case r.Err.Unknown: // lost after the final dot: accepted or not, nobody knows
//		case r.Err.Temporary: // try to[i] again later
//		default: // refused for good
//		}
//	}
//
// # What it is not
//
// It looks nothing up (packages dns and mx make plans), decides nothing about
// retries or bounces, composes and signs nothing, and never changes the bytes it is
// given, save for the transparency of RFC 5321 4.5.2. Addresses go out in their
// simplest form: without needless quotes, and with A-labels in the domain.
//
// # The dialogue
//
// Greeting, EHLO (HELO if that is refused), STARTTLS and EHLO again as the host's
// [TLSPolicy] says, AUTH if asked for, then MAIL, a RCPT for each recipient, and
// DATA. If the server offers PIPELINING (RFC 2920) these go out together; nothing is
// ever sent behind the final dot, and nothing while an unasked reply is waiting to be
// read, so that no stray reply can be taken for an answer. On a kept connection a
// refusal is confirmed by a RSET, whose reply tells whether the server is in step.
//
// Recipients that are refused drop out, the others go on, and the reply to the final
// dot is the outcome of all that were accepted. More recipients than the server, or
// [Options].MaxRecipients, lets into one transaction are sent in several, at once.
//
// A mail may need what not every server has: 8BITMIME for its data, SMTPUTF8 for a
// header or a local part in UTF-8. The next host is tried then, and only if none has it
// the mail is refused for good. [Mail].DSN asks for delivery status notifications where
// they are to be had.
//
// The moment that matters is the final dot. Before it, a lost connection means that
// nothing was delivered. After it, or while it is being written, the server may have
// taken the mail: that is [Error].Unknown, and whoever retries may duplicate.
// [Mail].Mark lets the caller record that point of no return: the dot is not written
// before it has succeeded. It runs while the body is going out, unless that is short: then
// body and dot leave together, in one write, once Mark has succeeded.
//
// # What went wrong
//
// An [Error] says at which [Stage], with which host and address, and with which reply
// if there was one; whether it is temporary; and whether the outcome is unknown. Its
// cause is for errors.Is: [ErrTLSRequired], [ErrProtocol], [ErrDenied]... The first digit
// of a reply decides, not its text (RFC 5321 4.2.1), with these exceptions: a greeting,
// EHLO, STARTTLS or AUTH that is refused says nothing about the mail, nor does a server
// that wants TLS and is talked to in clear; they are temporary, and the next host is tried.
// So is a 552 to RCPT that may mean too many recipients (RFC 5321 4.5.3.1.10).
//
// [Options].Trace has hooks for whoever measures or watches, and each [Result] holds the
// whole dialogue.
//
// # A hostile peer
//
// Every byte from a server is untrusted. Replies are bounded in line length, lines
// and octets, texts are reduced to printable characters, and anything that is not
// SMTP ends the connection. Each command has a deadline of its own that trickling
// bytes do not move, the body has to move at a minimum rate, and Send as a whole has a
// deadline too. Bytes that arrive behind the reply to STARTTLS end the connection. What
// is in a certificate reaches neither errors nor transcripts. Addresses of loopback,
// private and other special networks are not dialled unless the caller allows them
// ([ErrDenied]). Commands with control characters and data with a bare CR, a bare LF, a
// NUL or a line of more than 998 octets are never sent.
//
// # RFCs
//
// 5321 (SMTP), 1870 (SIZE), 2034 and 3463 (enhanced status codes), 2920 (PIPELINING),
// 3207 (STARTTLS), 3461 and 6533 (DSN), 4616 and 4954 (AUTH), 5891 (A-labels), 6152
// (8BITMIME), 6531 and 6532 (SMTPUTF8), 7504 (521), 8314 (implicit TLS). Package smtptest
// has a server to test against.
package smtpclient

import (
	"context"
	"log/slog"
	"net/netip"
)

// Plan says where one transaction may go, resolved before dialling. It is a value
// and never changed by Send.
type Plan struct {
	Domain   string // recipient domain, or the relay's name: for people
	Provider string // the MX group that serves it, e.g. "google.com"
	Hosts    []Host // in the order to try
	// Incomplete is the lookup that failed if for that reason hosts or addresses are missing: then
	// nothing is refused for good for want of a host. Nil if all is here.
	Incomplete error
}

// Host is one MX host or relay with its addresses in the order to try.
type Host struct {
	Name    string           // the name for TLS and the transcript, no trailing dot
	Addrs   []netip.AddrPort // in the order to try
	TLS     TLSPolicy
	Reason  string // why this policy, for Result.TLSReason: "opportunistic", "relay requires TLS"...
	Auth    *Auth  // nil: none. Only sent over TLS with a verified certificate, or to a loopback address
	Trusted bool   // named by the operator (relay, sandbox): no address guard, and no loop check by name
}

// TLSPolicy is what is demanded of the connection to one host.
type TLSPolicy int

// The TLS policies.
const (
	TLSOpportunistic TLSPolicy = iota // STARTTLS if offered, any certificate; clear on a new connection if that fails
	TLSRequired                       // STARTTLS, any certificate; never clear
	TLSVerified                       // STARTTLS with a certificate for Host.Name
	TLSImplicit                       // TLS from the first byte with a certificate for Host.Name (smtps)
	TLSNone                           // never (sandbox, tests)
)

// String gives the policy's name.
func (p TLSPolicy) String() string {
	switch p {
	case TLSOpportunistic:
		return "opportunistic"
	case TLSRequired:
		return "required"
	case TLSVerified:
		return "verified"
	case TLSImplicit:
		return "implicit"
	case TLSNone:
		return "none"
	}
	return "unknown"
}

// mandatory reports whether clear text is forbidden.
func (p TLSPolicy) mandatory() bool {
	return p == TLSRequired || p == TLSVerified || p == TLSImplicit
}

// Auth is what AUTH proves. It redacts itself however it is printed.
type Auth struct{ Username, Password string }

// String hides both members.
func (Auth) String() string { return "[redacted]" }

// GoString hides both members.
func (Auth) GoString() string { return "smtpclient.Auth{[redacted]}" }

// LogValue hides both members.
func (Auth) LogValue() slog.Value { return slog.StringValue("[redacted]") }

// MarshalText hides both members, also in JSON.
func (Auth) MarshalText() ([]byte, error) { return []byte("[redacted]"), nil }

// Mail is one transaction: an envelope and its content.
type Mail struct {
	From string   // reverse-path without angle brackets; empty is the null reverse-path
	To   []string // forward-paths; UTF-8 in the domain goes out as A-labels, in the local part only to servers with SMTPUTF8
	// Data is an RFC 5322 message with CRLF line ends, not dot-stuffed. It should be 7-bit: with
	// an octet above 127 it only goes to servers that offer 8BITMIME, with one in the header to those
	// that offer SMTPUTF8. A final CRLF is added if missing.
	Data []byte
	DSN  *DSN // nil: nothing is said about delivery status notifications
	// Mark, if set, is called once for each transaction, when the server has said 354, beside or (up to
	// 32 KiB of Data) before the body and before the final dot may leave; accepted are the indexes into To whose RCPT was
	// accepted. There are several transactions only if To is more than one takes. An error stops the
	// transaction: the connection is closed without the dot and every accepted recipient ends with
	// StageMark and that error. Send never returns before Mark has.
	Mark func(ctx context.Context, accepted []int) error
}
