package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"time"
	"unicode/utf8"

	"postrider/internal/email"
	"postrider/internal/intake"
	"postrider/internal/store"
)

// suppressionsRoute stands for the route in Location and fingerprints.
const suppressionsRoute = "/v1/suppressions"

const (
	maxSuppressionBatch = 1000
	maxNote             = 255
)

var streamPattern = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]{0,63}$`)

// suppressionParameters are the query parameters of GET /suppressions.
func suppressionParameters() []string {
	return []string{"limit", "cursor", "email", "reason", "stream", "created_after"}
}

// suppressionView is an address that mail does not go to (api.md 15).
type suppressionView struct {
	Object          string `json:"object"`
	ID              string `json:"id"`
	Livemode        bool   `json:"livemode"`
	CreatedAt       stamp  `json:"created_at"`
	Email           string `json:"email"`
	Reason          string `json:"reason"`
	Domain          text   `json:"domain"`
	Stream          text   `json:"stream"`
	Note            text   `json:"note"`
	SourceMessageID text   `json:"source_message_id"`
	SourceEventID   text   `json:"source_event_id"`
	ExpiresAt       stamp  `json:"expires_at"`
}

func viewSuppression(s *email.Suppression) suppressionView {
	return suppressionView{
		Object: "suppression", ID: s.ID, Livemode: s.World.Livemode(), CreatedAt: stamp(s.CreatedAt), Email: s.Email, Reason: s.Reason,
		Domain: text(s.Domain), Stream: text(s.Stream), Note: text(s.Note), SourceMessageID: text(s.SourceMessage),
		SourceEventID: text(s.SourceEvent), ExpiresAt: stamp(s.ExpiresAt),
	}
}

// ofSuppression gives the store's errors about suppressions their problem.
func ofSuppression(err error) error {
	switch {
	case errors.Is(err, store.ErrNotFound):
		return &problem{code: notFound, detail: "There is no suppression with this id.", resource: "suppression"}
	case errors.Is(err, store.ErrTooManySuppressions):
		return &intake.Invalid{Faults: []intake.Fault{{Pointer: "#", Code: intake.TooMany, Detail: err.Error()}}}
	}
	return err
}

// createSuppression is POST /suppressions: 201, or 200 with what stood there already.
func (d *door) createSuppression(c *call) error {
	doc, err := readJSON(c.Request)
	if err != nil {
		return err
	}
	return d.once(c, suppressionsRoute, doc, func(ctx context.Context) (*reply, error) {
		var dec decoder
		s := dec.suppression(doc.root, "#", d.now())
		if len(dec.faults) > 0 {
			return nil, &intake.Invalid{Faults: dec.faults}
		}
		s.World = c.key.World
		added, err := d.store.Suppressions.Add(ctx, c.key.World, []email.Suppression{*s}, d.now())
		if err != nil {
			return nil, ofSuppression(err)
		}
		status := http.StatusOK
		if added[0].Created {
			status = http.StatusCreated
		}
		return newReply(status, suppressionsRoute+"/"+added[0].Suppression.ID, viewSuppression(&added[0].Suppression))
	})
}

// suppression reads one entry to be added.
func (d *decoder) suppression(n *node, at string, now time.Time) *email.Suppression {
	s := &email.Suppression{ID: email.NewID(email.SuppressionPrefix), Reason: email.SuppressedManual, CreatedAt: now}
	if n.kind != objectKind {
		d.wrongType(at, "an object")
		return s
	}
	given := false
	for _, m := range n.children {
		if !m.given() {
			continue
		}
		pointer := member(at, m.name)
		if m.name == "email" {
			given = true
		}
		if !slices.Contains([]string{"email", "reason", "domain", "stream", "note", "expires_at"}, m.name) {
			d.fault(pointer, intake.UnknownMember, "is not a member of this object")
			continue
		}
		value := d.str(m, pointer)
		if value == nil {
			continue
		}
		if m.name == "reason" && *value != email.SuppressedManual {
			d.fault(pointer, intake.InvalidFormat, "must be manual: the others are made by what happens, or imported")
			continue
		}
		if code, detail := setSuppression(s, m.name, *value, now); code != "" {
			d.fault(pointer, code, detail)
		}
	}
	if !given {
		d.fault(member(at, "email"), intake.Required, "is required")
	}
	return s
}

// setSuppression writes a member of an entry, or says what is wrong with it.
func setSuppression(s *email.Suppression, name, value string, now time.Time) (code, detail string) {
	var err error
	switch name {
	case "email":
		var a email.Address
		if a, err = email.NewAddress(value, ""); err != nil {
			return codeOfAddress(err), "is not a mail address: " + err.Error()
		}
		s.Email = a.Email
	case "reason":
		if s.Reason = value; !slices.Contains(email.SuppressionReasons(), value) {
			return intake.InvalidFormat, "is none of hard_bounce, complaint, unsubscribe, manual"
		}
	case "domain":
		if s.Domain, err = email.ParseDomain(value); err != nil {
			return intake.InvalidFormat, "is not a domain"
		}
	case "stream":
		if s.Stream = value; !streamPattern.MatchString(value) {
			return intake.InvalidFormat, "is not the name of a stream"
		}
	case "note":
		var d decoder
		d.line(value, "", maxNote)
		for _, f := range d.faults {
			return f.Code, f.Detail
		}
		s.Note = value
	case "expires_at":
		if s.ExpiresAt, err = time.Parse(time.RFC3339, value); err != nil {
			return intake.InvalidFormat, "is not a time as in RFC 3339"
		}
		if !s.ExpiresAt.After(now) || s.ExpiresAt.Year() > 9999 {
			return intake.OutOfRange, "must be in the future"
		}
	}
	return "", ""
}

// codeOfAddress is the code of an error of package email.
func codeOfAddress(err error) string {
	switch {
	case errors.Is(err, email.ErrSMTPUTF8):
		return intake.SMTPUTF8NotSupported
	case errors.Is(err, email.ErrTooLong):
		return intake.TooLong
	}
	return intake.InvalidEmail
}

// getSuppression is GET /suppressions/{id}.
func (d *door) getSuppression(c *call) error {
	s, err := d.store.Suppressions.Get(c.ctx(), c.key.World, c.Param("id"))
	if err != nil {
		return ofSuppression(err)
	}
	c.answer(http.StatusOK, viewSuppression(s))
	return nil
}

// deleteSuppression is DELETE /suppressions/{id}.
func (d *door) deleteSuppression(c *call) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(c.ctx()), commitTimeout)
	defer cancel()
	s, err := d.store.Suppressions.Delete(ctx, c.key.World, c.Param("id"), d.now())
	if err != nil {
		return ofSuppression(err)
	}
	d.recordComplaints(ctx, c, *s)
	if s.Reason == email.SuppressedComplaint {
		// RFC 9111 dropped the field, and there is no better one for people.
		c.Header("Warning", `299 - "the recipient complained: writing again harms the reputation of the sender"`)
	}
	c.Status(http.StatusNoContent)
	c.Writer.WriteHeaderNow()
	return nil
}

// recordComplaints notes who took whom off the list that had complained: not the address,
// which the event of the entry has.
func (d *door) recordComplaints(ctx context.Context, c *call, removed ...email.Suppression) {
	for _, s := range removed {
		if s.Reason != email.SuppressedComplaint {
			continue
		}
		d.store.Audit.Note(ctx, d.log, store.Change{
			World: s.World, At: d.now(), Actor: c.key.ID, Action: "suppression.deleted", Object: s.ID,
			Detail: "the recipient had complained", Request: c.GetString(requestIDField),
		})
	}
}

// listSuppressions is GET /suppressions, newest first.
func (d *door) listSuppressions(c *call) error {
	limit, badLimit := c.limit()
	filter, badFilter := c.suppressionFilter()
	if err := allFaults(badLimit, badFilter); err != nil {
		return err
	}
	hash := listHash(c.key.World, "suppressions", filter.Email, filter.Reason, filter.Stream, c.query.Get("created_after"))
	at, err := c.cursor(hash, email.SuppressionPrefix)
	if err != nil {
		return err
	}
	found, next, err := d.store.Suppressions.List(c.ctx(), c.key.World, filter, at.Before, limit)
	if err != nil {
		return err
	}
	data := make([]suppressionView, len(found))
	for i := range found {
		data[i] = viewSuppression(&found[i])
	}
	if next == "" {
		d.answerPage(c, data, nil)
		return nil
	}
	d.answerPage(c, data, &cursor{Version: cursorVersion, List: hash, Before: next})
	return nil
}

// suppressionFilter reads the filters of the list. Errors: *problem with all that is wrong.
func (c *call) suppressionFilter() (store.SuppressionFilter, error) {
	var (
		f      store.SuppressionFilter
		faults []fault
	)
	if c.query.Has("email") {
		a, err := email.NewAddress(c.query.Get("email"), "")
		if err != nil {
			faults = append(faults, fault{Parameter: "email", Code: intake.InvalidEmail, Detail: "is not a mail address"})
		}
		f.Email = a.Email
	}
	if c.query.Has("reason") {
		if f.Reason = c.query.Get("reason"); !slices.Contains(email.SuppressionReasons(), f.Reason) {
			faults = append(faults, fault{Parameter: "reason", Code: intake.InvalidFormat, Detail: "is not a reason"})
		}
	}
	if c.query.Has("stream") {
		if f.Stream = c.query.Get("stream"); !streamPattern.MatchString(f.Stream) {
			faults = append(faults, fault{Parameter: "stream", Code: intake.InvalidFormat, Detail: "is not the name of a stream"})
		}
	}
	if c.query.Has("created_after") {
		var err error
		if f.CreatedAfter, err = time.Parse(time.RFC3339, c.query.Get("created_after")); err != nil {
			faults = append(faults, fault{Parameter: "created_after", Code: intake.InvalidFormat, Detail: "is not a time as in RFC 3339"})
		}
	}
	if len(faults) > 0 {
		return f, badParameters(faults)
	}
	return f, nil
}

// suppressionBatchView says what a batch came to.
type suppressionBatchView struct {
	Object   string `json:"object"`
	Livemode bool   `json:"livemode"`
	Added    int    `json:"added"`
	Existing int    `json:"existing"`
	Removed  int    `json:"removed"`
}

// batchSuppressions is POST /suppressions/batch: all of it or nothing.
func (d *door) batchSuppressions(c *call) error {
	doc, err := readJSON(c.Request)
	if err != nil {
		return err
	}
	return d.once(c, suppressionsRoute+"/batch", doc, func(ctx context.Context) (*reply, error) {
		add, remove, err := d.readSuppressionBatch(doc, c.key.World)
		if err != nil {
			return nil, err
		}
		view := suppressionBatchView{Object: "suppression_batch", Livemode: c.key.World.Livemode()}
		removed, err := d.store.Suppressions.Remove(ctx, c.key.World, remove, d.now())
		if err != nil {
			return nil, err
		}
		view.Removed = len(removed)
		d.recordComplaints(ctx, c, removed...)
		added, err := d.store.Suppressions.Add(ctx, c.key.World, add, d.now())
		if err != nil {
			return nil, ofSuppression(err)
		}
		for _, a := range added {
			if a.Created {
				view.Added++
			} else {
				view.Existing++
			}
		}
		return newReply(http.StatusOK, "", view)
	})
}

// readSuppressionBatch reads what to add and whom to remove. Errors: *intake.Invalid.
func (d *door) readSuppressionBatch(doc *document, w email.World) (add []email.Suppression, remove []string, err error) {
	var dec decoder
	switch {
	case doc.root.kind != objectKind:
		dec.wrongType("#", "an object")
	case doc.crowded:
		dec.fault("#", intake.TooMany, fmt.Sprintf("has more than %d values", maxValues))
	default:
		for _, m := range doc.root.children {
			at := member("#", m.name)
			switch {
			case !m.given():
			case m.name != "add" && m.name != "remove":
				dec.fault(at, intake.UnknownMember, "is not a member of this object")
			case m.kind != arrayKind:
				dec.wrongType(at, "an array")
			case m.name == "add":
				for i, n := range m.children {
					s := dec.suppression(n, element(at, i), d.now())
					s.World = w
					add = append(add, *s)
				}
			default:
				remove = dec.addresses(m, at)
			}
		}
	}
	switch total := len(add) + len(remove); {
	case total > maxSuppressionBatch:
		dec.fault("#", intake.TooMany, fmt.Sprintf("has more than %d entries to add and remove together", maxSuppressionBatch))
	case total == 0 && len(dec.faults) == 0:
		dec.fault("#", intake.Required, "names nothing to add or remove")
	}
	if len(dec.faults) > 0 {
		return nil, nil, &intake.Invalid{Faults: dec.faults}
	}
	return add, remove, nil
}

// addresses reads an array of addr-specs.
func (d *decoder) addresses(n *node, at string) []string {
	var out []string
	for i, m := range n.children {
		value := d.str(m, element(at, i))
		if value == nil {
			continue
		}
		a, err := email.NewAddress(*value, "")
		if err != nil {
			d.fault(element(at, i), codeOfAddress(err), "is not a mail address: "+err.Error())
			continue
		}
		out = append(out, a.Email)
	}
	return out
}

// validText refuses what a CSV file may hold and a JSON text cannot.
func validText(s string) bool { return utf8.ValidString(s) }
