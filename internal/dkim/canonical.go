package dkim

import (
	"bytes"
	"errors"
	"io"
	"strings"
)

// field is one header field: its lower-case name, and its lines with the last CRLF.
type field struct {
	name string
	raw  []byte
}

// checkClean refuses what would be changed on the way after signing.
func checkClean(message []byte) error {
	for i, b := range message {
		switch {
		case b >= 0x80 || b == 0:
			return errors.New("message is not 7-bit clean")
		case b == '\n' && (i == 0 || message[i-1] != '\r'):
			return errors.New("message has a bare LF")
		case b == '\r' && (i+1 == len(message) || message[i+1] != '\n'):
			return errors.New("message has a bare CR")
		}
	}
	return nil
}

// split cuts a message into its header fields and its body.
func split(message []byte) ([]field, []byte, error) {
	var fields []field
	from := 0
	for rest := message; ; {
		if bytes.HasPrefix(rest, []byte("\r\n")) {
			if from != 1 {
				return nil, nil, errors.New("message has not exactly one From")
			}
			return fields, rest[2:], nil
		}
		end := fieldEnd(rest)
		name, _, ok := bytes.Cut(rest[:end], []byte(":"))
		// RFC 5322 4.5: white space before the colon is obsolete syntax, which no one may
		// write any more and which verifiers read differently.
		if !ok || len(name) == 0 || bytes.ContainsAny(name, " \t\r\n") {
			return nil, nil, errors.New("message has no proper header section")
		}
		lower := strings.ToLower(string(name))
		if lower == "from" {
			from++
		}
		fields = append(fields, field{lower, rest[:end]})
		rest = rest[end:]
	}
}

// fieldEnd is the index behind the field that s begins with and its continuation
// lines; 0 if s is empty.
func fieldEnd(s []byte) int {
	end := 0
	for end < len(s) {
		i := bytes.IndexByte(s[end:], '\n')
		if i < 0 {
			return len(s)
		}
		end += i + 1
		if end == len(s) || (s[end] != ' ' && s[end] != '\t') {
			break
		}
	}
	return end
}

// selectFields picks the fields to sign and canonicalises them in the order of h=.
func selectFields(fields []field) (header []byte, names []string) {
	for _, s := range signedFields() {
		// RFC 6376 5.4.2: several fields of one name are signed from the last up.
		for i := len(fields) - 1; i >= 0; i-- {
			if strings.EqualFold(fields[i].name, s.name) {
				names = append(names, s.name)
				header = relaxedField(header, fields[i].raw)
			}
		}
		if s.oversign {
			names = append(names, s.name)
		}
	}
	return header, names
}

type signedField struct {
	name     string
	oversign bool
}

// signedFields lists what is signed where present: RFC 6376 5.4.1, with what came
// later, and without what a hop may change. The oversigned ones are signed once more
// than they are present, also when they are absent.
func signedFields() []signedField {
	return []signedField{
		{"From", true},
		{"To", true},
		{"Cc", true},
		{"Subject", true},
		{"Date", true},
		{"Message-ID", true},
		{"Reply-To", true},
		{"Sender", true},
		{"MIME-Version", true},
		{"Content-Type", true},
		{"Content-Transfer-Encoding", true},
		{"List-Unsubscribe", true},
		{"List-Unsubscribe-Post", true},
		{"Feedback-ID", true},
		{"In-Reply-To", false},
		{"References", false},
		{"List-Id", false},
		{"List-Help", false},
		{"List-Subscribe", false},
		{"List-Post", false},
		{"List-Owner", false},
		{"List-Archive", false},
		{"Auto-Submitted", false},
	}
}

// relaxedField appends a field in relaxed form with its CRLF. RFC 6376 3.4.2: name in
// lower case, lines unfolded, runs of white space one space, none at the value's
// ends.
func relaxedField(dst, raw []byte) []byte {
	name, value, _ := bytes.Cut(raw, []byte(":"))
	dst = append(dst, bytes.ToLower(bytes.TrimRight(name, " \t"))...)
	dst = append(dst, ':')
	start, space := len(dst), false
	for _, b := range value {
		if b == ' ' || b == '\t' || b == '\r' || b == '\n' {
			space = true
			continue
		}
		if space && len(dst) > start {
			dst = append(dst, ' ')
		}
		space = false
		dst = append(dst, b)
	}
	return append(dst, '\r', '\n')
}

// relaxedBody writes a body in relaxed form. RFC 6376 3.4.4: no white space at the
// end of a line, a run inside it one space, no empty lines at the end; what is not
// empty ends with CRLF. Lines that are canonical already are written together.
func relaxedBody(w io.Writer, body []byte) {
	body = trimEmptyLines(body)
	start := 0 // of what is canonical and not yet written
	for i := 0; i < len(body); {
		end := bytes.IndexByte(body[i:], '\n')
		next := i + end + 1
		content := next - len("\r\n")
		if end < 0 {
			next, content = len(body), len(body)
		}
		if !isRelaxed(body[i:content]) {
			_, _ = w.Write(body[start:i])
			_, _ = w.Write(relaxedLine(body[i:content]))
			start = content
		}
		i = next
	}
	_, _ = w.Write(body[start:])
	if len(body) > 0 && !bytes.HasSuffix(body, []byte("\r\n")) {
		_, _ = w.Write([]byte("\r\n"))
	}
}

// trimEmptyLines cuts the empty lines at the end of a body, counting as empty what
// has only white space. What remains ends with the CRLF of its last line, if any.
func trimEmptyLines(body []byte) []byte {
	end := len(bytes.TrimRight(body, " \t\r\n"))
	if end == 0 {
		return nil
	}
	if i := bytes.IndexByte(body[end:], '\n'); i >= 0 {
		return body[:end+i+1]
	}
	return body
}

// isRelaxed tells whether a line without its CRLF is in relaxed form already.
func isRelaxed(line []byte) bool {
	if len(line) == 0 {
		return true
	}
	if line[len(line)-1] == ' ' || bytes.IndexByte(line, '\t') >= 0 {
		return false
	}
	for {
		i := bytes.IndexByte(line, ' ')
		if i < 0 {
			return true
		}
		if line[i+1] == ' ' {
			return false
		}
		line = line[i+1:]
	}
}

// relaxedLine returns a line in relaxed form, without a CRLF.
func relaxedLine(line []byte) []byte {
	out := make([]byte, 0, len(line))
	space := false
	for _, b := range line {
		if b == ' ' || b == '\t' {
			space = true
			continue
		}
		if space {
			out = append(out, ' ')
			space = false
		}
		out = append(out, b)
	}
	return out
}
