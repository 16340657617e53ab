package api

import (
	"strings"
	"testing"
)

func TestParseIdempotencyKey(t *testing.T) {
	tests := []struct {
		name, value, want string
		ok                bool
	}{
		{"bare", `receipt/42`, "receipt/42", true},
		{"quoted", `"receipt/42"`, "receipt/42", true},
		{"quoted with escapes", `"a\"b\\c"`, `a"b\c`, true},
		{"spaces inside", `a b  c`, "a b  c", true},
		{"quote inside a bare key", `a"b`, `a"b`, true},
		{"every visible character", "!#$%&'()*+,-./09:;<=>?@AZ[\\]^_`az{|}~", "!#$%&'()*+,-./09:;<=>?@AZ[\\]^_`az{|}~", true},
		{"longest", strings.Repeat("k", 255), strings.Repeat("k", 255), true},
		{"longest quoted", `"` + strings.Repeat("k", 255) + `"`, strings.Repeat("k", 255), true},
		{"empty", ``, "", false},
		{"empty quoted", `""`, "", false},
		{"too long", strings.Repeat("k", 256), "", false},
		{"not closed", `"abc`, "", false},
		{"only a quote", `"`, "", false},
		{"something behind the string", `"abc";a=1`, "", false},
		{"unknown escape", `"a\bc"`, "", false},
		{"backslash at the end", `"abc\`, "", false},
		{"space outside", ` abc`, "", false},
		{"space at the end of a string", `"abc "`, "", false},
		{"tab", "a\tb", "", false},
		{"control", "a\x01b", "", false},
		{"delete", "a\x7fb", "", false},
		{"not ASCII", "clé", "", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, ok := parseIdempotencyKey(tt.value)
			if ok != tt.ok || ok && got != tt.want {
				t.Errorf("parseIdempotencyKey(%.30q) = %.30q, %v; want %.30q, %v", tt.value, got, ok, tt.want, tt.ok)
			}
		})
	}
}

// A preview changes nothing: its key is checked, and then free for what follows.
func TestPreviewsLeaveTheKeyFree(t *testing.T) {
	h := openHouse(t)
	h.published(receiptTemplate)
	inline := `{"subject":"Hi {{name}}","text":"Hi {{name}}","variables":{"name":"Ada"}}`
	for path, body := range map[string]string{
		"/v1/messages?dry_run=true":     minimal,
		"/v1/templates/preview":         inline,
		"/v1/templates/receipt/preview": `{}`,
	} {
		key := header("Idempotency-Key", "preview")
		for range 2 {
			if a := h.post(path, body, key); a.status != 200 || a.header.Get("Idempotent-Replayed") != "" {
				t.Errorf("%s: %d %s", path, a.status, a.raw)
			}
		}
		h.want(h.post(path, body, header("Idempotency-Key", `"open`)), 400, string(invalidIdempotencyKey))
	}
	h.send(minimal, header("Idempotency-Key", "preview"))
}

func FuzzParseIdempotencyKey(f *testing.F) {
	for _, s := range []string{`a`, `"a"`, `"a\"b"`, `"`, ``, `"a"b`, "é"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, value string) {
		key, ok := parseIdempotencyKey(value)
		if !ok {
			return
		}
		quoted := `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(key) + `"`
		again, ok := parseIdempotencyKey(quoted)
		if len(key) == 0 || len(key) > maxIdempotencyKey || !ok || again != key {
			t.Errorf("%q is read as %q, and that quoted as %q", value, key, again)
		}
	})
}
