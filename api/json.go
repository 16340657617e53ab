package api

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/bits"
	"unicode/utf16"
	"unicode/utf8"
)

// Limits of a request body's shape. No acceptable request comes near them.
const (
	maxDepth       = 32
	maxValues      = 10_000
	maxBatchValues = 100_000
)

// syntaxError says where a body stops being JSON as we read it.
type syntaxError struct {
	offset int // of the first octet that is wrong
	why    string
}

func (e *syntaxError) Error() string { return fmt.Sprintf("offset %d: %s", e.offset, e.why) }

// document is a body that is JSON.
type document struct {
	root       *node
	duplicates []string // pointers of members that occur more than once
	crowded    bool     // it has more values than it may; the tree is cut
}

// parseJSON reads exactly one JSON value (RFC 8259) and is stricter than the RFC must
// be: valid UTF-8, no byte order mark, no lone surrogates, at most maxDepth levels.
// Errors: *syntaxError.
func parseJSON(data []byte) (*document, error) { return parseUpTo(data, maxValues) }

// parseUpTo is parseJSON for a body of at most so many values.
func parseUpTo(data []byte, values int) (*document, error) {
	s := &scanner{data: data, most: values}
	s.space()
	root, err := s.value("#", 1)
	if err != nil {
		return nil, err
	}
	s.space()
	if s.pos < len(data) {
		return nil, s.fail("data after the value")
	}
	return &document{root: root, duplicates: s.duplicates, crowded: s.crowded()}, nil
}

// scanner reads JSON in one pass.
type scanner struct {
	data       []byte
	pos        int
	values     int
	most       int // values that are kept
	duplicates []string
}

func (s *scanner) fail(why string) error { return &syntaxError{s.pos, why} }

// crowded means that the tree is no longer kept, only the syntax checked.
func (s *scanner) crowded() bool { return s.values > s.most }

// space skips white space (RFC 8259 2).
func (s *scanner) space() {
	for s.pos < len(s.data) {
		switch s.data[s.pos] {
		case ' ', '\t', '\n', '\r':
			s.pos++
		default:
			return
		}
	}
}

// next is the octet at the position, 0 at the end (which is no octet of JSON either).
func (s *scanner) next() byte {
	if s.pos < len(s.data) {
		return s.data[s.pos]
	}
	return 0
}

// value reads one value; pointer is where it stands.
func (s *scanner) value(pointer string, depth int) (*node, error) {
	s.values++
	n := &node{offset: s.pos}
	var err error
	switch b := s.next(); {
	case b == '{' || b == '[':
		if depth > maxDepth {
			return nil, s.fail(fmt.Sprintf("nested deeper than %d levels", maxDepth))
		}
		if b == '{' {
			n.kind, err = objectKind, s.object(n, pointer, depth)
		} else {
			n.kind, err = arrayKind, s.array(n, pointer, depth)
		}
	case b == '"':
		n.kind = stringKind
		n.text, err = s.str()
	case b == '-' || '0' <= b && b <= '9':
		n.kind = numberKind
		n.text, err = s.number()
	case b == 't':
		n.kind, err = boolKind, s.literal(n, "true")
	case b == 'f':
		n.kind, err = boolKind, s.literal(n, "false")
	case b == 'n':
		n.kind, err = nullKind, s.literal(n, "null")
	case s.pos >= len(s.data):
		err = s.fail("unexpected end")
	default:
		err = s.fail("not a JSON value")
	}
	return n, err
}

func (s *scanner) literal(n *node, word string) error {
	if !bytes.HasPrefix(s.data[s.pos:], []byte(word)) {
		return s.fail("not a JSON value")
	}
	s.pos += len(word)
	n.text = word
	return nil
}

// object reads the members of n. A name is compared as it reads once decoded.
func (s *scanner) object(n *node, pointer string, depth int) error {
	named := make(map[string]bool) // true: as a duplicate
	return s.list('}', func() error {
		if s.next() != '"' {
			return s.fail("expected the name of a member")
		}
		name, err := s.str()
		if err != nil {
			return err
		}
		s.space()
		if s.next() != ':' {
			return s.fail("expected a colon")
		}
		s.pos++
		s.space()
		at := pointer
		if !s.crowded() {
			at = member(pointer, name)
		}
		child, err := s.value(at, depth+1)
		if err != nil || s.crowded() {
			return err
		}
		known, twice := named[name]
		if twice && !known {
			s.duplicates = append(s.duplicates, at)
		}
		named[name] = twice
		child.name = name
		n.children = append(n.children, child)
		return nil
	})
}

// array reads the elements of n.
func (s *scanner) array(n *node, pointer string, depth int) error {
	return s.list(']', func() error {
		at := pointer
		if !s.crowded() {
			at = element(pointer, len(n.children))
		}
		child, err := s.value(at, depth+1)
		if err == nil && !s.crowded() {
			n.children = append(n.children, child)
		}
		return err
	})
}

// list reads items between commas, from the opening bracket to the closing one.
func (s *scanner) list(end byte, item func() error) error {
	s.pos++
	s.space()
	if s.next() == end {
		s.pos++
		return nil
	}
	for {
		if err := item(); err != nil {
			return err
		}
		s.space()
		switch s.next() {
		case ',':
			s.pos++
			s.space()
		case end:
			s.pos++
			return nil
		default:
			return s.fail("expected a comma or the end of the list")
		}
	}
}

