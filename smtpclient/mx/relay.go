package mx

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"net/url"
	"strconv"
	"strings"

	"golang.org/x/net/idna"

	"postrider/smtpclient"
	"postrider/smtpclient/dns"
)

// The ports of a relay URL without one.
const (
	submissionPort = 587 // RFC 6409: smtp with a user
	smtpsPort      = 465 // RFC 8314: smtps
)

// Relay is a host that the operator named to take all mail, or that of some
// domains. It prints without its credentials.
type Relay struct {
	scheme string
	host   string // host name in A-labels, or an IP address
	port   uint16
	policy smtpclient.TLSPolicy
	reason string
	auth   *smtpclient.Auth
}

// ParseRelay reads a relay's URL:
//
//	smtp://host            STARTTLS if offered; port 25
//	smtp://user:pass@host  STARTTLS with a valid certificate, then AUTH; port 587
//	smtps://user:pass@host TLS from the start with a valid certificate; port 465
//
// Special characters in user and password are percent-encoded. The host is a full
// name, an IP address (IPv6 in brackets), or localhost; /etc/hosts and search
// lists are not read. At a loopback address (for tests and local relays)
// credentials need no TLS. Errors never repeat the URL: it may hold a password.
func ParseRelay(rawURL string) (*Relay, error) {
	r, err := parseRelay(rawURL)
	if err != nil {
		return nil, fmt.Errorf("relay URL: %w", err)
	}
	return r, nil
}

func parseRelay(rawURL string) (*Relay, error) {
	u, err := url.Parse(rawURL)
	if err != nil {
		// The cause would show parts of the URL.
		return nil, errors.New("not of the form smtp://user:password@host:port (percent-encode special characters in user and password)")
	}
	r := &Relay{scheme: u.Scheme}
	if u.Scheme != "smtp" && u.Scheme != "smtps" {
		return nil, errors.New("must start with smtp:// or smtps://")
	}
	if u.Opaque != "" || u.Path != "" && u.Path != "/" || u.RawQuery != "" || u.ForceQuery || u.Fragment != "" {
		return nil, errors.New("nothing may follow host and port (percent-encode / ? # in user and password)")
	}
	if r.host, err = relayHost(u.Hostname()); err != nil {
		return nil, err
	}
	if r.auth, err = relayAuth(u.User); err != nil {
		return nil, err
	}
	r.decide()
	if port := u.Port(); port != "" {
		n, err := strconv.ParseUint(port, 10, 16)
		if err != nil || n == 0 {
			return nil, errors.New("the port must be 1 to 65535")
		}
		r.port = uint16(n)
	}
	return r, nil
}

func relayHost(host string) (string, error) {
	if addr, err := netip.ParseAddr(host); err == nil {
		return addr.String(), nil
	}
	name := plain(host)
	if strings.ContainsFunc(name, func(r rune) bool { return r > '~' }) {
		ascii, err := idna.Lookup.ToASCII(name)
		if err != nil {
			return "", errors.New("names no valid host")
		}
		name = ascii
	}
	// Names of containers have underscores too.
	const allowed = "abcdefghijklmnopqrstuvwxyz0123456789-_."
	if name == "" || len(name) > 253 || strings.Trim(name, allowed) != "" || strings.Contains(name, "..") || name[0] == '.' {
		return "", errors.New("names no valid host")
	}
	return name, nil
}

func relayAuth(user *url.Userinfo) (*smtpclient.Auth, error) {
	if user == nil {
		return nil, nil
	}
	password, _ := user.Password()
	if user.Username() == "" || password == "" {
		return nil, errors.New("credentials need a user and a password")
	}
	// RFC 4616 2: NUL separates the parts of AUTH PLAIN.
	if strings.ContainsAny(user.Username()+password, "\x00\r\n") {
		return nil, errors.New("user and password must not have line ends or NUL")
	}
	return &smtpclient.Auth{Username: user.Username(), Password: password}, nil
}

// decide sets port and TLS by scheme and credentials.
func (r *Relay) decide() {
	switch {
	case r.scheme == "smtps":
		r.port, r.policy, r.reason = smtpsPort, smtpclient.TLSImplicit, "relay by smtps"
	case r.auth == nil:
		r.port, r.policy, r.reason = smtpPort, smtpclient.TLSOpportunistic, "relay without credentials: opportunistic"
	case r.loopback():
		r.port, r.policy, r.reason = submissionPort, smtpclient.TLSOpportunistic, "relay on loopback: opportunistic"
	default:
		r.port, r.policy, r.reason = submissionPort, smtpclient.TLSVerified, "relay with credentials requires verified TLS"
	}
}

func (r *Relay) loopback() bool {
	addr, err := netip.ParseAddr(r.host)
	return r.host == "localhost" || err == nil && addr.Unmap().IsLoopback()
}

// Provider is the name under which a relay's plans go.
func (r *Relay) Provider() string { return r.host }

// Plan resolves the relay's host. Errors are *Error and always temporary: a relay
// that is not found is the operator's fault, and no reason to return mail.
func (r *Relay) Plan(ctx context.Context, res dns.Resolver) (smtpclient.Plan, error) {
	addrs, err := r.addrs(ctx, res)
	if len(addrs) == 0 {
		fault := noAddress(r.host, err)
		if errors.Is(err, dns.ErrNXDomain) {
			fault = lookupError(r.host, err)
		}
		fault.Temporary, fault.Enhanced = true, "4.4.3"
		return smtpclient.Plan{}, fault
	}
	host := smtpclient.Host{
		Name: r.host, Addrs: withPort(addrs[:min(len(addrs), maxAddrs)], r.port),
		TLS: r.policy, Reason: r.reason, Auth: r.auth, Trusted: true,
	}
	return smtpclient.Plan{Domain: r.host, Provider: r.Provider(), Hosts: []smtpclient.Host{host}, Incomplete: err}, nil
}

func (r *Relay) addrs(ctx context.Context, res dns.Resolver) ([]netip.Addr, error) {
	if addr, err := netip.ParseAddr(r.host); err == nil {
		return []netip.Addr{addr}, nil
	}
	// RFC 6761 6.3: localhost is known without DNS.
	if r.host == "localhost" {
		return []netip.Addr{netip.AddrFrom4([4]byte{127, 0, 0, 1}), netip.IPv6Loopback()}, nil
	}
	return res.Addrs(ctx, r.host)
}

// String is the relay's URL with *** for the credentials: with some relays the
// user is a secret too.
func (r *Relay) String() string {
	u := url.URL{Scheme: r.scheme, Host: joinHostPort(r.host, r.port)}
	if r.auth == nil {
		return u.String()
	}
	return r.scheme + "://***@" + u.Host
}

// GoString is String.
func (r *Relay) GoString() string { return r.String() }

// LogValue is String.
func (r *Relay) LogValue() slog.Value { return slog.StringValue(r.String()) }

func joinHostPort(host string, port uint16) string {
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	return host + ":" + strconv.Itoa(int(port))
}

// Fixed is the plan for one known address, without TLS and without the address
// guard: for the sandbox and for tests.
func Fixed(name string, addr netip.AddrPort) smtpclient.Plan {
	return smtpclient.Plan{Domain: name, Provider: name, Hosts: []smtpclient.Host{{
		Name: name, Addrs: []netip.AddrPort{addr}, TLS: smtpclient.TLSNone, Reason: "fixed address", Trusted: true,
	}}}
}
