package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"github.com/aymanbagabas/go-udiff"

	"postrider/client"
	"postrider/templates"
)

// templateSync compares a folder with a server.
type templateSync struct {
	client *client.Client
	dir    string
	local  map[string]*templateFiles
	remote map[string]*client.Template // with their texts, by alias
	files  map[string]*templateFiles   // of remote, as they would stand in a folder
	layout map[string]string           // aliases by id
	unlike int                         // templates of the server that have no alias
}

// openSync reads both sides. A folder that is not there yet is empty, if it may be.
func openSync(ctx context.Context, t terminal, dir string, mayLack bool) (*templateSync, error) {
	c, err := remote(t)
	if err != nil {
		return nil, err
	}
	s := &templateSync{client: c, dir: dir, remote: map[string]*client.Template{}, files: map[string]*templateFiles{}, layout: map[string]string{}}
	if s.local, err = readTemplates(dir); err != nil && !(mayLack && isMissing(dir)) {
		return nil, err
	}
	var heads []*client.Template
	for head, err := range c.Templates(ctx, "") {
		if err != nil {
			return nil, fmt.Errorf("list the templates: %w", explain(err))
		}
		heads = append(heads, head)
		if head.Kind == client.KindLayout {
			s.layout[head.ID] = head.Alias
		}
	}
	for _, head := range heads {
		if !aliasPattern.MatchString(head.Alias) {
			s.unlike++
			continue
		}
		full, err := c.Template(ctx, head.ID, 0)
		if err != nil {
			return nil, fmt.Errorf("read the template %s: %w", head.Alias, explain(err))
		}
		s.remote[head.Alias], s.files[head.Alias] = full, filesOf(full, s.layout)
	}
	return s, nil
}

// same reports whether both sides say the same of a template.
func (s *templateSync) same(alias string) (bool, error) {
	if s.local[alias] == nil || s.files[alias] == nil {
		return false, nil
	}
	mine, err := s.local[alias].files()
	if err != nil {
		return false, err
	}
	theirs, err := s.files[alias].files()
	return maps.Equal(mine, theirs), err
}

// aliases are those of both sides, in order.
func (s *templateSync) aliases() []string {
	all := maps.Clone(s.local)
	if all == nil {
		all = map[string]*templateFiles{}
	}
	maps.Copy(all, s.files)
	return slices.Sorted(maps.Keys(all))
}

// diff is what would change from one side to the other, as a unified diff; nil is a
// template that a side does not have.
func diff(from, to *templateFiles) (string, error) {
	before, after := map[string]string{}, map[string]string{}
	alias := ""
	for t, into := range map[*templateFiles]*map[string]string{from: &before, to: &after} {
		if t == nil {
			continue
		}
		var err error
		if *into, err = t.files(); err != nil {
			return "", err
		}
		alias = t.Alias
	}
	names := maps.Clone(before)
	maps.Copy(names, after)
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(names)) {
		path := alias + "/" + name
		a, z := "a/"+path, "b/"+path
		if _, ok := before[name]; !ok {
			a = "/dev/null"
		}
		if _, ok := after[name]; !ok {
			z = "/dev/null"
		}
		b.WriteString(cleanLines(udiff.Unified(a, z, before[name], after[name])))
	}
	return b.String(), nil
}

// cleanLines is clean for a text of several lines.
func cleanLines(s string) string {
	lines := strings.SplitAfter(s, "\n")
	for i, line := range lines {
		body, end := strings.CutSuffix(line, "\n")
		parts := strings.Split(body, "\t")
		for k := range parts {
			parts[k] = clean(parts[k])
		}
		lines[i] = strings.Join(parts, "\t")
		if end {
			lines[i] += "\n"
		}
	}
	return strings.Join(lines, "")
}

// check reads every template of the folder with the language, and renders those that
// have sample data. Every fault is named, with file, line and column.
func (s *templateSync) check() error {
	var faults []error
	for _, alias := range slices.Sorted(maps.Keys(s.local)) {
		faults = append(faults, s.checkOne(s.local[alias], nil)...)
	}
	return errors.Join(faults...)
}

