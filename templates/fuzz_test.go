package templates

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"runtime/debug"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/html"
)

// fuzzLimits keep one execution small: every limit is reached by a short text. The clock
// is out of the way: the same input must end alike each time.
func fuzzLimits() Limits {
	return Limits{Time: time.Hour, Steps: 10_000, Output: 4 << 10, Iterations: 100, Source: 2 << 10}
}

// tooLong: what is longer is refused for its length alone, which a few bytes above the
// limit show as well as a megabyte.
func tooLong(s string) bool { return len(s) > fuzzLimits().Source+64 }

// fuzzed runs a target with a collector that waits: live data are small, so that at the
// usual setting it would run some hundred times a second.
func fuzzed(f *testing.F, target any) {
	f.Helper()
	defer debug.SetGCPercent(debug.SetGCPercent(1000))
	f.Fuzz(target)
}

func fuzzLookup(kind Kind, name string) (*Source, error) {
	switch name {
	case "button":
		return &Source{HTML: `<a href="{{url}}">{{label}}</a>`, Text: "{{label}}: {{url}}\n"}, nil
	case "self":
		return &Source{HTML: `{{> self}}`}, nil
	case "frame":
		return &Source{HTML: `<main>{{{content}}}</main>`}, nil
	}
	return nil, ErrNotFound
}

// seed adds the sources of all cases.
func seed(f *testing.F, add func(source string)) {
	f.Helper()
	files, err := filepath.Glob("testdata/cases/*.txt")
	if err != nil || len(files) == 0 {
		f.Fatalf("no cases: %v", err)
	}
	for _, name := range files {
		b, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		c := parseCase(string(b))
		for _, section := range []string{"html", "text", "subject", "partial button html", "layout html"} {
			if s := c[section]; s != "" && len(s) < 2000 {
				add(s)
			}
		}
	}
}

// FuzzParse holds that any text is a template or is refused with faults at places that
// exist, that what is accepted can be introspected and rendered, and that the same
// happens twice.
func FuzzParse(f *testing.F) {
	seed(f, func(s string) { f.Add(s) })
	fuzzed(f, func(t *testing.T, s string) {
		if tooLong(s) {
			return
		}
		for _, src := range []*Source{{HTML: s}, {Text: s, Subject: s}} {
			o := Options{Lookup: fuzzLookup, Limits: fuzzLimits()}
			parsed, err := Parse(src, o)
			again, err2 := Parse(src, o)
			if errText(err) != errText(err2) {
				t.Fatalf("two errors: %v\n%v", err, err2)
			}
			var refused *ParseError
			switch {
			case errors.As(err, &refused):
				checkFaults(t, s, refused.Faults)
				continue
			case err != nil:
				t.Fatalf("not a ParseError: %v", err)
			}
			model := parsed.Model()
			parsed.Variables()
			parsed.Unused(model)
			one, err := parsed.Render(model)
			two, err2 := again.Render(again.Model())
			if errText(err) != errText(err2) || err == nil && *one != *two {
				t.Fatalf("two outputs: %v %v\n%v %v", one, err, two, err2)
			}
			if err == nil && (len(one.HTML) > 5<<10 || len(one.Text) > 5<<10) {
				t.Fatalf("output of %d and %d bytes", len(one.HTML), len(one.Text))
			}
		}
	})
}

func errText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

func checkFaults(t *testing.T, s string, faults []Fault) {
	t.Helper()
	if len(faults) == 0 || len(faults) > maxFaults {
		t.Fatalf("%d faults", len(faults))
	}
	for _, f := range faults {
		if f.In == "" && (f.Line < 0 || f.Line > strings.Count(s, "\n")+1 || f.Column > len(s)+1) || f.Detail == "" {
			t.Fatalf("no such place or no detail: %+v", f)
		}
	}
}

// FuzzRender holds that a value never becomes structure: with any value the HTML has
// the tags and attributes that it has with a harmless one, for mail clients and for
// Outlook, that no address has another scheme than those allowed, that HTML of the data
// runs nothing, and that a header stays one line.
func FuzzRender(f *testing.F) {
	values := []string{
		`"><script>alert(1)</script>`, "javascript:alert(1)", "java\tscript:alert(1)", "&#106;avascript:alert(1)", " data:text/html,x",
		"-->", "--", "]]>", "<![endif]-->", "' onload='x", "a\r\nBcc: b@example.org", "\u202egnp.exe", "{{x}}", "expression(1)", "\\", "</title>", "`",
	}
	values = append(values, rawValues()...)
	n := 0
	seed(f, func(s string) { f.Add(s, values[n%len(values)]); n++ })
	for _, v := range values {
		f.Add(`<title>{{a}}</title><p class="x {{b}}" style="color: {{c}}">{{d}}<!--[if mso]><b title='{{e}}'>{{f}}</b><![endif]--></p>`, v)
		f.Add(`<a href="{{a}}">{{b}}</a><img src='{{c}}{{d}}'><a href="https://x.test/?q={{url_encode e}}">`, v)
		f.Add(`<a href="{{#if a}}{{b}}{{else}}java{{c}}{{/if}}script:{{d}}">{{#each e}}<i {{#if @last}}class="{{this}}"{{/if}}>{{/each}}`, v)
	}
	fuzzed(f, func(t *testing.T, source, value string) {
		if tooLong(source) || tooLong(value) {
			return
		}
		checkRawFrames(t, value)
		parsed, err := Parse(&Source{HTML: source, Subject: source}, Options{Lookup: fuzzLookup, Limits: fuzzLimits()})
		if err != nil {
			if parsed, err = Parse(&Source{HTML: source}, Options{Lookup: fuzzLookup, Limits: fuzzLimits()}); err != nil {
				return
			}
		}
		for _, hostile := range []string{value, "https://x.test/" + value} {
			checkRendering(t, parsed, hostile)
		}
	})
}

