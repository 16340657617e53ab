package smtpclient

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"

	"postrider/smtpclient/guard"
)

// Stage is where in the dialogue something happened.
type Stage string

// The stages, in the order of the dialogue.
const (
	StageLocal    Stage = "local" // refused by ourselves, before any connection
	StageConnect  Stage = "connect"
	StageGreeting Stage = "greeting"
	StageEHLO     Stage = "ehlo"
	StageSTARTTLS Stage = "starttls" // STARTTLS and the TLS handshake, implicit TLS too
	StageAUTH     Stage = "auth"
	StageRSET     Stage = "rset" // on a reused connection, where the server was out of step, said 421 4.7.x, or our time was over
	StageMAIL     Stage = "mail"
	StageRCPT     Stage = "rcpt"
	StageDATA     Stage = "data" // the DATA command's reply
	StageMark     Stage = "mark"
	StageBody     Stage = "body" // while the content was sent, before the final dot was sent
	StageDot      Stage = "dot"  // the reply to the final dot
)

// Error is what went wrong: where, with whom, and the reply if there was one.
type Error struct {
	Stage     Stage
	Host      string         // empty at StageLocal
	Addr      netip.AddrPort // invalid at StageLocal
	Reply     *Reply         // nil: no reply (connection lost, timeout, garbage), or our own refusal
	Enhanced  string         // our own status code where we refused ourselves: 5.3.4, 5.4.4, 5.4.6, 5.6.7...
	Temporary bool           // by the reply's code, or by the nature of the fault
	Unknown   bool           // lost after the final dot was (maybe) sent: the mail may or may not have been accepted
	Err       error          // the cause; nil if the reply says it all
}

// Error says where and what, with the reply's codes but never its text, which
// may hold addresses and is the server's to choose.
func (e *Error) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "smtp %s", e.Stage)
	if e.Host != "" {
		fmt.Fprintf(&b, " with %s", e.Host)
	}
	if e.Addr.IsValid() {
		fmt.Fprintf(&b, " (%s)", e.Addr)
	}
	b.WriteString(":")
	if e.Reply != nil {
		fmt.Fprintf(&b, " reply %d", e.Reply.Code)
		if e.Reply.Enhanced != "" {
			b.WriteString(" " + e.Reply.Enhanced)
		}
	} else if e.Enhanced != "" {
		b.WriteString(" " + e.Enhanced)
	}
	if e.Err != nil {
		b.WriteString(" " + e.Err.Error())
	}
	if e.Unknown {
		b.WriteString(" (outcome unknown)")
	}
	return b.String()
}

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return e.Err }

// errEarlier: this recipient was to have a transaction of its own, behind one whose
// data was not taken.
var errEarlier = errors.New("not sent after an earlier transaction")

// errOutOfStep: a reply came that its command cannot have. One before it may have been
// one too many.
var errOutOfStep = fmt.Errorf("%w", ErrProtocol)

// The causes that callers tell apart, wrapped in Error.Err.
var (
	// ErrDenied: the address guard refused to dial. Permanent, 5.4.4, if every address of the plan was denied.
	ErrDenied = guard.ErrDenied
	// ErrLoop: the server gives our own name as its own. Permanent, 5.4.6, unless another address failed for now.
	ErrLoop = errors.New("server has our own name: mail loop")
	// ErrTLSRequired: the policy, or AUTH, demands TLS that was not to be had.
	ErrTLSRequired = errors.New("required TLS is not available")
	// ErrProtocol: what the server sent is not SMTP. The connection was closed.
	ErrProtocol = errors.New("server broke the protocol")
	// ErrTooLarge: the mail exceeds the SIZE that the server announced. Permanent, 5.3.4.
	ErrTooLarge = errors.New("mail is larger than the server accepts")
	// ErrEightBit: the data has octets above 127 and no server offers 8BITMIME. Permanent, 5.6.3.
	ErrEightBit = errors.New("server does not take 8-bit data")
	// ErrInternational: an address or a header is not ASCII, and no server offers SMTPUTF8. Permanent, 5.6.7.
	ErrInternational = errors.New("server does not take internationalized mail")
	// ErrPath: a path is not RFC 5321 syntax. Permanent, 5.1.3 for a recipient, 5.1.7 for the sender.
	ErrPath = errors.New("address is not valid in SMTP")
	// ErrData: the data holds a bare CR, a bare LF, a NUL, or a line of more than 998 octets. Permanent, 5.6.0.
	ErrData = errors.New("data is not fit for SMTP")
	// ErrCommand: a command would have held what SMTP has no form for: a control character, say, or too much. Permanent,
	// 5.5.2, or 5.5.4 for a member of DSN.
	ErrCommand = errors.New("command is not fit for SMTP")
)
