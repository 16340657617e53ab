package client

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Error is an answer that is not 2xx.
type Error struct {
	Status    int    // of HTTP
	Code      string // what went wrong, such as validation_failed: branch on this
	Detail    string // for people
	RequestID string // req_..., for whoever runs the server

	// Retryable tells that the same request may succeed later. The client has then
	// tried it again already, as often as it may.
	Retryable  bool
	RetryAfter time.Duration // how long the server asks to wait; zero: it does not say

	Missing     []string // variables of a template that were not given, such as order.id
	ExistingID  string   // of already_exists
	CurrentETag string   // of precondition_failed

	Errors []Fault         // everything that is wrong with the request
	Body   json.RawMessage // the problem document, with the members of its code; nil if there was none
}

// Fault is one thing wrong with a request. It never holds the offending value.
type Fault struct {
	Pointer   string `json:"pointer"`   // where in the body, such as #/to/0
	Parameter string `json:"parameter"` // or which query parameter
	Header    string `json:"header"`    // or which header field
	Line      int    `json:"line"`      // in a template or a CSV file, from 1; zero: nowhere
	Column    Column `json:"column"`    // in that line; empty: the whole
	Code      string `json:"code"`      // such as invalid_email
	Detail    string `json:"detail"`    // for people
}

// Column is where in a line a fault is: of a template the number of the character, from
// 1; of a CSV file the name of the column.
type Column string

// UnmarshalJSON takes either.
func (c *Column) UnmarshalJSON(raw []byte) error {
	var number json.Number
	if err := json.Unmarshal(raw, &number); err == nil {
		*c = Column(number)
		return nil
	}
	return json.Unmarshal(raw, (*string)(c))
}

// Error names every fault.
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(e.Code)
	if e.Status != 0 {
		fmt.Fprintf(&b, " (HTTP %d)", e.Status)
	}
	if e.Detail != "" {
		b.WriteString(": " + strings.TrimSuffix(e.Detail, "."))
	}
	for i, fault := range e.Errors {
		b.WriteString([]string{": ", "; "}[min(i, 1)] + fault.String())
	}
	if e.RequestID != "" {
		b.WriteString(" [" + e.RequestID + "]")
	}
	return b.String()
}

// Place is where the fault is, as a person would say it: to/0, limit,
// Idempotency-Key, or line 3, email.
func (f Fault) Place() string {
	if f.Parameter != "" {
		return f.Parameter
	}
	if f.Header != "" {
		return f.Header
	}
	place := strings.TrimPrefix(strings.TrimPrefix(f.Pointer, "#"), "/")
	switch {
	case f.Line > 0 && place != "": // of a text
		return fmt.Sprintf("%s:%d:%s", place, f.Line, f.Column)
	case f.Line > 0: // of a CSV file
		return strings.TrimSuffix(fmt.Sprintf("line %d, %s", f.Line, f.Column), ", ")
	}
	return place
}

func (f Fault) String() string {
	if place := f.Place(); place != "" {
		return place + " " + f.Detail
	}
	return f.Detail
}

// problem is a problem document (RFC 9457).
type problem struct {
	Code      string  `json:"code"`
	Detail    string  `json:"detail"`
	RequestID string  `json:"request_id"`
	Retryable bool    `json:"retryable"`
	Errors    []Fault `json:"errors"`

	Missing     []string `json:"missing"`
	ExistingID  string   `json:"existing_id"`
	CurrentETag string   `json:"current_etag"`
}

// refusal makes an error of an answer. One that is no problem document comes from
// a proxy in between, or from another server altogether.
func refusal(response *http.Response, body []byte) *Error {
	e := &Error{
		Status: response.StatusCode, RequestID: response.Header.Get("Request-Id"),
		RetryAfter: retryAfter(response.Header.Get("Retry-After"), time.Now()),
	}
	var p problem
	if err := json.Unmarshal(body, &p); err == nil && p.Code != "" {
		e.Code, e.Detail, e.RequestID, e.Retryable, e.Errors, e.Body = p.Code, p.Detail, p.RequestID, p.Retryable, p.Errors, body
		e.Missing, e.ExistingID, e.CurrentETag = p.Missing, p.ExistingID, p.CurrentETag
		return e
	}
	e.Retryable = e.Status == http.StatusTooManyRequests || e.Status >= 500
	e.Code, e.Detail = "unexpected_answer", "the answer is not Postrider's: is POSTRIDER_URL right, or a proxy in between?"
	if e.Status >= 300 && e.Status < 400 {
		e.Code, e.Detail = "redirected", "the server points elsewhere, where the key must not go: set POSTRIDER_URL to where it is"
	}
	return e
}

// retryAfter reads Retry-After: seconds or a date (RFC 9110 10.2.3).
func retryAfter(text string, now time.Time) time.Duration {
	if seconds, err := strconv.ParseInt(text, 10, 32); err == nil && seconds > 0 {
		return time.Duration(seconds) * time.Second
	}
	if date, err := http.ParseTime(text); err == nil && date.After(now) {
		return date.Sub(now)
	}
	return 0
}
