package templates

import (
	"fmt"
	"html"
	"strings"
)

// scheme gives the scheme of an address as it stands in HTML, the way a browser reads
// it: character references decoded, leading controls and spaces and all line breaks
// and tabs ignored (URL standard, 4.4). "" means that it has none.
func scheme(value string) (name, rest string) {
	s := html.UnescapeString(value)
	s = strings.TrimLeftFunc(s, func(r rune) bool { return r <= ' ' })
	if strings.ContainsAny(s, "\t\r\n") {
		s = strings.NewReplacer("\t", "", "\r", "", "\n", "").Replace(s)
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

// checkLiteralURL says what is wrong with an address that its author wrote; "" if
// nothing. One without a scheme stays as it is. Line breaks and tabs may stand in it, as
// browsers leave them out; what a client does about other control characters is unknown.
func checkLiteralURL(value string) string {
	if strings.ContainsFunc(html.UnescapeString(value), func(r rune) bool {
		return r < ' ' && r != '\t' && r != '\r' && r != '\n' || r == 0x7f
	}) {
		return "a control character is not allowed in an address"
	}
	if name, _ := scheme(value); name != "" && !allowed(name) {
		return fmt.Sprintf("%s: is not allowed in an address", name)
	}
	return ""
}

// checkURL says what is wrong with an address that comes from data; "" if nothing.
func checkURL(value string) string {
	name, rest := scheme(value)
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
	if strings.ContainsFunc(html.UnescapeString(value), func(r rune) bool { return r < ' ' || r == 0x7f }) {
		return "the address holds a line break or another control character"
	}
	return ""
}

// unreadable are the elements in which readers disagree about what is markup: by whether
// they run scripts, and by where they think that svg and math end.
func unreadable(element string) bool {
	switch element {
	case "svg", "math", "noscript", "xmp", "noembed", "noframes", "plaintext", "template", "base":
		return true
	}
	return false
}

// checkRaw says what is wrong with HTML that comes from data: it must be whole, and its
// addresses must be such as a template may have.
func checkRaw(s string) string {
	fault := ""
	set := func(detail string) {
		if fault == "" {
			fault = detail
		}
	}
	sc := scanner{
		fail: func(_ int, detail, _ string) { set(detail) },
		mark: func(int, bool) {},
		url: func(_ int, value string) {
			if detail := checkLiteralURL(value); detail != "" {
				set(detail)
			}
		},
		event: func(_ int, element, attr string) {
			switch {
			case element == "script":
				set("it holds a script")
			case unreadable(element):
				set(fmt.Sprintf("it holds the element %s", excerpt(element)))
			case attr != "" && kindOf(element, attr) == attrCode:
				set(fmt.Sprintf("it holds the attribute %s", excerpt(attr)))
			}
		},
	}
	if sc.scan(s); fault == "" && (sc.mode != modeText || sc.cond) {
		set("it ends inside of " + sc.where())
	}
	return fault
}
