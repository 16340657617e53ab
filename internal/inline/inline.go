// Package inline moves the CSS of a mail's <style> elements into style attributes, as
// several mail programs read no other.
//
// What a style attribute cannot say stays in <style>: @media and other at-rules, so
// dark-mode and phone styles; selectors with pseudo-classes such as :hover; and rules
// that match nothing, which are meant for what mail programs put round a mail. Its
// declarations become !important, since they were written to win over the plain rules,
// which a style attribute would turn round.
//
// The page itself stays octet for octet: only start tags that get a style and the
// contents of <style> change. Conditional comments for Outlook, tables and broken HTML
// are thus kept as they are. That is why no inlining library serves: those known write
// the parsed page anew, lose conditional comments of the form <![if mso]> and fonts,
// and let rules times elements grow without bounds. The tokens of HTML are
// golang.org/x/net/html's, those of CSS tdewolff/parse's, and cascadia judges simple
// selectors.
//
// It does no I/O and loads no style sheets. Time and memory are bounded;
// steps are counted, so that the same page ends alike on every machine.
//
//	page, err := inline.CSS(rendered)
//	if errors.Is(err, inline.ErrTooMuch) {
//		return err // whoever wrote the page is told
//	}
package inline

import (
	"errors"
	"fmt"
	"strings"

	"golang.org/x/net/html"
)

// ErrTooMuch is a page beyond what may be spent on it, or nested too deep to be read.
var ErrTooMuch = errors.New("too much to inline")

// The bounds of a page: a mail of 102 KiB, more than which Gmail does not show, is far
// below all of them.
const (
	maxPage     = 5 << 20   // octets, before and after
	maxElements = 50_000    //
	maxPieces   = 200_000   // tags, attributes, texts and comments
	maxCSS      = 512 << 10 // octets of all style sheets
	maxRules    = 5_000     // selectors
	maxSteps    = 1_000_000 // of matching; about 50 ms
)

// CSS inlines the style sheets of a page. Errors wrap ErrTooMuch and say of what.
func CSS(page string) (string, error) {
	if len(page) > maxPage {
		return "", fmt.Errorf("%w: the HTML has more than %d octets", ErrTooMuch, maxPage)
	}
	doc, err := read(page)
	if err != nil || len(doc.sheets) == 0 {
		return page, err
	}
	styles, err := doc.cascade()
	if err != nil {
		return "", err
	}
	return doc.write(styles)
}

// document is a page taken apart without losing an octet.
type document struct {
	pieces     []piece
	attributes int
	tree       *tree
	sheets     []*sheet
}

// piece is a stretch of the page: a start tag, the content of a <style>, or anything.
type piece struct {
	raw     string
	element int    // number of the start tag, from 1; 0: none
	tag     string // its name
	styled  string // its style attribute
	hasAttr bool   // there is a style attribute
	sheet   *sheet // of the content of a <style>
}

// read cuts a page into pieces.
func read(page string) (*document, error) {
	doc := &document{tree: newTree()}
	z := html.NewTokenizer(strings.NewReader(page))
	foreign := false // inside of <!--[if !mso]><!-->, which is for some programs only
	var open *sheet  // the <style> that was begun
	css := 0
	for {
		if len(doc.pieces)+doc.attributes > maxPieces {
			return nil, fmt.Errorf("%w: the HTML has more than %d tags, attributes, texts and comments", ErrTooMuch, maxPieces)
		}
		switch kind := z.Next(); kind {
		case html.ErrorToken:
			doc.pieces = append(doc.pieces, piece{raw: string(z.Raw())})
			return doc, nil
		case html.CommentToken:
			raw := string(z.Raw())
			foreign = conditional(raw, foreign)
			doc.pieces = append(doc.pieces, piece{raw: raw})
		case html.StartTagToken, html.SelfClosingTagToken:
			p, media, err := doc.startTag(z, kind == html.SelfClosingTagToken)
			if err != nil {
				return nil, err
			}
			doc.pieces = append(doc.pieces, p)
			open = nil
			if p.tag == "style" && kind == html.StartTagToken && !foreign {
				open = &sheet{media: media}
			}
		case html.EndTagToken:
			p := piece{raw: string(z.Raw())}
			name, _ := z.TagName()
			if doc.tree.end(string(name)); doc.tree.steps > maxSteps {
				return nil, fmt.Errorf("%w: the HTML is nested too deep too often", ErrTooMuch)
			}
			doc.pieces = append(doc.pieces, p)
			open = nil
		case html.TextToken:
			raw := string(z.Raw())
			p := piece{raw: raw}
			if open != nil {
				if css += len(raw); css > maxCSS {
					return nil, fmt.Errorf("%w: the CSS has more than %d octets", ErrTooMuch, maxCSS)
				}
				open.source = raw
				p.sheet = open
				doc.sheets = append(doc.sheets, open)
				open = nil
			}
			doc.pieces = append(doc.pieces, p)
		default:
			doc.pieces = append(doc.pieces, piece{raw: string(z.Raw())})
		}
	}
}

