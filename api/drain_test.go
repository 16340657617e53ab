package api

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/gin-gonic/gin"
)

// speak opens a connection, writes a request as it stands, all of it, and only then
// reads: the answer, and its problem.
func (h *house) speak(head string, body io.Reader) (*http.Response, problemBody) {
	h.t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(h.url, "http://"))
	if err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() { _ = conn.Close() })
	head = strings.ReplaceAll(strings.ReplaceAll(head, "KEY", h.keys["full"]), "\n", "\r\n")
	if _, err := io.Copy(conn, io.MultiReader(strings.NewReader(head), body)); err != nil {
		h.t.Fatalf("the connection was torn while the request was written: %v", err)
	}
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		h.t.Fatal(err)
	}
	var p problemBody
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		h.t.Fatal(err)
	}
	if len(raw) > 0 {
		if err := json.Unmarshal(raw, &p); err != nil || resp.Header.Get("Content-Type") != "application/problem+json" {
			h.t.Errorf("%s: %v: %s", resp.Header.Get("Content-Type"), err, raw)
		}
	}
	if resp.Header.Get("Request-Id") == "" {
		h.t.Error("no Request-Id")
	}
	return resp, p
}

// api.md 24.12: whoever writes 29 MB before reading sees the refusal all the same.
func TestLargeBodiesSeeTheRefusal(t *testing.T) {
	const size = 29 << 20
	h := openHouse(t)
	length := fmt.Sprintf("Host: x\nContent-Length: %d\n", size)
	tests := []struct {
		name, head string
		status     int
		code       code
	}{
		{"too large", "POST /messages HTTP/1.1\n" + length + "Authorization: Bearer KEY\nContent-Type: application/json\n\n", 413, requestTooLarge},
		{"no key", "POST /messages HTTP/1.1\n" + length + "Content-Type: application/json\n\n", 401, missingAPIKey},
		{"no JSON", "POST /v1/messages HTTP/1.1\n" + length + "Authorization: Bearer KEY\nContent-Type: text/plain\n\n", 415, unsupportedMediaType},
		{"unknown parameter", "POST /messages?x=1 HTTP/1.1\n" + length + "Authorization: Bearer KEY\nContent-Type: application/json\n\n", 400, invalidParameter},
		{"wrong method", "PUT /messages HTTP/1.1\n" + length + "\n", 405, methodNotAllowed},
		{"no route", "POST /x HTTP/1.1\n" + length + "\n", 404, routeNotFound},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			inside := *h
			inside.t = t
			resp, p := inside.speak(tt.head, zeros(size))
			if resp.StatusCode != tt.status || p.Code != tt.code {
				t.Errorf("answer %d %s, want %d %s", resp.StatusCode, p.Code, tt.status, tt.code)
			}
		})
	}
	h.wantNothing()
}

// Who asks before sending is refused without a word of the body.
func TestExpectContinueIsRefusedAtOnce(t *testing.T) {
	h := openHouse(t)
	for head, want := range map[string]code{
		"POST /messages HTTP/1.1\nAuthorization: Bearer KEY\nContent-Type: application/json\n": requestTooLarge,
		"POST /messages HTTP/1.1\nContent-Type: application/json\n":                            missingAPIKey,
		"POST /x HTTP/1.1\n": routeNotFound,
	} {
		_, p := h.speak(fmt.Sprintf("%sHost: x\nContent-Length: %d\nExpect: 100-Continue\n\n", head, maxBody+1), bytes.NewReader(nil))
		if p.Code != want {
			t.Errorf("answer %q, want %s", p.Code, want)
		}
	}
	// And one that may send is told so.
	conn, err := net.Dial("tcp", strings.TrimPrefix(h.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := fmt.Fprintf(conn, "POST /messages HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nContent-Type: application/json\r\n"+
		"Content-Length: %d\r\nExpect: 100-continue\r\n\r\n", h.keys["full"], len(minimal)); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(conn).ReadString('\n')
	if err != nil || line != "HTTP/1.1 100 Continue\r\n" {
		t.Errorf("%q, %v", line, err)
	}
}

// Draining ends: after so many octets, after some time, and where nothing comes any more.
func TestDrainIsBounded(t *testing.T) {
	left := make(chan int64, 1)
	engine := newGin(nil)
	engine.Use((&door{log: slog.New(slog.DiscardHandler)}).observe)
	engine.POST("/octets", func(g *gin.Context) {
		drain(g, 1000, time.Hour)
		n, err := io.Copy(io.Discard, g.Request.Body)
		left <- n
		if err != nil {
			t.Error(err)
		}
	})
	engine.POST("/time", func(g *gin.Context) { drain(g, 1000, 50*time.Millisecond) })
	s := httptest.NewServer(engine)
	t.Cleanup(s.Close)
	h := &house{t: t, url: s.URL, keys: map[string]string{}}
	h.speak("POST /octets HTTP/1.1\nHost: x\nContent-Length: 1500\n\n", zeros(1500))
	if n := <-left; n != 500 {
		t.Errorf("%d octets were left, want 500", n)
	}
	h.speak("POST /time HTTP/1.1\nHost: x\nContent-Length: 1500\n\n", zeros(10))
}

// A body that stops coming is the network's fault, not the JSON's.
func TestStalledUpload(t *testing.T) {
	h := openHouse(t)
	slow := h.serve(h.door, func(s *http.Server) { s.ReadTimeout = time.Second })
	resp, p := slow.speak("POST /messages HTTP/1.1\nHost: x\nAuthorization: Bearer KEY\nContent-Type: application/json\nContent-Length: 1000\n\n",
		strings.NewReader(minimal))
	if resp.StatusCode != http.StatusRequestTimeout || p.Code != requestTimeout || !p.Retryable || !resp.Close {
		t.Errorf("answer %d %+v, close %v", resp.StatusCode, p, resp.Close)
	}
	h.wantNothing()
}

func TestOptionsOfTheServer(t *testing.T) {
	h := openHouse(t)
	resp, _ := h.speak("OPTIONS * HTTP/1.1\nHost: x\n\n", bytes.NewReader(nil))
	if resp.StatusCode != http.StatusNoContent {
		t.Errorf("status %d", resp.StatusCode)
	}
}