// checkOne checks a template; calls notes what it uses.
func (s *templateSync) checkOne(t *templateFiles, calls func(kind templates.Kind, name string)) []error {
	src, err := t.source()
	if err != nil {
		return []error{fmt.Errorf("%s: %w", filepath.Join(s.dir, t.Alias, headFile), err)}
	}
	lookup := func(kind templates.Kind, name string) (*templates.Source, error) {
		if calls != nil {
			calls(kind, name)
		}
		other := s.local[name]
		if other == nil {
			other = s.files[name]
		}
		if other == nil || other.kind() != string(kind) {
			return nil, templates.ErrNotFound
		}
		return &templates.Source{HTML: other.html, Text: other.text}, nil
	}
	if t.kind() == client.KindLayout {
		src = &templates.Source{Layout: t.Alias}
		if t.html != "" {
			src.HTML = "<p>The mail</p>"
		}
		if t.text != "" {
			src.Text = "The mail\n"
		}
	}
	parsed, err := templates.Parse(src, templates.Options{Lookup: lookup})
	if err == nil && t.sample != nil {
		return s.tryOut(t, parsed)
	}
	return s.placed(t, err)
}

// tryOut renders a template with its sample data.
func (s *templateSync) tryOut(t *templateFiles, parsed *templates.Template) []error {
	path := filepath.Join(s.dir, t.Alias, sampleFile)
	data, err := templates.Data(t.sample)
	if err != nil {
		return []error{fmt.Errorf("%s: %w", path, err)}
	}
	_, err = parsed.Render(data)
	var missing *templates.MissingError
	if errors.As(err, &missing) {
		return []error{fmt.Errorf("%s: lacks %s", path, strings.Join(missing.Paths(), ", "))}
	}
	return s.placed(t, err)
}

// placed says in which file each fault is.
func (s *templateSync) placed(t *templateFiles, err error) []error {
	var (
		parse  *templates.ParseError
		render *templates.RenderError
		list   []templates.Fault
	)
	switch {
	case err == nil:
		return nil
	case errors.As(err, &parse):
		list = parse.Faults
	case errors.As(err, &render):
		list = render.Faults
	default:
		return []error{fmt.Errorf("%s: %w", filepath.Join(s.dir, t.Alias), err)}
	}
	var out []error
	for _, f := range list {
		alias, file, member := t.Alias, headFile, ""
		if f.In != "" && s.local[f.In] != nil {
			alias = f.In
		}
		switch f.Part {
		case templates.HTML:
			file = htmlFile
		case templates.Text:
			file = textFile
		default: // lines are those of the member, not of the file
			if member = string(f.Part); f.Declared != "" {
				member = "variables/" + f.Declared
			}
		}
		where := filepath.Join(s.dir, alias, file)
		if member != "" {
			where += ": " + member
		}
		if f.Line > 0 {
			where += fmt.Sprintf(":%d:%d", f.Line, f.Column)
		}
		detail := f.Detail
		if f.Hint != "" {
			detail += ": " + f.Hint
		}
		out = append(out, fmt.Errorf("%s: %s", where, detail))
	}
	return out
}

// source is the template as the language takes it.
func (t *templateFiles) source() (*templates.Source, error) {
	src := &templates.Source{
		Subject: t.head.Subject, HTML: t.html, Text: t.text, From: t.head.From, ReplyTo: t.head.ReplyTo, Layout: t.head.Layout,
	}
	for _, v := range t.head.Variables {
		d := templates.Variable{Key: v.Key, Type: templates.Type(v.Type), Required: v.Default == nil, Description: v.Description}
		if v.Required != nil {
			d.Required = *v.Required
		}
		for from, into := range map[*any]*any{&v.Default: &d.Default, &v.Example: &d.Example} {
			raw, err := json.Marshal(*from)
			if err != nil {
				return nil, fmt.Errorf("variable %s: %w", v.Key, err)
			}
			held, err := templates.Data(append(append([]byte(`{"v":`), raw...), '}'))
			if err != nil {
				return nil, fmt.Errorf("variable %s: %w", v.Key, err)
			}
			*into = held["v"]
		}
		src.Variables = append(src.Variables, d)
	}
	return src, nil
}

// order puts what is used before what uses it.
func (s *templateSync) order(aliases []string) []string {
	var out []string
	done := map[string]bool{}
	var visit func(alias string)
	visit = func(alias string) {
		if done[alias] || s.local[alias] == nil {
			return
		}
		done[alias] = true
		var used []string
		s.checkOne(s.local[alias], func(_ templates.Kind, name string) { used = append(used, name) })
		for _, name := range used {
			visit(name)
		}
		if slices.Contains(aliases, alias) {
			out = append(out, alias)
		}
	}
	for _, alias := range aliases {
		visit(alias)
	}
	return out
}
