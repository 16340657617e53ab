package templates

import (
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"golang.org/x/net/html"
)

// rawFrames are templates that show HTML of the data where mails do. Nothing in them runs.
var rawFrames = sync.OnceValue(func() []*Template {
	var list []*Template
	for _, s := range []string{
		`<p>{{{a}}}</p>`,
		`<table><tr><td>{{{a}}}</td></tr></table>`,
		`<!doctype html><title>x</title><body><ul><li>{{{a}}}{{{b}}}</ul><a href="https://x.test/">{{{a}}}</a>`,
		`{{{a}}}<!--[if mso]><p title="{{{a}}}">{{a}}</p><![endif]-->{{{b}}}`,
		`<div id="f-out"><table><tr><td id="f-cell"><div id="f-in">{{{a}}}</div><b id="f-behind">x</b></td></tr></table></div><b id="f-after">x</b>`,
	} {
		t, err := Parse(&Source{HTML: s}, Options{Limits: fuzzLimits()})
		if err != nil {
			panic(err)
		}
		list = append(list, t)
	}
	return list
})

// checkRawFrames holds that HTML of the data that is taken runs nothing and asks nothing of
// its reader, wherever it stands.
func checkRawFrames(t *testing.T, value string) {
	t.Helper()
	if !strings.ContainsAny(value, "<&") {
		return
	}
	data := map[string]any{"a": value, "b": value}
	for _, frame := range rawFrames() {
		out, err := frame.Render(data)
		if err != nil {
			continue
		}
		for _, view := range views(out.HTML) {
			if what := running(view); what != "" {
				t.Fatalf("%s of %q in\n%q", what, value, view)
			}
			if what := broken(view); what != "" && !rows.MatchString(value) {
				t.Fatalf("%s is moved by %q in\n%q", what, value, view)
			}
		}
	}
}

// running names what a page could run or ask for, as a whole HTML5 parser reads it, with
// scripts and without; "" if nothing. It knows nothing of what the package thinks of HTML.
func running(page string) string {
	for _, scripts := range []bool{false, true} {
		root, err := html.ParseWithOptions(strings.NewReader(page), html.ParseOptionEnableScripting(scripts))
		if err != nil {
			continue // it is nested too deep for this parser
		}
		for n := range root.Descendants() {
			if what := runningNode(n); what != "" {
				return what
			}
		}
	}
	return ""
}

func runningNode(n *html.Node) string {
	if n.Type != html.ElementNode {
		return ""
	}
	switch n.Data {
	case "script", "iframe", "frame", "object", "embed", "applet", "form", "input", "button", "select", "textarea", "style", "link", "meta",
		"base", "svg", "math", "template", "noscript", "plaintext":
		return "the element " + n.Data
	}
	for _, a := range n.Attr {
		name := strings.ToLower(a.Key)
		switch {
		case strings.HasPrefix(name, "on"), slices.Contains([]string{"srcdoc", "ping", "srcset"}, name):
			return "the attribute " + name
		case slices.Contains([]string{"href", "src", "action", "formaction", "background", "poster", "data", "cite", "longdesc", "lowsrc", "dynsrc"}, name) && badScheme(a.Val):
			return "the address in " + name
		}
	}
	return ""
}

// broken names an element of the frame that does not stand where it was written, as a whole
// HTML5 parser reads it; "" if all do.
func broken(page string) string {
	root, err := html.Parse(strings.NewReader(page))
	if err != nil {
		return ""
	}
	around := map[string]string{"f-in": "f-cell", "f-behind": "f-cell", "f-out": "", "f-after": ""}
	for n := range root.Descendants() {
		if want, ok := around[idOf(n)]; ok && idOf(n.Parent) != want {
			return "the element " + idOf(n)
		}
	}
	return ""
}

// rows finds pieces of a table: those of the data may belong to a table of the template, and
// in a cell they end that.
var rows = regexp.MustCompile(`(?i)<(t[rdhbf]|col|caption)`)

func idOf(n *html.Node) string {
	for _, a := range n.Attr {
		if a.Key == "id" {
			return a.Val
		}
	}
	return ""
}

// badScheme tells an address with another scheme than those that a mail may have, read as
// browsers do (URL standard, 4.4).
func badScheme(address string) bool {
	address = strings.TrimLeftFunc(address, func(r rune) bool { return r <= ' ' })
	address = strings.NewReplacer("\t", "", "\n", "", "\r", "").Replace(address)
	scheme := strings.ToLower(schemeOf.FindString(address))
	return scheme != "" && !slices.Contains([]string{"http:", "https:", "mailto:", "tel:", "cid:"}, scheme)
}

