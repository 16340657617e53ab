package compose

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"postrider/internal/email"
)

const (
	// maxLine is the longest header line that folding aims at. RFC 5322 2.1.1 asks
	// for 78; RFC 2047 2 wants 76 where a line has an encoded-word.
	maxLine = 76
	// maxWord is the longest word without a place to fold. It leaves room for a
	// field name within the 998 of RFC 5322 2.1.1.
	maxWord = 900
	// maxName is the longest field name.
	maxName = 76
)

// field writes a whole field from a value of ours that needs no folding.
func (w *writer) field(name, value string) {
	w.begin(name)
	w.word(value)
	w.crlf()
}

// begin starts a field.
func (w *writer) begin(name string) {
	w.line, w.words = len(w.buf), 0
	w.buf = append(w.buf, name...)
	w.buf = append(w.buf, ':')
}

// word writes a space and a word, on a new line if this one is full. The first word
// stays beside the field name: a line with a name alone is legal, but some readers
// take it for an empty field. One column is kept for a comma or semicolon.
func (w *writer) word(s string) {
	if w.words > 0 && w.column()+1+len(s) >= maxLine {
		w.fold()
	}
	w.buf = append(w.buf, ' ')
	w.buf = append(w.buf, s...)
	w.words++
}

// fold starts a continuation line. A word must follow.
func (w *writer) fold() {
	w.crlf()
	w.line, w.words = len(w.buf), 0
}

func (w *writer) column() int { return len(w.buf) - w.line }

func (w *writer) crlf() { w.buf = append(w.buf, '\r', '\n') }

// callerField writes a field that the caller gave.
func (w *writer) callerField(h email.Header) error {
	if err := checkFieldName(h.Name); err != nil {
		return err
	}
	if isStructured(h.Name) {
		return w.structured(h.Name, h.Value)
	}
	return w.unstructured(h.Name, h.Value)
}

// checkFieldName refuses what is no field name, and the fields that compose writes
// itself or that only a later hop may add.
func checkFieldName(name string) error {
	if name == "" || len(name) > maxName {
		return fmt.Errorf("field name has %d characters, not 1 to %d", len(name), maxName)
	}
	for i := 0; i < len(name); i++ {
		// RFC 5322 2.2: printable US-ASCII except colon.
		if name[i] <= ' ' || name[i] > '~' || name[i] == ':' {
			return errors.New("field name has a character that none may have")
		}
	}
	lower := strings.ToLower(name)
	switch lower {
	case "date", "from", "sender", "reply-to", "to", "cc", "bcc", "subject", "message-id",
		"mime-version", "return-path", "received", "dkim-signature", "feedback-id":
		return fmt.Errorf("field %s is not the caller's to set", lower)
	}
	for _, prefix := range []string{"content-", "resent-", "arc-"} {
		if strings.HasPrefix(lower, prefix) {
			return fmt.Errorf("field %s is not the caller's to set", lower)
		}
	}
	return nil
}

// checkRepeated refuses a second field of a name that a message has at most once:
// RFC 5322 3.6 for In-Reply-To and References, RFC 2369 3 for List-*.
func checkRepeated(before []email.Header, name string) error {
	repeated := func(h email.Header) bool { return strings.EqualFold(h.Name, name) }
	if isStructured(name) && slices.ContainsFunc(before, repeated) {
		return fmt.Errorf("field %s stands there twice", strings.ToLower(name))
	}
	return nil
}

// isStructured tells the fields in which an encoded-word would not be read
// (RFC 2047 5: only where the grammar has text, a comment or a phrase).
func isStructured(name string) bool {
	switch lower := strings.ToLower(name); lower {
	case "in-reply-to", "references", "auto-submitted", "precedence", "disposition-notification-to":
		return true
	default:
		return strings.HasPrefix(lower, "list-")
	}
}

// structured writes a value of ASCII words, folded at white space and otherwise
// left alone.
func (w *writer) structured(name, value string) error {
	if err := checkText(value); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	w.begin(name)
	for word := range strings.FieldsFuncSeq(value, func(r rune) bool { return r == ' ' || r == '\t' }) {
		if len(word) > maxWord {
			return fmt.Errorf("%s: has a word of %d octets and no place to fold it", name, len(word))
		}
		if !isASCII(word) {
			return fmt.Errorf("%s: has a character outside US-ASCII", name)
		}
		w.word(word)
	}
	w.crlf()
	return nil
}

// unstructured writes free text: as it is where it can be folded and read back as
// the same text, else in encoded-words.
func (w *writer) unstructured(name, value string) error {
	if err := checkText(value); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	value = strings.Trim(value, " \t")
	w.begin(name)
	switch {
	case value == "":
	case needsEncoding(value):
		w.encodedWords(value)
	default:
		w.foldable(value)
	}
	w.crlf()
	return nil
}

// foldable writes ASCII text and folds it at single spaces only. A run of white
// space stays inside its line: unfolding would shorten it.
func (w *writer) foldable(s string) {
	for s != "" {
		end := wordEnd(s)
		w.word(s[:end])
		s = strings.TrimPrefix(s[end:], " ")
	}
}

// needsEncoding tells whether text must be written in encoded-words: it is not
// ASCII, a reader would take part of it for an encoded-word, or it has a word too
// long for a line.
func needsEncoding(s string) bool {
	if !isASCII(s) || looksEncoded(s) {
		return true
	}
	for s != "" {
		end := wordEnd(s)
		if end > maxWord {
			return true
		}
		s = strings.TrimPrefix(s[end:], " ")
	}
	return false
}

// wordEnd is the index of the first single space in s, or its length.
func wordEnd(s string) int {
	for i := 1; i+1 < len(s); i++ {
		if s[i] == ' ' && !isWSP(s[i-1]) && !isWSP(s[i+1]) {
			return i
		}
	}
	return len(s)
}

// looksEncoded tells whether a reader may take part of s for an encoded-word.
func looksEncoded(s string) bool {
	_, rest, found := strings.Cut(s, "=?")
	return found && strings.Contains(rest, "?=")
}

// checkText refuses the controls that no header value may carry: CR, LF and NUL
// above all. A tab is white space.
func checkText(s string) error {
	for i := 0; i < len(s); i++ {
		if (s[i] < ' ' && s[i] != '\t') || s[i] == 0x7f {
			return errors.New("has a control character")
		}
	}
	return nil
}

func isWSP(b byte) bool { return b == ' ' || b == '\t' }

func isASCII(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] >= 0x80 {
			return false
		}
	}
	return true
}

func endsWithCRLF(b []byte) bool {
	return len(b) >= 2 && b[len(b)-2] == '\r' && b[len(b)-1] == '\n'
}
