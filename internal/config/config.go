// Package config holds every option of Postrider in one struct, which each
// command embeds: a flag, an environment variable and a line in a file each.
//
// Flags win over the environment, the environment over the file (--config).
// A name that does not exist is an error wherever it stands. The package reads
// and checks values; it opens nothing and knows no other room.
//
//	POSTRIDER_HTTP_ADDR=:8025      environment
//	--addr :8025                   flag
//	http_addr: ":8025"             file
package config

import (
	"encoding/base64"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"strings"
	"time"
)

// EnvPrefix is what the names of all environment variables begin with.
const EnvPrefix = "POSTRIDER_"

// Config is the options of DESIGN.md 6 that exist today. The zero value is not
// usable: kong fills the defaults that stand in the tags.
type Config struct {
	File string `name:"config" env:"POSTRIDER_CONFIG" placeholder:"FILE" help:"YAML file with options, one name: value a line."`

	HTTPAddr  string `name:"addr" env:"POSTRIDER_HTTP_ADDR" default:"${http_addr}" placeholder:"HOST:PORT" help:"Address to listen on (port 0: any free one). Default ${http_addr}."`
	PublicURL string `name:"public-url" env:"POSTRIDER_PUBLIC_URL" placeholder:"URL" help:"Address of this service in links. Default: made from --addr."`

	RedisURL  string `name:"redis-url" env:"POSTRIDER_REDIS_URL" placeholder:"URL" help:"redis://, rediss:// or unix:// URL of the Redis that keeps all state."`
	DataDir   string `name:"data-dir" env:"POSTRIDER_DATA_DIR" placeholder:"DIR" help:"Folder for files of its own, such as the secret key. Default: postrider in the user's data folder."`
	SecretKey string `name:"secret-key" env:"POSTRIDER_SECRET_KEY" placeholder:"BASE64" help:"Base64 of 32 bytes that encrypts keys at rest. Default: made once in the data folder."`

	Hostname         string `name:"hostname" env:"POSTRIDER_HOSTNAME" placeholder:"NAME" help:"Name given in EHLO; it should resolve to this machine and back. Default: the machine's name."`
	ReturnPathDomain string `name:"return-path-domain" env:"POSTRIDER_RETURN_PATH_DOMAIN" placeholder:"DOMAIN" help:"Domain of reverse-paths, where bounces return."`

	Relay  string   `name:"relay" env:"POSTRIDER_RELAY" placeholder:"URL" help:"Relay for all mail: smtp://user:pass@host:587 or smtps://host:465."`
	Routes []string `name:"routes" env:"POSTRIDER_ROUTES" placeholder:"DOMAIN=URL,..." help:"Relays for single domains."`
	DNS    string   `name:"dns" env:"POSTRIDER_DNS" placeholder:"HOST:PORT" help:"DNS resolver to ask. Default: the system's."`
	MXPort uint16   `name:"mx-port" env:"POSTRIDER_MX_PORT" default:"25" placeholder:"PORT" help:"Port of MX hosts. Default 25."`

	AllowedMXNetworks      []string `name:"allowed-mx-networks" env:"POSTRIDER_ALLOWED_MX_NETWORKS" placeholder:"CIDR,..." help:"Loopback and private networks in which MX hosts may be; all others of that kind are refused."`
	WebhookAllowedNetworks []string `name:"webhook-allowed-networks" env:"POSTRIDER_WEBHOOK_ALLOWED_NETWORKS" placeholder:"CIDR,..." help:"Loopback and private networks that webhooks may reach, also without TLS; all others of that kind are refused."`

	RetrySchedule []time.Duration `name:"retry-schedule" env:"POSTRIDER_RETRY_SCHEDULE" default:"1m,5m,15m,30m,1h,2h,4h" placeholder:"1m,5m,..." help:"Delays between attempts; the last repeats. Default 1m,5m,15m,30m,1h,2h,4h."`
	Concurrency   int             `name:"concurrency" env:"POSTRIDER_CONCURRENCY" default:"256" placeholder:"N" help:"Deliveries at once in this process. Default 256."`
	Envelope      string          `name:"envelope" env:"POSTRIDER_ENVELOPE" default:"domain" enum:"domain,recipient" help:"One SMTP transaction per destination domain, or per recipient. Default domain."`

	RequireVerifiedDomains bool `name:"require-verified-domains" env:"POSTRIDER_REQUIRE_VERIFIED_DOMAINS" default:"true" negatable:"" help:"Refuse live mail from domains without a verified DKIM record. Default true."`
	AllowReservedDomains   bool `name:"allow-reserved-domains" env:"POSTRIDER_ALLOW_RESERVED_DOMAINS" default:"false" negatable:"" help:"Accept live mail to example.com, *.test and their like. Default false."`

	LogFormat string `name:"log-format" env:"POSTRIDER_LOG_FORMAT" default:"text" enum:"text,json" help:"Form of the log on standard error: text or json. Default text."`
}

