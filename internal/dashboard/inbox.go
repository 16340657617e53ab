package dashboard

import (
	"cmp"
	"net/http"
	"slices"
	"time"

	"postrider/internal/email"
	"postrider/internal/sandbox"
	"postrider/internal/store"
)

// shown is how many messages the inbox lists.
const shown = 50

// Seconds until the inbox looks again: soon while something is on its way, and
// otherwise seldom enough to copy a line in peace.
const (
	refreshMoving  = 3
	refreshSettled = 6
)

type inboxPage struct {
	frame
	Rows      []row
	Curl      string
	BaseURL   string
	Addresses []sandbox.Address
}

// row is one message of the list, or a caught mail that belongs to none.
type row struct {
	ID      string // empty: no page of its own
	Subject string
	From    string
	To      string
	More    int // recipients beyond To
	At      time.Time
	Status  email.Status
	Note    string // why it is not delivered, if it is not
	NextAt  time.Time
}

func (d *dashboard) inbox(w http.ResponseWriter, r *http.Request) {
	messages, _, err := d.Store.Messages.List(r.Context(), d.World, store.Filter{}, "", shown)
	if err != nil {
		d.problem(w, r, err)
		return
	}
	page := inboxPage{
		frame:     d.frame(r, "Inbox").every(refreshSettled),
		Rows:      rows(messages, d.Inbox.List(shown)),
		Curl:      d.Curl,
		BaseURL:   d.BaseURL,
		Addresses: sandbox.Addresses(),
	}
	for _, m := range messages {
		if s := m.Status(); !s.Final() && s != email.PartiallyDelivered && s != email.Scheduled {
			page.frame = page.every(refreshMoving)
		}
	}
	d.render(w, http.StatusOK, "inbox.html", page)
}

// rows merges the messages with the caught mails that are none of them, newest
// first.
func rows(messages []*email.Message, mails []*sandbox.Mail) []row {
	var all []row
	known := make(map[string]bool)
	for _, m := range messages {
		known[m.ID] = true
		all = append(all, messageRow(m))
	}
	for _, m := range mails {
		if m.ID != "" && known[m.ID] {
			continue
		}
		known[m.ID] = true
		h := m.Heading()
		r := row{ID: m.ID, Subject: h.Subject, From: h.From, At: m.At, Status: "caught"}
		if len(m.To) > 0 {
			r.To, r.More = m.To[0], len(m.To)-1
		}
		all = append(all, r)
	}
	slices.SortStableFunc(all, func(a, b row) int { return cmp.Compare(b.At.UnixNano(), a.At.UnixNano()) })
	return all[:min(len(all), shown)]
}

func messageRow(m *email.Message) row {
	r := row{ID: m.ID, Subject: m.Subject, From: address(m.From), At: m.CreatedAt, Status: m.Status()}
	for i, rcpt := range m.Recipients {
		if i == 0 {
			r.To, r.More = address(rcpt.Address), len(m.Recipients)-1
		}
		if note := note(rcpt.State); note != "" && r.Note == "" {
			r.Note, r.NextAt = note, rcpt.State.NextAttemptAt
		}
	}
	return r
}

// note says why a recipient has no mail; empty if it has, or may get it any moment.
func note(s email.RecipientState) string {
	if s.Status == email.Delivered {
		return ""
	}
	return cmp.Or(replyLine(s.LastReply), label(email.Status(s.Reason)))
}
