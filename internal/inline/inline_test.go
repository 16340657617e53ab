package inline_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/net/html"

	"postrider/internal/inline"
	"postrider/templates"
)

// TestCases: each file has a page and behind the line ==== what it becomes.
func TestCases(t *testing.T) {
	files, err := filepath.Glob("testdata/*.html")
	if err != nil || len(files) == 0 {
		t.Fatalf("no cases: %v", err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			source, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			page, want, ok := strings.Cut(string(source), "====\n")
			if !ok {
				t.Fatal("no ==== in it")
			}
			got, err := inline.CSS(page)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(want, got); d != "" {
				t.Errorf("-want +got:\n%s\n%s", d, got)
			}
			again, err := inline.CSS(got)
			if err != nil || again != got {
				t.Errorf("inlined twice it is another page: %v\n%s", err, cmp.Diff(got, again))
			}
		})
	}
}

func TestSelectors(t *testing.T) {
	const page = `<html><body><div id="a" class="x y"><p class="lead">1</p><p>2<a href="https://a.example" title="b]c">3</a></p></div><table><tr><td>4</td><td>5</td></tr></table><ul><li>6<li>7</ul></body>`
	for selector, want := range map[string]string{
		"p": "1 2", "P": "1 2", "*": "- - 1 2 3 - - 4 5 - 6 7", ".lead": "1", ".x.y": "-", "#a": "-", "div#a.x p": "1 2", "div > a": "", "div a": "3", "div > p > a": "3",
		"p + p": "2", "p ~ p": "2", "p:first-child": "1", "p:last-child": "2", "td:first-child": "4", "tr > td": "4 5", "td td": "", "li": "6 7", "li li": "", "li + li": "7",
		"a[href]": "3", `a[href^="https:"]`: "3", `[title='b]c']`: "3", "body .y a": "3", "html body div": "-", ".lead, td:last-child": "1 5",
		".X": "", "a:hover": "", "p::before": "", "p:nth-child(1)": "", ":root p": "", "p >": "", "> p": "", "p > > a": "", "p..lead": "", `.le\61 d`: "", "svg|p": "", "": "",
	} {
		got, err := inline.CSS("<style>" + selector + "{color:red}</style>" + page)
		if err != nil {
			t.Fatal(err)
		}
		if styled := textsOfStyled(got); styled != want {
			t.Errorf("%s: styled %q, want %q", selector, styled, want)
		}
	}
}

// textsOfStyled are the first texts in the elements that have a style; - for none.
func textsOfStyled(page string) string {
	var out []string
	z := html.NewTokenizer(strings.NewReader(page))
	styled := false
	for {
		kind := z.Next()
		if styled {
			styled = false
			if kind == html.TextToken {
				out = append(out, string(z.Text()))
			} else {
				out = append(out, "-")
			}
		}
		switch kind {
		case html.ErrorToken:
			return strings.Join(out, " ")
		case html.StartTagToken:
			styled = strings.Contains(string(z.Raw()), `style="color: red"`)
		}
	}
}

// hostile pages are refused or done within bounds.
func hostile() map[string]string {
	many := func(n int, s string) string { return strings.Repeat(s, n) }
	rules := func(n int, selector, declared string) string {
		return "<style>" + many(n, selector+"{"+declared+"}") + "</style>"
	}
	return map[string]string{
		"rules times elements":       rules(4000, "p", "a:b") + many(40_000, "<p>"),
		"descendants":                rules(200, ".no * * * * * * * * *", "a:b") + many(400, "<i>") + many(2000, "<b></b>"),
		"siblings":                   rules(50, ".no ~ p ~ p ~ p ~ p", "a:b") + many(30_000, "<p></p>"),
		"long class":                 rules(4000, ".x", "a:b") + `<p class="` + many(500_000, "y ") + `x">` + many(100, `<p class="`+many(5000, "y ")+`">`),
		"class again and again":      rules(1000, ".x", "a:b") + `<p class="` + many(1_000_000, "x ") + `">`,
		"long attribute":             rules(4000, "[title$=x]", "a:b") + many(50, `<p title="`+many(50_000, "y")+`">`),
		"declarations":               rules(1, "p", many(60_000, "a:b;")) + many(20_000, "<p>"),
		"declarations beside styles": rules(1, "p", many(60_000, "a:b;")) + many(5000, `<p style="c:d">`),
		"long value":                 rules(1, "p", "a:"+many(300_000, "b")) + many(20_000, "<p>"),
		"deep":                       rules(1, "p", "a:b") + many(100_000, "<div>"),
		"unclosed":                   rules(1, "p", "a:b") + many(500, "<b>") + many(40_000, "<p>x</p>"),
		"ends":                       rules(1, "p", "a:b") + "<div><table><td>" + many(500, "<b>") + many(700_000, "</div>"),
		"braces":                     "<style>" + many(400_000, "{") + "</style><p>",
		"media in media":             "<style>" + many(50_000, "@media x{") + "</style><p>",
		"brackets":                   "<style>p" + many(400_000, "[") + "{a:b}</style><p>",
		"commas":                     "<style>p" + many(400_000, ",p") + "{a:b}</style><p>",
		"comment":                    "<style>/*" + many(400_000, "*") + "</style><p>",
		"escapes":                    "<style>" + many(200_000, `\`) + "{a:b}</style><p>",
		"strings":                    "<style>p{a:" + many(200_000, `"`) + "}</style><p>",
		"style sheets":               many(40_000, "<style>p{a:b}</style>") + "<p>",
		"much CSS":                   "<style>" + many(100_000, "p{a:b}") + "</style><p>",
		"much HTML":                  many(800_000, "<p>abc "),
		"NUL":                        "<style>p\x00{a:\x00b}</style>\x00<p\x00><p style=\"\x00\">",
		"attributes":                 rules(1, "p", "a:b") + "<p" + many(500_000, " a=b") + ">",
		"a long style":               rules(1, "p", "a:b") + `<p style="` + many(1_000_000, "a:b;") + `">`,
		"long styles":                rules(1, "p", "a:b") + numbered(2000, `<p style="`+many(500, "a:b;")+`z:%d">`),
		"attributes of styles":       rules(1, "p", "a:b") + many(9000, "<p"+many(40, " a=x")+` style="c:d">`),
		"end tags":                   rules(1, "p", "a:b") + many(1_000_000, "</b>"),
		"declarations of markup":     rules(1, "p", "a:b") + many(1_000_000, "<!x>"),
		"custom properties":          "<style>p{" + many(50_000, "--x:{};") + "}</style><p>",
	}
}

