package dashboard

import (
	"encoding/base64"
	"mime"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"testing"
	"time"

	"postrider/internal/email"
	"postrider/internal/sandbox"
)

func newRecorder(h http.Handler, host string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.Host = host
	rec := httptest.NewRecorder()
	h.ServeHTTP(rec, r)
	return rec
}

// payloads come alive wherever a value is not escaped for its place.
func payloads() []string {
	return []string{
		`<script>window.__xss=1</script>`,
		`"><img src=x onerror=alert(1)>`,
		`' onmouseover='alert(1)`,
		`javascript:alert(1)`,
		`</title><svg onload=alert(1)>`,
		`</style></textarea></pre><xss>`,
		`<!--<iframe src=//evil.example>`,
		`{{.Curl}}<a href="data:text/html,x">`,
		"\u202etxt.exe<b>",
		`&lt;script&gt;&#60;xss>`,
	}
}

// hostile is a message whose every field that a stranger can fill is the payload.
func (w *world) hostile(payload string) *email.Message {
	m := message(payload, `"`+payload+`"@sandbox.test`)
	m.From.Name = payload
	m.To[0].Name = payload
	m.Recipients[0].Address.Name = payload
	m.Tags = []string{payload}
	w.accept(m, &email.Content{
		HTML: payload, Text: payload, Headers: []email.Header{{Name: payload, Value: payload}},
		Attachments: []email.Attachment{{Filename: payload, ContentType: payload, ContentID: payload, Content: []byte(payload)}},
	})
	next := time.Now().Add(time.Second)
	reply := &email.Reply{Code: 451, Text: payload, EnhancedCode: payload, MXHost: payload}
	w.attempt(m, email.Attempt{
		Number: 1, Host: payload, Address: payload, Source: payload, HELO: payload, TLS: payload, TLSReason: payload, Error: payload,
		Outcomes:   []email.Outcome{{Status: email.Deferred, Category: payload, Detail: payload, Reason: payload, Reply: reply, NextAt: next}},
		Transcript: []email.Line{{From: email.Server, Text: payload}, {From: email.Speaker(payload), Text: payload}},
	}, next)
	return m
}

func TestForeignTextNeverComesAlive(t *testing.T) {
	w := newWorld(t)
	for _, payload := range payloads() {
		t.Run(payload, func(t *testing.T) {
			m := w.hostile(payload)
			for _, path := range []string{"/", "/ui/messages", "/ui/messages/" + m.ID} {
				got := text(t, body(t, w.get(path), http.StatusOK))
				if !strings.Contains(got, payload) {
					t.Errorf("%s does not show the payload as it is", path)
				}
			}
			encoded := base64.StdEncoding.EncodeToString([]byte(payload))
			word := mime.BEncoding.Encode("utf-8", payload+"ü")
			w.deliver("Message-ID: " + m.MessageID + "\r\nSubject: " + word + "\r\nFrom: " + word + " <x@y.test>\r\nX-Raw: " + payload +
				"\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Transfer-Encoding: base64\r\n\r\n" + encoded +
				"\r\n--b\r\nContent-Type: text/html\r\nContent-Transfer-Encoding: base64\r\n\r\n" + encoded +
				"\r\n--b\r\nContent-Type: application/x\r\nContent-Disposition: attachment; filename*=utf-8''" + percent(payload) + "\r\n\r\nx\r\n--b--\r\n")
			got := text(t, body(t, w.get("/ui/messages/"+m.ID), http.StatusOK))
			if strings.Count(got, payload) < 4 {
				t.Error("the page does not show the caught mail's payloads")
			}
			if got := text(t, body(t, w.get("/ui/inbox"), http.StatusOK)); !strings.Contains(got, payload) {
				t.Error("the inbox does not show the caught mail's payloads")
			}
			file := w.get("/ui/messages/" + m.ID + "/files/0")
			body(t, file, http.StatusOK)
			if kind, _, err := mime.ParseMediaType(file.Header.Get("Content-Disposition")); kind != "attachment" || err != nil {
				t.Errorf("Content-Disposition %q: %v", file.Header.Get("Content-Disposition"), err)
			}
		})
	}
}

