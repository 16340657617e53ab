package api

import (
	"bufio"
	"bytes"
	"strings"
	"testing"
	"unicode/utf8"
)

// TestPlainRuns compares the run of plain octets, found eight at a time, with one
// found octet by octet, for every octet at every place.
func TestPlainRuns(t *testing.T) {
	slowly := func(b []byte) int {
		for i, c := range b {
			if c < ' ' || c >= utf8.RuneSelf || c == '"' || c == '\\' {
				return i
			}
		}
		return len(b)
	}
	for c := range 256 {
		for at := range 20 {
			for _, fill := range []byte{'a', ' ', 0x7f, '!', '#', '[', ']'} {
				b := bytes.Repeat([]byte{fill}, 20)
				b[at] = byte(c)
				if got, want := plain(b), slowly(b); got != want {
					t.Fatalf("plain(%q) is %d, want %d", b, got, want)
				}
			}
		}
	}
}

func TestQuote(t *testing.T) {
	for _, s := range []string{"", "plain", `"`, `\`, `a"b\c"`, `\\""`, strings.Repeat(`"x\`, 100), "é\n"} {
		var b bytes.Buffer
		w := bufio.NewWriter(&b)
		quote(w, s)
		_ = w.Flush()
		want := `"` + strings.NewReplacer(`"`, `\"`, `\`, `\\`).Replace(s) + `"`
		if b.String() != want {
			t.Errorf("quote(%q) is %s, want %s", s, b.String(), want)
		}
	}
}
