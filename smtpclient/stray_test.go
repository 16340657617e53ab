package smtpclient_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"postrider/smtpclient"
)

// listen serves each connection to a loopback port with serve. It ends after the
// transports that were made later.
func listen(t *testing.T, serve func(net.Conn)) netip.AddrPort {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var running pipes
	running.running.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			running.running.Go(func() {
				defer c.Close()
				serve(c)
			})
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		running.running.Wait()
	})
	return l.Addr().(*net.TCPAddr).AddrPort()
}

// planTo has one host for each address, without TLS.
func planTo(addrs ...netip.AddrPort) smtpclient.Plan {
	p := planFor()
	for i, a := range addrs {
		p.Hosts = append(p.Hosts, smtpclient.Host{
			Name: fmt.Sprintf("mx%d.b.test", i+1), Addrs: []netip.AddrPort{a}, TLS: smtpclient.TLSNone,
		})
	}
	return p
}

// certificate is one for mx1.b.test with the pool that trusts it.
func certificate(t *testing.T) (tls.Certificate, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		DNSNames: []string{"mx1.b.test"}, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(cert)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, roots
}

// transports are the ways to a server: in clear text, and under TLS, where a
// session ticket makes the socket readable without a word having been said.
func transports() map[string]uint16 {
	return map[string]uint16{"clear": 0, "TLS 1.2": tls.VersionTLS12, "TLS 1.3": tls.VersionTLS13}
}

// over makes a transport and a plan to a server that is talked to under a version
// of TLS, 0 being clear text.
func over(t *testing.T, version uint16, serve func(net.Conn)) (*smtpclient.Transport, smtpclient.Plan) {
	t.Helper()
	if version == 0 {
		p := planTo(listen(t, serve))
		return newTransport(t, nil), p
	}
	cert, roots := certificate(t)
	cfg := &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: version, MaxVersion: version}
	p := planTo(listen(t, func(c net.Conn) { serve(tls.Server(c, cfg)) }))
	p.Hosts[0].TLS = smtpclient.TLSImplicit
	return newTransport(t, func(o *smtpclient.Options) { o.TLSConfig = &tls.Config{RootCAs: roots} }), p
}

// wholly is an ordinary server that says EHLO's keywords too.
func wholly(keywords, line string) string {
	if strings.HasPrefix(line, "EHLO ") && keywords != "" {
		return "250-mx.b.test\r\n250 " + keywords + "\r\n"
	}
	return ordinary(line)
}

func TestQuietConnectionIsReused(t *testing.T) {
	t.Parallel()
	for name, version := range transports() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tr, p := over(t, version, func(c net.Conn) {
				talk(c, func(_ net.Conn, line string) string { return wholly("PIPELINING", line) })
			})
			for i := range 3 {
				res := send(tr, p, mailTo("a@b.test"))
				wantFates(t, res, "250")
				if res.Reused != (i > 0) {
					t.Errorf("transaction %d: reused %v\n%s", i, res.Reused, dialogue(res))
				}
			}
		})
	}
}

// What a server says on a kept connection without being asked is no answer to the
// next transaction: the connection is dropped, and every recipient has its own fate.
func TestStrayReplyOnAKeptConnection(t *testing.T) {
	t.Parallel()
	for name, version := range transports() {
		for _, keywords := range []string{"PIPELINING", ""} {
			for _, stray := range []string{"250 2.0.0 queued as 123\r\n", "2", "421 4.7.0 idle\r\n", ""} {
				t.Run(fmt.Sprintf("%s/%s/%.3s", name, keywords, stray), func(t *testing.T) {
					t.Parallel()
					testStray(t, version, keywords, stray)
				})
			}
		}
	}
}

