package app_test

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"postrider/internal/app"
	"postrider/internal/apptest"
	"postrider/internal/config"
	"postrider/internal/email"
	"postrider/internal/logtest"
	"postrider/internal/redistest"
	"postrider/internal/secret"
	"postrider/smtpclient/smtptest"
)

// instance is one process of an installation, within this one.
type instance struct {
	*service
	end func()
}

// startInstance starts a process that has a second for what runs when it ends.
func startInstance(t *testing.T, redisURL string, key *secret.Secret, relay *smtptest.Server, roles ...string) *instance {
	t.Helper()
	pace := quick()
	pace.Drain = time.Second
	a, err := app.New(t.Context(), app.Options{
		Config: config.Config{
			RedisURL: redisURL, HTTPAddr: "127.0.0.1:0", Hostname: "mail.acme.test", ReturnPathDomain: "bounces.acme.test",
			Relay: "smtp://" + relay.Addr().String(), AllowReservedDomains: true, Concurrency: 16, Envelope: "domain", Roles: roles,
		},
		Secret: key, Pace: pace,
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- a.Run(ctx) }()
	i := &instance{service: &service{App: a, t: t}}
	ended := false
	i.end = func() {
		if ended {
			return
		}
		ended = true
		stop()
		if err := <-done; err != nil {
			t.Errorf("run: %v", err)
		}
		if err := a.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	}
	t.Cleanup(i.end)
	return i
}

// TestDrainLimit ends a process before servers have answered: what waits for the
// answer to its dot is an unknown outcome, what was not so far is tried again by
// the next process as if nothing had been.
func TestDrainLimit(t *testing.T) {
	sink := smtptest.New(t, smtptest.Options{Script: smtptest.Script{
		"DOT at-dot@b.test":   {smtptest.Stall(), smtptest.Pass()},
		"RCPT at-rcpt@b.test": {smtptest.Stall(), smtptest.Pass()},
	}})
	redisURL, key := redistest.Server(t), secret.New()
	first := startInstance(t, redisURL, key, sink)
	first.key = apptest.AddKey(t, first.Store, email.Live, "test")
	ids := make(map[string]string)
	for _, to := range []string{"at-dot@b.test", "at-rcpt@b.test"} {
		var answer struct{ ID string }
		first.call("POST", "/messages", map[string]any{"from": "hi@acme.test", "to": to, "subject": "s", "text": "t"}, &answer)
		ids[to] = answer.ID
	}
	for uses := sink.Uses(); uses["DOT at-dot@b.test"] == 0 || uses["RCPT at-rcpt@b.test"] == 0; uses = sink.Uses() {
		time.Sleep(time.Millisecond)
	}
	first.end()

	second := startInstance(t, redisURL, key, sink)
	second.key = first.key
	for to, want := range map[string]string{"at-dot@b.test": "unknown delivered", "at-rcpt@b.test": "delivered"} {
		second.await(ids[to])
		var list struct {
			Data []struct {
				Outcomes []struct{ Outcome string }
			}
		}
		second.call("GET", "/v1/messages/"+ids[to]+"/attempts", nil, &list)
		var outcomes []string
		for _, a := range list.Data {
			outcomes = append(outcomes, a.Outcomes[0].Outcome)
		}
		if got := strings.Join(outcomes, " "); got != want {
			t.Errorf("%s: attempts ended %s, want %s", to, got, want)
		}
	}
}

// TestWorkerWithoutAPI delivers what another process took, and serves no API.
func TestWorkerWithoutAPI(t *testing.T) {
	sink := smtptest.New(t, smtptest.Options{})
	redisURL, key := redistest.Server(t), secret.New()
	door := startInstance(t, redisURL, key, sink, config.RoleAPI)
	hands := startInstance(t, redisURL, key, sink, config.RoleWorker)
	door.key = apptest.AddKey(t, door.Store, email.Live, "test")
	if door.Sandbox != nil || hands.Desk != nil {
		t.Error("a role has the rooms of the other")
	}
	var answer struct{ ID string }
	door.call("POST", "/messages", map[string]any{"from": "hi@acme.test", "to": "a@b.test", "subject": "s", "text": "t"}, &answer)
	door.await(answer.ID)
	response, err := http.Post(hands.URL()+"/messages", "application/json", strings.NewReader("{}"))
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	if response.StatusCode != http.StatusNotFound {
		t.Errorf("POST /messages of a worker: %d", response.StatusCode)
	}
}

// TestRedisWeakened: settings that are weakened while the service runs show in /readyz
// and in the log, and so does that they were mended.
func TestRedisWeakened(t *testing.T) {
	sink := smtptest.New(t, smtptest.Options{})
	redisURL := redistest.Server(t)
	var log logtest.Buffer
	pace := quick()
	pace.Inspect = 50 * time.Millisecond
	s := serve(t, app.Options{
		Config: config.Config{
			RedisURL: redisURL, HTTPAddr: "127.0.0.1:0", Hostname: "mail.acme.test", ReturnPathDomain: "bounces.acme.test",
			Relay: "smtp://" + sink.Addr().String(), Concurrency: 16, Envelope: "domain",
		},
		Secret: secret.New(), Pace: pace, Log: slog.New(slog.NewJSONHandler(&log, nil)),
	})
	options, err := redis.ParseURL(redisURL)
	if err != nil {
		t.Fatal(err)
	}
	rdb := redis.NewClient(options)
	defer rdb.Close()
	for _, c := range []struct{ name, weak, strong, word string }{
		{"appendonly", "no", "yes", "no-append-only"},
		{"appendfsync", "no", "everysec", "no-fsync"},
		{"maxmemory-policy", "allkeys-lru", "noeviction", "eviction"},
	} {
		for _, step := range []struct {
			value, said string
			status      int
		}{{c.weak, `"fault":"` + c.word + `","allowed":false`, 503}, {c.strong, `"msg":"Redis: no longer","fault":"` + c.word + `"`, 200}} {
			if err := rdb.ConfigSet(t.Context(), c.name, step.value).Err(); err != nil {
				t.Fatal(err)
			}
			until := time.Now().Add(20 * time.Second)
			for {
				status, body := s.ready()
				if status == step.status && strings.Contains(body, c.word+": ") == (status == 503) && strings.Contains(log.String(), step.said) {
					break
				}
				if time.Now().After(until) {
					t.Fatalf("%s %s: /readyz %d %s\nlog %s", c.name, step.value, status, body, log.String())
				}
				time.Sleep(10 * time.Millisecond)
			}
		}
	}
}

// ready asks for /readyz.
func (s *service) ready() (status int, body string) {
	response, err := http.Get(s.URL() + "/readyz")
	if err != nil {
		s.t.Fatal(err)
	}
	defer response.Body.Close()
	raw, err := io.ReadAll(response.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return response.StatusCode, string(raw)
}
