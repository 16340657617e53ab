// Package client sends mail through Postrider and reads what became of it. It
// uses the standard library only.
//
// A client is made once and shared. It finds its server and key in POSTRIDER_URL
// and POSTRIDER_API_KEY:
//
//	postrider, err := client.New(client.Options{})
//	...
//	sent, err := postrider.Send(ctx, client.Mail{
//		From:    "Acme <hi@acme.com>",
//		To:      []string{"ada@example.org"},
//		Subject: "Your receipt",
//		Text:    "Thank you!",
//	})
//
// When Send returns without an error, the mail is safe: it will be delivered, or
// the server will say why not. [Client.Get], [Client.List], [Client.Events] and
// [Client.Attempts] tell what became of it, and package
// postrider/client/webhook verifies what the server posts to an app.
//
// # Trying again
//
// A request that found no server, too busy a one (429), one in trouble (5xx) or an
// earlier self still at work (409) is made again, up to three times and for 30
// seconds in all, after a random pause that grows, and never sooner than
// Retry-After asks. Every POST carries the same Idempotency-Key each time, so that
// nothing is sent twice.
//
// That holds within one call. A key of your own, derived from what the mail is
// about, holds also when your program dies and does its work again:
//
//	client.Mail{IdempotencyKey: "receipt/42", ...}
//
// # Errors
//
// What the server refuses is an [*Error] that names every fault of the request:
//
//	var refused *client.Error
//	if errors.As(err, &refused) && refused.Code == "validation_failed" {
//		for _, fault := range refused.Errors { ... }
//	}
//
// Any other error means that no answer came, or none that can be read.
//
// Absent texts are empty and absent times are zero, whatever null or missing
// members the answer had. The client follows no redirects: they would carry the key
// and the mail to somewhere else.
package client

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"
)

// Version is the client's version, as it tells it to servers.
const Version = "0.1.0"

// DefaultBudget is how long a call may take, all attempts and pauses together.
const DefaultBudget = 30 * time.Second

// Options say how to reach a server. The zero value takes all from the environment.
type Options struct {
	URL    string // such as https://mail.example.com; empty: $POSTRIDER_URL
	APIKey string // empty: $POSTRIDER_API_KEY

	// HTTPClient makes the connections. Nil is one with the transport of
	// http.DefaultClient. Its CheckRedirect is not used.
	HTTPClient *http.Client

	// Budget is how long one call may take, all attempts together; zero is
	// DefaultBudget. Large attachments over a slow line may need more.
	Budget time.Duration
}

// Client talks to one server with one key. Any number of goroutines may use it.
type Client struct {
	base   string // without a slash at the end
	key    string
	http   *http.Client
	budget time.Duration
}

// New makes a client. It does not talk to the server yet.
func New(o Options) (*Client, error) {
	base, baseErr := baseURL(o.URL)
	key, keyErr := apiKey(o.APIKey)
	if err := errors.Join(baseErr, keyErr); err != nil {
		return nil, err
	}
	c := &Client{base: base, key: key, http: &http.Client{}, budget: o.Budget}
	if o.HTTPClient != nil {
		*c.http = *o.HTTPClient
	}
	c.http.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	if c.budget == 0 {
		c.budget = DefaultBudget
	}
	return c, nil
}

func baseURL(given string) (string, error) {
	if given == "" {
		given = os.Getenv("POSTRIDER_URL")
	}
	if given == "" {
		return "", errors.New("no server is given: set POSTRIDER_URL, such as http://127.0.0.1:8025")
	}
	u, err := url.Parse(given)
	switch {
	case err != nil, u.Scheme != "http" && u.Scheme != "https", u.Host == "":
		return "", errors.New("POSTRIDER_URL must be an http or https URL, such as http://127.0.0.1:8025")
	case u.User != nil, u.RawQuery != "", u.Fragment != "":
		return "", errors.New("POSTRIDER_URL must have no user, query or fragment")
	}
	return strings.TrimSuffix(strings.TrimRight(u.String(), "/"), "/v1"), nil
}

func apiKey(given string) (string, error) {
	if given == "" {
		given = os.Getenv("POSTRIDER_API_KEY")
	}
	if given == "" {
		return "", errors.New("no API key is given: set POSTRIDER_API_KEY")
	}
	if strings.ContainsFunc(given, func(r rune) bool { return r <= ' ' || r >= 0x7f }) {
		return "", errors.New("the API key has a character that no key has, such as a space or a line break")
	}
	return given, nil
}

// String never shows the key.
func (c *Client) String() string { return fmt.Sprintf("postrider client of %s", c.base) }

// GoString never shows the key.
func (c *Client) GoString() string { return c.String() }
