// Command postrider is the transactional email service: `postrider dev` runs
// all of it in one process on a laptop, `postrider serve` all or part of it on a
// Redis; the other commands administer an installation.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"runtime/debug"
	"strings"
	"syscall"

	"github.com/alecthomas/kong"

	"postrider/internal/apikey"
	"postrider/internal/app"
	"postrider/internal/config"
)

// version is stamped by the linker; see the Makefile.
var version = ""

// cli is the whole command line.
type cli struct {
	Dev          devCommand          `cmd:"" set:"log_format=text" help:"Run everything in one process on this machine: no Redis, no DNS, no mail server."`
	Serve        serveCommand        `cmd:"" help:"Run the service, or some of its roles, on a Redis."`
	Send         sendCommand         `cmd:"" help:"Send a mail through the server in POSTRIDER_URL with the key in POSTRIDER_API_KEY."`
	Messages     messagesCommand     `cmd:"" help:"List, show and cancel messages of the server in POSTRIDER_URL."`
	Webhooks     webhooksCommand     `cmd:"" help:"Make, list, test and replay webhooks of the server in POSTRIDER_URL."`
	Suppressions suppressionsCommand `cmd:"" help:"List, add, remove, import and export the addresses that mail does not go to."`
	Domains      domainsCommand      `cmd:"" help:"Add sending domains and check their DNS records."`
	Templates    templatesCommand    `cmd:"" help:"Templates to begin with, and folders of templates: push, pull, diff."`
	Keys         keysCommand         `cmd:"" help:"Make, list, change, rotate and revoke API keys."`
	Users        usersCommand        `cmd:"" help:"List the users of the dashboard, and make links by which they set a password."`
	Audit        auditCommand        `cmd:"" help:"Print who changed API keys and other settings, and when."`
	Fsck         fsckCommand         `cmd:"" help:"Compare all that is stored, print each disagreement, and exit 1 if there is any."`
	Release      releaseCommand      `cmd:"" help:"Try a quarantined message again."`
	Config       configCommand       `cmd:"" help:"Print the options in force and where each comes from, secrets hidden."`
	Version      kong.VersionFlag    `help:"Print the version and end."`
}

// terminal is where a command reads its circumstances and writes its results.
type terminal struct {
	in       io.Reader
	out, err io.Writer
	environ  []string
}

func main() {
	ctx, stop := context.WithCancel(context.Background())
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go func() {
		<-signals
		stop()
		// A second signal ends the process at once, as if nobody had listened.
		endBy(<-signals)
	}()
	// What matters of the client's own log comes back as an error; serve logs the rest.
	app.LogRedis(slog.New(slog.DiscardHandler))
	os.Exit(run(ctx, os.Args[1:], terminal{in: os.Stdin, out: os.Stdout, err: os.Stderr, environ: os.Environ()}))
}

// endBy ends the process by a signal, so that its parent sees which.
func endBy(s os.Signal) {
	signal.Reset()
	self, err := os.FindProcess(os.Getpid())
	if err == nil {
		err = self.Signal(s)
	}
	if err != nil {
		os.Exit(1)
	}
}

// exit carries an exit status out of kong, which would end the process.
type exit int

// run is main without the process around it. It returns the exit status: 0, 1
// for a command that failed, 2 for a command line that makes no sense, or one that
// the command has for a failure of its own.
func run(ctx context.Context, args []string, t terminal) (status int) {
	defer func() {
		if r := recover(); r != nil {
			code, ok := r.(exit)
			if !ok {
				panic(r)
			}
			status = int(code)
		}
	}()
	var c cli
	file, err := config.OpenFile(configPath(args, t.environ))
	if err != nil {
		return complain(t, err, 2)
	}
	parser, err := newParser(&c, file, t)
	if err != nil {
		return complain(t, err, 2)
	}
	if len(args) == 0 {
		args = []string{"--help"}
	}
	command, err := parser.Parse(args)
	if err != nil {
		return complain(t, err, 2)
	}
	command.BindTo(ctx, (*context.Context)(nil))
	command.Bind(t, file)
	err = command.Run()
	var own failure
	switch {
	case err == nil, errors.Is(err, context.Canceled):
		return 0
	case errors.As(err, &own):
		return complain(t, err, own.status)
	}
	return complain(t, err, 1)
}

func newParser(c *cli, file *config.File, t terminal) (*kong.Kong, error) {
	parser, err := kong.New(c,
		kong.Name("postrider"),
		kong.Description("Transactional email that a team runs itself. Begin with `postrider dev`."),
		kong.Writers(t.out, t.err),
		kong.Exit(func(code int) { panic(exit(code)) }),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, FlagsLast: true}),
		kong.Vars{"version": versionName(), "http_addr": ":8025", "log_format": "json", "scopes": strings.Join(apikey.Scopes(), ", "), "bounds": strings.Join(apikey.Liftable(), ",")},
		kong.Resolvers(file),
	)
	if err != nil {
		return nil, err
	}
	return parser, config.CheckEnviron(parser.Model, t.environ)
}

func complain(t terminal, err error, status int) int {
	fmt.Fprintf(t.err, "postrider: %v\n", err)
	if status == 2 {
		fmt.Fprintln(t.err, "See postrider --help.")
	}
	return status
}

// versionName is the stamped version, or what the Go toolchain knows.
func versionName() string {
	if version != "" {
		return version
	}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" && info.Main.Version != "(devel)" {
		return info.Main.Version
	}
	return "dev"
}

func newLog(c config.Config, w io.Writer, level slog.Level) *slog.Logger {
	options := &slog.HandlerOptions{Level: level}
	if c.LogFormat == "json" {
		return slog.New(slog.NewJSONHandler(w, options))
	}
	return slog.New(slog.NewTextHandler(w, options))
}
