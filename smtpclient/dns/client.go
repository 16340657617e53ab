package dns

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"time"

	wire "github.com/miekg/dns"
	"golang.org/x/sync/singleflight"
)

// Limits of a Client.
const (
	defaultTimeout = 5 * time.Second
	maxServers     = 3   // as resolv.conf(5)
	maxLookups     = 256 // questions on their way at once
	rounds         = 2   // how often a server that is silent is asked
	budget         = 6   // times the timeout: the longest one question may take, CNAMEs included
)

const systemConfig = "/etc/resolv.conf"

// ClientOptions says whom to ask. Zero members take the defaults.
type ClientOptions struct {
	Server  string        // host:port, or host for port 53; empty: the system's (/etc/resolv.conf, read once)
	Timeout time.Duration // per query: 5 s
	// MinTTL is the shortest time an answer is kept: 5 s. Negative: as long as
	// the answer itself says, even if that is not at all.
	MinTTL time.Duration
	// FailureTTL is how long a first failure (SERVFAIL, silence) is remembered
	// instead of asking again: 30 s, and twice as long each time that it repeats, up
	// to 5 min. Negative: not at all.
	FailureTTL time.Duration
	Now        func() time.Time // the clock of the cache, for tests
}

// Client asks recursive resolvers over UDP, then TCP when truncated; it caches
// within TTL bounds (5 s to 1 h, negative answers and failures at most 5 min), and
// concurrent lookups of one question share one query. It is safe for concurrent use and a
// Resolver.
type Client struct {
	servers []string
	timeout time.Duration
	cache   cache
	flights singleflight.Group
	slots   chan struct{}
}

// NewClient makes a Client. It asks nobody yet.
func NewClient(o ClientOptions) (*Client, error) {
	c := &Client{timeout: o.Timeout, slots: make(chan struct{}, maxLookups)}
	if c.timeout <= 0 {
		c.timeout = defaultTimeout
	}
	c.cache = cache{floor: minKept, fault: firstFault, now: o.Now, entries: map[question]entry{}}
	if o.MinTTL != 0 {
		c.cache.floor = max(o.MinTTL, 0)
	}
	if o.FailureTTL != 0 {
		c.cache.fault = max(o.FailureTTL, 0)
	}
	if c.cache.now == nil {
		c.cache.now = time.Now
	}
	if o.Server == "" {
		servers, err := systemServers(systemConfig)
		if err != nil {
			return nil, err
		}
		c.servers = servers
		return c, nil
	}
	server, err := serverAddr(o.Server)
	if err != nil {
		return nil, err
	}
	c.servers = []string{server}
	return c, nil
}

func serverAddr(server string) (string, error) {
	if addr, err := netip.ParseAddr(server); err == nil {
		return netip.AddrPortFrom(addr, 53).String(), nil
	}
	host, port, err := net.SplitHostPort(server)
	if err != nil {
		host, port = server, "53"
	}
	if _, err := netip.ParseAddr(host); err != nil && !validName(host) {
		return "", fmt.Errorf("DNS server %.80q: want host:port", server)
	}
	if n, err := net.LookupPort("udp", port); err != nil || n == 0 {
		return "", fmt.Errorf("DNS server %.80q: bad port", server)
	}
	return net.JoinHostPort(host, port), nil
}

// systemServers reads resolv.conf. Without one, or without a server in it, the
// resolver is on this machine (resolv.conf(5)).
func systemServers(path string) ([]string, error) {
	config, err := wire.ClientConfigFromFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	if err != nil || len(config.Servers) == 0 {
		return []string{"127.0.0.1:53"}, nil
	}
	var servers []string
	for _, s := range config.Servers[:min(len(config.Servers), maxServers)] {
		servers = append(servers, net.JoinHostPort(s, "53"))
	}
	return servers, nil
}

// MX looks up the MX records of name.
func (c *Client) MX(ctx context.Context, name string) ([]MX, error) {
	return lookupMX(ctx, c.cached, name)
}

// Addrs looks up AAAA and A of host.
func (c *Client) Addrs(ctx context.Context, host string) ([]netip.Addr, error) {
	return lookupAddrs(ctx, c.cached, host)
}

// TXT looks up the TXT records of name.
func (c *Client) TXT(ctx context.Context, name string) ([]string, error) {
	return lookupTXT(ctx, c.cached, name)
}

// Fresh is the same resolver without what it remembers: every lookup asks, and
// renews the memory. For checking records that somebody is changing right now.
func (c *Client) Fresh() Resolver { return fresh{c} }

type fresh struct{ c *Client }

func (f fresh) MX(ctx context.Context, name string) ([]MX, error) {
	return lookupMX(ctx, f.c.shared, name)
}

func (f fresh) Addrs(ctx context.Context, host string) ([]netip.Addr, error) {
	return lookupAddrs(ctx, f.c.shared, host)
}

func (f fresh) TXT(ctx context.Context, name string) ([]string, error) {
	return lookupTXT(ctx, f.c.shared, name)
}

// cached answers from memory or asks.
func (c *Client) cached(ctx context.Context, q question) (answer, error) {
	if e, ok := c.cache.get(q); ok {
		if e.failure != nil {
			return answer{}, e.failure
		}
		return e.answer, e.answer.err(q)
	}
	return c.shared(ctx, q)
}

// shared joins the query for q that is on its way, or starts one. That one does
// not end with the caller who happened to start it.
func (c *Client) shared(ctx context.Context, q question) (answer, error) {
	if err := ctx.Err(); err != nil {
		return answer{}, fmt.Errorf("look up %s: %w: %w", q, ErrTemporary, err)
	}
	flight := c.flights.DoChan(q.String(), func() (any, error) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), budget*c.timeout)
		defer cancel()
		return c.query(ctx, q)
	})
	select {
	case r := <-flight:
		a, _ := r.Val.(answer)
		return a, r.Err
	case <-ctx.Done():
		return answer{}, fmt.Errorf("look up %s: %w: %w", q, ErrTemporary, ctx.Err())
	}
}

// query takes a slot, asks, and remembers what came of it: a domain whose servers
// are silent must not cost each of its mails the whole wait (RFC 2308 7).
func (c *Client) query(ctx context.Context, q question) (answer, error) {
	select {
	case c.slots <- struct{}{}:
		defer func() { <-c.slots }()
	case <-ctx.Done():
		return answer{}, fmt.Errorf("look up %s: %w: too many lookups", q, ErrTemporary)
	}
	a, err := resolve(ctx, c.ask, q)
	if err == nil || a.missing {
		c.cache.put(q, a)
	} else {
		c.cache.fail(q, err)
	}
	return a, err
}
