package compose

import (
	"strconv"
	"strings"

	"golang.org/x/net/html"
	"golang.org/x/net/html/atom"
)

const (
	// maxHTML is how much of an HTML part is read for its text.
	maxHTML = 5 << 20
	// maxLists is how deep lists are numbered.
	maxLists = 32
	// maxIndent is how deep lists are indented.
	maxIndent = 4
)

// Text makes the text part of an HTML one: paragraphs, lists and table rows as
// lines, links kept behind their words; scripts, styles, comments and what is hidden
// gone. Lines end with LF. It reads tokens, not a tree, so that its time is linear in the length and
// nesting costs nothing; of more than 5 MiB it reads the beginning. The text is
// never longer than a small multiple of what was read. Empty if there is none.
//
// For a page that the tokenizer cannot bear the answer is what was read until then.
func Text(html string) (text string) {
	if len(html) > maxHTML {
		html = strings.ToValidUTF8(html[:maxHTML], "")
	}
	t := &textWriter{}
	defer func() {
		// The mail is worth more than its text part.
		if recover() != nil {
			text = t.out.String()
		}
	}()
	if t.read(html); t.hidden != "" {
		// It never ends, so what is behind it may be meant to be shown.
		t = &textWriter{all: true}
		t.read(html)
	}
	return t.out.String()
}

// textWriter turns HTML tokens into text. Breaks and spaces are kept back until a
// word follows, so that none stands at the start, at the end or twice.
type textWriter struct {
	out    strings.Builder
	breaks int  // line breaks owed before the next word, at most 2
	space  bool // a space owed before the next word
	pre    int  // depth of <pre>
	skip   atom.Atom
	hidden string // name of the element that is open and not shown, such as a preheader
	depth  int    // of elements of that name in each other
	all    bool   // hidden elements are read, too
	tables []bool // the open ones: whether they are for the look only
	lists  []int  // per open list the last number; -1 for bullets
	marker string // of a list item whose first word is still to come
	href   string // attributes of the start tag that is read
	alt    string
	role   string
	link   string // target of the open link
	words  int    // where its text starts in out
}

func (t *textWriter) read(page string) {
	z := html.NewTokenizer(strings.NewReader(page))
	for {
		switch z.Next() {
		case html.ErrorToken:
			t.endLink()
			return
		case html.TextToken:
			if t.skip == 0 && t.hidden == "" {
				t.text(string(z.Text()))
			}
		case html.StartTagToken, html.SelfClosingTagToken:
			name, hasAttr := z.TagName()
			if !t.hide(string(name), z, hasAttr) {
				t.start(atom.Lookup(name))
			}
		case html.EndTagToken:
			name, _ := z.TagName()
			if t.hidden != "" {
				t.unhide(string(name))
				continue
			}
			t.end(atom.Lookup(name))
		}
	}
}

// hide reads the attributes of a start tag, and reports whether its element is not
// shown: it is in one that is hidden, or it is itself.
func (t *textWriter) hide(name string, z *html.Tokenizer, more bool) bool {
	t.href, t.alt, t.role = "", "", ""
	hides := false
	for more {
		var key, value []byte
		key, value, more = z.TagAttr()
		switch string(key) {
		case "href":
			t.href = string(value)
		case "alt":
			t.alt = string(value)
		case "role":
			t.role = string(value)
		case "hidden":
			hides = true
		case "style":
			hides = hides || undisplayed(string(value))
		}
	}
	switch {
	case t.hidden != "":
		if name == t.hidden {
			t.depth++
		}
		return true
	case t.all:
		return false
	case hides && !isVoid(name):
		t.hidden, t.depth = name, 1
	}
	return hides
}

// undisplayed tells a style that hides an element from all programs.
func undisplayed(style string) bool {
	for declaration := range strings.SplitSeq(style, ";") {
		property, value, _ := strings.Cut(declaration, ":")
		if !strings.EqualFold(strings.TrimSpace(property), "display") {
			continue
		}
		value, _, _ = strings.Cut(strings.TrimSpace(value), "!")
		if strings.EqualFold(strings.TrimSpace(value), "none") {
			return true
		}
	}
	return false
}

func (t *textWriter) unhide(name string) {
	if name != t.hidden {
		return
	}
	if t.depth--; t.depth == 0 {
		t.hidden = ""
	}
}

func isVoid(name string) bool {
	switch name {
	case "area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track", "wbr":
		return true
	}
	return false
}

func (t *textWriter) start(tag atom.Atom) {
	switch tag {
	case atom.Script, atom.Style, atom.Title, atom.Textarea, atom.Iframe, atom.Noframes, atom.Noembed,
		atom.Noscript:
		// The tokenizer reads these as one text up to their end tag.
		t.skip = tag
	case atom.Br:
		t.br()
	case atom.Hr:
		t.owe(2)
		t.text("---")
		t.owe(2)
	case atom.Ul, atom.Menu:
		t.openList(-1)
	case atom.Ol:
		t.openList(0)
	case atom.Li:
		t.item()
	case atom.Pre:
		t.owe(2)
		t.pre++
	case atom.A:
		t.endLink()
		t.link, t.words = linkTarget(t.href), t.out.Len()
	case atom.Img:
		t.text(t.alt)
	case atom.Td, atom.Th:
		t.space = true
	case atom.Table:
		// One for the look only stands where its cells do.
		t.tables = append(t.tables, t.role == "presentation")
		t.owe(t.aroundTable())
	default:
		t.owe(breaksAround(tag))
	}
}

