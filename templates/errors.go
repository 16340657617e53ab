package templates

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"
)

// ErrNotFound is what a [Lookup] returns (or wraps) for a name that it does not have:
// then the template is at fault, not the lookup.
var ErrNotFound = errors.New("there is no such template")

// ErrLimit is wrapped by errors of templates and data that would take too much.
var ErrLimit = errors.New("template limit reached")

// maxFaults is how many faults or missing variables one error lists.
const maxFaults = 100

// Fault is one thing that is wrong, at its place.
type Fault struct {
	Part   Part   // subject, html, text...; "" if it is in a declaration
	In     string // the partial or layout that it is in; "" for the template itself
	Line   int    // from 1
	Column int    // from 1, in characters
	Detail string // what is wrong: "{{#if}} is never closed"
	Hint   string // what to do about it, or ""
	// Declared is which member of the declared variables it is, such as "2/default" for the
	// default of the third; "" if it is in no declaration.
	Declared string
}

// String is the fault in one line.
func (f Fault) String() string {
	s := string(f.Part)
	if f.Declared != "" {
		s = "variables/" + f.Declared
	}
	if f.In != "" {
		s += " of " + f.In
	}
	if f.Line > 0 {
		s += fmt.Sprintf(":%d:%d", f.Line, f.Column)
	}
	s += ": " + f.Detail
	if f.Hint != "" {
		s += " (" + f.Hint + ")"
	}
	return s
}

// ParseError says all that is wrong with a template.
type ParseError struct{ Faults []Fault }

// Error lists the faults.
func (e *ParseError) Error() string { return "parse template: " + list(e.Faults) }

// RenderError says what a value did that the template does not allow, such as a link
// that is none. It never holds the value: that may be a secret. It wraps [ErrLimit] if a
// limit ended the rendering.
type RenderError struct {
	Faults []Fault
	limit  bool
}

// Error lists the faults.
func (e *RenderError) Error() string { return "render template: " + list(e.Faults) }

// Unwrap gives ErrLimit or nil.
func (e *RenderError) Unwrap() error {
	if e.limit {
		return ErrLimit
	}
	return nil
}

// Missing is a variable that a template needs and its data lack.
type Missing struct {
	Path   string // from the data's root, such as "order.items.1.price"
	Key    string // as written in the template, such as "price"
	Part   Part   // "" if no part shows it: it is declared as required
	In     string
	Line   int
	Column int
}

// MissingError lists every variable that is missing, once each. Where a template needs
// several hundred, the first hundred are listed.
type MissingError struct{ Missing []Missing }

// Error names the variables.
func (e *MissingError) Error() string {
	return "render template: missing variables: " + strings.Join(e.Paths(), ", ")
}

// Paths are the variables' names, in the order in which they were missed.
func (e *MissingError) Paths() []string {
	paths := make([]string, len(e.Missing))
	for i, m := range e.Missing {
		paths[i] = m.Path
	}
	return paths
}

// DataError lists variables whose values are not what their declarations say.
type DataError struct{ Faults []DataFault }

// DataFault is one value of another type than declared.
type DataFault struct {
	Path string // the declared key
	Want Type
	Got  Type
}

// Error lists the faults.
func (e *DataError) Error() string {
	parts := make([]string, len(e.Faults))
	for i, f := range e.Faults {
		parts[i] = fmt.Sprintf("%s is declared as %s and is %s", f.Path, f.Want, f.Got)
	}
	return "render template: " + strings.Join(parts, "; ")
}

func list(faults []Fault) string {
	parts := make([]string, len(faults))
	for i, f := range faults {
		parts[i] = f.String()
	}
	return strings.Join(parts, "; ")
}

// source is one part's text with where it comes from.
type source struct {
	part Part
	in   string
	text string
}

// pos is a place in a source.
type pos struct {
	src *source
	off int
}

// fault is a fault at the place.
func (p pos) fault(detail, hint string) Fault {
	f := Fault{Part: p.src.part, In: p.src.in, Detail: detail, Hint: hint}
	f.Line, f.Column = p.lineColumn()
	return f
}

func (p pos) lineColumn() (line, column int) {
	before := p.src.text[:min(max(p.off, 0), len(p.src.text))]
	line = 1 + strings.Count(before, "\n")
	column = 1 + utf8.RuneCountInString(before[strings.LastIndexByte(before, '\n')+1:])
	return line, column
}

// faults collects what is wrong with one template while it is parsed.
type faults struct{ list []Fault }

// declared adds a fault of a member of the i-th declaration.
func (f *faults) declared(i int, member, detail, hint string) {
	if !f.full() {
		f.list = append(f.list, Fault{Detail: detail, Hint: hint, Declared: fmt.Sprintf("%d/%s", i, member)})
	}
}

func (f *faults) add(at pos, detail, hint string) {
	if !f.full() {
		f.list = append(f.list, at.fault(detail, hint))
	}
}

// full: enough was found, going on is not worth it.
func (f *faults) full() bool { return len(f.list) >= maxFaults }
