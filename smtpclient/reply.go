package smtpclient

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Bounds of one reply. RFC 5321 4.5.3.1.5 allows 512 octets a line; servers exceed it.
const (
	maxReplyLine   = 2048     // octets with CRLF
	maxReplyLines  = 100      // lines
	maxReplyOctets = 64 << 10 // of all lines together
	maxReplyText   = 1 << 10  // octets of Reply.Text
)

// Reply is one SMTP reply, bounded and printable-filtered.
type Reply struct {
	Code     int
	Enhanced string // "5.1.1" if its class equals the code's first digit, else empty
	Text     string // lines joined by "\n", printable, at most 1 KiB; without the enhanced code
}

// class is the first digit: RFC 5321 4.2.1 lets a client act on it alone.
func (r *Reply) class() int { return r.Code / 100 }

// rawReply is a reply as received: one code and the text of each line.
type rawReply struct {
	code  int
	lines []string
	bad   string // the line that broke the protocol, if one did
}

// replyReader reads replies from a server that may be hostile.
type replyReader struct{ br *bufio.Reader }

func newReplyReader(r io.Reader) *replyReader {
	return &replyReader{bufio.NewReaderSize(r, maxReplyLine)}
}

// buffered is the number of octets received but not yet read as a reply.
func (r *replyReader) buffered() int { return r.br.Buffered() }

// silent reports whether the server's next octet would have to be waited for.
func (r *replyReader) silent() bool {
	_, err := r.br.Peek(1)
	return errors.Is(err, os.ErrDeadlineExceeded)
}

// read reads one reply with all its lines. An error that wraps ErrProtocol means
// that the server did not speak SMTP; in any error the connection is unusable.
func (r *replyReader) read() (rawReply, error) {
	var raw rawReply
	octets := 0
	for len(raw.lines) < maxReplyLines {
		line, err := r.br.ReadSlice('\n')
		if errors.Is(err, bufio.ErrBufferFull) {
			raw.bad = string(line)
			return raw, fmt.Errorf("%w: reply line of more than %d octets", ErrProtocol, maxReplyLine)
		}
		if err != nil {
			raw.bad = string(line)
			if errors.Is(err, io.EOF) {
				err = errors.New("connection closed by the server")
			}
			return raw, err
		}
		if octets += len(line); octets > maxReplyOctets {
			return raw, fmt.Errorf("%w: reply of more than %d octets", ErrProtocol, maxReplyOctets)
		}
		code, more, text, err := parseReplyLine(line)
		if err == nil && raw.code != 0 && code != raw.code {
			// RFC 5321 4.2.1: every line of a reply has the same code.
			err = fmt.Errorf("%w: lines of one reply have different codes", ErrProtocol)
		}
		if err != nil {
			raw.bad = string(line)
			return raw, err
		}
		raw.code = code
		raw.lines = append(raw.lines, string(text))
		if !more {
			return raw, nil
		}
	}
	return raw, fmt.Errorf("%w: reply of more than %d lines", ErrProtocol, maxReplyLines)
}

// parseReplyLine takes one line with its CRLF apart.
func parseReplyLine(line []byte) (code int, more bool, text []byte, err error) {
	body, ok := bytes.CutSuffix(line, []byte("\r\n"))
	if !ok || bytes.IndexByte(body, '\r') >= 0 || bytes.IndexByte(body, 0) >= 0 {
		return 0, false, nil, fmt.Errorf("%w: reply line with a bare CR, a bare LF or a NUL", ErrProtocol)
	}
	if len(body) < 3 || !digit(body[1]) || !digit(body[2]) {
		return 0, false, nil, fmt.Errorf("%w: reply line without a code", ErrProtocol)
	}
	// RFC 5321 4.2: the first digit is 2 to 5; the others are not looked at.
	if body[0] < '2' || body[0] > '5' {
		return 0, false, nil, fmt.Errorf("%w: reply code outside 200 to 599", ErrProtocol)
	}
	code = int(body[0]-'0')*100 + int(body[1]-'0')*10 + int(body[2]-'0')
	// RFC 5321 4.2: a bare code, without even the space, must be understood.
	if len(body) == 3 {
		return code, false, nil, nil
	}
	switch body[3] {
	case ' ':
		return code, false, body[4:], nil
	case '-':
		return code, true, body[4:], nil
	}
	return 0, false, nil, fmt.Errorf("%w: no space behind the reply code", ErrProtocol)
}

func digit(c byte) bool { return c >= '0' && c <= '9' }

// reply makes the bounded, printable form.
func (raw *rawReply) reply() Reply {
	r := Reply{Code: raw.code}
	var b strings.Builder
	for i, line := range raw.lines {
		enhanced, rest := cutEnhanced(line, byte('0'+raw.code/100))
		if i == 0 {
			r.Enhanced = enhanced
		}
		if enhanced != "" && enhanced == r.Enhanced {
			line = rest
		}
		if i > 0 {
			b.WriteByte('\n')
		}
		b.WriteString(printable(line, maxReplyText))
		if b.Len() > maxReplyText {
			break
		}
	}
	r.Text = cutText(b.String(), maxReplyText)
	return r
}

// cutEnhanced takes an enhanced status code (RFC 2034 4, RFC 3463 2) off the start
// of a reply line. It counts only if its class is the reply's own first digit.
func cutEnhanced(line string, class byte) (enhanced, rest string) {
	code, rest, _ := strings.Cut(line, " ")
	subject, detail, ok := strings.Cut(strings.TrimPrefix(code, string(class)+"."), ".")
	if len(code) < 5 || code[0] != class || code[1] != '.' || !ok || !number(subject) || !number(detail) {
		return "", line
	}
	return code, rest
}

// number reports one to three digits.
func number(s string) bool {
	for i := range len(s) {
		if !digit(s[i]) {
			return false
		}
	}
	return len(s) >= 1 && len(s) <= 3
}

// printable replaces whatever is not printable and cuts s to limit octets.
func printable(s string, limit int) string {
	s = s[:min(len(s), 4*limit)]
	clean := true
	for i := range len(s) {
		clean = clean && s[i] >= ' ' && s[i] < 0x7f
	}
	if !clean {
		s = strings.Map(func(r rune) rune {
			switch {
			case r == '\t':
				return ' '
			case r == utf8.RuneError || !unicode.IsPrint(r):
				return '?'
			}
			return r
		}, s)
	}
	return cutText(s, limit)
}

// cutText cuts s to at most limit octets between characters.
func cutText(s string, limit int) string {
	if len(s) <= limit {
		return s
	}
	for limit > 0 && !utf8.RuneStart(s[limit]) {
		limit--
	}
	return s[:limit]
}
