package templates

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"
)

// maxPartials is how many partials one template may use.
const maxPartials = 100

// maxNodes bounds a template with its partials put in wherever they are called: what
// doubles with each of twenty levels must not be walked.
const maxNodes = 50_000

// compiler reads a template's sources and links them.
type compiler struct {
	options  *Options
	helpers  map[string]*helper
	faults   faults
	err      error // of the lookup itself
	partials map[partialKey]*fragment
	path     []string // the partials that are being read, outermost first
	size     int      // bytes of this part's sources so far
}

type partialKey struct {
	part Part
	name string
}

// find asks the lookup; nil if there is no such source.
func (c *compiler) find(at pos, kind Kind, name string) *Source {
	if c.err != nil {
		return nil
	}
	err := ErrNotFound
	var src *Source
	if c.options.Lookup != nil {
		src, err = c.options.Lookup(kind, name)
	}
	switch {
	case errors.Is(err, ErrNotFound) || err == nil && src == nil:
		c.faults.add(at, fmt.Sprintf("there is no %s %s", kind, excerpt(name)), "create it first, or correct the name")
		return nil
	case err != nil:
		c.err = fmt.Errorf("look up %s %s: %w", kind, excerpt(name), err)
		return nil
	}
	if kind == KindLayout && src.Layout != "" {
		c.faults.add(at, fmt.Sprintf("the layout %s has a layout itself", excerpt(name)), "layouts do not nest")
	}
	return src
}

// compile reads one source: syntax, contexts, partials.
func (c *compiler) compile(src *source, layout bool) *fragment {
	f := &fragment{src: src}
	start := pos{src, 0}
	c.size += len(src.text)
	if c.size > c.options.Limits.Source {
		c.faults.add(start, fmt.Sprintf("the source is longer than %d bytes", c.options.Limits.Source), "")
		return f
	}
	if !utf8.ValidString(src.text) {
		c.faults.add(start, "the source is not UTF-8", "")
		return f
	}
	if i := strings.IndexByte(src.text, 0); i >= 0 {
		c.faults.add(pos{src, i}, "the source holds a NUL character", "")
		return f
	}
	p := &parser{src: src, faults: &c.faults, helpers: c.helpers, options: c.options, layout: layout}
	before := len(c.faults.list)
	f.nodes = p.parse()
	if p.cut {
		return f
	}
	if layout && p.content != 1 {
		c.faults.add(start, fmt.Sprintf("a layout has {{{content}}} exactly once, this one %d times", p.content), "put it where the mail goes")
	}
	if len(c.faults.list) == before {
		f.nodes = c.contexts(f)
	}
	for _, call := range p.calls {
		call.body = c.partial(call)
	}
	f.size, f.depth = c.measure(f.nodes)
	if f.size > maxNodes {
		c.faults.add(start, fmt.Sprintf("with its partials this has more than %d pieces", maxNodes), "call fewer partials")
		f.size = 0
	}
	return f
}

// contexts settles how each value is written.
func (c *compiler) contexts(f *fragment) []node {
	if f.src.part == HTML {
		ctx := &contexts{src: f.src, faults: &c.faults}
		return ctx.html(f.nodes)
	}
	escape := escapeText
	if f.src.part.header() {
		escape = escapeHeader
	}
	c.setEscaper(f.nodes, escape)
	return f.nodes
}

func (c *compiler) setEscaper(list []node, e escaper) {
	for _, n := range list {
		switch n := n.(type) {
		case *textNode:
			if e == escapeHeader {
				c.headerText(n)
			}
		case *outputNode:
			n.escape = e
		case *ifNode:
			c.setEscaper(n.then, e)
			c.setEscaper(n.or, e)
		case *loopNode:
			c.setEscaper(n.body, e)
			c.setEscaper(n.or, e)
		}
	}
}

// headerText makes one line of what the author wrote into a header. What is taken out of
// values without a word is refused here: it could only be meant to deceive.
func (c *compiler) headerText(n *textNode) {
	for i, r := range n.s {
		switch text, special := escapeHeader.special(r, utf8.RuneLen(r)); {
		case !special || text != "":
			continue
		case isBidiControl(r):
			c.faults.add(n.place(i), fmt.Sprintf("the character U+%04X turns the direction of the text behind it", r), "take it out")
		default:
			c.faults.add(n.place(i), fmt.Sprintf("the control character U+%04X has no place in a header", r), "take it out")
		}
		break
	}
	n.s = string(escapeHeader.append(nil, n.s))
}

// partial gives the fragment that a call names, reading it if it is new.
func (c *compiler) partial(call *partialNode) *fragment {
	for i, name := range c.path {
		if name == call.name {
			chain := strings.Join(append(c.path[i:len(c.path):len(c.path)], name), " > ")
			c.faults.add(call.at, "this partial contains itself: "+chain, "a partial cannot call what calls it")
			return &fragment{}
		}
	}
	key := partialKey{call.at.src.part, call.name}
	if f := c.partials[key]; f != nil {
		return f
	}
	if len(c.partials) >= maxPartials || c.faults.full() {
		c.faults.add(call.at, fmt.Sprintf("the template uses more than %d partials", maxPartials), "")
		return &fragment{}
	}
	c.partials[key] = &fragment{}
	src := c.find(call.at, KindPartial, call.name)
	if src == nil {
		return c.partials[key]
	}
	if src.part(key.part) == "" {
		c.faults.add(call.at, fmt.Sprintf("the partial %s has no %s", excerpt(call.name), key.part), "")
		return c.partials[key]
	}
	c.path = append(c.path, call.name)
	c.partials[key] = c.compile(&source{part: key.part, in: call.name, text: src.part(key.part)}, false)
	c.path = c.path[:len(c.path)-1]
	return c.partials[key]
}

// measure counts nodes and depth, those of partials included.
func (c *compiler) measure(list []node) (size, depth int) {
	add := func(lists ...[]node) {
		for _, l := range lists {
			s, d := c.measure(l)
			size, depth = size+s, max(depth, d+1)
		}
	}
	for _, n := range list {
		size++
		switch n := n.(type) {
		case *ifNode:
			add(n.then)
			s, d := c.measure(n.or)
			if len(n.or) != 1 || !isBlock(n.or[0]) { // an {{else if}} is no deeper
				d++
			}
			size, depth = size+s, max(depth, d)
		case *loopNode:
			add(n.body, n.or)
		case *partialNode:
			if n.body != nil {
				size, depth = size+n.body.size, max(depth, n.body.depth+1)
			}
		}
	}
	return size, depth
}

func isBlock(n node) bool {
	switch n.(type) {
	case *ifNode, *loopNode:
		return true
	}
	return false
}

// whole checks the part with its layout around it.
func (c *compiler) whole(tp *templatePart) {
	depth := tp.body.depth
	if tp.layout != nil {
		depth = max(depth, tp.layout.depth)
	}
	if depth > c.options.Limits.Nesting {
		c.faults.add(pos{tp.body.src, 0}, fmt.Sprintf("blocks and partials are nested deeper than %d", c.options.Limits.Nesting), "")
	}
}
