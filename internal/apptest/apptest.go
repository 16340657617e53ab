// Package apptest runs a whole Postrider, and programs beside it, for the length of a
// test. What is asked of them is the test's business.
//
//	a := apptest.Start(t, app.Options{Config: config.Config{RedisURL: redistest.InProcess(t), ...}})
//	key := apptest.AddKey(t, a.Store, email.Live, "orders app")
//	request, err := http.NewRequest("POST", a.URL()+"/v1/messages", body)
package apptest

import (
	"context"
	"testing"
	"time"

	"postrider/internal/apikey"
	"postrider/internal/app"
	"postrider/internal/email"
	"postrider/internal/store"
)

// Start runs one until the test ends. If it does not end cleanly, the test fails.
func Start(t *testing.T, o app.Options) *app.App {
	t.Helper()
	a, err := app.New(t.Context(), o)
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
	return a
}

// AddKey makes an API key that may do everything in a world.
func AddKey(t *testing.T, s *store.Store, w email.World, name string) string {
	t.Helper()
	key, hash := apikey.New(w)
	err := s.Keys.Add(t.Context(), store.Key{
		ID: email.NewID(email.KeyPrefix), World: w, Name: name, Prefix: key[:12], Scopes: apikey.Scopes(), CreatedAt: time.Now().UTC(),
	}, hash)
	if err != nil {
		t.Fatal(err)
	}
	return key
}
