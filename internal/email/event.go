package email

import "time"

// EventType names what happened to a recipient (api.md 11).
type EventType string

// TypeFor is the event type of entering a status.
func TypeFor(s Status) EventType { return EventType("message." + string(s)) }

// Event is one change of one recipient.
type Event struct {
	ID        string
	Type      EventType
	At        time.Time
	Recipient int // index into Message.Recipients
	Status    Status
	Previous  Status // empty at accept
	Seq       int    // per recipient, from 1
	Attempts  int    // of the recipient, this one included
	Reason    string // of failed and suppressed
	Detail    string // for people, of failed
	Category  string // of deferred and bounced: api.md 10.3
	Bounce    string // bounce type: hard, soft, block, undetermined
	Source    string // of bounced: smtp or dsn
	NextAt    time.Time
	Reply     *Reply
	Suppress  bool // of bounced: mail to the address is pointless from now on
}

// Outcome is what one attempt means for one recipient.
type Outcome struct {
	Recipient int    // index into Message.Recipients
	Status    Status // delivered, bounced, failed or deferred
	Unknown   bool   // the connection was lost after the final dot: deferred, or failed at the end
	Reason    string // of failed
	Detail    string // for people: what went wrong, printable
	Category  string // api.md 10.3
	Bounce    string // bounce type
	NextAt    time.Time
	Reply     *Reply
	Suppress  bool // of bounced: mail to the address is pointless from now on
}

// Attempt is one transaction tried: to which host, what was said, what came of it.
type Attempt struct {
	Number      int // of the envelope, from 1; 0 if it never got a provider slot
	Envelope    int
	Fence       int64
	Worker      string
	StartedAt   time.Time
	EndedAt     time.Time
	Provider    string // the MX group
	ReversePath string
	Host        string // the MX or relay that answered last
	Address     string // its address and port
	Source      string // our address
	HELO        string // the name we gave
	TLS         string // "TLS1.3 TLS_AES_128_GCM_SHA256", empty in clear
	TLSVerified bool
	TLSReason   string // why this TLS level: "opportunistic", "not offered", "handshake failed: ..."
	Error       string // what ended it early, printable; empty if it ran to its end
	Outcomes    []Outcome
	Transcript  []Line
}

// Line is one line of the SMTP dialogue, or a note on the connection.
type Line struct {
	At   time.Time `json:"at"`
	From Speaker   `json:"f"`
	Text string    `json:"t"` // printable, bounded; never credentials or the body
}

// Speaker says whose a line of the transcript is.
type Speaker string

// The speakers.
const (
	Client Speaker = "C"
	Server Speaker = "S"
	Note   Speaker = "*"
)
