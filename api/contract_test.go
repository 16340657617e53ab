package api

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"

	"postrider"
)

// contract holds every request and answer that passes through it to openapi.yaml: an
// http.RoundTripper for tests. It notes what it saw.
type contract struct {
	t   testing.TB
	doc *openapi3.T
	*schemas
	base http.RoundTripper

	mu   sync.Mutex
	seen map[exchange]bool
}

// exchange is one way in which an operation can end. Operation is empty for what is no
// operation, code for success.
type exchange struct {
	operation string
	status    int
	code      string
}

func (e exchange) String() string { return fmt.Sprintf("%s %d %s", e.operation, e.status, e.code) }

// readContract reads openapi.yaml, once for all tests: none changes it.
var readContract = sync.OnceValues(func() (*openapi3.T, error) {
	doc, err := openapi3.NewLoader().LoadFromData([]byte(postrider.OpenAPI()))
	if err != nil {
		return nil, err
	}
	return doc, doc.Validate(context.Background())
})

func loadContract(t testing.TB) *openapi3.T {
	t.Helper()
	doc, err := readContract()
	if err != nil {
		t.Fatalf("openapi.yaml: %v", err)
	}
	return doc
}

func newContract(t testing.TB) *contract {
	registerDecoders()
	list, err := readSchemas()
	if err != nil {
		t.Fatalf("openapi.yaml: %v", err)
	}
	return &contract{t: t, doc: loadContract(t), schemas: list, base: http.DefaultTransport, seen: make(map[exchange]bool)}
}

// RoundTrip implements http.RoundTripper.
func (c *contract) RoundTrip(req *http.Request) (*http.Response, error) {
	body := &recorder{}
	if req.Body != nil {
		body.r = req.Body
		req.Body = body
	}
	resp, err := c.base.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, err
	}
	_ = resp.Body.Close()
	resp.Body = io.NopCloser(bytes.NewReader(answer))
	if err := c.check(req, body.bytes(), resp, answer); err != nil {
		c.t.Errorf("%s %s -> %d: %v\n%.2000s", req.Method, req.URL.Path, resp.StatusCode, err, answer)
	}
	return resp, nil
}

// registerDecoders makes the media types known that are not JSON.
var registerDecoders = sync.OnceFunc(func() {
	for _, mediaType := range []string{"message/rfc822", "text/html", "text/javascript"} {
		openapi3filter.RegisterBodyDecoder(mediaType, openapi3filter.FileBodyDecoder)
	}
})

// keptOfBody is as much as a body may have to be accepted.
const keptOfBody = maxBatchBody

// recorder keeps what was sent of a body. The transport may still read it when the
// answer is there.
type recorder struct {
	r    io.ReadCloser
	mu   sync.Mutex
	sent []byte
}

func (r *recorder) Read(p []byte) (int, error) {
	n, err := r.r.Read(p)
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.sent) < keptOfBody {
		r.sent = append(r.sent, p[:n]...)
	}
	return n, err
}

func (r *recorder) Close() error { return r.r.Close() }

func (r *recorder) bytes() []byte {
	r.mu.Lock()
	defer r.mu.Unlock()
	return bytes.Clone(r.sent)
}

// check compares one exchange with the contract.
func (c *contract) check(req *http.Request, sent []byte, resp *http.Response, answer []byte) error {
	page := strings.HasPrefix(req.URL.Path, "/docs") && resp.StatusCode == http.StatusOK
	if resp.Header.Get("Request-Id") == "" || !page && resp.Header.Get("Cache-Control") != "no-store" {
		return fmt.Errorf("Request-Id %q, Cache-Control %q", resp.Header.Get("Request-Id"), resp.Header.Get("Cache-Control"))
	}
	var p struct{ Code, Type, Instance string }
	if resp.StatusCode >= 300 && req.Method != http.MethodHead {
		if ct := resp.Header.Get("Content-Type"); ct != "application/problem+json" {
			return fmt.Errorf("content type %q", ct)
		}
		if err := json.Unmarshal(answer, &p); err != nil {
			return err
		}
		if !strings.HasSuffix(p.Type, "/"+p.Code) || !strings.HasSuffix(p.Instance, resp.Header.Get("Request-Id")) {
			return fmt.Errorf("type %s, instance %s", p.Type, p.Instance)
		}
	}
	route, params := c.find(req)
	if route == nil {
		c.note(exchange{"", resp.StatusCode, p.Code})
		return c.checkProblem(answer)
	}
	c.note(exchange{route.Operation.OperationID, resp.StatusCode, p.Code})
	// What the service takes, the contract must allow. (It may allow more: it cannot say everything.)
	input, err := c.checkRequest(route, params, req, sent, resp.StatusCode < 300)
	if err != nil {
		return fmt.Errorf("the service took what the contract forbids: %w", err)
	}
	return c.checkAnswer(input, resp, answer)
}

