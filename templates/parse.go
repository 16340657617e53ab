package templates

import (
	"fmt"
	"strings"
)

// parser turns tokens into nodes, one source at a time.
type parser struct {
	src     *source
	faults  *faults
	helpers map[string]*helper
	options *Options
	layout  bool // {{{content}}} is allowed
	tokens  []token
	at      int
	open    []openBlock
	content int // how often it stood
	calls   []*partialNode
	cut     bool // the rest is not read: it is nested too deep, or enough is wrong
}

// openBlock is a block whose end was not read yet.
type openBlock struct {
	name string
	at   pos
	loop bool // its body has a context of its own
	each bool
}

func (p *parser) inLoop() bool {
	for _, b := range p.open {
		if b.each {
			return true
		}
	}
	return false
}

func (p *parser) contexts() int {
	n := 0
	for _, b := range p.open {
		if b.loop {
			n++
		}
	}
	return n
}

func (p *parser) pos(off int) pos { return pos{p.src, off} }

// parse reads the whole source.
func (p *parser) parse() []node {
	p.tokens = lex(p.src, p.faults)
	nodes := p.nodes()
	for p.at < len(p.tokens) && !p.faults.full() {
		t := p.tokens[p.at]
		if t.kind == tokenElse {
			p.faults.add(p.pos(t.off), "{{else}} stands outside of a block", "")
		} else {
			p.faults.add(p.pos(t.off), fmt.Sprintf("{{/%s}} closes a block that was not opened", strings.TrimSpace(t.text)), "")
		}
		p.at++
		nodes = append(nodes, p.nodes()...)
	}
	return nodes
}

// nodes reads up to an else or end that belongs to an enclosing block.
func (p *parser) nodes() []node {
	var list []node
	for ; p.at < len(p.tokens); p.at++ {
		if p.faults.full() {
			p.at, p.cut = len(p.tokens), true
			return list
		}
		t := p.tokens[p.at]
		switch t.kind {
		case tokenElse, tokenClose:
			return list
		case tokenText:
			if n := p.text(); n.s != "" {
				list = append(list, n)
			}
		case tokenOutput, tokenRaw:
			list = append(list, p.output(t))
		case tokenPartial:
			if n := p.partial(t); n != nil {
				list = append(list, n)
			}
		case tokenOpen, tokenInverse:
			p.at++
			list = append(list, p.block(t))
			if p.at >= len(p.tokens) {
				return list
			}
		}
	}
	return list
}

// text joins a text with those behind it from which only comments part it, so that the
// HTML around a comment is read as one. When it returns, p.at is at the last of them.
func (p *parser) text() *textNode {
	first := p.tokens[p.at]
	n := &textNode{s: first.text, at: p.pos(first.off)}
	end := p.at + 1
	for end < len(p.tokens) && (p.tokens[end].kind == tokenText || p.tokens[end].kind == tokenComment) {
		end++
	}
	if end == p.at+1 {
		return n
	}
	var b strings.Builder
	for _, t := range p.tokens[p.at:end] {
		if t.kind == tokenText {
			n.from = append(n.from, origin{b.Len(), t.off})
			b.WriteString(t.text)
		}
	}
	n.s = b.String()
	p.at = end - 1
	return n
}

// place is where the character at index came from.
func (t *textNode) place(index int) pos {
	at := pos{t.at.src, t.at.off + index}
	for _, o := range t.from {
		if o.index <= index {
			at.off = o.off + index - o.index
		}
	}
	return at
}

func (p *parser) output(t token) node {
	at := p.pos(t.off)
	if strings.TrimSpace(t.text) == "" {
		p.faults.add(at, "this tag is empty", "write the name of a variable")
		return &outputNode{x: &literal{at: at}, at: at}
	}
	e := p.expression(t.text, t.body)
	x := e.whole()
	if v, ok := x.(*path); ok && isContent(v) {
		switch {
		case p.layout && (t.kind == tokenRaw || p.src.part != HTML):
			p.content++
			if len(p.open) > 0 {
				p.faults.add(at, "{{{content}}} stands inside of a block", "it stands once, on its own")
			}
			return &contentNode{at}
		case p.layout:
			p.faults.add(at, "{{content}} has two braces", "write {{{content}}}: it is HTML that was escaped already")
		case v.segs[0] == "@content":
			p.faults.add(at, "@content means something only in a layout", "")
		}
	}
	if l, ok := x.(*literal); ok && l.value == nil && !e.bad {
		p.faults.add(at, "null cannot be shown", "")
	}
	return &outputNode{x: x, raw: t.kind == tokenRaw, at: at}
}

func isContent(v *path) bool {
	return v.root == rootThis && v.up == 0 && len(v.segs) == 1 && (v.segs[0] == "content" || v.segs[0] == "@content")
}

func (p *parser) partial(t token) node {
	at := p.pos(t.off)
	if p.src.part.header() {
		p.faults.add(at, "a header has no partials", "write the text itself")
		return nil
	}
	e := p.expression(t.text, t.body)
	e.space()
	start := e.at
	switch {
	case strings.HasPrefix(e.s[e.at:], "("):
		e.fail(e.at, "a partial's name cannot come from data", "choose with {{#if}}")
		return nil
	case strings.HasPrefix(e.s[e.at:], `"`), strings.HasPrefix(e.s[e.at:], "'"):
		if l, ok := e.text(e.s[e.at]).(*literal); ok && l.value != nil {
			return p.called(e, l.value.(string), at)
		}
		return nil
	}
	for e.at < len(e.s) && strings.IndexByte(" \t\r\n", e.s[e.at]) < 0 {
		e.at++
	}
	if start == e.at {
		e.fail(start, "the partial's name is missing", "write {{> name}}")
		return nil
	}
	return p.called(e, e.s[start:e.at], at)
}

// called reads a partial's context and parameters.
func (p *parser) called(e *exprParser, name string, at pos) node {
	n := &partialNode{name: name, at: at}
	for !e.done() {
		start := e.at
		key := e.named()
		x := e.value()
		switch {
		case key != "" && len(n.params) < maxArgs:
			n.params = append(n.params, param{key, x})
		case key != "":
			e.fail(start, fmt.Sprintf("a partial takes at most %d parameters", maxArgs), "give it an object")
		case n.context != nil || len(n.params) > 0:
			e.fail(start, "a partial takes one context, then name=value", "")
		default:
			n.context = x
		}
	}
	e.end()
	p.calls = append(p.calls, n)
	return n
}
