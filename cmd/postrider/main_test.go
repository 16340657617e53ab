package main

import (
	"context"
	"os"
	"strings"
	"testing"

	"postrider/internal/app"
	"postrider/internal/config"
	"postrider/internal/logtest"
)

// command runs a command line to its end.
func command(t *testing.T, environ []string, args ...string) (status int, out, errs string) {
	t.Helper()
	for _, pair := range environ {
		name, value, _ := strings.Cut(pair, "=")
		t.Setenv(name, value)
	}
	var o, e logtest.Buffer
	status = run(t.Context(), args, terminal{out: &o, err: &e, environ: environ})
	return status, o.String(), e.String()
}

func TestCommandLine(t *testing.T) {
	cases := []struct {
		name    string
		args    []string
		environ []string
		status  int
		out     string // in standard output
		err     string // in standard error
	}{
		{name: "nothing", status: 0, out: "Begin with `postrider dev`"},
		{name: "help", args: []string{"--help"}, status: 0, out: "dev"},
		{name: "help of serve", args: []string{"serve", "--help"}, status: 0, out: ":8025"},
		{name: "serve without Redis", args: []string{"serve"}, status: 1, err: "set POSTRIDER_REDIS_URL (such as redis://127.0.0.1:6379), or run `postrider dev`"},
		{name: "help of a command", args: []string{"dev", "--help"}, status: 0, out: "127.0.0.1:8025"},
		{name: "version", args: []string{"--version"}, status: 0, out: versionName()},
		{name: "unknown command", args: []string{"sned"}, status: 2, err: "See postrider --help."},
		{name: "unknown flag", args: []string{"dev", "--prot", "1"}, status: 2, err: "--prot"},
		{name: "bad value", args: []string{"dev", "--addr", "x"}, status: 2, err: "POSTRIDER_HTTP_ADDR"},
		{name: "unknown variable", args: []string{"dev"}, environ: []string{"POSTRIDER_ADR=:1"}, status: 2, err: "POSTRIDER_ADR"},
		{name: "no such file", args: []string{"dev", "--config", "/nonexistent.yaml"}, status: 2, err: "read configuration"},
		{name: "dev for others", args: []string{"dev", "--addr", "0.0.0.0:0"}, status: 1, err: "this machine only"},
		{name: "domains without Redis", args: []string{"domains", "list"}, status: 1, err: "POSTRIDER_REDIS_URL"},
		{name: "Redis away", args: []string{"domains", "list", "--redis-url", "redis://127.0.0.1:1"}, status: 1, err: "reach Redis at 127.0.0.1:1"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			status, out, errs := command(t, c.environ, c.args...)
			if status != c.status || !strings.Contains(out, c.out) || !strings.Contains(errs, c.err) {
				t.Errorf("status %d, want %d\nout, want %q:\n%s\nerr, want %q:\n%s", status, c.status, c.out, out, c.err, errs)
			}
		})
	}
}

// start runs a command until the test ends.
func start(t *testing.T, args ...string) *logtest.Buffer {
	t.Helper()
	var out, errs logtest.Buffer
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan int)
	go func() { done <- run(ctx, args, terminal{out: &out, err: &errs}) }()
	t.Cleanup(func() {
		stop()
		if status := <-done; status != 0 {
			t.Errorf("postrider %s ended with %d: %s", strings.Join(args, " "), status, errs.String())
		}
	})
	return &out
}

// operations is the manual of those who run a service.
func operations(t *testing.T) string {
	t.Helper()
	raw, err := os.ReadFile("../../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

// TestOperationsTellsEverything holds the manual to the options and the refusals.
func TestOperationsTellsEverything(t *testing.T) {
	file, err := config.OpenFile("")
	if err != nil {
		t.Fatal(err)
	}
	parser, err := newParser(&cli{}, file, terminal{})
	if err != nil {
		t.Fatal(err)
	}
	manual := operations(t)
	for name := range config.Names(parser.Model) {
		if !strings.Contains(manual, "| `"+name+"`") {
			t.Errorf("no row for %s", name)
		}
	}
	for _, word := range app.UnsafeWords() {
		if !strings.Contains(manual, "| `"+word+"` |") {
			t.Errorf("no row for the refusal %s", word)
		}
	}
}
