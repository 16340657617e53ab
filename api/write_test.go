package api

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"postrider/internal/email"
)

func TestEncode(t *testing.T) {
	zone := time.FixedZone("", 2*60*60)
	tests := []struct {
		name string
		v    any
		want string
	}{
		{"no HTML escapes", "<a@b>&", `"<a@b>&"`},
		{"separators as they are", "a\u2028b\u2029c", "\"a\u2028b\u2029c\""},
		{"a backslash before a separator's escape", `\u2028`, `"\\u2028"`},
		{"other escapes stay", "\x01\"\\\n\u2028", "\"\\u0001\\\"\\\\\\n\u2028\""},
		{"time in UTC with milliseconds", stamp(time.Date(2026, 8, 23, 16, 5, 9, 123_999_999, zone)), `"2026-08-23T14:05:09.123Z"`},
		{"whole second", stamp(time.Date(2026, 8, 23, 14, 5, 9, 0, time.UTC)), `"2026-08-23T14:05:09.000Z"`},
		{"no time", stamp{}, `null`},
		{"text", text("<\u2028>"), "\"<\u2028>\""},
		{"no text", text(""), `null`},
		{"fields in order", fields{{Name: "X-B", Value: "<1>"}, {Name: "X-A", Value: ""}}, `{"X-B":"<1>","X-A":""}`},
		{"no fields", fields(nil), `{}`},
		{"inside a struct", struct {
			A text
			B stamp
		}{"<", stamp{}}, `{"A":"<","B":null}`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := encode(tt.v)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, string(got)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func FuzzEncode(f *testing.F) {
	for _, s := range []string{"", `\u2028`, "\u2028", "\\\u2028", "<>&", "\xff"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		b, err := encode([]any{s, fields{email.Header{Name: "n" + s, Value: s}}})
		if err != nil {
			t.Fatal(err)
		}
		var got []any
		if err := json.Unmarshal(b, &got); err != nil {
			t.Fatalf("%q: %v", b, err)
		}
		plain, err := json.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		var want string
		if err := json.Unmarshal(plain, &want); err != nil {
			t.Fatal(err)
		}
		if got[0] != want {
			t.Errorf("%q came back as %q", want, got[0])
		}
	})
}
