package compose

import (
	"encoding/base64"
	"strings"
)

// boundaryMark begins every boundary.
const boundaryMark = "=_"

const (
	// RFC 2045 6.7 (5) and 6.8: encoded lines have at most 76 characters.
	encodedLine = 76
	// RFC 5322 2.1.1: a line should have at most 78 characters. Text with longer
	// lines is encoded, so that no hop has a reason to break them.
	plainLine = 78
)

// textForm is how a text is transferred.
type textForm struct {
	encoding string // 7bit, quoted-printable or base64
	size     int    // octets it will take, about
}

// chooseForm picks the transfer encoding of a text: 7bit if nothing on the way can
// change it, else quoted-printable, or base64 where that is much shorter.
func chooseForm(s string) textForm {
	var lines, escapes, column, longest int
	fragile := false
	for i := 0; i < len(s); i++ {
		if column > 0 { // nearly every byte
			run := plainRun(s[i:])
			column += run
			if i += run; i == len(s) {
				break
			}
		}
		b := s[i]
		if b == '\n' || b == '\r' {
			if b == '\n' && i > 0 && s[i-1] == '\r' {
				continue // counted with its CR
			}
			// White space at the end of a line gets lost.
			fragile = fragile || i > 0 && isWSP(s[i-1])
			longest = max(longest, column)
			column = 0
			lines++
			continue
		}
		if column == 0 {
			fragile = fragile || isFragileStart(s[i:])
		}
		column++
		if b >= 0x7f || (b < ' ' && b != '\t') {
			fragile = true
			escapes++
		} else if b == '=' {
			escapes++
		}
	}
	longest = max(longest, column)
	fragile = fragile || longest > plainLine || s != "" && isWSP(s[len(s)-1])
	if !fragile {
		return textForm{encoding: "7bit", size: len(s) + lines}
	}
	qp := len(s) + lines + 2*escapes
	qp += qp / (encodedLine - 1) * 3
	// Quoted-printable stays legible: base64 must save a fifth.
	if b64 := base64Length(len(s) + lines); b64 < qp/5*4 {
		return textForm{encoding: "base64", size: b64}
	}
	return textForm{encoding: "quoted-printable", size: qp}
}

// plainRun is how many octets at the beginning of s are printable ASCII but no "=".
// Eight are looked at at a time; one that is not such may hide what follows it in its
// eight, never itself.
func plainRun(s string) int {
	const ones, highs = 0x0101010101010101, 0x8080808080808080
	n := 0
	for ; len(s)-n >= 8; n += 8 {
		v := uint64(s[n]) | uint64(s[n+1])<<8 | uint64(s[n+2])<<16 | uint64(s[n+3])<<24 |
			uint64(s[n+4])<<32 | uint64(s[n+5])<<40 | uint64(s[n+6])<<48 | uint64(s[n+7])<<56
		equals, deletes := v^'='*ones, v^0x7f*ones
		if (v|(v-' '*ones)|(equals-ones)&^equals|(deletes-ones)&^deletes)&highs != 0 {
			break
		}
	}
	for n < len(s) && s[n] >= ' ' && s[n] < 0x7f && s[n] != '=' {
		n++
	}
	return n
}

// isFragileStart tells what must not begin a line of unencoded text: "From ", which
// mailbox files quote; a dot, which a faulty relay doubles or drops; and what could
// be a delimiter line.
func isFragileStart(s string) bool {
	switch s[0] {
	case 'F':
		return strings.HasPrefix(s, "From ")
	case '-':
		return strings.HasPrefix(s, "--"+boundaryMark)
	default:
		return s[0] == '.'
	}
}

func (f textForm) append(dst []byte, s string) []byte {
	switch f.encoding {
	case "7bit":
		return appendCanonical(dst, s)
	case "base64":
		// RFC 2045 6.8: line breaks of text are CRLF before it is encoded.
		return appendBase64(dst, appendCanonical(make([]byte, 0, len(s)+len(s)/16), s))
	default:
		return appendQuotedPrintable(dst, s)
	}
}

// appendCanonical appends s with every line break as CRLF. RFC 5321 2.3.8: neither
// CR nor LF may be sent alone.
func appendCanonical(dst []byte, s string) []byte {
	hasCR := strings.IndexByte(s, '\r') >= 0 // the rest is faster without
	for s != "" {
		end := strings.IndexByte(s, '\n')
		if hasCR {
			end = strings.IndexAny(s, "\r\n")
		}
		if end < 0 {
			return append(dst, s...)
		}
		dst = append(append(dst, s[:end]...), '\r', '\n')
		s = s[end+breakLength(s[end:]):]
	}
	return dst
}

// breakLength is the length of the line break that s begins with.
func breakLength(s string) int {
	if strings.HasPrefix(s, "\r\n") {
		return 2
	}
	return 1
}

// appendQuotedPrintable appends s by RFC 2045 6.7, any byte of it, with line breaks
// as CRLF. What a hop could change at the start or the end of a line is encoded too.
func appendQuotedPrintable(dst []byte, s string) []byte {
	column := 0
	for i := 0; i < len(s); {
		if s[i] == '\r' || s[i] == '\n' {
			i += breakLength(s[i:])
			dst = append(dst, '\r', '\n')
			column = 0
			continue
		}
		escaped := !isLiteral(s, i) || column == 0 && isFragileStart(s[i:])
		if column == encodedLine-1 || escaped && column+3 > encodedLine-1 {
			dst = append(dst, '=', '\r', '\n')
			column = 0
			continue
		}
		if escaped {
			dst = append(dst, '=', hexDigit(s[i]>>4), hexDigit(s[i]&15))
			column += 3
			i++
			continue
		}
		start, end := i, min(len(s), i+encodedLine-1-column)
		for i++; i < end && isLiteral(s, i); {
			i++
		}
		dst = append(dst, s[start:i]...)
		column += i - start
	}
	return dst
}

// isLiteral tells whether s[i] may stand for itself in quoted-printable.
func isLiteral(s string, i int) bool {
	switch b := s[i]; {
	case b == ' ' || b == '\t':
		// RFC 2045 6.7 (3): no white space at the end of a line.
		return i+1 < len(s) && s[i+1] != '\r' && s[i+1] != '\n'
	default:
		return b > ' ' && b < 0x7f && b != '='
	}
}

// base64Length is the number of octets that n octets take in lines.
func base64Length(n int) int {
	chars := base64.StdEncoding.EncodedLen(n)
	return chars + chars/encodedLine*2
}

// appendBase64 appends b in lines of 76 characters, without a last line break.
func appendBase64(dst, b []byte) []byte {
	const perLine = encodedLine / 4 * 3
	for len(b) > perLine {
		dst = base64.StdEncoding.AppendEncode(dst, b[:perLine])
		dst = append(dst, '\r', '\n')
		b = b[perLine:]
	}
	return base64.StdEncoding.AppendEncode(dst, b)
}
