package smtpclient_test

import (
	"context"
	"strings"
	"testing"

	"postrider/smtpclient"
	"postrider/smtpclient/smtptest"
)

// BenchmarkSend is one transaction of 10 KB on a kept connection, mark included.
func BenchmarkSend(b *testing.B) {
	srv := smtptest.New(b, smtptest.Options{})
	tr := smtpclient.NewTransport(smtpclient.Options{Hostname: "client.test", AllowedNetworks: loopback()})
	defer tr.Close()
	m := mailTo("a@b.test")
	m.Data = []byte(strings.Repeat(strings.Repeat("x", 76)+"\r\n", 130))
	m.Mark = func(context.Context, []int) error { return nil }
	p := planFor(srv)
	b.ReportAllocs()
	for b.Loop() {
		if res := tr.Send(context.Background(), p, m); res.Recipients[0].Err != nil {
			b.Fatal(res.Recipients[0].Err)
		}
	}
}

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
