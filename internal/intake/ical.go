package intake

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

const (
	// maxCalendarLine: RFC 5545 3.1, octets of a line without its CRLF.
	maxCalendarLine = 75
	// maxCalendarDepth is how deep components may stand in each other; RFC 5545 has 3.
	maxCalendarDepth = 8
)

// component is one component of an iCalendar object (RFC 5545 3.6). It is read here
// and by no library, so that what is wrong can be told by its line, and what is right
// stays octet for octet.
type component struct {
	name       string              // in capitals
	properties map[string][]string // values by name in capitals
	children   []*component
}

// has tells whether a property stands there exactly once and is not empty.
func (c *component) has(name string) bool {
	values := c.properties[name]
	return len(values) == 1 && strings.TrimSpace(values[0]) != ""
}

// readCalendar reads the one object that source is. Errors begin with a verb.
func readCalendar(source string) (*component, error) {
	if !utf8.ValidString(source) {
		return nil, fmt.Errorf("is not UTF-8")
	}
	var r calendarReader
	var unfolded strings.Builder
	start := 0 // number of the line that unfolded began in; 0: none yet
	for i, line := range strings.Split(source, "\n") {
		line = strings.TrimSuffix(line, "\r")
		if strings.ContainsFunc(line, func(c rune) bool { return unicode.IsControl(c) && c != '\t' }) {
			return nil, fmt.Errorf("has a control character in line %d", i+1)
		}
		// RFC 5545 3.1: a line that begins with white space continues the one before.
		if start > 0 && line != "" && isBlankOctet(line[0]) {
			unfolded.WriteString(line[1:])
			continue
		}
		if err := r.line(unfolded.String(), start); err != nil {
			return nil, err
		}
		unfolded.Reset()
		unfolded.WriteString(line)
		start = i + 1
	}
	if err := r.line(unfolded.String(), start); err != nil {
		return nil, err
	}
	if r.root == nil || len(r.open) > 0 {
		return nil, fmt.Errorf("does not end with END:VCALENDAR")
	}
	return r.root, nil
}

// calendarReader builds the tree, line by line.
type calendarReader struct {
	root *component
	open []*component // the one that is read, and those around it
}

func (r *calendarReader) line(line string, number int) error {
	if strings.TrimSpace(line) == "" {
		return nil
	}
	name, value, ok := contentLine(line)
	if !ok {
		return fmt.Errorf("has in line %d no property of the form NAME:value (RFC 5545 3.1)", number)
	}
	switch {
	case len(r.open) == 0 && r.root != nil:
		return fmt.Errorf("has in line %d more behind its END:VCALENDAR: a mail carries one calendar object", number)
	case len(r.open) == 0 && (name != "BEGIN" || value != "VCALENDAR"):
		return fmt.Errorf("does not begin with BEGIN:VCALENDAR")
	case name == "BEGIN" && len(r.open) == maxCalendarDepth:
		return fmt.Errorf("has in line %d components more than %d deep in each other", number, maxCalendarDepth)
	case name == "BEGIN":
		r.begin(value)
	case name == "END" && value != r.open[len(r.open)-1].name:
		return fmt.Errorf("has in line %d an END of a component that is not the last one begun", number)
	case name == "END":
		r.open = r.open[:len(r.open)-1]
	default:
		last := r.open[len(r.open)-1]
		last.properties[name] = append(last.properties[name], value)
	}
	return nil
}

func (r *calendarReader) begin(name string) {
	c := &component{name: name, properties: make(map[string][]string)}
	if len(r.open) == 0 {
		r.root = c
	} else {
		around := r.open[len(r.open)-1]
		around.children = append(around.children, c)
	}
	r.open = append(r.open, c)
}

// contentLine cuts NAME;PARAMETERS:value, where a parameter may be quoted. The value of
// BEGIN and END is in capitals, as names are in any case.
func contentLine(line string) (name, value string, ok bool) {
	end := strings.IndexAny(line, ";:")
	if end < 0 || !consistsOf(line[:end], "-") {
		return "", "", false
	}
	quoted := false
	for i := end; i < len(line); i++ {
		switch {
		case line[i] == '"':
			quoted = !quoted
		case line[i] == ':' && !quoted:
			name, value = strings.ToUpper(line[:end]), line[i+1:]
			if name == "BEGIN" || name == "END" {
				value = strings.ToUpper(strings.TrimSpace(value))
			}
			return name, value, true
		}
	}
	return "", "", false
}

// foldedCalendar is an object with CRLF and without a line of more than 75 octets
// (RFC 5545 3.1). Empty lines are left out, as no grammar has them.
func foldedCalendar(source string) string {
	var out strings.Builder
	out.Grow(len(source) + len(source)/16)
	for line := range strings.Lines(source) {
		line = strings.TrimRight(line, "\r\n")
		if line == "" {
			continue
		}
		room := maxCalendarLine
		for len(line) > room {
			end := room
			for !utf8.RuneStart(line[end]) {
				end--
			}
			out.WriteString(line[:end] + "\r\n ")
			line, room = line[end:], maxCalendarLine-1
		}
		out.WriteString(line + "\r\n")
	}
	return out.String()
}

func isBlankOctet(b byte) bool { return b == ' ' || b == '\t' }
