package email

import (
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/net/idna"
)

// What is wrong with an address. The errors of this file wrap one of them, say
// more after a colon, and never repeat the address.
var (
	ErrMailbox     = errors.New("is not a valid mailbox")
	ErrDisplayName = errors.New("is not a valid display name")
	// ErrSMTPUTF8: the address is valid, but only for servers that speak RFC 6531.
	ErrSMTPUTF8 = errors.New("has characters outside ASCII before the @, which is not supported")
	// ErrTooLong comes with one of the first two.
	ErrTooLong = errors.New("is longer")
)

// Lengths in characters. maxText is looked at before anything else, so that no input
// costs more than it weighs; a formatted address with the longest name is shorter.
const (
	maxText = 998
	maxName = 320
)

// Lengths in octets.
const (
	// RFC 5321 4.5.3.1.1 to 4.5.3.1.3: 64 for the local part, 255 for the domain
	// (253 as DNS counts its text form), 256 for the path with its angle brackets.
	maxLocalPart = 64
	maxDomain    = 253
	maxAddrSpec  = 254
	maxLabel     = 63
)

// ParseAddress reads one mailbox in one of the forms
//
//	ada@example.org
//	Ada Lovelace <ada@example.org>
//	"Lovelace, Ada" <ada@example.org>
//
// It is a strict subset of RFC 5322 3.4 and RFC 5321 4.1.2: no groups, comments,
// source routes, domain literals or obsolete forms, and one mailbox only. A name
// may hold dots and UTF-8 without quotes. Encoded-words are not decoded. Errors
// wrap [ErrMailbox], [ErrDisplayName] or [ErrSMTPUTF8]; a name or a text of more
// than 998 characters also [ErrTooLong].
func ParseAddress(s string) (Address, error) {
	if err := checkText(s, maxText); err != nil {
		return Address{}, fmt.Errorf("%w: %w", ErrMailbox, err)
	}
	s = strings.Trim(s, " ")
	if !strings.HasSuffix(s, ">") {
		return NewAddress(s, "")
	}
	name, rest, err := cutPhrase(s)
	if err != nil {
		return Address{}, err
	}
	// cutPhrase leaves the angle brackets on.
	return NewAddress(rest[1:len(rest)-1], name)
}

// NewAddress makes an address of an addr-spec and a display name, which may be
// empty and is taken literally. Errors are those of [ParseAddress].
func NewAddress(addrSpec, name string) (Address, error) {
	spec, err := parseAddrSpec(addrSpec)
	if err != nil {
		return Address{}, err
	}
	name, err = ParseDisplayName(name)
	if err != nil {
		return Address{}, err
	}
	return Address{Email: spec, Name: name}, nil
}

// ParseDisplayName checks a display name in plain text and returns it without
// spaces around it: at most 320 characters without control characters, line breaks
// and bidirectional controls. Errors wrap [ErrDisplayName], and [ErrTooLong] if the
// length is what is wrong.
func ParseDisplayName(name string) (string, error) {
	if err := checkText(name, maxName); err != nil {
		return "", fmt.Errorf("%w: %w", ErrDisplayName, err)
	}
	return strings.Trim(name, " "), nil
}

// Domain is the part after the @: A-labels in lower case.
func (a Address) Domain() string { return a.Email[strings.LastIndexByte(a.Email, '@')+1:] }

// LocalPart is the part before the @, quoted if it must be.
func (a Address) LocalPart() string { return a.Email[:max(0, strings.LastIndexByte(a.Email, '@'))] }

// Normalized is the form in which addresses are compared and indexed: all of it in
// lower case, although only the domain is case-insensitive by RFC 5321 2.4.
func (a Address) Normalized() string { return strings.ToLower(a.Email) }

// String writes the address so that [ParseAddress] reads it as the same: for people
// and for another parser, not for a header, where a name in UTF-8 must be encoded.
func (a Address) String() string {
	if a.Name == "" {
		return a.Email
	}
	if isPhrase(a.Name) {
		return a.Name + " <" + a.Email + ">"
	}
	return quote(a.Name) + " <" + a.Email + ">"
}

