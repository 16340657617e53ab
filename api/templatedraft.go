package api

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"postrider/internal/intake"
	"postrider/internal/library"
	"postrider/internal/store"
)

// readTemplate reads the body of POST (whole) or PATCH /templates. Errors:
// *intake.Invalid.
func readTemplate(doc *document, whole bool) (*library.Edit, error) {
	var (
		edit library.Edit
		dec  decoder
	)
	switch {
	case doc.root.kind != objectKind:
		dec.wrongType("#", "an object")
	case doc.crowded:
		dec.fault("#", intake.TooMany, fmt.Sprintf("has more than %d values", maxValues))
	default:
		for _, m := range doc.root.children {
			if m.given() {
				dec.templateMember(&edit, m)
			}
		}
		if whole && doc.root.child("name") == nil {
			dec.fault("#/name", intake.Required, "is required")
		}
	}
	if len(dec.faults) > 0 {
		return nil, &intake.Invalid{Faults: dec.faults}
	}
	return &edit, nil
}

// templateMember reads one member of a template.
func (d *decoder) templateMember(edit *library.Edit, m *node) {
	at := member("#", m.name)
	switch m.name {
	case "alias":
		edit.Alias = d.str(m, at)
	case "name":
		edit.Name = d.str(m, at)
	case "kind":
		edit.Kind = d.str(m, at)
	case "variables":
		edit.Variables = d.declarations(m, at)
	default:
		d.contentMember(edit, m, at)
	}
}

// contentMember reads what says what a mail says.
func (d *decoder) contentMember(edit *library.Edit, m *node, at string) {
	switch m.name {
	case "layout_id":
		edit.Layout = d.str(m, at)
	case "from":
		edit.From = d.str(m, at)
	case "reply_to":
		edit.ReplyTo = d.str(m, at)
	case "subject":
		edit.Subject = d.str(m, at)
	case "html":
		edit.HTML = d.str(m, at)
	case "text":
		edit.Text = d.str(m, at)
	default:
		d.fault(at, intake.UnknownMember, "is not a member of this object")
	}
}

// declarations reads an array of variables.
func (d *decoder) declarations(n *node, at string) *[]store.TemplateVariable {
	if n.kind != arrayKind {
		d.wrongType(at, "an array of variables")
		return nil
	}
	out := make([]store.TemplateVariable, len(n.children))
	for i, m := range n.children {
		out[i] = d.declaration(m, element(at, i))
	}
	return &out
}

func (d *decoder) declaration(n *node, at string) (v store.TemplateVariable) {
	if n.kind != objectKind {
		d.wrongType(at, "an object")
		return v
	}
	given := n.index()
	v.Required = given["default"] == nil
	for _, m := range n.children {
		if !m.given() {
			continue
		}
		pointer := member(at, m.name)
		switch m.name {
		case "key":
			set(&v.Key, d.str(m, pointer))
		case "type":
			if set(&v.Type, d.str(m, pointer)); v.Type != "" && !slices.Contains(library.VariableTypes(), v.Type) {
				d.fault(pointer, intake.InvalidFormat, "is none of "+strings.Join(library.VariableTypes(), ", "))
			}
		case "required":
			if required := d.boolean(m, pointer); required != nil {
				v.Required = *required
			}
		case "default":
			v.Default = m.json()
		case "description":
			set(&v.Description, d.str(m, pointer))
		case "example":
			v.Example = m.json()
		default:
			d.fault(pointer, intake.UnknownMember, "is not a member of this object")
		}
	}
	for _, name := range []string{"key", "type"} {
		if given[name] == nil {
			d.fault(member(at, name), intake.Required, "is required")
		}
	}
	return v
}

// json is a value as JSON.
func (n *node) json() json.RawMessage {
	raw, err := encode(n.value())
	if err != nil {
		panic(err) // cannot be: it was read from JSON
	}
	return raw
}

