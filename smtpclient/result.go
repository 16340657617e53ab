package smtpclient

import (
	"net/netip"
	"time"
)

// Result is what one Send came to. Recipients has one entry per Mail.To, in order.
type Result struct {
	Recipients         []RecipientResult
	Host               string         // the last host tried
	Addr               netip.AddrPort // its address
	Source             netip.AddrPort // ours; invalid if no connection was made
	HELO               string         // the name we gave
	Reused             bool           // the transaction ran on a kept connection
	TLS                *TLSInfo       // nil: clear
	TLSReason          string         // why this level: Host.Reason, "not offered", "handshake failed: ..."
	FellBack           bool           // clear because STARTTLS was offered and failed: TLSReason says how
	Tried              []*Error       // addresses given up, without the error that became the outcome
	Transcript         []Line
	StartedAt, EndedAt time.Time
}

// RecipientResult is the fate of one recipient in this attempt: Err nil means
// accepted by Reply (250 to the final dot). With an error, Reply is the error's,
// nil if there was none.
type RecipientResult struct {
	Reply *Reply
	Err   *Error
}

// TLSInfo describes a TLS connection.
type TLSInfo struct {
	Version, Cipher string // "TLS1.3", "TLS_AES_128_GCM_SHA256"
	Verified        bool   // the certificate was valid for Host.Name
	Resumed         bool   // an earlier session was taken up, without a full handshake
}

// Line is one line of the dialogue. From is "C" (we), "S" (the server) or "*" (a
// note on the connection). Text is printable and at most 512 octets; credentials
// are redacted and the body is a note of its size.
type Line struct {
	At   time.Time
	From string
	Text string
}
