package smtpclient

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"
	"unicode"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
)

func TestReply(t *testing.T) {
	for _, c := range []struct {
		name, in string
		want     Reply
	}{
		{"simple", "250 ok\r\n", Reply{250, "", "ok"}},
		{"bare code", "250\r\n", Reply{250, "", ""}},
		{"code and space", "250 \r\n", Reply{250, "", ""}},
		{"lines", "250-one\r\n250-two\r\n250 three\r\n", Reply{250, "", "one\ntwo\nthree"}},
		{"last line bare", "250-one\r\n250\r\n", Reply{250, "", "one\n"}},
		{"enhanced", "550 5.1.1 no such user\r\n", Reply{550, "5.1.1", "no such user"}},
		{"enhanced on all lines", "550-5.1.1 no such\r\n550 5.1.1 user\r\n", Reply{550, "5.1.1", "no such\nuser"}},
		{"enhanced alone", "550 5.1.1\r\n", Reply{550, "5.1.1", ""}},
		{"long enhanced", "550 5.7.509 no\r\n", Reply{550, "5.7.509", "no"}},
		{"enhanced of another class", "450 5.1.1 hm\r\n", Reply{450, "", "5.1.1 hm"}},
		{"class without subject", "550 5.1 hm\r\n", Reply{550, "", "5.1 hm"}},
		{"too many digits", "550 5.1.1111 hm\r\n", Reply{550, "", "5.1.1111 hm"}},
		{"no space behind", "550 5.1.1: hm\r\n", Reply{550, "", "5.1.1: hm"}},
		{"unknown code", "299 hm\r\n", Reply{299, "", "hm"}},
		{"control and 8-bit", "250 a\x1b]0;x\x07\tb\xff\u202e\u00e9\r\n", Reply{250, "", "a?]0;x? b??\u00e9"}},
		{"cut", "250 " + strings.Repeat("\u00e9", 900) + "\r\n", Reply{250, "", strings.Repeat("\u00e9", 512)}},
	} {
		for _, r := range []io.Reader{strings.NewReader(c.in), iotest.OneByteReader(strings.NewReader(c.in))} {
			raw, err := newReplyReader(r).read()
			if err != nil {
				t.Errorf("%s: %v", c.name, err)
				continue
			}
			if diff := cmp.Diff(c.want, raw.reply()); diff != "" {
				t.Errorf("%s: %s", c.name, diff)
			}
		}
	}
}

func TestReplyBotched(t *testing.T) {
	for name, in := range map[string]string{
		"empty line":       "\r\n",
		"short code":       "25\r\n",
		"letters":          "abc ok\r\n",
		"1yz":              "150 ok\r\n",
		"6yz":              "650 ok\r\n",
		"no separator":     "250ok\r\n",
		"bare LF":          "250 ok\n",
		"bare CR":          "250 a\rb\r\n",
		"NUL":              "250 a\x00b\r\n",
		"mixed codes":      "250-one\r\n550 two\r\n",
		"long line":        "250 " + strings.Repeat("x", 2048) + "\r\n",
		"many lines":       strings.Repeat("250-x\r\n", 100) + "250 x\r\n",
		"many octets":      strings.Repeat("250-"+strings.Repeat("x", 2000)+"\r\n", 50) + "250 x\r\n",
		"garbage behind -": "250-one\r\nhello\r\n",
	} {
		if raw, err := newReplyReader(strings.NewReader(in)).read(); !errors.Is(err, ErrProtocol) {
			t.Errorf("%s: %+v, %v", name, raw, err)
		}
	}
	for name, in := range map[string]string{"nothing": "", "half a line": "250 o", "half a reply": "250-one\r\n"} {
		if _, err := newReplyReader(strings.NewReader(in)).read(); err == nil || errors.Is(err, ErrProtocol) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestReplyAtTheBounds(t *testing.T) {
	line := "250 " + strings.Repeat("x", maxReplyLine-6) + "\r\n"
	if _, err := newReplyReader(strings.NewReader(line)).read(); err != nil {
		t.Errorf("line of %d octets: %v", len(line), err)
	}
	lines := strings.Repeat("250-x\r\n", maxReplyLines-1) + "250 x\r\n"
	if raw, err := newReplyReader(strings.NewReader(lines)).read(); err != nil || len(raw.lines) != maxReplyLines {
		t.Errorf("%d lines: %v", len(raw.lines), err)
	}
}

// An endless reply is given up after a bounded number of octets.
func TestEndlessReply(t *testing.T) {
	for name, unit := range map[string]string{"line": "250 xxxxxxxxxx", "lines": "250-x\r\n", "NULs": "\x00"} {
		src := &endless{unit: unit}
		if _, err := newReplyReader(src).read(); !errors.Is(err, ErrProtocol) {
			t.Errorf("%s: %v", name, err)
		}
		if src.read > maxReplyOctets+2*maxReplyLine {
			t.Errorf("%s: %d octets read", name, src.read)
		}
	}
}

type endless struct {
	unit string
	at   int
	read int
}

func (e *endless) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = e.unit[e.at%len(e.unit)]
		e.at++
	}
	e.read += len(p)
	return len(p), nil
}

