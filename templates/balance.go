package templates

import (
	"fmt"
	"slices"
	"strings"
)

// maxOpen is how many elements of HTML of the data may be open in each other.
const maxOpen = 250

// balance holds that HTML of the data closes what it opens, and nothing else: otherwise
// it could close the table around it, or have all that follows in its own style.
type balance struct {
	open    []opened
	read    int // how much of the text has been looked at for ends of conditional comments
	comment int // how many of them were found
}

// opened is an open element.
type opened struct {
	element string
	comment int  // the conditional comment that holds it, 0: none
	inItem  bool // it is or stands in an item that a new item would end, with all that is in it
}

func (o opened) is(p opened) bool { return o.element == p.element && o.comment == p.comment }

// tag takes a tag that ends at sc.at. It says what is wrong with it; "" if nothing.
func (b *balance) tag(sc *scanner) string {
	b.comment += strings.Count(sc.text[b.read:sc.at], "<![endif]-->")
	b.read = sc.at
	one := opened{element: sc.element}
	if sc.cond {
		one.comment = b.comment + 1
	}
	switch {
	case void(one.element):
		return ""
	case sc.end:
		return b.close(one)
	}
	if n := len(b.open); n > 0 {
		around := b.open[n-1]
		switch {
		case around.is(one) && optionalEnd(one.element):
			return "" // <li> ends the <li> before it
		case isItem(one.element) && around.inItem && !isItem(around.element), isHeading(one.element) && isHeading(around.element):
			// The end tags of what it ends would be read as ends of what is around the text.
			return fmt.Sprintf("it opens the element %s where that would close others", excerpt(one.element))
		}
		one.inItem = around.inItem
	}
	one.inItem = isItem(one.element) || one.inItem && !holdsItems(one.element)
	if len(b.open) == maxOpen {
		return fmt.Sprintf("more than %d elements are open in each other", maxOpen)
	}
	b.open = append(b.open, one)
	return ""
}

func (b *balance) close(one opened) string {
	for i, o := range slices.Backward(b.open) {
		switch {
		case o.is(one):
			b.open = b.open[:i]
			return ""
		case o.comment == one.comment && optionalEnd(o.element):
			continue
		case slices.ContainsFunc(b.open, one.is):
			return fmt.Sprintf("it closes the element %s before %s, which stands in it", excerpt(one.element), excerpt(o.element))
		}
		break
	}
	return fmt.Sprintf("it closes the element %s, which it did not open", excerpt(one.element))
}

// end says what is wrong with the text as a whole; "" if nothing.
func (b *balance) end() string {
	if len(b.open) == 0 {
		return ""
	}
	return fmt.Sprintf("it does not close the element %s", excerpt(b.open[len(b.open)-1].element))
}

// void tells the elements that have no content (HTML standard, 13.1.2): their end tags
// mean nothing.
func void(element string) bool {
	switch element {
	case "area", "basefont", "bgsound", "br", "col", "hr", "image", "img", "param", "source", "track", "wbr":
		return true
	}
	return false
}

func isItem(element string) bool { return element == "li" || element == "dd" || element == "dt" }

// isHeading tells h1 to h6: each ends one that it would stand in.
func isHeading(element string) bool {
	return len(element) == 2 && element[0] == 'h' && element[1] >= '1' && element[1] <= '6'
}

// holdsItems tells the elements whose items end none outside of them (13.2.6.4.7).
func holdsItems(element string) bool {
	switch element {
	case "ul", "ol", "menu", "dl", "table", "td", "th", "blockquote", "section", "article", "center":
		return true
	}
	return false
}

// optionalEnd tells the elements that end where those around them do (13.1.2.4).
func optionalEnd(element string) bool {
	switch element {
	case "p", "li", "dt", "dd", "tr", "td", "th", "thead", "tbody", "tfoot", "colgroup", "caption", "rt", "rp", "option", "optgroup":
		return true
	}
	return false
}

// maxCondition is how far behind its begin the condition of a conditional comment must end.
const maxCondition = 200

// conditional says what is wrong with marks of conditional comments; "" if nothing. Those
// that all readers but Outlook show would be missing from the balance for Outlook.
func conditional(s string) string {
	begun := 0
	for rest := s; ; {
		_, behind, found := strings.Cut(rest, "<!")
		if !found {
			break
		}
		rest = behind
		mark := strings.TrimLeft(behind, "- \t\r\n\f")
		mark = strings.ToLower(mark[:min(len(mark), len("[endif"))])
		switch {
		case strings.HasPrefix(behind, "[endif]-->"):
			begun--
		case strings.HasPrefix(behind, "--[if"):
			begun++
			n := strings.Index(behind[:min(len(behind), maxCondition)], "]>")
			if n < 0 || strings.HasPrefix(behind[n:], "]><!-->") || strings.HasPrefix(behind[n:], "]>-->") {
				return shownElsewhere
			}
		case strings.HasPrefix(mark, "[if"), mark == "[endif":
			return shownElsewhere
		}
	}
	if begun != 0 {
		return "it ends a conditional comment that it did not begin"
	}
	return ""
}

const shownElsewhere = "it holds a conditional comment that readers other than Outlook show"