func checkRendering(t *testing.T, parsed *Template, hostile string) {
	t.Helper()
	out, err := parsed.Render(fill(parsed.Model(), hostile).(map[string]any))
	if err != nil {
		return
	}
	if strings.ContainsAny(out.Subject, "\r\n") {
		t.Fatalf("the subject has more lines than one: %q", out.Subject)
	}
	for _, view := range views(out.HTML) {
		checkAddresses(t, view)
	}
	fixed := fixedStructure(parsed, false)
	if hostile == "" || !fixed && !fixedStructure(parsed, true) {
		return
	}
	if fixed {
		checkStructure(t, parsed, out)
		return
	}
	// What the template itself has of what runs is its author's.
	if plain, err := parsed.Render(fill(parsed.Model(), "x").(map[string]any)); err == nil && running(plain.HTML) == "" {
		if what := running(out.HTML); what != "" {
			t.Fatalf("%s was put into %q: %q", what, plain.HTML, out.HTML)
		}
	}
}

// checkStructure holds that the HTML has the tags and attributes that it has with a harmless
// value.
func checkStructure(t *testing.T, parsed *Template, out *Output) {
	t.Helper()
	for _, harmless := range []string{"https://x.test/", "x"} {
		plain, err := parsed.Render(fill(parsed.Model(), harmless).(map[string]any))
		if err != nil {
			continue
		}
		want := views(plain.HTML)
		for i, view := range views(out.HTML) {
			if got, want := structure(view), structure(want[min(i, len(want)-1)]); got != want {
				t.Fatalf("the value changed the structure\nfrom %s\nto   %s\n%q\n%q", want, got, plain.HTML, out.HTML)
			}
		}
		return
	}
}

// fill puts a text in the place of every value.
func fill(v any, s string) any {
	switch v := v.(type) {
	case map[string]any:
		for k := range v {
			v[k] = fill(v[k], s)
		}
		return v
	case []any:
		for i := range v {
			v[i] = fill(v[i], s)
		}
		return v
	case bool:
		return v
	}
	return s
}

// fixedStructure: no part of the template lets the data choose what is written: HTML
// of the data (unless raw), or comparisons.
func fixedStructure(parsed *Template, raw bool) bool {
	fixed := true
	var walk func(list []node)
	walk = func(list []node) {
		for _, n := range list {
			switch n := n.(type) {
			case *outputNode:
				_, isCall := n.x.(*call)
				fixed = fixed && (raw || n.escape != escapeRaw) && !isCall
			case *ifNode:
				_, isCall := n.cond.(*call)
				fixed = fixed && !isCall
				walk(n.then)
				walk(n.or)
			case *loopNode:
				_, isCall := n.x.(*call)
				fixed = fixed && !isCall
				walk(n.body)
				walk(n.or)
			case *partialNode:
				walk(n.body.nodes)
			}
		}
	}
	for _, p := range parsed.parts {
		if p.part == HTML {
			walk(p.body.nodes)
		}
	}
	return fixed
}

// views are the HTML as most clients read it and as Outlook does, without conditional
// comments.
func views(s string) []string {
	if !strings.Contains(s, "<!") {
		return []string{s} // both read the same
	}
	return []string{s, outlook.ReplaceAllString(s, "")}
}

// outlook finds the marks of conditional comments.
var outlook = regexp.MustCompile(`<!--\[if[^>]*?\]>(?:<!-->|-->)?|<!--<!\[endif\]-->|<!\[endif\]-->`)

func structure(s string) string {
	var b bytes.Buffer
	z := html.NewTokenizer(strings.NewReader(s))
	for {
		kind := z.Next()
		if kind == html.ErrorToken {
			return b.String()
		}
		if kind == html.TextToken {
			continue
		}
		token := z.Token()
		b.WriteString(kind.String())
		if kind == html.CommentToken || kind == html.DoctypeToken {
			b.WriteByte(' ')
			continue
		}
		b.WriteString("<" + token.Data)
		for _, a := range token.Attr {
			b.WriteString(" " + a.Key)
		}
		b.WriteString("> ")
	}
}

func checkAddresses(t *testing.T, s string) {
	t.Helper()
	z := html.NewTokenizer(strings.NewReader(s))
	for z.Next() != html.ErrorToken {
		for _, a := range z.Token().Attr {
			if a.Key != "href" && a.Key != "src" {
				continue
			}
			v := strings.ToLower(strings.Map(func(r rune) rune {
				if r <= ' ' {
					return -1
				}
				return r
			}, a.Val))
			for _, bad := range []string{"javascript:", "data:", "vbscript:", "file:"} {
				if strings.HasPrefix(v, bad) {
					t.Fatalf("%s in %s: %q", bad, a.Key, s)
				}
			}
		}
	}
}
