package api

import (
	"bufio"
	"crypto/sha256"
	"encoding/json"
	"io"
	"slices"
	"strconv"
	"strings"

	"postrider/internal/intake"
)

// kind is the type of a JSON value.
type kind uint8

const (
	nullKind kind = iota
	boolKind
	numberKind
	stringKind
	arrayKind
	objectKind
)

// node is one JSON value. Members and elements keep their order.
type node struct {
	kind     kind
	offset   int    // in the body
	name     string // of a member
	text     string // a string's value, else the literal as written
	children []*node
}

// given reports whether a member counts: null means absent.
func (n *node) given() bool { return n.kind != nullKind }

// member is the pointer of a member of the object at a pointer. A name too long to be
// repeated points to the object itself.
func member(object, name string) string {
	const longest = 128
	if len(name) > longest {
		return object
	}
	return object + strings.TrimPrefix(intake.Pointer(name), "#")
}

// element is the pointer of an array's element.
func element(array string, index int) string { return array + "/" + strconv.Itoa(index) }

// value is a JSON value as templates take it, numbers as they are written. Members that
// are null are not given.
func (n *node) value() any {
	switch n.kind {
	case boolKind:
		return n.text == "true"
	case numberKind:
		return json.Number(n.text)
	case stringKind:
		return n.text
	case arrayKind:
		out := make([]any, len(n.children))
		for i, m := range n.children {
			out[i] = m.value()
		}
		return out
	case objectKind:
		out := make(map[string]any, len(n.children))
		for _, m := range n.children {
			if m.given() {
				out[m.name] = m.value()
			}
		}
		return out
	}
	return nil
}

// fingerprint identifies what a request asks for (api.md 6): the same for a body with
// other white space, order of members, escapes, or null for an absent member.
func fingerprint(method, route string, root *node) [32]byte {
	h := sha256.New()
	w := bufio.NewWriterSize(h, 4096)
	_, _ = w.WriteString(method + " " + route + "\n") // a hash takes every write
	root.canonical(w)
	_ = w.Flush()
	return [32]byte(h.Sum(nil))
}

// canonical writes a value in the one form that all its spellings share. Errors are kept
// by the bufio.Writer.
func (n *node) canonical(w *bufio.Writer) {
	switch n.kind {
	case objectKind:
		members := slices.DeleteFunc(slices.Clone(n.children), func(m *node) bool { return !m.given() })
		slices.SortFunc(members, func(a, b *node) int { return strings.Compare(a.name, b.name) })
		_ = w.WriteByte('{')
		for _, m := range members {
			quote(w, m.name)
			_ = w.WriteByte(':')
			m.canonical(w)
			_ = w.WriteByte(',')
		}
		_ = w.WriteByte('}')
	case arrayKind:
		_ = w.WriteByte('[')
		for _, m := range n.children {
			m.canonical(w)
			_ = w.WriteByte(',')
		}
		_ = w.WriteByte(']')
	case stringKind:
		quote(w, n.text)
	case numberKind:
		_, _ = w.WriteString(readDecimal(n.text).String())
	default:
		_, _ = w.WriteString(n.text)
	}
}

// quote writes a string so that its end cannot be mistaken.
func quote(w *bufio.Writer, s string) {
	_ = w.WriteByte('"')
	mark, slash := strings.IndexByte(s, '"'), strings.IndexByte(s, '\\')
	for at := 0; ; {
		next := mark
		if next < 0 || slash >= 0 && slash < next {
			next = slash
		}
		if next < 0 {
			_, _ = io.WriteString(w, s[at:])
			break
		}
		_, _ = io.WriteString(w, s[at:next])
		_, _ = w.Write([]byte{'\\', s[next]})
		at = next + 1
		// Only the one that was met is looked for again.
		if next == mark {
			mark = after(s, at, '"')
		} else {
			slash = after(s, at, '\\')
		}
	}
	_ = w.WriteByte('"')
}

// after is the index of b in s from a place on, or -1.
func after(s string, from int, b byte) int {
	i := strings.IndexByte(s[from:], b)
	if i < 0 {
		return -1
	}
	return from + i
}

// decimal is a number without a loss: digits x 10^exponent, where digits has no zeros at
// either end.
type decimal struct {
	negative bool
	digits   string // empty: zero
	exponent int64
	literal  string // set instead if the exponent is beyond counting
}

// readDecimal normalises a JSON number: 60, 60.0, 6e1 and 0.6E+2 are the same.
func readDecimal(literal string) decimal {
	rest, negative := strings.CutPrefix(literal, "-")
	mantissa, power := rest, int64(0)
	if i := strings.IndexAny(rest, "eE"); i >= 0 {
		var err error
		mantissa = rest[:i]
		// Half of the range is left for the digits.
		if power, err = strconv.ParseInt(rest[i+1:], 10, 63); err != nil {
			power = 0
			if strings.Trim(mantissa, "0.") != "" {
				return decimal{literal: literal}
			}
		}
	}
	whole, fraction, _ := strings.Cut(mantissa, ".")
	digits := strings.TrimLeft(whole+fraction, "0")
	exponent := power - int64(len(fraction))
	trimmed := strings.TrimRight(digits, "0")
	if trimmed == "" {
		return decimal{}
	}
	return decimal{negative: negative, digits: trimmed, exponent: exponent + int64(len(digits)-len(trimmed))}
}

// String is the canonical form.
func (d decimal) String() string {
	switch {
	case d.literal != "":
		return d.literal
	case d.digits == "":
		return "0"
	}
	s := d.digits + "e" + strconv.FormatInt(d.exponent, 10)
	if d.negative {
		return "-" + s
	}
	return s
}

// integer is the number as an integer: whole tells whether it has no fraction, fits
// whether it is within 18 digits.
func (d decimal) integer() (n int64, whole, fits bool) {
	const most = 18
	switch {
	case d.literal != "":
		return 0, !strings.ContainsAny(d.literal[1:], "-"), false
	case d.digits == "":
		return 0, true, true
	case d.exponent < 0:
		return 0, false, false
	case d.exponent > most || int64(len(d.digits))+d.exponent > most:
		return 0, true, false
	}
	n, err := strconv.ParseInt(d.digits+strings.Repeat("0", int(d.exponent)), 10, 64)
	if d.negative {
		n = -n
	}
	return n, true, err == nil
}