func percent(s string) string {
	var b strings.Builder
	for _, c := range []byte(s) {
		b.WriteString("%" + strings.ToUpper(string("0123456789abcdef"[c>>4])+string("0123456789abcdef"[c&15])))
	}
	return b.String()
}

const inlineMail = "Subject: x\r\nContent-Type: multipart/related; boundary=b\r\n\r\n" +
	"--b\r\nContent-Type: text/html\r\n\r\n<script>alert(1)</script><img src=\"cid:logo@x\"><img src=cid:evil><p onclick=x>hi</p>\r\n" +
	"--b\r\nContent-Type: image/png\r\nContent-ID: <logo@x>\r\nContent-Transfer-Encoding: base64\r\n\r\nAAEC\r\n" +
	"--b\r\nContent-Type: image/svg+xml\r\nContent-ID: <evil>\r\nContent-Disposition: inline; filename=\"a/../b.svg\"\r\n\r\n<svg onload=alert(1)>\r\n--b--\r\n"

func TestPreviewSourceAndFiles(t *testing.T) {
	w := newWorld(t)
	m := message("x", "x@example.com")
	w.accept(m, &email.Content{HTML: "submitted"})
	w.deliver("Message-ID: " + m.MessageID + "\r\n" + inlineMail)
	const raw = "sandbox; default-src 'none'; frame-ancestors 'none'"
	tests := []struct{ name, path, contentType, disposition, policy, contains string }{
		{"preview", "/html", "text/html; charset=utf-8", "", "sandbox allow-popups allow-popups-to-escape-sandbox; default-src 'none'; img-src data: cid:; style-src 'unsafe-inline';", `<img src="data:image/png;base64,AAEC"><img src=cid:evil>`},
		{"source", "/source", "text/plain; charset=utf-8", "", raw, "Content-Type: multipart/related; boundary=b\r\n"},
		{"saved source", "/source?download", "application/octet-stream", "attachment; filename=" + m.ID + ".eml", raw, "<script>"},
		{"image", "/files/0", "application/octet-stream", "attachment; filename=file-1", raw, "\x00\x01\x02"},
		{"svg", "/files/1", "application/octet-stream", `attachment; filename=a_.._b.svg`, raw, "<svg"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			r := w.get("/ui/messages/" + m.ID + test.path)
			if got := body(t, r, http.StatusOK); !strings.Contains(got, test.contains) {
				t.Errorf("body %q lacks %q", got, test.contains)
			}
			if got := r.Header.Get("Content-Type"); got != test.contentType {
				t.Errorf("type %q", got)
			}
			if got := r.Header.Get("Content-Disposition"); got != test.disposition {
				t.Errorf("disposition %q, want %q", got, test.disposition)
			}
			if got := r.Header.Get("Content-Security-Policy"); !strings.HasPrefix(got, test.policy) {
				t.Errorf("policy %q", got)
			}
			if r.Header.Get("X-Content-Type-Options") != "nosniff" {
				t.Error("nosniff is missing")
			}
		})
	}
	page := body(t, w.get("/ui/messages/"+m.ID), http.StatusOK)
	if !strings.Contains(page, `<iframe sandbox="allow-popups allow-popups-to-escape-sandbox" title="The mail as HTML" src="/ui/messages/`+m.ID+`/html">`) {
		t.Error("the preview is not in a sandboxed frame")
	}
}

