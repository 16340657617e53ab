package templates

import "strings"

// mode is where in an HTML document a scanner stands (HTML standard, 13.2.5).
type mode uint8

const (
	modeText        mode = iota
	modeTagOpen          // behind <
	modeTagName          // in a tag's name
	modeTag              // in a tag, before an attribute
	modeTagSpace         // in a tag, where only a space, / or > may follow
	modeAttrName         // in an attribute's name
	modeAfterName        // behind it
	modeBeforeValue      // behind =
	modeDouble           // in a value in "
	modeSingle           // in a value in '
	modeUnquoted         // in a value without quotes
	modeComment          // in <!-- -->
	modeDeclaration      // in <!doctype>, <? > and their like
	modeElement          // in an element whose content is no markup: style, script, title...
)

// attrKind is what an attribute's value means.
type attrKind uint8

const (
	attrPlain attrKind = iota
	attrURL            // one address
	attrStyle          // CSS
	attrCode           // script, HTML, or several addresses: no place for a variable
)

// htmlState is all that the text before a place says about the place. Equal states
// read the same text alike.
type htmlState struct {
	mode    mode
	element string // the tag's name, or the element of modeElement
	end     bool   // it is an end tag
	attr    string
	kind    attrKind
	cond    bool // in <!--[if mso]> ... <![endif]-->: HTML for Outlook, a comment for others
	// foreign counts open svg, math and select elements, whose content is read by
	// other rules: there nothing is taken for text without markup.
	foreign [3]int16
	// tail: the text so far ends in what would mean something else if more followed.
	tail bool
}

// where says it to people.
func (s *htmlState) where() string {
	switch s.mode {
	case modeText:
		return "text"
	case modeTagOpen, modeTagName:
		return "a tag's name"
	case modeTag, modeTagSpace:
		return "the tag <" + s.element + ">"
	case modeAttrName, modeAfterName:
		return "an attribute's name"
	case modeBeforeValue:
		return "the attribute " + s.attr + ", which has no quotes"
	case modeDouble, modeSingle:
		return "the attribute " + s.attr
	case modeUnquoted:
		return "the attribute " + s.attr + ", which has no quotes"
	case modeComment:
		return "a comment"
	case modeElement:
		return "the element <" + s.element + ">"
	}
	return "a declaration"
}

// kindOf says what an attribute means. Prefixes such as xlink: are ignored; data-*
// means nothing to a mail client.
func kindOf(element, attr string) attrKind {
	if strings.HasPrefix(attr, "on") {
		return attrCode
	}
	if i := strings.LastIndexByte(attr, ':'); i >= 0 {
		attr = attr[i+1:]
	}
	switch element {
	case "script", "animate", "animatetransform", "animatemotion", "set":
		return attrCode // they may change other attributes
	}
	switch attr {
	case "href", "src", "action", "formaction", "background", "cite", "data", "longdesc", "poster", "lowsrc", "dynsrc", "icon",
		"manifest", "profile", "codebase", "classid", "usemap":
		return attrURL
	case "style":
		return attrStyle
	case "srcset", "imagesrcset", "srcdoc", "ping", "archive":
		return attrCode
	case "content":
		if element == "meta" { // of a refresh it is an address
			return attrCode
		}
	}
	if strings.HasPrefix(attr, "on") {
		return attrCode
	}
	return attrPlain
}

// opaque are the elements whose content is no markup (HTML standard, 13.2.6.2).
func opaque(element string) bool {
	switch element {
	case "script", "style", "title", "textarea", "xmp", "iframe", "noembed", "noframes", "noscript", "plaintext":
		return true
	}
	return false
}

func foreignIndex(element string) int {
	switch element {
	case "svg":
		return 0
	case "math":
		return 1
	case "select":
		return 2
	}
	return -1
}

// inTag reports whether blocks may stand here that hold whole attributes.
func (s *htmlState) inTag() bool { return s.mode == modeTag || s.mode == modeTagSpace }

// settle is the state at a tag of the template: names end there.
func (s htmlState) settle() htmlState {
	switch s.mode {
	case modeTagName, modeAttrName, modeAfterName:
		if s.mode == modeTagName && s.element == "" {
			break
		}
		s.mode, s.attr, s.kind = modeTagSpace, "", attrPlain
	}
	return s
}

// join is the state behind two branches; ok is false if they differ.
func (s htmlState) join(o htmlState) (htmlState, bool) {
	if s == o {
		return s, true
	}
	if s.inTag() && o.inTag() {
		s.mode, o.mode = modeTagSpace, modeTagSpace
	}
	s.tail = s.tail || o.tail
	o.tail = s.tail
	return s, s == o
}

// enclosing says what the text so far might end.
func (s *htmlState) enclosing() string {
	if s.cond {
		return "the conditional comment"
	}
	return s.where()
}
