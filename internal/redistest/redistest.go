// Package redistest starts Redis servers for tests, as httptest does for HTTP:
// a private redis-server, an in-process miniredis, or one after the other.
//
// It is no client: it hands out URLs, and speaks just enough RESP to see that
// its server answers. A machine without redis-server fails a test that needs
// it; nothing is skipped.
//
//	redistest.Each(t, func(t *testing.T, url string) {
//		o, err := redis.ParseURL(url)
//		...
//	})
package redistest

import (
	"bufio"
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strconv"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
)

// Server starts a private redis-server that writes its append-only file like a
// production one (appendfsync everysec), in a directory and on a loopback port
// of its own. It ends with the test, and also if the test process dies.
func Server(tb testing.TB) (url string) {
	tb.Helper()
	if _, err := exec.LookPath("redis-server"); err != nil {
		tb.Fatalf("redistest: redis-server is needed (make test brings it): %v", err)
	}
	var err error
	// Between choosing a port and binding it another process may take it.
	for range 5 {
		if url, err = start(tb); err == nil {
			return url
		}
	}
	tb.Fatalf("redistest: %v", err)
	return ""
}

// InProcess starts miniredis and returns its URL. Its TTLs follow the clock.
func InProcess(tb testing.TB) (url string) {
	tb.Helper()
	m := miniredis.NewMiniRedis()
	m.ClockTTL(true)
	if err := m.Start(); err != nil {
		tb.Fatalf("redistest: start miniredis: %v", err)
	}
	tb.Cleanup(m.Close)
	return "redis://" + m.Addr()
}

// Each runs test once on each of the two, as a subtest.
func Each(t *testing.T, test func(t *testing.T, url string)) {
	t.Helper()
	t.Run("miniredis", func(t *testing.T) { test(t, InProcess(t)) })
	t.Run("redis-server", func(t *testing.T) { test(t, Server(t)) })
}

// script runs redis-server as its child and ends it when its own standard input
// does: at Cleanup, or because the test process is gone.
const script = `redis-server "$@" & pid=$!; read -r _; kill -9 $pid; wait $pid`

// start makes one try on one port.
func start(tb testing.TB) (url string, err error) {
	dir, err := os.MkdirTemp("", "redistest")
	if err != nil {
		return "", fmt.Errorf("make a directory: %w", err)
	}
	port, err := freePort()
	if err != nil {
		return "", err
	}
	// The password tells our server from another one on the same port.
	password := rand.Text()
	cmd := exec.Command("sh", "-c", script, "redis-server",
		"--bind", "127.0.0.1", "--port", strconv.Itoa(port), "--requirepass", password,
		"--save", "", "--appendonly", "yes", "--appendfsync", "everysec", "--dir", dir)
	var output bytes.Buffer
	cmd.Stdout, cmd.Stderr = &output, &output
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return "", fmt.Errorf("start redis-server: %w", err)
	}
	if err := cmd.Start(); err != nil {
		return "", fmt.Errorf("start redis-server: %w", err)
	}
	end := func() {
		_ = stdin.Close()
		_ = cmd.Wait() // it was killed: its status says nothing
		if err := os.RemoveAll(dir); err != nil {
			tb.Errorf("redistest: %v", err)
		}
	}
	addr := net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
	if err := await(addr, password); err != nil {
		end()
		return "", fmt.Errorf("start redis-server: %w\n%s", err, output.Bytes())
	}
	tb.Cleanup(end)
	return fmt.Sprintf("redis://:%s@%s", password, addr), nil
}

func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, fmt.Errorf("find a free port: %w", err)
	}
	port := l.Addr().(*net.TCPAddr).Port
	return port, l.Close()
}

var errNotOurs = errors.New("another server answers on its port")

// await pings until the server answers.
func await(addr, password string) error {
	var err error
	for range 1000 {
		if err = ping(addr, password); err == nil || errors.Is(err, errNotOurs) {
			return err
		}
		time.Sleep(10 * time.Millisecond)
	}
	return err
}

func ping(addr, password string) error {
	conn, err := net.DialTimeout("tcp", addr, time.Second)
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		return err
	}
	if _, err := io.WriteString(conn, "AUTH "+password+"\r\nPING\r\n"); err != nil {
		return err
	}
	r := bufio.NewReader(io.LimitReader(conn, 1024))
	for _, want := range []string{"+OK\r\n", "+PONG\r\n"} {
		got, err := r.ReadString('\n')
		if err != nil {
			return err
		}
		if got != want {
			return fmt.Errorf("%w: %q", errNotOurs, got)
		}
	}
	return nil
}
