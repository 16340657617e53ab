package email

import (
	"slices"
	"testing"
	"time"
)

func TestMessageStatus(t *testing.T) {
	cases := []struct {
		name string
		of   []Status
		want Status
	}{
		{"no recipient", nil, Failed},
		{"one queued", []Status{Queued}, Queued},
		{"one delivered", []Status{Delivered}, Delivered},
		{"all deferred", []Status{Deferred, Deferred}, Deferred},
		{"all suppressed", []Status{Suppressed, Suppressed}, Suppressed},
		{"all canceled", []Status{Canceled, Canceled}, Canceled},
		{"one still queued", []Status{Delivered, Queued}, Processing},
		{"one still deferred", []Status{Bounced, Deferred}, Processing},
		{"one still scheduled", []Status{Suppressed, Scheduled}, Processing},
		{"queued and deferred", []Status{Queued, Deferred}, Processing},
		{"one of two delivered", []Status{Delivered, Bounced}, PartiallyDelivered},
		{"one of three delivered", []Status{Failed, Suppressed, Delivered}, PartiallyDelivered},
		{"none delivered", []Status{Bounced, Failed}, Failed},
		{"bounced and suppressed", []Status{Bounced, Suppressed}, Failed},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			if got := message(c.of).Status(); got != c.want {
				t.Errorf("status of %v is %s, want %s", c.of, got, c.want)
			}
		})
	}
}

// The derived status of any pair follows api.md 10.2 and is one that is listed.
func TestMessageStatusOfEveryPair(t *testing.T) {
	for _, a := range RecipientStatuses() {
		for _, b := range RecipientStatuses() {
			got := message([]Status{a, b}).Status()
			if !slices.Contains(MessageStatuses(), got) {
				t.Errorf("%s and %s make %s", a, b, got)
			}
			if open := !a.Final() || !b.Final(); a != b && open != (got == Processing) {
				t.Errorf("%s and %s make %s", a, b, got)
			}
			if got != message([]Status{b, a}).Status() {
				t.Errorf("%s and %s: the order matters", a, b)
			}
		}
	}
}

func TestFinal(t *testing.T) {
	for _, s := range RecipientStatuses() {
		want := s != Scheduled && s != Queued && s != Deferred
		if s.Final() != want {
			t.Errorf("%s final: %v", s, s.Final())
		}
	}
	for _, s := range []Status{Processing, PartiallyDelivered, ""} {
		if s.Final() {
			t.Errorf("%q is no recipient's status and cannot be final", s)
		}
	}
}

func TestCounts(t *testing.T) {
	counts := message([]Status{Delivered, Delivered, Bounced}).Counts()
	if len(counts) != len(RecipientStatuses()) {
		t.Errorf("%d statuses counted, want all %d", len(counts), len(RecipientStatuses()))
	}
	for s, n := range counts {
		if want := map[Status]int{Delivered: 2, Bounced: 1}[s]; n != want {
			t.Errorf("%s: %d, want %d", s, n, want)
		}
	}
}

func TestStatusListsAreTheCallers(t *testing.T) {
	RecipientStatuses()[0] = "changed"
	if RecipientStatuses()[0] != Scheduled || MessageStatuses()[0] != Scheduled {
		t.Error("a caller changed the list of all")
	}
}

func TestTypeFor(t *testing.T) {
	if got := TypeFor(Delivered); got != "message.delivered" {
		t.Errorf("type %s", got)
	}
}

func TestDue(t *testing.T) {
	at := time.Date(2026, 8, 23, 14, 0, 0, 0, time.UTC)
	cases := []struct {
		name            string
		scheduled, want time.Time
	}{
		{"at once", time.Time{}, at},
		{"scheduled", at.Add(time.Hour), at.Add(time.Hour)},
		{"scheduled before accept", at.Add(-time.Second), at},
	}
	for _, c := range cases {
		if got := (&Message{CreatedAt: at, ScheduledAt: c.scheduled}).Due(); !got.Equal(c.want) {
			t.Errorf("%s: due %v, want %v", c.name, got, c.want)
		}
	}
}

func message(of []Status) *Message {
	m := &Message{}
	for _, s := range of {
		m.Recipients = append(m.Recipients, Recipient{State: RecipientState{Status: s}})
	}
	return m
}
