package smtpclient

import (
	"bytes"
	"errors"
	"strings"
	"testing"
)

func TestCheckPath(t *testing.T) {
	for _, ok := range []string{
		"a@b.test", "A.b-c+d=e@b.test", "!#$%&'*/?^_`{|}~@x-y.b_c.test", `"a b"@b.test`, `"a\"b"@b.test`, `"@"@b.test`,
		"a@[192.0.2.1]", "a@[IPv6:2001:db8::1]", "postmaster", "POSTMASTER", strings.Repeat("x", 64) + "@b.test", "a@localhost",
	} {
		if err := checkPath(ok); err != nil {
			t.Errorf("%q: %v", ok, err)
		}
	}
	for _, bad := range []string{
		"", "a", "@b.test", "a@", "a@@b.test", ".a@b.test", "a..b@b.test", "a.@b.test", "a b@b.test", "a>b@b.test",
		"a@b.test>", "a@b.test> SIZE=1", "<a@b.test>", "a@b..test", "a@.b", "a@b.test.", "a@b test", "@x,@y:a@b.test",
		`"a@b.test`, `"a"b@c.test`, `"a\"@b.test`, `a"b"@c.test`, "a@[", "a@[]", "a@[1]>]", "a@[(]", "a@[2001:db8::1]", "a@[IPv6:192.0.2.1]", "a@[IPv6:fe80::1%x]", "a@b.test\r\n", "a\x00@b.test",
		"a\x7f@b.test", strings.Repeat("x", 65) + "@b.test", "a@" + strings.Repeat("b.", 130) + "test", "a@" + strings.Repeat("b", 64),
	} {
		if err := checkPath(bad); !errors.Is(err, ErrPath) {
			t.Errorf("%q: %v", bad, err)
		}
	}
	// U+560A and U+560D end in the octets of LF and CR.
	for _, international := range []string{"\u00e9@b.test", "a@b\u00fc.test", "a\u560a@b.test", "a\u560d@b.test", "a\u2028@b", "\xff@b.test"} {
		if err := checkPath(international); !errors.Is(err, ErrInternational) {
			t.Errorf("%q: %v", international, err)
		}
	}
}

func TestCheckCommand(t *testing.T) {
	if err := checkCommand("MAIL FROM:<a@b.test> SIZE=1 ~"); err != nil {
		t.Error(err)
	}
	for _, bad := range []string{"A\rB", "A\nB", "A\r\nB", "A\x00", "A\tB", "A\x7f", "A\x80", "\u00e9"} {
		if err := checkCommand(bad); !errors.Is(err, ErrCommand) {
			t.Errorf("%q: %v", bad, err)
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
	var s dotStuffer
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
