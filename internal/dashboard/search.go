package dashboard

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"postrider/internal/email"
	"postrider/internal/store"
)

// refreshList is how often a list of messages looks again, in seconds.
const refreshList = 5

type messagesPage struct {
	frame
	Rows     []row
	Statuses []choice
	Since    []choice
	Search   url.Values // what is asked, without the place
	Filters  []string   // what is asked, in words
	Newest   string     // the address of the first page; empty: this is it
	Older    string     // of the next one; empty: there is none
	LookedTo time.Time  // how far back was looked, if not to the end
	Any      bool       // something is asked
}

// choice is one of several: a link or an option.
type choice struct {
	Value, Label, Path string
	Chosen             bool
}

// words are what may stand before a colon in the search box.
func words() []string {
	return []string{"to", "recipient", "from", "tag", "subject", "status", "domain", "stream", "batch", "id"}
}

// inquiry is what somebody looks for.
type inquiry struct {
	filter store.Filter
	id     string // of one message
	said   []string
}

// readSearch reads the search box: ids, addresses and word:value in any order; the rest
// is looked for in subjects. Errors are for people.
func readSearch(box string) (inquiry, error) {
	var (
		q    inquiry
		rest []string
	)
	for _, term := range strings.Fields(box) {
		name, value, ok := strings.Cut(term, ":")
		if !ok || value == "" || !slices.Contains(words(), strings.ToLower(name)) {
			name, value = "", term
		}
		if name == "subject" {
			rest = append(rest, value)
			continue
		}
		if name == "" && !q.guess(value) {
			rest = append(rest, value)
		} else if name != "" {
			if err := q.set(strings.ToLower(name), value); err != nil {
				return q, err
			}
		}
	}
	if q.filter.Subject = strings.Join(rest, " "); q.filter.Subject != "" {
		q.said = append(q.said, "“"+q.filter.Subject+"” in the subject")
	}
	return q, nil
}

// guess takes a bare word for an id, a Message-ID or an address, if it is one.
func (q *inquiry) guess(term string) bool {
	bare, _, _ := strings.Cut(strings.Trim(term, "<>"), "@")
	switch _, err := email.ParseID(email.MessagePrefix, bare); {
	case err == nil:
		q.id = bare
	case strings.HasPrefix(term, "<") && strings.HasSuffix(term, ">") && strings.Contains(term, "@"):
		q.filter.MessageID = term
		q.said = append(q.said, "Message-ID "+term)
	case strings.Contains(term, "@"):
		return q.set("recipient", term) == nil
	default:
		return false
	}
	return true
}

// set takes a named value.
func (q *inquiry) set(name, value string) error {
	f := &q.filter
	switch name {
	case "id":
		if _, err := email.ParseID(email.MessagePrefix, value); err != nil {
			return refused("%q is not the id of a message: one begins with msg_.", value)
		}
		q.id = value
		return nil
	case "to", "recipient", "from":
		a, err := email.NewAddress(value, "")
		if err != nil {
			return refused("%q is not a whole mail address. Look for a part of it with domain:example.org.", value)
		}
		if name == "from" {
			f.From = a.Email
		} else {
			f.Recipient, name = a.Email, "to"
		}
		value = a.Email
	case "tag":
		f.Tags = append(f.Tags, value)
	case "domain":
		domain, err := email.ParseDomain(value)
		if err != nil {
			return refused("%q is not a domain.", value)
		}
		f.Domain, value = domain, domain
	case "stream":
		f.Stream = value
	case "batch":
		f.Batch = value
	case "status":
		return q.setStatuses(value)
	}
	q.said = append(q.said, name+" "+value)
	return nil
}

// setStatuses adds statuses to those of which a message may have any.
func (q *inquiry) setStatuses(value string) error {
	for _, name := range statuses(value) {
		s := email.Status(name)
		if !slices.Contains(email.MessageStatuses(), s) {
			return refused("%q is not a status.", name)
		}
		if !slices.Contains(q.filter.Statuses, s) {
			q.filter.Statuses = append(q.filter.Statuses, s)
		}
	}
	return nil
}

// statuses are several in one value, as in bounced,failed.
func statuses(value string) []string { return strings.Split(value, ",") }

// sinces are the times that the list offers.
func sinces() []choice {
	return []choice{{Label: "Any time"}, {Value: "1h", Label: "Last hour"}, {Value: "24h", Label: "Last day"}, {Value: "7d", Label: "Last 7 days"}, {Value: "30d", Label: "Last 30 days"}}
}

func sinceTime(value string, now time.Time) time.Time {
	for s, back := range map[string]time.Duration{"1h": time.Hour, "24h": 24 * time.Hour, "7d": 7 * 24 * time.Hour, "30d": 30 * 24 * time.Hour} {
		if s == value {
			return now.Add(-back)
		}
	}
	return time.Time{}
}

