package api

import (
	"context"
	"crypto/ed25519"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"postrider/internal/apikey"
	"postrider/internal/dkim"
	"postrider/internal/email"
	"postrider/internal/intake"
	"postrider/internal/logtest"
	"postrider/internal/queue"
	"postrider/internal/redistest"
	"postrider/internal/secret"
	"postrider/internal/store"
	"postrider/internal/webhook"
)

// messageLimit is the largest mail in tests.
const messageLimit = 1 << 20

// house is an installation without a worker: a door on a real desk and a real store, a
// queue that only notes its jobs, and an HTTP client that holds all to the contract.
type house struct {
	t        *testing.T
	door     http.Handler
	url      string
	rdb      redis.UniversalClient
	store    *store.Store
	jobs     *jobs
	logs     *logtest.Buffer
	contract *contract
	client   *http.Client
	keys     map[string]string // name -> secret
}

// jobs is a queue that notes what is put into it.
type jobs struct {
	mu    sync.Mutex
	added []queue.Delivery
}

func (j *jobs) Add(_ context.Context, _ string, d queue.Delivery, _ time.Time) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.added = append(j.added, d)
	return nil
}

func (j *jobs) count() int {
	j.mu.Lock()
	defer j.mu.Unlock()
	return len(j.added)
}

// verified says that every domain but two is verified: one is pending, one unknown.
type verified struct{}

func (verified) Verified(_ context.Context, name string) (bool, string, error) {
	return name != "unverified.example" && name != "unknown.example", "", nil
}

func (verified) ID(_ context.Context, name string) (string, error) {
	if name == "unknown.example" {
		return "", nil
	}
	return "dom_01k3b8v4z0e9x8d6w5s4r3q2p1", nil
}

// signer signs for acme.com with one key.
type signer struct{}

func (signer) Keys(_ context.Context, domain string, _ []string) ([]dkim.Key, error) {
	if domain != "acme.com" {
		return nil, nil
	}
	return []dkim.Key{{Domain: domain, Selector: "pr1", Signer: ed25519.NewKeyFromSeed(make([]byte, 32))}}, nil
}

// marks makes reverse-paths without a secret.
type marks struct{}

func (marks) ReversePath(id string, envelope int, domain string) (string, error) {
	return fmt.Sprintf("b-%s-%d@%s", strings.TrimPrefix(id, "msg_"), envelope, domain), nil
}

// openHouse starts an installation with keys named full, live, send, read, content, hooks (read
// only), none, and some that are refused: expired, elsewhere (bound to another network),
// bound (to another From domain), paused and spent (one recipient a day). Its webhooks may be at 127.0.0.0/8.
func openHouse(t *testing.T, change ...func(*Options)) *house {
	t.Helper()
	return openHouseAt(t, redistest.InProcess(t), change...)
}

