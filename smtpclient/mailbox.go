package smtpclient

import (
	"fmt"
	"net/netip"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/net/idna"
)

// Bounds of a path in octets, RFC 5321 4.5.3.1.1 to .3; the path without its angle brackets.
const (
	maxLocalPart = 64
	maxDomain    = 255
	maxPath      = 254
)

// mailbox is a path as it goes into MAIL and RCPT.
type mailbox struct {
	path string // what stands between the angle brackets
	utf8 bool   // the local part is not ASCII: for servers that offer SMTPUTF8 only
}

// parseMailbox accepts a Mailbox of RFC 5321 4.1.2 and RFC 6531 3.3 or, as RFC 5321
// 4.5.1 asks, postmaster without a domain. What it gives is the same address in its
// simplest form: quoted only where it must be, and with A-labels in the domain.
func parseMailbox(s string) (mailbox, error) {
	if err := checkCharacters(s); err != nil {
		return mailbox{}, err
	}
	if strings.EqualFold(s, "postmaster") {
		return mailbox{path: s}, nil
	}
	local, rest, ok := cutLocalPart(s)
	if !ok {
		return mailbox{}, fmt.Errorf("%w: local part", ErrPath)
	}
	domain, ok := asciiDomain(rest)
	if !ok || !validDomain(domain) {
		return mailbox{}, fmt.Errorf("%w: domain", ErrPath)
	}
	if len(local) > maxLocalPart || len(domain) > maxDomain || len(local)+1+len(domain) > maxPath {
		return mailbox{}, fmt.Errorf("%w: too long", ErrPath)
	}
	box := mailbox{path: s, utf8: !ascii(local)} // RFC 6531 3.2: the local part is never rewritten, so that it alone needs SMTPUTF8
	if s[0] == '"' || domain != rest {
		box.path = local + "@" + domain
	}
	return box, nil
}

// checkCharacters refuses what no address may hold, whatever it means elsewhere in it.
func checkCharacters(s string) error {
	if !utf8.ValidString(s) {
		return fmt.Errorf("%w: not UTF-8", ErrPath)
	}
	for _, r := range s {
		if unicode.IsControl(r) || r == '\u2028' || r == '\u2029' {
			return fmt.Errorf("%w: control character", ErrPath)
		}
	}
	return nil
}

// cutLocalPart takes a Dot-string or a Quoted-string off the start of an address.
// RFC 5321 4.1.2: a host sends it in the form with the least quoting.
func cutLocalPart(s string) (local, domain string, ok bool) {
	if !strings.HasPrefix(s, `"`) {
		local, domain, ok = strings.Cut(s, "@")
		return local, domain, ok && dotString(local)
	}
	var content strings.Builder
	for i := 1; i < len(s); i++ {
		switch {
		case s[i] == '"':
			domain, ok = strings.CutPrefix(s[i+1:], "@")
			local = content.String()
			if !dotString(local) {
				local = `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(local) + `"`
			}
			return local, domain, ok
		case s[i] == '\\':
			// RFC 5321 4.1.2: a backslash takes the next graphic or space with it.
			if i++; i == len(s) || s[i] >= utf8.RuneSelf {
				return "", "", false
			}
		}
		content.WriteByte(s[i])
	}
	return "", "", false
}

// dotString reports atoms with single dots between them.
func dotString(s string) bool {
	for atom := range strings.SplitSeq(s, ".") {
		if atom == "" || strings.ContainsAny(atom, " \"(),:;<>@[\\]") {
			return false
		}
	}
	return true
}

// asciiDomain turns U-labels into A-labels (RFC 5891), which every server understands.
func asciiDomain(s string) (string, bool) {
	if ascii(s) {
		return s, true
	}
	domain, err := idna.Lookup.ToASCII(s)
	return domain, err == nil
}

// validDomain accepts a domain in LDH letters and underscores, or an address literal.
func validDomain(s string) bool {
	if strings.HasPrefix(s, "[") {
		return validLiteral(s)
	}
	for label := range strings.SplitSeq(s, ".") {
		if label == "" || len(label) > 63 {
			return false
		}
		for i := range len(label) {
			c := label[i] | 0x20 // lower case
			if (c < 'a' || c > 'z') && !digit(label[i]) && label[i] != '-' && label[i] != '_' {
				return false
			}
		}
	}
	return true
}

// validLiteral accepts "[192.0.2.1]" and "[IPv6:2001:db8::1]" (RFC 5321 4.1.3). No
// other tag has been registered.
func validLiteral(s string) bool {
	inner, ok := strings.CutSuffix(s[1:], "]")
	if len(inner) > 5 && strings.EqualFold(inner[:5], "IPv6:") {
		addr, err := netip.ParseAddr(inner[5:])
		return ok && err == nil && addr.Is6() && addr.Zone() == ""
	}
	addr, err := netip.ParseAddr(inner)
	return ok && err == nil && addr.Is4()
}

func ascii(s string) bool {
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}
