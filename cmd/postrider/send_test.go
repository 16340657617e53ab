package main

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"postrider/internal/logtest"
)

// shell runs commands as somebody does whose environment names a dev server.
type shell struct {
	environ []string
	stdin   string
}

func (d devServer) shell() shell {
	return shell{environ: []string{"POSTRIDER_URL=" + d.url, "POSTRIDER_API_KEY=" + d.key, "POSTRIDER_WEBHOOK_SECRET=whsec_x"}}
}

func (s shell) run(t *testing.T, args ...string) (status int, out, errs string) {
	t.Helper()
	var o, e logtest.Buffer
	status = run(t.Context(), args, terminal{in: strings.NewReader(s.stdin), out: &o, err: &e, environ: s.environ})
	return status, o.String(), e.String()
}

// mail is the command line of a mail to somebody.
func mail(to string, more ...string) []string {
	return append([]string{"send", "--from", "Acme <hi@acme.com>", "--to", to, "--subject", "Hello", "--text", "Hi"}, more...)
}

func TestSend(t *testing.T) {
	t.Parallel()
	d := startDev(t)
	sh := d.shell()
	sh.stdin = "from a pipe\n"
	file := filepath.Join(t.TempDir(), "receipt 42.txt")
	if err := os.WriteFile(file, []byte("42"), 0o600); err != nil {
		t.Fatal(err)
	}
	status, out, errs := sh.run(t, "send", "--from", "hi@acme.com", "--to", `"Lovelace, Ada" <ada@example.org>`, "--cc", "deferred@sandbox.test",
		"--subject", "Hello", "--text", "-", "--attach", file, "--tag", "receipt", "--tag", "may", "--wait")
	lines := strings.Split(out, "\n")
	id, first, _ := strings.Cut(lines[0], " ")
	if status != 0 || first != "queued" || len(lines) != 3 || lines[1] != id+" delivered" {
		t.Fatalf("%d\n%s%s", status, out, errs)
	}
	for _, want := range []string{"ada@example.org is delivered: ", "deferred@sandbox.test is deferred: next attempt at ", "451 4.3.0", "deferred@sandbox.test is delivered"} {
		if !strings.Contains(errs, want) {
			t.Errorf("the progress has no %q:\n%s", want, errs)
		}
	}
	sent, err := json.Marshal(d.call(t, "GET", "/messages/"+id+"?include=content", ""))
	for _, want := range []string{`"text":"from a pipe\n"`, `"name":"Lovelace, Ada"`, `"filename":"receipt 42.txt"`, `"tags":["receipt","may"]`} {
		if err != nil || !strings.Contains(string(sent), want) {
			t.Errorf("no %s in %s", want, sent)
		}
	}

	if status, out, errs := sh.run(t, mail("bounced@sandbox.test", "--wait")...); status != exitNotDelivered || !strings.Contains(out, " bounced\n") || !strings.Contains(errs, "550 5.1.1") {
		t.Errorf("a bounce: %d\n%s%s", status, out, errs)
	}
	_, once, _ := sh.run(t, mail("ada@example.org", "--idempotency-key", "receipt/42")...)
	if status, twice, errs := sh.run(t, mail("ada@example.org", "--idempotency-key", "receipt/42")...); status != 0 || twice != once || !strings.Contains(errs, "not sent again") {
		t.Errorf("the same key: %d\n%s%s%s", status, once, twice, errs)
	}
	if status, out, errs := sh.run(t, mail("suppressed@sandbox.test")...); status != 0 || !strings.Contains(out, " suppressed\n") || !strings.Contains(errs, "is suppressed: ") {
		t.Errorf("a suppressed recipient: %d\n%s%s", status, out, errs)
	}
}

func TestSendNamesEveryFault(t *testing.T) {
	t.Parallel()
	d := startDev(t)
	status, out, errs := d.shell().run(t, "send", "--from", "hi", "--to", "x", "--to", "a@b.test, c@d.test", "--text", "t", "--tag", "a b")
	if status != 1 || out != "" {
		t.Errorf("%d %s", status, out)
	}
	for _, want := range []string{"5 members are invalid (validation_failed, req_", "\n  from ", "\n  to/0 ", "\n  to/1 ", "\n  subject ", "\n  tags/0 "} {
		if !strings.Contains(errs, want) {
			t.Errorf("no %q in:\n%s", want, errs)
		}
	}
	wrongKey, away := d.shell(), d.shell()
	wrongKey.environ[1] = "POSTRIDER_API_KEY=pr_test_hunter2"
	away.environ[0] = "POSTRIDER_URL=https://user:hunter2@mail.test"
	for _, c := range []struct {
		sh     shell
		args   []string
		status int
		err    string
	}{
		{shell{}, mail("a@b.test"), 1, "set POSTRIDER_URL"},
		{shell{}, mail("a@b.test"), 1, "set POSTRIDER_API_KEY"},
		{wrongKey, mail("a@b.test"), 1, "taken from POSTRIDER_API_KEY"},
		{away, mail("a@b.test"), 1, "no user"},
		{d.shell(), mail("a@b.test", "--attach", "/nonexistent", "--attach", "/also/nonexistent"), 1, "/also/nonexistent"},
		{d.shell(), mail("a@b.test", "--attach", "-"), 1, "an attachment needs a name"},
		{d.shell(), mail("a@b.test", "--text", "-", "--html", "-"), 2, "cannot both"},
		{d.shell(), mail("a@b.test", "--form", "x"), 2, "--form"},
	} {
		status, out, errs := c.sh.run(t, c.args...)
		if status != c.status || out != "" || !strings.Contains(errs, c.err) || strings.Contains(errs, "hunter2") {
			t.Errorf("%q: %d, want %d with %q\n%s%s", c.args, status, c.status, c.err, out, errs)
		}
	}
}

