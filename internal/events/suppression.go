package events

import (
	"encoding/json"

	"postrider/internal/email"
)

// suppressionData is what happened to the list of suppressions.
type suppressionData struct {
	Suppression listed `json:"suppression"`
}

// listed is an entry of the list (api.md 15).
type listed struct {
	ID              string `json:"id"`
	Email           string `json:"email"`
	Reason          string `json:"reason"`
	Domain          Text   `json:"domain"`
	Stream          Text   `json:"stream"`
	Note            Text   `json:"note"`
	SourceMessageID Text   `json:"source_message_id"`
	SourceEventID   Text   `json:"source_event_id"`
	ExpiresAt       Stamp  `json:"expires_at"`
	CreatedAt       Stamp  `json:"created_at"`
}

// SuppressionBody is an event of a suppression as a webhook posts it.
func SuppressionBody(e *email.SuppressionEvent) ([]byte, error) {
	d, err := SuppressionData(e)
	if err != nil {
		return nil, err
	}
	return Encode(body{e.ID, e.Type, Stamp(e.At), e.Suppression.World.Livemode(), d})
}

// SuppressionData is its member "data", wherever it is shown.
func SuppressionData(e *email.SuppressionEvent) (json.RawMessage, error) {
	s := &e.Suppression
	return Encode(suppressionData{listed{
		ID: s.ID, Email: s.Email, Reason: s.Reason, Domain: Text(s.Domain), Stream: Text(s.Stream), Note: Text(s.Note),
		SourceMessageID: Text(s.SourceMessage), SourceEventID: Text(s.SourceEvent),
		ExpiresAt: Stamp(s.ExpiresAt), CreatedAt: Stamp(s.CreatedAt),
	}})
}
