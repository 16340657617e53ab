package config_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/alecthomas/kong"
	"github.com/google/go-cmp/cmp"

	"postrider/internal/config"
)

type commandLine struct {
	Serve struct{ config.Config } `cmd:""`
}

func parse(t *testing.T, file string, environ map[string]string, args ...string) (config.Config, error) {
	t.Helper()
	pairs := make([]string, 0, len(environ))
	for name, value := range environ {
		t.Setenv(name, value)
		pairs = append(pairs, name+"="+value)
	}
	path := ""
	if file != "" {
		path = filepath.Join(t.TempDir(), "postrider.yaml")
		if err := os.WriteFile(path, []byte(file), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	resolver, err := config.OpenFile(path)
	if err != nil {
		return config.Config{}, err
	}
	var c commandLine
	parser, err := kong.New(&c, kong.Vars{"http_addr": ":8025", "log_format": "json"}, kong.Resolvers(resolver))
	if err != nil {
		t.Fatal(err)
	}
	if err := config.CheckEnviron(parser.Model, pairs); err != nil {
		return config.Config{}, err
	}
	_, err = parser.Parse(append([]string{"serve"}, args...))
	return c.Serve.Config, err
}

func TestDefaults(t *testing.T) {
	c, err := parse(t, "", nil)
	if err != nil {
		t.Fatal(err)
	}
	want := config.Config{
		HTTPAddr: ":8025", MXPort: 25, Concurrency: 256, RateLimit: 200, Envelope: "domain", Streams: []string{"transactional=default", "critical=critical", "bulk=bulk"}, IdempotencyWindow: 24 * time.Hour, FeedbackSender: "postrider",
		RequireVerifiedDomains: true, LogFormat: "json", Roles: []string{"api", "worker", "dashboard"},
		RetrySchedule: []time.Duration{
			time.Minute, 5 * time.Minute, 15 * time.Minute, 30 * time.Minute, time.Hour, 2 * time.Hour, 4 * time.Hour,
		},
	}
	if diff := cmp.Diff(want, c); diff != "" {
		t.Errorf("defaults (-want +got):\n%s", diff)
	}
}

func TestFlagsOverEnvironmentOverFile(t *testing.T) {
	file := "http_addr: \":1\"\nconcurrency: 3\nrequire_verified_domains: false\nretry_schedule: [1s, 2s]\n"
	environ := map[string]string{"POSTRIDER_HTTP_ADDR": ":2", "POSTRIDER_CONCURRENCY": "4"}
	c, err := parse(t, file, environ, "--addr", ":3")
	if err != nil {
		t.Fatal(err)
	}
	if c.HTTPAddr != ":3" {
		t.Errorf("addr %q, want the flag's", c.HTTPAddr)
	}
	if c.Concurrency != 4 {
		t.Errorf("concurrency %d, want the environment's", c.Concurrency)
	}
	if c.RequireVerifiedDomains {
		t.Error("require_verified_domains is not the file's")
	}
	if diff := cmp.Diff([]time.Duration{time.Second, 2 * time.Second}, c.RetrySchedule); diff != "" {
		t.Errorf("retry schedule (-want +got):\n%s", diff)
	}
}

func TestBadValues(t *testing.T) {
	cases := []struct {
		name    string
		file    string
		environ map[string]string
		args    []string
		want    string
	}{
		{name: "unknown name in the file", file: "htp_addr: x", want: "unknown options: htp_addr"},
		{name: "no YAML", file: "a: [", want: "not YAML"},
		{name: "unknown variable", environ: map[string]string{"POSTRIDER_HTP_ADDR": "x"}, want: "unknown environment variable POSTRIDER_HTP_ADDR"},
		{name: "unknown flag", args: []string{"--adr", ":1"}, want: "--adr"},
		{name: "address", args: []string{"--addr", "8025"}, want: "--addr (POSTRIDER_HTTP_ADDR)"},
		{name: "public URL", args: []string{"--public-url", "ftp://x"}, want: "must begin with http:// or https://"},
		{name: "Redis URL", args: []string{"--redis-url", "localhost:6379"}, want: "--redis-url (POSTRIDER_REDIS_URL)"},
		{name: "secret key", args: []string{"--secret-key", "c2hvcnQ="}, want: "base64 of 32 bytes"},
		{name: "network", args: []string{"--allowed-mx-networks", "10.0.0.0/33"}, want: "no network"},
		{name: "webhook network", args: []string{"--webhook-allowed-networks", "10.0.0.0/33"}, want: "POSTRIDER_WEBHOOK_ALLOWED_NETWORKS"},
		{name: "route", args: []string{"--routes", "acme.com"}, want: "domain=url"},
		{name: "stream", args: []string{"--streams", "newsletter"}, want: "--streams (POSTRIDER_STREAMS): each stream is name=queue"},
		{name: "name of a stream", args: []string{"--streams", "News=bulk"}, want: "no name of a stream"},
		{name: "queue of a stream", args: []string{"--streams", "news=slow"}, want: "is no queue"},
		{name: "spare stream", args: []string{"--spare-streams", "news"}, want: "\"news\" is no stream"},
		{name: "proxy", args: []string{"--trusted-proxies", "10.0.0.0/33"}, want: "--trusted-proxies (POSTRIDER_TRUSTED_PROXIES)"},
		{name: "stream twice", args: []string{"--streams", "news=bulk,news=default"}, want: "twice"},
		{name: "feedback sender", args: []string{"--feedback-sender", "acme"}, want: "5 to 15 letters and digits"},
		{name: "feedback sender with a colon", args: []string{"--feedback-sender", "acme:mail"}, want: "--feedback-sender (POSTRIDER_FEEDBACK_SENDER)"},
		{name: "idempotency window", args: []string{"--idempotency-window", "721h"}, want: "1h to 720h"},
		{name: "schedule", args: []string{"--retry-schedule", "0s"}, want: "above zero"},
		{name: "concurrency", args: []string{"--concurrency", "0"}, want: "1 to 10000"},
		{name: "envelope", args: []string{"--envelope", "none"}, want: "must be one of"},
		{name: "role", args: []string{"--roles", "api,smtp"}, want: `--roles (POSTRIDER_ROLES): "smtp" is no role`},
		{name: "role twice", args: []string{"--roles", "api,api"}, want: "twice"},
		{name: "no role", args: []string{"--roles", ""}, want: "at least one"},
		{name: "port", args: []string{"--addr", ":http-alt"}, want: "is no port"},
		{name: "URL without a host", args: []string{"--redis-url", "redis:///0"}, want: "names no host"},
		{name: "relay", args: []string{"--relay", "mail.acme.com:587"}, want: "smtp:// or smtps://"},
		{name: "relay of a route", args: []string{"--routes", "acme.com=http://x"}, want: "the relay of acme.com must begin with smtp://"},
		{name: "hostname", environ: map[string]string{"POSTRIDER_HOSTNAME": "mail_1.acme.com"}, want: "--hostname (POSTRIDER_HOSTNAME)"},
		{name: "return path", args: []string{"--return-path-domain", "bounces..acme.com"}, want: "is no name"},
		{name: "MX port", args: []string{"--mx-port", "0"}, want: "1 to 65535"},
		{name: "word", args: []string{"--allow-unsafe", "Everything!"}, want: "is no word"},
		{name: "log format", args: []string{"--log-format", "xml"}, want: "must be one of"},
		{name: "DNS", args: []string{"--dns", "127.0.0.1"}, want: "missing port"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			_, err := parse(t, c.file, c.environ, c.args...)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want one with %q", err, c.want)
			}
		})
	}
}

func TestVariablesOfTheClientAreKnown(t *testing.T) {
	if _, err := parse(t, "", map[string]string{"POSTRIDER_URL": "http://127.0.0.1:8025", "POSTRIDER_API_KEY": "pr_test_x"}); err != nil {
		t.Error(err)
	}
}

func TestErrorsKeepSecrets(t *testing.T) {
	for _, args := range [][]string{
		{"--redis-url", "redi://:hunter2@host"},
		{"--secret-key", "hunter2"},
		{"--relay", "smtps://app:hunter2@"},
		{"--routes", "acme.com=smtp://app:hunter2@host:%"},
	} {
		if _, err := parse(t, "", nil, args...); err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: error %v, want one without the value", args[0], err)
		}
	}
}
