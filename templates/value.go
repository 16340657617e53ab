package templates

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
)

// Type is what kind of JSON value a variable is.
type Type string

// The types. TypeAny is only inferred: for a variable that is passed on unseen.
const (
	TypeString  Type = "string"
	TypeNumber  Type = "number"
	TypeBoolean Type = "boolean"
	TypeObject  Type = "object"
	TypeArray   Type = "array"
	TypeAny     Type = "any"
)

// Data decodes a JSON object for [Template.Render], with its numbers as written.
func Data(b []byte) (map[string]any, error) {
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	var data map[string]any
	if err := d.Decode(&data); err != nil {
		return nil, fmt.Errorf("read template data: %w", err)
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, fmt.Errorf("read template data: something follows the object")
	}
	return data, nil
}

// typeOf gives the JSON type of a value, "" for null and for what is not JSON.
func typeOf(v any) Type {
	switch v.(type) {
	case string:
		return TypeString
	case bool:
		return TypeBoolean
	case json.Number, float64, float32, int, int64, int32, uint, uint64, uint32:
		return TypeNumber
	case map[string]any:
		return TypeObject
	case []any:
		return TypeArray
	}
	return ""
}

// describe names a value's type in a message.
func describe(v any) string {
	t := typeOf(v)
	switch {
	case v == nil:
		return "missing"
	case t == "":
		return fmt.Sprintf("a %T, which is not JSON", v)
	}
	return t.withArticle()
}

func (t Type) withArticle() string {
	if t == TypeObject || t == TypeArray {
		return "an " + string(t)
	}
	return "a " + string(t)
}

// numberText is a number as decimal text.
func numberText(v any) (string, bool) {
	switch n := v.(type) {
	case json.Number:
		return string(n), true
	case int:
		return strconv.Itoa(n), true
	case int64:
		return strconv.FormatInt(n, 10), true
	case int32:
		return strconv.FormatInt(int64(n), 10), true
	case uint:
		return strconv.FormatUint(uint64(n), 10), true
	case uint64:
		return strconv.FormatUint(n, 10), true
	case uint32:
		return strconv.FormatUint(uint64(n), 10), true
	case float64:
		return floatText(n, 64)
	case float32:
		return floatText(float64(n), 32)
	}
	return "", false
}

func floatText(f float64, bits int) (string, bool) {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return "", false
	}
	format := byte('f')
	if a := math.Abs(f); a != 0 && (a < 1e-12 || a >= 1e21) {
		format = 'e'
	}
	return strconv.FormatFloat(f, format, -1, bits), true
}

// text is how a value is shown; ok is false for what cannot be.
func text(v any) (s string, ok bool) {
	switch v := v.(type) {
	case string:
		return v, true
	case bool:
		return strconv.FormatBool(v), true
	case json.Number:
		if strings.ContainsAny(string(v), "eE") {
			if d, ok := parseDecimal(string(v)); ok {
				return d.String(), true
			}
		}
		return string(v), true
	}
	return numberText(v)
}

// truth is what {{#if}} asks: false, "", 0, an empty array and what is missing are not.
func truth(v any) bool {
	switch v := v.(type) {
	case nil:
		return false
	case bool:
		return v
	case string:
		return v != ""
	case []any:
		return len(v) > 0
	case map[string]any:
		return true
	}
	if s, ok := numberText(v); ok {
		return strings.ContainsAny(mantissa(s), "123456789")
	}
	return true
}

func mantissa(s string) string {
	if i := strings.IndexAny(s, "eE"); i >= 0 {
		return s[:i]
	}
	return s
}

// member gives v.name; items of arrays by number, and their length.
func member(v any, name string) any {
	switch v := v.(type) {
	case map[string]any:
		return v[name]
	case []any:
		if name == "length" {
			return len(v)
		}
		if i, err := strconv.Atoi(name); err == nil && i >= 0 && i < len(v) {
			return v[i]
		}
	}
	return nil
}

// equal compares two plain values; those of different types differ.
func equal(a, b any) bool {
	if x, ok := a.(string); ok {
		y, ok := b.(string)
		return ok && x == y
	}
	if x, ok := a.(bool); ok {
		y, ok := b.(bool)
		return ok && x == y
	}
	if a == nil || b == nil {
		return a == nil && b == nil
	}
	x, ok := numberText(a)
	y, ok2 := numberText(b)
	return ok && ok2 && compareNumbers(x, y) == 0
}
