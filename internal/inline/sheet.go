package inline

import (
	"strings"

	"github.com/tdewolff/parse/v2"
	"github.com/tdewolff/parse/v2/css"
)

// maxNesting is how deep groups of rules may stand in each other and still be read.
const maxNesting = 8

// sheet is the style sheet of one <style>.
type sheet struct {
	source string
	media  string // of its element
	parts  []part
	kept   string // what stays in it
}

// part is a piece of a style sheet, in its order: a rule, or what stays as it is.
type part struct {
	rule *rule
	raw  string
}

// rule is selectors with what they declare.
type rule struct {
	selectors    []*selector
	declarations []declaration
	order        int
}

// declaration is one property with its value.
type declaration struct {
	property  string // in lower case
	value     string
	important bool
}

// token is a token of CSS. Comments are left out when tokens are made.
type token struct {
	kind css.TokenType
	text string
}

func tokens(source string) []token {
	var out []token
	lexer := css.NewLexer(parse.NewInputString(source))
	for {
		kind, text := lexer.Next()
		switch kind {
		case css.ErrorToken:
			return out
		case css.CommentToken:
			// Nothing may grow together over it.
			out = append(out, token{css.WhitespaceToken, " "})
		default:
			out = append(out, token{kind, string(text)})
		}
	}
}

func text(list []token) string {
	var out strings.Builder
	for _, t := range list {
		out.WriteString(t.text)
	}
	return strings.TrimSpace(out.String())
}

// parse takes the sheet apart. number gives each rule its place among those of all.
func (s *sheet) parse(number func() int) {
	applies := false
	switch strings.ToLower(strings.TrimSpace(s.media)) {
	case "", "all", "screen":
		applies = true
	}
	for _, r := range topLevel(tokens(s.source)) {
		if !applies || len(r.block) == 0 && r.prelude == nil || !r.isStyle() {
			s.parts = append(s.parts, part{raw: r.forced(0)})
			continue
		}
		made := &rule{declarations: declarations(r.block), order: number()}
		for _, one := range split(r.prelude, css.CommaToken) {
			made.selectors = append(made.selectors, newSelector(text(one)))
		}
		s.parts = append(s.parts, part{rule: made})
	}
}

// leave decides what stays, once it is known which selectors have matched.
func (s *sheet) leave() {
	var out strings.Builder
	for _, p := range s.parts {
		if p.rule == nil {
			out.WriteString(p.raw + "\n")
			continue
		}
		var left []string
		for _, one := range p.rule.selectors {
			if !one.matched {
				left = append(left, one.text)
			}
		}
		if len(left) > 0 && len(p.rule.declarations) > 0 {
			out.WriteString(strings.Join(left, ",") + "{" + forcedDeclarations(p.rule.declarations) + "}\n")
		}
	}
	s.kept = out.String()
	// What stood apart must not have become the end of the element.
	if strings.Contains(s.kept, "</") {
		s.kept = s.source
	}
	if s.kept != "" && s.kept != s.source {
		s.kept = "\n" + s.kept
	}
}

// block is a rule as its tokens: a prelude, and a block or none.
type block struct {
	prelude  []token // without the at-keyword
	keyword  string  // such as @media, in lower case; empty: a style rule
	block    []token // between the braces
	hasBlock bool
}

// isStyle tells a rule that is selectors and declarations and nothing else.
func (b *block) isStyle() bool {
	if b.keyword != "" || !b.hasBlock {
		return false
	}
	for _, t := range b.block {
		if t.kind == css.LeftBraceToken || t.kind == css.AtKeywordToken {
			return false // rules nested in it
		}
	}
	return true
}

