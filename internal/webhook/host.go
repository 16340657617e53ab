package webhook

import (
	"errors"
	"net/netip"
	"net/url"
	"strings"

	"golang.org/x/net/idna"
)

// redacted stands in the place of what is not shown.
const redacted = "redacted"

// checkForm refuses what url.Parse takes and no endpoint has. Errors do not repeat it.
func (p *Poster) checkForm(raw string, u *url.URL) error {
	for i := range len(raw) {
		if raw[i] <= ' ' || raw[i] == 0x7f || raw[i] == '\\' {
			return errors.New("must not hold spaces, control characters or backslashes")
		}
	}
	switch {
	case strings.Contains(raw, "#"): // an empty one too
		return errors.New("must not have a fragment")
	case strings.HasSuffix(u.Host, ":"):
		return errors.New("has a colon but no port")
	}
	if err := checkUser(u.User); err != nil {
		return err
	}
	return p.checkHost(u.Hostname())
}

// checkHost refuses what is neither an address nor a name, addresses in disguise among it.
func (p *Poster) checkHost(host string) error {
	if addr, err := netip.ParseAddr(host); err == nil {
		if addr.Zone() != "" {
			return errors.New("must name a host without a zone")
		}
		return nil
	}
	name, ok := asciiName(strings.TrimSuffix(strings.ToLower(host), "."))
	switch {
	case !ok:
		return errors.New("must name a host")
	case looksNumeric(name):
		return errors.New("must name a host: an address is four decimal numbers, or in brackets")
	// RFC 6761 6.3: these are loopback, whatever DNS says.
	case name == "localhost" || strings.HasSuffix(name, ".localhost"):
		return p.checkLoopback()
	}
	return nil
}

// asciiName is a name as DNS is asked for it: A-labels, full-width digits and dots
// become plain ones. Underscores pass: names in private networks have them.
func asciiName(host string) (name string, ok bool) {
	if name = host; strings.ContainsFunc(host, func(r rune) bool { return r > '~' }) {
		var err error
		if name, err = idna.Lookup.ToASCII(host); err != nil {
			return "", false
		}
	}
	// RFC 1035 2.3.4.
	for label := range strings.SplitSeq(name, ".") {
		if label == "" || len(label) > 63 || strings.Trim(label, "abcdefghijklmnopqrstuvwxyz0123456789-_") != "" {
			return "", false
		}
	}
	return name, len(name) <= 253
}

func (p *Poster) checkLoopback() error {
	if p.guard.Check(netip.AddrFrom4([4]byte{127, 0, 0, 1})) != nil && p.guard.Check(netip.IPv6Loopback()) != nil {
		return errors.New("is a " + errAddress.Error())
	}
	return nil
}

// looksNumeric finds what some resolvers read as inet_aton does: 2130706433,
// 0x7f000001, 0177.0.0.1, 127.1. No domain name ends in such a label (RFC 3696 2).
func looksNumeric(host string) bool {
	last := host[strings.LastIndexByte(host, '.')+1:]
	if hex, ok := strings.CutPrefix(last, "0x"); ok && strings.Trim(hex, "0123456789abcdef") == "" {
		return true
	}
	return strings.Trim(last, "0123456789") == ""
}

// checkUser refuses what Basic authentication cannot carry.
func checkUser(user *url.Userinfo) error {
	if user == nil {
		return nil
	}
	password, given := user.Password()
	switch {
	case user.Username() == redacted && !given:
		return errors.New("holds what is shown in the place of a user and password: give them again")
	case user.Username() == "" && password == "":
		return errors.New("has an @ but neither user nor password")
	case strings.Contains(user.Username(), ":"): // RFC 7617 2
		return errors.New("has a user with a colon, which Basic authentication cannot carry")
	case strings.ContainsFunc(user.Username()+password, func(r rune) bool { return r < ' ' || r == 0x7f }):
		return errors.New("has control characters in its user or password")
	}
	return nil
}
