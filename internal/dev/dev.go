// Package dev runs everything in one process, on one machine, with nothing
// installed: an in-process Redis, the API, a worker, and the sandbox as the last
// hop of all mail, with its inbox on a page.
//
// Nothing it takes leaves the machine, and only this machine can reach it. It
// keeps everything in memory: the end of the process is the end of its mail.
//
//	err := dev.Run(ctx, dev.Options{Config: cfg, Out: os.Stdout})
package dev

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"syscall"
	"time"

	"github.com/alicebob/miniredis/v2"

	"postrider/api"
	"postrider/internal/apikey"
	"postrider/internal/app"
	"postrider/internal/config"
	"postrider/internal/dashboard"
	"postrider/internal/email"
	"postrider/internal/secret"
	"postrider/internal/store"
)

// Key is the test key that every dev server knows, so that an app's settings
// survive its restart. It opens nothing but dev servers, which only their own
// machine can reach.
const Key = "pr_test_DevelopmentKeyForThisMachineOnlyNotASecret037G3c0"

// Options is what a dev server is made from.
type Options struct {
	Config  config.Config
	Version string
	Log     *slog.Logger
	Out     io.Writer // where the address, the key and the curl line are printed
	// Pace shortens delays in tests.
	Pace app.Pace
}

// Run serves until ctx ends.
func Run(ctx context.Context, o Options) error {
	if err := checkLoopback(o.Config.HTTPAddr); err != nil {
		return err
	}
	if names := overridden(o.Config); len(names) > 0 && o.Log != nil {
		o.Log.Warn("dev decides this for itself, so these settings have no effect", "settings", strings.Join(names, ", "))
	}
	redisURL, stop, err := startRedis()
	if err != nil {
		return fmt.Errorf("start the in-process Redis: %w", err)
	}
	defer stop()
	a, err := app.New(ctx, app.Options{
		Config: configure(o.Config, redisURL), Version: o.Version, Log: o.Log,
		Secret: secret.New(), Front: front(o), Pace: o.Pace, InProcess: true,
	})
	if err != nil {
		return explain(err, o.Config.HTTPAddr)
	}
	err = addKey(ctx, a.Store)
	if err == nil {
		_, err = io.WriteString(o.Out, banner(a.URL()))
	}
	if err == nil {
		err = a.Run(ctx)
	}
	return errors.Join(err, a.Close())
}

// overridden names the settings that were given but have no effect in dev.
func overridden(c config.Config) []string {
	var names []string
	for _, s := range []struct {
		name string
		set  bool
	}{
		{"--redis-url", c.RedisURL != ""},
		{"--data-dir", c.DataDir != ""},
		{"--secret-key", c.SecretKey != ""},
		{"--hostname", c.Hostname != ""},
		{"--return-path-domain", c.ReturnPathDomain != ""},
		{"--relay", c.Relay != ""},
		{"--routes", len(c.Routes) > 0},
	} {
		if s.set {
			names = append(names, s.name)
		}
	}
	return names
}

// configure overrides what dev decides for itself.
func configure(c config.Config, redisURL string) config.Config {
	c.RedisURL = redisURL
	c.Hostname = "dev.postrider.test"
	c.ReturnPathDomain = "bounces.postrider.test"
	c.Relay, c.Routes, c.Roles = "", nil, nil
	// The app that is developed runs on this machine, so its webhooks lead here.
	c.WebhookAllowedNetworks = append([]string{"127.0.0.0/8", "::1/128"}, c.WebhookAllowedNetworks...)
	return c
}

// startRedis starts a Redis that others on this machine cannot talk to without
// a password that nobody is told.
func startRedis() (url string, stop func(), err error) {
	m := miniredis.NewMiniRedis()
	password := rand.Text()
	m.RequireAuth(password)
	if err := m.StartAddr("127.0.0.1:0"); err != nil {
		return "", nil, err
	}
	ended := make(chan struct{})
	go expire(m, ended)
	return "redis://:" + password + "@" + m.Addr(), func() { close(ended); m.Close() }, nil
}

// expire lets the keys of an in-process Redis grow older. Its own clock (ClockTTL) looks
// at all keys with each command, which takes longer with all that was sent.
func expire(m *miniredis.Miniredis, ended <-chan struct{}) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	before := time.Now()
	for {
		select {
		case <-ended:
			return
		case now := <-tick.C:
			m.FastForward(now.Sub(before))
			before = now
		}
	}
}

// front puts the inbox beside the API, and both behind a check of the Host
// header: a web page that rebinds its name to this machine must not read mail.
func front(o Options) func(*app.App, http.Handler) http.Handler {
	return func(a *app.App, apiHandler http.Handler) http.Handler {
		pages := a.Pages(dashboard.Options{
			Worlds: []email.World{email.Test}, Dev: true, Curl: curl(a.URL()), Settings: app.Settings(o.Config),
		})
		return dashboard.LocalOnly(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/" || strings.HasPrefix(r.URL.Path, "/ui/") {
				pages.ServeHTTP(w, r)
				return
			}
			apiHandler.ServeHTTP(w, r)
		}), api.Misdirected())
	}
}

func addKey(ctx context.Context, s *store.Store) error {
	hash, ok := apikey.Hash(Key)
	if !ok {
		return errors.New("the dev key is malformed")
	}
	err := s.Keys.Add(ctx, store.Key{
		ID: email.NewID(email.KeyPrefix), World: email.Test, Name: "dev",
		Prefix: Key[:12], Scopes: apikey.Scopes(), CreatedAt: time.Now().UTC(),
	}, hash)
	if err != nil {
		return fmt.Errorf("store the dev key: %w", err)
	}
	return nil
}

func checkLoopback(addr string) error {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return fmt.Errorf("--addr %s: %w", addr, err)
	}
	if ip := net.ParseIP(host); host != "localhost" && (ip == nil || !ip.IsLoopback()) {
		return fmt.Errorf("--addr %s: dev has no sign-in, so it listens on this machine only; use 127.0.0.1:PORT", addr)
	}
	return nil
}

func explain(err error, addr string) error {
	if errors.Is(err, syscall.EADDRINUSE) {
		return fmt.Errorf("%s is in use, perhaps by another postrider dev; give another address, such as --addr 127.0.0.1:0 for any free port", addr)
	}
	return err
}

func curl(url string) string {
	return `curl ` + url + `/messages \
  -H 'Authorization: Bearer ` + Key + `' \
  -H 'Content-Type: application/json' \
  -d '{"from":"Acme <hi@acme.com>","to":"ada@example.org","subject":"Hello","text":"Hi Ada"}'`
}

func banner(url string) string {
	return fmt.Sprintf(`Postrider dev: everything in this process, nothing leaves this machine.

  Dashboard %s
  API       %s/v1
  Test key  %s

Send the first mail:

%s

Stop with Ctrl-C; mail is kept in memory only.
`, url, url, Key, curl(url))
}
