package inline

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/andybalholm/cascadia"
	"golang.org/x/net/html"
)

// found is a rule that matches an element, by one of its selectors.
type found struct {
	rule        *rule
	specificity cascadia.Specificity
}

// candidate is a selector with its rule.
type candidate struct {
	selector *selector
	rule     *rule
}

// cascade finds the style of each element, by its number, and what stays in the sheets.
func (doc *document) cascade() (map[int]string, error) {
	index, err := doc.index()
	if err != nil {
		return nil, err
	}
	styles, err := doc.styles(index)
	if err != nil {
		return nil, err
	}
	for _, s := range doc.sheets {
		s.leave()
	}
	return styles, nil
}

// styles finds the style of each element that a selector matches.
func (doc *document) styles(index map[string][]candidate) (map[int]string, error) {
	styles := make(map[int]string)
	if len(index) == 0 {
		return styles, nil
	}
	m := &matcher{steps: maxSteps, weight: make(map[*html.Node]int, len(doc.tree.nodes))}
	for _, n := range doc.tree.nodes {
		m.weight[n] = weight(n)
	}
	merged := make(map[string]string) // rows of a table have the same styles again and again
	room := maxPage
	for _, p := range doc.pieces {
		if p.element == 0 || !visible(p.tag) {
			continue
		}
		rules := m.matching(index, doc.tree.nodes[p.element])
		for _, f := range rules {
			m.steps -= len(f.rule.declarations)
		}
		key := mergeKey(rules, p.styled)
		style, known := merged[key]
		if m.steps -= len(p.styled) / 8; !known && len(rules) > 0 {
			m.steps -= len(p.styled) // it is read
		}
		if m.steps < 0 {
			return nil, fmt.Errorf("%w: too many rules and declarations for so many elements", ErrTooMuch)
		}
		if len(rules) == 0 {
			continue
		}
		if !known {
			style = merge(rules, p.styled)
			merged[key] = style
		}
		if room -= len(style); room < 0 {
			return nil, fmt.Errorf("%w: with its styles the HTML has more than %d octets", ErrTooMuch, maxPage)
		}
		styles[p.element] = style
	}
	return styles, nil
}

// index parses the sheets and sorts what can be inlined by the selectors' keys.
func (doc *document) index() (map[string][]candidate, error) {
	rules, selectors := 0, 0
	index := make(map[string][]candidate)
	for _, s := range doc.sheets {
		s.parse(func() int { rules++; return rules })
		for _, p := range s.parts {
			if p.rule == nil {
				continue
			}
			if selectors += len(p.rule.selectors); selectors > maxRules {
				return nil, fmt.Errorf("%w: the CSS has more than %d selectors", ErrTooMuch, maxRules)
			}
			for _, one := range p.rule.selectors {
				if one.compounds != nil {
					index[one.key()] = append(index[one.key()], candidate{one, p.rule})
				}
			}
		}
	}
	return index, nil
}

// weight is what one look at an element costs: its attributes are read each time.
func weight(n *html.Node) int {
	octets := 0
	for _, a := range n.Attr {
		octets += len(a.Key) + len(a.Val)
	}
	return 1 + octets/16
}

// visible tells the elements that a style could change.
func visible(tag string) bool {
	switch tag {
	case "html", "head", "title", "meta", "link", "style", "script", "base":
		return false
	}
	return true
}

// matching are the rules that match an element, weakest first.
func (m *matcher) matching(index map[string][]candidate, n *html.Node) []found {
	keys := []string{"*", n.Data}
	var seen map[string]bool
	for _, a := range n.Attr {
		switch a.Key {
		case "id":
			keys = append(keys, "#"+a.Val)
		case "class":
			for class := range strings.FieldsSeq(a.Val) {
				m.steps--
				if !seen[class] {
					if seen == nil {
						seen = make(map[string]bool)
					}
					seen[class] = true
					keys = append(keys, "."+class)
				}
			}
		}
	}
	var out []found
	for _, key := range keys {
		for _, c := range index[key] {
			if m.match(c.selector, 0, n) {
				c.selector.matched = true
				out = append(out, found{c.rule, c.selector.specificity})
			}
			if m.steps < 0 {
				return nil
			}
		}
	}
	slices.SortStableFunc(out, func(a, b found) int {
		switch {
		case a.specificity.Less(b.specificity):
			return -1
		case b.specificity.Less(a.specificity):
			return 1
		}
		return cmp.Compare(a.rule.order, b.rule.order)
	})
	return out
}

// mergeKey is the same for elements that get the same style.
func mergeKey(rules []found, own string) string {
	var key strings.Builder
	for _, f := range rules {
		key.WriteString(strconv.Itoa(f.rule.order) + " ")
	}
	key.WriteString(own)
	return key.String()
}

// merge makes one style of rules and the element's own, each stronger than those before.
// !important decides here and is not written: it would win over the dark-mode styles
// that stay in the sheet.
func merge(rules []found, own string) string {
	mine := declarations(tokens(own))
	sets := make([][]declaration, 0, 2*len(rules)+2)
	for _, important := range []bool{false, true} {
		for _, f := range rules {
			sets = append(sets, only(f.rule.declarations, important))
		}
		sets = append(sets, only(mine, important))
	}
	// The strongest that sets a property has it alone; in one rule it may stand twice, for
	// programs that do not know the second value.
	taken := make(map[string]bool)
	var kept [][]declaration
	for _, set := range slices.Backward(sets) {
		left := slices.DeleteFunc(slices.Clone(set), func(d declaration) bool { return taken[d.property] })
		for _, d := range set {
			taken[d.property] = true
		}
		kept = append(kept, left)
	}
	var out strings.Builder
	for _, set := range slices.Backward(kept) {
		for _, d := range set {
			if out.Len() > 0 {
				out.WriteString("; ")
			}
			out.WriteString(d.property + ": " + singleQuoted(d.value))
		}
	}
	return out.String()
}

func only(list []declaration, important bool) []declaration {
	var out []declaration
	for _, d := range list {
		if d.important == important {
			out = append(out, d)
		}
	}
	return out
}

// singleQuoted turns the quotes of font names and the like, which some programs do not
// read as entities in an attribute.
func singleQuoted(value string) string {
	if strings.ContainsAny(value, `'\`) {
		return value
	}
	return strings.ReplaceAll(value, `"`, `'`)
}