// cutPhrase splits `phrase <...>` into the phrase's text and what follows it.
func cutPhrase(s string) (name, rest string, err error) {
	var words []string
	for i := 0; ; {
		for i < len(s) && s[i] == ' ' {
			i++
		}
		if i == len(s) {
			return "", "", refuse("has a > without a <")
		}
		start := i
		switch {
		case s[i] == '<':
			return strings.Join(words, " "), s[i:], nil
		case s[i] == '"':
			word, end, err := cutQuoted(s[i:])
			if err != nil {
				return "", "", err
			}
			words, i = append(words, word), i+end
		default:
			// RFC 5322 4.1: the dot is obsolete in a phrase, but unambiguous and common.
			for i < len(s) && (isAtext(s[i]) || s[i] == '.') {
				i++
			}
			words = append(words, s[start:i])
		}
		if i == start || i < len(s) && s[i] != ' ' && s[i] != '<' {
			return "", "", misplaced(s[i])
		}
	}
}

// cutQuoted reads the quoted-string that s begins with (RFC 5322 3.2.4): its
// content without quoting, and where it ends.
func cutQuoted(s string) (content string, end int, err error) {
	var b strings.Builder
	for i := 1; i < len(s); i++ {
		switch s[i] {
		case '"':
			return b.String(), i + 1, nil
		case '\\':
			if i++; i == len(s) {
				return "", 0, refuse("ends in a backslash")
			}
		}
		b.WriteByte(s[i])
	}
	return "", 0, refuse("has a quotation mark that is not closed")
}

// parseAddrSpec checks and normalises local-part@domain.
func parseAddrSpec(s string) (string, error) {
	if err := checkText(s, maxText); err != nil {
		return "", fmt.Errorf("%w: %w", ErrMailbox, err)
	}
	local, rest, err := cutLocalPart(s)
	if err != nil {
		return "", err
	}
	domain, err := ParseDomain(rest)
	if err != nil {
		return "", err
	}
	switch {
	case !isASCII(local):
		return "", ErrSMTPUTF8
	case len(local) > maxLocalPart:
		return "", refuse("has more than 64 octets before the @")
	case len(local)+1+len(domain) > maxAddrSpec:
		return "", refuse("is longer than 254 octets")
	}
	return local + "@" + domain, nil
}

// cutLocalPart splits an addr-spec at its @, with the local part in minimal quoting.
func cutLocalPart(s string) (local, domain string, err error) {
	if s == "" {
		return "", "", refuse("is empty")
	}
	if s[0] == '"' {
		content, end, err := cutQuoted(s)
		switch {
		case err != nil:
			return "", "", err
		case end == len(s) || s[end] != '@':
			return "", "", refuse("has no @ after its quoted local part")
		case content == "":
			// RFC 5321 4.1.2 allows it, no mailbox is called so.
			return "", "", refuse("has nothing before the @")
		case !isDotAtom(content):
			content = quote(content)
		}
		return content, s[end+1:], nil
	}
	local, domain, found := strings.Cut(s, "@")
	switch {
	case !found:
		return "", "", refuse("has no @")
	case local == "":
		// Source routes begin so: RFC 5321 4.1.2, A-d-l.
		return "", "", refuse("has nothing before the @")
	case !isDotAtom(local):
		for i := range len(local) {
			if !isAtext(local[i]) && local[i] != '.' {
				return "", "", misplaced(local[i])
			}
		}
		return "", "", refuse("has a dot at the start or end of the local part, or two in a row")
	}
	return local, domain, nil
}

