package api

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"postrider/internal/intake"
)

// batchBody is the body of a batch, taken apart.
type batchBody struct {
	partial  bool
	defaults *node // nil: none
	messages []*node
	items    []intake.Request // without world and key
	faults   []intake.Fault   // of the whole, apart from its messages
}

// maxBatchContent bounds the text of all messages of a batch, each with the defaults.
const maxBatchContent = 64 << 20

// readBatch reads the body of a batch, whose own key is none of a message. What is wrong
// with a message stays with its item. Errors: *problem for one that is too large.
func (d *door) readBatch(doc *document, key string) (*batchBody, error) {
	var (
		b   batchBody
		dec decoder
	)
	switch {
	case doc.root.kind != objectKind:
		dec.wrongType("#", "an object")
	case doc.crowded:
		dec.fault("#", intake.TooMany, fmt.Sprintf("has more than %d values", maxBatchValues))
	default:
		b.members(&dec, doc.root, d.desk.Limits().Batch)
		if err := b.bound(&dec); err != nil {
			return nil, err
		}
	}
	b.faults = dec.faults
	keys := map[string]bool{key: true}
	for _, m := range b.messages {
		b.items = append(b.items, b.item(m, keys))
	}
	return &b, nil
}

// bound looks at how much the messages are if each takes all of the defaults: a small
// body could be very much. Errors: *problem.
func (b *batchBody) bound(dec *decoder) error {
	values, octets := b.defaults.extent()
	values, octets = values*len(b.messages), octets*int64(len(b.messages))
	for _, m := range b.messages {
		v, o := m.extent()
		values, octets = values+v, octets+o
	}
	if octets > maxBatchContent {
		p := tooLarge(maxBatchContent, &octets)
		p.detail = fmt.Sprintf("The messages, each with the defaults, are larger than %d octets together.", maxBatchContent)
		return p
	}
	if values > maxBatchValues {
		dec.fault("#/defaults", intake.TooMany, fmt.Sprintf("makes more than %d values, once for each message", maxBatchValues))
		b.messages = nil
	}
	return nil
}

// extent is how many values a value is, itself among them, and how much text.
func (n *node) extent() (values int, octets int64) {
	if n == nil {
		return 0, 0
	}
	values, octets = 1, int64(len(n.name)+len(n.text))
	for _, m := range n.children {
		v, o := m.extent()
		values, octets = values+v, octets+o
	}
	return values, octets
}

// members reads the members of a batch.
func (b *batchBody) members(dec *decoder, root *node, most int) {
	seen := false
	for _, m := range root.children {
		at := member("#", m.name)
		switch {
		case !m.given():
		case m.name == "mode":
			mode := dec.str(m, at)
			if mode != nil && *mode != "atomic" && *mode != "partial" {
				dec.fault(at, intake.InvalidFormat, "must be atomic or partial")
			}
			b.partial = mode != nil && *mode == "partial"
		case m.name == "defaults":
			if m.kind != objectKind {
				dec.wrongType(at, "an object")
				continue
			}
			b.defaults = m
			if m.child(itemKey) != nil {
				b.defaults = m.without(itemKey)
				dec.fault(member(at, itemKey), intake.UnknownMember, "is not a member of this object")
			}
		case m.name == "messages":
			seen = true
			switch {
			case m.kind != arrayKind:
				dec.wrongType(at, "an array of messages")
			case len(m.children) == 0:
				dec.fault(at, intake.Required, "is empty")
			case len(m.children) > most:
				dec.fault(at, intake.TooMany, fmt.Sprintf("has more than %d messages", most))
			default:
				b.messages = m.children
			}
		default:
			dec.fault(at, intake.UnknownMember, "is not a member of this object")
		}
	}
	if !seen {
		dec.fault("#/messages", intake.Required, "is required")
	}
}

// itemKey is the member of an item that stands for the header of a single message.
const itemKey = "idempotency_key"

