package dashboard

import (
	"context"
	"slices"
	"strconv"
	"time"

	"postrider/internal/email"
	"postrider/internal/store"
)

// refreshOpen is how often a message that is on its way is looked at again, in
// seconds.
const refreshOpen = 3

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
	Earlier    string            // the address of the steps before it; empty: there are none
	Latest     string            // of the last ones; empty: these are they
	Posts      []*store.Delivery // to webhooks, of its events
	Offers     offers
	Images     bool   // those of the HTML are loaded from outside
	Preview    string // the address of the HTML
}

// offers are what can be done with a message now, by whoever reads its page.
type offers struct {
	Content, Cancel, Retry, Send, Release, Again bool
	Missed                                       bool // some recipients have it, some do not
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
	Waits    *email.WaitingFor
}

// Why is what a recipient waits for, in words.
func (r recipient) Why() string { return holdWords(r.Waits) }

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
	page := messagePage{frame: d.frame(v, "Message"), ID: id, Message: m, Preview: "/ui/messages/" + id + "/html"}
	page.Offers.Content = v.by.May(Read)
	if page.Offers.Content {
		if page.Letter, err = d.letter(v.Context(), v.world, id, m); err != nil {
			return err
		}
	}
	if page.Images = v.URL.Query().Get("images") == "on"; page.Images {
		page.Preview += "?images=on"
	}
	switch {
	case m != nil:
		if err := d.fate(v, &page); err != nil {
			return err
		}
	case page.Letter == nil:
		return store.ErrNotFound
	default:
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
func (d *dashboard) fate(v *visit, page *messagePage) error {
	m, ctx := page.Message, v.Context()
	events, err := d.story(v, page)
	if err != nil {
		return err
	}
	page.Subject, page.From, page.Status = v.subject(m), address(m.From), m.Status()
	if d.Inbox != nil && slices.ContainsFunc(m.Envelopes, func(e email.Envelope) bool { return e.Sandbox }) {
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
		line.Waits = m.WaitingFor(len(page.Recipients), d.Now())
		if !r.State.Status.Final() {
			line.NextAt = r.State.NextAttemptAt
			page.frame = page.every(refreshOpen)
		}
		page.Recipients = append(page.Recipients, line)
	}
	page.allow(m)
	page.Posts, err = d.posts(ctx, m, events)
	return err
}

// A page has so many steps of a story, and of the last of its attempts the dialogues. To
// have them in order some more are read, and maxSteps of each kind at most.
const (
	stepsShown     = 150
	stepsAround    = 50
	maxSteps       = 1000
	dialoguesShown = 10
)

// story tells what happened up to the step whose number is asked for, or else to the last
// one. It gives the last events that it read.
func (d *dashboard) story(v *visit, page *messagePage) ([]email.Event, error) {
	m, happened, tried := page.Message, 0, 0
	for _, r := range m.Recipients {
		happened += r.State.Seq
	}
	for _, e := range m.Envelopes {
		tried += e.State.Attempts
	}
	last := happened + tried
	upto, err := strconv.Atoi(v.URL.Query().Get("upto"))
	if err != nil || upto < 1 || upto > last {
		upto = last
	}
	far := min(last-upto+stepsShown+stepsAround, maxSteps)
	events, _, err := d.Store.Messages.Events(v.Context(), m.World, m.ID, max(0, happened-far), far)
	if err != nil {
		return nil, err
	}
	var since time.Time
	if happened > far && len(events) > 0 {
		since = events[0].At // what was tried before it stands before all of these
	}
	attempts, err := d.Store.Messages.LastAttempts(v.Context(), m.World, m.ID, far, since)
	if err != nil {
		return nil, err
	}
	page.tell(timeline(m, events, attempts), last, upto)
	return events, nil
}

// tell shows the last steps of a story, of which the number of the last is given, up to
// one. Where a dialogue is left out stands the address of the page that ends with it.
func (p *messagePage) tell(story []entry, last, upto int) {
	to := func(n int) string { return "/ui/messages/" + p.ID + "?upto=" + strconv.Itoa(n) }
	before := max(0, last-len(story)) // steps that were not read
	if upto <= before || upto >= before+len(story) {
		upto = before + len(story)
	} else {
		p.Latest = "/ui/messages/" + p.ID
	}
	from := max(before, upto-stepsShown)
	if p.Timeline = story[from-before : upto-before]; from > before {
		p.Earlier = to(from)
	}
	shown := 0
	for i, e := range slices.Backward(p.Timeline) {
		if e.Attempt == nil || len(e.Attempt.Lines) == 0 {
			continue
		}
		e.Attempt.Open = p.Latest != "" && i == len(p.Timeline)-1
		if shown++; shown > dialoguesShown {
			e.Attempt.Elsewhere = to(from+i+1) + "#dialogue-" + e.Attempt.Key
		}
	}
}

// allow says what can be done with a message.
func (p *messagePage) allow(m *email.Message) {
	if !p.May(Operate) {
		return
	}
	status, delivered := m.Status(), 0
	for _, r := range m.Recipients {
		p.Offers.Cancel = p.Offers.Cancel || !r.State.Status.Final() && !r.State.CancelRequested
		if r.State.Status == email.Delivered {
			delivered++
		}
	}
	for _, e := range m.Envelopes {
		p.Offers.Release = p.Offers.Release || e.State.Phase == email.Quarantined
		p.Offers.Retry = p.Offers.Retry || e.State.Phase == email.Waiting && status != email.Scheduled
	}
	p.Offers.Send = status == email.Scheduled
	p.Offers.Again = status.Final() || status == email.PartiallyDelivered
	p.Offers.Missed = p.Offers.Again && delivered > 0 && delivered < len(m.Recipients)
}

// maxPosts bounds how many deliveries to webhooks a page asks for.
const maxPosts = 100

// posts are the deliveries of a message's events to webhooks. Their names follow from
// the events and the endpoints, so that nothing has to be searched.
func (d *dashboard) posts(ctx context.Context, m *email.Message, events []email.Event) ([]*store.Delivery, error) {
	hooks, err := d.Store.Webhooks.List(ctx, m.World)
	if err != nil {
		return nil, err
	}
	shard, err := email.Shard(m.ID)
	if err != nil {
		return nil, err
	}
	var ids []string
	for _, e := range events[max(0, len(events)-maxPosts/max(1, len(hooks))):] {
		for _, h := range hooks {
			id, err := store.DeliveryID(e.ID, h.ID, shard)
			if err != nil {
				return nil, err
			}
			ids = append(ids, id)
		}
	}
	return d.Store.Deliveries.GetAll(ctx, m.World, ids)
}

// holdWords says why something waits.
func holdWords(w *email.WaitingFor) string {
	if w == nil {
		return ""
	}
	why := map[email.Hold]string{
		"schedule": "It is scheduled", "retry": "It waits for the next attempt", "quarantine": "It is quarantined",
		email.HoldProvider: "No connection to its receiver is free", email.HoldBreaker: "Its receiver is left alone for a while",
		email.HoldDNS: "The DNS of its domain did not answer", email.HoldQueue: "It waits for its turn", email.HoldFault: "Something went wrong here",
	}[w.Reason]
	if why == "" {
		why = "It waits: " + label(email.Status(w.Reason))
	}
	if w.Detail != "" {
		why += ": " + w.Detail
	}
	return why
}
