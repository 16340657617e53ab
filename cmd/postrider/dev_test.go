package main

import (
	"bytes"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"
)

// devServer is a running `postrider dev`.
type devServer struct {
	url, key, banner string
}

func startDev(t *testing.T) devServer {
	t.Helper()
	out := start(t, "dev", "--addr", "127.0.0.1:0")
	for !strings.Contains(out.String(), "Stop with") {
		if t.Context().Err() != nil {
			t.Fatal("postrider dev printed no banner")
		}
		time.Sleep(5 * time.Millisecond)
	}
	d := devServer{banner: out.String()}
	d.url = regexp.MustCompile(`http://127\.0\.0\.1:\d+`).FindString(d.banner)
	d.key = regexp.MustCompile(`pr_test_[0-9A-Za-z]+`).FindString(d.banner)
	return d
}

func (d devServer) call(t *testing.T, method, path, body string) map[string]any {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, d.url+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer "+d.key)
	request.Header.Set("Content-Type", "application/json")
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	var object map[string]any
	if err := json.NewDecoder(response.Body).Decode(&object); err != nil {
		t.Fatalf("%s %s: status %d: %v", method, path, response.StatusCode, err)
	}
	if response.StatusCode >= 300 {
		t.Fatalf("%s %s: %v", method, path, object)
	}
	return object
}

// until waits for a message to reach a status; the test's deadline bounds it.
func (d devServer) until(t *testing.T, id, status string) map[string]any {
	t.Helper()
	deadline := time.Now().Add(time.Minute)
	for {
		message := d.call(t, "GET", "/messages/"+id+"?include=content", "")
		if message["status"] == status {
			return message
		}
		if time.Now().After(deadline) {
			t.Fatalf("message is %v, want %s: %v", message["status"], status, message)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// TestDevFirstMail pastes the printed curl line, as a new user does.
func TestDevFirstMail(t *testing.T) {
	d := startDev(t)
	_, line, _ := strings.Cut(d.banner, "\ncurl ")
	line, _, _ = strings.Cut(line, "\n\n")
	shell := exec.CommandContext(t.Context(), "sh", "-c", "curl -sS "+line)
	var answer struct{ ID, Status string }
	out, err := shell.Output()
	if err != nil {
		t.Fatalf("curl: %v", err)
	}
	if err := json.Unmarshal(out, &answer); err != nil || answer.Status != "queued" {
		t.Fatalf("curl printed %s", out)
	}
	message := d.until(t, answer.ID, "delivered")
	if message["text"] != "Hi Ada" {
		t.Errorf("content %v, want the text that was sent", message["text"])
	}
	page := d.page(t, "/ui/messages/"+answer.ID)
	for _, said := range []string{"EHLO ", "MAIL FROM:", "RCPT TO:", "DATA", "354 ", "250 "} {
		if !strings.Contains(page, said) {
			t.Errorf("the timeline does not show %q", said)
		}
	}
	if inbox := d.page(t, "/ui/inbox"); !strings.Contains(inbox, "Hello") {
		t.Error("the inbox does not list the mail")
	}
}

func (d devServer) page(t *testing.T, path string) string {
	t.Helper()
	response, err := http.Get(d.url + path)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != 200 {
		t.Fatalf("GET %s: %d %v", path, response.StatusCode, err)
	}
	return string(bytes.ReplaceAll(body, []byte("&lt;"), []byte("<")))
}

// TestDevSandboxAddresses sees each sandbox address do as its name says.
func TestDevSandboxAddresses(t *testing.T) {
	d := startDev(t)
	cases := []struct {
		address, status string
		code            float64 // of the last reply; 0: none
		reason          any
		attempts        float64 // 0: any number
	}{
		{"delivered@sandbox.test", "delivered", 250, nil, 1},
		{"bounced@sandbox.test", "bounced", 550, nil, 1},
		{"Bounced+Label@sandbox.test", "bounced", 550, nil, 1},
		{"soft-bounced@sandbox.test", "bounced", 552, nil, 3},
		{"blocked@sandbox.test", "bounced", 550, nil, 1},
		{"deferred@sandbox.test", "delivered", 250, nil, 2},
		{"stuck@sandbox.test", "failed", 451, "expired", 0},
		{"failed@sandbox.test", "failed", 0, "no_route", 0},
		{"slow-2@sandbox.test", "delivered", 250, nil, 1},
		{"smtp-550-5.7.26@sandbox.test", "bounced", 550, nil, 1},
		{"smtp-421@sandbox.test", "failed", 421, "expired", 0},
		{"anybody@example.org", "delivered", 250, nil, 1},
	}
	for _, c := range cases {
		t.Run(c.address, func(t *testing.T) {
			t.Parallel()
			sent := d.call(t, "POST", "/v1/messages",
				`{"from":"hi@acme.com","to":"`+c.address+`","subject":"s","text":"t"}`)
			message := d.until(t, sent["id"].(string), c.status)
			r := message["recipients"].([]any)[0].(map[string]any)
			var code float64
			if last, ok := r["last_response"].(map[string]any); ok {
				code = last["code"].(float64)
			}
			if code != c.code || r["reason"] != c.reason || (c.attempts != 0 && r["attempts"] != c.attempts) {
				t.Errorf("code %v, reason %v, attempts %v; want %v, %v, %v", code, r["reason"], r["attempts"], c.code, c.reason, c.attempts)
			}
		})
	}
}

// TestDevRefusesOtherHosts keeps a page that rebinds its name from reading mail.
func TestDevRefusesOtherHosts(t *testing.T) {
	d := startDev(t)
	request, _ := http.NewRequestWithContext(t.Context(), "GET", d.url+"/", nil)
	request.Host = "evil.example"
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	if response.StatusCode != http.StatusMisdirectedRequest {
		t.Errorf("status %d for another Host, want 421", response.StatusCode)
	}
}

func TestDevAddressInUse(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	status, _, errs := command(t, []string{"POSTRIDER_RELAY=smtp://u:hunter2@mx.test"}, "dev", "--addr", listener.Addr().String(), "--hostname", "a.test")
	if !strings.Contains(errs, "no effect") || !strings.Contains(errs, "--hostname, --relay") || strings.Contains(errs, "hunter2") {
		t.Errorf("it does not say what it overrides: %s", errs)
	}
	if status != 1 || !strings.Contains(errs, "is in use") || !strings.Contains(errs, "127.0.0.1:0") {
		t.Errorf("status %d: %s", status, errs)
	}
}
