package compose

import (
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
)

func TestText(t *testing.T) {
	cases := map[string]struct{ html, want string }{
		"paragraphs":          {`<p class="x">One</p><p>Two</p>`, "One\n\nTwo"},
		"breaks":              {`a<br />b<br>c<BR/><br>d`, "a\nb\nc\n\nd"},
		"white space":         {"<p>\n  a\n\tb&nbsp;&nbsp;c  </p>", "a b c"},
		"inline":              {`a<b>b</b> <i>c</i>d`, "ab cd"},
		"entities":            {`&lt;b&gt; &amp; &euro;5 &#x41;&#66;`, "<b> & €5 AB"},
		"link":                {`Click <a href="https://acme.com/r?a=1&amp;b=2">here</a>.`, "Click here <https://acme.com/r?a=1&b=2>."},
		"link as its text":    {`<a href="https://acme.com/">https://acme.com</a> <a href="mailto:a@b">a@b</a>`, "https://acme.com a@b"},
		"bare link":           {`<a href="https://acme.com"><img src=x></a>`, "<https://acme.com>"},
		"image as link":       {`<a href="https://acme.com"><img src=x alt="Logo > all"></a>`, "Logo > all <https://acme.com>"},
		"open link":           {`<a href="https://acme.com">here`, "here <https://acme.com>"},
		"no script link":      {`<a href="javascript:alert(1)">x</a><a href=" java` + "\n" + `script:1">y</a><a href="#top">z</a>`, "xyz"},
		"line in a link":      {"<a href=\"https://acme.com/\r\nBcc: x\">y</a>", "y <https://acme.com/Bcc:x>"},
		"list":                {"<ul><li>one<li>two<ul><li>three</ul></ul>end", "- one\n- two\n  - three\n\nend"},
		"numbers":             {"<ol><li>one</li><li>two</li></ol>", "1. one\n2. two"},
		"empty item":          {"<ul><li></li></ul><p>x</p>", "x"},
		"table":               {"<table><tr><td>Sum</td><td>10</td></tr><tr><th>Tax</th><td>2</td></tr></table>", "Sum 10\nTax 2"},
		"table for the look":  {`<table role="presentation"><tr><td><table role=presentation><tr><td>1</td></tr></table></td><td>One</td></tr></table><p>x`, "1\nOne\n\nx"},
		"text behind a table": {"<table><tr><td>1</td></tr></table>x", "1\n\nx"},
		"rule":                {"a<hr>b", "a\n\n---\n\nb"},
		"pre":                 {"<pre>a  b\n  c\n\nd</pre>e", "a  b\n  c\n\nd\n\ne"},
		"style":               {`<style type="text/css">.a > td {x}</style>text`, "text"},
		"script":              {`<script>if (a<b && c>d) "</p>"</script>text`, "text"},
		"title and head":      {`<head><title>T</title><meta x></head><body>text`, "text"},
		"comments":            {`<!-- a > b --><!--[if mso]><p>x</p><![endif]-->text`, "text"},
		"noscript":            {`<noscript><img src="x"></noscript>text`, "text"},
		"preheader":           {"Code 123&zwnj;&nbsp;\u200b\ufeff<p>x", "Code 123\u200c\n\nx"},
		"hidden":              {`<div style="color:red; Display : none!important">a<div>b</div>c</div>d<p hidden>e</p>f<img hidden alt=g>h`, "dfh"},
		"hidden to the end":   {`a<div style="display:none">b<p>c`, "a\nb\n\nc"},
		"not hidden":          {`<b style="mso-display:none; display:block">a</b>`, "a"},
		"divisions":           {"<div><div>a</div></div><div>b</div>", "a\nb"},
		"broken":              {"<p <b>a</p>< b </", "a\n\n< b </"},
		"nothing":             {"<img src=x>", ""},
		"NUL":                 {"a\x00b", "a b"},
	}
	for name, test := range cases {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(test.want, Text(test.html)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// TestTextOfHostileHTML: time and length stay bounded. The limit is far above what a
// busy machine needs and far below what anything quadratic would take.
func TestTextOfHostileHTML(t *testing.T) {
	const size = 1 << 20
	cases := map[string]string{
		"deep nesting":   strings.Repeat("<div>", size/5),
		"deep lists":     strings.Repeat("<ul><li>x", size/9),
		"closing angles": "<" + strings.Repeat("A>", size/2),
		"open tags":      strings.Repeat("<a ", size/3),
		"attributes":     "<a " + strings.Repeat("x=y ", size/4) + ">",
		"ampersands":     strings.Repeat("&", size),
		"links":          strings.Repeat("<a href=http:x>", size/15),
		"open link":      "<a href=http:x>" + strings.Repeat("word ", size/5),
		"open comment":   strings.Repeat("<!--", size/4),
		"breaks":         strings.Repeat("<br>", size/4),
		"pre":            strings.Repeat("<pre>\n", size/6),
		"ends":           strings.Repeat("</ul></pre></a>", size/15),
		"script":         "<script>" + strings.Repeat("</scrip", size/7),
		"too long":       strings.Repeat("ä", maxHTML),
	}
	for name, html := range cases {
		t.Run(name, func(t *testing.T) {
			start := time.Now()
			text := Text(html)
			if took := time.Since(start); took > time.Minute {
				t.Errorf("took %v", took)
			}
			if len(text) > 3*size && len(text) > maxHTML {
				t.Errorf("%d octets", len(text))
			}
		})
	}
}

func FuzzText(f *testing.F) {
	f.Add("<p>Hi <a href='https://acme.com'>there</a><ul><li>x</ul>")
	f.Add("<style>a > b</style><script></script><pre>\n a</pre><br></br>")
	f.Add("</ul></ol></a></pre><li><table><td>\xff")
	f.Add("<pre>\x00a&#13;b&#0;<img alt='\x00&#13;c'>")
	f.Fuzz(func(t *testing.T, html string) {
		text := Text(html)
		if strings.ContainsAny(text, "\r\x00") || utf8.ValidString(html) && !utf8.ValidString(text) {
			t.Fatalf("%q", text)
		}
		if strings.Contains(text, "\n\n\n") || strings.HasPrefix(text, "\n") || strings.HasSuffix(text, "\n") {
			t.Fatalf("empty lines: %q", text)
		}
	})
}
