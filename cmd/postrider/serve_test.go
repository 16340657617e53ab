package main

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"postrider/internal/redistest"
	"postrider/smtpclient/smtptest"
)

func relay(s *smtptest.Server) string { return "smtp://" + s.Addr().String() }

// TestServeRoles has the API and the workers in processes of their own, two of
// each, and stops one of each under load.
func TestServeRoles(t *testing.T) {
	t.Parallel()
	sink := smtptest.New(t, smtptest.Options{})
	i := install(t, relay(sink))
	apis := []*process{i.serve("--roles", "api"), i.serve("--roles", "api")}
	workers := []*process{i.serve("--roles", "worker"), i.serve("--roles", "worker")}
	for _, p := range append(apis, workers...) {
		for path, want := range map[string]int{"/healthz": 200, "/readyz": 200, "/metrics": 200, "/": 404} {
			if status, body := p.get(path); status != want {
				t.Errorf("%s: %d, want %d\n%s", path, status, want, body)
			}
		}
	}
	if status, _ := workers[0].get("/v1/openapi.yaml"); status != 404 {
		t.Errorf("a worker serves the API: %d", status)
	}

	const n = 400
	var ids [n]string
	for k := range n {
		if k == n/2 {
			workers[0].signal(syscall.SIGTERM)
			apis[0].signal(syscall.SIGTERM)
			apis = apis[1:]
		}
		ids[k] = i.post(apis[k%len(apis)], fmt.Sprintf("u%d@b.test", k))
	}
	if status := workers[0].ended(); status != 0 {
		t.Errorf("the stopped worker ended with %d\n%s", status, workers[0].log.String())
	}
	for _, id := range ids {
		apis[0].await(id+" delivered", func() bool { return i.status(apis[0], id) == "delivered" })
	}
	once(t, sink, n)
	for _, p := range append(apis, workers...) {
		if log := p.log.String(); strings.Contains(log, "@") || strings.Contains(log, i.key) {
			t.Errorf("addresses or keys in the log:\n%s", log)
		}
	}
}

// once checks that each of u0...@b.test got its mail, and only once.
func once(t *testing.T, sink *smtptest.Server, n int) {
	t.Helper()
	got := make(map[string]int)
	for _, m := range sink.Mails() {
		if m.Accepted() {
			for _, to := range m.To {
				got[to]++
			}
		}
	}
	for k := range n {
		if to := fmt.Sprintf("u%d@b.test", k); got[to] != 1 {
			t.Errorf("%s got its mail %d times", to, got[to])
		}
	}
}

// TestServeDrains ends a process while mail flows: its API and /readyz say so, the
// transaction that runs ends, and another process does the rest.
func TestServeDrains(t *testing.T) {
	t.Parallel()
	var slow atomic.Bool
	release := make(chan struct{})
	free := sync.OnceFunc(func() { close(release) })
	sink := smtptest.New(t, smtptest.Options{Handle: func(c smtptest.Command) smtptest.Action {
		if c.Stage == "DOT" && slow.CompareAndSwap(true, false) {
			<-release
		}
		return smtptest.Pass()
	}})
	t.Cleanup(free) // before the sink is closed, which waits for its sessions
	i := install(t, relay(sink))
	first := i.serve()
	slow.Store(true)
	held := i.post(first, "u0@b.test")
	first.await("a transaction at its dot", func() bool { return !slow.Load() })

	first.signal(syscall.SIGTERM)
	first.await("503 of /readyz", func() bool { status, _ := first.get("/readyz"); return status == 503 })
	if _, body := first.get("/readyz"); !strings.Contains(body, "shutting down") {
		t.Errorf("/readyz does not say why: %s", body)
	}
	if status, _ := first.get("/healthz"); status != 200 {
		t.Errorf("/healthz: %d while draining", status)
	}
	a, err := i.call(first, "POST", "/messages", `{"from":"hi@acme.test","to":"u9@b.test","subject":"s","text":"t"}`)
	if err != nil || a.status != 503 || a.body["code"] != "shutting_down" || a.header.Get("Retry-After") == "" {
		t.Errorf("while draining: %d %v, Retry-After %q, %v", a.status, a.body, a.header.Get("Retry-After"), err)
	}

	second := i.serve()
	for k := 1; k < 50; k++ {
		i.post(second, fmt.Sprintf("u%d@b.test", k))
	}
	free()
	if status := first.ended(); status != 0 {
		t.Errorf("ended with %d\n%s", status, first.log.String())
	}
	second.await("all delivered", func() bool { return len(sink.Mails()) == 50 && i.status(second, held) == "delivered" })
	once(t, sink, 50)
	a, err = i.call(second, "GET", "/v1/messages/"+held+"/attempts", "")
	if err != nil || len(a.body["data"].([]any)) != 1 {
		t.Errorf("the transaction at its dot: %v, %v", a.body, err)
	}
}

