// Package webhook posts to the endpoints that an app named, signed by Standard
// Webhooks 1.0: one event, one attempt, one answer.
//
// It decides nothing about retrying (package worker), keeps nothing (package store)
// and does not make the payload (package events). What it must not do is reach
// where the app may not: the address is looked at when it is dialled, after every
// lookup, and only public ones pass; redirects are not followed, no proxy is used,
// and of an answer little is read.
//
//	p := webhook.New(webhook.Options{AllowedNetworks: allowed})
//	a := p.Post(ctx, webhook.Endpoint{URL: u, Secrets: []string{secret}}, webhook.Message{ID: id, Body: body})
//	if !a.OK() { ... a.Error ... }
package webhook

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"syscall"
	"time"

	"postrider/internal/email"
	"postrider/smtpclient/guard"
)

// Limits of one attempt (api.md 12.3).
const (
	total         = 15 * time.Second
	connect       = 5 * time.Second
	maxRead       = 4 << 10
	maxKept       = 1 << 10
	maxError      = 300
	maxHeader     = 16 << 10
	maxRetryAfter = 24 * time.Hour
	userAgent     = "Postrider-Webhooks/1"
)

// Options are what a Poster works with; the zero value is for production.
type Options struct {
	// AllowedNetworks may be reached although they are not public, on any port, and
	// without TLS.
	AllowedNetworks []netip.Prefix
	RootCAs         *x509.CertPool // nil: the system's
	Resolver        *net.Resolver  // nil: the system's
	Total           time.Duration  // 15 s: the whole attempt
	Now             func() time.Time
}

// Endpoint is where to post, and how to sign.
type Endpoint struct {
	URL     string
	Secrets []string // one signature each, so that a secret can be changed without a gap
	Headers []email.Header
}

// Message is one event: its id stays the same over all attempts and endpoints.
type Message struct {
	ID   string
	Body []byte
}

// Attempt is what came of one post.
type Attempt struct {
	At       time.Time
	Duration time.Duration
	Status   int    // 0 if there was no answer
	Error    string // empty if it succeeded; printable, without URL or secret
	Body     string // the first KiB of the answer, printable
	// RetryAfter is how long the endpoint asked to be left alone, at most 24 h; 0 if
	// it did not.
	RetryAfter time.Duration
}

// OK reports whether the endpoint took the event: it answered 2xx.
func (a Attempt) OK() bool { return a.Error == "" }

// Poster makes attempts and keeps connections between them. It is safe for
// concurrent use.
type Poster struct {
	o             Options
	guard         *guard.Guard
	secure, plain *http.Client
}

// New makes a Poster.
func New(o Options) *Poster {
	if o.Total <= 0 {
		o.Total = total
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	p := &Poster{o: o, guard: guard.New(o.AllowedNetworks)}
	p.secure, p.plain = p.client(p.controlSecure), p.client(p.controlPlain)
	return p
}

func (p *Poster) client(control func(network, address string, c syscall.RawConn) error) *http.Client {
	dialer := &net.Dialer{Timeout: connect, Control: control, Resolver: p.o.Resolver}
	return &http.Client{
		Transport: &http.Transport{
			Proxy:                  nil, // a proxy would dial for us, unguarded
			DialContext:            dialer.DialContext,
			TLSClientConfig:        &tls.Config{RootCAs: p.o.RootCAs, MinVersion: tls.VersionTLS12},
			TLSHandshakeTimeout:    connect,
			MaxIdleConnsPerHost:    10,
			MaxIdleConns:           200,
			IdleConnTimeout:        90 * time.Second,
			DisableCompression:     true,
			MaxResponseHeaderBytes: maxHeader,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// controlSecure is the last look at an address, for TLS.
func (p *Poster) controlSecure(network, address string, c syscall.RawConn) error {
	if err := p.guard.Control(network, address, c); err != nil {
		return err
	}
	to, err := netip.ParseAddrPort(address)
	if err != nil || (!slices.Contains(publicPorts(), to.Port()) && !p.guard.Allowed(to.Addr())) {
		return fmt.Errorf("dial: %w", errPort)
	}
	return nil
}

// controlPlain is the same without TLS, which only allowed networks may do.
func (p *Poster) controlPlain(network, address string, c syscall.RawConn) error {
	if err := p.guard.Control(network, address, c); err != nil {
		return err
	}
	if to, err := netip.ParseAddrPort(address); err != nil || !p.guard.Allowed(to.Addr()) {
		return fmt.Errorf("dial: %w", errPlain)
	}
	return nil
}

// publicPorts are where public endpoints may listen: we are no port scanner for hire.
func publicPorts() []uint16 { return []uint16{443, 8443} }

// Post makes one attempt. It ends after 15 s, or when ctx does.
func (p *Poster) Post(ctx context.Context, to Endpoint, m Message) Attempt {
	a := Attempt{At: p.o.Now()}
	started := time.Now()
	ctx, cancel := context.WithTimeout(ctx, p.o.Total)
	defer cancel()
	p.post(ctx, to, m, &a)
	a.Duration = time.Since(started)
	return a
}

func (p *Poster) post(ctx context.Context, to Endpoint, m Message, a *Attempt) {
	request, err := newRequest(ctx, to, m, a.At)
	if err != nil {
		a.Error = err.Error()
		return
	}
	client := p.secure
	if request.URL.Scheme == "http" {
		client = p.plain
	}
	answer, err := client.Do(request)
	if err != nil {
		a.Error = explain(err)
		return
	}
	defer answer.Body.Close()
	a.Status = answer.StatusCode
	a.Body = readSome(answer.Body)
	switch {
	case a.Status >= 300 && a.Status < 400:
		a.Error = fmt.Sprintf("answered %d: redirects are not followed", a.Status)
	case a.Status < 200 || a.Status > 299:
		a.Error = fmt.Sprintf("answered %d", a.Status)
		a.RetryAfter = retryAfter(answer.Header.Get("Retry-After"), p.o.Now())
	}
}
