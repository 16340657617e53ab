package redistest_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/url"
	"strings"
	"testing"

	"postrider/internal/redistest"
)

func TestEachAnswersAndIsEmpty(t *testing.T) {
	redistest.Each(t, func(t *testing.T, address string) {
		if got := ask(t, address, "DBSIZE"); got != ":0" {
			t.Errorf("DBSIZE of a new server = %q, want :0", got)
		}
		if got := ask(t, address, "SET k v"); got != "+OK" {
			t.Errorf("SET = %q, want +OK", got)
		}
	})
}

func TestServersAreApart(t *testing.T) {
	first, second := redistest.Server(t), redistest.Server(t)
	ask(t, first, "SET k v")
	if got := ask(t, second, "DBSIZE"); got != ":0" {
		t.Errorf("DBSIZE of the second server = %q, want :0", got)
	}
}

func TestServerEndsWithItsTest(t *testing.T) {
	var address string
	t.Run("inner", func(t *testing.T) { address = redistest.Server(t) })
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	if conn, err := net.Dial("tcp", u.Host); err == nil {
		conn.Close()
		t.Errorf("%s still answers after its test", u.Host)
	}
}

func TestServerWritesAppendOnly(t *testing.T) {
	got := ask(t, redistest.Server(t), "INFO persistence", "aof_enabled")
	if got != "aof_enabled:1" {
		t.Errorf("INFO persistence: %q, want aof_enabled:1", got)
	}
}

// ask sends one command and returns the first line of its answer that
// starts with prefix.
func ask(t *testing.T, address, command string, prefix ...string) string {
	t.Helper()
	line, err := tryAsk(address, command, prefix...)
	if err != nil {
		t.Fatalf("%s: %v", command, err)
	}
	return line
}

func tryAsk(address, command string, prefix ...string) (string, error) {
	u, err := url.Parse(address)
	if err != nil {
		return "", err
	}
	conn, err := net.Dial("tcp", u.Host)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	r := bufio.NewReader(conn)
	if password, ok := u.User.Password(); ok {
		send(conn, "AUTH "+password)
		if line, err := r.ReadString('\n'); err != nil || line != "+OK\r\n" {
			return "", fmt.Errorf("AUTH: %q, %w", line, err)
		}
	}
	send(conn, command)
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			return "", err
		}
		if len(prefix) == 0 || strings.HasPrefix(line, prefix[0]) {
			return strings.TrimSpace(line), nil
		}
	}
}

// send writes a command as a RESP array: miniredis takes no inline commands.
func send(w io.Writer, command string) {
	words := strings.Fields(command)
	text := fmt.Sprintf("*%d\r\n", len(words))
	for _, word := range words {
		text += fmt.Sprintf("$%d\r\n%s\r\n", len(word), word)
	}
	_, _ = io.WriteString(w, text)
}
