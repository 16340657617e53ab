package api

import (
	"net/http"
	"strconv"

	"github.com/gin-gonic/gin"

	"postrider/internal/email"
	"postrider/internal/events"
)

// What this door writes is written as events are: package events says how.
type (
	stamp = events.Stamp
	text  = events.Text
)

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

func encode(v any) ([]byte, error) { return events.Encode(v) }

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
