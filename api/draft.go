package api

import (
	"fmt"

	"postrider/internal/email"
	"postrider/internal/intake"
)

// decoder turns JSON into a draft and collects what is wrong with its shape. A member
// with a fault is left out of the draft.
type decoder struct{ faults []intake.Fault }

func (d *decoder) fault(pointer, code, detail string) {
	d.faults = append(d.faults, intake.Fault{Pointer: pointer, Code: code, Detail: detail})
}

// wrongType notes that a value is of another type than it should be.
func (d *decoder) wrongType(pointer, want string) {
	d.fault(pointer, intake.InvalidType, "must be "+want)
}

// decodeDraft reads the body of a send request (api.md 3.1).
func decodeDraft(doc *document) (intake.Draft, []intake.Fault) {
	if doc.crowded && doc.root.kind == objectKind {
		var d decoder
		d.fault("#", intake.TooMany, fmt.Sprintf("has more than %d values", maxValues))
		return intake.Draft{}, d.faults
	}
	return draftOf(doc.root)
}

// draftOf reads a message.
func draftOf(n *node) (draft intake.Draft, faults []intake.Fault) {
	var d decoder
	if n.kind != objectKind {
		d.wrongType("#", "an object")
		return draft, d.faults
	}
	for _, m := range n.children {
		if m.given() {
			d.message(&draft, m)
		}
	}
	return draft, d.faults
}

// message reads one member of a message.
func (d *decoder) message(draft *intake.Draft, m *node) {
	at := member("#", m.name)
	switch m.name {
	case "from":
		draft.From = d.mailbox(m, at)
	case "to":
		draft.To = d.mailboxes(m, at)
	case "cc":
		draft.Cc = d.mailboxes(m, at)
	case "bcc":
		draft.Bcc = d.mailboxes(m, at)
	case "reply_to":
		draft.ReplyTo = d.mailboxes(m, at)
	case "subject":
		draft.Subject = d.str(m, at)
	case "html":
		draft.HTML = d.str(m, at)
	case "text":
		draft.Text = d.str(m, at)
	case "attachments":
		draft.Attachments = d.attachments(m, at)
	case "calendar":
		draft.Calendar = d.calendar(m, at)
	case "headers":
		draft.Headers = d.strings(m, at)
	case "tags":
		draft.Tags = d.tags(m, at)
	case "metadata":
		draft.Metadata = make(map[string]string)
		for _, h := range d.strings(m, at) {
			draft.Metadata[h.Name] = h.Value
		}
	case "scheduled_at":
		draft.ScheduledAt = d.str(m, at)
	case "ttl_seconds":
		draft.TTLSeconds = d.integer(m, at)
	case "stream":
		draft.Stream = d.str(m, at)
	case "supersede":
		draft.Supersede = d.str(m, at)
	case "store_content":
		draft.StoreContent = d.boolean(m, at)
	case "unsubscribe":
		draft.Unsubscribe = d.unsubscribe(m, at)
	case "template":
		draft.Template = d.template(m, at)
	case "tracking":
		d.fault(at, intake.UnsupportedFeature, "is not supported by this version")
	default:
		d.fault(at, intake.UnknownMember, "is not a member of this object")
	}
}

// str reads a string.
func (d *decoder) str(n *node, at string) *string {
	if n.kind != stringKind {
		d.wrongType(at, "a string")
		return nil
	}
	return &n.text
}

// boolean reads true or false.
func (d *decoder) boolean(n *node, at string) *bool {
	if n.kind != boolKind {
		d.wrongType(at, "true or false")
		return nil
	}
	value := n.text == "true"
	return &value
}

// integer reads an integer. As in JSON Schema, 60.0 is one.
func (d *decoder) integer(n *node, at string) *int64 {
	if n.kind != numberKind {
		d.wrongType(at, "an integer")
		return nil
	}
	value, whole, fits := readDecimal(n.text).integer()
	switch {
	case !whole:
		d.wrongType(at, "an integer")
	case !fits:
		d.fault(at, intake.OutOfRange, "is out of range")
	default:
		return &value
	}
	return nil
}

// strings reads an object whose values are strings, in order.
func (d *decoder) strings(n *node, at string) []email.Header {
	if n.kind != objectKind {
		d.wrongType(at, "an object of strings")
		return nil
	}
	var out []email.Header
	for _, m := range n.children {
		if !m.given() {
			continue
		}
		if value := d.str(m, member(at, m.name)); value != nil {
			out = append(out, email.Header{Name: m.name, Value: *value})
		}
	}
	return out
}

