package redistest

import (
	"bytes"
	"crypto/rand"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strconv"
	"testing"
)

// Instance is a redis-server that a test can kill and start again.
type Instance struct {
	URL string

	tb       testing.TB
	dir      string
	port     int
	password string
	settings []string
	cmd      *exec.Cmd
	stdin    io.Closer
	output   *bytes.Buffer
}

// Start starts a redis-server as Server does. Settings are arguments of
// redis-server, such as "--maxmemory", "10mb", over those that it has.
func Start(tb testing.TB, settings ...string) *Instance {
	tb.Helper()
	if _, err := exec.LookPath("redis-server"); err != nil {
		tb.Fatalf("redistest: redis-server is needed (make test brings it): %v", err)
	}
	var err error
	// Between choosing a port and binding it another process may take it.
	for range 5 {
		var i *Instance
		if i, err = tryStart(tb, settings); err == nil {
			return i
		}
	}
	tb.Fatalf("redistest: %v", err)
	return nil
}

func tryStart(tb testing.TB, settings []string) (*Instance, error) {
	dir, err := os.MkdirTemp("", "redistest")
	if err != nil {
		return nil, fmt.Errorf("make a directory: %w", err)
	}
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	// The password tells our server from another one on the same port.
	i := &Instance{tb: tb, dir: dir, port: port, password: rand.Text(), settings: settings}
	if err := i.run(); err != nil {
		return nil, err
	}
	i.URL = fmt.Sprintf("redis://:%s@%s", i.password, i.addr())
	tb.Cleanup(func() {
		i.Kill()
		if err := os.RemoveAll(dir); err != nil {
			tb.Errorf("redistest: %v", err)
		}
	})
	return i, nil
}

func (i *Instance) addr() string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(i.port)) }

// script runs redis-server as its child and ends it when its own standard input
// does: at Kill, or because the test process is gone.
const script = `redis-server "$@" & pid=$!; read -r _; kill -9 $pid; wait $pid`

func (i *Instance) run() error {
	i.cmd = exec.Command("sh", append([]string{
		"-c", script, "redis-server",
		"--bind", "127.0.0.1", "--port", strconv.Itoa(i.port), "--requirepass", i.password,
		"--save", "", "--appendonly", "yes", "--appendfsync", "everysec", "--dir", i.dir,
	}, i.settings...)...)
	i.output = new(bytes.Buffer)
	i.cmd.Stdout, i.cmd.Stderr = i.output, i.output
	stdin, err := i.cmd.StdinPipe()
	if err != nil {
		return fmt.Errorf("start redis-server: %w", err)
	}
	i.stdin = stdin
	if err := i.cmd.Start(); err != nil {
		return fmt.Errorf("start redis-server: %w", err)
	}
	if err := await(i.addr(), i.password); err != nil {
		i.Kill()
		return fmt.Errorf("start redis-server: %w\n%s", err, i.output.Bytes())
	}
	return nil
}

// Kill ends the server with SIGKILL. What it wrote to its files stays.
func (i *Instance) Kill() {
	_ = i.stdin.Close()
	_ = i.cmd.Wait() // it was killed: its status says nothing
}

// Again starts a killed server on its files, at its address.
func (i *Instance) Again() {
	i.tb.Helper()
	if err := i.run(); err != nil {
		i.tb.Fatalf("redistest: %v", err)
	}
}

// Empty removes the files of a killed server, as when its volume is lost.
func (i *Instance) Empty() {
	i.tb.Helper()
	if err := os.RemoveAll(i.dir); err != nil {
		i.tb.Fatalf("redistest: %v", err)
	}
	if err := os.Mkdir(i.dir, 0o700); err != nil {
		i.tb.Fatalf("redistest: %v", err)
	}
}
