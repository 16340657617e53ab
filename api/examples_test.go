package api

import (
	"encoding/json"
	"mime"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
)

// exampleBody is an example as it is sent.
func exampleBody(t *testing.T, contentType string, value any) []byte {
	t.Helper()
	if text, ok := value.(string); ok && contentType != "application/json" {
		return []byte(text)
	}
	body, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	return body
}

// wantExamples fails unless an operation that takes no body shows what it answers, and
// the answer is of that form.
func (h *house) wantExamples(op *openapi3.Operation, a *answer) {
	h.t.Helper()
	response := op.Responses.Status(a.status)
	if a.status >= 300 || response == nil {
		h.t.Errorf("%s: %d %s", op.OperationID, a.status, a.raw)
		return
	}
	if len(a.raw) == 0 && len(response.Value.Content) == 0 {
		return
	}
	mediaType, _, err := mime.ParseMediaType(a.header.Get("Content-Type"))
	if err != nil {
		h.t.Fatal(err)
	}
	media := response.Value.Content[mediaType]
	if media == nil || len(media.Examples) == 0 {
		h.t.Errorf("%s has no example of its answer", op.OperationID)
		return
	}
	for name, example := range media.Examples {
		if text, ok := example.Value.Value.(string); ok {
			// Of a text the example is its beginning.
			if !strings.HasPrefix(masked(string(a.raw)), masked(text)) {
				h.t.Errorf("example %s of %s is not how it begins: %.300s", name, op.OperationID, a.raw)
			}
		} else if at := unlike("#", example.Value.Value, any(a.body)); at != "" {
			h.t.Errorf("example %s of %s is another at %s\n%s", name, op.OperationID, at, a.raw)
		}
	}
}

// masked is a text without what differs each time: ids and the Date of a mail.
func masked(text string) string { return maskedPattern.ReplaceAllString(text, "$1$2*") }

var maskedPattern = regexp.MustCompile(`(_)[0-9a-z]{26}|(?m)^(Date: ).*`)

// unlike is where two values differ in form, empty if nowhere: objects have the same
// members, ids the same prefix; null may stand for anything, and each element of an
// example is like one that there is.
func unlike(at string, example, got any) string {
	if example == nil || got == nil {
		return ""
	}
	switch e := example.(type) {
	case map[string]any:
		g, ok := got.(map[string]any)
		if !ok || len(g) != len(e) {
			return at
		}
		for name, v := range e {
			other, there := g[name]
			if !there {
				return at + "/" + name
			}
			if deeper := unlike(at+"/"+name, v, other); deeper != "" {
				return deeper
			}
		}
	case []any:
		g, ok := got.([]any)
		if !ok {
			return at
		}
		for i, v := range e {
			if !slices.ContainsFunc(g, func(one any) bool { return unlike("", v, one) == "" }) {
				return element(at, i)
			}
		}
	case string:
		g, ok := got.(string)
		prefix, _, id := strings.Cut(e, "_")
		if !ok || id && len(prefix) < 5 && !strings.HasPrefix(g, prefix+"_") {
			return at
		}
	case bool:
		if _, ok := got.(bool); !ok {
			return at
		}
	default: // numbers
		if _, ok := got.(float64); !ok {
			return at
		}
	}
	return ""
}
