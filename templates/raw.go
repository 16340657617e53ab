package templates

import (
	"fmt"
	"strings"
)

// checkRaw says what is wrong with HTML that comes from data; "" if nothing. It must be
// whole, a piece of a mail and not one of its own, close what it opens, and nothing in it
// may run.
func checkRaw(s string) string {
	fault := ""
	sc := scanner{
		fail: func(_ int, detail, _ string) { fault = detail },
		mark: func(int, bool) {},
	}
	var tags balance
	refuse := func(detail string) { sc.fail(sc.at, detail, "") } // and read no further
	sc.url = func(_ int, value string) {
		if detail := checkLiteralURL(value); detail != "" {
			refuse(detail)
		}
	}
	sc.style = func(value string) {
		if runsStyle(value) {
			refuse("it holds a style that could run something")
		}
	}
	sc.event = func(_ int, element, attr string) {
		if why := unfit(element); why != "" {
			refuse(fmt.Sprintf("it holds the element %s, %s", excerpt(element), why))
		}
		if attr == "" {
			if why := tags.tag(&sc); why != "" {
				refuse(why)
			}
		} else if kindOf(element, attr) == attrCode {
			refuse(fmt.Sprintf("it holds the attribute %s", excerpt(attr)))
		}
	}
	switch sc.scan(s); {
	case fault != "":
		return fault
	case sc.mode != modeText || sc.cond:
		return "it ends inside of " + sc.where()
	}
	if fault = conditional(s); fault != "" {
		return fault
	}
	return tags.end()
}

// unfit says why HTML of the data must not hold an element; "" if it may.
func unfit(element string) string {
	switch element {
	case "script", "iframe", "frame", "frameset", "object", "embed", "applet":
		return "which brings a program or a page of its own"
	case "form", "input", "button", "select", "textarea", "keygen", "isindex":
		return "by which readers enter something"
	case "style", "link", "meta", "base", "title", "html", "head", "body":
		return "which is about the whole mail"
	case "svg", "math", "noscript", "xmp", "noembed", "noframes", "plaintext", "template":
		// By whether they run scripts, and by where they think that svg and math end.
		return "in which readers disagree about what is markup"
	}
	return ""
}

// runsStyle tells what a style attribute could run in some reader, or hide that it does:
// in CSS an escape or a comment may stand in any word.
func runsStyle(value string) bool {
	if !strings.ContainsAny(value, `(\&`) {
		return false // all of them are functions
	}
	plain, ok := decoded(value)
	if !ok {
		return true
	}
	s := ";" + strings.ToLower(strings.Map(func(r rune) rune {
		if r <= ' ' {
			return -1
		}
		return r
	}, plain))
	for _, code := range []string{`\`, "/*", "expression(", "javascript:", "vbscript:", ";behavior:", "-moz-binding:"} {
		if strings.Contains(s, code) {
			return true
		}
	}
	return false
}
