package smtpclient

import (
	"bytes"
	"reflect"
	"strings"
	"testing"
)

// FuzzExtensions reads any octets as the reply to EHLO: nothing is taken for announced
// that is not, what is means the same in any case, and unknown keywords change nothing.
func FuzzExtensions(f *testing.F) {
	for _, s := range []string{
		"250 mx.test\r\n", "250-mx.test\r\n250 \r\n", "250-mx\r\n250-PIPELINING\r\n250-8BITMIME\r\n250-SIZE 100\r\n250 STARTTLS\r\n",
		"250-mx\r\n250-AUTH=LOGIN\r\n250 AUTH PLAIN login X-\xff\r\n", "250-mx\r\n250-size -1\r\n250 SIZE 99999999999999999999\r\n",
		"250-mx\r\n250-\tSIZE\t5 6\r\n250 SIZE=7\r\n", "250-mx\r\n250-\u017ftarttls\r\n250 p\u0131pelining\r\n", "250-mx\r\n250-SMTPUTF8\r\n250 DSN x y\r\n",
		"250-mx\r\n250 AUTH " + strings.Repeat("\xeb", 2000) + "\r\n",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		raw, err := newReplyReader(bytes.NewReader(in)).read()
		if err != nil || raw.code/100 != 2 {
			return
		}
		lines := raw.texts()[1:]
		e := parseExtensions(lines)
		if e.size < 0 || e.size > 0 && !e.sizeParam {
			t.Fatalf("size %d, announced %v", e.size, e.sizeParam)
		}
		for _, mechanism := range e.auth {
			if mechanism == "" || strings.ContainsAny(mechanism, " \t\r\n\x00") || len(mechanism) > maxReplyLine {
				t.Fatalf("mechanism %q", mechanism)
			}
		}
		said := upper(strings.Join(lines, "\n"))
		for keyword, announced := range map[string]bool{
			"PIPELINING": e.pipelining, "8BITMIME": e.eightBit, "STARTTLS": e.startTLS, "SIZE": e.sizeParam, "AUTH": len(e.auth) > 0,
		} {
			if announced && !strings.Contains(said, keyword) {
				t.Fatalf("%s was not announced in %q", keyword, lines)
			}
		}
		more := []string{"X-UNKNOWN PIPELINING STARTTLS SIZE 1", ""}
		for _, line := range lines {
			more = append(more, upper(line), "XSIZE 1")
		}
		if other := parseExtensions(more); !reflect.DeepEqual(e, other) {
			t.Fatalf("%+v from %q, %+v in upper case among unknown ones", e, lines, other)
		}
	})
}

// FuzzPath lets any text be an address. One that may be sent comes out of MAIL and
// RCPT as it went in, for a server that reads RFC 5321 4.1.2 by the letter.
func FuzzPath(f *testing.F) {
	for _, s := range []string{
		"a@b.test", `"a b"@b.test`, `"a\"@c.test> SIZE=1 \\"@b.test`, `"@"@b.test`, "a@[192.0.2.1]", "a@[IPv6:::1]", "postmaster", `"a@evil" @good`,
		"a@b.test> ORCPT=x", "@x,@y:a@b.test", "a@b.test\r\nDATA", `"a"b@c.test`, "a.@b", `"\`, "\u00e9@b.test", "a@b\u560a.test", "<>@b.test", `""@b.test`, "0@[(]",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, path string) {
		box, err := parseMailbox(path)
		if err != nil {
			return
		}
		if again, err := parseMailbox(box.path); err != nil || again != box {
			t.Fatalf("%q became %q, which becomes %+v, %v", path, box.path, again, err)
		}
		tx := &transaction{attempt: &attempt{mail: &Mail{}, from: box, boxes: []mailbox{box}}, c: &conn{}, to: []int{0}}
		tx.c.ext.sizeParam = true
		steps := tx.steps(false)
		if len(steps) != 3 || steps[0].stage != StageMAIL || steps[1].stage != StageRCPT || steps[2].line != "DATA" {
			t.Fatalf("steps %+v", steps)
		}
		for i, verb := range []string{"MAIL FROM:<", "RCPT TO:<"} {
			line := steps[i].line
			if err := checkCommand(steps[i].stage, line, box.utf8); err != nil || strings.ContainsAny(line, "\r\n\x00") || len(line) > 510 {
				t.Fatalf("%q: %v", line, err)
			}
			got, params := readPath(t, strings.TrimPrefix(line, verb))
			wanted := map[bool]string{true: " SIZE=0 SMTPUTF8", false: " SIZE=0"}[box.utf8]
			if got != box.path || i == 0 && params != wanted || i == 1 && params != "" {
				t.Fatalf("a server reads %q as %q with %q", line, got, params)
			}
		}
	})
}

// readPath reads up to the closing bracket of a path, letter by letter.
func readPath(t *testing.T, s string) (path, params string) {
	quoted, at := false, 0
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			if !quoted && i > 0 || at > 0 {
				t.Fatalf("a quoted string that is not the local part: %q", s)
			}
			quoted = !quoted
			if !quoted && (i+1 == len(s) || s[i+1] != '@') {
				t.Fatalf("something behind the quoted string: %q", s)
			}
		case quoted:
		case c == '@':
			if at++; at > 1 {
				t.Fatalf("two @: %q", s)
			}
		case c == '>':
			return s[:i], s[i+1:]
		case strings.IndexByte(" ()<,;", c) >= 0 || c == ':' && at == 0:
			t.Fatalf("%q outside quotes: %q", c, s)
		}
	}
	t.Fatalf("the path does not end: %q", s)
	return "", ""
}