func FuzzReply(f *testing.F) {
	for _, s := range []string{
		"250 ok\r\n", "250\r\n", "250-a\r\n250 b\r\n", "550 5.1.1 no\r\n", "250-a\r\n550 b\r\n", "\x00\r\n",
		"250 a\rb\r\n", "999 x\r\n", "250 \xff\xfe\r\n", "421 4.7.0 a\r\n250 b\r\n", "5", "250-\r\n",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		raw, err := newReplyReader(bytes.NewReader(in)).read()
		if err != nil {
			return
		}
		r := raw.reply()
		if r.Code < 200 || r.Code > 599 || !bytes.HasPrefix(in, []byte{byte('0' + r.Code/100)}) {
			t.Errorf("code %d", r.Code)
		}
		if len(r.Text) > maxReplyText || !utf8.ValidString(r.Text) {
			t.Errorf("text of %d octets, valid %v", len(r.Text), utf8.ValidString(r.Text))
		}
		for _, c := range r.Text {
			if c != '\n' && !unicode.IsPrint(c) {
				t.Errorf("text holds %q", c)
			}
		}
		if r.Enhanced != "" && int(r.Enhanced[0]-'0') != r.Code/100 {
			t.Errorf("enhanced code %s in reply %d", r.Enhanced, r.Code)
		}
		if strings.Count(r.Text, "\n") >= maxReplyLines {
			t.Errorf("too many lines")
		}
	})
}

func TestExtensions(t *testing.T) {
	for _, c := range []struct {
		name  string
		lines []string
		want  extensions
	}{
		{"none", nil, extensions{}},
		{
			"any case, unknown, empty",
			[]string{"pipelining", "8BitMime", "", "X-UNKNOWN a b", "StartTLS"},
			extensions{pipelining: true, eightBit: true, startTLS: true},
		},
		{"size", []string{"SIZE 100"}, extensions{sizeParam: true, size: 100}},
		{"size 0", []string{"SIZE 0"}, extensions{sizeParam: true}},
		{"size without a number", []string{"SIZE"}, extensions{sizeParam: true}},
		{"size huge", []string{"SIZE 99999999999999999999999"}, extensions{sizeParam: true}},
		{"size negative", []string{"SIZE -5"}, extensions{sizeParam: true}},
		{"auth", []string{"AUTH plain LOGIN"}, extensions{auth: []string{"PLAIN", "LOGIN"}}},
		{"old auth", []string{"AUTH=LOGIN"}, extensions{auth: []string{"LOGIN"}}},
	} {
		got := parseExtensions(c.lines)
		if diff := cmp.Diff(c.want, got, cmp.AllowUnexported(extensions{})); diff != "" {
			t.Errorf("%s: %s", c.name, diff)
		}
	}
}