// ParseDomain checks a domain name and returns it in lower case, international
// labels as A-labels (UTS 46, the Lookup profile). At least two labels, the last
// not of digits only: single names such as localhost and IP addresses receive no
// mail from here. Errors wrap [ErrMailbox].
func ParseDomain(s string) (string, error) {
	if len(s) > maxText {
		return "", refuse("has a domain of more than 253 octets")
	}
	for i := range len(s) {
		if c := s[i]; c < utf8.RuneSelf && !isLetterDigitHyphen(c) && c != '.' {
			return "", misplaced(c)
		}
	}
	domain := strings.ToLower(s)
	if !isASCII(s) || strings.Contains(domain, "xn--") {
		var err error
		if domain, err = idna.Lookup.ToASCII(s); err != nil {
			return "", refuse("has a domain that is not a valid international name")
		}
	}
	if len(domain) > maxDomain {
		return "", refuse("has a domain of more than 253 octets")
	}
	return domain, checkLabels(domain)
}

// checkLabels checks the labels of an ASCII domain: RFC 5321 4.1.2, RFC 1035 2.3.4.
func checkLabels(domain string) error {
	labels := strings.Split(domain, ".")
	for _, label := range labels {
		switch {
		case label == "":
			return refuse("has an empty label in its domain")
		case len(label) > maxLabel:
			return refuse("has a label of more than 63 octets in its domain")
		case label[0] == '-' || label[len(label)-1] == '-':
			return refuse("has a label that begins or ends with a hyphen")
		}
		for i := range len(label) {
			if !isLetterDigitHyphen(label[i]) {
				return misplaced(label[i])
			}
		}
	}
	last := labels[len(labels)-1]
	switch {
	case len(labels) < 2:
		return refuse("has a domain without a dot")
	case strings.Trim(last, "0123456789") == "":
		return refuse("has an IP address or number in place of a domain")
	}
	return nil
}

// checkText refuses what no part of an address and no header may hold.
func checkText(s string, limit int) error {
	if len(s) > limit*utf8.UTFMax || utf8.RuneCountInString(s) > limit {
		return fmt.Errorf("%w than %d characters", ErrTooLong, limit)
	}
	if !utf8.ValidString(s) {
		return errors.New("is not UTF-8")
	}
	for _, r := range s {
		switch {
		case unicode.IsControl(r):
			return errors.New("has a line break or another control character")
		case IsBidiControl(r):
			return errors.New("has a control character for the direction of text")
		}
	}
	return nil
}

func refuse(why string) error { return fmt.Errorf("%w: %s", ErrMailbox, why) }

// misplaced says what a character that may not stand there usually means.
func misplaced(c byte) error {
	switch c {
	case '(', ')':
		return refuse("has a parenthesis; comments are not allowed")
	case ',':
		return refuse("has a comma; give one mailbox only, and quote a name with a comma")
	case ':', ';':
		return refuse("has a colon or semicolon; groups and routes are not allowed")
	case '[', ']':
		return refuse("has a square bracket; a domain literal is not allowed")
	case '@':
		return refuse("has more than one @; quote a name with an @")
	case ' ':
		return refuse("has a space where none may be")
	case '<', '>', '"', '\\':
		return refuse("has a bracket, quotation mark or backslash where none may be")
	}
	return refuse("has a character that may not stand there")
}

// RFC 5322 3.2.3, with RFC 6532 3.2: every octet of UTF-8 beyond ASCII is atext.
func isAtext(c byte) bool {
	return c >= utf8.RuneSelf || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' ||
		strings.IndexByte("!#$%&'*+-/=?^_`{|}~", c) >= 0
}

func isLetterDigitHyphen(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-'
}

// isDotAtom: atext, with single dots inside.
func isDotAtom(s string) bool {
	dot := true
	for i := range len(s) {
		switch {
		case s[i] == '.' && dot, s[i] != '.' && !isAtext(s[i]):
			return false
		}
		dot = s[i] == '.'
	}
	return !dot
}

// isPhrase: words of atext and dots, with single spaces between.
func isPhrase(s string) bool {
	space := true
	for i := range len(s) {
		switch {
		case s[i] == ' ' && space, s[i] != ' ' && s[i] != '.' && !isAtext(s[i]):
			return false
		}
		space = s[i] == ' '
	}
	return !space
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

// quote writes a quoted-string in minimal quoting.
func quote(s string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s) + `"`
}
