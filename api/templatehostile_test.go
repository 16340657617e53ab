package api

import (
	"fmt"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"time"
)

// What hostile templates and data may cost. The limit of a rendering is 250 ms; the rest
// of the time is for machines that are busy with other tests. The memory is what is in
// use at any one time, with the request and its answer.
const (
	hostileTime   = 2 * time.Second
	hostileMemory = 256 << 20
)

// cost runs a request and tells how long it took and how much memory was in use at most.
func cost(ask func() *answer) (a *answer, took time.Duration, peak uint64) {
	runtime.GC()
	var before runtime.MemStats
	runtime.ReadMemStats(&before)
	done, seen := make(chan struct{}), make(chan uint64)
	go func() {
		var most uint64
		for {
			var now runtime.MemStats
			runtime.ReadMemStats(&now)
			most = max(most, now.HeapAlloc)
			select {
			case <-done:
				seen <- most
				return
			case <-time.After(time.Millisecond):
			}
		}
	}()
	began := time.Now()
	a = ask()
	took = time.Since(began)
	close(done)
	return a, took, max(<-seen, before.HeapAlloc) - before.HeapAlloc
}

// wantCheap holds a request to a refusal that costs little. It is tried again if the
// machine was slow: what matters is what it can cost.
func (h *house) wantCheap(want code, ask func() *answer) {
	h.t.Helper()
	for try := 1; ; try++ {
		a, took, peak := cost(ask)
		if a.status != http.StatusUnprocessableEntity || a.code() != string(want) {
			h.t.Errorf("answer %d %s, want 422 %s\n%.500s", a.status, a.code(), want, a.raw)
			return
		}
		h.t.Logf("%v, %d MiB: %v", took.Round(time.Millisecond), peak>>20, a.body["errors"])
		if len(a.raw) > 64<<10 {
			h.t.Errorf("an answer of %d octets", len(a.raw))
		}
		if took < hostileTime && peak < hostileMemory {
			return
		}
		if try == 3 {
			h.t.Errorf("took %v and %d MiB", took, peak>>20)
			return
		}
	}
}

// Hostile texts are refused when they are saved.
func TestHostileTemplateSourcesAreRefused(t *testing.T) {
	h := openHouse(t)
	for name, source := range map[string]string{
		"too long":        strings.Repeat("x", 8<<20),
		"deep blocks":     strings.Repeat("{{#if a}}", 100_000),
		"deep calls":      "{{" + strings.Repeat("(not ", 100_000) + "a",
		"many branches":   "{{#if a}}" + strings.Repeat("{{else if a}}", 50_000) + "{{/if}}",
		"many faults":     strings.Repeat("{{!}}{{a b}}", 80_000),
		"open tags":       strings.Repeat("{{", 500_000),
		"long path":       "{{" + strings.Repeat("a.", 300_000) + "a}}",
		"many ../":        "{{" + strings.Repeat("../", 300_000) + "a}}",
		"many svg":        strings.Repeat("<svg>", 200_000),
		"a script":        "<script>{{a}}</script>",
		"javascript:":     `<a href="java&#115;cript:x">{{a}}</a>`,
		"data: in src":    `<img src="data:image/png;base64,AA" alt="{{a}}">`,
		"an event":        `<p onclick="{{a}}">x</p>`,
		"a control":       "a\u0000b",
		"an unknown part": "{{> nobody}}",
	} {
		t.Run(name, func(t *testing.T) {
			body, err := encode(map[string]any{"name": "N", "subject": "s", "html": source})
			if err != nil {
				t.Fatal(err)
			}
			sub := *h
			sub.t = t
			sub.wantCheap(validationFailed, func() *answer { return sub.post("/v1/templates", string(body)) })
		})
	}
	if n := len(h.get("/v1/templates").data()); n != 0 {
		t.Errorf("%d templates are stored", n)
	}
	// What doubles at each of many levels.
	h.published(`{"alias":"p0","name":"P","kind":"partial","html":"<b>x</b>"}`)
	for i := 1; i < 15; i++ {
		h.published(fmt.Sprintf(`{"alias":"p%d","name":"P","kind":"partial","html":"{{> p%d}}{{> p%d}}"}`, i, i-1, i-1))
	}
	h.wantCheap(validationFailed, func() *answer {
		return h.post("/v1/templates", `{"name":"P","subject":"s","html":"`+strings.Repeat("{{> p14}}", 10)+`"}`)
	})
}

