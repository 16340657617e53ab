package email

import "slices"

// Status is the state of one recipient (api.md 10.1).
type Status string

// The states of a recipient.
const (
	Scheduled  Status = "scheduled"
	Queued     Status = "queued"
	Deferred   Status = "deferred"
	Delivered  Status = "delivered"
	Bounced    Status = "bounced"
	Failed     Status = "failed"
	Suppressed Status = "suppressed"
	Canceled   Status = "canceled"
)

// States that only a message with several recipients can be in.
const (
	Processing         Status = "processing"
	PartiallyDelivered Status = "partially_delivered"
)

// Final reports whether no further attempt will be made.
func (s Status) Final() bool {
	switch s {
	case Delivered, Bounced, Failed, Suppressed, Canceled:
		return true
	}
	return false
}

// The reasons of a failed recipient.
const (
	ReasonExpired          = "expired"
	ReasonNoRoute          = "no_route"
	ReasonDNSFailure       = "dns_failure"
	ReasonConnectionFailed = "connection_failed"
	ReasonTLSRequired      = "tls_required"
	ReasonOutcomeUnknown   = "outcome_unknown"
	ReasonLocalError       = "local_error"
)

// ReasonSuperseded is the reason of a canceled recipient to whom a newer message goes.
const ReasonSuperseded = "superseded"

// ReasonQuarantined is the reason of a deferred recipient that waits for somebody
// to look at its message.
const ReasonQuarantined = "quarantined"

// RecipientStatuses lists every status of a recipient.
func RecipientStatuses() []Status {
	return []Status{Scheduled, Queued, Deferred, Delivered, Bounced, Failed, Suppressed, Canceled}
}

// MessageStatuses lists every status of a message.
func MessageStatuses() []Status {
	return append(RecipientStatuses(), Processing, PartiallyDelivered)
}

// Status derives the message's status from its recipients' (api.md 10.2): one
// shared status is the message's; else any that is not final means processing;
// else partially_delivered if one was delivered, or failed.
func (m *Message) Status() Status {
	if len(m.Recipients) == 0 {
		return Failed
	}
	first, same, final, delivered := m.Recipients[0].State.Status, true, true, false
	for _, r := range m.Recipients {
		same = same && r.State.Status == first
		final = final && r.State.Status.Final()
		delivered = delivered || r.State.Status == Delivered
	}
	switch {
	case same:
		return first
	case !final:
		return Processing
	case delivered:
		return PartiallyDelivered
	}
	return Failed
}

// Quarantined reports whether an envelope of it is.
func (m *Message) Quarantined() bool {
	return slices.ContainsFunc(m.Envelopes, func(e Envelope) bool { return e.State.Phase == Quarantined })
}

// Counts gives the number of recipients in each status, zero ones included.
func (m *Message) Counts() map[Status]int {
	counts := make(map[Status]int)
	for _, s := range RecipientStatuses() {
		counts[s] = 0
	}
	for _, r := range m.Recipients {
		counts[r.State.Status]++
	}
	return counts
}
