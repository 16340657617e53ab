package compose

import (
	"encoding/base64"
	"strings"
	"unicode/utf8"
)

const (
	// RFC 2047 2: an encoded-word has at most 75 characters; 12 of them are the
	// frame, =?utf-8?q? and ?=.
	wordFrame = 12
	// minPayload is the room below which a new line is better than a short word.
	minPayload = 16
)

// encodedWords writes s as encoded-words, Q unless B saves a fifth. It may stand
// for text and in a phrase: only the letters that RFC 2047 5 (3) allows there are
// literal. No character is split between two words.
func (w *writer) encodedWords(s string) {
	s = strings.ToValidUTF8(s, "\uFFFD")
	b64 := 5*base64.StdEncoding.EncodedLen(len(s)) < 4*qLength(s)
	for s != "" {
		room := maxLine - 1 - w.column() - 1 - wordFrame
		n := fits(s, room, b64)
		if n < len(s) && w.foldsBetter(s, room, b64) {
			w.fold()
			n = fits(s, maxLine-2-wordFrame, b64)
		}
		w.encodedWord(s[:n], b64)
		s = s[n:]
	}
}

// foldsBetter tells whether what is left of s should start a new line: this one has
// hardly room, or the new one would take it whole. Beside a field name a short
// word is better than a fold, unless nothing fits at all.
func (w *writer) foldsBetter(s string, room int, b64 bool) bool {
	if w.words == 0 {
		return fits(s, room, b64) == 0
	}
	return room < minPayload || fits(s, maxLine-2-wordFrame, b64) == len(s)
}

// encodedWord writes one word.
func (w *writer) encodedWord(s string, b64 bool) {
	if b64 {
		w.buf = append(w.buf, " =?utf-8?b?"...)
		w.buf = base64.StdEncoding.AppendEncode(w.buf, []byte(s))
	} else {
		w.buf = append(w.buf, " =?utf-8?q?"...)
		for i := 0; i < len(s); i++ {
			w.buf = appendQ(w.buf, s[i])
		}
	}
	w.buf = append(w.buf, "?="...)
	w.words++
}

// fits is how many octets of s, in whole characters, room columns can hold.
func fits(s string, room int, b64 bool) int {
	width, n := 0, 0
	limit := room
	if b64 {
		limit = room / 4 * 3
	}
	for n < len(s) {
		_, size := utf8.DecodeRuneInString(s[n:])
		cost := size
		if !b64 {
			cost = qLength(s[n : n+size])
		}
		if width+cost > limit {
			break
		}
		width += cost
		n += size
	}
	return n
}

func qLength(s string) int {
	n := 0
	for i := 0; i < len(s); i++ {
		if s[i] == ' ' || isQLiteral(s[i]) {
			n++
		} else {
			n += 3
		}
	}
	return n
}

func appendQ(dst []byte, b byte) []byte {
	switch {
	case b == ' ':
		return append(dst, '_')
	case isQLiteral(b):
		return append(dst, b)
	default:
		return append(dst, '=', hexDigit(b>>4), hexDigit(b&15))
	}
}

// isQLiteral: RFC 2047 5 (3), the narrowest of its three sets.
func isQLiteral(b byte) bool {
	return isAlphanumeric(b) || b == '!' || b == '*' || b == '+' || b == '-' || b == '/'
}

func isAlphanumeric(b byte) bool {
	return 'a' <= b && b <= 'z' || 'A' <= b && b <= 'Z' || '0' <= b && b <= '9'
}

func hexDigit(b byte) byte { return "0123456789ABCDEF"[b] }