func openHouseAt(t *testing.T, url string, change ...func(*Options)) *house {
	t.Helper()
	address, err := redis.ParseURL(url)
	if err != nil {
		t.Fatal(err)
	}
	rdb := redis.NewClient(address)
	t.Cleanup(func() { _ = rdb.Close() })
	h := &house{
		t: t, rdb: rdb, store: store.New(rdb, store.Options{Sealer: secret.New()}), jobs: &jobs{}, logs: &logtest.Buffer{},
		contract: newContract(t), keys: make(map[string]string),
	}
	h.addKey("full", email.Test, apikey.Scopes()...)
	h.addKey("live", email.Live, apikey.Scopes()...)
	h.addKey("send", email.Test, apikey.Send)
	h.addKey("read", email.Test, apikey.Read)
	h.addKey("content", email.Test, apikey.ReadContent)
	h.addKey("hooks", email.Test, apikey.WebhooksRead)
	h.addKey("none", email.Test)
	h.boundKeys()
	options := Options{
		Desk: intake.New(intake.Options{
			Store: h.store, Queue: h.jobs, Domains: verified{}, Marks: marks{}, ReturnPathDomain: "bounce.example",
			RequireVerified: true, Limits: intake.Limits{MessageBytes: messageLimit},
			Streams: map[string]string{"transactional": queue.Default, "critical": queue.Critical, "bulk": queue.Bulk},
		}),
		Store: h.store, Signer: signer{}, Poster: webhook.New(webhook.Options{AllowedNetworks: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}), Version: "test", Log: slog.New(slog.NewJSONHandler(h.logs, &slog.HandlerOptions{Level: slog.LevelDebug})),
	}
	for _, c := range change {
		c(&options)
	}
	h.client = &http.Client{Transport: h.contract, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	h.door = New(options)
	return h.serve(h.door, nil)
}

// serve is the house with another handler, or on another server; change may be nil.
func (h *house) serve(handler http.Handler, change func(*http.Server)) *house {
	s := httptest.NewUnstartedServer(handler)
	s.Config = Server("", handler)
	if change != nil {
		change(s.Config)
	}
	s.Start()
	h.t.Cleanup(s.Close)
	other := *h
	other.url = s.URL
	return &other
}

func (h *house) addKey(name string, w email.World, scopes ...string) {
	h.t.Helper()
	h.addBound(name, w, func(k *store.Key) { k.Scopes = scopes })
}

// boundKeys adds keys with every scope that are refused.
func (h *house) boundKeys() {
	h.t.Helper()
	for name, bind := range map[string]func(*store.Key){
		"expired":   func(k *store.Key) { k.ExpiresAt = time.Now().Add(-time.Second) },
		"elsewhere": func(k *store.Key) { k.Networks = []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")} },
		"bound":     func(k *store.Key) { k.FromDomains = []string{"example.com"} },
		"paused":    func(k *store.Key) { k.SendingPaused = true },
		"spent":     func(k *store.Key) { k.RecipientsPerDay = 1 },
	} {
		h.addBound(name, email.Test, bind)
	}
}

// addBound adds a key with every scope, and what bind does to it.
func (h *house) addBound(name string, w email.World, bind func(*store.Key)) {
	h.t.Helper()
	secret, hash := apikey.New(w)
	key := store.Key{ID: email.NewID(email.KeyPrefix), World: w, Name: name, Prefix: secret[:12], Scopes: apikey.Scopes(), CreatedAt: time.Now()}
	bind(&key)
	if err := h.store.Keys.Add(context.Background(), key, hash); err != nil {
		h.t.Fatal(err)
	}
	h.keys[name] = secret
}

// answer is a response as tests look at it.
type answer struct {
	status int
	header http.Header
	raw    []byte
	body   map[string]any
}

// code is the code of a problem, empty for success.
func (a *answer) code() string {
	code, _ := a.body["code"].(string)
	return code
}

func (a *answer) id() string {
	id, _ := a.body["id"].(string)
	return id
}

// faults lists "pointer code" (or "parameter code") of a problem's errors.
func (a *answer) faults() []string {
	var out []string
	list, _ := a.body["errors"].([]any)
	for _, e := range list {
		m, _ := e.(map[string]any)
		where, _ := m["pointer"].(string)
		if where == "" {
			where, _ = m["parameter"].(string)
		}
		out = append(out, fmt.Sprint(where, " ", m["code"]))
	}
	return out
}

// data are the objects of a list.
func (a *answer) data() []map[string]any {
	list, _ := a.body["data"].([]any)
	out := make([]map[string]any, len(list))
	for i, v := range list {
		out[i], _ = v.(map[string]any)
	}
	return out
}

// asker changes a request before it is sent.
type asker func(*http.Request)

func header(name string, values ...string) asker {
	return func(r *http.Request) { r.Header[name] = values }
}

func as(secret string) asker { return header("Authorization", "Bearer "+secret) }

// do asks with the full test key, unless changed.
func (h *house) do(method, path string, body io.Reader, change ...asker) *answer {
	h.t.Helper()
	req, err := http.NewRequest(method, h.url+path, body)
	if err != nil {
		h.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+h.keys["full"])
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	for _, c := range change {
		c(req)
	}
	resp, err := h.client.Do(req)
	if err != nil {
		h.t.Fatalf("%s %s: %v", method, path, err)
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		h.t.Fatal(err)
	}
	a := &answer{status: resp.StatusCode, header: resp.Header, raw: raw}
	if strings.HasSuffix(resp.Header.Get("Content-Type"), "json") && len(raw) > 0 {
		if err := json.Unmarshal(raw, &a.body); err != nil {
			h.t.Fatalf("%s %s: %v", method, path, err)
		}
	}
	return a
}

func (h *house) get(path string, change ...asker) *answer {
	h.t.Helper()
	return h.do(http.MethodGet, path, nil, change...)
}

func (h *house) post(path, body string, change ...asker) *answer {
	h.t.Helper()
	if body == "" {
		return h.do(http.MethodPost, path, nil, change...)
	}
	return h.do(http.MethodPost, path, strings.NewReader(body), change...)
}

// stall posts the beginning of a body and then nothing.
func (h *house) stall(method, path string, change ...asker) *answer {
	h.t.Helper()
	body, rest := io.Pipe()
	defer rest.Close()
	go func() { _, _ = io.WriteString(rest, minimal[:20]) }()
	return h.do(method, path, body, change...)
}

// minimal is the smallest message.
const minimal = `{"from":"Acme <hi@acme.com>","to":"ada@example.org","subject":"Hello","text":"Hi"}`

// send posts a message that must be accepted and returns its id.
func (h *house) send(body string, change ...asker) string {
	h.t.Helper()
	a := h.post("/v1/messages", body, change...)
	if a.status != http.StatusAccepted {
		h.t.Fatalf("send: %d %s", a.status, a.raw)
	}
	return a.id()
}

// want fails unless a problem is the answer.
func (h *house) want(a *answer, status int, code string) {
	h.t.Helper()
	if a.status != status || a.code() != code {
		h.t.Errorf("answer %d %s, want %d %s\n%s", a.status, a.code(), status, code, a.raw)
	}
}

// conclude plays a worker: one attempt at an envelope that ends so for all its recipients.
func (h *house) conclude(id string, envelope int, outcome email.Outcome) {
	h.t.Helper()
	ctx, now := context.Background(), time.Now()
	start, err := h.store.Messages.Begin(ctx, email.Test, id, envelope, 0, "worker-1", now)
	if err != nil || start.Verdict != store.Begun {
		h.t.Fatalf("begin: %v, %v", start, err)
	}
	claim := store.Claim{World: email.Test, Message: id, Envelope: envelope, Fence: start.Fence}
	recipients := start.Message.Envelopes[envelope].Recipients
	if outcome.Status == email.Delivered {
		if err := h.store.Messages.Mark(ctx, claim, recipients, nil, now); err != nil {
			h.t.Fatalf("mark: %v", err)
		}
	}
	attempt := attemptOf(start, envelope, now)
	for _, r := range recipients {
		outcome.Recipient = r
		attempt.Outcomes = append(attempt.Outcomes, outcome)
	}
	if _, err := h.store.Messages.Conclude(ctx, claim, attempt, outcome.NextAt, now); err != nil {
		h.t.Fatalf("conclude: %v", err)
	}
}

func attemptOf(start *store.Start, envelope int, now time.Time) *email.Attempt {
	e := start.Message.Envelopes[envelope]
	return &email.Attempt{
		Number: 1, Envelope: envelope, Fence: start.Fence, Worker: "worker-1", StartedAt: now, EndedAt: now.Add(time.Second),
		Provider: "mx.example.org", ReversePath: e.ReversePath, Host: "mx1.example.org", Address: "192.0.2.1:25",
		Source: "198.51.100.1", HELO: "mail.acme.com", TLS: "TLS1.3 TLS_AES_128_GCM_SHA256", TLSVerified: true, TLSReason: "opportunistic",
		Transcript: []email.Line{
			{At: now, From: email.Note, Text: "connected"},
			{At: now, From: email.Server, Text: "220 <mx>"},
			{At: now, From: email.Client, Text: "EHLO mail.acme.com"},
		},
	}
}

// outcomes of attempts, as a worker makes them.
func delivered() email.Outcome {
	return email.Outcome{Status: email.Delivered, Reply: &email.Reply{
		Code: 250, EnhancedCode: "2.0.0", Text: "<ok> & queued", Stage: "data", MXHost: "mx1.example.org", MXIP: "192.0.2.1",
		TLSVersion: "TLS1.3", At: time.Now(),
	}}
}

func bounced() email.Outcome {
	return email.Outcome{Status: email.Bounced, Category: "invalid_recipient", Bounce: "hard", Reply: &email.Reply{
		Code: 550, EnhancedCode: "5.1.1", Text: "user unknown", Stage: "rcpt", MXHost: "mx1.example.org", At: time.Now(),
	}}
}

func deferred() email.Outcome {
	return email.Outcome{
		Status: email.Deferred, Category: "greylisted", NextAt: time.Now().Add(5 * time.Minute),
		Reply: &email.Reply{Code: 450, Text: "later", Stage: "rcpt", MXHost: "mx1.example.org", At: time.Now()},
	}
}

func failed() email.Outcome {
	return email.Outcome{Status: email.Failed, Reason: email.ReasonNoRoute, Detail: "null MX"}
}
