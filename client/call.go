package client

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	mathrand "math/rand/v2"
	"net/http"
	"net/url"
	"strings"
	"time"
)

const (
	retries     = 3
	firstPause  = 500 * time.Millisecond // at most; doubles with every retry
	maxAnswer   = 64 << 20               // octets
	maxRefusal  = 1 << 20
	jsonContent = "application/json"
)

// call is a request that can be made again.
type call struct {
	method, path string
	query        url.Values
	body         any    // nil: none
	contentType  string // of a body that is no JSON, but octets; empty: JSON
	key          string // Idempotency-Key of a POST; empty: a new one
	ifMatch      string // entity tag, without its quotes; empty: any
}

// answer is a 2xx answer.
type answer struct {
	header http.Header
	body   []byte
}

// do makes a call until it is answered for good, its retries are used up, or its
// budget is; then the last thing that went wrong is the error.
func (c *Client) do(caller context.Context, call call, into any) (http.Header, error) {
	ctx, cancel := context.WithTimeout(caller, c.budget)
	defer cancel()
	var body []byte
	if octets, ok := call.body.(json.RawMessage); ok && call.contentType != "" {
		body = octets
	} else if call.body != nil {
		var err error
		if body, err = json.Marshal(call.body); err != nil {
			return nil, fmt.Errorf("write the request: %w", err)
		}
	}
	if call.key == "" {
		call.key = newKey()
	}
	for try := 0; ; try++ {
		got, err := c.try(ctx, call, body)
		if err == nil {
			err = decode(got.body, into)
		}
		switch {
		case err == nil:
			return got.header, nil
		case try < retries && again(err) && pause(ctx, wait(err, try)):
			continue
		case caller.Err() != nil && !errors.Is(err, caller.Err()):
			err = fmt.Errorf("%w, after %w", caller.Err(), err)
		case caller.Err() == nil && ctx.Err() != nil:
			err = fmt.Errorf("no answer within %v: %w", c.budget, err)
		}
		// The query is left out: it may have addresses in it.
		return nil, fmt.Errorf("%s %s: %w", call.method, call.path, err)
	}
}

// errUnreadable is an answer that will not be better the next time.
var errUnreadable = errors.New("the answer cannot be read")

// decode reads an answer; nil is one that says nothing.
func decode(body []byte, into any) error {
	if into == nil {
		return nil
	}
	if err := json.Unmarshal(body, into); err != nil {
		return fmt.Errorf("%w: %w", errUnreadable, err)
	}
	return nil
}

// try makes a call once.
func (c *Client) try(ctx context.Context, call call, body []byte) (*answer, error) {
	target := c.base + call.path
	if len(call.query) > 0 {
		target += "?" + call.query.Encode()
	}
	request, err := http.NewRequestWithContext(ctx, call.method, target, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	request.Header.Set("Authorization", "Bearer "+c.key)
	request.Header.Set("User-Agent", "postrider-go/"+Version)
	request.Header.Set("Accept", jsonContent)
	if call.body != nil {
		request.Header.Set("Content-Type", cmp.Or(call.contentType, jsonContent))
	}
	if call.method == http.MethodPost {
		request.Header.Set("Idempotency-Key", call.key)
	}
	if call.ifMatch != "" {
		request.Header.Set("If-Match", `"`+call.ifMatch+`"`)
	}
	response, err := c.http.Do(request)
	if err != nil {
		return nil, withoutURL(err)
	}
	defer response.Body.Close()
	if response.StatusCode < 200 || response.StatusCode > 299 {
		// Half a refusal still says what kind it is.
		text, _ := io.ReadAll(io.LimitReader(response.Body, maxRefusal))
		return nil, refusal(response, text)
	}
	text, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("read the answer: %w", err)
	case len(text) > maxAnswer:
		return nil, fmt.Errorf("%w: it has more than %d octets", errUnreadable, maxAnswer)
	}
	return &answer{header: response.Header, body: text}, nil
}

func withoutURL(err error) error {
	var wrapped *url.Error
	if errors.As(err, &wrapped) {
		return wrapped.Err
	}
	return err
}

// again reports whether the same request may fare better.
func again(err error) bool {
	var refused *Error
	if errors.As(err, &refused) {
		return refused.Retryable
	}
	var certificate *tls.CertificateVerificationError
	return !errors.Is(err, errUnreadable) && !errors.As(err, &certificate)
}

// wait is how long to wait after a failed try: a random part of a pause that
// doubles (so that clients of a server that was away do not all come back at
// once), on top of what the server asks for.
func wait(err error, try int) time.Duration {
	d := mathrand.N(firstPause << try)
	var refused *Error
	if errors.As(err, &refused) {
		d += refused.RetryAfter
	}
	return d
}

// pause waits, unless the context would end meanwhile.
func pause(ctx context.Context, d time.Duration) bool {
	if end, ok := ctx.Deadline(); ok && time.Until(end) <= d {
		return false
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// newKey makes an Idempotency-Key: a random UUID (RFC 9562 5.4).
func newKey() string {
	var u [16]byte
	rand.Read(u[:]) // never fails: crypto/rand ends the program instead
	u[6] = u[6]&0x0f | 0x40
	u[8] = u[8]&0x3f | 0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", u[:4], u[4:6], u[6:8], u[8:10], u[10:])
}

// send makes a call that is answered with an object.
func send[T any](ctx context.Context, c *Client, made call) (*T, error) {
	var object T
	if _, err := c.do(ctx, made, &object); err != nil {
		return nil, err
	}
	return &object, nil
}

// at makes a call to a path with an id in it.
func at[T any](ctx context.Context, c *Client, made call, above, id, below string) (*T, error) {
	path, err := pathTo(above, id, below)
	if err != nil {
		return nil, err
	}
	made.path = path
	return send[T](ctx, c, made)
}

// remove deletes an object.
func (c *Client) remove(ctx context.Context, above, id string) error {
	path, err := pathTo(above, id, "")
	if err != nil {
		return err
	}
	_, err = c.do(ctx, call{method: http.MethodDelete, path: path}, nil)
	return err
}

// pathTo is a path with an id in it. An id from elsewhere cannot lead to another path.
func pathTo(above, id, below string) (string, error) {
	if id == "" || id == "." || id == ".." {
		return "", errors.New("an id is needed, such as GET " + strings.TrimSuffix(above, "/") + " lists them")
	}
	return above + url.PathEscape(id) + below, nil
}

// download copies what is there to a writer, once it is sure that there is something. It
// is not bound by the budget, as it may be large; what broke off is an error.
func (c *Client) download(ctx context.Context, path string, w io.Writer) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, c.base+path, http.NoBody)
	if err != nil {
		return err
	}
	request.Header.Set("Authorization", "Bearer "+c.key)
	request.Header.Set("User-Agent", "postrider-go/"+Version)
	response, err := c.http.Do(request)
	if err != nil {
		return fmt.Errorf("GET %s: %w", path, withoutURL(err))
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(io.LimitReader(response.Body, maxRefusal))
		return fmt.Errorf("GET %s: %w", path, refusal(response, text))
	}
	if _, err := io.Copy(w, response.Body); err != nil {
		return fmt.Errorf("GET %s: %w", path, err)
	}
	return nil
}
