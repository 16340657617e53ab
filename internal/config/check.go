package config

import (
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Validate checks each value and names the option of the first bad one. Kong
// calls it after parsing.
func (c *Config) Validate() error {
	checks := []struct {
		option string
		check  func() error
	}{
		{"--roles", func() error { return checkRoles(c.Roles) }},
		{"--addr", func() error { return checkHostPort(c.HTTPAddr) }},
		{"--public-url", func() error { return checkURL(c.PublicURL, "http", "https") }},
		{"--redis-url", func() error { return checkURL(c.RedisURL, "redis", "rediss", "unix") }},
		{"--secret-key", func() error { return checkSecretKey(c.SecretKey) }},
		{"--hostname", func() error { return checkName(c.Hostname) }},
		{"--return-path-domain", func() error { return checkName(c.ReturnPathDomain) }},
		{"--relay", func() error { return checkURL(c.Relay, "smtp", "smtps") }},
		{"--dns", func() error { return checkHostPort(c.DNS) }},
		{"--allowed-mx-networks", func() error { _, err := Prefixes(c.AllowedMXNetworks); return err }},
		{"--trusted-proxies", func() error { _, err := Prefixes(c.TrustedProxies); return err }},
		{"--spare-streams", c.checkSpareStreams},
		{"--webhook-allowed-networks", func() error { _, err := Prefixes(c.WebhookAllowedNetworks); return err }},
		{"--routes", func() error { return c.checkRoutes() }},
		{"--streams", func() error { _, err := c.StreamQueues(); return err }},
		{"--feedback-sender", func() error { return checkFeedbackSender(c.FeedbackSender) }},
		{"--mx-port", func() error { return checkPort(c.MXPort) }},
		{"--allow-unsafe", func() error { return checkWords(c.AllowUnsafe) }},
		{"--idempotency-window", func() error {
			if c.IdempotencyWindow < time.Hour || c.IdempotencyWindow > 30*24*time.Hour {
				return fmt.Errorf("must be 1h to 720h")
			}
			return nil
		}},
		{"--retry-schedule", func() error { return checkDelays(c.RetrySchedule) }},
		{"--rate-limit", func() error {
			if c.RateLimit < 0 || c.RateLimit > 1_000_000 {
				return fmt.Errorf("must be 0 to 1000000")
			}
			return nil
		}},
		{"--concurrency", func() error {
			if c.Concurrency < 1 || c.Concurrency > 10000 {
				return fmt.Errorf("must be 1 to 10000")
			}
			return nil
		}},
	}
	for _, o := range checks {
		if err := o.check(); err != nil {
			return fmt.Errorf("%s (%s): %w", o.option, envOf(o.option), err)
		}
	}
	return nil
}

// envOf gives the environment variable of a flag.
func envOf(flag string) string {
	name := strings.TrimPrefix(flag, "--")
	if name == "addr" {
		name = "http-addr"
	}
	return EnvPrefix + strings.ToUpper(strings.ReplaceAll(name, "-", "_"))
}

// checkFeedbackSender: what Gmail asks of the last part of Feedback-ID.
func checkFeedbackSender(s string) error {
	if len(s) < 5 || len(s) > 15 || strings.Trim(strings.ToLower(s), "abcdefghijklmnopqrstuvwxyz0123456789") != "" {
		return errors.New("must be 5 to 15 letters and digits")
	}
	return nil
}

// checkURL never repeats the value: it may hold a password.
func checkURL(raw string, schemes ...string) error {
	if raw == "" {
		return nil
	}
	u, err := url.Parse(raw)
	if err != nil {
		return errors.New("is no URL (percent-encode what is special in a password)")
	}
	if !slices.Contains(schemes, u.Scheme) {
		return fmt.Errorf("must begin with %s://", strings.Join(schemes, ":// or "))
	}
	if u.Host == "" && u.Scheme != "unix" {
		return fmt.Errorf("names no host: %s://HOST", u.Scheme)
	}
	return nil
}

func (c *Config) checkRoutes() error {
	urls, err := c.RouteURLs()
	if err != nil {
		return err
	}
	for domain, relay := range urls {
		if err := checkURL(relay, "smtp", "smtps"); err != nil {
			return fmt.Errorf("the relay of %s %w", domain, err)
		}
	}
	return nil
}

func checkSecretKey(value string) error {
	if value == "" {
		return nil
	}
	if raw, err := base64.StdEncoding.DecodeString(value); err != nil || len(raw) != 32 {
		return errors.New("must be base64 of 32 bytes, as `openssl rand -base64 32` prints")
	}
	return nil
}

func checkRoles(roles []string) error {
	for i, r := range roles {
		switch {
		case r != RoleAPI && r != RoleWorker && r != RoleDashboard:
			return fmt.Errorf("%q is no role: the roles are %s, %s and %s", r, RoleAPI, RoleWorker, RoleDashboard)
		case slices.Contains(roles[:i], r):
			return fmt.Errorf("%s stands there twice", r)
		}
	}
	if len(roles) == 0 {
		return fmt.Errorf("needs at least one of %s, %s and %s", RoleAPI, RoleWorker, RoleDashboard)
	}
	return nil
}

func checkWords(words []string) error {
	for _, w := range words {
		if w == "" || strings.Trim(w, "abcdefghijklmnopqrstuvwxyz-") != "" {
			return fmt.Errorf("%q is no word of a refusal, such as no-return-path", w)
		}
	}
	return nil
}

// checkName takes a host or domain name (RFC 1123 2.1), whole or not.
func checkName(name string) error {
	if name == "" {
		return nil
	}
	for label := range strings.SplitSeq(strings.TrimSuffix(name, "."), ".") {
		plain := strings.Trim(strings.ToLower(label), "abcdefghijklmnopqrstuvwxyz0123456789-") == ""
		if !plain || label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
			return fmt.Errorf("%q is no name such as mail.acme.com (international names: in A-labels, xn--...)", name)
		}
	}
	return nil
}

// checkHostPort takes an empty value, too.
func checkHostPort(value string) error {
	if value == "" {
		return nil
	}
	_, port, err := net.SplitHostPort(value)
	if err != nil {
		return fmt.Errorf("must be HOST:PORT: %w", err)
	}
	if _, err := strconv.ParseUint(port, 10, 16); err != nil {
		return fmt.Errorf("%q is no port", port)
	}
	return nil
}

func checkPort(port uint16) error {
	if port == 0 {
		return errors.New("must be 1 to 65535")
	}
	return nil
}

func checkDelays(delays []time.Duration) error {
	if len(delays) == 0 {
		return fmt.Errorf("needs at least one delay")
	}
	for _, d := range delays {
		if d <= 0 {
			return fmt.Errorf("delays must be above zero")
		}
	}
	return nil
}

// checkSpareStreams refuses streams that there are not.
func (c *Config) checkSpareStreams() error {
	streams, err := c.StreamQueues()
	if err != nil {
		return nil // said of --streams
	}
	for _, name := range c.SpareStreams {
		if _, ok := streams[name]; !ok {
			return fmt.Errorf("%q is no stream; --streams names them", name)
		}
	}
	return nil
}
