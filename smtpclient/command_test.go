package smtpclient

import (
	"bytes"
	"errors"
	"strings"
	"testing"
)

func TestMailbox(t *testing.T) {
	for in, want := range map[string]mailbox{
		"a@b.test":                               {path: "a@b.test"},
		"A.b-c+d=e@B.test":                       {path: "A.b-c+d=e@B.test"}, // RFC 5321 2.4: case is kept
		"!#$%&'*/?^_`{|}~@x-y.b_c.test":          {path: "!#$%&'*/?^_`{|}~@x-y.b_c.test"},
		`"a b"@b.test`:                           {path: `"a b"@b.test`},
		`"a\"b"@b.test`:                          {path: `"a\"b"@b.test`},
		`"@"@b.test`:                             {path: `"@"@b.test`},
		`"a@evil.test"@good.test`:                {path: `"a@evil.test"@good.test`},
		`""@b.test`:                              {path: `""@b.test`},
		`"a.b"@b.test`:                           {path: "a.b@b.test"}, // the least quoting
		`"\a\ \b"@b.test`:                        {path: `"a b"@b.test`},
		`"a."@b.test`:                            {path: `"a."@b.test`},
		"a@[192.0.2.1]":                          {path: "a@[192.0.2.1]"},
		"a@[IPv6:2001:db8::1]":                   {path: "a@[IPv6:2001:db8::1]"},
		"a@localhost":                            {path: "a@localhost"},
		"postmaster":                             {path: "postmaster"},
		"POSTMASTER":                             {path: "POSTMASTER"},
		strings.Repeat("x", 64) + "@b.test":      {path: strings.Repeat("x", 64) + "@b.test"},
		"a@b\u00fc.test":                         {path: "a@xn--b-eha.test"},
		"a@\u4f8b\uff0etest":                     {path: "a@xn--fsq.test"},
		"\u00e9@b.test":                          {path: "\u00e9@b.test", utf8: true},
		"\u00e9@b\u00fc.test":                    {path: "\u00e9@xn--b-eha.test", utf8: true},
		"e\u0301@b.test":                         {path: "e\u0301@b.test", utf8: true}, // not normalized
		"a\u560a@b.test":                         {path: "a\u560a@b.test", utf8: true},
		"\"\u00e9 x\"@b.test":                    {path: "\"\u00e9 x\"@b.test", utf8: true},
		strings.Repeat("\u00e9", 32) + "@b.test": {path: strings.Repeat("\u00e9", 32) + "@b.test", utf8: true},
	} {
		got, err := parseMailbox(in)
		if err != nil || got != want {
			t.Errorf("%q: %+v, %v; want %+v", in, got, err, want)
		}
	}
	for _, bad := range []string{
		"", "a", "@b.test", "a@", "a@@b.test", ".a@b.test", "a..b@b.test", "a.@b.test", "a b@b.test", "a>b@b.test",
		"a@b.test>", "a@b.test> SIZE=1", "<a@b.test>", "a@b..test", "a@.b", "a@b.test.", "a@b test", "@x,@y:a@b.test",
		`"a@b.test`, `"a"b@c.test`, `"a\"@b.test`, `a"b"@c.test`, `"a@evil" @good`, `"a\` + "\u00e9" + `"@b.test`, "a@[", "a@[]", "a@[1]", "a@[1]>]",
		"a@[192.0.2.1", "a@[2001:db8::1]", "a@[IPv6:192.0.2.1]", "a@[IPv6:fe80::1%lo]", "a@[x:y]", "a@b.test\r\n", "a\x00@b.test", "a\x7f@b.test",
		"a\u0085@b.test", "a\u2028@b", "\xff@b.test", "a@\u00fc..test", "a@b.\ufffd.test", strings.Repeat("x", 65) + "@b.test",
		// octets count, not characters
		strings.Repeat("\u00e9", 33) + "@b.test", "a@" + strings.Repeat("b.", 130) + "test", "a@" + strings.Repeat("b", 64),
		strings.Repeat("x", 64) + "@" + strings.Repeat("b.", 93) + "test",
	} {
		if got, err := parseMailbox(bad); !errors.Is(err, ErrPath) {
			t.Errorf("%q: %+v, %v", bad, got, err)
		}
	}
}

func TestCheckCommand(t *testing.T) {
	for _, c := range []struct {
		stage         Stage
		line          string
		international bool
	}{
		{StageMAIL, "MAIL FROM:<a@b.test> SIZE=1 ~", false},
		{StageRCPT, "RCPT TO:<\u00e9\u560a@b.test>", true},
		{StageEHLO, "EHLO " + strings.Repeat("x", 505), false},
		{StageRCPT, "RCPT " + strings.Repeat("x", 1035), false},
	} {
		if err := checkCommand(c.stage, c.line, c.international); err != nil {
			t.Errorf("%q: %v", c.line, err)
		}
	}
	for _, bad := range []string{"A\rB", "A\nB", "A\r\nB", "A\x00", "A\tB", "A\x7f", "A\x80", "\xff", strings.Repeat("x", 511)} {
		for _, international := range []bool{false, true} {
			if err := checkCommand(StageEHLO, bad, international); !errors.Is(err, ErrCommand) {
				t.Errorf("%q: %v", bad, err)
			}
		}
	}
	if err := checkCommand(StageRCPT, "\u00e9", false); !errors.Is(err, ErrCommand) {
		t.Errorf("UTF-8 to a server that does not read it: %v", err)
	}
}