func TestInlined(t *testing.T) {
	png := []byte{1, 2, 3}
	parts := []sandbox.File{
		{ContentID: "a@x", ContentType: "image/png", Content: png},
		{ContentID: "b&c", ContentType: "image/gif", Content: png},
		{ContentID: "h", ContentType: `text/html`, Content: png},
		{ContentID: "q", ContentType: `image/png"onload="x`, Content: png},
	}
	tests := []struct {
		name, source string
		limit        int
		want         string
	}{
		{"image", `<img src="cid:a@x">`, 10, `<img src="data:image/png;base64,AQID">`},
		{"case of the scheme", `<img src=CID:a@x>`, 10, `<img src=data:image/png;base64,AQID>`},
		{"percent-encoded", `<img src="cid:a%40x">`, 10, `<img src="data:image/png;base64,AQID">`},
		{"character reference", `<img src="cid:b&amp;c">`, 10, `<img src="data:image/gif;base64,AQID">`},
		{"in a style", `url(cid:a@x)`, 10, `url(data:image/png;base64,AQID)`},
		{"unknown", `<img src="cid:z">`, 10, `<img src="cid:z">`},
		{"not an image", `<img src="cid:h">`, 10, `<img src="cid:h">`},
		{"type that breaks out", `<img src="cid:q">`, 10, `<img src="cid:q">`},
		{"bad encoding", `<img src="cid:a%4">`, 10, `<img src="cid:a%4">`},
		{"over the limit", `cid:a@x cid:a@x`, 5, `data:image/png;base64,AQID cid:a@x`},
		{"part of a word", `acid:a@x`, 10, `acid:a@x`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if got := inlined(test.source, parts, test.limit); got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}

func TestSilenced(t *testing.T) {
	for source, want := range map[string]string{
		`<link rel=preconnect href=//x>`:                     `<meta rel=preconnect href=//x>`,
		`<iframe src=//x></iframe><frameset><frame src=//x>`: `<meta src=//x></iframe><frameset><meta src=//x>`,
		"<LINK\nrel=x>": "<meta\nrel=x>",
		`<svg><style><link/rel=preconnect href=//x>`:     `<svg><style><meta/rel=preconnect href=//x>`,
		`<p title="a<link>">see <linked> &lt;link ></p>`: `<p title="a<meta>">see <linked> &lt;link ></p>`,
	} {
		if got := silenced(source); got != want {
			t.Errorf("%s became %s", source, got)
		}
	}
}

func TestDisposition(t *testing.T) {
	tests := []struct{ name, want string }{
		{"plan.pdf", "attachment; filename=plan.pdf"},
		{"a b.pdf", `attachment; filename="a b.pdf"`},
		{"../../etc/passwd", "attachment; filename=.._.._etc_passwd"},
		{"a\r\nX-Evil: 1", `attachment; filename="a__X-Evil_ 1"`},
		{`a"; filename=b.exe`, `attachment; filename="a_; filename=b.exe"`},
		{"résumé.pdf", "attachment; filename*=utf-8''r%C3%A9sum%C3%A9.pdf"},
		{"invoice\u202efdp.exe", "attachment; filename=invoice_fdp.exe"},
		{"", "attachment; filename=\"\""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if got := disposition(test.name); got != test.want {
				t.Errorf("got %s, want %s", got, test.want)
			}
		})
	}
}

func FuzzInlined(f *testing.F) {
	for _, seed := range []string{`<img src="cid:a@x">`, "cid:", "cid:%zz", "CID:a%40x&amp;", "url(cid:a@x)"} {
		f.Add(seed, "a@x", "image/png")
	}
	f.Fuzz(func(t *testing.T, source, id, contentType string) {
		part := sandbox.File{ContentID: id, ContentType: contentType, Content: []byte{0}}
		got := inlined(source, []sandbox.File{part}, 1)
		if got == source {
			return
		}
		if !image(contentType) || strings.Count(got, "data:")-strings.Count(source, "data:") > 1 {
			t.Errorf("%q with %q became %q", source, contentType, got)
		}
	})
}

// What is taken for local is local to a reader of URLs too.
func FuzzLocalHost(f *testing.F) {
	for _, seed := range []string{"localhost:80", "[::1]:1", "127.0.0.1", "a:b@localhost", "[::1", "127.0.0.1:"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, host string) {
		if !localHost(host) {
			return
		}
		u, err := url.Parse("http://" + host + "/")
		if err != nil {
			t.Fatalf("%q is taken, and no host: %v", host, err)
		}
		addr, err := netip.ParseAddr(u.Hostname())
		if !strings.EqualFold(u.Hostname(), "localhost") && (err != nil || !addr.IsLoopback()) {
			t.Errorf("%q is taken for local", host)
		}
	})
}