func testStray(t *testing.T, version uint16, keywords, stray string) {
	said := make(chan bool, 9)
	heard := make(chan bool)
	first := true
	tr, p := over(t, version, func(c net.Conn) {
		talk(c, func(c net.Conn, line string) string {
			switch {
			case line == "." && first:
				first = false
				_, _ = c.Write([]byte("250 2.0.0 ok\r\n"))
				<-heard
				_, _ = c.Write([]byte(stray))
				if stray == "" {
					_ = c.Close()
				}
				said <- true
				return ""
			case strings.HasPrefix(line, "RCPT TO:<bad"):
				return "550 5.1.1 no such user\r\n"
			}
			return wholly(keywords, line)
		})
	})
	wantFates(t, send(tr, p, mailTo("a@b.test")), "250")
	heard <- true
	<-said
	res := send(tr, p, mailTo("good@b.test", "bad@b.test"))
	wantFates(t, res, "250", "permanent rcpt 550")
	if res.Reused {
		t.Errorf("the connection was used again\n%s", dialogue(res))
	}
}

// A reply on its way when the next transaction begins cannot be seen beforehand. Then
// nobody is refused for good by an answer that was meant for another command.
func TestStrayReplyUnderWay(t *testing.T) {
	t.Parallel()
	for _, keywords := range []string{"PIPELINING", ""} {
		for _, to := range [][]string{{"good@b.test", "bad@b.test"}, {"bad@b.test", "good@b.test"}} {
			t.Run(keywords+"/"+to[0], func(t *testing.T) {
				t.Parallel()
				testStrayUnderWay(t, keywords, to)
			})
		}
	}
}

func testStrayUnderWay(t *testing.T, keywords string, to []string) {
	tr, p := over(t, 0, func(c net.Conn) {
		talk(c, func(_ net.Conn, line string) string {
			switch {
			case line == "RSET":
				return "250 2.0.0 queued as 123\r\n250 2.0.0 reset\r\n"
			case strings.HasPrefix(line, "RCPT TO:<bad"):
				return "550 5.1.1 no such user\r\n"
			}
			return wholly(keywords, line)
		})
	})
	wantFates(t, send(tr, p, mailTo("a@b.test")), "250")
	res := send(tr, p, mailTo(to...))
	for i, r := range res.Recipients {
		if r.Err != nil && !r.Err.Temporary && (!res.Reused || to[i] == "good@b.test") {
			t.Errorf("%s: %v\n%s", to[i], r.Err, dialogue(res))
		}
	}
	if next := send(tr, p, mailTo("c@b.test")); next.Reused {
		t.Errorf("the connection was used again\n%s", dialogue(next))
	}
}

// On a new connection a server may answer MAIL twice. If that comes to light nobody is
// refused for good, for the refusal may have been another's.
func TestTwoRepliesToMail(t *testing.T) {
	t.Parallel()
	for _, to := range [][]string{{"good@b.test", "bad@b.test"}, {"bad@b.test", "good@b.test"}, {"bad@b.test"}} {
		t.Run(strings.Join(to, " "), func(t *testing.T) {
			t.Parallel()
			together := ""
			tr, p := over(t, 0, func(c net.Conn) {
				talk(c, func(_ net.Conn, line string) string {
					switch verb, _, _ := strings.Cut(line, ":"); {
					case verb == "MAIL FROM":
						together = "250 2.1.0 ok\r\n250 2.1.0 ok\r\n"
						return ""
					case strings.HasPrefix(line, "RCPT TO:<bad"):
						together += "550 5.1.1 no such user\r\n"
						return ""
					case verb == "RCPT TO":
						together += "250 2.1.5 ok\r\n"
						return ""
					case line == "DATA":
						return together + "354 go\r\n"
					}
					return wholly("PIPELINING", line)
				})
			})
			res := send(tr, p, mailTo(to...))
			for i, r := range res.Recipients {
				if r.Err == nil || !r.Err.Temporary {
					t.Errorf("%s: %s\n%s", to[i], fates(res)[i], dialogue(res))
				}
			}
		})
	}
}