// checkRequest compares a request with its operation, if the service took it.
func (c *contract) checkRequest(route *routers.Route, params map[string]string, req *http.Request, sent []byte, took bool) (*openapi3filter.RequestValidationInput, error) {
	request := req.Clone(context.Background())
	request.Body, request.ContentLength = io.NopCloser(bytes.NewReader(sent)), int64(len(sent))
	input := &openapi3filter.RequestValidationInput{
		Request: request, PathParams: params, QueryParams: req.URL.Query(), Route: route,
		Options: &openapi3filter.Options{AuthenticationFunc: openapi3filter.NoopAuthenticationFunc, SkipSettingDefaults: true},
	}
	if !took {
		return input, nil
	}
	if body := route.Operation.RequestBody; body != nil && len(sent) > 0 {
		var err error
		place := placeOf(body.Ref, "paths", route.Path, strings.ToLower(route.Method), "requestBody")
		input.Options.ExcludeRequestBody, err = c.compareBody(sent, req.Header.Get("Content-Type"), body.Value.Content, place...)
		if err != nil {
			return nil, err
		}
	}
	return input, openapi3filter.ValidateRequest(context.Background(), input)
}

// checkAnswer compares an answer with those of its operation.
func (c *contract) checkAnswer(input *openapi3filter.RequestValidationInput, resp *http.Response, answer []byte) error {
	options := &openapi3filter.Options{IncludeResponseStatus: true}
	if may := input.Route.Operation.Responses.Status(resp.StatusCode); may != nil && len(answer) > 0 {
		var err error
		place := placeOf(may.Ref, "paths", input.Route.Path, strings.ToLower(input.Route.Method), "responses", strconv.Itoa(resp.StatusCode))
		options.ExcludeResponseBody, err = c.compareBody(answer, resp.Header.Get("Content-Type"), may.Value.Content, place...)
		if err != nil {
			return err
		}
	}
	return openapi3filter.ValidateResponse(context.Background(), &openapi3filter.ResponseValidationInput{
		RequestValidationInput: input, Status: resp.StatusCode, Header: resp.Header,
		Body: io.NopCloser(bytes.NewReader(answer)), Options: options,
	})
}

// checkProblem holds an answer that belongs to no operation to the schema of problems.
func (c *contract) checkProblem(answer []byte) error {
	if len(answer) == 0 {
		return nil // of HEAD
	}
	return c.compare(answer, "components", "schemas", "Problem")
}

// find is the operation that a request is meant for, by the servers of the contract.
func (c *contract) find(req *http.Request) (*routers.Route, map[string]string) {
	method := req.Method
	if method == http.MethodHead {
		method = http.MethodGet
	}
	var found *routers.Route
	var values map[string]string
	for template, item := range c.doc.Paths.Map() {
		operation := item.GetOperation(method)
		if operation == nil {
			continue
		}
		for _, base := range basePaths(c.doc, item) {
			params, ok := match(base+template, req.URL.EscapedPath())
			// A path without parameters goes before one with (OpenAPI 3.1, Paths Object).
			if ok && (found == nil || len(params) < len(values)) {
				found, values = &routers.Route{Spec: c.doc, Path: template, PathItem: item, Method: method, Operation: operation}, params
			}
		}
	}
	return found, values
}

func (c *contract) note(e exchange) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.seen[e] = true
}

// basePaths are the servers of a path, without a slash at the end.
func basePaths(doc *openapi3.T, item *openapi3.PathItem) []string {
	servers := item.Servers
	if len(servers) == 0 {
		servers = doc.Servers
	}
	var out []string
	for _, s := range servers {
		out = append(out, strings.TrimSuffix(s.URL, "/"))
	}
	return out
}

// match compares a path with a template of segments.
func match(template, path string) (map[string]string, bool) {
	want, got := strings.Split(template, "/"), strings.Split(path, "/")
	if len(want) != len(got) {
		return nil, false
	}
	params := make(map[string]string)
	for i, w := range want {
		if name, ok := strings.CutPrefix(w, "{"); ok && got[i] != "" {
			params[strings.TrimSuffix(name, "}")] = got[i]
		} else if w != got[i] {
			return nil, false
		}
	}
	return params, true
}

// documented lists every way in which the contract says that operations end.
func documented(t *testing.T, doc *openapi3.T) map[exchange]bool {
	t.Helper()
	out := make(map[exchange]bool)
	for _, item := range doc.Paths.Map() {
		for _, op := range item.Operations() {
			for status, response := range op.Responses.Map() {
				var n int
				if _, err := fmt.Sscan(status, &n); err != nil {
					t.Fatalf("%s: status %q", op.OperationID, status)
				}
				for _, c := range codesOf(response.Value) {
					out[exchange{op.OperationID, n, c}] = true
				}
			}
		}
	}
	return out
}

// codesOf lists the codes that a response of the contract can carry, "" for success.
func codesOf(r *openapi3.Response) []string {
	media := r.Content["application/problem+json"]
	if media == nil {
		return []string{""}
	}
	var out []string
	for _, part := range media.Schema.Value.AllOf {
		if code := part.Value.Properties["code"]; part.Ref == "" && code != nil {
			for _, v := range code.Value.Enum {
				out = append(out, v.(string))
			}
		}
	}
	return out
}
