package email

import "time"

// Hold is why an envelope was put off without an attempt; empty if it was not.
type Hold string

// The holds. Each is a reason of [Waiting], too.
const (
	HoldProvider Hold = "provider_limit" // no connection to its provider was free
	HoldBreaker  Hold = "breaker"        // its provider is left alone for a while
	HoldDNS      Hold = "dns"            // its domain's DNS said nothing, or was not asked yet
	HoldQueue    Hold = "queue"          // given back by a process that ended
	HoldFault    Hold = "fault"          // a fault of ours
)

// The other reasons to wait, which follow from states.
const (
	waitSchedule   Hold = "schedule"
	waitRetry      Hold = "retry"
	waitQuarantine Hold = "quarantine"
)

// WaitingFor is what a recipient waits for.
type WaitingFor struct {
	Reason Hold
	Detail string
	Until  time.Time // zero: it may be tried at any moment
}

// WaitingFor says why recipient i is not final yet and nothing is being done about
// it. Nil if it is final, or an attempt runs.
func (m *Message) WaitingFor(i int, now time.Time) *WaitingFor {
	r := m.Recipients[i]
	if r.State.Status.Final() || r.Envelope < 0 {
		return nil
	}
	e := m.Envelopes[r.Envelope].State
	switch {
	case e.Phase == Quarantined:
		return &WaitingFor{waitQuarantine, "attempts ended their workers; an operator can release it", m.ExpiresAt}
	case e.Phase != Waiting:
		return nil
	case !e.NextAt.After(now):
		// Whatever it waited for is over.
		return &WaitingFor{Reason: HoldQueue, Detail: "due, and waits for a free worker"}
	case e.Hold != "":
		return &WaitingFor{e.Hold, e.HoldDetail, e.NextAt}
	case r.State.Status == Scheduled:
		return &WaitingFor{Reason: waitSchedule, Until: e.NextAt}
	case r.State.Status == Deferred:
		return &WaitingFor{waitRetry, "the last attempt was answered with a temporary failure, or not at all", e.NextAt}
	}
	return &WaitingFor{Reason: HoldQueue, Until: e.NextAt}
}
