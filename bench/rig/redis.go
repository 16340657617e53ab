package rig

import (
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"time"
)

// Redis is a private redis-server with an append-only file. It can be killed and
// started again with what it has kept.
type Redis struct {
	*Proc
	Addr  string
	rig   *Rig
	dir   string
	fsync string
}

// StartRedis starts one; fsync is everysec or always.
func (r *Rig) StartRedis(fsync string) (*Redis, error) {
	dir, err := os.MkdirTemp(r.Dir, "redis")
	if err != nil {
		return nil, fmt.Errorf("make a directory: %w", err)
	}
	s := &Redis{rig: r, dir: dir, fsync: fsync}
	if s.Addr, err = freeAddr(); err != nil {
		return nil, err
	}
	return s, s.Restart()
}

// Restart starts it, after a Kill with the file it left.
func (s *Redis) Restart() error {
	_, port, err := net.SplitHostPort(s.Addr)
	if err != nil {
		return err
	}
	s.Proc, err = s.rig.Start("redis", nil, "redis-server", "--bind", "127.0.0.1", "--port", port,
		"--save", "", "--appendonly", "yes", "--appendfsync", s.fsync, "--maxmemory", "4gb", "--dir", s.dir)
	if err != nil {
		return err
	}
	return await(s.Proc, s.ping)
}

func (s *Redis) ping() error {
	conn, err := net.DialTimeout("tcp", s.Addr, time.Second)
	if err != nil {
		return err
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(time.Second))
	if _, err := io.WriteString(conn, "PING\r\n"); err != nil {
		return err
	}
	answer := make([]byte, 64)
	n, err := conn.Read(answer)
	if err == nil && !strings.HasPrefix(string(answer[:n]), "+PONG") {
		err = fmt.Errorf("answers %s", strconv.Quote(string(answer[:n])))
	}
	return err
}

// URL is its address as the service wants it.
func (s *Redis) URL() string { return "redis://" + s.Addr + "/0" }
