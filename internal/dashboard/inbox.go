package dashboard

import (
	"cmp"
	"context"
	"errors"
	"net/url"
	"slices"
	"strconv"
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
	Page      bool   // an older one: not the newest mail
	Older     string // the address of the next older page; empty: there is none
}

// place is where an older page begins: behind this message, and before this time.
type place struct {
	before string    // a message id; empty: no message was shown yet
	at     time.Time // zero: the newest page
}

func readPlace(q url.Values) (p place, err error) {
	if p.before = q.Get("before"); p.before != "" {
		if _, err := email.ParseID(email.MessagePrefix, p.before); err != nil {
			return p, err
		}
	}
	if at := q.Get("at"); at != "" {
		nanos, err := strconv.ParseInt(at, 10, 64)
		if err != nil {
			return p, err
		}
		p.at = time.Unix(0, nanos)
	}
	return p, nil
}

func (p place) address() string {
	q := url.Values{"at": {strconv.FormatInt(p.at.UnixNano(), 10)}}
	if p.before != "" {
		q.Set("before", p.before)
	}
	return "/ui/inbox?" + q.Encode()
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
	SendAt  time.Time // of scheduled mail
	stored  bool      // the store knows it
}

func (d *dashboard) inbox(v *visit) error {
	from, err := readPlace(v.URL.Query())
	if err != nil {
		return store.ErrNotFound
	}
	messages, next, err := d.Store.Messages.List(v.Context(), v.world, store.Filter{}, from.before, shown)
	if err != nil {
		return err
	}
	kept, _ := d.Inbox.Bounds()
	page := inboxPage{
		frame:     d.frame(v, "Inbox"),
		Curl:      d.Curl,
		BaseURL:   d.BaseURL,
		Addresses: sandbox.Addresses(),
		Page:      !from.at.IsZero(),
	}
	all := rows(messages, d.Inbox.List(kept), from)
	more := false
	if page.Rows, more, err = d.first(v.Context(), v.world, all); err != nil {
		return err
	}
	if more || next != "" {
		page.Older = from.behind(page.Rows).address()
	}
	if !page.Page {
		page.frame = page.every(refreshSettled)
		for _, m := range messages {
			if s := m.Status(); !s.Final() && s != email.PartiallyDelivered && s != email.Scheduled {
				page.frame = page.every(refreshMoving)
			}
		}
	}
	return d.render(v, "inbox.html", page)
}

// behind is where the page after these rows begins.
func (p place) behind(shown []row) place {
	for _, r := range shown {
		p.at = r.At
		if r.stored {
			p.before = r.ID
		}
	}
	return p
}

// rows merges messages with the mails caught before a place that are none of them,
// newest first.
func rows(messages []*email.Message, mails []*sandbox.Mail, from place) []row {
	var all []row
	known := make(map[string]bool)
	for _, m := range messages {
		known[m.ID] = true
		all = append(all, messageRow(m))
	}
	for _, m := range mails {
		if m.ID != "" && known[m.ID] || !from.at.IsZero() && !m.At.Before(from.at) {
			continue
		}
		known[m.ID] = true
		h := m.Heading()
		r := row{ID: m.ID, Subject: subject(h.Subject), From: h.From, At: m.At, Status: "caught"}
		if len(m.To) > 0 {
			r.To, r.More = m.To[0], len(m.To)-1
		}
		all = append(all, r)
	}
	slices.SortStableFunc(all, func(a, b row) int { return cmp.Compare(b.At.UnixNano(), a.At.UnixNano()) })
	return all
}

// first takes as many rows as a page has. A caught mail whose message stands on
// another page is no row of its own.
func (d *dashboard) first(ctx context.Context, w email.World, all []row) (page []row, more bool, err error) {
	for _, r := range all {
		if r.ID != "" && !r.stored {
			_, err := d.Store.Messages.Get(ctx, w, r.ID)
			if err == nil {
				continue
			}
			if !errors.Is(err, store.ErrNotFound) {
				return nil, false, err
			}
		}
		if len(page) == shown {
			return page, true, nil
		}
		page = append(page, r)
	}
	return page, false, nil
}

func messageRow(m *email.Message) row {
	r := row{ID: m.ID, Subject: subject(m.Subject), From: address(m.From), At: m.CreatedAt, Status: m.Status(), stored: true}
	if r.Status == email.Scheduled {
		r.SendAt = m.ScheduledAt
	}
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