// TestServeSecondSignal ends a process at once that still waits for a server.
func TestServeSecondSignal(t *testing.T) {
	t.Parallel()
	sink := smtptest.New(t, smtptest.Options{Script: smtptest.Script{"DOT": {smtptest.Stall()}}})
	i := install(t, relay(sink))
	p := i.serve()
	i.post(p, "u0@b.test")
	p.await("a transaction at its dot", func() bool { return sink.Uses()["DOT"] > 0 })
	p.signal(syscall.SIGTERM)
	p.await("draining", func() bool { status, _ := p.get("/readyz"); return status == 503 })
	p.signal(syscall.SIGTERM)
	if status := p.ended(); status != -1 {
		t.Errorf("ended with %d, want by the signal", status)
	}
}

// TestServeMetrics reads the numbers after some mail.
func TestServeMetrics(t *testing.T) {
	t.Parallel()
	sink := smtptest.New(t, smtptest.Options{Script: smtptest.Script{"RCPT u2@b.test": {smtptest.Reply("550 5.1.1 no such user")}}})
	i := install(t, relay(sink))
	i.environ = append(i.environ, "POSTRIDER_WEBHOOK_ALLOWED_NETWORKS=127.0.0.0/8")
	p := i.serve()
	told := i.hook(p)
	for k := range 3 {
		id := i.post(p, fmt.Sprintf("u%d@b.test", k))
		p.await("final", func() bool { s := i.status(p, id); return s == "delivered" || s == "bounced" })
	}
	var body string
	p.await("the numbers of all three", func() bool {
		_, body = p.get("/metrics")
		return strings.Contains(body, "postrider_attempts_total 3") && told.Load() == 6 &&
			strings.Contains(body, `postrider_webhook_latency_seconds_count{status="succeeded"} 6`) &&
			strings.Contains(body, `postrider_webhook_pending{world="live"} 0`)
	})
	for _, want := range []string{
		`postrider_accepted_messages_total{world="live"} 3`,
		`postrider_http_requests_total{method="POST",route="/messages",status="202"} 3`,
		`postrider_outcomes_total{status="delivered"} 2`,
		`postrider_outcomes_total{status="bounced"} 1`,
		`postrider_delivery_latency_seconds_count{status="delivered"} 2`,
		`postrider_attempts_in_flight 0`,
		`postrider_queue_jobs{queue="default",state="pending"} 0`,
		`postrider_queue_oldest_seconds{queue="default"} 0`,
		`postrider_due_envelopes{world="live"} 0`,
		`postrider_due_lag_seconds{world="live"} 0`,
		`postrider_queue_jobs{queue="notify",state="pending"} 0`,
		`postrider_webhook_pending{world="live"} 0`,
		`postrider_webhook_lag_seconds{world="live"} 0`,
		`postrider_redis_up 1`, `postrider_redis_memory_used_bytes `, `postrider_redis_memory_limit_bytes `,
		`postrider_build_info{version="`, `go_goroutines `,
	} {
		if !strings.Contains(body, want) {
			t.Errorf("no %s in:\n%s", want, body)
		}
	}
	var served, listed []string
	for _, m := range regexp.MustCompile(`(?m)^# TYPE (postrider_\w+) `).FindAllStringSubmatch(body, -1) {
		served = append(served, m[1])
	}
	for _, row := range regexp.MustCompile("(?m)^\\| `postrider_.*$").FindAllString(operations(t), -1) {
		names, _, _ := strings.Cut(row[2:], " | ")
		for _, m := range regexp.MustCompile("`(postrider_\\w+)`").FindAllStringSubmatch(names, -1) {
			listed = append(listed, m[1])
		}
	}
	slices.Sort(served)
	slices.Sort(listed)
	if diff := cmp.Diff(listed, served); diff != "" {
		t.Errorf("the metrics that docs/operations.md lists and those that are served (-listed +served):\n%s", diff)
	}
	if strings.Contains(body, "b.test") || strings.Contains(body, "@") {
		t.Errorf("a domain or address in the metrics:\n%s", body)
	}
}

// hook makes a webhook for all that happens to messages, and counts what it is told.
func (i *installation) hook(p *process) (told *atomic.Int64) {
	i.t.Helper()
	told = new(atomic.Int64)
	endpoint := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { told.Add(1) }))
	i.t.Cleanup(endpoint.Close)
	a, err := i.call(p, "POST", "/v1/webhooks", `{"url":"`+endpoint.URL+`","events":["message.*"]}`)
	if err != nil || a.status != http.StatusCreated {
		i.t.Fatalf("hook: %d %v %v", a.status, a.body, err)
	}
	return told
}

