package templates

import (
	"fmt"
	"strings"
)

// block reads a block behind its opening tag t. When it returns, p.at is at its
// closing tag.
func (p *parser) block(t token) node {
	at := p.pos(t.off)
	if t.kind == tokenOpen && strings.HasPrefix(t.text, ">") {
		p.faults.add(at, "partial blocks are not supported", "a frame around a mail is its layout")
		p.at, p.cut = len(p.tokens), true
		return &ifNode{cond: &literal{at: at}, at: at}
	}
	word, rest, base := cutWord(t)
	if p.depth() >= p.options.Limits.Nesting {
		p.faults.add(at, fmt.Sprintf("blocks are nested deeper than %d", p.options.Limits.Nesting), "")
		p.at, p.cut = len(p.tokens), true
		return &ifNode{cond: &literal{at: at}, at: at}
	}
	n := p.start(t, word, rest, base)
	name := word
	p.open = append(p.open, openBlock{name: name, at: at, loop: isLoop(n), each: isEach(n)})
	p.bodies(n, t.kind == tokenInverse)
	p.open = p.open[:len(p.open)-1]
	if p.cut {
		return n
	}
	if p.at >= len(p.tokens) {
		p.faults.add(at, fmt.Sprintf("{{#%s}} is never closed", name), fmt.Sprintf("end it with {{/%s}}", name))
		return n
	}
	if got := strings.TrimSpace(p.tokens[p.at].text); got != name {
		p.faults.add(p.pos(p.tokens[p.at].off), fmt.Sprintf("{{/%s}} stands where {{#%s}} of line %d ends", got, name, lineOf(at)),
			fmt.Sprintf("write {{/%s}}", name))
	}
	return n
}

// depth is how many blocks are open; the branches of an {{else if}} are one.
func (p *parser) depth() int {
	n := 0
	for _, b := range p.open {
		if b.name != "" {
			n++
		}
	}
	return n
}

func lineOf(at pos) int {
	line, _ := at.lineColumn()
	return line
}

// cutWord cuts a block's name from its condition.
func cutWord(t token) (word, rest string, base int) {
	s := strings.TrimLeft(t.text, " \t\r\n")
	base = t.body + len(t.text) - len(s)
	n := strings.IndexAny(s, " \t\r\n")
	if n < 0 {
		n = len(s)
	}
	return s[:n], s[n:], base + n
}

// start makes the node of a block, without its bodies.
func (p *parser) start(t token, word, rest string, base int) node {
	at := p.pos(t.off)
	read := func() expr {
		if strings.TrimSpace(rest) == "" {
			p.faults.add(at, fmt.Sprintf("{{#%s}} has no variable", word), fmt.Sprintf("write {{#%s name}}", word))
			return &literal{at: at}
		}
		return p.expression(rest, base).whole()
	}
	if t.kind != tokenInverse {
		switch word {
		case "if", "unless":
			return &ifNode{cond: read(), not: word == "unless", at: at}
		case "each":
			return &loopNode{kind: loopEach, x: read(), at: at}
		case "with":
			return &loopNode{kind: loopWith, x: read(), at: at}
		}
	}
	if p.helpers[word] != nil || strings.TrimSpace(rest) != "" {
		p.faults.add(at, fmt.Sprintf("there is no block {{#%s}}", word), blockHint(word, p.helpers))
		return &ifNode{cond: &literal{at: at}, at: at}
	}
	x := p.expression(word, base-len(word)).whole()
	if t.kind == tokenInverse {
		return &ifNode{cond: x, not: true, at: at}
	}
	return &loopNode{kind: loopSection, x: x, at: at}
}

func isLoop(n node) bool { _, ok := n.(*loopNode); return ok }

func isEach(n node) bool {
	l, ok := n.(*loopNode)
	return ok && l.kind != loopWith
}

// bodies reads what stands before and behind {{else}}.
func (p *parser) bodies(n node, inverse bool) {
	body := p.nodes()
	var or []node
	if p.at < len(p.tokens) && p.tokens[p.at].kind == tokenElse {
		// What follows stands in the context around the block.
		p.open[len(p.open)-1].loop, p.open[len(p.open)-1].each = false, false
		or = p.otherwise(inverse)
	}
	switch n := n.(type) {
	case *ifNode:
		n.then, n.or = body, or
	case *loopNode:
		n.body, n.or = body, or
	}
}

// otherwise reads an else branch; {{else if x}} is a block in it with the same end.
func (p *parser) otherwise(inverse bool) []node {
	t := p.tokens[p.at]
	p.at++
	word, rest, base := cutWord(t)
	if word == "" || inverse {
		if word != "" {
			p.faults.add(p.pos(t.off), "{{^}} has no {{else "+word+"}}", "write {{#if}}")
		}
		or := p.nodes()
		for p.at < len(p.tokens) && p.tokens[p.at].kind == tokenElse && !p.faults.full() {
			p.faults.add(p.pos(p.tokens[p.at].off), "this block has an {{else}} already", "")
			p.at++
			or = append(or, p.nodes()...)
		}
		return or
	}
	if len(p.open) >= maxElse {
		p.faults.add(p.pos(t.off), fmt.Sprintf("a block has more than %d branches", maxElse), "")
		p.at, p.cut = len(p.tokens), true
		return nil
	}
	n := p.start(token{kind: tokenOpen, off: t.off}, word, rest, base)
	p.open = append(p.open, openBlock{at: p.pos(t.off), loop: isLoop(n), each: isEach(n)})
	p.bodies(n, false)
	p.open = p.open[:len(p.open)-1]
	return []node{n}
}

// maxElse bounds a chain of {{else if}}, which nests as the blocks do.
const maxElse = 100
