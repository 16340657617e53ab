package interop_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"testing"
	"time"

	"postrider/internal/app"
	"postrider/internal/apptest"
	"postrider/internal/config"
	"postrider/internal/email"
	"postrider/internal/redistest"
	"postrider/internal/secret"
	"postrider/internal/shape"
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
	a := apptest.Start(t, app.Options{
		Config: c, Secret: secret.New(), InProcess: true, Pace: app.Pace{Shape: shape.Options{Pause: 10 * time.Millisecond}},
	})
	return &service{App: a, t: t, key: apptest.AddKey(t, a.Store, email.Live, "test")}
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
