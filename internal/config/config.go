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
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// EnvPrefix is what the names of all environment variables begin with.
const EnvPrefix = "POSTRIDER_"

// The roles of a process, and what they say it does: take requests, deliver, show
// people what goes on.
const (
	RoleAPI       = "api"
	RoleWorker    = "worker"
	RoleDashboard = "dashboard"
)

// Config is the options of DESIGN.md 6 that exist today. The zero value is not
// usable: kong fills the defaults that stand in the tags.
type Config struct {
	File string `name:"config" env:"POSTRIDER_CONFIG" placeholder:"FILE" help:"YAML file with options, one name: value a line."`

	Roles []string `name:"roles" env:"POSTRIDER_ROLES" default:"api,worker,dashboard" placeholder:"ROLE,..." help:"What serve does in this process: api, worker, dashboard. Default all three."`

	HTTPAddr  string `name:"addr" env:"POSTRIDER_HTTP_ADDR" default:"${http_addr}" placeholder:"HOST:PORT" help:"Address to listen on (port 0: any free one). Default ${http_addr}."`
	PublicURL string `name:"public-url" env:"POSTRIDER_PUBLIC_URL" secret:"url" placeholder:"URL" help:"Address of this service in links. Default: made from --addr."`

	RedisURL  string `name:"redis-url" env:"POSTRIDER_REDIS_URL" secret:"url" placeholder:"URL" help:"redis://, rediss:// or unix:// URL of the Redis that keeps all state."`
	DataDir   string `name:"data-dir" env:"POSTRIDER_DATA_DIR" placeholder:"DIR" help:"Folder for files of its own, such as the secret key. Default: postrider in the user's data folder."`
	SecretKey string `name:"secret-key" env:"POSTRIDER_SECRET_KEY" secret:"all" placeholder:"BASE64" help:"Base64 of 32 bytes that encrypts keys at rest. Default: made once in the data folder."`

	Hostname         string `name:"hostname" env:"POSTRIDER_HOSTNAME" placeholder:"NAME" help:"Name given in EHLO; it should resolve to this machine and back. Default: the machine's name."`
	ReturnPathDomain string `name:"return-path-domain" env:"POSTRIDER_RETURN_PATH_DOMAIN" placeholder:"DOMAIN" help:"Domain of reverse-paths, where bounces return."`

	Relay  string   `name:"relay" env:"POSTRIDER_RELAY" secret:"url" placeholder:"URL" help:"Relay for all mail: smtp://user:pass@host:587 or smtps://host:465."`
	Routes []string `name:"routes" env:"POSTRIDER_ROUTES" secret:"url" placeholder:"DOMAIN=URL,..." help:"Relays for single domains."`
	DNS    string   `name:"dns" env:"POSTRIDER_DNS" placeholder:"HOST:PORT" help:"DNS resolver to ask. Default: the system's."`
	MXPort uint16   `name:"mx-port" env:"POSTRIDER_MX_PORT" default:"25" placeholder:"PORT" help:"Port of MX hosts. Default 25."`

	AllowedMXNetworks      []string `name:"allowed-mx-networks" env:"POSTRIDER_ALLOWED_MX_NETWORKS" placeholder:"CIDR,..." help:"Loopback and private networks in which MX hosts may be; all others of that kind are refused."`
	WebhookAllowedNetworks []string `name:"webhook-allowed-networks" env:"POSTRIDER_WEBHOOK_ALLOWED_NETWORKS" placeholder:"CIDR,..." help:"Loopback and private networks that webhooks may reach, also without TLS; all others of that kind are refused."`

	TrustedProxies []string `name:"trusted-proxies" env:"POSTRIDER_TRUSTED_PROXIES" placeholder:"CIDR,..." help:"Networks of reverse proxies whose X-Forwarded-For is believed: where requests come from decides about keys bound to networks. Default: none."`

	RetrySchedule []time.Duration `name:"retry-schedule" env:"POSTRIDER_RETRY_SCHEDULE" default:"1m,5m,15m,30m,1h,2h,4h" placeholder:"1m,5m,..." help:"Delays between attempts; the last repeats. Default 1m,5m,15m,30m,1h,2h,4h."`
	Concurrency   int             `name:"concurrency" env:"POSTRIDER_CONCURRENCY" default:"256" placeholder:"N" help:"Deliveries at once in this process; the queues critical and bulk have a quarter as many each on top. Default 256."`
	Envelope      string          `name:"envelope" env:"POSTRIDER_ENVELOPE" default:"domain" enum:"domain,recipient" help:"One SMTP transaction per destination domain, or per recipient. Default domain."`

	Streams []string `name:"streams" env:"POSTRIDER_STREAMS" default:"transactional=default,critical=critical,bulk=bulk" placeholder:"STREAM=QUEUE,..." help:"Streams that messages may name, each with its queue: critical, default or bulk. Default transactional=default,critical=critical,bulk=bulk."`

	FeedbackSender string `name:"feedback-sender" env:"POSTRIDER_FEEDBACK_SENDER" default:"postrider" placeholder:"WORD" help:"Last part of the Feedback-ID of all mail, by which Gmail counts its complaints: 5 to 15 letters and digits, always the same. Default postrider."`

	SpareStreams []string `name:"spare-streams" env:"POSTRIDER_SPARE_STREAMS" placeholder:"STREAM,..." help:"Streams whose hard bounces put nobody on the list of suppressions. Default: none."`

	RequireVerifiedDomains bool `name:"require-verified-domains" env:"POSTRIDER_REQUIRE_VERIFIED_DOMAINS" default:"true" negatable:"" help:"Refuse live mail from domains without a verified DKIM record. Default true."`
	AllowReservedDomains   bool `name:"allow-reserved-domains" env:"POSTRIDER_ALLOW_RESERVED_DOMAINS" default:"false" negatable:"" help:"Accept live mail to example.com, *.test and their like. Default false."`

	RateLimit int `name:"rate-limit" env:"POSTRIDER_RATE_LIMIT" default:"200" placeholder:"N" help:"Requests a second of one API key over all processes, twice as many at once; 0: any number. Default 200."`

	IdempotencyWindow time.Duration `name:"idempotency-window" env:"POSTRIDER_IDEMPOTENCY_WINDOW" default:"24h" placeholder:"DURATION" help:"How long an Idempotency-Key counts: 1h to 720h. Default 24h."`

	AllowUnsafe []string `name:"allow-unsafe" env:"POSTRIDER_ALLOW_UNSAFE" placeholder:"WORD,..." help:"Refusals at start to override, by the words that serve prints with them."`

	LogFormat string `name:"log-format" env:"POSTRIDER_LOG_FORMAT" default:"${log_format}" enum:"text,json" help:"Form of the log on standard error: text or json. Default ${log_format}."`
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

// Transactional is the stream of messages that name none. It is always there.
const Transactional = "transactional"

// StreamQueues splits the streams into stream -> queue.
func (c *Config) StreamQueues() (map[string]string, error) {
	streams := map[string]string{Transactional: "default"}
	seen := make(map[string]bool)
	for _, s := range c.Streams {
		name, class, ok := strings.Cut(strings.TrimSpace(s), "=")
		switch {
		case !ok:
			return nil, fmt.Errorf("each stream is name=queue, such as newsletter=bulk")
		case name == "" || len(name) > maxStream || strings.Trim(name, streamCharacters) != "":
			return nil, fmt.Errorf("%q is no name of a stream: 1 to %d of a-z, 0-9, _ and -", name, maxStream)
		case !slices.Contains([]string{"critical", "default", "bulk"}, class):
			return nil, fmt.Errorf("%q is no queue: there are critical, default and bulk", class)
		case seen[name]:
			return nil, fmt.Errorf("the stream %s stands there twice", name)
		}
		seen[name], streams[name] = true, class
	}
	return streams, nil
}

const (
	maxStream        = 64
	streamCharacters = "abcdefghijklmnopqrstuvwxyz0123456789_-"
)

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

// Has reports whether a role is this process's; without any it has all.
func (c *Config) Has(role string) bool {
	return len(c.Roles) == 0 || slices.Contains(c.Roles, role)
}

// Allows reports whether the refusal at start with this word is overridden.
func (c *Config) Allows(word string) bool { return slices.Contains(c.AllowUnsafe, word) }
