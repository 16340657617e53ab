package webhook

import (
	"bytes"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"golang.org/x/net/http/httpguts"

	"postrider/internal/email"
	"postrider/smtpclient/guard"
)

var (
	errPort  = errors.New("outside the allowed networks only ports 443 and 8443 may be used")
	errPlain = errors.New("http without TLS is only for the allowed networks")
	errURL   = errors.New("the endpoint's URL cannot be used")
)

func newRequest(ctx context.Context, to Endpoint, m Message, at time.Time) (*http.Request, error) {
	u, err := parse(to.URL)
	if err != nil {
		return nil, errURL
	}
	signature, err := Sign(to.Secrets, m.ID, at, m.Body)
	if err != nil {
		return nil, err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, u.String(), bytes.NewReader(m.Body))
	if err != nil {
		return nil, errURL
	}
	for _, h := range to.Headers {
		if CheckHeader(h) == nil {
			request.Header.Set(h.Name, h.Value)
		}
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("User-Agent", userAgent)
	request.Header.Set("Webhook-Id", m.ID)
	request.Header.Set("Webhook-Timestamp", strconv.FormatInt(at.Unix(), 10))
	request.Header.Set("Webhook-Signature", signature)
	return request, nil
}

// CheckURL refuses a URL that could never be posted to, and says why in words that
// do not repeat it. That it passes does not mean that its address will: that is seen
// at each attempt.
func (p *Poster) CheckURL(raw string) error {
	u, err := parse(raw)
	if err == nil {
		err = p.checkForm(raw, u)
	}
	if err != nil {
		return err
	}
	addr, err := netip.ParseAddr(u.Hostname())
	literal := err == nil
	if literal && p.guard.Check(addr) != nil {
		return fmt.Errorf("is a %w", errAddress)
	}
	if len(p.o.AllowedNetworks) > 0 && (!literal || p.guard.Allowed(addr)) {
		return nil // where a name leads is seen when it is dialled
	}
	port, _ := strconv.ParseUint(u.Port(), 10, 16)
	switch {
	case u.Scheme == "http":
		return errors.New("must begin with https://: http is only for networks in POSTRIDER_WEBHOOK_ALLOWED_NETWORKS")
	case u.Port() != "" && !slices.Contains(publicPorts(), uint16(port)):
		return errors.New("must use port 443 or 8443: others are only for networks in POSTRIDER_WEBHOOK_ALLOWED_NETWORKS")
	}
	return nil
}

var errAddress = errors.New("loopback, private or special address: only networks in POSTRIDER_WEBHOOK_ALLOWED_NETWORKS may be used")

// maxURL is longer than any URL that servers take.
const maxURL = 2048

func parse(raw string) (*url.URL, error) {
	u, err := url.Parse(raw)
	switch {
	case err != nil || len(raw) > maxURL:
		return nil, errors.New("must be a URL of at most 2048 characters")
	case u.Scheme != "https" && u.Scheme != "http":
		return nil, errors.New("must begin with https://")
	case u.Hostname() == "" || u.Opaque != "":
		return nil, errors.New("must name a host")
	case u.Fragment != "":
		return nil, errors.New("must not have a fragment")
	}
	if port, err := strconv.Atoi(u.Port()); u.Port() != "" && (err != nil || port < 1 || port > 65535) {
		return nil, errors.New("must have a port from 1 to 65535")
	}
	return u, nil
}

// Redact is a URL fit to be shown: its user and password are left out.
func Redact(raw string) string {
	u, err := url.Parse(raw)
	if err != nil {
		return ""
	}
	if u.User != nil {
		u.User = url.User(redacted)
	}
	return u.String()
}

// CheckHeader refuses a static header that is malformed or ours to set.
func CheckHeader(h email.Header) error {
	name := strings.ToLower(h.Name)
	switch {
	case !httpguts.ValidHeaderFieldName(h.Name) || !httpguts.ValidHeaderFieldValue(h.Value):
		return errors.New("is not a valid header field")
	case strings.HasPrefix(name, "webhook-"), strings.HasPrefix(name, "proxy-"), slices.Contains(ownHeaders(), name):
		return errors.New("is set by Postrider and cannot be given")
	}
	return nil
}

func ownHeaders() []string {
	return []string{
		"host", "content-type", "content-length", "content-encoding", "transfer-encoding", "connection", "keep-alive",
		"upgrade", "te", "trailer", "expect", "user-agent", "accept-encoding",
	}
}

// readSome reads at most 4 KiB of an answer and keeps 1 KiB.
func readSome(r io.Reader) string {
	b, _ := io.ReadAll(io.LimitReader(r, maxRead)) // what was read before an error is as good
	return printable(string(b), maxKept)
}

// retryAfter reads the field (RFC 9110 10.2.3): seconds or a date.
func retryAfter(value string, now time.Time) time.Duration {
	wait := time.Duration(0)
	if seconds, err := strconv.ParseInt(value, 10, 32); err == nil {
		wait = time.Duration(seconds) * time.Second
	} else if at, err := http.ParseTime(value); err == nil {
		wait = at.Sub(now)
	}
	return min(max(wait, 0), maxRetryAfter)
}

// explain says what went wrong in words that never hold the URL, whose path or user
// may be secret.
func explain(err error) string {
	var (
		wrapped  *url.Error
		hostname x509.HostnameError // its own text would list every name of the certificate
		lookup   *net.DNSError
	)
	if errors.As(err, &wrapped) {
		err = wrapped.Err
	}
	switch {
	case errors.Is(err, guard.ErrDenied):
		return "refused by us: its name leads to a loopback, private or special address"
	case errors.Is(err, errPort), errors.Is(err, errPlain):
		for _, own := range []error{errPort, errPlain} {
			if errors.Is(err, own) {
				return "refused by us: " + own.Error()
			}
		}
	case errors.Is(err, context.Canceled):
		return "given up: the service is stopping"
	case errors.As(err, &lookup):
		if lookup.IsNotFound {
			return "its name does not resolve"
		}
		return "its name could not be looked up"
	case errors.As(err, &hostname):
		return "its certificate is for another name"
	}
	var late net.Error
	if errors.As(err, &late) && late.Timeout() {
		return "no answer in time"
	}
	return printable(err.Error(), maxError)
}

// printable replaces what may not stand in a log or on a page and cuts at limit
// octets. Line breaks stay.
func printable(s string, limit int) string {
	if len(s) > limit {
		s = s[:limit]
		for !utf8.ValidString(s) && len(s) > limit-utf8.UTFMax {
			s = s[:len(s)-1] // do not cut a character in two
		}
	}
	return strings.Map(func(r rune) rune {
		if r == '\n' || (r != utf8.RuneError && unicode.IsPrint(r)) {
			return r
		}
		return '?'
	}, s)
}