// Hostile templates and data end as a clear refusal when mail is made of them.
func TestHostileTemplatesAndDataAreRefused(t *testing.T) {
	h := openHouse(t)
	loops := func(n int, body string) string {
		return strings.Repeat("{{#each @root.a}}", n) + body + strings.Repeat("{{/each}}", n)
	}
	list := func(n int) string { return "[" + strings.Repeat("1,", n-1) + "1]" }
	long := strings.Repeat("x", 1<<20)
	object := func(n int) string {
		members := make([]string, n)
		for i := range members {
			members[i] = fmt.Sprintf(`"k%d":1`, i)
		}
		return "{" + strings.Join(members, ",") + "}"
	}
	for _, c := range []struct {
		name, source, data string
		code               code
	}{
		{"exponential loops", loops(18, "x"), `{"a":` + list(10) + `}`, templateRenderFailed},
		{"output", loops(2, "{{@root.s}}"), `{"a":` + list(90) + `,"s":"` + long + `"}`, templateRenderFailed},
		{"output escaped", loops(2, "{{@root.s}}"), `{"a":` + list(90) + `,"s":"` + strings.Repeat("<", 1<<20) + `"}`, templateRenderFailed},
		{"growing values", loops(2, `{{#if (eq (url_encode (url_encode (url_encode @root.s))) "x")}}{{/if}}`), `{"a":` + list(90) + `,"s":"` + strings.Repeat("%", 1<<18) + `"}`, templateRenderFailed},
		{"many steps", loops(2, strings.Repeat("{{#if @root.b}}{{/if}}", 2000)), `{"a":` + list(90) + `,"b":true}`, templateRenderFailed},
		{"raw HTML", loops(2, "{{{@root.s}}}"), `{"a":` + list(90) + `,"s":"` + strings.Repeat("<b>x</b>", 1<<16) + `"}`, templateRenderFailed},
		{"loop over a long text", "{{#each s}}{{this}}{{/each}}", `{"s":"` + long + `"}`, templateRenderFailed},
		{"a large object shown", "{{s}}", `{"s":` + object(3000) + `}`, templateRenderFailed},
		{"many missing", strings.Repeat("{{#each a}}{{x}}{{/each}}", 3), `{"a":` + strings.ReplaceAll(list(2000), "1", "{}") + `}`, templateVariables},
		{"null", "{{s}}", `{"s":null}`, templateVariables},
		{"wrong types", "{{format_number s}}", `{"s":{"a":[]}}`, templateRenderFailed},
		{"a huge number", "{{format_number s}}", `{"s":1e999999999}`, templateRenderFailed},
		{"javascript:", `<a href="{{s}}">x</a>`, `{"s":"java\tscript:alert(1)"}`, templateRenderFailed},
		{"javascript: of the author", `<a href="javascript:{{s}}">x</a>`, `{"s":"x"}`, templateRenderFailed},
		{"data:", `<img src="{{s}}">`, `{"s":" DATA:text/html,x"}`, templateRenderFailed},
		{"a script in raw HTML", "{{{s}}}", `{"s":"<script>1</script>"}`, templateRenderFailed},
		{"an open tag in raw HTML", "{{{s}}}", `{"s":"<a href='"}`, templateRenderFailed},
		{"CSS that is too much", "<style>" + strings.Repeat("a,b>c~d{color:red}", 5000) + "</style>{{#each a}}<a><b></b></a>{{/each}}", `{"a":` + list(5000) + `}`, templateRenderFailed},
		{"style declarations", "<style>p{color:red}</style>{{{s}}}", `{"s":"<p style='` + strings.Repeat("a:b;", 1<<20) + `'>x</p>"}`, templateRenderFailed},
		{"end tags", "<style>p{color:red}</style>{{{s}}}", `{"s":"` + strings.Repeat("</b>", 1<<20) + `"}`, templateRenderFailed},
		{"attributes", "<style>p{color:red}</style>{{#each a}}<p" + strings.Repeat(" a=b", 40) + ` style="c:d">x</p>{{/each}}`, `{"a":` + list(9000) + `}`, templateRenderFailed},
		{"digits asked for", "{{#each a}}{{#if @root.s}}x{{/if}}{{/each}}", `{"a":` + list(9000) + `,"s":0.` + strings.Repeat("0", 1<<20) + `1}`, templateRenderFailed},
		{"digits compared", "{{#each a}}{{#if (eq @root.s @root.s)}}x{{/if}}{{/each}}", `{"a":` + list(9000) + `,"s":` + strings.Repeat("9", 1<<20) + `}`, templateRenderFailed},
		{"a form in raw HTML", "{{{s}}}", `{"s":"<form action='https://evil.example'><input name=password></form>"}`, templateRenderFailed},
		{"a reference without semicolon", `<div>{{{s}}}</div>`, `{"s":"<a href='java&#9script:alert(1)'>x</a>"}`, templateRenderFailed},
		{"deep HTML", "<style>p{color:red}</style>{{#each a}}" + strings.Repeat("<div>", 100) + "{{/each}}", `{"a":` + list(5000) + `}`, templateRenderFailed},
	} {
		t.Run(c.name, func(t *testing.T) {
			sub := *h
			sub.t = t
			body, err := encode(map[string]any{"name": "N", "from": "a@acme.com", "subject": "s", "html": c.source})
			if err != nil {
				t.Fatal(err)
			}
			id := sub.published(string(body))
			send := `{"to":"b@example.org","template":{"id":"` + id + `","variables":` + c.data + `}}`
			sub.wantCheap(c.code, func() *answer { return sub.post("/v1/messages", send) })
		})
	}
	deep := strings.Repeat(`{"a":`, 40) + "1" + strings.Repeat("}", 40)
	h.want(h.post("/v1/messages", `{"to":"b@example.org","template":{"id":"x","variables":`+deep+`}}`), 400, string(malformedJSON))
	h.wantNothing()
	// The process is unharmed: a mail is made as before.
	h.published(receiptTemplate)
	h.made(`{"id":"receipt","variables":{"name":"Ada","order":{"id":"1","total":"5"}}}`)
}