func TestMessages(t *testing.T) {
	t.Parallel()
	d := startDev(t)
	sh := d.shell()
	if status, out, errs := sh.run(t, "messages", "list"); status != 0 || out != "" || !strings.Contains(errs, "No messages") {
		t.Errorf("an empty list: %d\n%s%s", status, out, errs)
	}
	_, sent, errs := sh.run(t, mail("bounced@sandbox.test", "--cc", "ada@example.org", "--tag", "receipt", "--wait")...)
	id, _, _ := strings.Cut(sent, " ")
	_, later, _ := sh.run(t, mail("stuck@sandbox.test")...)
	stuck, _, _ := strings.Cut(later, " ")
	if id == "" || stuck == "" {
		t.Fatal(errs)
	}

	_, list, _ := sh.run(t, "messages", "list")
	rows := strings.Split(strings.TrimSpace(list), "\n")
	if len(rows) != 3 || !strings.HasPrefix(rows[0], "ID ") || !strings.HasPrefix(rows[1], stuck) || !strings.HasPrefix(rows[2], id) ||
		!strings.Contains(rows[2], "partially_delivered  bounced@sandbox.test +1  Hello") {
		t.Errorf("the list:\n%s", list)
	}
	if _, one, _ := sh.run(t, "messages", "list", "--limit", "1"); strings.Count(one, "\n") != 2 {
		t.Errorf("a list of one:\n%s", one)
	}
	var object struct{ ID, Object string }
	if _, line, _ := sh.run(t, "messages", "list", "--json", "--tag", "receipt"); strings.Count(line, "\n") != 1 || json.Unmarshal([]byte(line), &object) != nil || object.ID != id || object.Object != "message" {
		t.Errorf("the list for scripts: %s", line)
	}

	_, shown, _ := sh.run(t, "messages", "show", id, "--smtp")
	for _, want := range []string{id + " partially_delivered", "From       Acme <hi@acme.com>", "550 5.1.1", "hard; invalid_recipient", "RCPT TO:<bounced@sandbox.test>", "queued ", "delivered "} {
		if !strings.Contains(shown, want) {
			t.Errorf("no %q in:\n%s", want, shown)
		}
	}
	var told struct {
		Message  struct{ ID string }
		Events   []struct{ Type string }
		Attempts []any
	}
	if _, text, _ := sh.run(t, "messages", "show", id, "--json"); json.Unmarshal([]byte(text), &told) != nil || told.Message.ID != id || len(told.Events) != 4 || told.Attempts != nil {
		t.Errorf("the story for scripts: %s", text)
	}

	if status, out, errs := sh.run(t, "messages", "cancel", stuck); status != 0 || !strings.HasPrefix(out, stuck+" ") {
		t.Errorf("cancel: %d\n%s%s", status, out, errs)
	}
	for _, c := range [][]string{
		{"message_not_cancelable", "cancel", id},
		{"not_found", "show", "msg_1"},
		{"not a status", "list", "--status", "sent"},
		{"--limit", "list", "--limit", "-1"},
		{"--after", "list", "--after", "yesterday"},
	} {
		if status, out, errs := sh.run(t, append([]string{"messages"}, c[1:]...)...); status == 0 || out != "" || !strings.Contains(errs, c[0]) {
			t.Errorf("%q: %d, want an error with %q\n%s%s", c[1:], status, c[0], out, errs)
		}
	}
}

// TestMessagesCleansWhatStrangersWrite keeps a reply of a mail server from
// commanding the terminal.
func TestMessagesCleansWhatStrangersWrite(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		answer := `{"id":"msg_1","status":"bounced","subject":"\u001b[2Jgone","recipients":[{"email":"a@b.test","last_response":{"code":550,"text":"\u202eno\r\u0007"}}]}`
		if strings.HasSuffix(r.URL.Path, "/events") {
			answer = `{"data":[{"type":"message.bounced","data":{"smtp":{"code":550,"text":"\u001b]0;x\u0007"}}}]}`
		}
		_, _ = w.Write([]byte(answer))
	}))
	defer server.Close()
	sh := shell{environ: []string{"POSTRIDER_URL=" + server.URL, "POSTRIDER_API_KEY=k"}}
	status, out, errs := sh.run(t, "messages", "show", "msg_1")
	if status != 0 || strings.ContainsAny(out, "\x1b\x07\r\u202e") || !strings.Contains(out, "[2Jgone") {
		t.Errorf("%d %q %s", status, out, errs)
	}
}

// TestSendInterrupted: whoever waits for a mail must not take Ctrl-C for success.
func TestSendInterrupted(t *testing.T) {
	t.Parallel()
	d := startDev(t)
	ctx, interrupt := context.WithCancel(t.Context())
	out := &stopper{stop: interrupt}
	var errs logtest.Buffer
	status := run(ctx, mail("stuck@sandbox.test", "--wait"), terminal{out: out, err: &errs, environ: d.shell().environ})
	if status != 1 || !strings.Contains(out.String(), " queued\n") || !strings.Contains(errs.String(), "following it failed: interrupted") {
		t.Errorf("%d\n%s%s", status, out.String(), errs.String())
	}
}

// stopper interrupts a command at its first line.
type stopper struct {
	logtest.Buffer
	stop func()
}

func (s *stopper) Write(p []byte) (int, error) {
	defer s.stop()
	return s.Buffer.Write(p)
}