// conditional follows the comments that show what is between them to some programs:
// <!--[if !mso]><!--> and <![if !mso]>, up to <!--<![endif]--> or <![endif]>.
func conditional(comment string, inside bool) bool {
	switch {
	case strings.Contains(comment, "[endif]"):
		return false
	case strings.HasPrefix(comment, "<![if"), strings.HasPrefix(comment, "<!--[if") && strings.Contains(comment, "]><!"):
		return true
	}
	return inside
}

// startTag reads the start tag that the tokenizer is at, and its attribute media.
func (doc *document) startTag(z *html.Tokenizer, selfClosing bool) (p piece, media string, err error) {
	p = piece{raw: string(z.Raw()), element: len(doc.tree.nodes)}
	if p.element > maxElements {
		return p, "", fmt.Errorf("%w: the HTML has more than %d elements", ErrTooMuch, maxElements)
	}
	name, more := z.TagName()
	p.tag = string(name)
	var attributes []html.Attribute
	for more {
		var key, value []byte
		key, value, more = z.TagAttr()
		a := html.Attribute{Key: string(key), Val: string(value)}
		attributes = append(attributes, a)
		switch {
		case a.Key == "style" && !p.hasAttr:
			p.hasAttr, p.styled = true, a.Val
		case a.Key == "media":
			media = a.Val
		}
	}
	doc.attributes += words(p.raw)
	return p, media, doc.tree.begin(p.tag, attributes, selfClosing)
}

// words counts what stands in a start tag outside of quotes: its attributes, those that the
// tokenizer leaves out because they stand twice among them.
func words(tag string) int {
	n, quote, before := 0, byte(0), byte(' ')
	for i := range len(tag) {
		c := tag[i]
		switch {
		case quote != 0:
			if c == quote {
				quote, c = 0, ' '
			}
		case (c == '"' || c == '\'') && before == '=':
			quote = c
		case c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\f' || c == '/':
			c = ' '
		case before == ' ':
			n++
		}
		before = c
	}
	return n
}

// write puts the page together again, with the styles by the number of their element.
func (doc *document) write(styles map[int]string) (string, error) {
	var out strings.Builder
	for i, p := range doc.pieces {
		style, styled := styles[p.element]
		switch {
		case p.sheet != nil:
			out.WriteString(p.sheet.kept)
		case p.tag == "style" && emptied(doc.pieces[i:]), i > 0 && p.raw == "</style>" && i > 1 && emptied(doc.pieces[i-2:]):
			// Nothing is left of this style sheet.
		case p.element > 0 && styled:
			out.WriteString(restyled(&p, style))
		default:
			out.WriteString(p.raw)
		}
		if out.Len() > maxPage {
			return "", fmt.Errorf("%w: with its styles the HTML has more than %d octets", ErrTooMuch, maxPage)
		}
	}
	return out.String(), nil
}

// emptied tells a <style> of which nothing is left: its start tag, content and end tag.
func emptied(pieces []piece) bool {
	return len(pieces) > 2 && pieces[0].tag == "style" && pieces[1].sheet != nil && strings.TrimSpace(pieces[1].sheet.kept) == "" &&
		pieces[2].raw == "</style>"
}

// restyled is a start tag with another style.
func restyled(p *piece, style string) string {
	attribute := ` style="` + escaped(style) + `"`
	if !p.hasAttr {
		name := strings.IndexAny(p.raw, " \t\n\f\r/>") // not by p.tag: it has U+FFFD for a NUL
		return p.raw[:name] + attribute + p.raw[name:]
	}
	// The tag is written anew, as its style may stand in any form.
	z := html.NewTokenizer(strings.NewReader(p.raw))
	kind := z.Next()
	var out strings.Builder
	out.WriteString("<" + p.tag)
	_, more := z.TagName()
	for written := false; more; {
		var key, value []byte
		key, value, more = z.TagAttr()
		switch {
		case string(key) != "style":
			out.WriteString(" " + string(key) + `="` + html.EscapeString(string(value)) + `"`)
		case !written:
			out.WriteString(attribute)
			written = true
		}
	}
	if kind == html.SelfClosingTagToken {
		out.WriteString(" /")
	}
	out.WriteString(">")
	return out.String()
}

// escaped is a value for a double-quoted attribute. Single quotes stay, as fonts have them.
func escaped(value string) string {
	if !strings.ContainsAny(value, `&"<>`) {
		return value
	}
	for _, pair := range [][2]string{{"&", "&amp;"}, {`"`, "&quot;"}, {"<", "&lt;"}, {">", "&gt;"}} {
		value = strings.ReplaceAll(value, pair[0], pair[1])
	}
	return value
}
