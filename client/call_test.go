package client_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"postrider/client"
)

// step is what happens to one try.
type step struct {
	status     int
	retryAfter string
	body       string
	err        error
	hang       bool // no answer before the request's end
}

func problem(code string, retryable bool) string {
	word := "false"
	if retryable {
		word = "true"
	}
	return `{"code":"` + code + `","detail":"d","request_id":"req_1","retryable":` + word + `}`
}

// script is a server that goes through its steps; the last one is for ever.
type script struct {
	steps []step
	tries []*http.Request
}

func (s *script) RoundTrip(r *http.Request) (*http.Response, error) {
	step := s.steps[min(len(s.tries), len(s.steps)-1)]
	s.tries = append(s.tries, r)
	if step.hang {
		<-r.Context().Done()
		return nil, r.Context().Err()
	}
	if step.err != nil {
		return nil, step.err
	}
	header := make(http.Header)
	if step.retryAfter != "" {
		header.Set("Retry-After", step.retryAfter)
	}
	return &http.Response{StatusCode: step.status, Header: header, Body: io.NopCloser(strings.NewReader(step.body)), Request: r}, nil
}

func (s *script) client(t *testing.T) *client.Client {
	t.Helper()
	c, err := client.New(client.Options{URL: "http://postrider.test", APIKey: "pr_test_1", HTTPClient: &http.Client{Transport: s}})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

const accepted = `{"id":"msg_1","status":"queued"}`

func TestRetries(t *testing.T) {
	away := errors.New("connection refused")
	good := step{status: 202, body: accepted}
	busy := step{status: 429, body: problem("rate_limited", true)}
	for _, c := range []struct {
		name        string
		steps       []step
		tries       int
		least, most time.Duration
		err         string // empty: accepted
	}{
		{"at once", []step{good}, 1, 0, 0, ""},
		{"no server at first", []step{{err: away}, good}, 2, 0, 500 * time.Millisecond, ""},
		{"never a server", []step{{err: away}}, 4, 0, 3500 * time.Millisecond, "connection refused"},
		{"at work", []step{{status: 409, retryAfter: "1", body: problem("idempotency_request_in_progress", true)}, good}, 2, time.Second, 1500 * time.Millisecond, ""},
		{"too busy", []step{busy, busy, busy, good}, 4, 0, 3500 * time.Millisecond, ""},
		{"always too busy", []step{busy}, 4, 0, 3500 * time.Millisecond, "rate_limited (HTTP 429): d [req_1]"},
		{"in trouble", []step{{status: 500, body: problem("internal_error", true)}, good}, 2, 0, time.Second, ""},
		{"a proxy in trouble", []step{{status: 502, body: "<html>"}, good}, 2, 0, time.Second, ""},
		{"Retry-After", []step{{status: 503, retryAfter: "7", body: problem("shutting_down", true)}, good}, 2, 7 * time.Second, 7500 * time.Millisecond, ""},
		{"Retry-After beyond the budget", []step{{status: 503, retryAfter: "60", body: problem("queue_full", true)}, good}, 1, 0, 0, "queue_full"},
		{"half an answer", []step{{status: 202, body: `{"id":`}}, 1, 0, 0, "cannot be read"},
		{"another server", []step{{status: 200, body: `{}`}}, 1, 0, 0, "names no message"},
		{"wrong", []step{{status: 422, body: problem("validation_failed", false)}}, 1, 0, 0, "validation_failed"},
		{"no quota", []step{{status: 429, body: problem("quota_exceeded", false)}}, 1, 0, 0, "quota_exceeded"},
		{"cannot be canceled", []step{{status: 409, body: problem("message_not_cancelable", false)}}, 1, 0, 0, "message_not_cancelable"},
		{"silence", []step{{hang: true}}, 1, 30 * time.Second, 30 * time.Second, "no answer within 30s"},
		{"redirect", []step{{status: 307}}, 1, 0, 0, "redirected"},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &script{steps: c.steps}
				began := time.Now()
				sent, err := s.client(t).Send(t.Context(), client.Mail{Subject: "s"})
				if took := time.Since(began); took < c.least || took > c.most {
					t.Errorf("took %v, want %v to %v", took, c.least, c.most)
				}
				if len(s.tries) != c.tries {
					t.Errorf("%d tries, want %d", len(s.tries), c.tries)
				}
				if c.err == "" && (err != nil || sent.ID != "msg_1") || c.err != "" && (err == nil || !strings.Contains(err.Error(), c.err)) {
					t.Errorf("%v %v, want an error with %q", sent, err, c.err)
				}
				s.sameKey(t)
			})
		})
	}
}

