// Package templates is the language that mails are written in: a strict, bounded and
// introspectable subset of Handlebars. It is a library of its own.
//
//	t, err := templates.Parse(&templates.Source{
//		Subject: "Your order {{order.id}}",
//		HTML:    `<p>Hi {{default name "there"}},</p><a href="{{order.url}}">{{order.id}}</a>`,
//	}, templates.Options{})
//	if err != nil {
//		return err // a *ParseError: every fault with part, line, column and hint
//	}
//	out, err := t.Render(map[string]any{"order": map[string]any{"id": "A-1", "url": "https://shop.example/A-1"}})
//	if err != nil {
//		return err // a *MissingError lists all variables that were not given
//	}
//	send(out.Subject, out.HTML)
//
// A template is parsed once and may be kept and rendered by any number of goroutines.
// The language itself is described in docs/templates-language.md.
//
// # What it promises
//
// Nothing is guessed. A variable that is missing, or null, is an error that names it
// ([MissingError]), unless the template says what to do then: a default, a declaration
// or a question ({{#if name}}). Names, helpers, layouts of dates, locales, currencies
// and the HTML around a variable are checked when the template is parsed.
//
// A value is data, whatever it holds. In HTML it is escaped by where it stands: text,
// a quoted attribute, an address (which must be http, https, mailto, tel or cid), a
// value in CSS. Where it cannot be made safe, as in a script, the template is refused.
// In the subject and other headers a value cannot start a new line, and nowhere may it
// turn the direction of the text around it.
//
// Nothing takes long. Time, steps, output, iterations, nesting and the size of the
// source are limited ([Limits]); errors of such templates wrap [ErrLimit]. The steps
// are counted, so that the same template and data end alike on every machine; the time
// is there for the machine that is slow.
//
// Nothing but the data is reached: no files, no environment, no methods of Go values.
// Partials and the layout come from the caller's [Lookup] when the template is parsed,
// so that rendering asks nobody. Names of time zones are looked up in Go's time zone
// database.
//
// # What it is not
//
// It stores nothing and knows no versions. It makes no text part out of HTML, moves no
// CSS and composes no mail: it gives the parts as strings.
package templates

import (
	"fmt"
	"sync"
	"time"

	"postrider/templates/cldr"
)

// Part is one text of a mail.
type Part string

// The parts. Subject, From and ReplyTo are headers: one line each.
const (
	Subject Part = "subject"
	HTML    Part = "html"
	Text    Part = "text"
	From    Part = "from"
	ReplyTo Part = "reply_to"
)

func (p Part) header() bool { return p == Subject || p == From || p == ReplyTo }

// Source is a template as it is written. A part that is "" does not exist.
type Source struct {
	Subject, HTML, Text, From, ReplyTo string
	// Layout names the frame around HTML and Text, "" if there is none. In a layout
	// itself, and in partials, only HTML and Text are read.
	Layout    string
	Variables []Variable // declared ones; those that are not declared are required
}

// part gives one part's text.
func (s *Source) part(p Part) string {
	switch p {
	case Subject:
		return s.Subject
	case HTML:
		return s.HTML
	case Text:
		return s.Text
	case From:
		return s.From
	}
	return s.ReplyTo
}

// Variable declares one: its type, and what happens where it is not given.
type Variable struct {
	Key         string // a name, or a dotted path such as "order.id"
	Type        Type
	Required    bool // must be given, even where no part shows it
	Default     any  // used if it is not given and not nil
	Description string
	Example     any
}

// Kind is what a [Lookup] is asked for.
type Kind string

// The kinds.
const (
	KindPartial Kind = "partial"
	KindLayout  Kind = "layout"
)

// Lookup gives the partial or layout of a name. For one that does not exist it returns
// an error that wraps [ErrNotFound]; any other error ends Parse as it is.
type Lookup func(kind Kind, name string) (*Source, error)

// Options are what Parse needs beside the source. The zero value will do.
type Options struct {
	Lookup Lookup // nil: there are no partials and layouts
	Locale string // of numbers and dates where a helper names none; "" is "en"
	Zone   string // likewise of times; "" is "UTC"
	Limits Limits // zero values stand for the defaults
}

