package interop_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"testing"
	"time"

	"postrider/internal/apikey"
	"postrider/internal/app"
	"postrider/internal/config"
	"postrider/internal/email"
	"postrider/internal/redistest"
	"postrider/internal/secret"
	"postrider/internal/shape"
	"postrider/internal/store"
)

// service is a running Postrider and a key to it.
type service struct {
	*app.App
	t   *testing.T
	key string
}

// startService starts one whose mail to each of the domains goes through a server.
func startService(t *testing.T, routes map[string]*site) *service {
	t.Helper()
	c := config.Config{
		RedisURL: redistest.InProcess(t), HTTPAddr: "127.0.0.1:0", Hostname: "mail.acme.test", ReturnPathDomain: "bounces.acme.test",
		DNS: "127.0.0.1:9", AllowReservedDomains: true, Concurrency: 32, Envelope: "domain",
	}
	for domain, s := range routes {
		c.Routes = append(c.Routes, domain+"=smtp://"+s.Addr)
	}
	a, err := app.New(t.Context(), app.Options{
		Config: c, Secret: secret.New(), InProcess: true, Pace: app.Pace{Shape: shape.Options{Pause: 10 * time.Millisecond}},
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- a.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Errorf("run: %v", err)
		}
		if err := a.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	key, hash := apikey.New(email.Live)
	err = a.Store.Keys.Add(t.Context(), store.Key{
		ID: email.NewID(email.KeyPrefix), World: email.Live, Name: "test", Prefix: key[:12], Scopes: apikey.Scopes(), CreatedAt: time.Now().UTC(),
	}, hash)
	if err != nil {
		t.Fatal(err)
	}
	return &service{App: a, t: t, key: key}
}

// post sends a message and gives the id of one that was accepted, or what was said.
func (s *service) post(message map[string]any) (id string, status int, answer []byte) {
	s.t.Helper()
	raw, err := json.Marshal(message)
	if err != nil {
		s.t.Fatal(err)
	}
	request, err := http.NewRequestWithContext(s.t.Context(), http.MethodPost, s.URL()+"/messages", bytes.NewReader(raw))
	if err != nil {
		s.t.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer "+s.key)
	request.Header.Set("Content-Type", "application/json")
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		s.t.Fatal(err)
	}
	defer response.Body.Close()
	if answer, err = io.ReadAll(response.Body); err != nil {
		s.t.Fatal(err)
	}
	var accepted struct{ ID string }
	if response.StatusCode == http.StatusAccepted {
		if err := json.Unmarshal(answer, &accepted); err != nil || accepted.ID == "" {
			s.t.Fatal(fmt.Errorf("202 without an id: %w: %s", err, answer))
		}
	}
	return accepted.ID, response.StatusCode, answer
}
