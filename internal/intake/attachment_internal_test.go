package intake

import (
	"encoding/base64"
	"mime"
	"strings"
	"testing"
)

func FuzzBase64Digits(f *testing.F) {
	for _, s := range []string{"", "AA==", "AAA", "+//+ AAEC", "-__-", "A", "=", "AB==", "A A\r\nA=", "\x00"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		digits, ok := base64Digits(s)
		if !ok {
			return
		}
		decoded, err := base64.RawStdEncoding.Strict().DecodeString(string(digits))
		if err != nil {
			t.Fatalf("%q was found right, but: %v", s, err)
		}
		// One content, one spelling, but for alphabet, whitespace and padding.
		same := strings.NewReplacer(" ", "", "\t", "", "\r", "", "\n", "", "=", "", "-", "+", "_", "/").Replace(s)
		if again := base64.RawStdEncoding.EncodeToString(decoded); again != same {
			t.Fatalf("%q decodes to what is written %q", s, again)
		}
	})
}

func FuzzParseContentType(f *testing.F) {
	for _, s := range []string{"text/plain", `text/calendar; method="REQUEST"`, "a/b; c*=utf-8''%e2%82%ac", "multipart/mixed", "a/b; c=\"\r\n\"", "*/*", "a/b;n*0=x;n*1=y"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		normal, why := parseContentType(s)
		if (normal == "") == (why == "") {
			t.Fatalf("%q: %q, %q", s, normal, why)
		}
		if why != "" {
			return
		}
		for i := range len(normal) {
			if normal[i] < ' ' || normal[i] > '~' {
				t.Fatalf("%q is written %q", s, normal)
			}
		}
		kind, _, err := mime.ParseMediaType(normal)
		if err != nil || strings.HasPrefix(kind, "multipart/") || strings.HasPrefix(kind, "message/") {
			t.Fatalf("%q is written %q, which reads as %q, %v", s, normal, kind, err)
		}
	})
}

// What is counted before decoding is what the file takes in the mail.
func TestEncodedSize(t *testing.T) {
	for n := range 400 {
		c := &checker{faults: newFaultList(nil)}
		c.fileContent("#", Attachment{Content: base64.StdEncoding.EncodeToString(make([]byte, n)), HasContent: true})
		written := base64.StdEncoding.EncodedLen(n)
		lines := (written + 75) / 76
		if want := int64(written + 2*lines); c.encoded != want || len(c.faults.all()) > 0 {
			t.Fatalf("%d octets count %d, want %d: %v", n, c.encoded, want, c.faults.all())
		}
	}
}

func TestForbiddenExtensionsAreWellFormed(t *testing.T) {
	seen := make(map[string]bool)
	for _, e := range ForbiddenExtensions() {
		if e != strings.ToLower(e) || strings.ContainsAny(e, ". ") || seen[e] || extension("a."+e) != e {
			t.Errorf("extension %q", e)
		}
		seen[e] = true
	}
}