func numbered(n int, format string) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, format, i)
	}
	return b.String()
}

// What is read is counted, so that the same page ends alike on every machine.
func TestWhatIsReadIsCounted(t *testing.T) {
	many := strings.Repeat
	style := func(octets int) string { return `<p style="` + many("a:b;", octets/4) + `">` }
	sheet := "<style>p{color:red}</style>"
	for _, c := range []struct {
		name, page string
		tooMuch    bool
	}{
		{"a style of 800,000 octets", sheet + style(800_000), false},
		{"one of 1,000,000", sheet + style(1_000_000), true},
		{"the same style 30 times, which is read once", sheet + many(style(100_000), 30), false},
		{"10 other ones", sheet + numbered(10, `<p style="`+many("a:b;", 25_000)+`z:%d">`), true},
		{"a style that no rule touches is not read", "<style>b{color:red}</style>" + style(1_000_000), false},
		{"199,000 attributes", sheet + "<p" + many(" a='b c=d'", 199_000) + ">", false},
		{"200,000 attributes", sheet + "<p" + many("/a=b", 200_000) + ">", true},
		{"199,000 end tags", sheet + many("</b>", 199_000), false},
		{"200,000 end tags", sheet + many("</b>", 200_000), true},
	} {
		if _, err := inline.CSS(c.page); errors.Is(err, inline.ErrTooMuch) != c.tooMuch {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

func TestHostile(t *testing.T) {
	for name, page := range hostile() {
		t.Run(name, func(t *testing.T) {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			began := time.Now()
			got, err := inline.CSS(page)
			took := time.Since(began)
			runtime.ReadMemStats(&after)
			if err != nil && !errors.Is(err, inline.ErrTooMuch) {
				t.Error(err)
			}
			if len(got) > 5<<20+200<<10 {
				t.Errorf("it becomes %d octets", len(got))
			}
			// Generous: the race detector makes it ten times slower.
			if took > 10*time.Second {
				t.Errorf("took %v", took)
			}
			if allocated := after.TotalAlloc - before.TotalAlloc; allocated > 600<<20 {
				t.Errorf("allocated %d MiB", allocated>>20)
			}
			t.Logf("%8d octets, %v, %d MiB, %v", len(page), took.Round(time.Millisecond), (after.TotalAlloc-before.TotalAlloc)>>20, err)
		})
	}
}

// FuzzCSS: only start tags and style sheets may change, so that the texts, comments and
// other attributes are those that were.
func FuzzCSS(f *testing.F) {
	files, _ := filepath.Glob("testdata/*.html")
	for _, file := range files {
		source, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		page, _, _ := strings.Cut(string(source), "====\n")
		f.Add(page)
	}
	f.Add(`<style>a{b:"</b>c{d:e}</style><a style='x:y' href=z>`)
	f.Add("<style>.c{a:b}</style><t\x00\x00 class=c>")
	f.Add(`<style>a{b:c}<!-- </ x{y:z} style> --></style><a>`)
	f.Fuzz(func(t *testing.T, page string) {
		got, err := inline.CSS(page)
		if err != nil {
			return
		}
		if d := cmp.Diff(skeleton(page), skeleton(got)); d != "" {
			t.Errorf("the page has changed (-before +after):\n%s\n%q", d, got)
		}
	})
}

// skeleton is a page without its styles.
func skeleton(page string) string {
	var out strings.Builder
	z := html.NewTokenizer(strings.NewReader(page))
	for inside := ""; ; {
		switch kind := z.Next(); kind {
		case html.ErrorToken:
			return out.String()
		case html.StartTagToken, html.SelfClosingTagToken:
			token := z.Token()
			if inside = token.Data; inside == "style" {
				continue
			}
			out.WriteString("<" + token.Data)
			for _, a := range token.Attr {
				if a.Key != "style" {
					out.WriteString(" " + a.Key + "=" + a.Val)
				}
			}
			out.WriteString(">")
		case html.EndTagToken:
			inside = ""
			if token := z.Token(); token.Data != "style" {
				out.WriteString("</" + token.Data + ">")
			}
		default:
			if inside != "style" {
				out.WriteString(z.Token().String())
			}
		}
	}
}

func BenchmarkReceipt(b *testing.B) {
	page, err := os.ReadFile("testdata/page.html")
	if err != nil {
		b.Fatal(err)
	}
	source, _, _ := strings.Cut(string(page), "====\n")
	b.SetBytes(int64(len(source)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := inline.CSS(source); err != nil {
			b.Fatal(err)
		}
	}
}

// TestAddresses: what a template makes of hostile values has no address of another
// scheme, before and after its CSS moved.
func TestAddresses(t *testing.T) {
	template, err := templates.Parse(&templates.Source{
		Subject: "s",
		HTML:    `<style>a, p { color: red; background: url(https://a.example/x.png) }</style><a href="{{url}}">x</a><img src="{{url}}"><p title="{{text}}">{{text}}</p><div>{{{html}}}</div>`,
	}, templates.Options{})
	if err != nil {
		t.Fatal(err)
	}
	hostile := []string{
		"javascript:alert(1)", "JaVaScRiPt:alert(1)", " javascript:alert(1)", "java\nscript:alert(1)", "java\tscript:alert(1)", "\x01javascript:alert(1)",
		"&#106;avascript:alert(1)", "javascript&colon;alert(1)", "data:text/html,<script>alert(1)</script>", "DATA:text/html;base64,PHNjcmlwdD4=", "vbscript:x", "file:///etc/passwd",
		"//evil.example", "\"onclick=alert(1) x=\"", "x\" style=\"behavior:url(x)", "'><script>alert(1)</script>", "</style><script>alert(1)</script>", "blob:x", "about:blank",
	}
	rendered := 0
	for _, value := range hostile {
		for _, data := range []map[string]any{
			{"url": value, "text": "x", "html": "x"},
			{"url": "https://a.example", "text": value, "html": "x"},
			{"url": "https://a.example", "text": "x", "html": `<a href="` + value + `">x</a>`},
			{"url": "https://a.example", "text": "x", "html": `<img src='` + value + `'>`},
			{"url": "https://a.example", "text": "x", "html": `<a href=` + value + `>x</a>`},
		} {
			out, err := template.Render(data)
			if err != nil {
				continue
			}
			rendered++
			page, err := inline.CSS(out.HTML)
			if err != nil {
				t.Fatal(err)
			}
			for _, fault := range dangers(t, page) {
				t.Errorf("%q: %s\n%s", data, fault, page)
			}
		}
	}
	if rendered < len(hostile) {
		t.Errorf("only %d were rendered: the pages were not looked at", rendered)
	}
}

// dangers are the addresses, scripts and handlers of a page, as a browser reads it.
func dangers(t *testing.T, page string) (found []string) {
	t.Helper()
	root, err := html.Parse(strings.NewReader(page))
	if err != nil {
		t.Fatal(err)
	}
	for n := range root.Descendants() {
		if n.Type != html.ElementNode {
			continue
		}
		if n.Data == "script" {
			found = append(found, "a script")
		}
		for _, a := range n.Attr {
			value := strings.ToLower(strings.Map(func(r rune) rune {
				if r <= ' ' {
					return -1
				}
				return r
			}, a.Val))
			scheme, _, has := strings.Cut(value, ":")
			has = has && strings.Trim(scheme, "abcdefghijklmnopqrstuvwxyz0123456789+-.") == "" // RFC 3986 3.1
			switch {
			case strings.HasPrefix(a.Key, "on"):
				found = append(found, "the handler "+a.Key)
			case (a.Key == "href" || a.Key == "src") && has && !slices.Contains([]string{"http", "https", "mailto", "tel", "cid"}, scheme):
				found = append(found, a.Key+" "+a.Val)
			}
		}
	}
	return found
}
