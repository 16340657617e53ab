package main

import (
	"bufio"
	"bytes"
	"math/rand/v2"
	"net"
	"strings"
	"time"
)

// session is one connection.
type session struct {
	book *book
	conn net.Conn
	in   *bufio.Reader
	out  []byte
	to   []string
}

func newSession(b *book, conn net.Conn) *session {
	return &session{book: b, conn: conn, in: bufio.NewReaderSize(conn, 64<<10)}
}

func (s *session) run() {
	defer s.conn.Close()
	s.say("220 sink ESMTP")
	for s.flush() {
		line, err := s.in.ReadSlice('\n')
		if err != nil {
			return
		}
		if !s.command(bytes.TrimRight(line, "\r\n")) {
			s.flushNow()
			return
		}
	}
}

func (s *session) say(line string) { s.out = append(append(s.out, line...), "\r\n"...) }

// flush writes the replies once no further command is here (RFC 2920 3.2).
func (s *session) flush() bool { return s.in.Buffered() > 0 || s.flushNow() }

func (s *session) flushNow() bool {
	_, err := s.conn.Write(s.out)
	s.out = s.out[:0]
	return err == nil
}

// command answers one command; false ends the session.
func (s *session) command(line []byte) bool {
	verb, rest, _ := strings.Cut(string(line), " ")
	switch strings.ToUpper(verb) {
	case "EHLO":
		s.say("250-sink\r\n250-PIPELINING\r\n250-8BITMIME\r\n250 SIZE 100000000")
	case "HELO", "MAIL", "RSET":
		s.to = s.to[:0]
		s.say("250 2.0.0 ok")
	case "RCPT":
		_, path, _ := strings.Cut(rest, "<")
		path, _, _ = strings.Cut(path, ">")
		s.to = append(s.to, path)
		s.say("250 2.1.5 ok")
	case "DATA":
		return s.data()
	case "QUIT":
		s.say("221 2.0.0 bye")
		return false
	default:
		s.say("500 5.5.2 what?")
	}
	return true
}

// data reads to the final dot. The mail is in the book before the answer leaves.
func (s *session) data() bool {
	s.say("354 go on")
	if !s.flushNow() {
		return false
	}
	id := ""
	for header := true; ; {
		line, err := s.in.ReadSlice('\n')
		if err != nil {
			return false
		}
		switch {
		case len(line) == 3 && line[0] == '.':
			if s.book.think > 0 {
				// A client that leaves meanwhile does not stop the mail, as with any server.
				time.Sleep(rand.N(s.book.think))
			}
			s.book.add(s.to, id)
			s.to = s.to[:0]
			s.say("250 2.0.0 taken")
			return true
		case len(line) <= 2:
			header = false
		case header && id == "":
			id = messageID(line)
		}
	}
}

// messageID is what stands before the @ of a Message-ID field, or nothing.
func messageID(line []byte) string {
	name, value, ok := bytes.Cut(line, []byte(": <"))
	if !ok || !bytes.EqualFold(name, []byte("Message-ID")) {
		return ""
	}
	id, _, _ := bytes.Cut(value, []byte("@"))
	return string(id)
}