// TestServeReady reads /readyz and the first line of the log.
func TestServeReady(t *testing.T) {
	t.Parallel()
	i := install(t, "smtp://127.0.0.1:1")
	p := i.serve("--roles", "api")
	if line := p.said("serving"); line["roles"] != "api" || line["version"] != versionName() || line["durability"] != "everysec" {
		t.Errorf("%v", line)
	}
	status, body := p.get("/readyz")
	var answer struct {
		Ready  bool
		Roles  []string
		Checks map[string]struct {
			OK     bool
			Detail string
		}
	}
	if err := json.Unmarshal([]byte(body), &answer); err != nil || status != http.StatusOK || !answer.Ready {
		t.Fatalf("%d %v\n%s", status, err, body)
	}
	if strings.Contains(body, "default-user") {
		t.Errorf("loopback is taken for a network: %s", body)
	}
	if d := answer.Checks["durability"]; !d.OK || !strings.Contains(d.Detail, "everysec: up to 1 s of accepted mail may be lost") {
		t.Errorf("durability: %+v", d)
	}
	for _, name := range []string{"redis", "epoch", "draining", "admission"} {
		if !answer.Checks[name].OK {
			t.Errorf("%s: %+v", name, answer.Checks[name])
		}
	}
}

// TestServeRefuses: each refusal has a word, and the word lifts it.
func TestServeRefuses(t *testing.T) {
	good := []string{
		"POSTRIDER_REDIS_URL=" + redistest.Server(t), "POSTRIDER_DATA_DIR=" + t.TempDir(), "POSTRIDER_HTTP_ADDR=127.0.0.1:0",
		"POSTRIDER_RETURN_PATH_DOMAIN=bounces.acme.test", "POSTRIDER_HOSTNAME=mail.acme.test",
	}
	busy, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer busy.Close()
	cases := []struct {
		name, set, err string
	}{
		{"no Redis", "POSTRIDER_REDIS_URL=", "or run `postrider dev`"},
		{"Redis away", "POSTRIDER_REDIS_URL=redis://:hunter2@127.0.0.1:1", "reach Redis at 127.0.0.1:1"},
		{"wrong password", "POSTRIDER_REDIS_URL=" + strings.Replace(strings.TrimPrefix(good[0], "POSTRIDER_REDIS_URL="), "redis://:", "redis://:hunter2", 1), "WRONGPASS"},
		{"no return path", "POSTRIDER_RETURN_PATH_DOMAIN=", "POSTRIDER_ALLOW_UNSAFE=no-return-path"},
		{"no host name", "POSTRIDER_HOSTNAME=box", "POSTRIDER_ALLOW_UNSAFE=no-hostname"},
		{"local host name", "POSTRIDER_HOSTNAME=localhost.localdomain", "no-hostname"},
		{"unknown word", "POSTRIDER_ALLOW_UNSAFE=everything", "no-append-only"},
		{"unknown word, and Redis away", "POSTRIDER_ALLOW_UNSAFE=everything POSTRIDER_REDIS_URL=redis://127.0.0.1:1", "no-append-only"},
		{"no role", "POSTRIDER_ROLES=smtpd", "is no role"},
		{"port in use", "POSTRIDER_HTTP_ADDR=" + busy.Addr().String(), "in use"},
		{"relay without a host", "POSTRIDER_RELAY=smtp://", "POSTRIDER_RELAY"},
		{"unknown option", "POSTRIDER_REDIS=x", "POSTRIDER_REDIS"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			i := &installation{t: t, environ: append(append([]string(nil), good...), strings.Fields(c.set)...)}
			status, out, errs := i.run("serve")
			if status == 0 || !strings.Contains(errs, c.err) || strings.Contains(out+errs, "hunter2") {
				t.Errorf("status %d, want an error with %q:\n%s%s", status, c.err, out, errs)
			}
		})
	}
	for _, c := range []struct {
		environ []string
		said    bool // in the log
	}{
		{[]string{"POSTRIDER_RETURN_PATH_DOMAIN=", "POSTRIDER_HOSTNAME=box", "POSTRIDER_ALLOW_UNSAFE=no-return-path,no-hostname"}, true},
		{[]string{"POSTRIDER_RETURN_PATH_DOMAIN=", "POSTRIDER_HOSTNAME=box", "POSTRIDER_RELAY=smtp://127.0.0.1:1"}, true},
		{[]string{"POSTRIDER_HOSTNAME=box", "POSTRIDER_ROLES=api"}, false},
	} {
		environ := c.environ
		i := &installation{t: t, environ: append(append([]string(nil), good...), environ...)}
		p := i.serve()
		if said := p.said("not as safe as it could be") != nil; said != c.said {
			t.Errorf("%v: the log says what is allowed: %t\n%s", environ, said, p.log.String())
		}
		p.signal(syscall.SIGTERM)
		if status := p.ended(); status != 0 {
			t.Errorf("%v: ended with %d", environ, status)
		}
	}
}
