package api

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
)

func TestParseJSONRefuses(t *testing.T) {
	deep := strings.Repeat("[", maxDepth+1)
	tests := []struct {
		name, body string
		offset     int
	}{
		{"nothing", ``, 0},
		{"only space", " \n", 2},
		{"byte order mark", "\ufeff{}", 0},
		{"cut object", `{"to"`, 5},
		{"cut string", `{"to":"ada`, 10},
		{"no value", `{"to":}`, 6},
		{"comma at the end", `{"to":"a",}`, 10},
		{"comma at the end of an array", `{"to":["a",]}`, 11},
		{"no comma", `{"a":1 "b":2}`, 7},
		{"no colon", `{"a" 1}`, 5},
		{"name without quotes", `{to:"a"}`, 1},
		{"single quotes", `{'to':'a'}`, 1},
		{"comment", `{/* */}`, 1},
		{"second value", `{} {}`, 3},
		{"trailing garbage", `{}x`, 2},
		{"wrong bracket", `{"a":[1}`, 7},
		{"NaN", `{"a":NaN}`, 5},
		{"half a literal", `{"a":tru}`, 5},
		{"upper-case literal", `{"a":True}`, 5},
		{"plus", `{"a":+1}`, 5},
		{"leading zero", `{"a":01}`, 6},
		{"no digit before the dot", `{"a":.5}`, 5},
		{"no digit after the dot", `{"a":1.}`, 7},
		{"no digit in the exponent", `{"a":1e+}`, 8},
		{"lone minus", `{"a":-}`, 6},
		{"raw line break", "{\"a\":\"b\nc\"}", 7},
		{"raw NUL", "{\"a\":\"\x00\"}", 6},
		{"unknown escape", `{"a":"\x41"}`, 6},
		{"short unicode escape", `{"a":"\u00e"}`, 6},
		{"unicode escape at the end", `{"a":"\u00`, 6},
		{"backslash at the end", `{"a":"\`, 6},
		{"lone high surrogate", `{"a":"\ud83d"}`, 6},
		{"lone low surrogate", `{"a":"\ude00"}`, 6},
		{"two high surrogates", `{"a":"\ud83d\ud83d"}`, 6},
		{"invalid UTF-8", "{\"a\":\"x\xff\"}", 7},
		{"overlong UTF-8", "{\"a\":\"\xc0\xaf\"}", 6},
		{"surrogate in UTF-8", "{\"a\":\"\xed\xa0\x80\"}", 6},
		{"invalid UTF-8 in a name", "{\"\xff\":1}", 2},
		{"too deep", deep + strings.Repeat("]", maxDepth+1), maxDepth},
		{"much too deep", strings.Repeat(`{"a":`, 1_000_000), 5 * maxDepth},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := parseJSON([]byte(tt.body))
			var syntax *syntaxError
			if !errors.As(err, &syntax) {
				t.Fatalf("parseJSON: %v, want a syntax error", err)
			}
			if syntax.offset != tt.offset {
				t.Errorf("offset %d (%s), want %d", syntax.offset, syntax.why, tt.offset)
			}
		})
	}
}

func TestParseJSONReads(t *testing.T) {
	tests := []struct{ name, body, want string }{
		{"order of members", `{"b":1,"a":2}`, `{"b":1,"a":2}`},
		{"white space", "\t{ \"a\" : [ 1 , 2 ] }\r\n", `{"a":[1,2]}`},
		{"empty lists", `{"a":{},"b":[ ]}`, `{"a":{},"b":[]}`},
		{"escapes", `{"a":"\"\\\/\b\f\n\r\t\u00e9\u0000"}`, `{"a":"\"\\/\b\f\n\r\té\u0000"}`},
		{"surrogate pair", `{"a":"x\ud83d\ude00y"}`, `{"a":"x😀y"}`},
		{"raw UTF-8", `{"a":"é😀"}`, `{"a":"é😀"}`},
		{"escaped name", `{"\u0074o":null}`, `{"to":null}`},
		{"literals", `[true,false,null]`, `[true,false,null]`},
		{"numbers", `[0,-0,1.50,-1e-5,12E+3]`, `[0,-0,1.50,-1e-5,12E+3]`},
		{"as deep as allowed", strings.Repeat("[", maxDepth) + strings.Repeat("]", maxDepth), strings.Repeat("[", maxDepth) + strings.Repeat("]", maxDepth)},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			doc, err := parseJSON([]byte(tt.body))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, rebuild(t, doc.root)); diff != "" {
				t.Errorf("read differently (-want +got):\n%s", diff)
			}
		})
	}
}

func TestParseJSONNamesDuplicates(t *testing.T) {
	doc, err := parseJSON([]byte(`{"a":1,"b":{"x/y":1,"\u0078/y":2},"a":null,"c":[{"d":1,"d":1,"d":1}],"A":1,"a":2}`))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"#/b/x~1y", "#/a", "#/c/0/d"}, doc.duplicates); diff != "" {
		t.Errorf("duplicates (-want +got):\n%s", diff)
	}
}

func TestParseJSONCutsACrowdedTree(t *testing.T) {
	body := `{"to":[` + strings.Repeat("0,", 3*maxValues) + `0]}`
	doc, err := parseJSON([]byte(body))
	if err != nil || !doc.crowded {
		t.Fatalf("parseJSON: %v, crowded %v; want a crowded document", err, doc != nil && doc.crowded)
	}
	if len(doc.root.children) != 0 {
		t.Error("the crowded array is kept")
	}
	if _, err := parseJSON([]byte(body + "x")); err == nil {
		t.Error("the syntax of the rest is not checked")
	}
}

// FuzzParseJSON holds the reader to encoding/json: it accepts nothing that the other
// does not, and reads the same values.
func FuzzParseJSON(f *testing.F) {
	for _, s := range []string{
		`{"from":"Acme <hi@acme.com>","to":["a@b.c",{"email":"d@e.f","name":null}]}`, `[1.5e-3,-0,{"a":"\ud83d\ude00\u2028"}]`,
		`{"a":{"a":{"a":[[[]]]}},"a":1}`, "\"\xff\"", `"\ud800"`, `{"":""}`, `1e999999999999999999999`, ` null `, `{"a":01}`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		doc, err := parseJSON(data)
		if err != nil {
			var syntax *syntaxError
			if !errors.As(err, &syntax) || syntax.offset < 0 || syntax.offset > len(data) {
				t.Fatalf("error %v for %d octets", err, len(data))
			}
			return
		}
		if !json.Valid(data) || !utf8.Valid(data) {
			t.Fatal("accepted what is no JSON in UTF-8")
		}
		first := fingerprint("POST", "/x", doc.root)
		if doc.crowded || len(doc.duplicates) > 0 {
			return
		}
		text := rebuild(t, doc.root)
		var ours, theirs any
		if json.Unmarshal([]byte(text), &ours) == nil && json.Unmarshal(data, &theirs) == nil && !cmp.Equal(ours, theirs) {
			t.Fatalf("read %s", text)
		}
		again, err := parseJSON([]byte(text))
		if err != nil {
			t.Fatalf("what was read is not read again: %v", err)
		}
		if fingerprint("POST", "/x", again.root) != first {
			t.Fatal("another spelling has another fingerprint")
		}
	})
}

// rebuild writes a tree as JSON again, in its own order.
func rebuild(t testing.TB, n *node) string {
	t.Helper()
	var parts []string
	for _, c := range n.children {
		s := rebuild(t, c)
		if n.kind == objectKind {
			s = rebuild(t, &node{kind: stringKind, text: c.name}) + ":" + s
		}
		parts = append(parts, s)
	}
	switch n.kind {
	case objectKind:
		return "{" + strings.Join(parts, ",") + "}"
	case arrayKind:
		return "[" + strings.Join(parts, ",") + "]"
	case stringKind:
		b, err := encode(n.text)
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	return n.text
}