// Limits bound what a template may take.
type Limits struct {
	Time       time.Duration // of one rendering: 250 ms
	Steps      int           // of one rendering: 1,000,000; a node is one, and each 64 bytes that are worked on
	Output     int           // bytes of each part: 5 MiB
	Iterations int           // of all loops in one rendering: 10,000
	Nesting    int           // of blocks and partials in each other: 20
	Source     int           // bytes of a part with its partials and layout: 1 MiB
}

// withDefaults fills the zero values.
func (l Limits) withDefaults() Limits {
	if l.Time == 0 {
		l.Time = 250 * time.Millisecond
	}
	for _, d := range []struct {
		limit *int
		value int
	}{{&l.Steps, 1_000_000}, {&l.Output, 5 << 20}, {&l.Iterations, 10_000}, {&l.Nesting, 20}, {&l.Source, 1 << 20}} {
		if *d.limit == 0 {
			*d.limit = d.value
		}
	}
	return l
}

// Template is a parsed template with its partials and layout. It never changes.
type Template struct {
	parts    []*templatePart
	declared []Variable
	limits   Limits
	locale   *cldr.Locale
	zone     *time.Location
	optional map[string]bool // declared paths that may be missing
	defaults map[string]any  // of declared paths
	inferred *variable       // root of what the parts use
	runs     sync.Pool
}

// templatePart is one part, ready to be rendered.
type templatePart struct {
	part   Part
	body   *fragment
	layout *fragment // nil: none
}

// Parse reads a template with its partials and layout. It returns a [*ParseError] for
// whatever is wrong with them, and the lookup's own error if that failed.
func Parse(src *Source, o Options) (*Template, error) {
	o.Limits = o.Limits.withDefaults()
	t := &Template{limits: o.Limits, declared: src.Variables}
	if err := t.settle(&o); err != nil {
		return nil, err
	}
	c := &compiler{options: &o, helpers: helpers(), partials: map[partialKey]*fragment{}}
	var layout *Source
	if src.Layout != "" {
		layout = c.find(pos{&source{part: HTML}, 0}, KindLayout, src.Layout)
	}
	parts := 0
	for _, p := range []Part{From, ReplyTo, Subject, HTML, Text} {
		if src.part(p) == "" {
			continue
		}
		parts++
		c.size = 0
		tp := &templatePart{part: p}
		if layout != nil && layout.part(p) != "" && !p.header() {
			tp.layout = c.compile(&source{part: p, in: src.Layout, text: layout.part(p)}, true)
		}
		tp.body = c.compile(&source{part: p, text: src.part(p)}, false)
		c.whole(tp)
		t.parts = append(t.parts, tp)
	}
	if parts == 0 {
		c.faults.list = append(c.faults.list, Fault{Part: HTML, Detail: "the template has no text", Hint: "write a subject, html or text"})
	}
	if c.err == nil && len(c.faults.list) == 0 {
		t.declare(c)
	}
	switch {
	case c.err != nil:
		return nil, fmt.Errorf("parse template: %w", c.err)
	case len(c.faults.list) > 0:
		return nil, &ParseError{Faults: c.faults.list}
	}
	return t, nil
}

// settle finds the locale and zone of the options.
func (t *Template) settle(o *Options) error {
	locale, zone := o.Locale, o.Zone
	if locale == "" {
		locale = "en"
	}
	if zone == "" {
		zone = "UTC"
	}
	var ok bool
	if t.locale, ok = cldr.Find(locale); !ok {
		return fmt.Errorf("parse template: %s is not a locale that is known; %s", excerpt(locale), localeHint)
	}
	if t.zone, ok = findZone(zone); !ok {
		return fmt.Errorf("parse template: %s is not a time zone; %s", excerpt(zone), zoneHint)
	}
	return nil
}

// Has reports whether the template has the part.
func (t *Template) Has(p Part) bool {
	for _, tp := range t.parts {
		if tp.part == p {
			return true
		}
	}
	return false
}
