package smtpclient_test

import (
	"bytes"
	"context"
	"net"
	"net/netip"
	"runtime"
	"strings"
	"testing"
	"time"

	"postrider/smtpclient"
	"postrider/smtpclient/smtptest"
)

// BenchmarkSend is one transaction of 10 KB on a kept connection, mark included.
func BenchmarkSend(b *testing.B) {
	srv := smtptest.New(b, smtptest.Options{})
	tr := smtpclient.NewTransport(smtpclient.Options{Hostname: "client.test", AllowedNetworks: loopback()})
	defer tr.Close()
	benchmark(b, tr, planFor(srv))
}

// BenchmarkClientAlone is the same with a server that takes neither time nor system calls:
// what is left is the client's own work.
func BenchmarkClientAlone(b *testing.B) {
	tr, p := instantly()
	defer tr.Close()
	benchmark(b, tr, p)
}

func benchmark(b *testing.B, tr *smtpclient.Transport, p smtpclient.Plan) {
	b.Helper()
	m := letter(10 << 10)
	b.ReportAllocs()
	for b.Loop() {
		if res := tr.Send(context.Background(), p, m); res.Recipients[0].Err != nil {
			b.Fatal(res.Recipients[0].Err)
		}
	}
}

// letter has about so many octets in lines of 78, a dotted one among them, and a mark.
func letter(octets int) *smtpclient.Mail {
	m := mailTo("a@b.test")
	m.Data = []byte("." + strings.Repeat(strings.Repeat("x", 76)+"\r\n", octets/78))
	m.Mark = func(context.Context, []int) error { return nil }
	return m
}

// What a mail costs in memory on a kept connection does not grow with it: neither it nor
// a stuffed copy of it is held.
func TestMemoryPerMail(t *testing.T) {
	tr, p := instantly()
	defer tr.Close()
	for _, size := range []int{10 << 10, 4 << 20} {
		m := letter(size)
		send(tr, p, m) // connected, and its buffer grown
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		const mails = 20
		for range mails {
			wantFates(t, send(tr, p, m), "250")
		}
		runtime.ReadMemStats(&after)
		if n, octets := (after.Mallocs-before.Mallocs)/mails, (after.TotalAlloc-before.TotalAlloc)/mails; n > 60 || octets > 16<<10 {
			t.Errorf("a mail of %d octets: %d allocations, %d octets", size, n, octets)
		}
	}
}

// instantly gives a Transport whose connections end in this process.
func instantly() (*smtpclient.Transport, smtpclient.Plan) {
	tr := smtpclient.NewTransport(smtpclient.Options{
		Hostname: "client.test", MaxTransactions: 1 << 30, MaxIdle: time.Minute,
		Dial: func(context.Context, string, string) (net.Conn, error) {
			return &instant{out: []byte("220 mx.b.test\r\n")}, nil
		},
	})
	return tr, smtpclient.Plan{Hosts: []smtpclient.Host{{
		Name: "mx.b.test", Addrs: []netip.AddrPort{netip.MustParseAddrPort("192.0.2.1:25")}, TLS: smtpclient.TLSNone,
	}}}
}

// instant is a connection whose other end has answered before it is asked.
type instant struct {
	out  []byte
	data bool
}

func (c *instant) Read(p []byte) (int, error) {
	n := copy(p, c.out)
	c.out = c.out[n:]
	return n, nil
}

func (c *instant) Write(p []byte) (int, error) {
	switch {
	case c.data && (bytes.HasSuffix(p, []byte("\n.\r\n")) || string(p) == ".\r\n"):
		c.data = false
		c.say("250 2.0.0 taken\r\n")
	case c.data: // more is to come
	case bytes.HasPrefix(p, []byte("EHLO")):
		c.say("250-mx.b.test\r\n250-PIPELINING\r\n250 SIZE 100000000\r\n")
	case bytes.HasSuffix(p, []byte("DATA\r\n")):
		c.data = true
		c.say(strings.Repeat("250 2.1.0 ok\r\n", bytes.Count(p, []byte("\n"))-1) + "354 go on\r\n")
	case bytes.HasPrefix(p, []byte("QUIT")):
		c.say("221 2.0.0 bye\r\n")
	}
	return len(p), nil
}

func (c *instant) say(s string) { c.out = append(c.out[:0], s...) }

func (c *instant) LocalAddr() net.Addr              { return &net.TCPAddr{IP: net.IPv4(192, 0, 2, 2), Port: 4000} }
func (c *instant) RemoteAddr() net.Addr             { return nil }
func (c *instant) SetDeadline(time.Time) error      { return nil }
func (c *instant) SetReadDeadline(time.Time) error  { return nil }
func (c *instant) SetWriteDeadline(time.Time) error { return nil }
func (c *instant) Close() error                     { return nil }

// BenchmarkHugeCertificate is one attempt that fails for a certificate with 10,000 names
// of which none is the host's, both sides of the handshake included.
func BenchmarkHugeCertificate(b *testing.B) {
	srv := smtptest.New(b, smtptest.Options{STARTTLS: true, TLSConfig: hugeCertificate(b)})
	tr := smtpclient.NewTransport(smtpclient.Options{Hostname: "client.test", AllowedNetworks: loopback()})
	defer tr.Close()
	p := planFor(srv)
	p.Hosts[0].TLS = smtpclient.TLSVerified
	b.ReportAllocs()
	for b.Loop() {
		if e := tr.Send(context.Background(), p, mailTo("a@b.test")).Recipients[0].Err; e == nil || len(e.Error()) > 1024 {
			b.Fatal(e)
		}
	}
}
