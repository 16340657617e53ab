package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"postrider/internal/logtest"
	"postrider/internal/redistest"
)

// asPostrider makes the test binary be the command, so that tests have real
// processes with real signals, and the race detector in them.
const asPostrider = "TEST_BINARY_IS_POSTRIDER=1"

func TestMain(m *testing.M) {
	if os.Getenv("TEST_BINARY_IS_POSTRIDER") == "1" {
		main()
	}
	os.Exit(m.Run())
}

// installation is a Redis and the settings that its processes share.
type installation struct {
	t       *testing.T
	environ []string
	key     string // of the API, every scope
}

// install makes one whose mail goes to a relay.
func install(t *testing.T, relay string) *installation {
	t.Helper()
	i := &installation{t: t, environ: []string{
		"POSTRIDER_REDIS_URL=" + redistest.Server(t), "POSTRIDER_DATA_DIR=" + t.TempDir(),
		"POSTRIDER_HTTP_ADDR=127.0.0.1:0", "POSTRIDER_RETURN_PATH_DOMAIN=bounces.acme.test",
		"POSTRIDER_HOSTNAME=mail.acme.test", "POSTRIDER_RATE_LIMIT=0", "POSTRIDER_RELAY=" + relay,
		"POSTRIDER_REQUIRE_VERIFIED_DOMAINS=false", "POSTRIDER_ALLOW_RESERVED_DOMAINS=true",
	}}
	status, out, errs := i.run("keys", "create", "--name", "app")
	if status != 0 {
		t.Fatalf("keys create: %d\n%s", status, errs)
	}
	i.key = strings.TrimSuffix(out, "\n")
	return i
}

// redis is a client of its Redis.
func (i *installation) redis() *redis.Client {
	i.t.Helper()
	options, err := redis.ParseURL(strings.TrimPrefix(i.environ[0], "POSTRIDER_REDIS_URL="))
	if err != nil {
		i.t.Fatal(err)
	}
	options.DisableIdentity = true
	rdb := redis.NewClient(options)
	i.t.Cleanup(func() { _ = rdb.Close() })
	return rdb
}

// briefly has the race detector wait less than its second at the end of each process.
const briefly = "GORACE=atexit_sleep_ms=50"

// command is a process of the installation that is not started yet.
func (i *installation) command(args ...string) *exec.Cmd {
	c := exec.Command(os.Args[0], args...)
	c.Env = append([]string{asPostrider, briefly, "PATH=" + os.Getenv("PATH"), "HOME=/nonexistent"}, i.environ...)
	return c
}

// run runs a command to its end.
func (i *installation) run(args ...string) (status int, out, errs string) {
	i.t.Helper()
	var o, e bytes.Buffer
	c := i.command(args...)
	c.Stdout, c.Stderr = &o, &e
	err := c.Run()
	if err != nil && c.ProcessState == nil {
		i.t.Fatal(err)
	}
	return c.ProcessState.ExitCode(), o.String(), e.String()
}

// process is a running `postrider serve`.
type process struct {
	t    *testing.T
	cmd  *exec.Cmd
	log  logtest.Buffer
	url  string
	done chan struct{} // closed when it has ended
}

// serve starts a process and waits until it serves. It ends with the test.
func (i *installation) serve(args ...string) *process {
	i.t.Helper()
	p := &process{t: i.t, cmd: i.command(append([]string{"serve"}, args...)...), done: make(chan struct{})}
	p.cmd.Stderr = &p.log
	if err := p.cmd.Start(); err != nil {
		i.t.Fatal(err)
	}
	go func() {
		_ = p.cmd.Wait() // its status is read from ProcessState
		close(p.done)
	}()
	i.t.Cleanup(func() {
		_ = p.cmd.Process.Kill()
		<-p.done
		if strings.Contains(p.log.String(), "DATA RACE") {
			i.t.Errorf("a race in postrider serve:\n%s", p.log.String())
		}
	})
	p.await("serving", func() bool {
		line := p.said("serving")
		if line != nil {
			p.url = "http://" + fmt.Sprint(line["address"])
		}
		return line != nil
	})
	return p
}

// said finds a line of the log by its message.
func (p *process) said(message string) map[string]any {
	for line := range strings.Lines(p.log.String()) {
		var entry map[string]any
		if json.Unmarshal([]byte(line), &entry) == nil && entry["msg"] == message {
			return entry
		}
	}
	return nil
}

// await polls until ok; a process that ends before that fails the test.
func (p *process) await(what string, ok func() bool) {
	p.t.Helper()
	for deadline := time.Now().Add(time.Minute); !ok(); time.Sleep(5 * time.Millisecond) {
		ended := false
		select {
		case <-p.done:
			ended = !ok()
		default:
		}
		if ended || time.Now().After(deadline) {
			p.t.Fatalf("%s: process ended %t\n%s", what, ended, p.log.String())
		}
	}
}

func (p *process) signal(s syscall.Signal) {
	p.t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		p.t.Fatal(err)
	}
}

// ended waits for the process and gives its exit status, -1 if a signal ended it.
func (p *process) ended() int {
	p.t.Helper()
	select {
	case <-p.done:
	case <-time.After(2 * time.Minute):
		p.t.Fatalf("the process does not end\n%s", p.log.String())
	}
	return p.cmd.ProcessState.ExitCode()
}

// get asks for a path without a key.
func (p *process) get(path string) (status int, body string) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.t.Context(), 30*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, "GET", p.url+path, nil)
	if err != nil {
		p.t.Fatal(err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		p.t.Fatal(err)
	}
	defer response.Body.Close()
	raw, err := io.ReadAll(response.Body)
	if err != nil {
		p.t.Fatal(err)
	}
	return response.StatusCode, string(raw)
}

// answer is what a request to the API came to.
type answer struct {
	status int
	header http.Header
	body   map[string]any
}

// call makes a request to the API of a process.
func (i *installation) call(p *process, method, path, body string) (answer, error) {
	request, err := http.NewRequest(method, p.url+path, strings.NewReader(body))
	if err != nil {
		return answer{}, err
	}
	request.Header.Set("Authorization", "Bearer "+i.key)
	request.Header.Set("Content-Type", "application/json")
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return answer{}, err
	}
	defer response.Body.Close()
	a := answer{status: response.StatusCode, header: response.Header}
	err = json.NewDecoder(response.Body).Decode(&a.body)
	return a, err
}

// post sends one mail and gives its id.
func (i *installation) post(p *process, to string) string {
	i.t.Helper()
	a, err := i.call(p, "POST", "/messages", `{"from":"hi@acme.test","to":"`+to+`","subject":"s","text":"t"}`)
	if err != nil || a.status != http.StatusAccepted {
		i.t.Fatalf("post: %d %v %v", a.status, a.body, err)
	}
	return a.body["id"].(string)
}

// status reads what became of a message.
func (i *installation) status(p *process, id string) string {
	i.t.Helper()
	a, err := i.call(p, "GET", "/v1/messages/"+id, "")
	if err != nil || a.status != http.StatusOK {
		i.t.Fatalf("get: %d %v %v", a.status, a.body, err)
	}
	return a.body["status"].(string)
}
