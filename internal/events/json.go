package events

import (
	"bytes"
	"cmp"
	"encoding/json"
	"maps"
	"slices"
	"strconv"
	"time"
)

// timeFormat is RFC 3339 in UTC with milliseconds.
const timeFormat = "2006-01-02T15:04:05.000Z"

// Stamp is a time on the wire: RFC 3339 in UTC with milliseconds; zero is null.
type Stamp time.Time

// MarshalJSON implements json.Marshaler.
func (s Stamp) MarshalJSON() ([]byte, error) {
	t := time.Time(s)
	if t.IsZero() {
		return []byte("null"), nil
	}
	return t.UTC().AppendFormat(nil, `"`+timeFormat+`"`), nil
}

// Text is a string on the wire; empty is null.
type Text string

// MarshalJSON implements json.Marshaler.
func (t Text) MarshalJSON() ([]byte, error) {
	if t == "" {
		return []byte("null"), nil
	}
	return Encode(string(t))
}

// object is an object of strings on the wire, with its members in an order that
// JavaScript keeps: names that are array indexes come first there, by number
// (ECMA-262, OrdinaryOwnPropertyKeys).
type object map[string]string

// MarshalJSON implements json.Marshaler.
func (o object) MarshalJSON() ([]byte, error) {
	names := slices.SortedFunc(maps.Keys(o), func(a, b string) int {
		i, isA := index(a)
		j, isB := index(b)
		switch {
		case isA && isB:
			return cmp.Compare(i, j)
		case isA:
			return -1
		case isB:
			return 1
		}
		return cmp.Compare(a, b)
	})
	b := []byte{'{'}
	for i, name := range names {
		if i > 0 {
			b = append(b, ',')
		}
		key, err := Encode(name)
		if err != nil {
			return nil, err
		}
		value, err := Encode(o[name])
		if err != nil {
			return nil, err
		}
		b = append(append(append(b, key...), ':'), value...)
	}
	return append(b, '}'), nil
}

// index reads a name as JavaScript reads an array index: 0 to 2^32-2, written as
// numbers are.
func index(name string) (uint64, bool) {
	n, err := strconv.ParseUint(name, 10, 32)
	return n, err == nil && n < 1<<32-1 && strconv.FormatUint(n, 10) == name
}

// Encode writes JSON as JSON.stringify does: compact, without HTML escapes and a
// final newline, and with every character that need not be escaped as it is. (The
// numbers are whole and small in all that events show, so they need no care.)
func Encode(v any) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, err
	}
	return unescape(bytes.TrimSuffix(b.Bytes(), []byte("\n"))), nil
}

// unescape writes U+2028, U+2029 and U+FFFD as they are, where encoding/json
// escapes them: the first two always, the last for octets that are not UTF-8.
func unescape(b []byte) []byte {
	if !bytes.Contains(b, []byte(`\u202`)) && !bytes.Contains(b, []byte(`\ufffd`)) {
		return b
	}
	out := make([]byte, 0, len(b))
	for i := 0; i < len(b); i++ {
		if b[i] != '\\' {
			out = append(out, b[i])
			continue
		}
		switch rest := b[i:]; {
		case bytes.HasPrefix(rest, []byte(`\u2028`)):
			out, i = append(out, "\u2028"...), i+5
		case bytes.HasPrefix(rest, []byte(`\u2029`)):
			out, i = append(out, "\u2029"...), i+5
		case bytes.HasPrefix(rest, []byte(`\ufffd`)):
			out, i = append(out, "\ufffd"...), i+5
		default: // any other escape, of which the next byte is part
			out, i = append(out, b[i], b[i+1]), i+1
		}
	}
	return out
}
