package templates

import "fmt"

// contexts decides for each variable of an HTML source where it stands, and thereby
// how it is escaped. Whatever way through the blocks is taken, the context must be the
// same; where it cannot be made safe the template is refused.
type contexts struct {
	src    *source
	faults *faults
	failed bool
	in     int // blocks around
}

// html gives the nodes with their escapers and with marks around addresses.
func (c *contexts) html(list []node) []node {
	list, end := c.walk(list, htmlState{})
	if c.failed {
		return list
	}
	at := pos{c.src, len(c.src.text)}
	switch {
	case end.mode != modeText && end.mode != modeTagOpen:
		c.fail(at, "the HTML ends inside of "+end.where(), "close it")
	case end.cond:
		c.fail(at, "a conditional comment is never closed", "end it with <![endif]-->")
	}
	return list
}

func (c *contexts) fail(at pos, detail, hint string) {
	if !c.failed {
		c.faults.add(at, detail, hint)
	}
	c.failed = true
}

func (c *contexts) walk(list []node, s htmlState) ([]node, htmlState) {
	var out []node
	for _, n := range list {
		if c.failed {
			return out, s
		}
		if t, ok := n.(*textNode); ok {
			var pieces []node
			pieces, s = c.text(t, s)
			out = append(out, pieces...)
			continue
		}
		if s.tail {
			c.fail(placeOf(n), "what stands before this tag of the template could become the end of "+s.enclosing(), "put a space between them")
			return out, s
		}
		s = s.settle()
		switch n := n.(type) {
		case *outputNode:
			c.output(n, s)
		case *ifNode:
			s = c.branches(n.at, s, &n.then, &n.or, false)
		case *loopNode:
			s = c.branches(n.at, s, &n.body, &n.or, true)
		case *partialNode:
			c.whole(n.at, s, "a partial")
		case *contentNode:
			c.whole(n.at, s, "{{{content}}}")
		}
		out = append(out, n)
	}
	return out, s
}

func placeOf(n node) pos {
	switch n := n.(type) {
	case *outputNode:
		return n.at
	case *ifNode:
		return n.at
	case *loopNode:
		return n.at
	case *partialNode:
		return n.at
	case *contentNode:
		return n.at
	case *markNode:
		return n.at
	case *textNode:
		return n.at
	}
	return pos{}
}

// text scans literal HTML and cuts it where addresses begin and end.
func (c *contexts) text(t *textNode, s htmlState) ([]node, htmlState) {
	var out []node
	from := 0
	cut := func(to int) {
		if from < to {
			out = append(out, &textNode{s: t.s[from:to], at: t.place(from)})
		}
		from = to
	}
	sc := scanner{htmlState: s}
	sc.fail = func(at int, detail, hint string) { c.fail(t.place(at), detail, hint) }
	sc.mark = func(at int, end bool) {
		cut(at)
		out = append(out, &markNode{end: end, at: t.place(at)})
	}
	sc.url = func(at int, value string) {
		if fault := checkLiteralURL(value); fault != "" {
			c.fail(t.place(at), fault, "links and images are http:, https:, mailto:, tel: or cid:")
		}
	}
	sc.scan(t.s)
	cut(len(t.s))
	return out, sc.htmlState
}

func (c *contexts) output(n *outputNode, s htmlState) {
	n.escape = escapeHTML
	switch {
	case s.mode == modeText && n.raw:
		n.escape = escapeRaw
		if s.cond {
			c.fail(n.at, "HTML from the data has no place in a conditional comment", "write two braces")
		}
	case s.mode == modeText:
	case (s.mode == modeDouble || s.mode == modeSingle) && s.kind == attrStyle:
		n.escape = escapeCSS
	case (s.mode == modeDouble || s.mode == modeSingle) && s.kind != attrCode:
	case s.mode == modeElement && s.element == "style" && !s.cond:
		n.escape = escapeCSS
	case s.mode == modeElement && (s.element == "title" || s.element == "textarea"):
	default:
		c.fail(n.at, "a variable has no place in "+s.where(), placeHint(s))
	}
	if s.cond {
		n.escape |= escapeDash
	}
}

func placeHint(s htmlState) string {
	switch {
	case s.mode == modeUnquoted || s.mode == modeBeforeValue:
		return `put the value in quotes: name="{{value}}"`
	case s.mode == modeComment:
		return "a comment of the template itself is {{!-- ... --}} and is not sent"
	case s.inTag():
		return `write a whole attribute: {{#if wide}} class="wide"{{/if}}`
	case s.kind == attrCode, s.mode == modeElement:
		return "it would be read as code there"
	}
	return ""
}

// whole demands text: what stands there is HTML of its own.
func (c *contexts) whole(at pos, s htmlState, what string) {
	switch {
	case s.mode != modeText:
		c.fail(at, what+" has no place in "+s.where(), "")
	case s.cond:
		c.fail(at, what+" has no place in a conditional comment", "put the conditional comment into it")
	}
}

// branches walks both ways through a block, which must end alike. A loop's body must
// end as it began, since it runs any number of times.
func (c *contexts) branches(at pos, s htmlState, body, or *[]node, loop bool) htmlState {
	switch {
	case s.inTag():
		s.mode = modeTagSpace // each way begins with a space
	case s.mode == modeText, s.mode == modeDouble, s.mode == modeSingle,
		s.mode == modeElement && (s.element == "style" || s.element == "title" || s.element == "textarea"):
	default:
		c.fail(at, "a block has no place in "+s.where(), placeHint(s))
		return s
	}
	if c.in++; c.in > maxElse*2 {
		c.fail(at, "blocks are nested too deep", "")
	}
	defer func() { c.in-- }()
	var then, other htmlState
	*body, then = c.walk(*body, s)
	*or, other = c.walk(*or, s)
	if c.failed {
		return s
	}
	if then.tail || other.tail {
		c.fail(at, "a branch of this block ends in what could become the end of "+then.enclosing(), "put a space behind it")
		return s
	}
	then, other = then.settle(), other.settle()
	if loop {
		if _, ok := s.join(then); !ok {
			c.fail(at, fmt.Sprintf("the body of this block begins in %s and ends in %s", s.where(), then.where()), "close in it what it opens")
			return s
		}
	}
	end, ok := then.join(other)
	if !ok {
		c.fail(at, fmt.Sprintf("one way through this block ends in %s, the other in %s", then.where(), other.where()), "close in each branch what it opens")
	}
	return end
}
