package compose

import "testing"

// TestPlainRuns compares the run of plain octets, found eight at a time, with one
// found octet by octet, for every octet at every place.
func TestPlainRuns(t *testing.T) {
	slowly := func(s string) int {
		for i := range len(s) {
			if s[i] < ' ' || s[i] >= 0x7f || s[i] == '=' {
				return i
			}
		}
		return len(s)
	}
	for c := range 256 {
		for at := range 20 {
			for _, fill := range []byte{'a', ' ', '~', '<', '>'} {
				b := make([]byte, 20)
				for i := range b {
					b[i] = fill
				}
				b[at] = byte(c)
				if got, want := plainRun(string(b)), slowly(string(b)); got != want {
					t.Fatalf("plainRun(%q) is %d, want %d", b, got, want)
				}
			}
		}
	}
}
