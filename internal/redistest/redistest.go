// Package redistest starts Redis servers for tests, as httptest does for HTTP:
// a private redis-server, an in-process miniredis, or one after the other.
//
// It is no client: it hands out URLs, and speaks just enough RESP to see that
// its server answers. A machine without redis-server fails a test that needs
// it; nothing is skipped.
//
// Start gives one that can be killed and started again, NewProxy stands before one
// and loses what a test names.
//
//	redistest.Each(t, func(t *testing.T, url string) {
//		o, err := redis.ParseURL(url)
//		...
//	})
package redistest

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
)

// Server starts a private redis-server that writes its append-only file like a
// production one (appendfsync everysec), in a directory and on a loopback port
// of its own. It ends with the test, and also if the test process dies.
func Server(tb testing.TB) (url string) {
	tb.Helper()
	return Start(tb).URL
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
		if strings.HasPrefix(got, "-LOADING") {
			return errors.New("it loads its files")
		}
		if got != want {
			return fmt.Errorf("%w: %q", errNotOurs, got)
		}
	}
	return nil
}
