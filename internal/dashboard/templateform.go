package dashboard

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"reflect"
	"strconv"
	"strings"

	"postrider/internal/library"
	"postrider/internal/store"
	"postrider/templates"
)

const (
	// maxTemplateForm is room for what a template may have, as forms write it.
	maxTemplateForm = 8 << 20
	maxSample       = 256 << 10
	// maxRows is more than the variables that a template may declare.
	maxRows = 400
)

// templateForm is what the fields of the editor hold.
type templateForm struct {
	ETag                           string // of the draft that was read
	From, ReplyTo, Subject, Layout string
	HTML, Text                     string
	Rows                           []variableRow
	Sample                         string
	Choice                         frameChoice
	Part                           string // that is in front
	data, model                    map[string]any
	sampleFault                    *library.Fault
	before                         *library.Stored
}

// variableRow is one declared variable, as it is entered.
type variableRow struct {
	Key, Type, Default, Description string
	Required                        bool
}

// frameChoice is how a preview is looked at.
type frameChoice struct{ Dark, Images bool }

// formOf fills the fields with what is stored. model: data to show it with.
func formOf(t *library.Stored, model map[string]any) *templateForm {
	c := t.Content
	f := &templateForm{
		ETag: t.ETag, From: c.From, ReplyTo: c.ReplyTo, Subject: c.Subject, Layout: c.Layout, HTML: c.HTML, Text: c.Text,
		before: t, model: model, data: model,
	}
	for _, x := range c.Variables {
		f.Rows = append(f.Rows, variableRow{x.Key, x.Type, writtenDefault(x.Type, x.Default), x.Description, x.Required})
	}
	f.Sample = indented(compactJSON(model))
	return f
}

// readTemplateForm is what somebody entered, for a template as it stands.
func readTemplateForm(form url.Values, before *library.Stored, model map[string]any) *templateForm {
	f := &templateForm{
		ETag: form.Get("etag"), From: form.Get("from"), ReplyTo: form.Get("reply_to"), Subject: form.Get("subject"),
		Layout: form.Get("layout"), HTML: lines(form.Get("html")), Text: lines(form.Get("text")), Sample: lines(form.Get("sample")),
		Choice: frameChoice{form.Get("scheme") == "dark", form.Get("images") == "on"},
		Part:   form.Get("part"), before: before, model: model,
	}
	for i := range maxRows {
		at := "v" + strconv.Itoa(i) + "-"
		if !form.Has(at + "key") {
			break
		}
		row := variableRow{strings.TrimSpace(form.Get(at + "key")), form.Get(at + "type"), form.Get(at + "default"), form.Get(at + "description"), form.Get(at+"required") != ""}
		if row.Key != "" {
			f.Rows = append(f.Rows, row)
		}
	}
	f.data, f.sampleFault = readSample(f.Sample)
	return f
}

// lines are those of a text with the line ends that are stored: forms send CR LF.
func lines(s string) string {
	return strings.ReplaceAll(strings.ReplaceAll(s, "\r\n", "\n"), "\r", "\n")
}

// readSample reads data to show a template with; empty: the examples.
func readSample(s string) (map[string]any, *library.Fault) {
	switch {
	case strings.TrimSpace(s) == "":
		return nil, nil
	case len(s) > maxSample:
		return nil, &library.Fault{Detail: fmt.Sprintf("has more than %s", octets(maxSample))}
	}
	data, err := templates.Data([]byte(s))
	var syntax *json.SyntaxError
	switch {
	case errors.As(err, &syntax):
		before := s[:min(len(s), max(0, int(syntax.Offset)-1))]
		line := strings.Count(before, "\n") + 1
		column := len([]rune(before[strings.LastIndexByte(before, '\n')+1:])) + 1
		return nil, &library.Fault{Line: line, Column: column, Detail: "is no JSON from here on: " + syntax.Error()}
	case err != nil:
		return nil, &library.Fault{Detail: `must be one JSON object, such as {"name": "Ada"}`}
	case data == nil:
		data = map[string]any{}
	}
	return data, nil
}

