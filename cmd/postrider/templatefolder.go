package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/goccy/go-yaml"

	"postrider/client"
)

// The files of a template in a folder, which is named by its alias. sampleFile is for
// people and checks: it is not on the server.
const (
	headFile   = "template.yaml"
	htmlFile   = "body.html"
	textFile   = "body.txt"
	sampleFile = "sample.json"
)

// maxTemplateFile bounds a file: the server takes less.
const maxTemplateFile = 8 << 20

// aliasPattern is what the server takes as an alias. No other name becomes a path.
var aliasPattern = regexp.MustCompile(`^[a-z][a-z0-9_-]{0,63}$`)

// templateFiles is a template as it stands in a folder.
type templateFiles struct {
	Alias  string
	head   templateHead
	html   string
	text   string
	sample []byte // nil: none
}

// templateHead is what template.yaml says.
type templateHead struct {
	Name      string         `yaml:"name"`
	Kind      string         `yaml:"kind,omitempty"`   // absent: message
	Layout    string         `yaml:"layout,omitempty"` // alias
	From      string         `yaml:"from,omitempty"`
	ReplyTo   string         `yaml:"reply_to,omitempty"`
	Subject   string         `yaml:"subject,omitempty"`
	Variables []variableHead `yaml:"variables,omitempty"`
}

type variableHead struct {
	Key         string `yaml:"key"`
	Type        string `yaml:"type"`
	Required    *bool  `yaml:"required,omitempty"` // absent: unless there is a default
	Default     any    `yaml:"default,omitempty"`
	Description string `yaml:"description,omitempty"`
	Example     any    `yaml:"example,omitempty"`
}

// readTemplates reads a folder of templates. Every file that cannot be read is named.
func readTemplates(dir string) (map[string]*templateFiles, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	found := make(map[string]*templateFiles)
	var faults []error
	for _, e := range entries {
		if !e.IsDir() || e.Name()[0] == '.' {
			continue
		}
		t, err := readTemplate(filepath.Join(dir, e.Name()), e.Name())
		switch {
		case errors.Is(err, errNoTemplate):
		case err != nil:
			faults = append(faults, err)
		default:
			found[t.Alias] = t
		}
	}
	return found, errors.Join(faults...)
}

// errNoTemplate is a folder that is none of ours.
var errNoTemplate = errors.New("it has no " + headFile)

func readTemplate(dir, alias string) (*templateFiles, error) {
	raw, err := readTemplateFile(filepath.Join(dir, headFile))
	if err != nil {
		return nil, err
	}
	if raw == nil {
		return nil, errNoTemplate
	}
	if !aliasPattern.MatchString(alias) {
		return nil, fmt.Errorf("%s: a template's folder is its alias: a lower-case letter, then lower-case letters, digits, - and _", dir)
	}
	t := &templateFiles{Alias: alias}
	if err := yaml.UnmarshalWithOptions(raw, &t.head, yaml.Strict()); err != nil {
		return nil, fmt.Errorf("%s: %w", filepath.Join(dir, headFile), err)
	}
	for name, into := range map[string]*string{htmlFile: &t.html, textFile: &t.text} {
		content, err := readTemplateFile(filepath.Join(dir, name))
		if err != nil {
			return nil, err
		}
		*into = string(content)
	}
	t.sample, err = readTemplateFile(filepath.Join(dir, sampleFile))
	return t, err
}

// readTemplateFile reads a file; nil if there is none.
func readTemplateFile(path string) ([]byte, error) {
	file, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer file.Close()
	raw, err := io.ReadAll(io.LimitReader(file, maxTemplateFile+1))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	if len(raw) > maxTemplateFile {
		return nil, fmt.Errorf("read %s: it is larger than a template may be", path)
	}
	return append([]byte{}, raw...), nil
}

// files are the contents of a template's files, in one form whoever wrote them.
func (t *templateFiles) files() (map[string]string, error) {
	head := t.head
	if head.Kind == client.KindMessage {
		head.Kind = ""
	}
	head.Variables = slices.Clone(head.Variables)
	for i := range head.Variables {
		v := &head.Variables[i]
		var err error
		if v.Default, err = plain(v.Default); err == nil {
			v.Example, err = plain(v.Example)
		}
		if err != nil {
			return nil, fmt.Errorf("%s: variable %s: %w", t.Alias, v.Key, err)
		}
		if v.Required != nil && *v.Required == (v.Default == nil) {
			v.Required = nil
		}
	}
	raw, err := yaml.MarshalWithOptions(head.tree(), yamlForm()...)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", t.Alias, err)
	}
	out := map[string]string{headFile: string(raw)}
	if t.html != "" {
		out[htmlFile] = t.html
	}
	if t.text != "" {
		out[textFile] = t.text
	}
	return out, nil
}

// yamlText is a text that YAML's other forms, as the library writes them, do not keep: with
// tabs, line breaks of other systems, or spaces before the first of several lines.
type yamlText string

// MarshalYAML quotes it.
func (s yamlText) MarshalYAML() ([]byte, error) { return []byte(strconv.Quote(string(s))), nil }

