// Command wire writes mails straight to an SMTP server, as fast as the protocol
// lets one: kept connections, MAIL, RCPT and DATA in one write, the mail with its
// dot in the next. Towards the sink it is the limit of the wire; towards a mail
// server it feeds that server with the same mails as the rest of the benchmark.
//
//	wire -to 127.0.0.1:2500 -n 50000 -connections 8
package main

import (
	"bufio"
	"flag"
	"fmt"
	"log"
	"net"
	"strings"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"postrider/bench/load"
)

func main() {
	to := flag.String("to", "127.0.0.1:2500", "SMTP server")
	series := flag.String("series", "n", "first letters of the recipients")
	n := flag.Int("n", 1000, "mails")
	connections := flag.Int("connections", 8, "connections")
	size := flag.Int("size", 10<<10, "octets of text per mail")
	flag.Parse()
	mails := load.New(*size)
	var next atomic.Int64
	var group errgroup.Group
	for range *connections {
		group.Go(func() error {
			w, err := dial(*to)
			if err != nil {
				return err
			}
			defer w.conn.Close()
			for {
				i := int(next.Add(1)) - 1
				if i >= *n {
					return nil
				}
				if err := w.send(mails, *series, i); err != nil {
					return fmt.Errorf("mail %d: %w", i, err)
				}
			}
		})
	}
	if err := group.Wait(); err != nil {
		log.Fatal(err)
	}
}

// writer is one connection.
type writer struct {
	conn net.Conn
	in   *bufio.Reader
	out  []byte
}

func dial(to string) (*writer, error) {
	conn, err := net.Dial("tcp", to)
	if err != nil {
		return nil, err
	}
	w := &writer{conn: conn, in: bufio.NewReader(conn)}
	if err := w.expect("220"); err != nil {
		return nil, err
	}
	w.out = append(w.out, "EHLO wire.bench.test\r\n"...)
	return w, w.write("250")
}

func (w *writer) send(m *load.Mails, series string, n int) error {
	w.out = fmt.Appendf(w.out[:0], "MAIL FROM:<%s>\r\nRCPT TO:<%s>\r\nDATA\r\n", load.From, load.Recipient(series, n))
	if err := w.write("250", "250", "354"); err != nil {
		return err
	}
	w.out = m.RFC5322(w.out[:0], series, n)
	w.out = append(w.out, ".\r\n"...)
	return w.write("250")
}

func (w *writer) write(replies ...string) error {
	if _, err := w.conn.Write(w.out); err != nil {
		return err
	}
	for _, code := range replies {
		if err := w.expect(code); err != nil {
			return err
		}
	}
	return nil
}

// expect reads one reply, which may have several lines.
func (w *writer) expect(code string) error {
	for {
		line, err := w.in.ReadString('\n')
		if err != nil {
			return err
		}
		if !strings.HasPrefix(line, code) {
			return fmt.Errorf("want %s, got %q", code, line)
		}
		if len(line) > 3 && line[3] != '-' {
			return nil
		}
	}
}
