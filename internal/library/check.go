package library

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"postrider/internal/email"
	"postrider/internal/store"
	"postrider/templates"
)

// Fault is one thing wrong with a template that is to be saved or published. Code is one
// of the sub-codes of validation_failed; Line and Column, from 1, are where in the text.
type Fault struct {
	Pointer      string
	Code         string
	Detail       string
	Line, Column int
}

// Invalid is a template with faults, all of them.
type Invalid struct{ Faults []Fault }

func (e *Invalid) Error() string {
	return fmt.Sprintf("invalid template: %d faults, the first: %s at %s", len(e.Faults), e.Faults[0].Detail, e.Faults[0].Pointer)
}

// The codes of faults.
const (
	codeRequired  = "required"
	codeFormat    = "invalid_format"
	codeTooLong   = "too_long"
	codeTooMany   = "too_many"
	codeExclusive = "mutually_exclusive"
	codeTemplate  = "invalid_template"
)

// The limits of a template's members, in characters, beside those of the language.
const (
	maxName        = 200
	maxHeader      = 2000 // of a subject or address as it is written, before its variables are filled in
	maxVariables   = 200
	maxDescription = 500
	maxValue       = 16 << 10 // octets of a default or an example
)

var aliasPattern = regexp.MustCompile(`^[a-z][a-z0-9_-]{0,63}$`)

// checkHead looks at what is said about a template beside its texts.
func checkHead(t *store.Template) (faults []Fault) {
	switch {
	case strings.TrimSpace(t.Name) == "":
		faults = append(faults, Fault{Pointer: "#/name", Code: codeRequired, Detail: "is required"})
	case utf8.RuneCountInString(t.Name) > maxName:
		faults = append(faults, Fault{Pointer: "#/name", Code: codeTooLong, Detail: fmt.Sprintf("has more than %d characters", maxName)})
	case hasControl(t.Name):
		faults = append(faults, Fault{Pointer: "#/name", Code: codeFormat, Detail: "holds control characters"})
	}
	switch {
	case t.Alias == "":
	case !aliasPattern.MatchString(t.Alias):
		faults = append(faults, Fault{
			Pointer: "#/alias", Code: codeFormat,
			Detail: "must be a lower-case letter and up to 63 lower-case letters, digits, - and _",
		})
	case strings.HasPrefix(t.Alias, email.TemplatePrefix+"_"):
		faults = append(faults, Fault{Pointer: "#/alias", Code: codeFormat, Detail: "looks like an id: it must not begin with tpl_"})
	}
	if !slices.Contains([]string{Message, Layout, Partial}, t.Kind) {
		faults = append(faults, Fault{Pointer: "#/kind", Code: codeFormat, Detail: "is neither message nor layout nor partial"})
	}
	return faults
}

func hasControl(s string) bool {
	return !utf8.ValidString(s) || strings.ContainsFunc(s, func(r rune) bool { return unicode.IsControl(r) || email.IsBidiControl(r) })
}

// checkContent looks at the members of a content, apart from the language in them.
func (r *Reading) checkContent(kind string, c *store.TemplateContent) (faults []Fault) {
	add := func(pointer, code, detail string) {
		faults = append(faults, Fault{Pointer: pointer, Code: code, Detail: detail})
	}
	if c.HTML == "" && c.Text == "" {
		add("#/html", codeRequired, "is required unless text is given")
	}
	headers := []struct{ name, value string }{{"subject", c.Subject}, {"from", c.From}, {"reply_to", c.ReplyTo}}
	for _, h := range headers {
		switch {
		case h.value != "" && kind != Message:
			add("#/"+h.name, codeExclusive, "belongs to messages: a "+kind+" has html and text only")
		case utf8.RuneCountInString(h.value) > maxHeader:
			add("#/"+h.name, codeTooLong, fmt.Sprintf("has more than %d characters", maxHeader))
		case h.value == "" || h.name == "subject" || strings.Contains(h.value, "{{"):
		default:
			if _, err := email.ParseAddress(h.value); err != nil {
				add("#/"+h.name, "invalid_email", err.Error())
			}
		}
	}
	if kind != Message {
		if c.Layout != "" {
			add("#/layout_id", codeExclusive, "belongs to messages: a "+kind+" has no layout")
		}
		if len(c.Variables) > 0 {
			add("#/variables", codeExclusive, "belong to messages: a "+kind+" shows those of the message")
		}
		return faults
	}
	if c.Subject == "" {
		add("#/subject", codeRequired, "is required")
	}
	return append(append(faults, r.checkLayout(c)...), checkVariables(c.Variables)...)
}

