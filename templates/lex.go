package templates

import "strings"

// maxTag bounds one tag, so that an unclosed quote is told where it is.
const maxTag = 4 << 10

type tokenKind uint8

const (
	tokenText    tokenKind = iota
	tokenOutput            // {{x}}
	tokenRaw               // {{{x}}} and {{&x}}
	tokenOpen              // {{#x}}
	tokenInverse           // {{^x}}
	tokenElse              // {{else}}, {{^}} and {{else if x}}
	tokenClose             // {{/x}}
	tokenPartial           // {{>x}}
	tokenComment
)

// token is a stretch of text or a tag.
type token struct {
	kind      tokenKind
	text      string // the text; of a tag, what stands between braces and sigil
	off       int    // where it starts in the source
	body      int    // where text starts
	trimLeft  bool   // {{~
	trimRight bool   // ~}}
}

// lexer cuts a source into text and tags. Braces in quotes do not end a tag.
type lexer struct {
	src    *source
	faults *faults
	tokens []token
}

func lex(src *source, f *faults) []token {
	l := &lexer{src: src, faults: f}
	s := src.text
	for at := 0; at < len(s) && !f.full(); {
		i := strings.Index(s[at:], "{{")
		if i < 0 {
			l.addText(at, len(s))
			break
		}
		open := at + i
		backslashes := 0
		for open-backslashes > at && s[open-backslashes-1] == '\\' && backslashes < 2 {
			backslashes++
		}
		switch backslashes {
		case 1: // \{{ is text
			l.addText(at, open-1)
			l.addText(open, open+2)
			at = open + 2
			continue
		case 2: // \\{{ is a backslash and a tag
			l.addText(at, open-1)
		default:
			l.addText(at, open)
		}
		at = l.tag(open)
	}
	l.trim()
	return l.tokens
}

func (l *lexer) addText(from, to int) {
	if from < to {
		l.tokens = append(l.tokens, token{kind: tokenText, text: l.src.text[from:to], off: from, body: from})
	}
}

// tag reads the tag at off and gives the offset behind it.
func (l *lexer) tag(off int) int {
	t := token{kind: tokenOutput, off: off}
	s := l.src.text
	at := off + 2
	if at < len(s) && s[at] == '~' {
		t.trimLeft = true
		at++
	}
	closing := "}}"
	rest := s[at:]
	switch {
	case strings.HasPrefix(rest, "{{"):
		l.fail(off, "four braces are not supported", "write {{{...}}} for HTML from the data, \\{{ for braces as text")
		return at + 2
	case strings.HasPrefix(rest, "{"):
		t.kind, closing = tokenRaw, "}"
		at++
	case strings.HasPrefix(rest, "!--"):
		return l.comment(t, at+3, "--")
	case strings.HasPrefix(rest, "!"):
		return l.comment(t, at+1, "")
	}
	end := l.end(at, closing)
	if end < 0 {
		return len(s)
	}
	t.text, t.body = s[at:end], at
	at = end + len(closing)
	if t.kind == tokenRaw { // }}} or }~}}
		if strings.HasPrefix(s[at:], "~") {
			t.trimRight = true
			at++
		}
		if !strings.HasPrefix(s[at:], "}}") {
			l.fail(off, "this tag has three opening braces and not three closing ones", "write {{{...}}} or {{...}}")
			return at
		}
		at += 2
	} else if strings.HasSuffix(t.text, "~") {
		t.trimRight = true
		t.text = t.text[:len(t.text)-1]
	}
	l.classify(t)
	return at
}

// comment skips a comment; its end is }} or, for {{!-- , only --}}.
func (l *lexer) comment(t token, at int, dashes string) int {
	t.kind = tokenComment
	rest := l.src.text[at:]
	n := strings.Index(rest, dashes+"}}")
	width := len(dashes) + 2
	until := rest
	if n >= 0 {
		until = rest[:n+width] // no further: a source may hold very many comments
	}
	if i := strings.Index(until, dashes+"~}}"); i >= 0 {
		n, t.trimRight, width = i, true, width+1
	}
	if n < 0 {
		l.fail(t.off, "this comment is never closed", "end it with "+dashes+"}}")
		return len(l.src.text)
	}
	l.tokens = append(l.tokens, t)
	return at + n + width
}

