package templates

import (
	"encoding/json"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// maxCallDepth is how deep calls may stand in calls.
const maxCallDepth = 10

// maxArgs is how many values and and or take, and parameters a partial.
const maxArgs = 20

// exprParser reads the inside of a tag.
type exprParser struct {
	p     *parser
	s     string
	at    int // in s
	base  int // of s in the source
	depth int
	bad   bool // a fault was told: the rest of the tag means nothing
}

func (p *parser) expression(s string, base int) *exprParser {
	return &exprParser{p: p, s: s, base: base}
}

func (e *exprParser) pos(at int) pos { return pos{e.p.src, e.base + at} }

func (e *exprParser) fail(at int, detail, hint string) expr {
	if !e.bad {
		e.p.faults.add(e.pos(at), detail, hint)
	}
	e.bad = true
	e.at = len(e.s)
	return &literal{at: e.pos(at)}
}

func (e *exprParser) space() {
	for e.at < len(e.s) && strings.IndexByte(" \t\r\n", e.s[e.at]) >= 0 {
		e.at++
	}
}

// done: nothing is left, or a closing parenthesis.
func (e *exprParser) done() bool {
	e.space()
	return e.at >= len(e.s) || e.s[e.at] == ')'
}

// end tells of anything that is left.
func (e *exprParser) end() {
	e.space()
	if e.at < len(e.s) && !e.bad {
		e.fail(e.at, fmt.Sprintf("%s is too much here", excerpt(e.s[e.at:])), "a helper with its values stands in parentheses: (eq plan \"pro\")")
	}
}

// whole reads a value or a call and nothing behind it.
func (e *exprParser) whole() expr {
	x := e.call()
	if e.at < len(e.s) && e.s[e.at] == ')' {
		e.fail(e.at, "a parenthesis is closed that was not opened", "")
	}
	e.end()
	return x
}

// call reads "name value value", or a value alone.
func (e *exprParser) call() expr {
	e.space()
	start := e.at
	if start >= len(e.s) {
		return e.fail(0, "nothing is named here", "write the name of a variable")
	}
	name := e.word()
	h := e.p.helpers[name]
	if h == nil || e.at < len(e.s) && strings.IndexByte("./[=", e.s[e.at]) >= 0 {
		e.at = start
		x := e.value()
		if name != "" && !e.done() && !e.bad {
			if behind := e.s[e.at:]; behind[0] == '|' || strings.HasPrefix(behind, "as |") {
				return e.fail(e.at, "block parameters and filters are not supported", pipeHint)
			}
			if e.isWordEnd(start + len(name)) {
				return e.fail(start, fmt.Sprintf("there is no helper %q", name), helperHint(name, e.p.helpers))
			}
		}
		return x
	}
	return e.arguments(h, start)
}

func (e *exprParser) isWordEnd(at int) bool {
	return at >= len(e.s) || strings.IndexByte(" \t\r\n", e.s[at]) >= 0
}

// arguments reads a helper's values, by place or as name=value.
func (e *exprParser) arguments(h *helper, start int) expr {
	c := &call{helper: h, at: e.pos(start)}
	if !h.variadic {
		c.args = make([]expr, len(h.params))
	}
	n := 0
	for !e.done() {
		at := e.at
		if name := e.named(); name != "" {
			i := h.index(name)
			if i < 0 || c.args[i] != nil {
				return e.fail(at, fmt.Sprintf("%s takes no %s here", h.name, name), h.usage())
			}
			c.args[i] = e.value()
			continue
		}
		x := e.value()
		switch {
		case h.variadic && n < maxArgs:
			c.args = append(c.args, x)
		case n >= len(h.params) || c.args[n] != nil:
			return e.fail(at, h.name+" takes fewer values", h.usage())
		default:
			c.args[n] = x
		}
		n++
	}
	if e.bad {
		return c
	}
	for i, p := range h.params {
		if i >= len(c.args) || c.args[i] == nil && !p.optional {
			return e.fail(start, fmt.Sprintf("%s needs a %s", h.name, p.name), h.usage())
		}
	}
	if h.prepare != nil {
		if detail, hint := h.prepare(c, e.p.options); detail != "" {
			return e.fail(start, detail, hint)
		}
	}
	return c
}

// named reads "name=" if it stands here.
func (e *exprParser) named() string {
	start := e.at
	if name := e.word(); name != "" && e.at < len(e.s) && e.s[e.at] == '=' {
		e.at++
		return name
	}
	e.at = start
	return ""
}

// value reads a literal, a path or a call in parentheses.
func (e *exprParser) value() expr {
	e.space()
	start := e.at
	if start >= len(e.s) {
		return e.fail(start, "a value is missing here", "")
	}
	switch c := e.s[start]; {
	case c == '(':
		if e.depth++; e.depth > maxCallDepth {
			return e.fail(start, fmt.Sprintf("calls are nested deeper than %d", maxCallDepth), "")
		}
		e.at++
		x := e.call()
		e.space()
		if e.at >= len(e.s) || e.s[e.at] != ')' {
			return e.fail(start, "this parenthesis is never closed", "")
		}
		e.at++
		e.depth--
		if _, ok := x.(*call); !ok && !e.bad {
			return e.fail(start, "parentheses are for helpers", "write (eq a b), or the variable without parentheses")
		}
		return x
	case c == '"' || c == '\'':
		return e.text(c)
	case c >= '0' && c <= '9', c == '-' && start+1 < len(e.s) && e.s[start+1] >= '0' && e.s[start+1] <= '9':
		return e.number()
	}
	return e.path()
}

func (e *exprParser) text(quote byte) expr {
	start := e.at
	var b strings.Builder
	for i := start + 1; i < len(e.s); i++ {
		switch c := e.s[i]; {
		case c == '\\' && i+1 < len(e.s) && (e.s[i+1] == quote || e.s[i+1] == '\\'):
			i++
			b.WriteByte(e.s[i])
		case c == quote:
			e.at = i + 1
			return &literal{value: b.String(), at: e.pos(start)}
		default:
			b.WriteByte(c)
		}
	}
	return e.fail(start, "this quote is never closed", "")
}

func (e *exprParser) number() expr {
	start := e.at
	for e.at < len(e.s) && strings.IndexByte(" \t\r\n)=", e.s[e.at]) < 0 {
		e.at++
	}
	s := e.s[start:e.at]
	if _, ok := parseDecimal(s); !ok {
		return e.fail(start, fmt.Sprintf("%s is not a number", excerpt(s)), "a name that starts with a digit is written in brackets: [2nd]")
	}
	return &literal{value: json.Number(s), at: e.pos(start)}
}

// word reads a name; "" if none stands here.
func (e *exprParser) word() string {
	start := e.at
	for e.at < len(e.s) {
		r, size := utf8.DecodeRuneInString(e.s[e.at:])
		if !isNameRune(r) {
			break
		}
		e.at += size
	}
	return e.s[start:e.at]
}

func isNameRune(r rune) bool {
	return r == '_' || r == '-' || r == '$' || r != utf8.RuneError && (unicode.IsLetter(r) || unicode.IsDigit(r) || unicode.IsMark(r))
}

// path reads a.b.c, ../a, this, ., @index, @root.a and [odd name].
func (e *exprParser) path() expr {
	start := e.at
	p := &path{at: e.pos(start)}
	for strings.HasPrefix(e.s[e.at:], "..") {
		p.up++
		e.at += 2
		if !strings.HasPrefix(e.s[e.at:], "/") {
			if e.at < len(e.s) && e.s[e.at] == '.' {
				return e.fail(e.at, "there is a dot too many", "")
			}
			return e.finish(p, start)
		}
		e.at++
	}
	if strings.HasPrefix(e.s[e.at:], "@") {
		e.at++
		if fault := e.special(p, start); fault != nil {
			return fault
		}
	} else if first := e.segment(); first != "" {
		switch {
		case e.s[e.at-1] == ']':
			p.segs = append(p.segs, first)
		case first == "this":
		case first == "true" || first == "false":
			return &literal{value: first == "true", at: p.at}
		case first == "null" || first == "undefined":
			return &literal{at: p.at}
		default:
			p.segs = append(p.segs, first)
		}
	} else if strings.HasPrefix(e.s[e.at:], ".") { // . alone, or ./name
		e.at++
		if !strings.HasPrefix(e.s[e.at:], "/") {
			return e.finish(p, start)
		}
		e.at--
	} else {
		return e.fail(e.at, fmt.Sprintf("%s is not a name", excerpt(e.s[e.at:])), "a name with other characters than letters, digits, _ and - is written in brackets: [first name]")
	}
	for e.at < len(e.s) && (e.s[e.at] == '.' || e.s[e.at] == '/') {
		separator := e.s[e.at:]
		e.at++
		if strings.HasPrefix(separator, "./") && len(p.segs) == 0 {
			e.at++
		} else if separator[0] == '/' {
			return e.fail(e.at-1, "members are named behind a dot", "write "+e.s[start:e.at-1]+".name")
		}
		seg := e.segment()
		if seg == "" {
			return e.fail(e.at, "a name is missing behind the dot", "")
		}
		p.segs = append(p.segs, seg)
	}
	return e.finish(p, start)
}

const pipeHint = "inside {{#each}} the item is this, and helpers stand before their value: {{upper name}}"

// segment reads a name or [any text].
func (e *exprParser) segment() string {
	if e.at < len(e.s) && e.s[e.at] == '[' {
		name, _, ok := strings.Cut(e.s[e.at+1:], "]")
		if !ok || name == "" {
			return ""
		}
		e.at += len(name) + 2
		return name
	}
	return e.word()
}

// special reads what stands behind an @.
func (e *exprParser) special(p *path, start int) expr {
	name := e.word()
	switch name {
	case "root":
		p.root = rootTop
	case "index", "key", "first", "last":
		p.root, p.data = rootData, name
		if !e.p.inLoop() {
			return e.fail(start, "@"+name+" means something only inside {{#each}}", "a partial is given it as a parameter: {{> row number=@index}}")
		}
	case "content":
		p.segs = []string{"@content"}
	default:
		return e.fail(start, fmt.Sprintf("there is no @%s", name), "there are @root, @index, @key, @first and @last")
	}
	return nil
}

func (e *exprParser) finish(p *path, start int) expr {
	p.written = e.s[start:e.at]
	if e.at < len(e.s) && strings.IndexByte(" \t\r\n)", e.s[e.at]) < 0 {
		if e.s[e.at] == '|' {
			return e.fail(e.at, "block parameters and filters are not supported", pipeHint)
		}
		return e.fail(e.at, fmt.Sprintf("%s is not part of a name", excerpt(e.s[e.at:])), "a name with other characters than letters, digits, _ and - is written in brackets: [first name]")
	}
	if len(p.segs) > maxArgs {
		return e.fail(start, fmt.Sprintf("this path has more than %d names", maxArgs), "")
	}
	if p.up > e.p.contexts() {
		return e.fail(start, "there is no enclosing context for so many ../", "../ leaves {{#each}}, {{#with}} or a section; {{#if}} has no context of its own")
	}
	return p
}

// excerpt quotes the start of a text for a message.
func excerpt(s string) string {
	const most = 30
	r := []rune(s[:min(len(s), 4*(most+1))])
	if len(r) > most {
		return fmt.Sprintf("%q...", string(r[:most]))
	}
	return fmt.Sprintf("%q", s)
}
