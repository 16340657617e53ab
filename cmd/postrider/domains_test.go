package main

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"postrider/internal/redistest"
	"postrider/smtpclient/dns"
)

// TestDomains adds a domain, publishes what is printed, and checks it.
func TestDomains(t *testing.T) {
	zone := &dns.Zone{Names: map[string]dns.Name{"acme.com": {}}}
	server, err := zone.Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	environ := []string{
		"POSTRIDER_REDIS_URL=" + redistest.Server(t), "POSTRIDER_DATA_DIR=" + t.TempDir(),
		"POSTRIDER_DNS=" + server.Addr(), "POSTRIDER_RETURN_PATH_DOMAIN=bounces.example.org",
	}
	expect := func(status int, said string, args ...string) string {
		t.Helper()
		got, out, errs := command(t, environ, append([]string{"domains"}, args...)...)
		if got != status || !strings.Contains(out+errs, said) {
			t.Fatalf("domains %s: status %d, want %d saying %q:\n%s%s", strings.Join(args, " "), got, status, said, out, errs)
		}
		return out
	}

	expect(0, "No sending domains yet", "list")
	expect(1, "no sending domain yet", "check", "acme.com")
	expect(1, "add", "add", "not a domain")
	printed := expect(0, "Publish these DNS records", "add", "Acme.com")
	expect(1, "was added before", "add", "acme.com")
	expect(1, "not verified yet", "check", "acme.com")

	record := regexp.MustCompile(`(?m)^dkim \(required\).*\n  name   (\S+)\n  type   TXT\n  value  (.*)$`).FindStringSubmatch(printed)
	if record == nil {
		t.Fatalf("no required DKIM record in:\n%s", printed)
	}
	for _, part := range []string{"v=spf1 include:_spf.bounces.example.org ~all", "10 mx.bounces.example.org", "_dmarc.acme.com", "k=ed25519"} {
		if !strings.Contains(printed, part) {
			t.Errorf("nothing about %s in:\n%s", part, printed)
		}
	}
	zone.Set(record[1], dns.Name{TXT: []string{record[2]}})
	expect(0, "acme.com is verified", "check", "acme.com")
	expect(0, "verified", "list")

	// A wrong data directory gets no secret of its own.
	right, wrong := environ, t.TempDir()
	environ = append(slices.Clone(right), "POSTRIDER_DATA_DIR="+wrong)
	expect(1, "another secret key", "list")
	if files, err := os.ReadDir(wrong); err != nil || len(files) > 0 {
		t.Errorf("the wrong data directory holds %v, %v", files, err)
	}
	environ = append(right, "POSTRIDER_SECRET_KEY=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=")
	expect(1, "another secret key", "list")
}
