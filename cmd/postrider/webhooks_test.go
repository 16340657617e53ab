package main

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"postrider/client"
)

// TestWebhooksCommand makes an endpoint, lets it fail, looks why, and replays.
func TestWebhooksCommand(t *testing.T) {
	t.Parallel()
	d := startDev(t)
	sh := d.shell()
	var up atomic.Bool
	end := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if !up.Load() {
			http.Error(w, "\x1b[31mno", http.StatusBadGateway)
		}
	}))
	defer end.Close()

	if status, out, errs := sh.run(t, "webhooks", "list"); status != 0 || out != "" || !strings.Contains(errs, "postrider webhooks create") {
		t.Errorf("no webhooks: %d %s%s", status, out, errs)
	}
	status, made, errs := sh.run(t, "webhooks", "create", strings.Replace(end.URL, "http://", "http://user:hunter2@", 1), "--events", "message.delivered,message.bounced", "--tag", "receipt", "--header", "X-Token=secret")
	id, secret, _ := strings.Cut(strings.TrimSpace(made), " ")
	if status != 0 || !strings.HasPrefix(id, "wh_") || !strings.HasPrefix(secret, "whsec_") {
		t.Fatalf("create: %d %s%s", status, made, errs)
	}
	status, tried, errs := sh.run(t, "webhooks", "test", id)
	if status != 1 || !strings.Contains(tried, "message.delivered failed: 502") || strings.Contains(tried, "\x1b") || !strings.Contains(errs, "did not take") {
		t.Errorf("test: %d %s%s", status, tried, errs)
	}
	if status, _, errs := sh.run(t, mail("delivered@sandbox.test", "--tag", "receipt", "--wait")...); status != 0 {
		t.Fatalf("send: %d %s", status, errs)
	}
	delivery := ""
	for deadline := time.Now().Add(20 * time.Second); delivery == "" && time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		_, list, _ := sh.run(t, "webhooks", "deliveries", id, "--json")
		var found client.Delivery
		if json.Unmarshal([]byte(list), &found) == nil && found.AttemptCount > 0 {
			delivery = found.ID
		}
	}
	_, list, _ := sh.run(t, "webhooks", "deliveries", id)
	rows := strings.Split(strings.TrimSpace(list), "\n")
	if len(rows) != 2 || !strings.HasPrefix(rows[0], "ID") || !strings.Contains(rows[1], "message.delivered  pending  1") || !strings.Contains(rows[1], "502") {
		t.Fatalf("deliveries:\n%s", list)
	}
	if _, one, _ := sh.run(t, "webhooks", "deliveries", id, delivery); !strings.Contains(one, "attempt 1: 502") || !strings.Contains(one, `"type":"message.delivered"`) || strings.Contains(one, "\x1b") {
		t.Errorf("a delivery:\n%s", one)
	}
	up.Store(true)
	if status, one, errs := sh.run(t, "webhooks", "replay", id, delivery); status != 0 || !strings.Contains(one, delivery) {
		t.Errorf("replay one: %d %s%s", status, one, errs)
	}
	if status, out, errs := sh.run(t, "webhooks", "replay", id, "--last", "1h", "--all"); status != 0 || !strings.HasSuffix(out, "events are posted again.\n") {
		t.Errorf("replay: %d %s%s", status, out, errs)
	}
	if status, tried, errs := sh.run(t, "webhooks", "test", id, "--type", "message.bounced"); status != 0 || !strings.Contains(tried, "message.bounced succeeded: 200") {
		t.Errorf("test: %d %s%s", status, tried, errs)
	}
	if status, shown, _ := sh.run(t, "webhooks", "update", id, "--disable", "--description", "the shop"); status != 0 || !strings.Contains(shown, id+" disabled") || !strings.Contains(shown, "the shop") || strings.Contains(shown, "hunter2") {
		t.Errorf("disable: %d %s", status, shown)
	}
	if status, shown, _ := sh.run(t, "webhooks", "update", id, "--enable"); status != 0 || !strings.Contains(shown, "postrider webhooks replay "+id) {
		t.Errorf("enable: %d %s", status, shown)
	}
	if status, out, errs := sh.run(t, "webhooks", "replay", id); status != 0 {
		t.Errorf("replay what was missed: %d %s%s", status, out, errs)
	}
	if status, out, _ := sh.run(t, "webhooks", "secret", id); status != 0 || out != secret+"\n" {
		t.Errorf("secret: %d %s", status, out)
	}
	if status, out, errs := sh.run(t, "webhooks", "secret", id, "--rotate", "--overlap", "1h"); status != 0 || out == secret+"\n" || !strings.Contains(errs, "signs too, until") {
		t.Errorf("rotate: %d %s%s", status, out, errs)
	}
	if _, list, _ := sh.run(t, "webhooks", "list"); strings.Count(list, "\n") != 2 || !strings.Contains(list, id+"  enabled") || strings.Contains(list, "hunter2") {
		t.Errorf("list:\n%s", list)
	}
	if status, _, errs := sh.run(t, "webhooks", "delete", id); status != 0 {
		t.Errorf("delete: %d %s", status, errs)
	}
	if status, _, errs := sh.run(t, "webhooks", "show", id); status != 1 || !strings.Contains(errs, "There is no webhook with this id (not_found, req_") {
		t.Errorf("show: %d %s", status, errs)
	}
}