func TestCheckData(t *testing.T) {
	long := strings.Repeat("x", 998)
	for data, want := range map[string]content{
		"":                         {},
		"a: b\r\n\r\nc":            {},
		"a: b\r\n\r\n\u00e9\r\n":   {eightBit: true},
		"\r\n\xff":                 {eightBit: true},
		"a: \u00e9\r\n\r\nc":       {eightBit: true, international: true},
		"a: b\r\n \u00e9":          {eightBit: true, international: true},
		long + "\r\n." + long[1:]:  {dotted: true},
		".":                        {dotted: true},
		"a: b\r\n\r\na.\r\n b.c":   {},
		"\r\n" + long + "\r\n\xff": {eightBit: true},
	} {
		if got, err := checkData([]byte(data)); err != nil || got != want {
			t.Errorf("%.20q: %+v, %v; want %+v", data, got, err, want)
		}
	}
	for _, bad := range []string{"\x00", "a\nb", "\n", "a\r", "\r\r\n", "a\r\n\n", long + "x", "a\r\n" + long + "x\r\nb", strings.Repeat("\u00e9", 500)} {
		if _, err := checkData([]byte(bad)); !errors.Is(err, ErrData) {
			t.Errorf("%.20q: %v", bad, err)
		}
	}
}

// The sequences by which servers have been made to see the end of a mail too early.
func TestSmugglingIsRefused(t *testing.T) {
	for _, end := range []string{
		"\n.\n", "\n.\r", "\r.\n", "\r.\r", "\n.\r\n", "\r.\r\n", "\r\n.\r\r\n", "\r\r\n.\r\r\n", "\r\n\x00.\r\n", "\r\n.\n", "\r\n.\r",
	} {
		data := []byte("a: b\r\n\r\nc" + end + "MAIL FROM:<x@y>\r\n")
		if _, err := checkData(data); !errors.Is(err, ErrData) {
			t.Errorf("%q: %v", end, err)
		}
	}
}

func TestDotStuffing(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"", ""},
		{"a", "a\r\n"},
		{"a\r\n", "a\r\n"},
		{".", "..\r\n"},
		{".\r\n", "..\r\n"},
		{"..\r\n", "...\r\n"},
		{"a.b\r\n", "a.b\r\n"},
		{"a\r\n.b\r\n.\r\n", "a\r\n..b\r\n..\r\n"},
		{"\r\n.", "\r\n..\r\n"},
		{".\r\n.\r\n.\r\n", "..\r\n..\r\n..\r\n"},
		{"\r\n\r\n", "\r\n\r\n"},
	} {
		for size := 1; size <= len(c.in)+1; size++ {
			if got := stuffed([]byte(c.in), size); string(got) != c.want {
				t.Errorf("%q in pieces of %d: %q, want %q", c.in, size, got, c.want)
			}
		}
	}
}

// stuffed runs data through a dotStuffer in pieces of one size.
func stuffed(data []byte, size int) []byte {
	content, _ := checkData(data)
	s := dotStuffer{idle: !content.dotted}
	var out []byte
	for len(data) > 0 {
		n := min(size, len(data))
		out = s.stuff(out, data[:n])
		data = data[n:]
	}
	return s.finish(out)
}

func FuzzDotStuffing(f *testing.F) {
	for _, s := range []string{"", ".", "\r\n.\r\n", "a\r\n..b", "..\r\n.", "x\r\n\r\n.\r\n", "\n.\r\n"} {
		f.Add([]byte(s), 1)
		f.Add([]byte(s), 3)
	}
	f.Fuzz(func(t *testing.T, data []byte, size int) {
		if _, err := checkData(data); err != nil || size < 1 {
			return
		}
		out := stuffed(data, size)
		if bytes.Contains(append([]byte("\r\n"), out...), []byte("\r\n.\r\n")) {
			t.Fatalf("%q holds the terminator: %q", data, out)
		}
		var back []byte // as RFC 5321 4.5.2 tells a server to read it
		for _, line := range bytes.SplitAfter(out, []byte("\r\n")) {
			back = append(back, bytes.TrimPrefix(line, []byte("."))...)
		}
		want := data
		if len(data) > 0 && !bytes.HasSuffix(data, []byte("\r\n")) {
			want = append(bytes.Clone(data), "\r\n"...)
		}
		if !bytes.Equal(back, want) {
			t.Fatalf("%q came back as %q", want, back)
		}
		if wireSize(data) != int64(len(want)) {
			t.Fatalf("size %d of %d octets", wireSize(data), len(want))
		}
	})
}
