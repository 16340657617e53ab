package journeys

import (
	"fmt"
	"net/http"
	"slices"
	"strings"

	"postrider/internal/email"
	"postrider/templates"
)

// inOne is how many payloads stand in one template.
const inOne = 12

// stored makes templates of the payloads, several in each, and gives their pages: as
// source, name, declared data, and as what changed since the version that is published.
// What no template may have as its source is data of others.
func (h *house) stored(list []payload) (paths []string) {
	groups, rest := sources(list)
	for _, texts := range groups {
		paths = append(paths, h.storedOf(texts, joined(texts))...)
	}
	for texts := range slices.Chunk(rest, inOne) {
		paths = append(paths, h.storedOf(texts, "")...)
	}
	return paths
}

// storedOf is one template with texts as its data, and a source behind these.
func (h *house) storedOf(texts []string, source string) (paths []string) {
	var placed strings.Builder
	var variables []mail
	for i, text := range texts {
		fmt.Fprintf(&placed, "{{v%d}} ", i)
		variables = append(variables, mail{"key": fmt.Sprintf("v%d", i), "type": "string", "description": text, "example": text})
	}
	source = "<p>" + placed.String() + "</p>" + source
	var made struct{ ID string }
	h.call(email.Live, http.MethodPost, "/v1/templates", mail{
		"name": texts[0], "subject": "x", "html": "<p>x</p>", "text": "x", "variables": variables,
	}, &made)
	h.call(email.Live, http.MethodPost, "/v1/templates/"+made.ID+"/publish", mail{}, nil)
	h.call(email.Live, http.MethodPatch, "/v1/templates/"+made.ID, mail{"subject": placed.String(), "html": source, "text": source}, nil)
	page := "/ui/templates/" + made.ID
	return []string{page, page + "/diff", "/ui/send?template=" + made.ID}
}

// sources puts together what can be the HTML of one template.
func sources(list []payload) (groups [][]string, rest []string) {
	var group []string
	for _, p := range list {
		alone := []string{p.text}
		switch more := append(group[:len(group):len(group)], p.text); {
		case len(group) < inOne && parses(more):
			group = more
		case parses(alone):
			groups, group = append(groups, group), alone
		default:
			rest = append(rest, p.text)
		}
	}
	return append(groups, group), rest
}

func parses(texts []string) bool {
	_, err := templates.Parse(&templates.Source{HTML: joined(texts), Text: joined(texts)}, templates.Options{})
	return err == nil
}

func joined(texts []string) string { return "<div>" + strings.Join(texts, "</div>\n<div>") + "</div>" }