// tags reads an array of strings. A faulty one leaves its place empty, so that the
// others keep their positions.
func (d *decoder) tags(n *node, at string) []string {
	if n.kind != arrayKind {
		d.wrongType(at, "an array of strings")
		return nil
	}
	out := make([]string, len(n.children))
	for i, m := range n.children {
		if value := d.str(m, element(at, i)); value != nil {
			out[i] = *value
		}
	}
	return out
}

// mailboxes reads one address or an array of them.
func (d *decoder) mailboxes(n *node, at string) []intake.Mailbox {
	if n.kind != arrayKind {
		if box := d.mailbox(n, at); box != nil {
			return []intake.Mailbox{*box}
		}
		return nil
	}
	out := make([]intake.Mailbox, 0, len(n.children))
	for i, m := range n.children {
		if box := d.mailbox(m, element(at, i)); box != nil {
			out = append(out, *box)
		}
	}
	return out
}

// mailbox reads an address in either form.
func (d *decoder) mailbox(n *node, at string) *intake.Mailbox {
	box := &intake.Mailbox{Pointer: at}
	switch n.kind {
	case stringKind:
		box.Text = n.text
		return box
	case objectKind:
		box.Object = true
	default:
		d.wrongType(at, `a string or an object with "email"`)
		return nil
	}
	before, seen := len(d.faults), false
	for _, m := range n.children {
		if !m.given() {
			continue
		}
		pointer := member(at, m.name)
		switch m.name {
		case "email":
			seen = true
			set(&box.Email, d.str(m, pointer))
		case "name":
			set(&box.Name, d.str(m, pointer))
		default:
			d.fault(pointer, intake.UnknownMember, "is not a member of this object")
		}
	}
	if !seen {
		d.fault(member(at, "email"), intake.Required, "is required")
	}
	if len(d.faults) > before {
		return nil
	}
	return box
}

// attachments reads an array of attachments. A faulty one keeps its place.
func (d *decoder) attachments(n *node, at string) []intake.Attachment {
	if n.kind != arrayKind {
		d.wrongType(at, "an array of attachments")
		return nil
	}
	out := make([]intake.Attachment, len(n.children))
	for i, m := range n.children {
		out[i] = d.attachment(m, element(at, i))
	}
	return out
}

func (d *decoder) attachment(n *node, at string) (a intake.Attachment) {
	if n.kind != objectKind {
		d.wrongType(at, "an object")
		return a
	}
	for _, m := range n.children {
		if !m.given() {
			continue
		}
		pointer := member(at, m.name)
		switch m.name {
		case "filename":
			a.HasFilename = true
			set(&a.Filename, d.str(m, pointer))
		case "content":
			a.HasContent = true
			set(&a.Content, d.str(m, pointer))
		case "content_type":
			set(&a.ContentType, d.str(m, pointer))
		case "content_id":
			set(&a.ContentID, d.str(m, pointer))
		default:
			d.fault(pointer, intake.UnknownMember, "is not a member of this object")
		}
	}
	return a
}

// calendar reads a scheduling message.
func (d *decoder) calendar(n *node, at string) *intake.Calendar {
	if n.kind != objectKind {
		d.wrongType(at, `an object with "content"`)
		return nil
	}
	out := &intake.Calendar{}
	for _, m := range n.children {
		if !m.given() {
			continue
		}
		pointer := member(at, m.name)
		switch m.name {
		case "content":
			set(&out.Content, d.str(m, pointer))
		case "filename":
			out.HasFilename = true
			set(&out.Filename, d.str(m, pointer))
		default:
			d.fault(pointer, intake.UnknownMember, "is not a member of this object")
		}
	}
	return out
}

// unsubscribe reads how to get off the list.
func (d *decoder) unsubscribe(n *node, at string) *intake.Unsubscribe {
	if n.kind != objectKind {
		d.wrongType(at, `an object with "url"`)
		return nil
	}
	out := &intake.Unsubscribe{}
	for _, m := range n.children {
		if !m.given() {
			continue
		}
		pointer := member(at, m.name)
		switch m.name {
		case "url":
			out.HasURL = true
			set(&out.URL, d.str(m, pointer))
		case "hosted":
			d.fault(pointer, intake.UnsupportedFeature, "is not supported by this version: give the url of a page of your own")
		default:
			d.fault(pointer, intake.UnknownMember, "is not a member of this object")
		}
	}
	return out
}

// set copies a value that was read without a fault.
func set(to *string, value *string) {
	if value != nil {
		*to = *value
	}
}
