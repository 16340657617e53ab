// Package starters holds the templates that come with Postrider: for a sign-in code, a
// new password, a receipt, an invitation, an alert and a welcome.
//
// Each is a whole template, to be copied and changed: HTML with its CSS in <style>, a
// text part, declared variables and sample data. In the binary they are made of one
// frame and a body each, so that all look alike and are mended in one place; whoever
// takes one gets one file for each part. It sends nothing and stores nothing.
//
//	all, err := starters.All()
//	for _, s := range all {
//		fmt.Println(s.Name, s.About)
//	}
package starters

import (
	"embed"
	"encoding/json"
	"fmt"
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"
)

//go:embed files
var files embed.FS

// Starter is one template.
type Starter struct {
	Name      string // as in commands: sign-in-code
	Title     string // for people: Sign-in code
	About     string // what it is for, in a sentence
	Subject   string
	HTML      string
	Text      string
	Variables []Variable
	Sample    []byte // JSON: data with which it can be shown
}

// Variable is one declared variable.
type Variable struct {
	Key         string `yaml:"key"`
	Type        string `yaml:"type"`
	Required    bool   `yaml:"required"`
	Default     any    `yaml:"default,omitempty"`
	Description string `yaml:"description,omitempty"`
}

// Names are the starters in the order in which they are shown.
func Names() []string {
	return []string{"sign-in-code", "password-reset", "receipt", "invitation", "alert", "welcome"}
}

// All gives every starter. An error is a fault of the binary.
func All() ([]Starter, error) {
	var out []Starter
	for _, name := range Names() {
		s, err := Get(name)
		if err != nil {
			return nil, err
		}
		out = append(out, *s)
	}
	return out, nil
}

// Get gives the starter of a name; fs.ErrNotExist: there is none.
func Get(name string) (*Starter, error) {
	if !slices.Contains(Names(), name) {
		return nil, fmt.Errorf("starter %q: %w", name, fs.ErrNotExist)
	}
	made, err := assemble(name)
	if err != nil {
		return nil, fmt.Errorf("starter %s: %w", name, err)
	}
	return made, nil
}

// head is what starter.yaml says.
type head struct {
	Name      string     `yaml:"name"`
	About     string     `yaml:"about"`
	Subject   string     `yaml:"subject"`
	Title     string     `yaml:"title"`
	Preheader string     `yaml:"preheader"`
	Why       string     `yaml:"why"`
	Variables []Variable `yaml:"variables"`
}

// assemble puts a body into the frame.
func assemble(name string) (*Starter, error) {
	read := func(file string) string {
		content, err := files.ReadFile(path.Join("files", file))
		if err != nil {
			return ""
		}
		return string(content)
	}
	var h head
	if err := yaml.UnmarshalWithOptions([]byte(read(name+"/starter.yaml")), &h, yaml.Strict()); err != nil {
		return nil, err
	}
	sample := read(name + "/sample.json")
	if !json.Valid([]byte(sample)) {
		return nil, fmt.Errorf("its sample is no JSON")
	}
	css, rest, _ := strings.Cut(read(name+"/body.css"), "@phone\n")
	phone, dark := "", ""
	if rest != "" {
		phone, dark, _ = strings.Cut(rest, "@dark\n")
	} else {
		css, dark, _ = strings.Cut(css, "@dark\n")
	}
	parts := map[string]string{
		"content": read(name + "/body.html"), "css": css, "phone": phone, "dark": dark,
		"title": h.Title, "preheader": h.Preheader, "why": h.Why,
	}
	s := &Starter{
		Name: name, Title: h.Name, About: h.About, Subject: h.Subject, Variables: h.Variables, Sample: []byte(sample),
		HTML: filled(read("frame.html"), parts),
	}
	parts["content"] = read(name + "/body.txt")
	s.Text = filled(read("frame.txt"), parts)
	return s, nil
}

// slot is a place in a frame: @content@. With its line it disappears if it is empty.
var slot = regexp.MustCompile(`(?m)@([a-z]+)@(\n?)`)

func filled(frame string, parts map[string]string) string {
	return slot.ReplaceAllStringFunc(frame, func(found string) string {
		part, ok := parts[strings.Trim(found, "@\n")]
		if !ok {
			return found
		}
		end := ""
		if strings.HasSuffix(found, "\n") && part != "" {
			end = "\n"
		}
		return strings.TrimRight(part, "\n") + end
	})
}
