package store

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"postrider/internal/email"
)

// Sample is what an event adds to the statistics. The stream's entry tells it of the
// events of accept and of attempts, so that who only counts reads nothing else.
type Sample struct {
	At       time.Time
	Status   email.Status
	Previous email.Status // empty: the message was accepted
	Stream   string
	Tags     []string
	Due      time.Time // of the message; zero: no server answered
	MXHost   string    // who answered
}

// storedSample is Sample in an entry. Lua writes the head of those that it makes
// (prelude.go), Go the tail.
type storedSample struct {
	At       int64        `json:"a"`
	Status   email.Status `json:"s"`
	Previous email.Status `json:"p,omitempty"`
	sampleTail
}

type sampleTail struct {
	Stream string   `json:"t,omitempty"` // absent: transactional
	Tags   []string `json:"g,omitempty"`
	Due    int64    `json:"d,omitempty"`
	MXHost string   `json:"h,omitempty"`
}

func tailOf(m *email.Message, answer *email.Reply) sampleTail {
	t := sampleTail{Tags: m.Tags}
	if m.Stream != defaultStream {
		t.Stream = m.Stream
	}
	if answer != nil {
		t.Due, t.MXHost = toMS(m.Due()), answer.MXHost
	}
	return t
}

// words are the tail as Lua appends it to a head: never empty, which would be none.
func (t sampleTail) words() (string, error) {
	text, err := members(t)
	if text == "" {
		return " ", err
	}
	return "," + text, err
}

// sampleOf is what an event of a message adds.
func sampleOf(m *email.Message, e email.Event) Sample {
	c := Sample{At: e.At, Status: e.Status, Previous: e.Previous, Stream: m.Stream, Tags: m.Tags}
	if e.Reply != nil {
		c.Due, c.MXHost = m.Due(), e.Reply.MXHost
	}
	return c
}

func decodeSample(raw string) (*Sample, error) {
	var c storedSample
	if err := json.Unmarshal([]byte(raw), &c); err != nil {
		return nil, fmt.Errorf("%w: what an event counts for: %w", ErrBroken, err)
	}
	if !slices.Contains(email.RecipientStatuses(), c.Status) {
		return nil, fmt.Errorf("%w: a status that is none", ErrBroken)
	}
	return &Sample{
		At: fromMS(c.At), Status: c.Status, Previous: c.Previous, Stream: cmp.Or(c.Stream, defaultStream), Tags: c.Tags, Due: fromMS(c.Due), MXHost: c.MXHost,
	}, nil
}
