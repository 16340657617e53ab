package api

import (
	"bytes"
	"fmt"
	"regexp"
	"strings"
	"sync"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/goccy/go-yaml"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"postrider"
)

// schemas are those of openapi.yaml, which are JSON Schema (OpenAPI 3.1, Schema Object).
// Each is compiled once: that takes longer than all else of a comparison.
type schemas struct {
	mu       sync.Mutex
	compiler *jsonschema.Compiler
	compiled map[string]*jsonschema.Schema
}

// readSchemas reads openapi.yaml, once for all tests.
var readSchemas = sync.OnceValues(func() (*schemas, error) {
	raw, err := yaml.YAMLToJSON([]byte(postrider.OpenAPI()))
	if err != nil {
		return nil, err
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(raw))
	if err != nil {
		return nil, err
	}
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	c.UseRegexpEngine(compilePattern)
	return &schemas{compiler: c, compiled: make(map[string]*jsonschema.Schema)}, c.AddResource("openapi.yaml", doc)
})

// compilePattern reads a pattern of JSON Schema, which is one of ECMAScript.
func compilePattern(pattern string) (jsonschema.Regexp, error) {
	return regexp.Compile(escapedUnit.ReplaceAllString(pattern, `\x{$1}`))
}

var escapedUnit = regexp.MustCompile(`\\u([0-9A-Fa-f]{4})`)

// compare holds JSON to the schema at a place, given by the names on the way to it.
func (s *schemas) compare(body []byte, place ...string) error {
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(body))
	if err != nil {
		return err
	}
	schema, err := s.at(place)
	if err != nil {
		return err
	}
	return schema.Validate(value)
}

func (s *schemas) at(place []string) (*jsonschema.Schema, error) {
	var pointer strings.Builder
	for _, name := range place { // RFC 6901 3
		pointer.WriteString("/" + strings.NewReplacer("~", "~0", "/", "~1", "{", "%7B", "}", "%7D").Replace(name))
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	at := pointer.String()
	if s.compiled[at] == nil {
		schema, err := s.compiler.Compile("openapi.yaml#" + at)
		if err != nil {
			return nil, fmt.Errorf("%s of openapi.yaml: %w", at, err)
		}
		s.compiled[at] = schema
	}
	return s.compiled[at], nil
}

// compareBody holds the body of a request or an answer to one of the media types that may
// be at a place, and says false if it is no JSON.
func (s *schemas) compareBody(body []byte, contentType string, may openapi3.Content, place ...string) (bool, error) {
	mediaType, _, _ := strings.Cut(contentType, ";")
	if !strings.HasSuffix(mediaType, "json") {
		return false, nil
	}
	if may.Get(mediaType) == nil {
		return true, fmt.Errorf("%s where the contract has none", mediaType)
	}
	return true, s.compare(body, append(place, "content", mediaType, "schema")...)
}

// placeOf is where a thing stands: where a reference points, if it is one.
func placeOf(reference string, place ...string) []string {
	if to, ok := strings.CutPrefix(reference, "#/"); ok {
		return strings.Split(to, "/")
	}
	return place
}
