package templates

import (
	"fmt"
	"html"
	"strings"
)

// scheme gives the scheme of an address, its character references decoded, as anybody may
// read it: browsers leave out leading controls and spaces and all line breaks and tabs (URL
// standard, 4.4), and here all of them and all spaces are left out. "" means that it has none.
func scheme(s string) (name, rest string) {
	blank := func(r rune) bool { return r <= ' ' }
	if strings.ContainsFunc(s, blank) {
		s = strings.Join(strings.FieldsFunc(s, blank), "")
	}
	for i := range len(s) {
		c := s[i]
		switch {
		case c == ':':
			return strings.ToLower(s[:i]), s[i+1:]
		case isLetter(c), i > 0 && (c >= '0' && c <= '9' || c == '+' || c == '-' || c == '.'):
		default:
			return "", s
		}
	}
	return "", s
}

func allowed(scheme string) bool {
	switch scheme {
	case "http", "https", "mailto", "tel", "cid":
		return true
	}
	return false
}

// decoded gives what stands in an attribute with its character references decoded. It is
// not ok if a numeric one does not end with a semicolon: the HTML standard reads "&#9s" as
// a tab and an s, package html as it is written.
func decoded(value string) (plain string, ok bool) {
	for rest := value; ; {
		_, behind, found := strings.Cut(rest, "&#")
		if !found {
			return html.UnescapeString(value), true
		}
		numerals := "0123456789"
		if strings.HasPrefix(behind, "x") || strings.HasPrefix(behind, "X") {
			behind, numerals = behind[1:], numerals+"abcdefABCDEF"
		}
		rest = strings.TrimLeft(behind, numerals)
		if len(rest) < len(behind) && !strings.HasPrefix(rest, ";") {
			return "", false
		}
	}
}

const openReference = "a character reference in an address has no semicolon"

// turned is what is wrong with an address that its reader would see in another order.
const turned = "a character that turns the direction of text is not allowed in an address"

// checkLiteralURL says what is wrong with an address that its author wrote; "" if
// nothing. One without a scheme stays as it is. Line breaks and tabs may stand in it, as
// browsers leave them out; what a client does about other control characters is unknown.
func checkLiteralURL(value string) string {
	plain, ok := decoded(value)
	if !ok {
		return openReference
	}
	if strings.ContainsFunc(plain, func(r rune) bool {
		return r < ' ' && r != '\t' && r != '\r' && r != '\n' || r == 0x7f
	}) {
		return "a control character is not allowed in an address"
	}
	if strings.ContainsFunc(plain, isBidiControl) {
		return turned
	}
	if name, _ := scheme(plain); name != "" && !allowed(name) {
		return fmt.Sprintf("%s: is not allowed in an address", name)
	}
	return ""
}

// checkURL says what is wrong with an address that comes from data; "" if nothing.
func checkURL(value string) string {
	plain, ok := decoded(value)
	if !ok {
		return openReference
	}
	name, rest := scheme(plain)
	switch {
	case name == "" && strings.TrimSpace(rest) == "":
		return "the address is empty"
	case name == "":
		return "the address has no scheme"
	case !allowed(name):
		return "the address has a scheme that is not allowed"
	case name == "http" || name == "https":
		host, ok := strings.CutPrefix(rest, "//")
		if !ok || host == "" || strings.IndexByte("/\\?#", host[0]) >= 0 {
			return "the address names no host behind " + name + "://"
		}
	case rest == "":
		return "the address ends behind " + name + ":"
	}
	switch {
	case strings.ContainsFunc(plain, func(r rune) bool { return r < ' ' || r == 0x7f }):
		return "the address holds a line break or another control character"
	case strings.ContainsFunc(plain, isBidiControl):
		return turned
	}
	return ""
}
