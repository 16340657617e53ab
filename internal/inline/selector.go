package inline

import (
	"strings"

	"github.com/andybalholm/cascadia"
	"golang.org/x/net/html"
)

// selector is one selector, such as "table.lines > td a".
type selector struct {
	text        string
	compounds   []cascadia.Sel // from the right; nil: it cannot be inlined
	combinators []byte         // between them, from the right: ' ' '>' '+' '~'
	specificity cascadia.Specificity
	matched     bool
}

// maxCompounds is how many compounds a selector may have that is inlined.
const maxCompounds = 16

// newSelector reads a selector. One that says more than a style attribute can, such as
// a:hover, has no compounds.
func newSelector(source string) *selector {
	s := &selector{text: source}
	parts, combinators, ok := compounds(source)
	if !ok || len(parts) > maxCompounds {
		return s
	}
	var read []cascadia.Sel
	for i := len(parts) - 1; i >= 0; i-- {
		one, err := cascadia.Parse(parts[i])
		if err != nil {
			return s
		}
		read = append(read, one)
		s.specificity = s.specificity.Add(one.Specificity())
		if i > 0 {
			s.combinators = append(s.combinators, combinators[i-1])
		}
	}
	s.compounds = read
	return s
}

// compounds cuts a selector at its combinators. It is not ok if it has a pseudo-class
// but :first-child and :last-child, a pseudo-element, an escape or a namespace.
func compounds(source string) (parts []string, combinators []byte, ok bool) {
	var part strings.Builder
	pending := byte(0) // the combinator that was read since the last compound
	for i := 0; i < len(source); i++ {
		c := source[i]
		switch {
		case c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\f':
			if pending == 0 && part.Len() > 0 {
				pending = ' '
			}
			continue
		case c == '>' || c == '+' || c == '~':
			if part.Len() == 0 || pending != 0 && pending != ' ' {
				return nil, nil, false
			}
			pending = c
			continue
		case c == '\\' || c == '|' || c == '&' || c == '(' || c == ')':
			return nil, nil, false
		}
		if pending != 0 {
			parts, combinators = append(parts, part.String()), append(combinators, pending)
			part.Reset()
			pending = 0
		}
		end := i + 1
		switch c {
		case '[':
			if end = attributeEnd(source, i); end < 0 {
				return nil, nil, false
			}
		case ':':
			for end < len(source) && (source[end] == '-' || source[end] >= 'a' && source[end] <= 'z') {
				end++
			}
			if name := source[i:end]; name != ":first-child" && name != ":last-child" {
				return nil, nil, false
			}
		}
		part.WriteString(source[i:end])
		i = end - 1
	}
	if part.Len() == 0 || pending != 0 && pending != ' ' {
		return nil, nil, false
	}
	return append(parts, part.String()), combinators, true
}

// attributeEnd is the index behind an attribute selector that begins at i; -1: none.
func attributeEnd(source string, i int) int {
	quote := byte(0)
	for ; i < len(source); i++ {
		switch c := source[i]; {
		case c == '\\':
			return -1
		case quote != 0:
			if c == quote {
				quote = 0
			}
		case c == '"' || c == '\'':
			quote = c
		case c == ']':
			return i + 1
		}
	}
	return -1
}

// key is what an element must have for the selector to match it: ".class", "#id", a
// name, or "*".
func (s *selector) key() string {
	parts, _, _ := compounds(s.text)
	last := parts[len(parts)-1]
	if cut := strings.IndexAny(last, "[:"); cut >= 0 {
		last = last[:cut]
	}
	for _, mark := range []string{"#", "."} {
		if _, name, found := strings.Cut(last, mark); found {
			if end := strings.IndexAny(name, "#."); end >= 0 {
				name = name[:end]
			}
			return mark + name
		}
	}
	if last == "" {
		return "*"
	}
	return strings.ToLower(last)
}

// matcher matches within a number of steps.
type matcher struct {
	steps  int
	weight map[*html.Node]int // what one look at an element costs
}

// match reports whether the compounds from i on match an element and those around it.
func (m *matcher) match(s *selector, i int, n *html.Node) bool {
	if m.steps -= m.weight[n]; m.steps < 0 || !s.compounds[i].Match(n) {
		return false
	}
	if i+1 == len(s.compounds) {
		return true
	}
	switch s.combinators[i] {
	case '>':
		return element(n.Parent) && m.match(s, i+1, n.Parent)
	case '+':
		before := previous(n)
		return before != nil && m.match(s, i+1, before)
	case '~':
		for before := previous(n); before != nil && m.steps >= 0; before = previous(before) {
			if m.match(s, i+1, before) {
				return true
			}
		}
	default:
		for around := n.Parent; element(around) && m.steps >= 0; around = around.Parent {
			if m.match(s, i+1, around) {
				return true
			}
		}
	}
	return false
}

func element(n *html.Node) bool { return n != nil && n.Type == html.ElementNode }

// previous is the element before n among its siblings.
func previous(n *html.Node) *html.Node {
	for n = n.PrevSibling; n != nil && n.Type != html.ElementNode; n = n.PrevSibling {
	}
	return n
}
