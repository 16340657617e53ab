package sandbox

import (
	"bytes"
	"errors"
	"io"
	"strings"

	"github.com/emersion/go-message"
)

const (
	maxDepth       = 20   // of multiparts in each other
	maxParts       = 200  // of one mail
	maxFields      = 200  // shown of a header
	maxFieldOctets = 4096 // shown of one field
	maxShortOctets = 1024 // shown of a subject or a name
)

// Parsed is a mail taken apart for people to look at. All of it is foreign text;
// strings are valid UTF-8.
type Parsed struct {
	Heading Heading
	Fields  []Field // the header, in order, decoded
	Text    string
	HTML    string
	// Calendar is a scheduling message (RFC 6047), CalendarMethod its method.
	Calendar, CalendarMethod string

	Files   []File
	Problem string // what could not be read; empty if all could
}

// Field is one header field.
type Field struct{ Name, Value string }

// File is an attachment or inline file.
type File struct {
	Name        string
	ContentType string // without parameters
	ContentID   string // without angle brackets
	Content     []byte
}

// Parse takes the mail apart. It never fails: what cannot be read is named in
// Problem, and the rest is there.
func (m *Mail) Parse() *Parsed {
	p := &Parsed{}
	entity, err := message.Read(bytes.NewReader(m.Data))
	if entity == nil || err != nil && !readable(err) {
		p.Problem = "the header is malformed: look at the source"
		return p
	}
	p.Heading = headingOf(&entity.Header)
	fields := entity.Header.Fields()
	for fields.Next() && len(p.Fields) < maxFields {
		value, err := fields.Text()
		if err != nil {
			value = fields.Value()
		}
		p.Fields = append(p.Fields, Field{Name: clean(fields.Key(), maxShortOctets), Value: clean(value, maxFieldOctets)})
	}
	count := 0
	p.walk(entity, 0, &count)
	return p
}

// walk visits the parts depth first; RFC 2046 5.1 allows multiparts in multiparts
// without end, so that depth and number are bounded.
func (p *Parsed) walk(e *message.Entity, depth int, count *int) {
	parts := e.MultipartReader()
	if parts == nil {
		p.leaf(e)
		return
	}
	if depth == maxDepth {
		p.fault("parts nested too deep were left out")
		return
	}
	for {
		part, err := parts.NextPart()
		if errors.Is(err, io.EOF) {
			return
		}
		if part == nil || err != nil && !readable(err) {
			p.fault("a multipart is malformed: the rest of it was left out")
			return
		}
		if *count++; *count > maxParts {
			p.fault("too many parts: the rest was left out")
			return
		}
		p.walk(part, depth+1, count)
	}
}

// leaf sorts a part into text, HTML or the files.
func (p *Parsed) leaf(e *message.Entity) {
	mediaType, params, err := e.Header.ContentType()
	if err != nil {
		mediaType, params = "application/octet-stream", nil
	}
	disposition, dparams, _ := e.Header.ContentDisposition()
	name := dparams["filename"]
	if name == "" {
		name = params["name"]
	}
	content, err := io.ReadAll(e.Body)
	if err != nil {
		p.fault("a part's transfer encoding is damaged")
	}
	body := name == "" && disposition != "attachment"
	switch {
	case body && mediaType == "text/plain" && p.Text == "":
		p.Text = strings.ToValidUTF8(string(content), "�")
	case body && mediaType == "text/html" && p.HTML == "":
		p.HTML = strings.ToValidUTF8(string(content), "�")
	case body && mediaType == "text/calendar" && params["method"] != "" && p.Calendar == "":
		p.Calendar, p.CalendarMethod = strings.ToValidUTF8(string(content), "�"), clean(strings.ToUpper(params["method"]), maxShortOctets)
	default:
		id := strings.Trim(strings.TrimSpace(e.Header.Get("Content-Id")), "<>")
		p.Files = append(p.Files, File{
			Name:        clean(name, maxShortOctets),
			ContentType: clean(mediaType, maxShortOctets),
			ContentID:   clean(id, maxShortOctets),
			Content:     content,
		})
	}
}

// fault keeps the first problem: later ones often follow from it.
func (p *Parsed) fault(problem string) {
	if p.Problem == "" {
		p.Problem = problem
	}
}

func headingOf(h *message.Header) Heading {
	text := func(key string) string {
		value, err := h.Text(key)
		if err != nil {
			value = h.Get(key)
		}
		return clean(value, maxShortOctets)
	}
	return Heading{Subject: text("Subject"), From: text("From"), To: text("To")}
}

// clean makes text valid UTF-8 without control characters and at most limit
// octets long.
func clean(s string, limit int) string {
	if len(s) > limit {
		s = s[:limit]
	}
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s, "�"))
}

// readable reports whether the library gave a part with its error: it does so for
// charsets and encodings that it does not know.
func readable(err error) bool {
	return message.IsUnknownCharset(err) || message.IsUnknownEncoding(err)
}