func (t *textWriter) end(tag atom.Atom) {
	switch tag {
	case t.skip:
		t.skip = 0
	case atom.A:
		t.endLink()
	case atom.Ul, atom.Ol, atom.Menu:
		t.lists = t.lists[:max(0, len(t.lists)-1)]
		t.owe(min(2, 2-len(t.lists)))
	case atom.Li:
		t.owe(1)
		t.marker = ""
	case atom.Pre:
		t.owe(2)
		t.pre = max(0, t.pre-1)
	case atom.Table:
		t.owe(t.aroundTable())
		t.tables = t.tables[:max(0, len(t.tables)-1)]
	case atom.Br:
		t.br()
	default:
		t.owe(breaksAround(tag))
	}
}

// breaksAround is 2 for what stands apart from the text around it, 1 for what only
// stands on lines of its own.
func breaksAround(tag atom.Atom) int {
	switch tag {
	case atom.P, atom.H1, atom.H2, atom.H3, atom.H4, atom.H5, atom.H6, atom.Blockquote, atom.Table, atom.Dl,
		atom.Figure, atom.Fieldset:
		return 2
	case atom.Div, atom.Tr, atom.Dt, atom.Dd, atom.Section, atom.Article, atom.Header, atom.Footer, atom.Main,
		atom.Nav, atom.Aside, atom.Address, atom.Center, atom.Form, atom.Option, atom.Figcaption, atom.Caption,
		atom.Body, atom.Legend:
		return 1
	default:
		return 0
	}
}

// aroundTable is breaksAround for the innermost table.
func (t *textWriter) aroundTable() int {
	if n := len(t.tables); n > 0 && t.tables[n-1] {
		return 1
	}
	return 2
}

func (t *textWriter) openList(number int) {
	t.owe(min(2, 2-len(t.lists)))
	if len(t.lists) < maxLists {
		t.lists = append(t.lists, number)
	}
}

func (t *textWriter) item() {
	t.owe(1)
	t.marker = "- "
	if n := len(t.lists); n > 0 && t.lists[n-1] >= 0 {
		t.lists[n-1]++
		t.marker = strconv.Itoa(t.lists[n-1]) + ". "
	}
}

// owe asks for n line breaks before the next word.
func (t *textWriter) owe(n int) {
	t.breaks = max(t.breaks, n)
}

// br asks for one more line break; two make an empty line, more do not.
func (t *textWriter) br() {
	t.breaks = min(2, t.breaks+1)
}

// noLines takes away what a mail cannot have in its lines.
var noLines = strings.NewReplacer("\r", "", "\x00", "")

// text writes character data: words with one space between them, or, in <pre>, lines
// as they are.
func (t *textWriter) text(s string) {
	if t.pre > 0 {
		for i, line := range strings.Split(noLines.Replace(s), "\n") {
			if i > 0 {
				t.br()
			}
			if strings.TrimSpace(line) != "" {
				t.word(strings.TrimRight(line, " \t\r"))
			}
		}
		return
	}
	for s != "" {
		start := strings.IndexFunc(s, isNotBlank)
		t.space = t.space || start != 0
		if start < 0 {
			return
		}
		s = s[start:]
		end := strings.IndexFunc(s, isBlank)
		if end < 0 {
			end = len(s)
		}
		t.word(s[:end])
		s = s[end:]
	}
}

// word writes what is owed, then s.
func (t *textWriter) word(s string) {
	if t.out.Len() > 0 {
		for range t.breaks {
			t.out.WriteByte('\n')
		}
		if t.space && t.breaks == 0 {
			t.out.WriteByte(' ')
		}
	}
	if t.marker != "" {
		t.out.WriteString(strings.Repeat("  ", min(maxIndent, max(0, len(t.lists)-1))))
		t.out.WriteString(t.marker)
	}
	t.out.WriteString(s)
	t.breaks, t.space, t.marker = 0, false, ""
}

// endLink writes the target of the open link behind its words, unless they are the
// target.
func (t *textWriter) endLink() {
	target := t.link
	t.link = ""
	if target == "" {
		return
	}
	shown := strings.TrimSpace(t.out.String()[t.words:])
	if bare(shown) == bare(target) {
		return
	}
	t.space = true
	t.word("<" + target + ">")
}

// bare is an address without what people leave out when they write it.
func bare(s string) string {
	for _, scheme := range []string{"https://", "http://", "mailto:", "tel:"} {
		s = strings.TrimPrefix(s, scheme)
	}
	return strings.TrimSuffix(s, "/")
}

// linkTarget is href if it leads somewhere outside the page.
func linkTarget(href string) string {
	href = strings.Map(func(r rune) rune {
		if r <= ' ' || r == '<' || r == '>' || r == 0x7f {
			return -1
		}
		return r
	}, href)
	scheme, _, _ := strings.Cut(strings.ToLower(href[:min(len(href), len("https:"))]), ":")
	switch scheme {
	case "http", "https", "mailto", "tel":
		return href
	default:
		return ""
	}
}

func isNotBlank(r rune) bool { return !isBlank(r) }

// isBlank tells white space and the invisible characters that mails are padded with.
func isBlank(r rune) bool {
	switch r {
	case ' ', '\t', '\n', '\r', '\f', '\u00a0', '\u200b', '\u034f', '\ufeff', '\u2028', '\u2029', 0, '\u0085':
		return true
	default:
		return false
	}
}