// item reads one message. Its fingerprint is that of the same message sent alone.
func (b *batchBody) item(m *node, keys map[string]bool) intake.Request {
	if m.kind != objectKind {
		_, faults := draftOf(m)
		return intake.Request{Faults: faults}
	}
	merged := merge(b.defaults, m)
	var (
		r   intake.Request
		dec decoder
		key *node
	)
	if key = merged.child(itemKey); key != nil {
		merged = merged.without(itemKey)
	}
	r.Draft, r.Faults = draftOf(merged)
	if key != nil {
		at := member("#", itemKey)
		value := dec.str(key, at)
		switch {
		case value == nil:
		case !validIdempotencyKey(*value):
			dec.fault(at, intake.InvalidFormat, "must be 1 to 255 characters of visible ASCII, spaces only inside")
		case keys[*value]:
			dec.fault(at, intake.MutuallyExclusive, "is that of an earlier message, or of the batch")
		default:
			keys[*value] = true
			r.IdempotencyKey, r.Fingerprint = *value, fingerprint(http.MethodPost, sendRoute, merged)
		}
		r.Faults = append(r.Faults, dec.faults...)
	}
	return r
}

// child is a member by its name, nil if it is absent.
func (n *node) child(name string) *node {
	if n == nil {
		return nil
	}
	for _, m := range n.children {
		if m.name == name && m.given() {
			return m
		}
	}
	return nil
}

// index is the members of an object by their names, null apart: there may be thousands.
func (n *node) index() map[string]*node {
	out := make(map[string]*node, len(n.children))
	for _, m := range n.children {
		if m.given() {
			out[m.name] = m
		}
	}
	return out
}

// without is an object without a member.
func (n *node) without(name string) *node {
	out := *n
	out.children = nil
	for _, m := range n.children {
		if m.name != name {
			out.children = append(out.children, m)
		}
	}
	return &out
}

// mergedMembers are the members of which defaults and an item are taken together, key
// by key: those whose values are objects of the caller's own making.
func mergedMembers(name string) bool {
	return name == "metadata" || name == "template" || name == "variables"
}

// merge lays an item over the defaults: its members take the place of theirs.
func merge(defaults, item *node) *node {
	if defaults == nil {
		return item
	}
	out := *item
	out.children = nil
	ofItem, ofDefaults := item.index(), defaults.index()
	for _, d := range defaults.children {
		own := ofItem[d.name]
		switch {
		case !d.given():
		case own == nil:
			out.children = append(out.children, d)
		case mergedMembers(d.name) && d.kind == objectKind && own.kind == objectKind:
			out.children = append(out.children, merge(d, own))
		default:
			out.children = append(out.children, own)
		}
	}
	for _, m := range item.children {
		if m.given() && ofDefaults[m.name] == nil {
			out.children = append(out.children, m)
		}
	}
	return &out
}

// place says where in the batch a pointer into a message leads: to the message, or to
// the defaults if what it points to comes from there. What neither has, the message lacks.
func (b *batchBody) place(i int, pointer string) string {
	own := element("#/messages", i) + strings.TrimPrefix(pointer, "#")
	from, item := b.defaults, b.messages[i]
	for token := range strings.SplitSeq(strings.TrimPrefix(pointer, "#/"), "/") {
		mine, theirs := item.at(token), from.at(token)
		switch {
		case theirs == nil, mine != nil && !mergedMembers(mine.name):
			return own
		case mine == nil && !mergedMembers(theirs.name):
			return "#/defaults" + strings.TrimPrefix(pointer, "#")
		}
		item, from = mine, theirs
	}
	if item == nil {
		return "#/defaults" + strings.TrimPrefix(pointer, "#")
	}
	return own
}

// at is the member of an object that a reference token of a fragment names (RFC 6901 6).
func (n *node) at(token string) *node {
	if n == nil || n.kind != objectKind {
		return nil
	}
	name, err := url.PathUnescape(token)
	if err != nil {
		return nil
	}
	return n.child(strings.NewReplacer("~1", "/", "~0", "~").Replace(name))
}
