package api

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"postrider"
)

func TestOddPathsAndMethods(t *testing.T) {
	h := openHouse(t)
	id := h.send(minimal)
	tests := []struct {
		method, path string
		status       int
		code         code
		allow        string
	}{
		{"GET", "/", 404, routeNotFound, ""},
		{"GET", "/v1", 404, routeNotFound, ""},
		{"GET", "/v1/", 404, routeNotFound, ""},
		{"GET", "/v1/messages/", 404, routeNotFound, ""},
		{"POST", "/v1/messages/", 404, routeNotFound, ""},
		{"GET", "//v1/messages", 404, routeNotFound, ""},
		{"GET", "/V1/messages", 404, routeNotFound, ""},
		{"GET", "/v1/Messages", 404, routeNotFound, ""},
		{"GET", "/v1%2Fmessages", 404, routeNotFound, ""},
		{"GET", "/v1/messages/" + id + "%2Fevents", 404, notFound, ""},
		{"GET", "/v1/messages/" + id + "/events/", 404, routeNotFound, ""},
		{"GET", "/v1/messages/" + id + "/../" + id, 404, routeNotFound, ""},
		{"GET", "/messages/openapi.yaml", 404, notFound, ""},
		{"GET", "/openapi.yaml", 404, routeNotFound, ""},
		{"PUT", "/v1/messages", 405, methodNotAllowed, "GET, HEAD, POST"},
		{"OPTIONS", "/messages", 405, methodNotAllowed, "GET, HEAD, POST"},
		{"DELETE", "/v1/messages/" + id, 405, methodNotAllowed, "GET, HEAD, PATCH"},
		{"GET", "/v1/messages/" + id + "/cancel", 405, methodNotAllowed, "POST"},
		{"POST", "/v1/openapi.yaml", 405, methodNotAllowed, "GET, HEAD"},
		{"BREW", "/v1/messages", 405, methodNotAllowed, "GET, HEAD, POST"},
	}
	for _, tt := range tests {
		t.Run(tt.method+" "+tt.path, func(t *testing.T) {
			a := h.do(tt.method, tt.path, nil)
			h.want(a, tt.status, string(tt.code))
			if got := a.header.Get("Allow"); got != tt.allow {
				t.Errorf("Allow %q, want %q", got, tt.allow)
			}
		})
	}
}

func TestHead(t *testing.T) {
	h := openHouse(t)
	id := h.send(minimal)
	for _, path := range []string{"/v1/messages/" + id, "/messages", "/v1/openapi.yaml"} {
		get, head := h.get(path), h.do("HEAD", path, nil)
		if head.status != 200 || len(head.raw) != 0 || head.header.Get("Content-Length") != fmt.Sprint(len(get.raw)) ||
			head.header.Get("Content-Type") != get.header.Get("Content-Type") {
			t.Errorf("%s: %d, %v for %d octets", path, head.status, head.header, len(get.raw))
		}
	}
	if a := h.do("HEAD", "/v1/messages/msg_1", nil); a.status != 404 || len(a.raw) != 0 {
		t.Errorf("HEAD of nothing: %d %s", a.status, a.raw)
	}
}

func TestOpenAPIIsServedAsItStands(t *testing.T) {
	h := openHouse(t)
	a := h.get("/v1/openapi.yaml", func(r *http.Request) { r.Header.Del("Authorization") })
	if a.status != 200 || string(a.raw) != postrider.OpenAPI() || a.header.Get("Content-Type") != "application/yaml" {
		t.Errorf("%d, %s, %d octets", a.status, a.header.Get("Content-Type"), len(a.raw))
	}
}

func TestPanicIsAProblem(t *testing.T) {
	const secret = "canary-7f3a"
	h := openHouse(t, func(o *Options) {
		o.Fallback = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/half" {
				_, _ = io.WriteString(w, "half")
				w.(http.Flusher).Flush()
			}
			panic(secret)
		})
	})
	a := h.get("/panic")
	h.want(a, 500, string(internalError))
	if a.body["retryable"] != true || strings.Contains(string(a.raw), "goroutine") || strings.Contains(string(a.raw), secret) {
		t.Errorf("answer %s", a.raw)
	}
	var entry map[string]any
	for line := range strings.Lines(h.logs.String()) {
		var e map[string]any
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			t.Fatal(err)
		}
		if e["msg"] == "panic" {
			entry = e
		}
	}
	stack, _ := entry["stack"].(string)
	if entry["request_id"] != a.header.Get("Request-Id") || !strings.Contains(stack, "http_test.go") || strings.Contains(h.logs.String(), secret) {
		t.Errorf("log entry %v", entry)
	}
	// What was begun cannot become a problem, but must not look whole.
	resp, err := http.Get(h.url + "/half")
	if err == nil {
		defer resp.Body.Close()
		_, err = io.ReadAll(resp.Body)
	}
	if err == nil {
		t.Error("a cut answer looks whole")
	}
}

