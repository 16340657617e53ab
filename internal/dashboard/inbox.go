package dashboard

import (
	"cmp"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"

	"postrider/internal/email"
	"postrider/internal/sandbox"
	"postrider/internal/store"
)

// shown is how many messages a list has.
const shown = 50

// refreshInbox is how often the inbox looks again, in seconds.
const refreshInbox = 3

type inboxPage struct {
	frame
	Rows      []caughtRow
	Search    string
	Curl      string
	BaseURL   string
	Addresses []sandbox.Address
	Total     int
	Newest    string // the address of the first page; empty: this is it
	Older     string // of the next one; empty: there is none
	None      bool   // this process catches no mail
}

// caughtRow is one caught mail.
type caughtRow struct {
	row
	Number int64
}

// inbox is the mail that this process caught.
func (d *dashboard) inbox(v *visit) error {
	q := v.URL.Query()
	p := inboxPage{
		frame: d.frame(v, "Inbox"), Curl: d.Curl, BaseURL: d.BaseURL, Addresses: sandbox.Addresses(), Search: strings.TrimSpace(q.Get("q")), None: d.Inbox == nil,
	}
	if p.None {
		return d.render(v, "inbox.html", p)
	}
	before := int64(0)
	if from := q.Get("before"); from != "" {
		var err error
		if before, err = strconv.ParseInt(from, 10, 64); err != nil || before < 1 {
			return store.ErrNotFound
		}
	}
	search := url.Values{}
	if p.Search != "" {
		search.Set("q", p.Search)
	}
	kept, _ := d.Inbox.Bounds()
	mails := d.Inbox.List(kept)
	p.Total = len(mails)
	for _, m := range mails {
		if before > 0 && m.Number >= before || !found(m, p.Search) {
			continue
		}
		if len(p.Rows) == shown {
			p.Older = with("/ui/inbox", search, "before", strconv.FormatInt(p.Rows[shown-1].Number, 10))
			break
		}
		p.Rows = append(p.Rows, caughtRow{mailRow(m), m.Number})
	}
	if before > 0 {
		p.Newest = withQuery("/ui/inbox", search)
	} else {
		p.frame = p.every(refreshInbox)
	}
	return d.render(v, "inbox.html", p)
}

// found reports whether a mail has words in what the list shows of it.
func found(m *sandbox.Mail, words string) bool {
	h := m.Heading()
	all := strings.ToLower(strings.Join(append([]string{h.Subject, h.From, h.To, m.ID}, m.To...), "\n"))
	for _, word := range strings.Fields(strings.ToLower(words)) {
		if !strings.Contains(all, word) {
			return false
		}
	}
	return true
}

func mailRow(m *sandbox.Mail) row {
	h := m.Heading()
	r := row{ID: m.ID, Subject: subject(h.Subject), From: h.From, At: m.At, Status: "caught"}
	if len(m.To) > 0 {
		r.To, r.More = m.To[0], len(m.To)-1
	}
	return r
}

// deleteMail takes one caught mail, or all of them, out of the inbox. Their messages
// stay as they are.
func (d *dashboard) deleteMail(v *visit) (string, error) {
	if d.Inbox == nil {
		return "", store.ErrNotFound
	}
	if v.PostFormValue("all") != "" {
		if n := d.Inbox.Clear(); n > 0 {
			v.did("", fmt.Sprintf("%d mails", n))
		}
		return done("/ui/inbox", "emptied"), nil
	}
	number, err := strconv.ParseInt(v.PostFormValue("number"), 10, 64)
	if err != nil || !d.Inbox.Delete(number) {
		return "", store.ErrNotFound
	}
	v.did("", "1 mail")
	return ownPath(v.PostFormValue("back")), nil
}

// row is one message of a list, or one caught mail.
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
}

// messageRow is a message as its reader may see it.
func (v *visit) messageRow(m *email.Message) row {
	r := row{ID: m.ID, Subject: v.subject(m), From: address(m.From), At: m.CreatedAt, Status: m.Status()}
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