// What comes while the body goes out was said before the dot: it is no answer to it.
// A refusal is the server's word on the data, anything else botches the connection.
func TestReplyWhileTheBodyGoesOut(t *testing.T) {
	t.Parallel()
	for early, want := range map[string]string{
		"250 2.0.0 stray\r\n":     "temporary body -",
		"354 go\r\n":              "temporary body -",
		"5":                       "temporary body -",
		"HTTP/1.1 400 no\r\n":     "temporary body -",
		"552 5.3.4 too large\r\n": "permanent body 552",
		"451 4.3.0 disk full\r\n": "temporary body 451",
		"421 4.3.2 bye\r\n":       "temporary body 421",
	} {
		for name, version := range transports() {
			t.Run(fmt.Sprintf("%s/%.3s", name, early), func(t *testing.T) {
				t.Parallel()
				testEarly(t, version, early, want)
			})
		}
	}
}

func testEarly(t *testing.T, version uint16, early, want string) {
	marked, said := make(chan bool, 1), make(chan bool, 1)
	dots := make(chan bool, 9)
	tr, p := over(t, version, func(c net.Conn) {
		talk(c, func(c net.Conn, line string) string {
			switch line {
			case "DATA":
				_, _ = c.Write([]byte("354 go\r\n"))
				<-marked
				_, _ = c.Write([]byte(early))
				said <- true
				return ""
			case ".":
				dots <- true
			}
			return ordinary(line)
		})
	})
	m := mailTo("a@b.test")
	m.Mark = func(context.Context, []int) error {
		marked <- true
		<-said
		return nil
	}
	res := send(tr, p, m)
	wantFates(t, res, want)
	if len(dots) != 0 {
		t.Errorf("the dot was sent\n%s", dialogue(res))
	}
	m.Mark = nil
	marked <- true
	if next := send(tr, p, m); next.Reused {
		t.Errorf("the connection was used again\n%s", dialogue(next))
	}
}

// A server that refuses the data and hangs up is heard, though the body could not be sent.
func TestRefusedInTheBody(t *testing.T) {
	t.Parallel()
	for last, want := range map[string]string{
		"552 5.3.4 too large\r\n": "permanent body 552",
		"451 4.3.0 disk full\r\n": "temporary body 451",
		"250 2.0.0 ok\r\n":        "temporary body -",
		"552 5.3.4 too la":        "temporary body -",
		"":                        "temporary body -",
	} {
		t.Run(fmt.Sprintf("%.5s", last), func(t *testing.T) {
			t.Parallel()
			addr := listen(t, func(c net.Conn) {
				talk(c, func(c net.Conn, line string) string {
					if line != "DATA" {
						return ordinary(line)
					}
					_, _ = c.Write([]byte("354 go\r\n"))
					_, _ = io.CopyN(io.Discard, c, 1000)
					_, _ = c.Write([]byte(last))
					_ = c.Close() // with data unread: a reset follows the reply
					return ""
				})
			})
			big := mailTo("a@b.test")
			big.Data = []byte(strings.Repeat(strings.Repeat("x", 76)+"\r\n", 400_000)) // more than any socket buffer
			res := send(newTransport(t, nil), planTo(addr), big)
			if got := fates(res)[0]; got != want {
				t.Errorf("%s, want %s\n%s", got, want, dialogue(res))
			}
		})
	}
}

// A server that says all its lines at once has not heard a word of ours.
func TestServerThatTalksAhead(t *testing.T) {
	t.Parallel()
	addr := listen(t, func(c net.Conn) {
		_, _ = c.Write([]byte("220 a\r\n250 a\r\n250 ok\r\n250 ok\r\n354 go\r\n250 2.0.0 queued\r\n"))
		_, _ = io.Copy(io.Discard, c)
	})
	wantFates(t, send(newTransport(t, nil), planTo(addr), mailTo("a@b.test")), "temporary ehlo -")
}