// str reads a string. Most have no escapes, and are taken as they stand.
func (s *scanner) str() (string, error) {
	s.pos++
	start := s.pos
	var out []byte
	for {
		s.pos += plain(s.data[s.pos:])
		if s.pos >= len(s.data) {
			return "", s.fail("unexpected end of a string")
		}
		switch b := s.data[s.pos]; {
		case b == '"':
			tail := s.data[start:s.pos]
			s.pos++
			if out == nil {
				return string(tail), nil
			}
			return string(append(out, tail...)), nil
		case b == '\\':
			if out == nil {
				out = make([]byte, 0, s.pos-start+max(bytes.IndexByte(s.data[s.pos:], '"'), 16))
			}
			out = append(out, s.data[start:s.pos]...)
			var err error
			if out, err = s.escape(out); err != nil {
				return "", err
			}
			start = s.pos
		case b < ' ':
			return "", s.fail("control character in a string")
		default:
			r, size := utf8.DecodeRune(s.data[s.pos:])
			if r == utf8.RuneError && size == 1 {
				return "", s.fail("invalid UTF-8")
			}
			s.pos += size
		}
	}
}

// plain is how many octets at the beginning of b stand for themselves in a string: ASCII
// but control characters, quotation mark and backslash. Eight are looked at at a time.
func plain(b []byte) int {
	const ones, highs = 0x0101010101010101, 0x8080808080808080
	// zero has a high bit where an octet of v is zero; it may err only above one that is.
	zero := func(v uint64) uint64 { return (v - ones) & ^v & highs }
	n := 0
	for ; len(b)-n >= 8; n += 8 {
		v := binary.LittleEndian.Uint64(b[n:])
		special := v&highs | zero(v^'"'*ones) | zero(v^'\\'*ones) | (v-' '*ones) & ^v & highs
		if special != 0 {
			return n + bits.TrailingZeros64(special)/8
		}
	}
	for ; n < len(b); n++ {
		if c := b[n]; c < ' ' || c >= utf8.RuneSelf || c == '"' || c == '\\' {
			break
		}
	}
	return n
}

// escape reads one escape sequence (RFC 8259 7) and appends what it stands for.
func (s *scanner) escape(out []byte) ([]byte, error) {
	if s.pos+1 >= len(s.data) {
		return nil, s.fail("unexpected end of a string")
	}
	switch b := s.data[s.pos+1]; b {
	case '"', '\\', '/':
		out = append(out, b)
	case 'b':
		out = append(out, '\b')
	case 'f':
		out = append(out, '\f')
	case 'n':
		out = append(out, '\n')
	case 'r':
		out = append(out, '\r')
	case 't':
		out = append(out, '\t')
	case 'u':
		return s.unicode(out)
	default:
		return nil, s.fail("unknown escape")
	}
	s.pos += 2
	return out, nil
}

// unicode reads a \u escape, or two that are a surrogate pair.
func (s *scanner) unicode(out []byte) ([]byte, error) {
	r, ok := s.hex(s.pos)
	if !ok {
		return nil, s.fail("malformed \\u escape")
	}
	size := 6
	if utf16.IsSurrogate(r) {
		low, ok := s.hex(s.pos + 6)
		if r = utf16.DecodeRune(r, low); !ok || r == utf8.RuneError {
			return nil, s.fail("lone surrogate")
		}
		size = 12
	}
	s.pos += size
	return utf8.AppendRune(out, r), nil
}

// hex reads the four digits of an escape at a position.
func (s *scanner) hex(at int) (rune, bool) {
	if at+6 > len(s.data) || s.data[at] != '\\' || s.data[at+1] != 'u' {
		return 0, false
	}
	var r rune
	for _, b := range s.data[at+2 : at+6] {
		switch {
		case '0' <= b && b <= '9':
			r = r<<4 | rune(b-'0')
		case 'a' <= b && b <= 'f':
			r = r<<4 | rune(b-'a'+10)
		case 'A' <= b && b <= 'F':
			r = r<<4 | rune(b-'A'+10)
		default:
			return 0, false
		}
	}
	return r, true
}

// number reads a number (RFC 8259 6) and keeps it as written.
func (s *scanner) number() (string, error) {
	start := s.pos
	if s.next() == '-' {
		s.pos++
	}
	if s.next() == '0' {
		s.pos++
	} else if err := s.digits(); err != nil {
		return "", err
	}
	if s.next() == '.' {
		s.pos++
		if err := s.digits(); err != nil {
			return "", err
		}
	}
	if b := s.next(); b == 'e' || b == 'E' {
		s.pos++
		if b := s.next(); b == '+' || b == '-' {
			s.pos++
		}
		if err := s.digits(); err != nil {
			return "", err
		}
	}
	return string(s.data[start:s.pos]), nil
}

func (s *scanner) digits() error {
	start := s.pos
	for b := s.next(); '0' <= b && b <= '9'; b = s.next() {
		s.pos++
	}
	if s.pos == start {
		return s.fail("expected a digit")
	}
	return nil
}
