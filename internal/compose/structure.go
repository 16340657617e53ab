package compose

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"

	"postrider/internal/email"
)

// node is an entity of the MIME tree: a multipart, a text or a file.
type node struct {
	multipart string // "mixed", "alternative", "related"; empty for a leaf
	children  []node

	subtype string  // of text/; empty for a file
	params  []param // of a text, behind its charset
	text    string
	form    textForm

	file *email.Attachment
	mime mediaType
}

// structure decides the tree. A file with a Content-ID is inline: beside the html
// that refers to it, or, without html, among the attachments.
func structure(c *email.Content) (node, error) {
	inline, attached, err := files(c)
	if err != nil {
		return node{}, err
	}
	var bodies []node
	if c.Text != "" || (c.HTML == "" && c.Calendar == nil && len(inline)+len(attached) == 0) {
		bodies = append(bodies, textNode("plain", c.Text))
	}
	if c.HTML != "" {
		html := textNode("html", c.HTML)
		if len(inline) > 0 {
			html = node{multipart: "related", children: append([]node{html}, inline...)}
			inline = nil
		}
		bodies = append(bodies, html)
	}
	if c.Calendar != nil {
		calendar, err := calendarNode(c.Calendar)
		if err != nil {
			return node{}, err
		}
		// Behind text and html: the richest form of what they say.
		bodies = append(bodies, calendar)
	}
	if len(bodies) > 1 {
		// RFC 2046 5.1.4: the plainest first, what is preferred last.
		bodies = []node{{multipart: "alternative", children: bodies}}
	}
	if len(inline)+len(attached) == 0 {
		return bodies[0], nil
	}
	return node{multipart: "mixed", children: append(append(bodies, inline...), attached...)}, nil
}

// files makes leaves of the attachments, the inline ones apart.
func files(c *email.Content) (inline, attached []node, err error) {
	for i := range c.Attachments {
		a := &c.Attachments[i]
		leaf, err := fileNode(a)
		if err != nil {
			return nil, nil, fmt.Errorf("attachment %d: %w", i+1, err)
		}
		if a.ContentID != "" {
			inline = append(inline, leaf)
		} else {
			attached = append(attached, leaf)
		}
	}
	if c.Calendar != nil && c.Calendar.Filename != "" {
		leaf, err := calendarFile(c.Calendar)
		if err != nil {
			return nil, nil, err
		}
		attached = append(attached, leaf)
	}
	return inline, attached, nil
}

// calendarNode makes the body of a scheduling message.
func calendarNode(c *email.Calendar) (node, error) {
	if !isToken(c.Method) || !isToken(c.Component) {
		return node{}, errors.New("calendar: its method or component is not a word")
	}
	n := textNode("calendar", c.Content)
	// RFC 6047 2.4: the parameter method is that of the object; component is optional.
	n.params = []param{{"method", c.Method}, {"component", c.Component}}
	return n, nil
}

// calendarFile makes the attachment by which programs that show no calendar body can
// take it up. It is not text/calendar, which some would take for a second invitation.
func calendarFile(c *email.Calendar) (node, error) {
	leaf, err := fileNode(&email.Attachment{Filename: c.Filename, ContentType: "application/ics", Content: appendCanonical(nil, c.Content)})
	if err != nil {
		return node{}, fmt.Errorf("calendar: %w", err)
	}
	return leaf, nil
}

func textNode(subtype, text string) node {
	return node{subtype: subtype, text: text, form: chooseForm(text)}
}

// size estimates the octets of the entity.
func (n *node) size() int {
	if n.file != nil {
		return 512 + 4*len(n.file.Filename) + base64Length(len(n.file.Content))
	}
	total := 256 + n.form.size
	for i := range n.children {
		total += n.children[i].size()
	}
	return total
}

// entity writes the MIME header fields and the body of n, without a line break at
// the end unless the text itself has one: the CRLF before a delimiter line belongs to
// the delimiter (RFC 2046 5.1.1).
func (w *writer) entity(n *node) {
	switch {
	case n.multipart != "":
		w.multipart(n)
	case n.file != nil:
		w.file(n)
	default:
		w.text(n)
	}
}

func (w *writer) multipart(n *node) {
	boundary := w.boundary()
	w.begin("Content-Type")
	w.word("multipart/" + n.multipart)
	if n.multipart == "related" {
		// RFC 2387 3.1: type is required, the type of the root.
		w.param("type", "text/html")
	}
	w.param("boundary", boundary)
	w.crlf()
	// RFC 2045 6.4: the encoding of a multipart is 7bit, which is the default.
	for i := range n.children {
		w.crlf()
		w.buf = append(append(w.buf, "--"...), boundary...)
		w.crlf()
		w.entity(&n.children[i])
	}
	w.crlf()
	w.buf = append(append(append(w.buf, "--"...), boundary...), "--"...)
}

// boundary derives the next boundary from the message id: 160 bits, and a pair,
// "=_", that neither quoted-printable nor base64 can contain (RFC 2045 6.7). Text
// that is not encoded has been searched for it.
func (w *writer) boundary() string {
	w.boundaries++
	sum := sha256.Sum256([]byte("boundary\x00" + w.id + "\x00" + strconv.Itoa(w.boundaries)))
	return boundaryMark + hex.EncodeToString(sum[:20])
}

func (w *writer) text(n *node) {
	w.begin("Content-Type")
	w.word("text/" + n.subtype)
	w.param("charset", "utf-8")
	for _, p := range n.params {
		w.param(p.key, p.value)
	}
	w.crlf()
	w.field("Content-Transfer-Encoding", n.form.encoding)
	w.crlf()
	w.buf = n.form.append(w.buf, n.text)
}

func (w *writer) file(n *node) {
	w.begin("Content-Type")
	w.word(n.mime.name)
	for _, p := range n.mime.params {
		w.param(p.key, p.value)
	}
	name := filename(n.file.Filename)
	// RFC 2183 2.3 has the name in Content-Disposition; older readers look here.
	w.param("name", fallbackName(name))
	w.crlf()
	w.field("Content-Transfer-Encoding", "base64")
	w.begin("Content-Disposition")
	if n.file.ContentID != "" {
		w.word("inline")
	} else {
		w.word("attachment")
	}
	if isPlainName(name) {
		w.param("filename", name)
	} else {
		// The extended name first: readers that take the first of two names, such as
		// Python's, then have the right one; the others prefer it wherever it stands.
		w.extended("filename", name)
		w.param("filename", fallbackName(name))
	}
	w.crlf()
	if n.file.ContentID != "" {
		w.field("Content-ID", "<"+n.file.ContentID+">")
	}
	w.crlf()
	w.buf = appendBase64(w.buf, n.file.Content)
}
