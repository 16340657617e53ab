package smtpclient

import (
	"bytes"
	"fmt"
	"net/netip"
	"strings"
)

// Bounds of a path, RFC 5321 4.5.3.1.1 and .3, without the angle brackets.
const (
	maxLocalPart = 64
	maxPath      = 254
)

// checkCommand is the last line of defence against injected commands: whatever
// was checked before, no control character leaves in a command.
func checkCommand(line string) error {
	for i := range len(line) {
		if line[i] < ' ' || line[i] > '~' {
			return fmt.Errorf("%w: octet 0x%02x", ErrCommand, line[i])
		}
	}
	return nil
}

// checkPath accepts what may stand between the angle brackets of MAIL and RCPT: a
// Mailbox of RFC 5321 4.1.2 or, as RFC 5321 4.5.1 asks, postmaster without a domain.
func checkPath(path string) error {
	for i := range len(path) {
		if path[i] >= 0x80 {
			return ErrInternational
		}
		if path[i] < ' ' || path[i] == 0x7f {
			return fmt.Errorf("%w: control character", ErrPath)
		}
	}
	if strings.EqualFold(path, "postmaster") {
		return nil
	}
	at := strings.LastIndexByte(path, '@')
	if at < 1 || at > maxLocalPart || len(path) > maxPath {
		return fmt.Errorf("%w: length or missing part", ErrPath)
	}
	if !validLocalPart(path[:at]) {
		return fmt.Errorf("%w: local part", ErrPath)
	}
	if !validDomain(path[at+1:]) {
		return fmt.Errorf("%w: domain", ErrPath)
	}
	return nil
}

// validLocalPart accepts a Dot-string, or a Quoted-string, in which a backslash
// takes the next character with it.
func validLocalPart(s string) bool {
	if s[0] != '"' {
		for _, atom := range strings.Split(s, ".") {
			if atom == "" || strings.ContainsAny(atom, " \"(),:;<>@[\\]") {
				return false
			}
		}
		return true
	}
	for i := 1; i < len(s); i++ {
		switch s[i] {
		case '\\':
			i++
		case '"':
			return i == len(s)-1
		}
	}
	return false
}

// validDomain accepts a domain in LDH letters and underscores, or an address literal.
func validDomain(s string) bool {
	if strings.HasPrefix(s, "[") {
		inner, ok := strings.CutSuffix(s[1:], "]")
		return ok && validLiteral(inner)
	}
	for _, label := range strings.Split(s, ".") {
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

// validLiteral accepts an IPv4 or IPv6 address as RFC 5321 4.1.3 writes it; no other
// kind of literal has ever been standardized.
func validLiteral(s string) bool {
	six := len(s) > 5 && strings.EqualFold(s[:5], "IPv6:")
	if six {
		s = s[5:]
	}
	addr, err := netip.ParseAddr(s)
	return err == nil && addr.Is6() == six && addr.Zone() == ""
}

// checkData reports whether data has octets above 127, and refuses what could end
// the mail early at a server that reads line ends loosely (SMTP smuggling).
func checkData(data []byte) (eightBit bool, err error) {
	for i, c := range data {
		switch {
		case c == 0:
			return false, fmt.Errorf("%w: NUL at octet %d", ErrData, i)
		// RFC 5321 2.3.8: CR and LF only occur together, as CRLF.
		case c == '\r' && (i+1 == len(data) || data[i+1] != '\n'):
			return false, fmt.Errorf("%w: bare CR at octet %d", ErrData, i)
		case c == '\n' && (i == 0 || data[i-1] != '\r'):
			return false, fmt.Errorf("%w: bare LF at octet %d", ErrData, i)
		case c >= 0x80:
			eightBit = true
		}
	}
	return eightBit, nil
}

// wireSize is the octets of data as SIZE counts them (RFC 1870 5): with the final
// CRLF, before dot-stuffing.
func wireSize(data []byte) int64 {
	if len(data) > 0 && data[len(data)-1] != '\n' {
		return int64(len(data)) + 2
	}
	return int64(len(data))
}

// dotStuffer makes data transparent (RFC 5321 4.5.2), piece by piece: the state
// carries over, so that it does not matter where the pieces are cut.
type dotStuffer struct{ midLine bool }

// stuff appends p to dst with a dot put before every line that begins with one.
func (s *dotStuffer) stuff(dst, p []byte) []byte {
	if len(p) == 0 {
		return dst
	}
	if !s.midLine && p[0] == '.' {
		dst = append(dst, '.')
	}
	s.midLine = p[len(p)-1] != '\n'
	for {
		i := bytes.Index(p, []byte("\n."))
		if i < 0 {
			return append(dst, p...)
		}
		dst = append(append(dst, p[:i+1]...), '.')
		p = p[i+1:]
	}
}

// finish appends the CRLF that the last line may lack. The terminator is not included.
func (s *dotStuffer) finish(dst []byte) []byte {
	if s.midLine {
		dst = append(dst, "\r\n"...)
	}
	return dst
}