// schemeOf is what an address begins with if it has a scheme (RFC 3986 3.1).
var schemeOf = regexp.MustCompile(`^[a-zA-Z][a-zA-Z0-9+.-]*:`)

// TestTheRawCheckCanFail: what the fuzzer looks for is found where it stands.
func TestTheRawCheckCanFail(t *testing.T) {
	for page, want := range map[string]string{
		"<p>x<a href='https://x.test/a:b'>y</a><a href='#a'>z</a><img src='x:y/z'>": "the address in src",
		"<p onclick=1>": "the attribute onclick",
		"<svg><a xlink:href='java\tscript:1'>x</a></svg>":     "the element svg",
		"<table><form><td>x":                                  "the element form",
		"<noscript><p title='</noscript><script>1</script>'>": "the element noscript",
		"<a href='&#106;avascript:1'>":                        "the address in href",
		"<p title='<script>'>&lt;script&gt;<!-- <script> -->": "",
	} {
		if got := running(page); got != want {
			t.Errorf("%q: %q, want %q", page, got, want)
		}
	}
}

// TestRawFrames runs the seeds of HTML of the data.
func TestRawFrames(t *testing.T) {
	taken := 0
	for _, value := range rawValues() {
		checkRawFrames(t, value)
		if checkRaw(value) == "" {
			taken++
		}
	}
	if taken < 5 {
		t.Errorf("%d of the values are taken: the frames show nothing", taken)
	}
}

// rawValues are HTML of the data, good and bad.
func rawValues() []string {
	return []string{
		`<b class="x">x</b>`, `<a href="https://x.test/?a=1&amp;b=2">x</a><br/>`, `<table><tr><td bgcolor=red>x</table>`, `<!--[if mso]><p>x</p><![endif]-->`,
		`<ul><li>a<li>b</ul>`, `<ul><li><div><li></div></ul>`, `<div><!--[if mso]></div><![endif]-->`, `<h2><div><h1><h1>x</h1></h1></div></h2>`, `<p><b>a<p>b</b>`, `<b><i>x</b></i>`,
		`<img src=cid:a alt='>'>`, `</td></table><h1>x`, `<p style="color:red">x</p>`, `<!-- x --><p/title=a>x`, `a<b`, `&lt;script&gt;`, `<font color="&quot;">x</font>`,
		`<script>1</script>`, `<ScRiPt/x>1</sCrIpT >`, `<img src=x onerror=1>`, `<img/src="x"/onerror=1>`, `<svg/onload=1>`, `<math><mi xlink:href="data:x,1">`,
		`<a href="java&#10;script:1">x</a>`, "<a href=\"\x01javascript:1\">x</a>", `<a href="data:text/html,x">x</a>`, `<a href=vbscript:1>x`, `<form action="https://x.test"><input name=a></form>`,
		`<style>p{color:red}</style>`, `<base href="https://x.test">`, `<meta http-equiv=refresh content="0;url=javascript:1">`, `<link rel=stylesheet href=https://x.test>`,
		`<iframe srcdoc="<script>1</script>">`, `<object data="javascript:1">`, `<embed src="https://x.test">`, `<noscript><p title="</noscript><img src=x onerror=1>">`,
		`<textarea></textarea><p title="</textarea><script>1</script>">`, `<title><p title="</title><script>1</script>">`, `<xmp><p title="</xmp><script>1</script>">`,
		`<!--><script>1</script>-->`, `<!--x--!><script>1</script>-->`, `<![CDATA[<script>1</script>]]>`, `<!--[if x]><!--><script>1</script><!--<![endif]-->`, `<?x ><script>1</script>`,
		`<p style="width:expression(1)">`, `<p style="background:url(javascript:1)">`, `<a href="https://x.test" target=_blank rel='noopener'>x</a>`, `<select><option>x</select>`,
		`<table><form><input>`, `<button formaction=javascript:1>x`, `<video poster="javascript:1">`, `<a ping=https://x.test href=#>x</a>`, `<image src=x onerror=1>`, `<isindex>`,
		"<scr\x00ipt>1</script>", "<a hr\u202eef=javascript:1>", `<body onload=1>`, `<frameset onload=1><frame src="javascript:1">`, `<template><script>1</script></template>`,
	}
}