// end finds the closing braces outside of quotes and brackets.
func (l *lexer) end(at int, closing string) int {
	s := l.src.text
	until := byte(0)
	for i := at; i < len(s) && i < at+maxTag; i++ {
		switch c := s[i]; {
		case until != 0:
			if c == '\\' && until != ']' {
				i++
			} else if c == until {
				until = 0
			}
		case c == '"' || c == '\'':
			until = c
		case c == '[':
			until = ']'
		case strings.HasPrefix(s[i:], closing):
			return i
		case strings.HasPrefix(s[i:], "{{"):
			l.fail(at-2, "this tag is not closed before the next one", "end it with }}")
			return -1
		}
	}
	hint := "end it with }}"
	if until != 0 {
		hint = "its quote or bracket is never closed"
	}
	l.fail(at-2, "this tag is never closed", hint)
	return -1
}

// classify reads the sigil.
func (l *lexer) classify(t token) {
	trimmed := strings.TrimLeft(t.text, " \t\r\n")
	sigil := byte(0)
	if trimmed != "" {
		sigil = trimmed[0]
	}
	if t.kind == tokenRaw {
		l.tokens = append(l.tokens, t)
		return
	}
	skip := len(t.text) - len(trimmed) + 1
	switch sigil {
	case '#':
		t.kind = tokenOpen
	case '/':
		t.kind = tokenClose
	case '^':
		t.kind = tokenInverse
		if strings.TrimSpace(trimmed[1:]) == "" {
			t.kind = tokenElse
		}
	case '>':
		t.kind = tokenPartial
	case '&':
		t.kind = tokenRaw
	case '=':
		l.fail(t.off, "delimiters cannot be changed", "write \\{{ for braces as text")
		return
	case '*':
		l.fail(t.off, "decorators are not supported", "")
		return
	default:
		skip = 0
		word, rest, _ := strings.Cut(strings.TrimSpace(t.text), " ")
		if word == "else" {
			t.kind = tokenElse
			t.body += strings.Index(t.text, "else") + 4
			t.text = rest
			t.body += max(0, strings.Index(l.src.text[t.body:], rest))
		}
	}
	t.text, t.body = t.text[skip:], t.body+skip
	l.tokens = append(l.tokens, t)
}

func (l *lexer) fail(off int, detail, hint string) {
	l.faults.add(pos{l.src, max(off, 0)}, detail, hint)
}

// trim applies ~ and takes away the lines on which nothing stands but a block's tag,
// a comment or a partial, as Handlebars does.
func (l *lexer) trim() {
	type cut struct{ left, right bool }
	cuts := make([]cut, len(l.tokens))
	for i := range l.tokens {
		switch l.tokens[i].kind {
		case tokenText, tokenOutput, tokenRaw:
		default:
			alone := l.startsLine(i) && l.endsLine(i)
			cuts[i] = cut{alone, alone}
		}
	}
	for i, t := range l.tokens {
		if t.kind == tokenText {
			continue
		}
		if i > 0 && l.tokens[i-1].kind == tokenText {
			p := &l.tokens[i-1]
			switch {
			case t.trimLeft:
				p.text = strings.TrimRight(p.text, " \t\r\n")
			case cuts[i].left:
				p.text = strings.TrimRight(p.text, " \t")
			}
		}
		if i+1 < len(l.tokens) && l.tokens[i+1].kind == tokenText {
			n := &l.tokens[i+1]
			was := len(n.text)
			switch {
			case t.trimRight:
				n.text = strings.TrimLeft(n.text, " \t\r\n")
			case cuts[i].right:
				n.text = strings.TrimLeft(n.text, " \t")
				n.text = strings.TrimPrefix(strings.TrimPrefix(n.text, "\r"), "\n")
			}
			n.off += was - len(n.text)
		}
	}
}

// startsLine: nothing but spaces stands before token i on its line.
func (l *lexer) startsLine(i int) bool {
	if i == 0 {
		return true
	}
	if l.tokens[i-1].kind != tokenText {
		return false
	}
	s := strings.TrimRight(l.tokens[i-1].text, " \t")
	return strings.HasSuffix(s, "\n") || s == "" && i == 1
}

// endsLine: nothing but spaces stands behind token i on its line.
func (l *lexer) endsLine(i int) bool {
	if i == len(l.tokens)-1 {
		return true
	}
	if l.tokens[i+1].kind != tokenText {
		return false
	}
	s := strings.TrimLeft(l.tokens[i+1].text, " \t")
	return strings.HasPrefix(s, "\n") || strings.HasPrefix(s, "\r\n") || s == "" && i+1 == len(l.tokens)-1
}