// TestWebhooksBadInput: what is wrong is said, by the flag or by the server.
func TestWebhooksBadInput(t *testing.T) {
	t.Parallel()
	d := startDev(t)
	for _, c := range []struct {
		args   []string
		status int
		err    string
	}{
		{[]string{"create", "ftp://a", "--events", "message.sent,message.bounced"}, 1, "\n  events/0 "},
		{[]string{"update", "wh_1", "--enable", "--disable"}, 2, "--enable"},
		{[]string{"deliveries", "wh_1", "--limit", "-2"}, 2, "--limit"},
		{[]string{"replay", "wh_1", "--since", "2026-11-27T00:00:00Z", "--last", "1h"}, 2, "--since and --last"},
		{[]string{"replay", "wh_1", "dlv_1", "--all"}, 2, "one delivery"},
		{[]string{"replay", "wh_1"}, 1, "not_found"},
		{[]string{"secret"}, 2, "<id>"},
	} {
		status, out, errs := d.shell().run(t, append([]string{"webhooks"}, c.args...)...)
		if status != c.status || out != "" || !strings.Contains(errs, c.err) {
			t.Errorf("%q: %d, want %d with %q\n%s%s", c.args, status, c.status, c.err, out, errs)
		}
	}
	if status, _, errs := (shell{}).run(t, "webhooks", "list"); status != 1 || !strings.Contains(errs, "POSTRIDER_URL") {
		t.Errorf("without a server: %d %s", status, errs)
	}
}

// TestSuppressionsCommand adds, lists, exports, removes and imports again.
func TestSuppressionsCommand(t *testing.T) {
	t.Parallel()
	d := startDev(t)
	sh := d.shell()
	if status, out, errs := sh.run(t, "suppressions", "list"); status != 0 || out != "" || !strings.Contains(errs, "Nothing is suppressed") {
		t.Errorf("an empty list: %d %s%s", status, out, errs)
	}
	if status, out, errs := sh.run(t, "suppressions", "add", "gone@example.org", "left@example.org", "--note", "asked"); status != 0 || out != "2 added, 0 were there already.\n" {
		t.Errorf("add: %d %s%s", status, out, errs)
	}
	if status, out, _ := sh.run(t, mail("gone@example.org")...); status != 0 || !strings.Contains(out, " suppressed\n") {
		t.Errorf("mail to it: %d %s", status, out)
	}
	_, list, _ := sh.run(t, "suppressions", "list", "--email", "Gone@example.org")
	rows := strings.Split(strings.TrimSpace(list), "\n")
	if len(rows) != 2 || !strings.Contains(rows[1], "gone@example.org  manual") || !strings.Contains(rows[1], "asked") {
		t.Fatalf("list:\n%s", list)
	}
	file := filepath.Join(t.TempDir(), "list.csv")
	if status, _, errs := sh.run(t, "suppressions", "export", file); status != 0 {
		t.Fatalf("export: %d %s", status, errs)
	}
	raw, err := os.ReadFile(file)
	if _, out, _ := sh.run(t, "suppressions", "export"); err != nil || out != string(raw) || strings.Count(out, "\n") != 3 {
		t.Errorf("export: %v\n%s\n%s", err, raw, out)
	}
	id, _, _ := strings.Cut(rows[1], " ")
	if status, _, errs := sh.run(t, "suppressions", "remove", id); status != 0 {
		t.Errorf("remove by id: %d %s", status, errs)
	}
	if status, out, _ := sh.run(t, "suppressions", "remove", "left@example.org", "never@example.org"); status != 0 || out != "1 entries are removed.\n" {
		t.Errorf("remove: %d %s", status, out)
	}
	if status, out, errs := sh.run(t, "suppressions", "import", file); status != 0 || out != "2 rows: 2 added, 0 were there already.\n" {
		t.Errorf("import: %d %s%s", status, out, errs)
	}
	sh.stdin = "email,reason\nok@example.org,manual\nnobody,because\n"
	status, out, errs := sh.run(t, "suppressions", "import", "-")
	for _, want := range []string{"line 3, email is not a mail address", "line 3, reason is none of"} {
		if status != 1 || out != "" || !strings.Contains(errs, want) {
			t.Errorf("a bad file: %d, no %q\n%s%s", status, want, out, errs)
		}
	}
	var entry client.Suppression
	if _, line, _ := sh.run(t, "suppressions", "list", "--json", "--limit", "1"); json.Unmarshal([]byte(line), &entry) != nil || entry.Email == "" {
		t.Errorf("for scripts: %s", line)
	}
	if status, _, errs := sh.run(t, "suppressions", "add", "nobody"); status != 1 || !strings.Contains(errs, "add/0/email") {
		t.Errorf("a bad address: %d %s", status, errs)
	}
}
