package intake

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"mime"
	"slices"
	"strings"

	"github.com/emersion/go-message"
)

// Limits of a raw mail's structure (RFC 2046 has none).
const (
	maxRawDepth = 20
	maxRawParts = 200
)

// parts goes through the MIME structure: it must be readable, so that no two programs
// read it differently, and no file may be of a forbidden type.
func (m *rawMail) parts(body []byte) {
	var header bytes.Buffer
	for _, name := range []string{"Content-Type", "Content-Transfer-Encoding", "Content-Disposition"} {
		if value := m.found[strings.ToLower(name)]; value != "" {
			fmt.Fprintf(&header, "%s: %s\r\n", name, value)
		}
	}
	header.WriteString("\r\n")
	entity, err := message.Read(io.MultiReader(&header, bytes.NewReader(body)))
	if entity == nil || err != nil && !readable(err) {
		m.fault("Content-Type", InvalidFormat, "cannot be read")
		return
	}
	count := 0
	m.part(entity, 0, &count)
}

func (m *rawMail) part(e *message.Entity, depth int, count *int) {
	if *count++; *count > maxRawParts || depth > maxRawDepth {
		if *count == maxRawParts+1 || depth == maxRawDepth+1 {
			m.fault("", TooMany, fmt.Sprintf("has more than %d parts, or more than %d within each other", maxRawParts, maxRawDepth))
		}
		return
	}
	for _, name := range []string{"Content-Type", "Content-Transfer-Encoding", "Content-Disposition"} {
		if len(e.Header.Values(name)) > 1 {
			m.fault(name, TooMany, "of a part may be there once")
			return
		}
	}
	kind, params, err := mime.ParseMediaType(e.Header.Get("Content-Type"))
	if err != nil && e.Header.Get("Content-Type") != "" {
		m.fault("Content-Type", InvalidFormat, "of a part is not a media type (RFC 2045 5.1)")
		return
	}
	if strings.HasPrefix(kind, "multipart/") {
		m.multipart(e, params["boundary"], depth, count)
		return
	}
	if kind == "message/rfc822" || kind == "message/global" {
		m.enclosed(e, depth, count)
		return
	}
	_, disposition, err := mime.ParseMediaType(e.Header.Get("Content-Disposition"))
	if err != nil && e.Header.Get("Content-Disposition") != "" {
		m.fault("Content-Disposition", InvalidFormat, "of a part cannot be read (RFC 2183)")
		return
	}
	for _, name := range []string{disposition["filename"], params["name"]} {
		if decoded, err := new(mime.WordDecoder).DecodeHeader(name); err == nil {
			name = decoded
		}
		if slices.Contains(m.c.desk.options.Limits.ForbiddenExtensions, extension(name)) {
			m.fault("Content-Disposition", AttachmentTypeForbidden, "names a file with the extension of a program or script")
			return
		}
	}
}

// enclosed goes through a mail that is part of another (RFC 2046 5.2.1).
func (m *rawMail) enclosed(e *message.Entity, depth int, count *int) {
	inner, err := message.Read(e.Body)
	if inner == nil || err != nil && !readable(err) {
		m.fault("Content-Type", InvalidFormat, "is a mail within the mail that cannot be read")
		return
	}
	m.part(inner, depth+1, count)
}

func (m *rawMail) multipart(e *message.Entity, boundary string, depth int, count *int) {
	parts := e.MultipartReader()
	// RFC 2046 5.1.1: 1 to 70 characters.
	if boundary == "" || len(boundary) > 70 || parts == nil {
		m.fault("Content-Type", InvalidFormat, "has no boundary of 1 to 70 characters")
		return
	}
	for {
		part, err := parts.NextPart()
		if errors.Is(err, io.EOF) {
			return
		}
		if part == nil || err != nil && !readable(err) {
			m.fault("Content-Type", InvalidFormat, "is a multipart whose parts cannot be read")
			return
		}
		m.part(part, depth+1, count)
		if *count > maxRawParts {
			return
		}
	}
}

// readable reports whether the library gave a part with its error: it does so for
// charsets and encodings that it does not know.
func readable(err error) bool { return message.IsUnknownCharset(err) || message.IsUnknownEncoding(err) }
