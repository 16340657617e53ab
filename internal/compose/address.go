package compose

import (
	"errors"
	"fmt"
	"strings"

	"postrider/internal/email"
)

const (
	// RFC 5321 4.5.3.1: a local part has at most 64 octets, a domain 255.
	maxAddrSpec = 64 + 1 + 255
	// maxPhrase is the longest display name that is written as one quoted-string;
	// a longer one is encoded, because folding inside quotes is often read wrongly.
	maxPhrase = 60
)

// addresses writes a field with a list of mailboxes, folded between them and
// inside long names.
func (w *writer) addresses(field string, list []email.Address) error {
	w.begin(field)
	for i := range list {
		if err := w.mailbox(&list[i]); err != nil {
			return fmt.Errorf("%s %d: %w", strings.ToLower(field), i+1, err)
		}
		if i+1 < len(list) {
			w.buf = append(w.buf, ',')
		}
	}
	w.crlf()
	return nil
}

// mailbox writes one address. RFC 5322 3.4: mailbox = name-addr / addr-spec.
func (w *writer) mailbox(a *email.Address) error {
	if err := checkAddrSpec(a.Email); err != nil {
		return err
	}
	if err := checkText(a.Name); err != nil {
		return fmt.Errorf("display name: %w", err)
	}
	name := strings.Trim(a.Name, " \t")
	if name == "" {
		w.word(a.Email)
		return nil
	}
	w.phrase(name)
	w.word("<" + a.Email + ">")
	return nil
}

// phrase writes a display name: atoms, a quoted-string or encoded-words.
func (w *writer) phrase(name string) {
	switch {
	case !isASCII(name) || looksEncoded(name) || strings.ContainsRune(name, '\t'):
		w.encodedWords(name)
	case isAtoms(name):
		w.foldable(name)
	case len(name) <= maxPhrase:
		w.word(quoted(name))
	default:
		w.encodedWords(name)
	}
}

// isAtoms tells whether name is atoms with one space between them, none too long
// for a line.
func isAtoms(name string) bool {
	for word := range strings.SplitSeq(name, " ") {
		if word == "" || len(word) > maxPhrase || !isAtom(word) {
			return false
		}
	}
	return true
}

func isAtom(s string) bool {
	for i := 0; i < len(s); i++ {
		if !isAtext(s[i]) {
			return false
		}
	}
	return s != ""
}

// isAtext: RFC 5322 3.2.3.
func isAtext(b byte) bool {
	return isAlphanumeric(b) || strings.IndexByte("!#$%&'*+-/=?^_`{|}~", b) >= 0
}

// isDotAtom: RFC 5322 3.2.3, dot-atom-text.
func isDotAtom(s string) bool {
	for atom := range strings.SplitSeq(s, ".") {
		if !isAtom(atom) {
			return false
		}
	}
	return true
}

// quoted writes s as a quoted-string. RFC 5322 3.2.4: only " and \ need a backslash.
func quoted(s string) string {
	var b strings.Builder
	b.Grow(len(s) + 2)
	b.WriteByte('"')
	for i := 0; i < len(s); i++ {
		if s[i] == '"' || s[i] == '\\' {
			b.WriteByte('\\')
		}
		b.WriteByte(s[i])
	}
	b.WriteByte('"')
	return b.String()
}

// checkAddrSpec refuses what is not an addr-spec of RFC 5322 3.4.1 without comments
// and white space. A local part outside ASCII would need SMTPUTF8.
func checkAddrSpec(s string) error {
	at := strings.LastIndexByte(s, '@')
	if at < 1 || len(s) > maxAddrSpec {
		return errors.New("not an addr-spec")
	}
	local, domain := s[:at], s[at+1:]
	if !isDotAtom(local) && !isQuotedString(local) {
		return errors.New("addr-spec: not a local part")
	}
	if !isDotAtom(domain) && !isDomainLiteral(domain) {
		return errors.New("addr-spec: not a domain")
	}
	return nil
}

// isQuotedString: RFC 5321 4.1.2, a quoted local part of printable ASCII.
func isQuotedString(s string) bool {
	if len(s) < 2 || s[0] != '"' || s[len(s)-1] != '"' {
		return false
	}
	s = s[1 : len(s)-1]
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' {
			i++
			if i == len(s) {
				return false
			}
		} else if s[i] == '"' {
			return false
		}
		if s[i] < ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}

// isDomainLiteral: RFC 5322 3.4.1 without folding white space.
func isDomainLiteral(s string) bool {
	if len(s) < 3 || s[0] != '[' || s[len(s)-1] != ']' {
		return false
	}
	s = s[1 : len(s)-1]
	for i := 0; i < len(s); i++ {
		if s[i] <= ' ' || s[i] > '~' || strings.IndexByte(`[]\`, s[i]) >= 0 {
			return false
		}
	}
	return true
}

// isMsgID tells whether s may stand between the angle brackets of a msg-id or
// Content-ID: printable, without brackets and white space. RFC 5322 3.6.4 also
// wants an @, but "logo" for cid:logo is what every reader accepts.
func isMsgID(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] <= ' ' || s[i] > '~' || s[i] == '<' || s[i] == '>' {
			return false
		}
	}
	return s != "" && len(s) <= maxWord
}