func TestFallback(t *testing.T) {
	h := openHouse(t, func(o *Options) {
		o.Fallback = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, "page "+r.URL.Path) })
	})
	for path, want := range map[string]string{"/": "page /", "/ui/messages": "page /ui/messages", "/v1x": "page /v1x"} {
		resp, err := http.Get(h.url + path)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		if cerr := resp.Body.Close(); err != nil || cerr != nil {
			t.Fatal(err, cerr)
		}
		if string(body) != want || resp.StatusCode != 200 || resp.Header.Get("Request-Id") == "" || resp.Header.Get("Cache-Control") != "" {
			t.Errorf("%s: %d %s, %v", path, resp.StatusCode, body, resp.Header)
		}
	}
	for _, path := range []string{"/v1/nothing", "/messages/a/b/c", "/v1/", "/v1%2Fnothing"} {
		h.want(h.get(path), 404, string(routeNotFound))
	}
	h.want(h.do("PUT", "/messages", nil), 405, string(methodNotAllowed))
}

// The log names requests, and nothing of what is in them.
func TestLogHoldsNoSecrets(t *testing.T) {
	h := openHouse(t)
	h.send(rich, header("X-Request-Id", "caller-1"), header("Idempotency-Key", "secret-key-1"))
	h.post("/v1/messages", `{"to":"x`, header("X-Request-Id", "bad id"))
	h.get("/v1/messages?recipient=ada@example.org&tag=receipt", as("pr_test_wrong"))
	h.get("/v1/ada@example.org")
	if err := h.rdb.Close(); err != nil {
		t.Fatal(err)
	}
	h.post("/v1/messages", rich, header("Idempotency-Key", "secret-key-2"))
	logs := h.logs.String()
	for _, secret := range []string{"ada@", "bob@", "hi@acme", "Hé", "<p>", h.keys["full"], "pr_test_", "secret-key", "receipt", "bad id", "QUJD"} {
		if strings.Contains(logs, secret) {
			t.Errorf("the log holds %q", secret)
		}
	}
	for _, wanted := range []string{`"caller_request_id":"caller-1"`, `"route":"/v1/messages"`, `"key_id":"key_`, `"level":"ERROR"`, `"request_id":"req_`} {
		if !strings.Contains(logs, wanted) {
			t.Errorf("the log lacks %s", wanted)
		}
	}
}

func TestUnavailableSaysWhenToRetry(t *testing.T) {
	h := openHouse(t)
	h.send(minimal) // the key is remembered now
	if err := h.rdb.Close(); err != nil {
		t.Fatal(err)
	}
	for name, a := range map[string]*answer{"known key": h.post("/v1/messages", minimal), "unknown key": h.get("/v1/messages", as(h.keys["read"]))} {
		h.want(a, 503, string(serviceUnavailable))
		if a.header.Get("Retry-After") == "" || a.body["retryable"] != true || strings.Contains(string(a.raw), "redis") {
			t.Errorf("%s: %v %s", name, a.header, a.raw)
		}
	}
}

func TestServerLimits(t *testing.T) {
	s := Server("127.0.0.1:0", http.NotFoundHandler())
	if s.Addr != "127.0.0.1:0" || s.Handler == nil || s.ReadHeaderTimeout <= 0 || s.ReadTimeout <= 0 || s.WriteTimeout <= 0 ||
		s.IdleTimeout <= 0 || s.MaxHeaderBytes != 16<<10 {
		t.Errorf("server %+v", s)
	}
	h := openHouse(t)
	req, err := http.NewRequest("GET", h.url+"/v1/openapi.yaml", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("X-Long", strings.Repeat("x", 32<<10))
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusRequestHeaderFieldsTooLarge {
		t.Errorf("a header of 32 KiB: %d", resp.StatusCode)
	}
}

// A body that ends before its announced length is no JSON, and not a message.
func TestCutConnection(t *testing.T) {
	h := openHouse(t)
	conn, err := net.Dial("tcp", strings.TrimPrefix(h.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_, err = fmt.Fprintf(conn, "POST /v1/messages HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n%s",
		h.keys["full"], minimal)
	if err != nil {
		t.Fatal(err)
	}
	if err := conn.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != 400 {
		t.Errorf("status %d", resp.StatusCode)
	}
	h.wantNothing()
}
