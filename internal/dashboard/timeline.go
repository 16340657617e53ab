package dashboard

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"postrider/internal/email"
)

// entry is one step of a message's story: an event or an attempt.
type entry struct {
	At      time.Time
	Event   *eventView
	Attempt *attemptView
}

type eventView struct {
	Status    email.Status
	Name      string
	Recipient string
	Facts     []string
	Detail    string // why, for people
	NextAt    time.Time
}

type attemptView struct {
	Key      string // of its dialogue on the page
	Number   int    // 0: it got no slot
	Domain   string
	To       string // host and address
	From     string // source and HELO name
	TLS      string
	Secure   bool
	Took     string
	Error    string
	Outcomes []outcomeView
	Lines    []lineView
	Open     bool // they are what was asked for
	// Elsewhere is the address of the page that has them, if this one has not.
	Elsewhere string
}

type outcomeView struct {
	Recipient string
	Status    email.Status
	Unknown   bool
	Text      string
}

type lineView struct {
	After string // since the attempt began
	From  string
	Text  string
}

// timeline merges events and attempts by time. An attempt stands where it began,
// before the events that it led to.
func timeline(m *email.Message, events []email.Event, attempts []email.Attempt) []entry {
	all := make([]entry, 0, len(events)+len(attempts))
	for i := range attempts {
		all = append(all, entry{At: attempts[i].StartedAt, Attempt: viewAttempt(m, &attempts[i])})
	}
	for i := range events {
		all = append(all, entry{At: events[i].At, Event: viewEvent(m, &events[i])})
	}
	slices.SortStableFunc(all, func(a, b entry) int {
		return cmp.Or(cmp.Compare(a.At.UnixMilli(), b.At.UnixMilli()), cmp.Compare(a.rank(), b.rank()))
	})
	return all
}

// rank orders what happened in the same millisecond: what led to an attempt, the
// attempt, what came of it.
func (e entry) rank() int {
	switch {
	case e.Attempt != nil:
		return 1
	case e.Event.Status == email.Queued || e.Event.Status == email.Scheduled:
		return 0
	}
	return 2
}

func viewEvent(m *email.Message, e *email.Event) *eventView {
	v := &eventView{
		Status:    e.Status,
		Name:      strings.TrimPrefix(string(e.Type), "message."),
		Recipient: recipientName(m, e.Recipient),
		Detail:    e.Detail,
	}
	// What was queued is tried at once: its time says nothing.
	if e.Status != email.Queued {
		v.NextAt = e.NextAt
	}
	for _, fact := range []string{e.Bounce, e.Category, e.Reason} {
		// "other" and "undetermined" are for programs; the detail says as much.
		if fact != "" && fact != "other" && fact != "undetermined" {
			v.Facts = append(v.Facts, strings.ReplaceAll(fact, "_", " "))
		}
	}
	return v
}

func viewAttempt(m *email.Message, a *email.Attempt) *attemptView {
	v := &attemptView{Key: fmt.Sprintf("%d-%d", a.Envelope, a.Fence), Number: a.Number, Error: a.Error, Secure: a.TLS != "", TLS: "no TLS"}
	if a.Envelope >= 0 && a.Envelope < len(m.Envelopes) {
		v.Domain = m.Envelopes[a.Envelope].Domain
	}
	v.To = strings.TrimSpace(a.Host + " " + bracketed(a.Address))
	v.From = strings.TrimSpace(a.HELO + " " + bracketed(a.Source))
	if a.TLS != "" {
		v.TLS = a.TLS + ", certificate not verified"
		if a.TLSVerified {
			v.TLS = a.TLS + ", certificate verified"
		}
	}
	if a.TLSReason != "" {
		v.TLS += " (" + a.TLSReason + ")"
	}
	if !a.EndedAt.Before(a.StartedAt) {
		v.Took = span(a.EndedAt.Sub(a.StartedAt))
	}
	for _, o := range a.Outcomes {
		v.Outcomes = append(v.Outcomes, outcomeView{
			Recipient: recipientName(m, o.Recipient),
			Status:    o.Status,
			Unknown:   o.Unknown,
			Text:      cmp.Or(replyLine(o.Reply), o.Detail, label(email.Status(o.Reason))),
		})
	}
	for _, l := range a.Transcript {
		v.Lines = append(v.Lines, lineView{After: "+" + span(l.At.Sub(a.StartedAt)), From: speaker(l.From), Text: l.Text})
	}
	return v
}

// speaker names who said a line, and how the page draws it.
func speaker(s email.Speaker) string {
	switch s {
	case email.Client:
		return "C"
	case email.Server:
		return "S"
	}
	return "*"
}

func recipientName(m *email.Message, index int) string {
	if index < 0 || index >= len(m.Recipients) {
		return "unknown recipient"
	}
	return m.Recipients[index].Address.Email
}

func bracketed(s string) string {
	if s == "" {
		return ""
	}
	return "(" + s + ")"
}

// span is a duration for people.
func span(d time.Duration) string {
	switch d = max(0, d); {
	case d < time.Second:
		return fmt.Sprintf("%d ms", d.Milliseconds())
	case d < time.Minute:
		return fmt.Sprintf("%.1f s", d.Seconds())
	}
	return d.Round(time.Second).String()
}
