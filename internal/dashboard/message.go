package dashboard

import (
	"context"
	"time"

	"postrider/internal/email"
)

// refreshOpen is how often a message that is on its way is looked at again, in
// seconds.
const refreshOpen = 3

const (
	maxEvents  = 1000
	eventsPage = 200
)

type messagePage struct {
	frame
	ID         string
	Subject    string
	From       string
	Message    *email.Message // nil: only the inbox knows it
	Status     email.Status
	Recipients []recipient
	Letter     *letter
	Files      []fileView
	Received   bool // by some host
	Kept       int  // mails in the inbox, at most
	KeptBytes  int64
	Timeline   []entry
}

// recipient is one line of the list of recipients.
type recipient struct {
	Address  string
	Type     email.RecipientType
	State    email.RecipientState
	Reason   string
	Reply    string
	Via      string // the host that gave the reply
	Attempts int
	NextAt   time.Time
}

// fileView is one attachment of the list.
type fileView struct {
	N         int
	Name      string
	Type      string
	Size      int64
	ContentID string
}

func (d *dashboard) message(v *visit) error {
	id := v.PathValue("id")
	m, err := d.get(v, id)
	if err != nil {
		return err
	}
	page := messagePage{frame: d.frame(v, "Message"), ID: id, Message: m}
	if page.Letter, err = d.letter(v.Context(), v.world, id, m); err != nil {
		return err
	}
	if m != nil {
		if err := d.fate(v.Context(), &page); err != nil {
			return err
		}
	} else {
		page.Status, page.Subject, page.From = "caught", subject(page.Letter.Heading.Subject), page.Letter.Heading.From
	}
	if page.Letter != nil {
		for n, f := range page.Letter.Files {
			page.Files = append(page.Files, fileView{N: n, Name: fileName(f, n), Type: f.ContentType, Size: int64(len(f.Content)), ContentID: f.ContentID})
		}
	}
	if page.Subject != "" {
		page.Title = page.Subject
	}
	return d.render(v, "message.html", page)
}

// fate fills in what the store knows: recipients and timeline.
func (d *dashboard) fate(ctx context.Context, page *messagePage) error {
	m := page.Message
	attempts, err := d.Store.Messages.Attempts(ctx, page.World, m.ID)
	if err != nil {
		return err
	}
	events, err := d.events(ctx, m.World, m.ID)
	if err != nil {
		return err
	}
	page.Subject, page.From, page.Status = subject(m.Subject), address(m.From), m.Status()
	page.Timeline = timeline(m, events, attempts)
	if d.Inbox != nil {
		page.Kept, page.KeptBytes = d.Inbox.Bounds()
	}
	for _, r := range m.Recipients {
		page.Received = page.Received || !r.State.DeliveredAt.IsZero()
		line := recipient{
			Address: address(r.Address), Type: r.Type, State: r.State, Attempts: r.State.Attempts,
			Reason: label(email.Status(r.State.Reason)), Reply: replyLine(r.State.LastReply),
		}
		if r.State.LastReply != nil {
			line.Via = r.State.LastReply.MXHost
		}
		if !r.State.Status.Final() {
			line.NextAt = r.State.NextAttemptAt
			page.frame = page.every(refreshOpen)
		}
		page.Recipients = append(page.Recipients, line)
	}
	return nil
}

// events reads the events of a message, as many as a page can bear.
func (d *dashboard) events(ctx context.Context, w email.World, id string) ([]email.Event, error) {
	var all []email.Event
	for after := 0; len(all) < maxEvents; {
		page, next, err := d.Store.Messages.Events(ctx, w, id, after, eventsPage)
		if err != nil {
			return nil, err
		}
		all = append(all, page...)
		if next == 0 {
			break
		}
		after = next
	}
	return all, nil
}
