package email

import "time"

// The reasons of suppressions.
const (
	SuppressedHardBounce  = "hard_bounce"
	SuppressedComplaint   = "complaint"
	SuppressedUnsubscribe = "unsubscribe"
	SuppressedManual      = "manual"
)

// SuppressionReasons lists every reason.
func SuppressionReasons() []string {
	return []string{SuppressedHardBounce, SuppressedComplaint, SuppressedUnsubscribe, SuppressedManual}
}

// Suppression is an address that mail must not go to (api.md 15). There is one for
// each address, domain, stream and reason.
type Suppression struct {
	ID            string // sup_
	World         World
	Email         string // as it was given; its case does not matter
	Reason        string
	Domain        string // the sending domain that it is about; empty: all
	Stream        string // the stream that it is about; empty: all
	Note          string // for people
	SourceMessage string // the message that it came from, empty if none
	SourceEvent   string // and the event
	ExpiresAt     time.Time
	CreatedAt     time.Time
}

// Applies reports whether it forbids mail of a sending domain and stream at a time.
func (s *Suppression) Applies(domain, stream string, at time.Time) bool {
	return (s.Domain == "" || s.Domain == domain) && (s.Stream == "" || s.Stream == stream) &&
		(s.ExpiresAt.IsZero() || at.Before(s.ExpiresAt))
}

// Same reports whether two are the same entry of the list, whatever else they say.
func (s *Suppression) Same(o *Suppression) bool {
	return Address{Email: s.Email}.Normalized() == Address{Email: o.Email}.Normalized() &&
		s.Domain == o.Domain && s.Stream == o.Stream && s.Reason == o.Reason
}

// The events of suppressions.
const (
	SuppressionCreated EventType = "suppression.created"
	SuppressionDeleted EventType = "suppression.deleted"
)

// SuppressionEvent is one change of the list of suppressions.
type SuppressionEvent struct {
	ID          string
	Type        EventType
	At          time.Time
	Suppression Suppression // as it was made, or as it stood before it was removed
}
