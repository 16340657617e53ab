package templates

import (
	"strings"
	"unicode/utf8"
)

// scanner follows HTML through a stretch of text.
type scanner struct {
	htmlState
	text  string
	at    int
	value int // where the attribute's value began in text, -1 if before it
	inner int // where the content of modeElement began in text, 0 if before it

	fail  func(at int, detail, hint string)
	mark  func(at int, end bool)     // a URL begins or ends here, the rest of it elsewhere
	url   func(at int, value string) // a URL that stands here whole
	style func(value string)         // likewise a style
	event func(at int, element, attr string)
}

func isSpace(c byte) bool { return c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\f' }

func isLetter(c byte) bool { return c|0x20 >= 'a' && c|0x20 <= 'z' }

// scan reads the text. It stops where something is wrong.
func (s *scanner) scan(text string) (ok bool) {
	s.text, s.at, s.value, s.inner, s.tail = text, 0, -1, 0, false
	failed := false
	fail := s.fail
	defer func() { s.fail = fail }()
	s.fail = func(at int, detail, hint string) {
		if !failed {
			fail(at, detail, hint)
		}
		failed = true
	}
	for s.at < len(text) && !failed {
		if s.cond && text[s.at] == '-' && endsComment(text[s.at:]) {
			s.fail(s.at, "a comment ends inside of a conditional comment", "mail clients other than Outlook would show what follows")
			break
		}
		s.step(text[s.at])
	}
	if s.mode == modeDouble || s.mode == modeSingle || s.mode == modeUnquoted {
		if s.kind == attrURL && s.value >= 0 {
			if strings.HasPrefix(text[s.value:], "#") {
				s.kind = attrPlain // a place in the mail itself
			} else {
				s.mark(s.value, false)
			}
		}
	}
	s.tail = s.cond && (strings.HasSuffix(text, "--") || strings.HasSuffix(text, "--!")) || s.mode == modeElement && s.partialEnd()
	return !failed
}

func endsComment(s string) bool { return strings.HasPrefix(s, "-->") || strings.HasPrefix(s, "--!>") }

// partialEnd: the text ends in what may become the end of the element.
func (s *scanner) partialEnd() bool {
	inner := s.text[s.inner:]
	i := strings.LastIndexByte(inner, '<')
	return i >= 0 && len(inner)-i < len(s.element)+3
}

func (s *scanner) step(c byte) {
	switch s.mode {
	case modeText:
		n := strings.IndexByte(s.text[s.at:], '<')
		if s.cond {
			n = strings.IndexAny(s.text[s.at:], "<-")
		}
		switch {
		case n < 0:
			s.at = len(s.text)
		case n > 0:
			s.at += n
		case c == '<':
			s.tagOpen()
		default:
			s.at++
		}
	case modeTagOpen: // the < ended the stretch before
		s.mode = modeText // nothing follows a fault
	case modeTagName:
		s.name(c)
	case modeTag, modeTagSpace:
		s.tag(c)
	case modeAttrName:
		s.attribute(c)
	case modeAfterName, modeBeforeValue:
		s.afterName(c)
	case modeDouble:
		s.quoted(c, '"')
	case modeSingle:
		s.quoted(c, '\'')
	case modeUnquoted:
		if isSpace(c) || c == '>' {
			s.endValue()
			return
		}
		s.directed(c)
		s.at++
	case modeComment:
		if endsComment(s.text[s.at:]) {
			s.at += strings.IndexByte(s.text[s.at:], '>')
			s.mode = modeText
		}
		s.at++
	case modeDeclaration:
		if c == '>' {
			s.mode = modeText
		}
		s.at++
	case modeElement:
		s.content()
	}
}

// tagOpen reads from < on.
func (s *scanner) tagOpen() {
	rest := s.text[s.at:]
	s.mode, s.element, s.end = modeText, "", false
	switch {
	case len(rest) == 1:
		s.mode = modeTagOpen
		s.at++
	case marksOutlook(strings.TrimPrefix(rest[1:], "/")):
		s.fail(s.at, "a < stands before a conditional comment", "Outlook would join it to what follows; write &lt;")
	case isLetter(rest[1]):
		s.mode = modeTagName
		s.at++
	case rest[1] == '/':
		s.at += 2
		switch {
		case len(rest) > 2 && isLetter(rest[2]):
			s.mode, s.end = modeTagName, true
		case len(rest) > 2 && rest[2] == '>':
			s.at++
		default:
			s.mode = modeDeclaration
		}
	case s.cond && strings.HasPrefix(rest, "<![endif]-->"):
		s.cond = false
		s.at += len("<![endif]-->")
	case strings.HasPrefix(rest, "<!--"):
		s.comment(rest)
	case strings.HasPrefix(rest, "<![CDATA["):
		s.fail(s.at, "a CDATA section is read in two ways, and has no place in a mail", "")
		s.mode = modeDeclaration
		s.at += 2
	case rest[1] == '!' || rest[1] == '?':
		s.mode = modeDeclaration
		s.at += 2
	default:
		s.at++
	}
}

// marksOutlook: what begins here is what Outlook leaves out of what it reads.
func marksOutlook(s string) bool {
	return strings.HasPrefix(s, "<!--[if") || strings.HasPrefix(s, "<![endif]") || strings.HasPrefix(s, "<!--<![endif]")
}

// comment reads <!-- and what Microsoft made of it: <!--[if mso]> ... <![endif]--> is
// a comment for everyone else, <!--[if !mso]><!--> ... <!--<![endif]--> is not.
func (s *scanner) comment(rest string) {
	switch {
	case strings.HasPrefix(rest, "<!-->"), strings.HasPrefix(rest, "<!--->"):
		s.at += strings.IndexByte(rest, '>') + 1
		return
	case !strings.HasPrefix(rest, "<!--[if"):
		s.mode = modeComment
		s.at += 4
		return
	case s.cond:
		s.fail(s.at, "a conditional comment stands inside of another", "")
		return
	}
	n := strings.Index(rest, "]>")
	if n < 0 || strings.Contains(rest[:n], "--!>") || strings.Contains(rest[4:n], "-->") {
		s.fail(s.at, "this conditional comment has no condition that ends in ]>", "write <!--[if mso]>; variables have no place in it")
		return
	}
	s.at += n + 2
	behind := rest[n+2:]
	switch {
	case strings.HasPrefix(behind, "<!-->"):
		s.at += len("<!-->")
	case strings.HasPrefix(behind, "-->"):
		s.at += len("-->")
	default:
		s.cond = true
	}
}

func (s *scanner) name(c byte) {
	switch {
	case isSpace(c):
		s.mode = modeTag
		s.at++
	case c == '/':
		s.mode = modeTag
		s.at++
	case c == '>':
		s.closeTag()
	case c == '<':
		s.fail(s.at, "the tag <"+s.element+" is not closed before the next one", "end it with >")
	default:
		if c >= 'A' && c <= 'Z' {
			c |= 0x20
		}
		s.element += string(rune(c))
		s.at++
		if len(s.element) > 60 {
			s.fail(s.at, "a tag's name is longer than 60 characters", "")
		}
	}
}

// tag reads what stands between attributes.
func (s *scanner) tag(c byte) {
	switch {
	case isSpace(c), c == '/':
		s.mode = modeTag
		s.at++
	case c == '>':
		s.closeTag()
	case c == '=' || c == '"' || c == '\'' || c == '<':
		s.fail(s.at, "a "+string(rune(c))+" stands where an attribute's name is expected in <"+s.element+">", "")
	case s.mode == modeTagSpace:
		s.fail(s.at, "an attribute touches what stands before it in <"+s.element+">", "put a space between them")
	default:
		s.mode, s.attr = modeAttrName, ""
	}
}

func (s *scanner) attribute(c byte) {
	switch {
	case isSpace(c):
		s.mode = modeAfterName
		s.named()
	case c == '=':
		s.mode = modeBeforeValue
		s.named()
	case c == '/' || c == '>':
		s.named()
		s.mode = modeTag
		return
	case c == '"' || c == '\'' || c == '<':
		s.fail(s.at, "a "+string(rune(c))+" stands in an attribute's name in <"+s.element+">", "")
	default:
		if c >= 'A' && c <= 'Z' {
			c |= 0x20
		}
		s.attr += string(rune(c))
		if len(s.attr) > 100 {
			s.fail(s.at, "an attribute's name is longer than 100 characters", "")
		}
	}
	s.at++
}

func (s *scanner) named() {
	s.kind = kindOf(s.element, s.attr)
	if s.event != nil {
		s.event(s.at, s.element, s.attr)
	}
}

func (s *scanner) afterName(c byte) {
	switch {
	case isSpace(c):
		s.at++
	case s.mode == modeAfterName && c == '=':
		s.mode = modeBeforeValue
		s.at++
	case s.mode == modeAfterName || c == '>':
		s.mode, s.kind = modeTag, attrPlain
	case c == '"':
		s.mode = modeDouble
		s.at++
		s.value = s.at
	case c == '\'':
		s.mode = modeSingle
		s.at++
		s.value = s.at
	default:
		s.mode = modeUnquoted
		s.value = s.at
	}
}

func (s *scanner) quoted(c, quote byte) {
	if c == quote {
		s.endValue()
	}
	s.directed(c)
	s.at++
}

// directed refuses an address that its reader would see in another order.
func (s *scanner) directed(c byte) {
	if c < utf8.RuneSelf || s.kind != attrURL {
		return
	}
	if r, _ := utf8.DecodeRuneInString(s.text[s.at:]); isBidiControl(r) {
		s.fail(s.at, turned, "")
	}
}

func (s *scanner) endValue() {
	switch {
	case s.kind == attrURL && s.value < 0:
		s.mark(s.at, true)
	case s.kind == attrURL:
		s.url(s.value, s.text[s.value:s.at])
	case s.kind == attrStyle && s.style != nil:
		s.style(s.text[s.value:s.at])
	}
	s.mode, s.kind, s.attr = modeTag, attrPlain, ""
}

// closeTag is at the > of a tag.
func (s *scanner) closeTag() {
	s.at++
	s.mode, s.kind, s.attr = modeText, attrPlain, ""
	if s.event != nil {
		s.event(s.at, s.element, "")
	}
	if i := foreignIndex(s.element); i >= 0 {
		switch {
		case s.end:
			// The end of svg and math is not believed: HTML ignores it in some places.
			if s.element == "select" {
				s.foreign[i] = max(0, s.foreign[i]-1)
			}
		case s.foreign[i] > 1000:
			s.fail(s.at, "<"+s.element+"> is nested too deep", "")
		default:
			s.foreign[i]++
		}
	} else if !s.end && opaque(s.element) {
		if s.element == "noscript" {
			s.fail(s.at, "<noscript> is read in two ways, and has no place in a mail", "")
		}
		if s.foreign != [3]int16{} && s.element != "script" {
			s.fail(s.at, "<"+s.element+"> has no place in svg, math or select", "")
		}
		s.mode, s.inner = modeElement, s.at
		return
	}
	s.element, s.end = "", false
}

// content looks for the end of an element without markup.
func (s *scanner) content() {
	rest := s.text[s.at:]
	n := strings.IndexByte(rest, '<')
	if n < 0 {
		n = len(rest)
	}
	if n > 0 {
		s.at += 1
		if !s.cond {
			s.at += n - 1
		}
		return
	}
	size := len("</") + len(s.element)
	switch {
	case s.element == "script" && strings.HasPrefix(rest, "<!--"):
		s.fail(s.at, "a comment stands in a script", "")
	case len(rest) > size && rest[1] == '/' && strings.EqualFold(rest[2:size], s.element) && (isSpace(rest[size]) || rest[size] == '/' || rest[size] == '>'):
		s.mode, s.end = modeTag, true
		s.at += size
	default:
		s.at++
	}
}