// Validate checks each value and names the option of the first bad one. Kong
// calls it after parsing.
func (c *Config) Validate() error {
	checks := []struct {
		option string
		check  func() error
	}{
		{"--addr", func() error { _, _, err := net.SplitHostPort(c.HTTPAddr); return err }},
		{"--public-url", func() error { return checkURL(c.PublicURL, "http", "https") }},
		{"--redis-url", func() error { return checkURL(c.RedisURL, "redis", "rediss", "unix") }},
		{"--secret-key", func() error { return checkSecretKey(c.SecretKey) }},
		{"--dns", func() error { return checkHostPort(c.DNS) }},
		{"--allowed-mx-networks", func() error { _, err := Prefixes(c.AllowedMXNetworks); return err }},
		{"--webhook-allowed-networks", func() error { _, err := Prefixes(c.WebhookAllowedNetworks); return err }},
		{"--routes", func() error { _, err := c.RouteURLs(); return err }},
		{"--retry-schedule", func() error { return checkDelays(c.RetrySchedule) }},
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

// RouteURLs splits the routes into domain -> relay URL.
func (c *Config) RouteURLs() (map[string]string, error) {
	routes := make(map[string]string)
	for _, r := range c.Routes {
		domain, relay, ok := strings.Cut(strings.TrimSpace(r), "=")
		if !ok || domain == "" || relay == "" {
			return nil, fmt.Errorf("each route is domain=url")
		}
		routes[strings.ToLower(domain)] = relay
	}
	return routes, nil
}

// Prefixes parses CIDRs; a single address stands for itself.
func Prefixes(cidrs []string) ([]netip.Prefix, error) {
	var list []netip.Prefix
	for _, s := range cidrs {
		s = strings.TrimSpace(s)
		if a, err := netip.ParseAddr(s); err == nil {
			list = append(list, netip.PrefixFrom(a, a.BitLen()))
			continue
		}
		p, err := netip.ParsePrefix(s)
		if err != nil {
			return nil, fmt.Errorf("%q is no network such as 10.0.0.0/8", s)
		}
		list = append(list, p.Masked())
	}
	return list, nil
}

// checkURL never repeats the value: it may hold a password.
func checkURL(raw string, schemes ...string) error {
	if raw == "" {
		return nil
	}
	u, err := url.Parse(raw)
	if err != nil {
		return fmt.Errorf("is no URL")
	}
	for _, s := range schemes {
		if u.Scheme == s {
			return nil
		}
	}
	return fmt.Errorf("must begin with %s://", strings.Join(schemes, ":// or "))
}

func checkSecretKey(value string) error {
	if value == "" {
		return nil
	}
	if raw, err := base64.StdEncoding.DecodeString(value); err != nil || len(raw) != 32 {
		return fmt.Errorf("must be base64 of 32 bytes, as `openssl rand -base64 32` prints")
	}
	return nil
}

func checkHostPort(value string) error {
	if value == "" {
		return nil
	}
	_, _, err := net.SplitHostPort(value)
	return err
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
