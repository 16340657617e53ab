package journeys

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"postrider/internal/app"
	"postrider/internal/apptest"
	"postrider/internal/config"
	"postrider/internal/email"
	"postrider/internal/logtest"
	"postrider/internal/redistest"
	"postrider/internal/secret"
	"postrider/smtpclient/smtptest"
	"postrider/worker"
)

const (
	adminName     = "ada"
	adminPassword = "a horse on the stairs"
)

// house is a running service that people sign in to, on a real Redis.
type house struct {
	*app.App
	t    *testing.T
	log  *logtest.Buffer
	keys map[email.World]string
}

// openHouse starts one whose mail goes to a relay, if there is one.
func openHouse(t *testing.T, relay *smtptest.Server, change ...func(*app.Options)) *house {
	t.Helper()
	h := &house{t: t, log: &logtest.Buffer{}, keys: make(map[email.World]string)}
	o := app.Options{
		Config: config.Config{
			RedisURL: redistest.Server(t), HTTPAddr: "127.0.0.1:0", Hostname: "mail.acme.test", ReturnPathDomain: "bounces.acme.test",
			AllowedMXNetworks: []string{"127.0.0.0/8"}, WebhookAllowedNetworks: []string{"127.0.0.0/8"}, AllowReservedDomains: true,
			Concurrency: 32, Envelope: "domain",
		},
		Log: slog.New(slog.NewJSONHandler(h.log, nil)), Secret: secret.New(), Version: "0.9.0",
		Pace: app.Pace{
			Sweep: time.Second, Sandbox: time.Millisecond,
			Schedule: worker.Schedule{Delays: []time.Duration{time.Hour}, RateMin: time.Hour, FullMin: time.Hour},
			Notify:   worker.NotifyPace{Delays: []time.Duration{10 * time.Millisecond}, Pause: 10 * time.Millisecond, Step: time.Millisecond},
		},
	}
	if relay != nil {
		o.Config.Relay = "smtp://" + relay.Addr().String()
	}
	for _, f := range change {
		f(&o)
	}
	t.Cleanup(func() { // behind its end
		for line := range strings.Lines(h.log.String()) {
			if strings.Contains(line, `"level":"ERROR"`) {
				t.Errorf("the service says %s", line)
			}
		}
	})
	h.App = apptest.Start(t, o)
	for _, w := range []email.World{email.Live, email.Test} {
		h.keys[w] = apptest.AddKey(t, h.Store, w, "orders app")
	}
	return h
}

func (h *house) must(err error) {
	h.t.Helper()
	if err != nil {
		h.t.Fatal(err)
	}
}

// link is where the first administrator comes in.
func (h *house) link() string {
	h.t.Helper()
	for line := range strings.Lines(h.log.String()) {
		var entry struct{ Link string }
		if json.Unmarshal([]byte(line), &entry) == nil && entry.Link != "" {
			return entry.Link
		}
	}
	h.t.Fatal("the log has no link for the first administrator")
	return ""
}

// admit makes the browser the administrator's, and gives the session.
func (h *house) admit(t *testing.T, b *browser) (session json.RawMessage) {
	t.Helper()
	b.do(t, "entry.first", args{"link": h.link(), "name": adminName, "password": adminPassword}, &session)
	b.with["session"] = session
	return session
}

// call makes a request to the API in a world.
func (h *house) call(w email.World, method, path string, body, result any) {
	h.t.Helper()
	raw, err := json.Marshal(body)
	h.must(err)
	request, err := http.NewRequest(method, h.URL()+path, bytes.NewReader(raw))
	h.must(err)
	request.Header.Set("Authorization", "Bearer "+h.keys[w])
	request.Header.Set("Content-Type", "application/json")
	h.answer(request, result)
}

// answer makes a request that is to be granted.
func (h *house) answer(request *http.Request, result any) {
	h.t.Helper()
	response, err := http.DefaultClient.Do(request)
	h.must(err)
	defer response.Body.Close()
	raw, err := io.ReadAll(response.Body)
	h.must(err)
	if response.StatusCode >= 300 {
		h.t.Fatalf("%s %s: %d %s", request.Method, request.URL.Path, response.StatusCode, raw)
	}
	if result != nil {
		h.must(json.Unmarshal(raw, result))
	}
}

// mail is what is sent, as the API takes it.
type mail map[string]any

// send sends a mail and gives its id.
func (h *house) send(w email.World, m mail) string {
	h.t.Helper()
	var accepted struct{ ID string }
	all := mail{"from": "Acme <hi@acme.test>", "subject": "Your order", "text": "Thank you."}
	for k, v := range m {
		all[k] = v
	}
	h.call(w, http.MethodPost, "/v1/messages", all, &accepted)
	return accepted.ID
}

// await waits until a message has a status.
func (h *house) await(w email.World, id string, want email.Status) {
	h.t.Helper()
	var got email.Status
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		m, err := h.Store.Messages.Get(h.t.Context(), w, id)
		h.must(err)
		if got = m.Status(); got == want {
			return
		}
	}
	h.t.Fatalf("%s is %s, want %s", id, got, want)
}

// endpoint is an app that is told by webhook, and answers as it is set to.
type endpoint struct {
	URL string

	mu     sync.Mutex
	answer func(http.ResponseWriter, *http.Request)
}

func newEndpoint(t *testing.T, status int, body string) *endpoint {
	e := &endpoint{}
	e.set(status, body)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		e.mu.Lock()
		answer := e.answer
		e.mu.Unlock()
		answer(w, r)
	}))
	t.Cleanup(s.Close)
	e.URL = s.URL
	return e
}

func (e *endpoint) set(status int, body string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.answer = func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		fmt.Fprint(w, body)
	}
}

// hook makes a webhook to an endpoint.
func (h *house) hook(w email.World, url string, events ...string) string {
	h.t.Helper()
	var made struct{ ID string }
	h.call(w, http.MethodPost, "/v1/webhooks", map[string]any{"url": url, "events": events}, &made)
	return made.ID
}
