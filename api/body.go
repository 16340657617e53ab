package api

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"os"
	"strings"

	"postrider/internal/intake"
)

// The largest requests (api.md 22): a mail of 20 MiB with its base64, and a batch.
const (
	maxBody      = 28 << 20
	maxBatchBody = 30 << 20
)

// readJSON reads a request's body as one JSON value. Errors: *problem.
func readJSON(r *http.Request) (*document, error) { return readJSONUpTo(r, maxBody, maxValues) }

// readJSONUpTo is readJSON for a body of at most so many octets and values.
func readJSONUpTo(r *http.Request, octets int64, values int) (*document, error) {
	if err := requireJSON(r.Header); err != nil {
		return nil, err
	}
	data, err := readBody(r, octets)
	if err != nil {
		return nil, err
	}
	return readDocument(data, values)
}

// readDocument reads a body as one JSON value. Errors: *problem.
func readDocument(data []byte, values int) (*document, error) {
	doc, err := parseUpTo(data, values)
	var syntax *syntaxError
	if errors.As(err, &syntax) {
		return nil, &problem{
			code: malformedJSON, offset: &syntax.offset,
			detail: fmt.Sprintf("The body is not JSON at octet %d: %s.", syntax.offset, syntax.why),
		}
	}
	if len(doc.duplicates) > 0 {
		p := &problem{code: duplicateMember, detail: "A member of the body occurs more than once."}
		for _, pointer := range doc.duplicates {
			p.errors = append(p.errors, fault{Pointer: pointer, Code: string(duplicateMember), Detail: "occurs more than once"})
		}
		return nil, p
	}
	return doc, nil
}

// requireJSON refuses other media types and every content coding. Errors: *problem.
func requireJSON(h http.Header) error {
	if len(h.Values("Content-Encoding")) > 0 {
		return &problem{code: unsupportedMediaType, detail: "Send the body without a Content-Encoding."}
	}
	refusal := &problem{code: unsupportedMediaType, detail: "Send the body as Content-Type: application/json in UTF-8."}
	values := h.Values("Content-Type")
	if len(values) != 1 {
		return refusal
	}
	mediaType, parameters, err := mime.ParseMediaType(values[0])
	if err != nil || mediaType != "application/json" {
		return refusal
	}
	for name, value := range parameters {
		if name != "charset" || !strings.EqualFold(value, "utf-8") {
			return refusal
		}
	}
	return nil
}

// readBody reads at most limit octets. Errors: *problem.
func readBody(r *http.Request, limit int64) ([]byte, error) {
	if r.ContentLength > limit {
		return nil, tooLarge(limit, &r.ContentLength)
	}
	var b bytes.Buffer
	// The length is only what the client says, so it buys little in advance.
	b.Grow(int(min(max(r.ContentLength, 0), 1<<20)) + bytes.MinRead)
	n, err := b.ReadFrom(io.LimitReader(r.Body, limit+1))
	if n > limit {
		return nil, tooLarge(limit, nil)
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return nil, &problem{code: requestTimeout, detail: "The body did not arrive in time. The request may be repeated."}
	}
	if err != nil {
		offset := int(n)
		return nil, &problem{code: malformedJSON, offset: &offset, detail: "The body ended before its time."}
	}
	return b.Bytes(), nil
}

func tooLarge(limit int64, actual *int64) *problem {
	return &problem{
		code: requestTooLarge, limitBytes: &limit, actualBytes: actual,
		detail: fmt.Sprintf("The body is larger than %d octets.", limit),
	}
}

// readOptionalJSON reads a request whose body may be missing: then it is an empty
// object. Errors: *problem.
func readOptionalJSON(r *http.Request) (*document, error) {
	data, err := readBody(r, maxBody)
	if err != nil {
		return nil, err
	}
	if len(data) == 0 {
		return &document{root: &node{kind: objectKind}}, nil
	}
	if err := requireJSON(r.Header); err != nil {
		return nil, err
	}
	return readDocument(data, maxValues)
}

// noBody accepts a request without a body, or with an object that says nothing.
// Errors: *problem, *intake.Invalid.
func noBody(r *http.Request) (*document, error) {
	doc, err := readOptionalJSON(r)
	if err != nil {
		return nil, err
	}
	var d decoder
	if doc.root.kind != objectKind {
		d.wrongType("#", "an object")
	}
	for _, m := range doc.root.children {
		if doc.root.kind == objectKind && m.given() {
			d.fault(member("#", m.name), intake.UnknownMember, "is not a member of this object")
		}
	}
	if len(d.faults) > 0 {
		return nil, &intake.Invalid{Faults: d.faults}
	}
	return doc, nil
}
