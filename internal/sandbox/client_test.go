package sandbox

import (
	"bufio"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strings"
	"testing"
	"time"
)

// unit is Options.Delay in tests.
const unit = 5 * time.Millisecond

func started(t *testing.T) *Sandbox {
	t.Helper()
	box := New(Options{Log: slog.New(slog.DiscardHandler), Delay: unit})
	if err := box.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := box.Close(); err != nil {
			t.Error(err)
		}
	})
	return box
}

// dialogue is a raw SMTP client: what it says and hears is exactly what is written.
type dialogue struct {
	t *testing.T
	net.Conn
	in *bufio.Reader
}

// dial connects, hears the greeting and says EHLO.
func dial(t *testing.T, box *Sandbox) *dialogue {
	t.Helper()
	c, err := net.Dial("tcp", box.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if err := c.SetDeadline(time.Now().Add(30 * time.Second)); err != nil {
		t.Fatal(err)
	}
	d := &dialogue{t: t, Conn: c, in: bufio.NewReader(c)}
	d.hear("220 ")
	d.say("EHLO client.test")
	d.hear("250 ")
	return d
}

func (d *dialogue) say(lines ...string) {
	d.t.Helper()
	if _, err := io.WriteString(d.Conn, strings.Join(lines, "\r\n")+"\r\n"); err != nil {
		d.t.Fatal(err)
	}
}

// reply reads one reply, continuation lines included.
func (d *dialogue) reply() (string, error) {
	var all strings.Builder
	for {
		line, err := d.in.ReadString('\n')
		all.WriteString(line)
		if err != nil || len(line) < 4 || line[3] != '-' {
			return all.String(), err
		}
	}
}

// hear demands that the last line of the next reply begins with want.
func (d *dialogue) hear(want string) string {
	d.t.Helper()
	got, err := d.reply()
	if err != nil {
		d.t.Fatalf("waiting for %q: %v (got %q)", want, err, got)
	}
	lines := strings.Split(strings.TrimSuffix(got, "\r\n"), "\r\n")
	if last := lines[len(lines)-1]; !strings.HasPrefix(last, want) {
		d.t.Fatalf("got %q, want %q", last, want)
	}
	return got
}

// heardEnd demands that the server closed the connection.
func (d *dialogue) heardEnd() {
	d.t.Helper()
	if got, err := d.reply(); err == nil {
		d.t.Fatalf("the connection goes on: %q", got)
	}
}

// send makes one transaction with one recipient; rcpt and dot are the beginnings
// of the replies wanted, dot only if rcpt is a 250.
func (d *dialogue) send(from, to, rcpt, dot string) {
	d.t.Helper()
	d.say("MAIL FROM:<" + from + ">")
	d.hear("250 ")
	d.say("RCPT TO:<" + to + ">")
	d.hear(rcpt)
	if !strings.HasPrefix(rcpt, "250") {
		d.say("RSET")
		d.hear("250 ")
		return
	}
	d.say("DATA")
	d.hear("354 ")
	d.say(mail("msg_01k3abc", "hello"), ".")
	d.hear(dot)
}

func mail(id, subject string) string {
	return fmt.Sprintf("Message-ID: <%s@acme.test>\r\nFrom: a@acme.test\r\nSubject: %s\r\n\r\nbody", id, subject)
}