// edit is what of the template the fields change. What they leave is not said again, so
// that line ends that a browser cannot keep stay as they are.
func (f *templateForm) edit() (e *library.Edit, faults []library.Fault) {
	c := f.before.Content
	e = &library.Edit{HTML: changed(f.HTML, c.HTML), Text: changed(f.Text, c.Text)}
	if f.before.Kind != library.Message {
		return e, nil
	}
	e.From, e.ReplyTo, e.Subject = changed(f.From, c.From), changed(f.ReplyTo, c.ReplyTo), changed(f.Subject, c.Subject)
	e.Layout = changed(f.Layout, c.Layout)
	variables, faults := f.variables()
	if !reflect.DeepEqual(variables, c.Variables) && len(variables)+len(c.Variables) > 0 {
		e.Variables = &variables
	}
	return e, faults
}

func changed(entered, stored string) *string {
	if lines(entered) == lines(stored) {
		return nil
	}
	return &entered
}

// variables are the rows as declarations, with their examples out of the sample.
func (f *templateForm) variables() (list []store.TemplateVariable, faults []library.Fault) {
	stored := map[string]store.TemplateVariable{}
	for _, x := range f.before.Content.Variables {
		stored[x.Key] = x
	}
	list = make([]store.TemplateVariable, len(f.Rows))
	for i, row := range f.Rows {
		was := stored[row.Key]
		x := store.TemplateVariable{Key: row.Key, Type: row.Type, Required: row.Required, Description: row.Description}
		value, err := readDefault(row.Type, row.Default)
		if err != nil {
			faults = append(faults, library.Fault{Pointer: fmt.Sprintf("#/variables/%d/default", i), Detail: err.Error()})
		}
		x.Default = keepJSON(value, was.Default)
		x.Example = was.Example
		if f.data != nil {
			x.Example = f.example(row.Key, was.Example)
		}
		list[i] = x
	}
	return list, faults
}

// example is what the sample has of a variable. What only stands there because nobody
// gave an example is none.
func (f *templateForm) example(key string, was json.RawMessage) json.RawMessage {
	value, ok := member(f.data, key)
	if !ok || value == nil {
		return nil
	}
	if made, had := member(f.model, key); had && was == nil && reflect.DeepEqual(compactJSON(made), compactJSON(value)) {
		return nil
	}
	return keepJSON(compactJSON(value), was)
}

// keepJSON is a value as it was written before, if it says the same.
func keepJSON(now, before json.RawMessage) json.RawMessage {
	var a, b any
	if now != nil && json.Unmarshal(now, &a) == nil && json.Unmarshal(before, &b) == nil && reflect.DeepEqual(a, b) {
		return before
	}
	return now
}

// member is what data have at a dotted path.
func member(data map[string]any, path string) (any, bool) {
	name, rest, deeper := strings.Cut(path, ".")
	value, ok := data[name]
	if !deeper || !ok {
		return value, ok
	}
	inner, ok := value.(map[string]any)
	if !ok {
		return nil, false
	}
	return member(inner, rest)
}

// writtenDefault is a default as people enter it: a string without its quotes.
func writtenDefault(kind string, raw json.RawMessage) string {
	var s string
	if kind == string(templates.TypeString) && json.Unmarshal(raw, &s) == nil && s != "" && !strings.HasPrefix(s, `"`) {
		return s
	}
	return string(raw)
}

func readDefault(kind, s string) (json.RawMessage, error) {
	if s = strings.TrimSpace(s); s == "" {
		return nil, nil
	}
	var value any
	d := json.NewDecoder(strings.NewReader(s))
	d.UseNumber()
	err := d.Decode(&value)
	if _, quoted := value.(string); kind == string(templates.TypeString) && (err != nil || !quoted) {
		return compactJSON(s), nil
	}
	if err != nil || d.More() {
		return nil, fmt.Errorf("is no JSON of the type %s", kind)
	}
	return compactJSON(value), nil
}

// compactJSON writes a value that came from JSON, without escapes for HTML.
func compactJSON(value any) json.RawMessage {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if e.Encode(value) != nil {
		return nil // nothing that came from JSON
	}
	return bytes.TrimSpace(b.Bytes())
}