// kept is a value whose texts will be read as they are.
func kept(v any) any {
	switch v := v.(type) {
	case string:
		raw, err := yaml.MarshalWithOptions([]map[string]string{{"value": v}, {"value": v}}, yamlForm()...)
		var back []map[string]any
		blank := v != "" && strings.TrimSpace(v) == ""
		if err == nil && !blank && yaml.Unmarshal(raw, &back) == nil && len(back) == 2 && back[0]["value"] == any(v) {
			return v
		}
		return yamlText(v)
	case []any:
		for i := range v {
			v[i] = kept(v[i])
		}
	case map[string]any:
		for k := range v {
			v[k] = kept(v[k])
		}
	}
	return v
}

func yamlForm() []yaml.EncodeOption {
	return []yaml.EncodeOption{yaml.UseLiteralStyleIfMultiline(true), yaml.IndentSequence(true)}
}

// tree is the head as it is written.
func (h *templateHead) tree() (out yaml.MapSlice) {
	put := func(to *yaml.MapSlice, key string, v any) {
		if v != nil && v != "" {
			*to = append(*to, yaml.MapItem{Key: key, Value: kept(v)})
		}
	}
	out = yaml.MapSlice{{Key: "name", Value: kept(h.Name)}}
	put(&out, "kind", h.Kind)
	put(&out, "layout", h.Layout)
	put(&out, "from", h.From)
	put(&out, "reply_to", h.ReplyTo)
	put(&out, "subject", h.Subject)
	variables := make([]yaml.MapSlice, len(h.Variables))
	for i, v := range h.Variables {
		one := yaml.MapSlice{{Key: "key", Value: kept(v.Key)}, {Key: "type", Value: v.Type}}
		if v.Required != nil {
			put(&one, "required", *v.Required)
		}
		if v.Default != nil {
			one = append(one, yaml.MapItem{Key: "default", Value: kept(v.Default)})
		}
		put(&one, "description", v.Description)
		if v.Example != nil {
			one = append(one, yaml.MapItem{Key: "example", Value: kept(v.Example)})
		}
		variables[i] = one
	}
	if len(variables) > 0 {
		out = append(out, yaml.MapItem{Key: "variables", Value: variables})
	}
	return out
}

// plain is a value as JSON has it, with whole numbers as such.
func plain(v any) (any, error) {
	raw, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	var out any
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	if err := d.Decode(&out); err != nil {
		return nil, err
	}
	return withNumbers(out), nil
}

func withNumbers(v any) any {
	switch v := v.(type) {
	case json.Number:
		if n, err := v.Int64(); err == nil {
			return n
		}
		f, _ := v.Float64() // it was one
		return f
	case []any:
		for i := range v {
			v[i] = withNumbers(v[i])
		}
	case map[string]any:
		for k := range v {
			v[k] = withNumbers(v[k])
		}
	}
	return v
}

// write puts the files of a template into a folder, those that say something else than
// what is there. It reports whether there were any.
func (t *templateFiles) write(dir string, standing *templateFiles) error {
	files, err := t.files()
	if err != nil {
		return err
	}
	before := map[string]string{}
	if standing != nil {
		if before, err = standing.files(); err != nil {
			return err
		}
	}
	folder := filepath.Join(dir, t.Alias)
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if files[name] == before[name] && before[name] != "" {
			continue
		}
		if err := os.WriteFile(filepath.Join(folder, name), []byte(files[name]), 0o644); err != nil {
			return err
		}
	}
	for name := range before {
		if _, kept := files[name]; !kept {
			if err := os.Remove(filepath.Join(folder, name)); err != nil {
				return err
			}
		}
	}
	return nil
}

// edit is what is said to the server about a template.
func (t *templateFiles) edit() client.TemplateEdit {
	kind, variables := t.kind(), make([]client.Variable, len(t.head.Variables))
	for i, v := range t.head.Variables {
		required := v.Default == nil
		if v.Required != nil {
			required = *v.Required
		}
		variables[i] = client.Variable{
			Key: v.Key, Type: v.Type, Required: required, Default: v.Default, Description: v.Description, Example: v.Example,
		}
	}
	return client.TemplateEdit{
		Alias: &t.Alias, Name: &t.head.Name, Kind: &kind, LayoutID: &t.head.Layout, From: &t.head.From, ReplyTo: &t.head.ReplyTo,
		Subject: &t.head.Subject, HTML: &t.html, Text: &t.text, Variables: &variables,
	}
}

func (t *templateFiles) kind() string {
	if t.head.Kind == "" {
		return client.KindMessage
	}
	return t.head.Kind
}

// filesOf is a template of the server as it would stand in a folder; aliases are those
// of the layouts by their ids.
func filesOf(t *client.Template, aliases map[string]string) *templateFiles {
	out := &templateFiles{Alias: t.Alias, html: t.HTML, text: t.Text, head: templateHead{
		Name: t.Name, Kind: t.Kind, From: t.From, ReplyTo: t.ReplyTo, Subject: t.Subject, Layout: t.LayoutID,
	}}
	if alias := aliases[t.LayoutID]; alias != "" {
		out.head.Layout = alias
	}
	for _, v := range t.Variables {
		out.head.Variables = append(out.head.Variables, variableHead{
			Key: v.Key, Type: v.Type, Required: &v.Required, Default: v.Default, Description: v.Description, Example: v.Example,
		})
	}
	return out
}
