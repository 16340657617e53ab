package templates

import (
	"strings"
	"unicode/utf8"
)

// escaper is how a value is written where it stands.
type escaper uint8

const (
	escapeText   escaper = iota // a text part: as it is
	escapeHeader                // a header: on one line
	escapeHTML                  // text or a quoted attribute of HTML
	escapeCSS                   // a value in CSS
	escapeRaw                   // HTML from the data
	// escapeDash is added in a conditional comment, which a dash could end.
	escapeDash escaper = 0x10
)

// isBidiControl: characters that change the direction of what follows them, beyond the
// value that holds them.
func isBidiControl(r rune) bool {
	return r >= '\u202a' && r <= '\u202e' || r >= '\u2066' && r <= '\u2069'
}

// isControl: characters that mean nothing in a mail, C0 and C1 without tab and line
// breaks.
func isControl(r rune) bool {
	return r < ' ' && r != '\t' && r != '\n' && r != '\r' || r >= 0x7f && r < 0xa0
}

// special is what an escaper gives for a character, if not the character.
func (e escaper) special(r rune, size int) (string, bool) {
	if r == utf8.RuneError && size == 1 {
		return "\ufffd", true
	}
	if isBidiControl(r) {
		return "", true
	}
	switch e &^ escapeDash {
	case escapeHeader:
		switch r {
		case '\n', '\r', '\v', '\f', '\u0085', '\u2028', '\u2029', '\t':
			return " ", true
		}
	case escapeHTML:
		switch r {
		case '&':
			return "&amp;", true
		case '<':
			return "&lt;", true
		case '>':
			return "&gt;", true
		case '"':
			return "&#34;", true
		case '\'':
			return "&#39;", true
		case '`':
			return "&#96;", true
		}
	case escapeText:
		if r == '\r' {
			return "\n", true
		}
	}
	return "", isControl(r)
}

// plain tells the bytes that no escaper changes: letters, digits, space and most signs.
func plain(c byte) bool {
	switch c {
	case '&', '<', '>', '"', '\'', '`', 0x7f:
		return false
	}
	return c >= ' ' && c < utf8.RuneSelf
}

// append writes the value s.
func (e escaper) append(dst []byte, s string) []byte {
	from := 0
	for i := 0; i < len(s); {
		if plain(s[i]) {
			i++
			continue
		}
		r, size := utf8.DecodeRuneInString(s[i:])
		text, ok := e.special(r, size)
		if !ok {
			i += size
			continue
		}
		dst = append(dst, s[from:i]...)
		if (r == '\r' || r == '\n') && strings.HasPrefix(s[i:], "\r\n") {
			size = 2
		}
		dst = append(dst, text...)
		i += size
		from = i
	}
	dst = append(dst, s[from:]...)
	if e&escapeDash != 0 && s != "" {
		// What follows may be a ">" of the template, and both --> and --!> end a comment.
		switch dst[len(dst)-1] {
		case '-':
			dst = append(dst[:len(dst)-1], "&#45;"...)
		case '!':
			dst = append(dst[:len(dst)-1], "&#33;"...)
		}
	}
	return dst
}

// isCSSValue: nothing that ends a value, opens a function or names an address.
func isCSSValue(s string) bool {
	for i := range len(s) {
		c := s[i]
		if !isLetter(c) && (c < '0' || c > '9') && strings.IndexByte("#.,%+- ", c) < 0 {
			return false
		}
	}
	return true
}
