package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestConfig(t *testing.T) {
	file := filepath.Join(t.TempDir(), "postrider.yaml")
	text := "concurrency: 7\nhostname: file.acme.test\nroutes: [acme.com=smtp://app:hunter2@one.test, b.test=smtp://two.test]\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	environ := []string{
		"POSTRIDER_CONFIG=" + file, "POSTRIDER_HOSTNAME=env.acme.test", "POSTRIDER_REDIS_URL=rediss://app:hunter2@redis.test/1",
		"POSTRIDER_SECRET_KEY=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=", "POSTRIDER_MX_PORT=26",
	}
	status, out, errs := command(t, environ, "config", "--mx-port", "27", "--relay", "smtps://app:hun%40ter2@relay.test:465", "--retry-schedule", "90s,1h")
	if status != 0 {
		t.Fatalf("%d %s", status, errs)
	}
	for _, want := range []string{
		"# file: " + file,
		`concurrency: 7 # file`,
		`hostname: "env.acme.test" # environment POSTRIDER_HOSTNAME`,
		`redis_url: "rediss://app:xxxxx@redis.test/1" # environment`,
		`secret_key: "xxxxx" # environment`,
		`mx_port: 27 # flag --mx-port`,
		`relay: "smtps://app:xxxxx@relay.test:465" # flag`,
		`routes: "acme.com=smtp://app:xxxxx@one.test,b.test=smtp://two.test" # file`,
		`retry_schedule: "1m30s,1h" # flag`,
		`http_addr: ":8025" # default`,
		`log_format: "json" # default`,
		`roles: "api,worker,dashboard" # default`,
		`require_verified_domains: true # default`,
		`return_path_domain: "" # default`,
	} {
		if !strings.Contains(strings.Join(strings.Fields(out), " "), want) {
			t.Errorf("no %s in:\n%s", want, out)
		}
	}
	if strings.Contains(out, "hunter2") || strings.Contains(out, "ter2@") || strings.Contains(out, "AAAA") {
		t.Errorf("a secret is shown:\n%s", out)
	}
}

// TestConfigIsAFile reads what it printed.
func TestConfigIsAFile(t *testing.T) {
	status, printed, errs := command(t, nil, "config", "--hostname", "mail.acme.test", "--retry-schedule", "1s,2h", "--roles", "api")
	if status != 0 {
		t.Fatalf("%d %s", status, errs)
	}
	file := filepath.Join(t.TempDir(), "postrider.yaml")
	if err := os.WriteFile(file, []byte(printed), 0o600); err != nil {
		t.Fatal(err)
	}
	status, again, errs := command(t, nil, "config", "--config", file)
	if status != 0 {
		t.Fatalf("%d %s", status, errs)
	}
	values := func(text string) string {
		var b strings.Builder
		for line := range strings.Lines(text) {
			value, _, _ := strings.Cut(line, "#")
			if value != "" {
				b.WriteString(strings.TrimSpace(value) + "\n")
			}
		}
		return b.String()
	}
	if values(printed) != values(again) {
		t.Errorf("printed:\n%s\nread and printed again:\n%s", printed, again)
	}
}
