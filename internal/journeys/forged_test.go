package journeys

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"postrider/internal/email"
	"postrider/internal/store"
)

// TestForgedRequests: a page elsewhere does nothing in the name of its reader, who is
// signed in: neither a page of another site nor one on another port of this host, whose
// requests carry the session.
func TestForgedRequests(t *testing.T) {
	h := openHouse(t, refusing(t))
	waiting := h.send(email.Live, mail{"to": "ada@plain.test", "scheduled_at": time.Now().Add(48 * time.Hour)})
	h.await(email.Live, h.send(email.Live, mail{"to": "ada@plain.test"}), email.Delivered)
	elsewhere := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		fmt.Fprint(w, "<!doctype html><title>Elsewhere</title><body>")
	}))
	t.Cleanup(elsewhere.Close)
	b := startBrowser(t, h.URL())
	h.admit(t, b)
	forms := []map[string]any{
		{"path": "/ui/messages/" + waiting + "/cancel", "fields": mail{"token": ""}},
		{"path": "/ui/jobs/default/pause", "fields": mail{"token": ""}},
		{"path": "/ui/keys", "fields": mail{"name": "forged", "preset": "full", "nonce": "1"}},
		{"path": "/ui/suppressions", "fields": mail{"email": "ada@plain.test"}},
		{"path": "/ui/send", "fields": mail{"from": "hi@acme.test", "to": "eve@plain.test", "subject": "forged", "text": "x", "nonce": "1"}},
		{"path": "/ui/users", "fields": mail{"name": "eve", "role": "administrator", "nonce": "1"}},
		{"path": "/ui/world", "fields": mail{"world": "test"}},
		{"path": "/ui/sign-out", "fields": mail{"x": "y"}},
		{"path": "/ui/sign-in", "fields": mail{"name": adminName, "password": adminPassword}},
	}
	for name, origin := range map[string]string{"another site": strings.Replace(elsewhere.URL, "127.0.0.1", "localhost", 1), "another port": elsewhere.URL} {
		t.Run(name, func(t *testing.T) {
			var got struct {
				Sent    int
				Answers [][3]any
			}
			b.do(t, "forged.posts", args{"elsewhere": origin, "forms": forms}, &got)
			if got.Sent != 4*len(forms) || len(got.Answers) != got.Sent {
				t.Errorf("%d answers to %d requests", len(got.Answers), got.Sent)
			}
			for _, a := range got.Answers {
				if a[2] != 403.0 && a[2] != 401.0 && (a[1] != "fetch" || a[2] != 0.0) {
					t.Errorf("%s as %s: %v", a[0], a[1], a[2])
				}
			}
			var shown []string
			b.do(t, "forged.framed", args{"elsewhere": origin, "paths": []string{"/", "/ui/keys", "/ui/messages/" + waiting, "/ui/messages/" + waiting + "/html"}}, &shown)
			if len(shown) > 0 {
				t.Errorf("shown in a frame: %q", shown)
			}
		})
	}
	h.untouched(waiting)
}

// untouched sees that nothing of what was forged was done.
func (h *house) untouched(waiting string) {
	h.t.Helper()
	ctx := h.t.Context()
	h.await(email.Live, waiting, email.Scheduled)
	keys, err := h.Store.Keys.List(ctx, email.Live)
	h.must(err)
	listed, _, err := h.Store.Suppressions.List(ctx, email.Live, store.SuppressionFilter{}, "", 10)
	h.must(err)
	users, err := h.Store.Users.List(ctx)
	h.must(err)
	sizes, err := h.Queue.Sizes(ctx, "default")
	h.must(err)
	if len(keys) != 1 || len(listed) != 0 || len(users) != 1 || sizes[0].Paused {
		h.t.Errorf("%d keys, %d suppressed, %d users, paused %t: want 1, 0, 1, false", len(keys), len(listed), len(users), sizes[0].Paused)
	}
}