// A value can be no header field and no recipient, whatever it holds.
func TestHostileValuesStayValues(t *testing.T) {
	h := openHouse(t)
	h.published(`{"alias":"a","name":"A","from":"{{s}} <hi@acme.com>","subject":"x {{s}}","html":"<p title=\"{{s}}\">{{s}}</p>","text":"{{s}}"}`)
	for _, hostile := range []string{
		"a\r\nBcc: evil@example.org", "a\nb", "\u202egnp.exe", "\" onload=\"x", "</p><script>1</script>", "{{s}}", "a\u0000b", "evil@example.org>,", "<evil@example.org>",
	} {
		body, err := encode(map[string]any{"to": "b@example.org", "template": map[string]any{"id": "a", "variables": map[string]any{"s": hostile}}})
		if err != nil {
			t.Fatal(err)
		}
		a := h.post("/v1/messages", string(body))
		if a.code() == string(templateRenderFailed) {
			continue // the name cannot be one
		}
		h.want(a, http.StatusAccepted, "")
		m := h.get("/v1/messages/" + a.id() + "?include=content")
		subject, html := m.body["subject"].(string), m.body["html"].(string)
		if strings.ContainsAny(subject, "\r\n\u202e\x00") || strings.Contains(html, "<script") || strings.Count(html, `"`) != 2 || strings.Contains(html, "\u202e") {
			t.Errorf("%q: subject %q, html %q", hostile, subject, html)
		}
		if from := m.body["from"].(map[string]any)["email"]; from != "hi@acme.com" || len(m.body["recipients"].([]any)) != 1 {
			t.Errorf("%q: from %v, recipients %v", hostile, from, m.body["recipients"])
		}
		raw := string(h.get("/v1/messages/" + a.id() + "/raw").raw)
		head, _, _ := strings.Cut(raw, "\r\n\r\n")
		if strings.Contains("\r\n"+head, "\r\nBcc:") {
			t.Errorf("%q: a field of its own:\n%s", hostile, head)
		}
	}
}