// readInquiry reads the whole query of the list.
func readInquiry(v url.Values, now time.Time) (inquiry, error) {
	q, err := readSearch(v.Get("q"))
	if err != nil {
		return q, err
	}
	if v.Get("status") != "" {
		q.filter.Statuses = nil // chosen later than what the box says
	}
	for _, name := range []string{"status", "tag", "domain", "recipient"} {
		if value := v.Get(name); value != "" {
			if err := q.set(name, value); err != nil {
				return q, err
			}
		}
	}
	if len(q.filter.Statuses) > 0 {
		var labels []string
		for _, s := range q.filter.Statuses {
			labels = append(labels, label(s))
		}
		q.said = append(q.said, "status "+strings.Join(labels, " or "))
	}
	if q.filter.CreatedAfter = sinceTime(v.Get("since"), now); !q.filter.CreatedAfter.IsZero() {
		q.said = append(q.said, "accepted within "+v.Get("since"))
	}
	for name, to := range map[string]*time.Time{"after": &q.filter.CreatedAfter, "before": &q.filter.CreatedBefore} {
		if value := v.Get(name); value != "" {
			at, err := time.Parse(time.RFC3339, value)
			if err != nil {
				return q, refused("%q is not a time as in 2026-11-27T08:00:00Z.", value)
			}
			*to = at
			q.said = append(q.said, "accepted "+name+" "+at.Local().Format("2 Jan 15:04:05"))
		}
	}
	if v.Get("after") != "" {
		// The bucket of a chart begins with its first moment.
		q.filter.CreatedAfter = q.filter.CreatedAfter.Add(-time.Millisecond)
	}
	return q, nil
}

// messages is the list, and the search.
func (d *dashboard) messages(v *visit) error {
	query := v.URL.Query()
	q, err := readInquiry(query, d.Now())
	if err != nil {
		return err
	}
	if q.filter.Subject != "" && !v.by.May(Read) {
		return &refusal{http.StatusForbidden, "Not allowed", "To look for words of subjects needs the right to read mails, which you do not have. Look for recipient, tag, status or time."}
	}
	p := messagesPage{frame: d.frame(v, "Messages"), Filters: q.said, Any: len(q.said) > 0, Search: url.Values{}}
	p.Query = query.Get("q")
	if q.id != "" {
		for _, w := range d.Worlds {
			if _, err := d.Store.Messages.Get(v.Context(), w, q.id); err == nil {
				return seeMessage(v, q.id)
			}
		}
		return &refusal{404, "No such message", "There is no message " + q.id + ", or it was forgotten."}
	}
	before := query.Get("from")
	if _, err := email.ParseID(email.MessagePrefix, before); before != "" && err != nil {
		return refused("The page that you asked for does not exist.")
	}
	list, next, err := d.Store.Messages.List(v.Context(), v.world, q.filter, before, shown)
	if err != nil {
		return err
	}
	for _, m := range list {
		p.Rows = append(p.Rows, v.messageRow(m))
	}
	for _, name := range []string{"q", "status", "tag", "domain", "recipient", "since", "after", "before"} {
		if value := query.Get(name); value != "" {
			p.Search.Set(name, value)
		}
	}
	p.place(before, next)
	p.choose(query)
	return d.render(v, "messages.html", p)
}

func seeMessage(v *visit, id string) error {
	v.w.Header().Set("Location", "/ui/messages/"+id)
	v.w.WriteHeader(303)
	return nil
}

// place says where the page is in the list.
func (p *messagesPage) place(before, next string) {
	if before == "" {
		p.frame = p.every(refreshList)
	} else {
		p.Newest = withQuery("/ui/messages", p.Search)
	}
	if next != "" {
		p.Older = with("/ui/messages", p.Search, "from", next)
		if len(p.Rows) < shown {
			if id, err := email.ParseID(email.MessagePrefix, next); err == nil {
				p.LookedTo = email.IDTime(id)
			}
		}
	}
}

// choose makes the choices of status and time.
func (p *messagesPage) choose(query url.Values) {
	p.Statuses = []choice{{"", "All", with("/ui/messages", p.Search, "status", ""), query.Get("status") == ""}}
	for _, s := range email.MessageStatuses() {
		p.Statuses = append(p.Statuses, choice{string(s), label(s), with("/ui/messages", p.Search, "status", string(s)), slices.Contains(statuses(query.Get("status")), string(s))})
	}
	p.Since = sinces()
	for i := range p.Since {
		p.Since[i].Chosen = p.Since[i].Value == query.Get("since")
	}
}

// with is an address with one value of its query changed; empty: taken out.
func with(to string, q url.Values, name, value string) string {
	changed := url.Values{}
	for n, v := range q {
		changed[n] = v
	}
	if changed.Del(name); value != "" {
		changed.Set(name, value)
	}
	return withQuery(to, changed)
}
