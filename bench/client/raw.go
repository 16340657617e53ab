package main

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"fmt"
	"net"

	"postrider/bench/load"
)

// helo is the name that both subjects give.
const helo = "client.bench.test"

// raw writes what the client would write, and counts lines.
type raw struct {
	setting
	addr   string
	config *tls.Config
	conn   net.Conn
	in     *bufio.Reader
	out    []byte
}

func newRaw(s setting, addr string) (sender, error) {
	return &raw{setting: s, addr: addr, config: clientTLS()}, nil
}

func (r *raw) send(mail []byte, to string) error {
	reused := r.conn != nil
	if !reused {
		if err := r.open(); err != nil {
			return err
		}
	}
	r.out = r.out[:0]
	lines := 3
	if reused {
		r.out = append(r.out, "RSET\r\n"...)
		lines++
	}
	r.out = fmt.Appendf(r.out, "MAIL FROM:<%s> SIZE=%d\r\nRCPT TO:<%s>\r\nDATA\r\n", load.From, len(mail), to)
	if err := r.write(r.out, lines); err != nil {
		return err
	}
	r.out = append(append(r.out[:0], mail...), ".\r\n"...)
	if err := r.write(r.out, 1); err != nil || !r.fresh {
		return err
	}
	err := r.write([]byte("QUIT\r\n"), 1)
	r.close()
	return err
}

// open brings a connection to where MAIL may be sent.
func (r *raw) open() error {
	conn, err := net.Dial("tcp", r.addr)
	if err != nil {
		return err
	}
	r.use(conn)
	if err := r.write(nil, 1); err != nil {
		return err
	}
	hello := []byte("EHLO " + helo + "\r\n")
	if err := r.write(hello, ehloLines); err != nil || !r.tls {
		return err
	}
	if err := r.write([]byte("STARTTLS\r\n"), 1); err != nil {
		return err
	}
	r.use(tls.Client(conn, r.config))
	return r.write(hello, ehloLines)
}

func (r *raw) use(conn net.Conn) {
	r.conn = conn
	if r.in == nil {
		r.in = bufio.NewReader(conn)
		return
	}
	r.in.Reset(conn)
}

// write writes, and waits for so many lines.
func (r *raw) write(p []byte, lines int) error {
	if len(p) > 0 {
		if _, err := r.conn.Write(p); err != nil {
			return err
		}
	}
	for lines > 0 {
		if _, err := r.in.Peek(1); err != nil {
			return err
		}
		come, _ := r.in.Peek(r.in.Buffered())
		lines -= bytes.Count(come, []byte("\n"))
		_, _ = r.in.Discard(len(come))
	}
	return nil
}

func (r *raw) close() {
	if r.conn != nil {
		_ = r.conn.Close()
		r.conn = nil
	}
}