// sameKey sees that every try was the same request.
func (s *script) sameKey(t *testing.T) {
	t.Helper()
	uuid := regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`)
	for _, r := range s.tries {
		body, err := r.GetBody()
		if err != nil {
			t.Fatal(err)
		}
		if text, _ := io.ReadAll(body); string(text) != `{"subject":"s"}` {
			t.Errorf("body %s", text)
		}
		key := r.Header.Get("Idempotency-Key")
		if !uuid.MatchString(key) || key != s.tries[0].Header.Get("Idempotency-Key") {
			t.Errorf("Idempotency-Key %q", key)
		}
		if r.Header.Get("Authorization") != "Bearer pr_test_1" || r.Header.Get("User-Agent") != "postrider-go/"+client.Version {
			t.Errorf("header %v", r.Header)
		}
	}
}

func TestKeys(t *testing.T) {
	s := &script{steps: []step{{status: 202, body: accepted}}}
	c := s.client(t)
	for _, m := range []client.Mail{{}, {}, {IdempotencyKey: "receipt/42"}} {
		if _, err := c.Send(t.Context(), m); err != nil {
			t.Fatal(err)
		}
	}
	if a, b := s.tries[0].Header.Get("Idempotency-Key"), s.tries[1].Header.Get("Idempotency-Key"); a == b {
		t.Errorf("two mails have the key %q", a)
	}
	if key := s.tries[2].Header.Get("Idempotency-Key"); key != "receipt/42" {
		t.Errorf("key %q, want the caller's", key)
	}
}

func TestCancelWhileWaiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		s := &script{steps: []step{{status: 503, retryAfter: "20", body: problem("shutting_down", true)}}}
		c := s.client(t)
		var refused *client.Error
		if _, err := c.Get(ctx, "msg_1"); !errors.As(err, &refused) || refused.RetryAfter != 20*time.Second || !refused.Retryable {
			t.Errorf("%v: the pause would outlive the caller, so that the refusal is what there is to say", err)
		}
		ctx, cancel = context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		_, err := c.Get(ctx, "msg_1")
		if !errors.Is(err, context.Canceled) || !errors.As(err, &refused) {
			t.Errorf("%v, want both that it was canceled and why it waited", err)
		}
	})
}

// endless is a body without end.
type endless struct{}

func (endless) Read(p []byte) (int, error) { return len(p), nil }
func (endless) Close() error               { return nil }

type answers func(*http.Request) *http.Response

func (a answers) RoundTrip(r *http.Request) (*http.Response, error) { return a(r), nil }

func TestEndlessAnswers(t *testing.T) {
	for _, status := range []int{200, 404} {
		transport := answers(func(r *http.Request) *http.Response {
			return &http.Response{StatusCode: status, Header: make(http.Header), Body: endless{}, Request: r}
		})
		c, err := client.New(client.Options{URL: "http://postrider.test", APIKey: "k", HTTPClient: &http.Client{Transport: transport}})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.Get(t.Context(), "msg_1"); err == nil {
			t.Errorf("%d: no error", status)
		}
	}
}

// TestRedirectsAreNotFollowed keeps the key from other hosts, and from this one's
// other paths.
func TestRedirectsAreNotFollowed(t *testing.T) {
	other := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		t.Errorf("%s %s came with %q", r.Method, r.URL, r.Header.Get("Authorization"))
	}))
	defer other.Close()
	server := httptest.NewServer(http.RedirectHandler(other.URL, http.StatusPermanentRedirect))
	defer server.Close()
	follows := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return nil }}
	for _, h := range []*http.Client{nil, follows} {
		c, err := client.New(client.Options{URL: server.URL, APIKey: "pr_test_1", HTTPClient: h})
		if err != nil {
			t.Fatal(err)
		}
		var refused *client.Error
		if _, err := c.Send(t.Context(), client.Mail{}); !errors.As(err, &refused) || refused.Status != 308 || refused.Retryable {
			t.Errorf("%v, want a refusal with 308", err)
		}
	}
}
