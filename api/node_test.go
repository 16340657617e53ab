package api

import (
	"strings"
	"testing"
)

func TestFingerprint(t *testing.T) {
	base := `{"to":"ada@example.org","subject":"a\"b","ttl_seconds":60,"metadata":{"x":"1","y":"2"}}`
	tests := []struct {
		name, body string
		same       bool
	}{
		{"order and white space", `{ "metadata":{"y":"2","x":"1"},"ttl_seconds":60, "subject":"a\"b","to":"ada@example.org"}`, true},
		{"escapes", `{"\u0074o":"ada\u0040example.org","subject":"a\u0022b","ttl_seconds":60,"metadata":{"x":"1","y":"2"}}`, true},
		{"numbers", `{"to":"ada@example.org","subject":"a\"b","ttl_seconds":0.6E+2,"metadata":{"x":"1","y":"2"}}`, true},
		{"null is absent", `{"to":"ada@example.org","cc":null,"subject":"a\"b","ttl_seconds":60,"metadata":{"x":"1","y":"2","z":null}}`, true},
		{"another value", `{"to":"bob@example.org","subject":"a\"b","ttl_seconds":60,"metadata":{"x":"1","y":"2"}}`, false},
		{"another number", `{"to":"ada@example.org","subject":"a\"b","ttl_seconds":600,"metadata":{"x":"1","y":"2"}}`, false},
		{"string for number", `{"to":"ada@example.org","subject":"a\"b","ttl_seconds":"60","metadata":{"x":"1","y":"2"}}`, false},
		{"array for string", `{"to":["ada@example.org"],"subject":"a\"b","ttl_seconds":60,"metadata":{"x":"1","y":"2"}}`, false},
		{"values changed places", `{"to":"ada@example.org","subject":"a\"b","ttl_seconds":60,"metadata":{"x":"2","y":"1"}}`, false},
		{"empty for absent", `{"to":"ada@example.org","cc":[],"subject":"a\"b","ttl_seconds":60,"metadata":{"x":"1","y":"2"}}`, false},
		{"a quote moved", `{"to":"ada@example.org","subject":"a\\\"b","ttl_seconds":60,"metadata":{"x":"1","y":"2"}}`, false},
	}
	want := fingerprintOf(t, "POST", "/v1/messages", base)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if same := fingerprintOf(t, "POST", "/v1/messages", tt.body) == want; same != tt.same {
				t.Errorf("same fingerprint: %v, want %v", same, tt.same)
			}
		})
	}
	if fingerprintOf(t, "POST", "/v1/messages/raw", base) == want {
		t.Error("another route has the same fingerprint")
	}
}

func fingerprintOf(t *testing.T, method, route, body string) [32]byte {
	t.Helper()
	doc, err := parseJSON([]byte(body))
	if err != nil {
		t.Fatal(err)
	}
	return fingerprint(method, route, doc.root)
}

func TestDecimal(t *testing.T) {
	tests := []struct {
		literal, canonical string
		n                  int64
		whole, fits        bool
	}{
		{"0", "0", 0, true, true},
		{"-0.00e5", "0", 0, true, true},
		{"0e99999999999999999999", "0", 0, true, true},
		{"60", "6e1", 60, true, true},
		{"60.0", "6e1", 60, true, true},
		{"6e1", "6e1", 60, true, true},
		{"0.6E+2", "6e1", 60, true, true},
		{"-6000e-2", "-6e1", -60, true, true},
		{"60.5", "605e-1", 0, false, false},
		{"1e-3", "1e-3", 0, false, false},
		{"123456789012345678", "123456789012345678e0", 123456789012345678, true, true},
		{"1e17", "1e17", 100000000000000000, true, true},
		{"1e18", "1e18", 0, true, false},
		{"9223372036854775808", "9223372036854775808e0", 0, true, false},
		{"1e999999999", "1e999999999", 0, true, false},
		{"1e99999999999999999999", "1e99999999999999999999", 0, true, false},
		{"-1e99999999999999999999", "-1e99999999999999999999", 0, true, false},
		{"1e-99999999999999999999", "1e-99999999999999999999", 0, false, false},
		{strings.Repeat("1", 100_000), strings.Repeat("1", 100_000) + "e0", 0, true, false},
	}
	for _, tt := range tests {
		t.Run(tt.literal[:min(len(tt.literal), 30)], func(t *testing.T) {
			d := readDecimal(tt.literal)
			if d.String() != tt.canonical {
				t.Errorf("canonical %s, want %s", d, tt.canonical)
			}
			if n, whole, fits := d.integer(); n != tt.n || whole != tt.whole || fits != tt.fits {
				t.Errorf("integer: %d, whole %v, fits %v; want %d, %v, %v", n, whole, fits, tt.n, tt.whole, tt.fits)
			}
		})
	}
}

func TestMember(t *testing.T) {
	tests := []struct{ name, want string }{
		{"to", "#/to"},
		{"", "#/"},
		{"a/b~c", "#/a~1b~0c"},
		{"c%d\"e f", "#/c%25d%22e%20f"},
		{"é\r\n", "#/%C3%A9%0D%0A"},
		{strings.Repeat("x", 1000), "#"},
	}
	for _, tt := range tests {
		if got := member("#", tt.name); got != tt.want {
			t.Errorf("member(%.20q) = %s, want %s", tt.name, got, tt.want)
		}
	}
}
