package smtpclient

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"
	"unicode/utf8"
)

// maxCommand is the octets of a command line without CRLF. RFC 5321 4.5.3.1.4 gives it
// 512 with CRLF; extensions add to that.
func maxCommand(stage Stage) int {
	const plain = 512 - len("\r\n")
	switch stage {
	case StageMAIL:
		// RFC 1870 3: 26 more. RFC 6152 2: 17. RFC 6531 3.1: 10. RFC 3461 5: RET, and ENVID of 100.
		return plain + 26 + 17 + 10 + len(" RET=HDRS ENVID=") + maxEnvelopeID
	case StageRCPT:
		return plain + 530 // RFC 3461 5
	case StageAUTH:
		return 12288 - len("\r\n") // RFC 4954 4
	}
	return plain
}

// checkCommand is the last line of defence against injected commands: whatever
// was checked before, no control character leaves in a command, and nothing outside
// ASCII unless international says that the server reads UTF-8.
func checkCommand(stage Stage, line string, international bool) error {
	for i := range len(line) {
		if line[i] < ' ' || line[i] == 0x7f || line[i] >= utf8.RuneSelf && !international {
			return fmt.Errorf("%w: octet 0x%02x", ErrCommand, line[i])
		}
	}
	if !utf8.ValidString(line) {
		return fmt.Errorf("%w: not UTF-8", ErrCommand)
	}
	if len(line) > maxCommand(stage) {
		return fmt.Errorf("%w: %d octets", ErrCommand, len(line))
	}
	return nil
}

// content is what the data demands of a server.
type content struct {
	eightBit      bool // octets above 127
	international bool // such octets in the header: RFC 6532 3, for servers that offer SMTPUTF8
	dotted        bool // lines that begin with a dot
}

// maxTextLine is the octets of a line of the data without its CRLF and without a
// stuffed dot (RFC 5321 4.5.3.1.6, RFC 5322 2.1.1).
const maxTextLine = 998

// checkData looks at what the data demands, and refuses what is not fit for SMTP: above
// all what could end the mail early at a server that reads line ends loosely (SMTP smuggling).
func checkData(data []byte) (content, error) {
	c := content{eightBit: hasEightBit(data)}
	if i := bytes.IndexByte(data, 0); i >= 0 {
		return c, fmt.Errorf("%w: NUL at octet %d", ErrData, i)
	}
	header, ends := len(data), 0
	for start := 0; start < len(data); {
		line, end := data[start:], len(data)
		c.dotted = c.dotted || line[0] == '.'
		if i := bytes.IndexByte(line, '\n'); i >= 0 {
			// RFC 5321 2.3.8: CR and LF only occur together, as CRLF.
			if i == 0 || line[i-1] != '\r' {
				return c, fmt.Errorf("%w: bare LF at octet %d", ErrData, start+i)
			}
			line, end = line[:i-1], start+i+1
			ends++
		}
		if len(line) > maxTextLine {
			return c, fmt.Errorf("%w: a line of %d octets at octet %d", ErrData, len(line), start)
		}
		if len(line) == 0 {
			header = min(header, start)
		}
		start = end
	}
	// Every LF has a CR of its own: more CRs than that are bare.
	if crs := bytes.Count(data, []byte{'\r'}); crs != ends {
		return c, fmt.Errorf("%w: bare CR (%d CR, %d CRLF)", ErrData, crs, ends)
	}
	c.international = c.eightBit && hasEightBit(data[:header])
	return c, nil
}

func hasEightBit(b []byte) bool {
	const each = utf8.RuneSelf * 0x0101010101010101 // the high bits of eight octets
	word := func(p []byte) uint64 { return binary.NativeEndian.Uint64(p) }
	for ; len(b) >= 32; b = b[32:] {
		if (word(b)|word(b[8:])|word(b[16:])|word(b[24:]))&each != 0 {
			return true
		}
	}
	return slices.ContainsFunc(b, func(c byte) bool { return c >= utf8.RuneSelf })
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
type dotStuffer struct {
	midLine bool
	idle    bool // no line begins with a dot
}

// stuff appends p to dst with a dot put before every line that begins with one.
func (s *dotStuffer) stuff(dst, p []byte) []byte {
	if len(p) == 0 {
		return dst
	}
	if s.idle {
		s.midLine = p[len(p)-1] != '\n'
		return append(dst, p...)
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
