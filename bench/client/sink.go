package main

import (
	"bufio"
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"math/big"
	"net"
	"os"
	"time"
)

const (
	sinkName  = "sink.bench.test"
	ehloLines = 5
	ehlo      = "250-" + sinkName + "\r\n250-PIPELINING\r\n250-8BITMIME\r\n250-STARTTLS\r\n250 SIZE 100000000\r\n"
)

// serve is the sink: it takes every mail, keeps nothing, and ends with its input.
func serve(say io.Writer) error {
	config, err := sinkTLS()
	if err != nil {
		return err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	fmt.Fprintln(say, l.Addr())
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		os.Exit(0)
	}()
	for {
		conn, err := l.Accept()
		if err != nil {
			return err
		}
		go (&session{conn: conn, in: bufio.NewReaderSize(conn, 64<<10)}).run(config)
	}
}

func sinkTLS() (*tls.Config, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{sinkName}, NotAfter: time.Now().Add(time.Hour)}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return nil, err
	}
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{cert}, PrivateKey: key}}}, nil
}

// session is one connection.
type session struct {
	conn net.Conn
	in   *bufio.Reader
	out  []byte
}

func (s *session) run(config *tls.Config) {
	defer func() { _ = s.conn.Close() }()
	s.out = append(s.out, "220 "+sinkName+" ESMTP\r\n"...)
	for {
		// RFC 2920 3.2: replies wait as long as more commands are here.
		if s.in.Buffered() == 0 && s.flush() != nil {
			return
		}
		line, err := s.in.ReadSlice('\n')
		if err != nil || len(line) < 4 {
			return
		}
		switch string(line[:4]) {
		case "EHLO":
			s.out = append(s.out, ehlo...)
		case "STAR":
			s.out = append(s.out, "220 go\r\n"...)
			if s.flush() != nil {
				return
			}
			s.conn = tls.Server(s.conn, config)
			s.in.Reset(s.conn)
		case "DATA":
			s.out = append(s.out, "354 go\r\n"...)
			if s.flush() != nil || s.data() != nil {
				return
			}
		case "QUIT":
			s.out = append(s.out, "221 bye\r\n"...)
			_ = s.flush()
			return
		default:
			s.out = append(s.out, "250 ok\r\n"...)
		}
	}
}

// data reads to the final dot, wherever the octets before it are cut.
func (s *session) data() error {
	end, tail := []byte("\r\n.\r\n"), make([]byte, 0, 8)
	for {
		if _, err := s.in.Peek(1); err != nil {
			return err
		}
		come, _ := s.in.Peek(s.in.Buffered())
		last := append(tail, come[max(0, len(come)-len(end)):]...)
		tail = append(tail[:0], last[max(0, len(last)-len(end)):]...)
		_, _ = s.in.Discard(len(come))
		if bytes.Equal(tail, end) {
			s.out = append(s.out, "250 2.0.0 taken\r\n"...)
			return nil
		}
	}
}

func (s *session) flush() error {
	_, err := s.conn.Write(s.out)
	s.out = s.out[:0]
	return err
}
