package main

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// smtpSink is Postfix's test server, which is not ours: it writes each mail that it
// took to a file.
type smtpSink struct {
	t    *testing.T
	addr string
	dir  string
}

// findSMTPSink looks where Debian's package puts it, and where tools/test-tools.sh does.
func findSMTPSink(t *testing.T) (path, libraries string) {
	t.Helper()
	if path, err := exec.LookPath("smtp-sink"); err == nil {
		return path, ""
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	unpacked := filepath.Join(cache, "postrider", "postfix")
	for path, libraries := range map[string]string{
		"/usr/sbin/smtp-sink": "", filepath.Join(unpacked, "usr/sbin/smtp-sink"): filepath.Join(unpacked, "usr/lib/postfix"),
	} {
		if _, err := os.Stat(path); err == nil {
			return path, libraries
		}
	}
	t.Fatal("smtp-sink is needed: make test brings it")
	return "", ""
}

func startSMTPSink(t *testing.T) *smtpSink {
	t.Helper()
	path, libraries := findSMTPSink(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &smtpSink{t: t, addr: l.Addr().String(), dir: t.TempDir()}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	args := []string{"-d", "mail.", s.addr, "100"}
	if os.Getuid() == 0 {
		// It refuses to stay root; nobody must reach and write the folder.
		args = append([]string{"-u", "nobody"}, args...)
		for _, dir := range []string{filepath.Dir(s.dir), s.dir} {
			if err := os.Chmod(dir, 0o777); err != nil {
				t.Fatal(err)
			}
		}
	}
	c := exec.Command(path, args...)
	c.Dir, c.Stderr = s.dir, os.Stderr
	c.Env = []string{"LD_LIBRARY_PATH=" + libraries}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = c.Process.Kill()
		_ = c.Wait() // it was killed: its status says nothing
	})
	for range 1000 {
		if conn, err := net.Dial("tcp", s.addr); err == nil {
			_ = conn.Close()
			return s
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatal("smtp-sink does not answer")
	return nil
}

// recipients counts the mails that each address got.
func (s *smtpSink) recipients() map[string]int {
	s.t.Helper()
	files, err := filepath.Glob(filepath.Join(s.dir, "mail.*"))
	if err != nil {
		s.t.Fatal(err)
	}
	to := regexp.MustCompile(`(?m)^X-Rcpt-Args: <(.*)>`)
	got := make(map[string]int)
	for _, file := range files {
		raw, err := os.ReadFile(file)
		if err != nil {
			s.t.Fatal(err)
		}
		for _, match := range to.FindAllStringSubmatch(string(raw), -1) {
			got[match[1]]++
		}
	}
	return got
}

// TestServeToPostfix sends 5,000 mails through two processes to Postfix's smtp-sink
// as relay: each arrives once.
func TestServeToPostfix(t *testing.T) {
	const n = 5000
	sink := startSMTPSink(t)
	i := install(t, "smtp://"+sink.addr)
	doors := []*process{i.serve(), i.serve("--roles", "api,worker")}
	numbers := make(chan int)
	var senders sync.WaitGroup
	for range 8 {
		senders.Go(func() {
			for k := range numbers {
				body := fmt.Sprintf(`{"from":"hi@acme.test","to":"u%d@b.test","subject":"Mail %d","text":"Hello"}`, k, k)
				if a, err := i.call(doors[k%2], "POST", "/messages", body); err != nil || a.status != 202 {
					t.Errorf("mail %d: %d %v %v", k, a.status, a.body, err)
				}
			}
		})
	}
	begun := time.Now()
	for k := range n {
		numbers <- k
	}
	close(numbers)
	senders.Wait()
	accepted := time.Since(begun)
	doors[0].await("all final", func() bool {
		time.Sleep(100 * time.Millisecond) // each look costs the service something
		_, body := doors[0].get("/metrics")
		return strings.Contains(body, `postrider_due_envelopes{world="live"} 0`)
	})
	t.Logf("%d accepted in %v, delivered in %v", n, accepted.Round(time.Millisecond), time.Since(begun).Round(time.Millisecond))
	got := sink.recipients()
	for k := range n {
		if to := "u" + strconv.Itoa(k) + "@b.test"; got[to] != 1 {
			t.Errorf("%s got its mail %d times", to, got[to])
		}
	}
	if len(got) != n {
		t.Errorf("%d addresses got mail, want %d", len(got), n)
	}
}