// ifMatch reads the header of that name (RFC 9110 13.1.1): which states of a template
// may be changed. nil without it. Errors: *problem.
func (c *call) ifMatch() (library.Condition, error) {
	values := c.Request.Header.Values("If-Match")
	if len(values) == 0 {
		return nil, nil
	}
	list, ok := entityTags(strings.Join(values, ", "))
	if !ok {
		return nil, &problem{
			code: invalidParameter, header: "If-Match",
			detail: `If-Match must be * or a list of entity tags such as "abc", in double quotes.`,
		}
	}
	return func(etag string) bool { return list == nil || slices.Contains(list, quotedETag(etag)) }, nil
}

// entityTags reads a list of entity tags (RFC 9110 8.8.3); nil for "*". Weak ones stay
// as they are: none of ours is equal to one (RFC 9110 8.8.3.2).
func entityTags(s string) (list []string, ok bool) {
	if strings.Trim(s, " \t") == "*" {
		return nil, true
	}
	for {
		s = strings.TrimLeft(s, " \t,")
		if s == "" {
			return list, len(list) > 0
		}
		weak := strings.HasPrefix(s, "W/")
		rest := strings.TrimPrefix(s, "W/")
		if !strings.HasPrefix(rest, `"`) {
			return nil, false
		}
		end := strings.IndexByte(rest[1:], '"')
		if end < 0 {
			return nil, false
		}
		tag := rest[:end+2]
		if weak {
			tag = "W/" + tag
		}
		list = append(list, tag)
		if s = strings.TrimLeft(rest[end+2:], " \t"); s != "" && s[0] != ',' {
			return nil, false
		}
	}
}

func quotedETag(etag string) string { return `"` + etag + `"` }

// previewRequest is what a preview is asked for.
type previewRequest struct {
	edit    library.Edit
	version int            // 0: the draft
	data    map[string]any // nil: the examples
}

// readPreview reads the body of a preview: of a stored template, or of texts of its own.
// Errors: *intake.Invalid, *problem.
func readPreview(r *http.Request, stored bool) (*previewRequest, error) {
	doc, err := readOptionalJSON(r)
	if err != nil {
		return nil, err
	}
	var (
		p   previewRequest
		dec decoder
	)
	if doc.root.kind != objectKind {
		dec.wrongType("#", "an object")
	} else if doc.crowded {
		dec.fault("#", intake.TooMany, fmt.Sprintf("has more than %d values", maxValues))
	}
	for _, m := range doc.root.children {
		at := member("#", m.name)
		switch {
		case len(dec.faults) > 0 && doc.crowded || doc.root.kind != objectKind || !m.given():
		case m.name == "variables":
			p.data = dec.values(m, at)
		case m.name == "version" && stored:
			p.version = dec.version(m, at)
		case stored:
			dec.fault(at, intake.UnknownMember, "is not a member of this object")
		default:
			dec.contentMember(&p.edit, m, at)
		}
	}
	if len(dec.faults) > 0 {
		return nil, &intake.Invalid{Faults: dec.faults}
	}
	return &p, nil
}

// version reads "draft" or the number of a version.
func (d *decoder) version(n *node, at string) int {
	if n.kind == stringKind && n.text == versionDraft {
		return 0
	}
	if n.kind != numberKind {
		d.wrongType(at, `"draft" or the number of a version`)
		return 0
	}
	number := d.integer(n, at)
	if number != nil && (*number < 1 || *number > 1<<31) {
		d.fault(at, intake.OutOfRange, "must be from 1")
	}
	if number == nil {
		return 0
	}
	return int(*number)
}

// template reads the template that a message is made from.
func (d *decoder) template(n *node, at string) *intake.TemplateDraft {
	if n.kind != objectKind {
		d.wrongType(at, `an object with "id"`)
		return nil
	}
	out := &intake.TemplateDraft{}
	for _, m := range n.children {
		if !m.given() {
			continue
		}
		pointer := member(at, m.name)
		switch m.name {
		case "id":
			out.HasID = true
			set(&out.ID, d.str(m, pointer))
		case "version":
			out.Version = d.integer(m, pointer)
		case "variables":
			out.Variables = d.values(m, pointer)
		default:
			d.fault(pointer, intake.UnknownMember, "is not a member of this object")
		}
	}
	return out
}

// values reads an object of any JSON values.
func (d *decoder) values(n *node, at string) map[string]any {
	if n.kind != objectKind {
		d.wrongType(at, "an object")
		return nil
	}
	return n.value().(map[string]any)
}
