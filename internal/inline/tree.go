package inline

import (
	"fmt"
	"slices"

	"golang.org/x/net/html"
)

// maxDepth is how deep elements may stand in each other.
const maxDepth = 512

// tree builds the elements of a page from its tags, as far as selectors ask for them:
// no texts, and of the ways in which a browser mends broken HTML those that mails
// depend on. It makes one node for each start tag and no more: a whole HTML parser
// opens unclosed <b> again and again, and so makes of a small page a huge tree.
type tree struct {
	nodes []*html.Node // by the number of their start tag; nodes[0] is the document
	open  []*html.Node // innermost last
	count map[string]int
	steps int // of searching, so far
}

func newTree() *tree {
	root := &html.Node{Type: html.DocumentNode}
	return &tree{nodes: []*html.Node{root}, open: []*html.Node{root}, count: make(map[string]int)}
}

// begin takes a start tag.
func (t *tree) begin(name string, attributes []html.Attribute, selfClosing bool) error {
	t.imply(name)
	n := &html.Node{Type: html.ElementNode, Data: name, Attr: attributes}
	t.open[len(t.open)-1].AppendChild(n)
	t.nodes = append(t.nodes, n)
	if isVoid(name) || selfClosing && t.isForeign(name) {
		return nil
	}
	if len(t.open) == maxDepth {
		return fmt.Errorf("%w: the HTML is nested more than %d deep", ErrTooMuch, maxDepth)
	}
	t.open = append(t.open, n)
	t.count[name]++
	return nil
}

// isForeign tells elements that a slash ends, as HTML's own are not.
func (t *tree) isForeign(name string) bool {
	if t.count["svg"] > 0 || t.count["math"] > 0 || name == "svg" {
		return true
	}
	for i := range len(name) {
		if name[i] == ':' { // Outlook's, such as v:fill
			return true
		}
	}
	return false
}

// end takes an end tag. One that ends nothing is ignored.
func (t *tree) end(name string) { t.close([]string{name}, barriers(name)) }

// imply ends what a start tag ends without saying so (HTML standard, 13.1.2.4).
func (t *tree) imply(name string) {
	switch name {
	case "tr":
		t.close([]string{"tr"}, []string{"table"})
	case "td", "th":
		t.close([]string{"td", "th"}, []string{"tr", "table"})
	case "tbody", "thead", "tfoot":
		t.close([]string{"tbody", "thead", "tfoot"}, []string{"table"})
	case "li":
		t.close([]string{"li"}, []string{"ul", "ol", "td", "th", "table"})
	case "dt", "dd":
		t.close([]string{"dt", "dd"}, []string{"dl", "td", "th", "table"})
	case "option":
		t.close([]string{"option"}, []string{"select"})
	case "p", "div", "table", "ul", "ol", "dl", "h1", "h2", "h3", "h4", "h5", "h6", "blockquote", "pre", "hr", "section", "article",
		"header", "footer", "main", "nav", "aside", "figure", "form", "center", "address", "fieldset":
		t.close([]string{"p"}, []string{"button", "td", "th", "table"})
	case "body":
		t.close([]string{"head"}, nil)
	}
}

// barriers are the elements out of which an end tag does not reach.
func barriers(name string) []string {
	switch name {
	case "table", "html", "body":
		return nil
	case "td", "th", "tr", "tbody", "thead", "tfoot", "caption":
		return []string{"table"}
	}
	return []string{"td", "th", "caption", "table"}
}

// close ends the innermost element of one of the names, and all in it, unless a barrier
// stands before it.
func (t *tree) close(names, barriers []string) {
	if !slices.ContainsFunc(names, func(name string) bool { return t.count[name] > 0 }) {
		return
	}
	for i := len(t.open) - 1; i > 0; i-- {
		t.steps++
		switch name := t.open[i].Data; {
		case slices.Contains(names, name):
			for _, n := range t.open[i:] {
				t.count[n.Data]--
			}
			t.open = t.open[:i]
			return
		case slices.Contains(barriers, name):
			return
		}
	}
}

func isVoid(name string) bool {
	switch name {
	case "area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track", "wbr":
		return true
	}
	return false
}
