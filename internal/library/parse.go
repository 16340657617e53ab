package library

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"postrider/internal/store"
	"postrider/templates"
)

// edition says which version of the layouts and partials that a template uses is taken.
type edition int

const (
	published       edition = iota // what live mail is made from
	publishedOrLast                // the same, or the draft of what never was published: for tests and previews
	drafts                         // what is being written: for saving
)

// version picks a template's version of an edition; nil if it has none.
func (e edition) version(t *store.Template) *store.TemplateVersion {
	switch {
	case e == drafts, e == publishedOrLast && t.Published == 0:
		return &t.Draft
	}
	return t.Version(t.Published)
}

// parse reads a version of a message with what it uses. Errors: *templates.ParseError,
// or those of reading.
func (r *Reading) parse(ctx context.Context, t *store.Template, v *store.TemplateVersion, uses edition) (*templates.Template, error) {
	key := parsedKey{t.ID, v.Digest, uses}
	r.shelf.mu.Lock()
	parsed := r.shelf.parsed[key]
	r.shelf.mu.Unlock()
	if parsed != nil && r.draft == nil {
		return parsed, nil
	}
	content, err := r.Content(ctx, t, v)
	if err != nil {
		return nil, err
	}
	if parsed, err = r.parseContent(ctx, content, uses); err != nil || r.draft != nil {
		return parsed, err
	}
	r.shelf.mu.Lock()
	defer r.shelf.mu.Unlock()
	if len(r.shelf.parsed) >= keptParsed {
		clear(r.shelf.parsed)
	}
	r.shelf.parsed[key] = parsed
	return parsed, nil
}

// parseContent reads a message.
func (r *Reading) parseContent(ctx context.Context, c *store.TemplateContent, uses edition) (*templates.Template, error) {
	src, err := source(c)
	if err != nil {
		return nil, err
	}
	if c.Layout != "" {
		// Faults name the layout as people do.
		if t := r.shelf.Templates[c.Layout]; t != nil {
			src.Layout = Name(t)
		}
	}
	return templates.Parse(src, templates.Options{Lookup: r.lookup(ctx, uses)})
}

// lookup finds layouts and partials.
func (r *Reading) lookup(ctx context.Context, uses edition) templates.Lookup {
	return func(kind templates.Kind, name string) (*templates.Source, error) {
		if o := r.draft; o != nil && (name == o.id || name == o.alias && name != "") {
			o.used = true
			if o.gone || o.kind != string(kind) {
				return nil, templates.ErrNotFound
			}
			return source(o.content)
		}
		t, err := r.Find(name)
		if err != nil || t.Kind != string(kind) || r.draft != nil && r.draft.id == t.ID {
			return nil, templates.ErrNotFound
		}
		v := uses.version(t)
		if v == nil {
			r.unpublished = append(r.unpublished, "the "+t.Kind+" "+Name(t))
			return nil, templates.ErrNotFound
		}
		c, err := r.Content(ctx, t, v)
		if err != nil {
			return nil, err
		}
		return source(c)
	}
}

// source is a content as the language takes it.
func source(c *store.TemplateContent) (*templates.Source, error) {
	src := &templates.Source{Subject: c.Subject, HTML: c.HTML, Text: c.Text, From: c.From, ReplyTo: c.ReplyTo, Layout: c.Layout}
	for i := range c.Variables {
		v := &c.Variables[i]
		out := templates.Variable{Key: v.Key, Type: templates.Type(v.Type), Required: v.Required, Description: v.Description}
		var err error
		if out.Default, err = value(v.Default); err == nil {
			out.Example, err = value(v.Example)
		}
		if err != nil {
			return nil, fmt.Errorf("read the variable %s: %w", v.Key, err)
		}
		src.Variables = append(src.Variables, out)
	}
	return src, nil
}

// value reads JSON with its numbers as they are written.
func value(raw json.RawMessage) (v any, err error) {
	if len(raw) == 0 {
		return nil, nil
	}
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	err = d.Decode(&v)
	return v, err
}

// faultsOf are the faults of an error of parsing; nil if it is another one.
func faultsOf(err error) []templates.Fault {
	var parse *templates.ParseError
	if errors.As(err, &parse) {
		return parse.Faults
	}
	return nil
}
