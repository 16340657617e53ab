package app_test

import (
	"bytes"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	standard "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"postrider/internal/redistest"
	"postrider/smtpclient/smtptest"
)

// listener is an app's endpoint. It is down at the first post of each event.
type listener struct {
	t      *testing.T
	verify *standard.Webhook
	mu     sync.Mutex
	tries  map[string]int
	bodies map[string][]byte
}

func newListener(t *testing.T) (l *listener, url string) {
	l = &listener{t: t, tries: map[string]int{}, bodies: map[string][]byte{}}
	server := httptest.NewServer(l)
	t.Cleanup(server.Close)
	return l, server.URL
}

func (l *listener) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		l.t.Error(err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.verify.Verify(body, r.Header); err != nil {
		l.t.Errorf("not verified: %v", err)
	}
	id := r.Header.Get("Webhook-Id")
	if l.tries[id]++; l.tries[id] == 1 {
		w.WriteHeader(http.StatusInternalServerError)
		return
	}
	l.bodies[id] = body
}

func (l *listener) received() map[string][]byte {
	l.mu.Lock()
	defer l.mu.Unlock()
	return maps.Clone(l.bodies)
}

// A webhook made through the API is told, with a signature that the standard's library
// verifies, what became of each recipient: what GET /messages/{id}/events shows, with
// the same octets.
func TestWebhook(t *testing.T) {
	redistest.Each(t, func(t *testing.T, url string) {
		net := newInternet(t)
		net.mx("mx.plain.test", smtptest.Options{})
		net.mx("mx.nobody.test", smtptest.Options{Script: smtptest.Script{"RCPT": {smtptest.Reply("550 5.1.1 <no> such \u2028 user")}}})
		net.domain("plain.test", "mx.plain.test")
		net.domain("nobody.test", "mx.nobody.test")
		s := startService(t, url, strings.HasSuffix(t.Name(), "miniredis"), net)
		s.verifyDomain("acme.test", net)

		to, address := newListener(t)
		var hook struct{ Secret string }
		to.mu.Lock()
		s.call(http.MethodPost, "/v1/webhooks", map[string]any{"url": address + "/hook", "events": []string{"message.*"}}, &hook)
		var err error
		to.verify, err = standard.NewWebhook(hook.Secret)
		to.mu.Unlock()
		if err != nil {
			t.Fatal(err)
		}
		accepted := struct{ ID string }{}
		s.call(http.MethodPost, "/messages", map[string]any{
			"from": "Acme <hi@acme.test>", "to": []string{"ada@plain.test", "gone@nobody.test"}, "subject": "<b> & \u2028", "text": "Hi",
			"metadata": map[string]string{"order": "42", "10": "a", "9": "b"},
		}, &accepted)

		var shown struct {
			Data []struct {
				ID, Type string
				Data     json.RawMessage
			}
		}
		for until := time.Now().Add(60 * time.Second); len(shown.Data) < 4 || len(to.received()) < len(shown.Data); time.Sleep(20 * time.Millisecond) {
			if time.Now().After(until) {
				t.Fatalf("%d events, %d received", len(shown.Data), len(to.received()))
			}
			s.call(http.MethodGet, "/messages/"+accepted.ID+"/events", nil, &shown)
		}
		types := []string{}
		for _, e := range shown.Data {
			types = append(types, e.Type)
			if body := to.received()[e.ID]; !bytes.HasSuffix(body, append(append([]byte(`"data":`), e.Data...), '}')) {
				t.Errorf("posted %s\nshown as %s", body, e.Data)
			}
		}
		slices.Sort(types)
		if want := []string{"message.bounced", "message.delivered", "message.queued", "message.queued"}; !slices.Equal(types, want) {
			t.Errorf("events %v, want %v", types, want)
		}
		to.mu.Lock()
		defer to.mu.Unlock()
		for id, tries := range to.tries {
			if tries != 2 {
				t.Errorf("%s was posted %d times, want 2: it failed once", id, tries)
			}
		}
	})
}
