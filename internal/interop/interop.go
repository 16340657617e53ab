// Package interop starts mail servers that are not ours, for the tests that meet them
// and for the benchmark: Debian's Postfix and Exim with their default settings, and
// aiosmtpd. Each is a private instance on loopback, on a port, in a folder and with
// accounts of its own, that takes all mail, relays it unchanged to one address, and
// ends with whoever started it.
//
// It is no mail server and knows no SMTP. The programs come from tools/test-tools.sh,
// which unpacks Postfix and Exim into a cache instead of making them this machine's
// mail servers. One that is missing is an error and never a reason to skip.
//
//	s, err := interop.StartPostfix("127.0.0.1:2500") // where it relays to
//	defer s.Close()
//	... send to s.Addr ...
package interop

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const (
	startLimit = 20 * time.Second
	endLimit   = 10 * time.Second
	logTail    = 4000 // octets
	logName    = "log"
)

// Server is a running server.
type Server struct {
	Name string
	Addr string // host:port where it takes mail
	PID  int    // above all of its processes

	port  string
	dir   string
	cmd   *exec.Cmd
	stdin io.Closer
	ended chan struct{}
}

// newServer makes a folder that other users can enter: the servers' processes do not
// stay root.
func newServer(name string) (*Server, error) {
	dir, err := os.MkdirTemp("", "postrider-"+name)
	if err != nil {
		return nil, err
	}
	s := &Server{Name: name, dir: dir}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err == nil {
		s.Addr = l.Addr().String()
		_, s.port, _ = net.SplitHostPort(s.Addr)
		err = errors.Join(l.Close(), os.Chmod(dir, 0o755))
	}
	if err != nil {
		_ = os.RemoveAll(dir)
		return nil, err
	}
	return s, nil
}

// Close ends the server at once and removes what it had.
func (s *Server) Close() {
	if s.cmd != nil {
		_ = s.stdin.Close()
		select {
		case <-s.ended:
		case <-time.After(endLimit):
		}
		_ = syscall.Kill(-s.PID, syscall.SIGKILL)
		<-s.ended
	}
	_ = os.RemoveAll(s.dir)
}

// Log is the end of what it and its processes have said, for error messages.
func (s *Server) Log() string {
	files, _ := filepath.Glob(filepath.Join(s.dir, logName+"*"))
	var all strings.Builder
	for _, file := range files {
		raw, err := os.ReadFile(file)
		if err != nil {
			return err.Error()
		}
		all.Write(raw[max(0, len(raw)-logTail):])
	}
	return all.String()
}

// script runs the server as its child and ends it, and all that it has started, when
// its own standard input ends: at Close, or because who started it is gone.
const script = `"$@" & pid=$!; read -r _; kill $pid; wait $pid; kill -9 0`

// run starts the program and waits until it takes mail.
func (s *Server) run(env []string, program string, args ...string) error {
	s.cmd = exec.Command("sh", append([]string{"-c", script, s.Name, program}, args...)...)
	s.cmd.Env = append(os.Environ(), env...)
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	out, err := os.Create(filepath.Join(s.dir, logName))
	if err != nil {
		return err
	}
	defer out.Close()
	s.cmd.Stdout, s.cmd.Stderr = out, out
	stdin, err := s.cmd.StdinPipe()
	if err != nil {
		return err
	}
	if err := s.cmd.Start(); err != nil {
		s.cmd = nil
		return err
	}
	s.stdin, s.PID, s.ended = stdin, s.cmd.Process.Pid, make(chan struct{})
	go func() {
		_ = s.cmd.Wait() // how it ended shows in its log
		close(s.ended)
	}()
	return s.await()
}

func (s *Server) await() error {
	for deadline := time.Now().Add(startLimit); ; time.Sleep(10 * time.Millisecond) {
		err := s.greets()
		if err == nil {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("it does not take mail: %w\n%s", err, s.Log())
		}
	}
}

func (s *Server) greets() error {
	conn, err := net.DialTimeout("tcp", s.Addr, time.Second)
	if err != nil {
		return err
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(startLimit))
	code := make([]byte, 3)
	if _, err := io.ReadFull(conn, code); err != nil {
		return err
	}
	if string(code) != "220" {
		return fmt.Errorf("greeting %q", code)
	}
	return nil
}

// unpacked is where tools/test-tools.sh puts the files of a package.
func unpacked(name string) (string, error) {
	cache, err := os.UserCacheDir()
	return filepath.Join(cache, "postrider", name), err
}

// firstOf finds a file: installed, or under where its package is unpacked.
func firstOf(name string, paths ...string) (path, root string, err error) {
	cache, err := unpacked(name)
	if err != nil {
		return "", "", err
	}
	for _, root := range []string{"", cache} {
		for _, p := range paths {
			if _, err := os.Stat(root + p); err == nil {
				return root + p, root, nil
			}
		}
	}
	return "", "", fmt.Errorf("%s is needed: tools/test-tools.sh brings it", name)
}

// accounts gives a server the users that its package would have made, without making
// them: nss_wrapper reads these files in the place of /etc/passwd and /etc/group. It
// returns the environment for that.
func (s *Server) accounts(names ...string) ([]string, error) {
	if os.Geteuid() != 0 {
		return nil, errors.New("its master runs as root only")
	}
	for _, file := range []string{"passwd", "group"} {
		raw, err := os.ReadFile("/etc/" + file)
		if err != nil {
			return nil, err
		}
		for i, name := range names {
			if strings.Contains("\n"+string(raw), "\n"+name+":") {
				continue
			}
			if file == "passwd" {
				raw = fmt.Appendf(raw, "%s:x:%d:%d::/nonexistent:/bin/false\n", name, firstID+i, firstID+i)
			} else {
				raw = fmt.Appendf(raw, "%s:x:%d:\n", name, firstID+i)
			}
		}
		if err := os.WriteFile(filepath.Join(s.dir, file), raw, 0o644); err != nil {
			return nil, err
		}
	}
	return []string{
		"LD_PRELOAD=libnss_wrapper.so",
		"NSS_WRAPPER_PASSWD=" + filepath.Join(s.dir, "passwd"), "NSS_WRAPPER_GROUP=" + filepath.Join(s.dir, "group"),
	}, nil
}

// firstID is the first of the made-up users, beyond those that systems hand out.
const firstID = 61511

// uid is the id that the n-th of the accounts has in this machine or by the files.
func uid(name string, n int) (int, error) {
	known, err := user.Lookup(name)
	if err != nil {
		return firstID + n, nil
	}
	return strconv.Atoi(known.Uid)
}
