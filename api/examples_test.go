package api

import (
	"encoding/json"
	"testing"
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
