package main

import (
	"bufio"
	"bytes"
	"fmt"
	"net"
	"strings"
)

// session is one kept connection.
type session struct {
	conn net.Conn
	in   *bufio.Reader
	out  []byte
}

// send makes one transaction on a kept connection, or on a new one.
func (l *line) send(from, to string, raw []byte) error {
	var s *session
	select {
	case s = <-l.idle:
	default:
		var err error
		if s, err = dial(l.to); err != nil {
			return err
		}
	}
	if err := s.transact(from, to, raw); err != nil {
		_ = s.conn.Close()
		return err
	}
	select {
	case l.idle <- s:
	default:
		_ = s.conn.Close()
	}
	return nil
}

func dial(to string) (*session, error) {
	conn, err := net.Dial("tcp", to)
	if err != nil {
		return nil, err
	}
	s := &session{conn: conn, in: bufio.NewReader(conn)}
	if err := s.expect("220"); err != nil {
		return nil, err
	}
	s.out = append(s.out, "EHLO thin.bench.test\r\n"...)
	return s, s.write("250")
}

// transact pipelines MAIL, RCPT and DATA in one write; the mail and its dot are
// the next.
func (s *session) transact(from, to string, raw []byte) error {
	s.out = fmt.Appendf(s.out[:0], "MAIL FROM:<%s>\r\nRCPT TO:<%s>\r\nDATA\r\n", from, to)
	if err := s.write("250", "250", "354"); err != nil {
		return err
	}
	s.out = append(s.out[:0], bytes.ReplaceAll(raw, []byte("\n."), []byte("\n.."))...)
	s.out = append(s.out, ".\r\n"...)
	return s.write("250")
}

func (s *session) write(replies ...string) error {
	if _, err := s.conn.Write(s.out); err != nil {
		return err
	}
	for _, code := range replies {
		if err := s.expect(code); err != nil {
			return err
		}
	}
	return nil
}

// expect reads one reply, which may have several lines.
func (s *session) expect(code string) error {
	for {
		text, err := s.in.ReadString('\n')
		if err != nil {
			return err
		}
		if !strings.HasPrefix(text, code) {
			return fmt.Errorf("want %s, got %q", code, text)
		}
		if len(text) > 3 && text[3] != '-' {
			return nil
		}
	}
}
