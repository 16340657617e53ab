package client

import "encoding/json"

// The objects of the server keep the JSON that they came as, and are written as
// that: what a newer server adds is not lost on the way.

// UnmarshalJSON implements json.Unmarshaler.
func (a *Accepted) UnmarshalJSON(raw []byte) error {
	type plain Accepted
	return keep(raw, (*plain)(a), &a.Raw)
}

// MarshalJSON implements json.Marshaler.
func (a Accepted) MarshalJSON() ([]byte, error) {
	type plain Accepted
	return give(plain(a), a.Raw)
}

// UnmarshalJSON implements json.Unmarshaler.
func (m *Message) UnmarshalJSON(raw []byte) error {
	type plain Message
	return keep(raw, (*plain)(m), &m.Raw)
}

// MarshalJSON implements json.Marshaler.
func (m Message) MarshalJSON() ([]byte, error) {
	type plain Message
	return give(plain(m), m.Raw)
}

// UnmarshalJSON implements json.Unmarshaler.
func (e *Event) UnmarshalJSON(raw []byte) error {
	type plain Event
	return keep(raw, (*plain)(e), &e.Raw)
}

// MarshalJSON implements json.Marshaler.
func (e Event) MarshalJSON() ([]byte, error) {
	type plain Event
	return give(plain(e), e.Raw)
}

// UnmarshalJSON implements json.Unmarshaler.
func (a *Attempt) UnmarshalJSON(raw []byte) error {
	type plain Attempt
	return keep(raw, (*plain)(a), &a.Raw)
}

// MarshalJSON implements json.Marshaler.
func (a Attempt) MarshalJSON() ([]byte, error) {
	type plain Attempt
	return give(plain(a), a.Raw)
}

// UnmarshalJSON implements json.Unmarshaler.
func (k *APIKey) UnmarshalJSON(raw []byte) error {
	type plain APIKey
	return keep(raw, (*plain)(k), &k.Raw)
}

// MarshalJSON implements json.Marshaler.
func (k APIKey) MarshalJSON() ([]byte, error) {
	type plain APIKey
	return give(plain(k), k.Raw)
}

// UnmarshalJSON implements json.Unmarshaler.
func (i *Identity) UnmarshalJSON(raw []byte) error {
	var rest struct {
		Limits  Limits `json:"limits"`
		Version string `json:"version"`
	}
	if err := json.Unmarshal(raw, &rest); err != nil {
		return err
	}
	i.Limits, i.Version = rest.Limits, rest.Version
	return i.APIKey.UnmarshalJSON(raw)
}

// UnmarshalJSON implements json.Unmarshaler.
func (w *Webhook) UnmarshalJSON(raw []byte) error {
	type plain Webhook
	return keep(raw, (*plain)(w), &w.Raw)
}

// MarshalJSON implements json.Marshaler.
func (w Webhook) MarshalJSON() ([]byte, error) {
	type plain Webhook
	return give(plain(w), w.Raw)
}

// UnmarshalJSON implements json.Unmarshaler.
func (t *TestDelivery) UnmarshalJSON(raw []byte) error {
	type plain TestDelivery
	return keep(raw, (*plain)(t), &t.Raw)
}

// MarshalJSON implements json.Marshaler.
func (t TestDelivery) MarshalJSON() ([]byte, error) {
	type plain TestDelivery
	return give(plain(t), t.Raw)
}

// UnmarshalJSON implements json.Unmarshaler.
func (d *Delivery) UnmarshalJSON(raw []byte) error {
	type plain Delivery
	return keep(raw, (*plain)(d), &d.Raw)
}

// MarshalJSON implements json.Marshaler.
func (d Delivery) MarshalJSON() ([]byte, error) {
	type plain Delivery
	return give(plain(d), d.Raw)
}

// UnmarshalJSON implements json.Unmarshaler.
func (s *Suppression) UnmarshalJSON(raw []byte) error {
	type plain Suppression
	return keep(raw, (*plain)(s), &s.Raw)
}

// MarshalJSON implements json.Marshaler.
func (s Suppression) MarshalJSON() ([]byte, error) {
	type plain Suppression
	return give(plain(s), s.Raw)
}

// UnmarshalJSON implements json.Unmarshaler.
func (s *Stats) UnmarshalJSON(raw []byte) error {
	type plain Stats
	return keep(raw, (*plain)(s), &s.Raw)
}

// MarshalJSON implements json.Marshaler.
func (s Stats) MarshalJSON() ([]byte, error) {
	type plain Stats
	return give(plain(s), s.Raw)
}

func keep(raw []byte, into any, kept *json.RawMessage) error {
	if err := json.Unmarshal(raw, into); err != nil {
		return err
	}
	*kept = append(json.RawMessage(nil), raw...)
	return nil
}

func give(object any, kept json.RawMessage) ([]byte, error) {
	if kept != nil {
		return kept, nil
	}
	return json.Marshal(object)
}
