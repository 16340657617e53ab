// Package rig starts and ends what a run of the benchmark is made of: private
// redis-servers, the sink, the service under test, its yardstick. Everything is on
// loopback, on free ports, in one directory, and ends with the run, even if the run
// is killed. It measures only what the kernel counts of a process.
//
//	r, err := rig.New(ctx)
//	defer r.Close()
//	redis, err := r.StartRedis("always")
//	sink, err := r.StartSink()
//	service, err := r.StartService(rig.Setup{Redis: redis, Sink: sink})
package rig

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"postrider/bench/ledger"
)

// Rig is one run.
type Rig struct {
	Dir     string
	started int
	ends    []func()
}

// New makes a directory and builds the programs into it.
func New(ctx context.Context) (*Rig, error) {
	dir, err := os.MkdirTemp("", "postrider-bench")
	if err != nil {
		return nil, fmt.Errorf("make a directory: %w", err)
	}
	r := &Rig{Dir: dir}
	build := exec.CommandContext(ctx, "go", "build", "-tags", "nomsgpack", "-trimpath", "-o", dir+"/",
		"./bench/sink", "./bench/inject", "./bench/wire", "./bench/thin", "./bench/bare", underTest)
	if out, err := build.CombinedOutput(); err != nil {
		r.Close()
		return nil, fmt.Errorf("build: %w\n%s", err, out)
	}
	return r, nil
}

// Program is the path of one of the programs.
func (r *Rig) Program(name string) string { return filepath.Join(r.Dir, name) }

func (r *Rig) atEnd(do func()) { r.ends = append(r.ends, do) }

// Close ends everything, last first.
func (r *Rig) Close() {
	r.EndAll()
	_ = os.RemoveAll(r.Dir)
}

// EndAll ends all processes, but keeps the programs and logs.
func (r *Rig) EndAll() {
	for i := len(r.ends) - 1; i >= 0; i-- {
		r.ends[i]()
	}
	r.ends = nil
}

// The ports that the rig uses lie below those that the kernel gives to outgoing
// connections: a process that is ended and started again finds its own free.
const firstPort, ports = 16_000, 16_000

// FreePort is a port on loopback that nobody listens on now.
func FreePort() (int, error) {
	var err error
	for range 100 {
		port := firstPort + rand.IntN(ports)
		var l net.Listener
		if l, err = net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port))); err == nil {
			return port, l.Close()
		}
	}
	return 0, fmt.Errorf("find a free port: %w", err)
}

func freeAddr() (string, error) {
	port, err := FreePort()
	return "127.0.0.1:" + strconv.Itoa(port), err
}

// startLimit is how long a process may take to answer.
const startLimit = time.Minute

// await calls ready until it is content, the process has ended, or time is up.
func await(p *Proc, ready func() error) error {
	deadline := time.Now().Add(startLimit)
	for {
		err := ready()
		switch {
		case err == nil:
			return nil
		case !p.Alive():
			return fmt.Errorf("%s ended:\n%s", p.Name, p.Tail())
		case time.Now().After(deadline):
			return fmt.Errorf("%s is not ready: %w\n%s", p.Name, err, p.Tail())
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// Get asks for a page of a program of the rig.
func Get(url string) (string, error) {
	client := http.Client{Timeout: 10 * time.Second}
	response, err := client.Get(url)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	raw, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode != http.StatusOK {
		err = errors.New(response.Status)
	}
	return string(raw), err
}

// Sink is a running sink.
type Sink struct {
	*Proc
	SMTP, HTTP string // addresses
}

// StartSink starts a sink, with more flags if there are any.
func (r *Rig) StartSink(flags ...string) (*Sink, error) {
	s := &Sink{}
	var err error
	if s.SMTP, err = freeAddr(); err != nil {
		return nil, err
	}
	if s.HTTP, err = freeAddr(); err != nil {
		return nil, err
	}
	flags = append([]string{"-smtp", s.SMTP, "-http", s.HTTP}, flags...)
	if s.Proc, err = r.Start("sink", nil, r.Program("sink"), flags...); err != nil {
		return nil, err
	}
	return s, await(s.Proc, func() error { _, err := s.Count(); return err })
}

// Count is how many mails came.
func (s *Sink) Count() (int, error) {
	page, err := Get("http://" + s.HTTP + "/count")
	if err != nil {
		return 0, fmt.Errorf("ask the sink: %w", err)
	}
	return strconv.Atoi(strings.TrimSpace(page))
}

// Ledger is what came.
func (s *Sink) Ledger() ([]ledger.Arrival, error) {
	page, err := Get("http://" + s.HTTP + "/ledger")
	if err != nil {
		return nil, fmt.Errorf("ask the sink: %w", err)
	}
	return ledger.ReadArrivals(strings.NewReader(page))
}

// Reset empties the ledger.
func (s *Sink) Reset() error {
	response, err := http.Post("http://"+s.HTTP+"/reset", "", nil)
	if err != nil {
		return fmt.Errorf("reset the sink: %w", err)
	}
	return response.Body.Close()
}

// Await waits until n mails came, as long as more keep coming within patience.
func (s *Sink) Await(ctx context.Context, n int, patience time.Duration) error {
	last, since := -1, time.Now()
	for {
		count, err := s.Count()
		switch {
		case err != nil:
			return err
		case count >= n:
			return nil
		case count != last:
			last, since = count, time.Now()
		case time.Since(since) > patience:
			return fmt.Errorf("%d of %d mails came, and no more within %v", count, n, patience)
		}
		select {
		case <-time.After(20 * time.Millisecond):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// AwaitHTTP waits until a process answers at url.
func AwaitHTTP(p *Proc, url string) error {
	return await(p, func() error { _, err := Get(url); return err })
}