func (r *Reading) checkLayout(c *store.TemplateContent) []Fault {
	if t := r.shelf.Templates[c.Layout]; c.Layout == "" || t != nil && t.Kind == Layout {
		return nil
	}
	return []Fault{{Pointer: "#/layout_id", Code: codeFormat, Detail: "is not the id or alias of a layout"}}
}

// VariableTypes are those that a variable may be declared with.
func VariableTypes() []string {
	return []string{
		string(templates.TypeString), string(templates.TypeNumber), string(templates.TypeBoolean),
		string(templates.TypeObject), string(templates.TypeArray),
	}
}

// checkVariables looks at what the language does not.
func checkVariables(list []store.TemplateVariable) (faults []Fault) {
	if len(list) > maxVariables {
		return []Fault{{Pointer: "#/variables", Code: codeTooMany, Detail: fmt.Sprintf("has more than %d elements", maxVariables)}}
	}
	for i, v := range list {
		at := fmt.Sprintf("#/variables/%d", i)
		if utf8.RuneCountInString(v.Description) > maxDescription {
			faults = append(faults, Fault{Pointer: at + "/description", Code: codeTooLong, Detail: fmt.Sprintf("has more than %d characters", maxDescription)})
		}
		if len(v.Default) > maxValue {
			faults = append(faults, Fault{Pointer: at + "/default", Code: codeTooLong, Detail: fmt.Sprintf("has more than %d octets", maxValue)})
		}
		if len(v.Example) > maxValue {
			faults = append(faults, Fault{Pointer: at + "/example", Code: codeTooLong, Detail: fmt.Sprintf("has more than %d octets", maxValue)})
		}
	}
	return faults
}

// parseKind reads a content of any kind. r.draft must be what is read, unless it is a
// message.
func (r *Reading) parseKind(ctx context.Context, kind string, c *store.TemplateContent, uses edition) (*templates.Template, error) {
	switch kind {
	case Message:
		return r.parseContent(ctx, c, uses)
	case Layout: // as a message sees it
		sample := &templates.Source{Layout: r.draft.id}
		if c.HTML != "" {
			sample.HTML = "<p>The mail itself stands here.</p>"
		}
		if c.Text != "" {
			sample.Text = "The mail itself stands here.\n"
		}
		return templates.Parse(sample, templates.Options{Lookup: r.lookup(ctx, uses)})
	}
	return templates.Parse(&templates.Source{HTML: c.HTML, Text: c.Text}, templates.Options{Lookup: r.lookup(ctx, uses)})
}

// checkLanguage reads a template as it would be, with an edition of what it uses.
// Errors: internal.
func (r *Reading) checkLanguage(ctx context.Context, t *store.Template, c *store.TemplateContent, uses edition) ([]Fault, error) {
	r.draft, r.unpublished = &overlay{id: t.ID, alias: t.Alias, kind: t.Kind, content: c}, nil
	defer func() { r.draft = nil }()
	_, err := r.parseKind(ctx, t.Kind, c, uses)
	if err == nil {
		return nil, nil
	}
	found := faultsOf(err)
	if found == nil {
		return nil, err
	}
	var faults []Fault
	for _, name := range r.unpublished {
		faults = append(faults, Fault{Pointer: "#", Code: codeTemplate, Detail: "uses " + name + ", which is not published: publish that first"})
	}
	if len(faults) > 0 {
		return faults, nil
	}
	for _, f := range found {
		faults = append(faults, placed(t, f))
	}
	return faults, nil
}

// placed says where in a template's members a fault is.
func placed(t *store.Template, f templates.Fault) Fault {
	out := Fault{Pointer: "#/" + string(f.Part), Code: codeTemplate, Detail: f.Detail, Line: f.Line, Column: f.Column}
	if f.Declared != "" {
		out.Pointer = "#/variables/" + f.Declared
	}
	if f.Hint != "" {
		out.Detail += ": " + f.Hint
	}
	if f.In != "" && f.In != t.ID && f.In != t.Alias {
		out.Detail = fmt.Sprintf("in %s at %d:%d: %s", f.In, f.Line, f.Column, out.Detail)
		out.Line, out.Column = 0, 0
	}
	return out
}
