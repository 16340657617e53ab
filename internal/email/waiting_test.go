package email

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestWaitingFor(t *testing.T) {
	now := time.Date(2026, 11, 23, 16, 0, 0, 0, time.UTC)
	later := now.Add(time.Minute)
	for _, c := range []struct {
		name     string
		status   Status
		envelope EnvelopeState
		want     *WaitingFor
	}{
		{"final", Delivered, EnvelopeState{Phase: Done}, nil},
		{"final in an envelope that waits", Bounced, EnvelopeState{Phase: Waiting, NextAt: later}, nil},
		{"an attempt runs", Queued, EnvelopeState{Phase: InFlight}, nil},
		{"past the mark", Deferred, EnvelopeState{Phase: Marked}, nil},
		{"scheduled", Scheduled, EnvelopeState{Phase: Waiting, NextAt: later}, &WaitingFor{Reason: "schedule", Until: later}},
		{"deferred", Deferred, EnvelopeState{Phase: Waiting, NextAt: later}, &WaitingFor{
			"retry", "the last attempt was answered with a temporary failure, or not at all", later,
		}},
		{"put off", Queued, EnvelopeState{Phase: Waiting, NextAt: later, Hold: HoldBreaker, HoldDetail: "mx"}, &WaitingFor{"breaker", "mx", later}},
		{"put off after a failure", Deferred, EnvelopeState{Phase: Waiting, NextAt: later, Hold: HoldDNS}, &WaitingFor{Reason: "dns", Until: later}},
		{"due", Queued, EnvelopeState{Phase: Waiting, NextAt: now}, &WaitingFor{Reason: "queue", Detail: "due, and waits for a free worker"}},
		{"its hold is over", Queued, EnvelopeState{Phase: Waiting, NextAt: now, Hold: HoldProvider}, &WaitingFor{
			Reason: "queue", Detail: "due, and waits for a free worker",
		}},
		{"quarantined", Deferred, EnvelopeState{Phase: Quarantined}, &WaitingFor{
			"quarantine", "attempts ended their workers; an operator can release it", later,
		}},
	} {
		m := &Message{
			ExpiresAt: later, Recipients: []Recipient{{State: RecipientState{Status: c.status}}}, Envelopes: []Envelope{{State: c.envelope}},
		}
		if diff := cmp.Diff(c.want, m.WaitingFor(0, now)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.name, diff)
		}
	}
	suppressed := &Message{Recipients: []Recipient{{Envelope: -1, State: RecipientState{Status: Suppressed}}}}
	if got := suppressed.WaitingFor(0, now); got != nil {
		t.Errorf("a suppressed recipient waits for %+v", got)
	}
}
