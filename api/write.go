package api

import (
	"bytes"
	"encoding/json"
	"net/http"
	"strconv"
	"time"

	"github.com/gin-gonic/gin"

	"postrider/internal/email"
)

// timeFormat is RFC 3339 in UTC with milliseconds.
const timeFormat = "2006-01-02T15:04:05.000Z"

// stamp is a time on the wire; zero is null.
type stamp time.Time

// MarshalJSON implements json.Marshaler.
func (s stamp) MarshalJSON() ([]byte, error) {
	t := time.Time(s)
	if t.IsZero() {
		return []byte("null"), nil
	}
	return t.UTC().AppendFormat(nil, `"`+timeFormat+`"`), nil
}

// text is a string on the wire; empty is null.
type text string

// MarshalJSON implements json.Marshaler.
func (t text) MarshalJSON() ([]byte, error) {
	if t == "" {
		return []byte("null"), nil
	}
	return encode(string(t))
}

// fields is an object of strings on the wire, in order.
type fields []email.Header

// MarshalJSON implements json.Marshaler.
func (f fields) MarshalJSON() ([]byte, error) {
	b := []byte{'{'}
	for i, h := range f {
		if i > 0 {
			b = append(b, ',')
		}
		name, err := encode(h.Name)
		if err != nil {
			return nil, err
		}
		value, err := encode(h.Value)
		if err != nil {
			return nil, err
		}
		b = append(append(append(b, name...), ':'), value...)
	}
	return append(b, '}'), nil
}

// encode writes compact JSON without HTML escapes and without a final newline.
func encode(v any) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, err
	}
	return rawSeparators(bytes.TrimSuffix(b.Bytes(), []byte("\n"))), nil
}

// rawSeparators writes U+2028 and U+2029 as they are, as JSON.stringify does, where
// encoding/json always escapes them: what a program parses and writes again stays the same.
func rawSeparators(b []byte) []byte {
	if !bytes.Contains(b, []byte(`\u202`)) {
		return b
	}
	out := make([]byte, 0, len(b))
	for i := 0; i < len(b); i++ {
		if b[i] != '\\' {
			out = append(out, b[i])
			continue
		}
		switch {
		case bytes.HasPrefix(b[i:], []byte(`\u2028`)):
			out, i = append(out, "\u2028"...), i+5
		case bytes.HasPrefix(b[i:], []byte(`\u2029`)):
			out, i = append(out, "\u2029"...), i+5
		default: // any other escape, of which the next byte is part
			out, i = append(out, b[i], b[i+1]), i+1
		}
	}
	return out
}

// writeJSON sends a value with its length.
func writeJSON(g *gin.Context, status int, mediaType string, v any) {
	body, err := encode(v)
	if err != nil {
		panic(err) // cannot be: the views hold nothing that has no JSON form
	}
	writeBody(g, status, mediaType, body)
}

// writeBody sends octets with their length.
func writeBody(g *gin.Context, status int, mediaType string, body []byte) {
	h := g.Writer.Header()
	h.Set("Content-Type", mediaType)
	h.Set("Content-Length", strconv.Itoa(len(body)))
	g.Status(status)
	g.Writer.WriteHeaderNow()
	if g.Request.Method != http.MethodHead {
		_, _ = g.Writer.Write(body) // a client that went away needs no answer
	}
}

// answer sends what a caller asked for.
func (c *call) answer(status int, v any) { writeJSON(c.Context, status, "application/json", v) }