// topLevel cuts tokens into rules. What is begun and never ended ends at the end.
func topLevel(list []token) []block {
	var out []block
	for i := 0; i < len(list); {
		switch list[i].kind {
		case css.WhitespaceToken, css.CDOToken, css.CDCToken, css.SemicolonToken, css.RightBraceToken:
			i++
			continue
		}
		var r block
		if list[i].kind == css.AtKeywordToken {
			r.keyword = strings.ToLower(list[i].text)
			i++
		}
		start := i
		for i < len(list) && list[i].kind != css.LeftBraceToken && (r.keyword == "" || list[i].kind != css.SemicolonToken) {
			i++
		}
		r.prelude = list[start:i]
		if i < len(list) && list[i].kind == css.LeftBraceToken {
			end := closing(list, i)
			r.block, r.hasBlock = list[i+1:end], true
			i = end
		}
		i++
		if r.keyword != "" || r.hasBlock {
			out = append(out, r)
		}
	}
	return out
}

// closing is the index of the brace that closes the one at i, or the number of tokens.
func closing(list []token, i int) int {
	depth := 0
	for ; i < len(list); i++ {
		switch list[i].kind {
		case css.LeftBraceToken:
			depth++
		case css.RightBraceToken:
			if depth--; depth == 0 {
				return i
			}
		}
	}
	return len(list)
}

// forced writes a rule whose declarations win over style attributes.
func (b *block) forced(depth int) string {
	if !b.hasBlock {
		return b.keyword + " " + text(b.prelude) + ";"
	}
	head := text(b.prelude)
	if b.keyword != "" {
		head = strings.TrimSpace(b.keyword + " " + head)
	}
	switch b.keyword {
	case "@media", "@supports", "@layer", "@container":
		if depth == maxNesting {
			break
		}
		var inner strings.Builder
		for _, r := range topLevel(b.block) {
			inner.WriteString(r.forced(depth + 1))
		}
		return head + "{" + inner.String() + "}"
	case "":
		if b.isStyle() {
			return head + "{" + forcedDeclarations(declarations(b.block)) + "}"
		}
	}
	return head + "{" + text(b.block) + "}"
}

func forcedDeclarations(list []declaration) string {
	var out strings.Builder
	for i, d := range list {
		if i > 0 {
			out.WriteByte(';')
		}
		out.WriteString(d.property + ":" + d.value + " !important")
	}
	return out.String()
}

// declarations reads what stands in a block or a style attribute; what is none is left
// out, as CSS says.
func declarations(list []token) []declaration {
	var out []declaration
	for _, one := range split(list, css.SemicolonToken) {
		colon := 0
		for colon < len(one) && one[colon].kind != css.ColonToken {
			colon++
		}
		if colon == len(one) {
			continue
		}
		d := declaration{property: strings.ToLower(text(one[:colon])), value: text(one[colon+1:])}
		if bare, ok := strings.CutSuffix(strings.ToLower(d.value), "important"); ok && strings.HasSuffix(strings.TrimSpace(bare), "!") {
			d.important = true
			d.value = strings.TrimSpace(d.value[:strings.LastIndexByte(d.value, '!')])
		}
		if !isProperty(d.property) || d.value == "" {
			continue
		}
		out = append(out, d)
	}
	return out
}

// isProperty tells the name of a property, those of Outlook (mso-...) among them.
func isProperty(s string) bool {
	for i := range len(s) {
		c := s[i]
		if !('a' <= c && c <= 'z' || '0' <= c && c <= '9' || c == '-' || c == '_') {
			return false
		}
	}
	return s != ""
}

// split cuts tokens at a kind of token outside of all brackets.
func split(list []token, at css.TokenType) [][]token {
	var out [][]token
	depth, start := 0, 0
	for i, t := range list {
		switch t.kind {
		case css.LeftParenthesisToken, css.FunctionToken, css.LeftBracketToken, css.LeftBraceToken:
			depth++
		case css.RightParenthesisToken, css.RightBracketToken, css.RightBraceToken:
			depth = max(0, depth-1)
		case at:
			if depth == 0 {
				out = append(out, list[start:i])
				start = i + 1
			}
		}
	}
	return append(out, list[start:])
}
