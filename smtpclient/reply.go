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

// codeLen is the octets of a reply line before its text, if it has one: code and separator.
const codeLen = len("250-")

// rawReply is a reply as received, until the next is read.
type rawReply struct {
	code  int
	lines []string // each with its code, without CRLF
	bad   string   // the line that broke the protocol, if one did
}

// class is the first digit.
func (raw *rawReply) class() int { return raw.code / 100 }

// text is a line without its code.
func (raw *rawReply) text(i int) string {
	return raw.lines[i][min(codeLen, len(raw.lines[i])):]
}

// texts are the lines without their code.
func (raw *rawReply) texts() []string {
	list := make([]string, len(raw.lines))
	for i := range list {
		list[i] = raw.text(i)
	}
	return list
}

// replyReader reads replies from a server that may be hostile.
type replyReader struct {
	br   *bufio.Reader
	room [4]string // for the lines of most replies
	said [4]string // the latest lines that differed: servers say the same for every mail
	next int       // the oldest of them
}

func newReplyReader(r io.Reader) *replyReader {
	return &replyReader{br: bufio.NewReaderSize(r, maxReplyLine)}
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
	raw := rawReply{lines: r.room[:0]}
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
		code, more, body, err := parseReplyLine(line)
		if err == nil && raw.code != 0 && code != raw.code {
			// RFC 5321 4.2.1: every line of a reply has the same code.
			err = fmt.Errorf("%w: lines of one reply have different codes", ErrProtocol)
		}
		if err != nil {
			raw.bad = string(line)
			return raw, err
		}
		raw.code = code
		raw.lines = append(raw.lines, r.text(body))
		if !more {
			return raw, nil
		}
	}
	return raw, fmt.Errorf("%w: reply of more than %d lines", ErrProtocol, maxReplyLines)
}

// text is a line as a string, if possible one that is there already.
func (r *replyReader) text(line []byte) string {
	for i := range r.said {
		if r.said[i] == string(line) {
			return r.said[i]
		}
	}
	s := string(line)
	r.said[r.next] = s
	r.next = (r.next + 1) % len(r.said)
	return s
}

// parseReplyLine reads one line with its CRLF; body is the line without.
func parseReplyLine(line []byte) (code int, more bool, body []byte, err error) {
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
		return code, false, body, nil
	}
	switch body[3] {
	case ' ', '-':
		return code, body[3] == '-', body, nil
	}
	return 0, false, nil, fmt.Errorf("%w: no space behind the reply code", ErrProtocol)
}

func digit(c byte) bool { return c >= '0' && c <= '9' }

// reply makes the bounded, printable form.
func (raw *rawReply) reply() Reply {
	r := Reply{Code: raw.code}
	if len(raw.lines) == 0 {
		return r
	}
	var first string
	class := byte('0' + raw.class())
	r.Enhanced, first = cutEnhanced(raw.text(0), class)
	first = printable(first, maxReplyText)
	if len(raw.lines) == 1 {
		r.Text = first
		return r
	}
	var b strings.Builder
	b.WriteString(first)
	for i := 1; i < len(raw.lines) && b.Len() <= maxReplyText; i++ {
		line := raw.text(i)
		if enhanced, rest := cutEnhanced(line, class); enhanced != "" && enhanced == r.Enhanced {
			line = rest
		}
		b.WriteByte('\n')
		b.WriteString(printable(line, maxReplyText))
	}
	r.Text = cutText(b.String(), maxReplyText)
	return r
}

// cutEnhanced takes an enhanced status code (RFC 2034 4, RFC 3463 2) off the start
// of a reply line. It counts only if its class is the reply's own first digit.
func cutEnhanced(line string, class byte) (enhanced, rest string) {
	if len(line) < len("2.0.0") || line[0] != class || line[1] != '.' {
		return "", line
	}
	code, rest, _ := strings.Cut(line, " ")
	subject, detail, ok := strings.Cut(code[min(2, len(code)):], ".")
	if !ok || !number(subject) || !number(detail) {
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
