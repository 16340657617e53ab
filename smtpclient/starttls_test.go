package smtpclient_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"strings"
	"testing"
	"time"

	"postrider/smtpclient"
	"postrider/smtpclient/smtptest"
)

// tlsCase sends one mail under a policy to a server that has a certificate for its
// name mx1.b.test unless o says otherwise.
func tlsCase(t *testing.T, policy smtpclient.TLSPolicy, o smtptest.Options) (*smtpclient.Result, *smtptest.Server) {
	t.Helper()
	if o.Hostname == "" {
		o.Hostname = "mx1.b.test"
	}
	srv := smtptest.New(t, o)
	tr := newTransport(t, func(c *smtpclient.Options) { c.TLSConfig = &tls.Config{RootCAs: srv.RootCAs()} })
	p := planFor(srv)
	p.Hosts[0].TLS = policy
	p.Hosts[0].Reason = "the test says so"
	res := send(tr, p, mailTo("a@b.test"))
	wantManners(t, srv)
	return res, srv
}

func TestTLSPolicies(t *testing.T) {
	t.Parallel()
	const (
		opportunistic = smtpclient.TLSOpportunistic
		required      = smtpclient.TLSRequired
		verified      = smtpclient.TLSVerified
		implicit      = smtpclient.TLSImplicit
		none          = smtpclient.TLSNone
	)
	offered := smtptest.Options{STARTTLS: true}
	otherName := smtptest.Options{STARTTLS: true, CertificateOf: "other.test"}
	refused := smtptest.Options{STARTTLS: true, Script: smtptest.Script{"STARTTLS": {smtptest.Reply("454 4.7.0 TLS not available")}}}
	closing := smtptest.Options{STARTTLS: true, Script: smtptest.Script{"STARTTLS": {smtptest.ReplyClose("421 4.3.2 bye")}}}
	broken := smtptest.Options{STARTTLS: true, Script: smtptest.Script{"HANDSHAKE": {smtptest.Garbage("not TLS at all")}}}
	for _, c := range []struct {
		name   string
		policy smtpclient.TLSPolicy
		o      smtptest.Options
		fate   string
		tls    string // "clear", "tls" or "verified"
		reason string // its beginning
	}{
		{"opportunistic, verified", opportunistic, offered, "250", "verified", "the test says so"},
		{"opportunistic, other name", opportunistic, otherName, "250", "tls", "the test says so"},
		{"opportunistic, not offered", opportunistic, smtptest.Options{}, "250", "clear", "not offered"},
		{"opportunistic, refused", opportunistic, refused, "250", "clear", "STARTTLS refused: 454"},
		{"opportunistic, closing", opportunistic, closing, "temporary starttls 421", "clear", ""},
		{"opportunistic, handshake fails", opportunistic, broken, "250", "clear", "handshake failed: "},
		{"required", required, otherName, "250", "tls", "the test says so"},
		{"required, not offered", required, smtptest.Options{}, "temporary starttls -", "clear", ""},
		{"required, old server", required, smtptest.Options{NoEHLO: true}, "temporary starttls -", "clear", ""},
		{"required, refused", required, refused, "temporary starttls 454", "clear", ""},
		{"required, handshake fails", required, broken, "temporary starttls -", "clear", ""},
		{"verified", verified, offered, "250", "verified", "the test says so"},
		{"verified, other name", verified, otherName, "temporary starttls -", "clear", ""},
		{"implicit", implicit, smtptest.Options{ImplicitTLS: true}, "250", "verified", "the test says so"},
		{"implicit, other name", implicit, smtptest.Options{ImplicitTLS: true, CertificateOf: "other.test"}, "temporary starttls -", "clear", ""},
		{"none", none, offered, "250", "clear", "the test says so"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			res, srv := tlsCase(t, c.policy, c.o)
			wantFates(t, res, c.fate)
			level := "clear"
			if res.TLS != nil {
				level = map[bool]string{true: "verified", false: "tls"}[res.TLS.Verified]
			}
			if level != c.tls || !strings.HasPrefix(res.TLSReason, c.reason) {
				t.Errorf("TLS %s (%s), want %s (%s)\n%s", level, res.TLSReason, c.tls, c.reason, dialogue(res))
			}
			if fell := c.name == "opportunistic, refused" || c.name == "opportunistic, handshake fails"; res.FellBack != fell {
				t.Errorf("fell back: %v", res.FellBack)
			}
			wantTLSFailure(t, c.policy, res, srv, c.fate)
		})
	}
}

// wantTLSFailure checks that a demand for TLS was not answered with clear text.
func wantTLSFailure(t *testing.T, p smtpclient.TLSPolicy, res *smtpclient.Result, srv *smtptest.Server, fate string) {
	t.Helper()
	if fate == "250" {
		return
	}
	if strings.Contains(verbs(srv), "MAIL") {
		t.Errorf("server got %q", verbs(srv))
	}
	if p != smtpclient.TLSOpportunistic && !errors.Is(res.Recipients[0].Err, smtpclient.ErrTLSRequired) {
		t.Errorf("cause is %v", res.Recipients[0].Err)
	}
}

// After TLS everything learnt before is forgotten, and EHLO comes again.
func TestStateIsDiscardedAfterSTARTTLS(t *testing.T) {
	t.Parallel()
	ehlo := "250-mx1.b.test\r\n250-STARTTLS\r\n250-PIPELINING\r\n250 SIZE 10"
	res, srv := tlsCase(t, smtpclient.TLSRequired, smtptest.Options{
		STARTTLS: true, NoPipelining: true,
		Script: smtptest.Script{"EHLO": {smtptest.Reply(ehlo), smtptest.Pass()}},
	})
	wantFates(t, res, "250")
	if got := verbs(srv); got != "EHLO STARTTLS EHLO MAIL RCPT DATA" {
		t.Errorf("commands %q", got)
	}
	// STARTTLS again under TLS is ignored.
	res, srv = tlsCase(t, smtpclient.TLSRequired, smtptest.Options{STARTTLS: true, Keywords: []string{"STARTTLS"}})
	wantFates(t, res, "250")
	if got := verbs(srv); got != "EHLO STARTTLS EHLO MAIL RCPT DATA" {
		t.Errorf("commands %q", got)
	}
}

// Each further try is on a new connection: with a smaller ClientHello, then in clear text.
func TestClearTextOnANewConnection(t *testing.T) {
	t.Parallel()
	_, srv := tlsCase(t, smtpclient.TLSOpportunistic, smtptest.Options{
		STARTTLS: true, Script: smtptest.Script{"HANDSHAKE": {smtptest.Close()}},
	})
	sessions := srv.Sessions()
	if len(sessions) != 3 || srv.Mails()[0].Session != 2 || srv.Mails()[0].TLS {
		t.Errorf("%d sessions, mail %+v", len(sessions), srv.Mails()[0])
	}
	if got := verbs(srv); got != "EHLO STARTTLS EHLO STARTTLS EHLO MAIL RCPT DATA" {
		t.Errorf("commands %q", got)
	}
}

// A server, or a box before it, that stumbles over a large ClientHello gets a small one
// before TLS is given up. What fails for its certificate is not tried again.
func TestSmallerClientHello(t *testing.T) {
	t.Parallel()
	cert, roots := certificate(t)
	stumble := &tls.Config{Certificates: []tls.Certificate{cert}, GetConfigForClient: func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
		if slices.Contains(hello.SupportedCurves, tls.X25519MLKEM768) {
			return nil, errors.New("that is more than one packet")
		}
		return nil, nil
	}}
	for name, policy := range map[string]smtpclient.TLSPolicy{
		"opportunistic": smtpclient.TLSOpportunistic, "verified": smtpclient.TLSVerified, "implicit": smtpclient.TLSImplicit,
	} {
		srv := smtptest.New(t, smtptest.Options{STARTTLS: policy != smtpclient.TLSImplicit, ImplicitTLS: policy == smtpclient.TLSImplicit, TLSConfig: stumble})
		tr := newTransport(t, func(o *smtpclient.Options) { o.TLSConfig = &tls.Config{RootCAs: roots} })
		p := planFor(srv)
		p.Hosts[0].TLS = policy
		res := send(tr, p, mailTo("a@b.test"))
		wantFates(t, res, "250")
		if res.TLS == nil || !res.TLS.Verified || res.FellBack || len(srv.Sessions()) != 2 {
			t.Errorf("%s: TLS %+v, fell back %v, %d sessions\n%s", name, res.TLS, res.FellBack, len(srv.Sessions()), dialogue(res))
		}
	}
	_, srv := tlsCase(t, smtpclient.TLSVerified, smtptest.Options{STARTTLS: true, CertificateOf: "other.test"})
	if n := len(srv.Sessions()); n != 1 {
		t.Errorf("%d sessions for a certificate that is not valid", n)
	}
}

// A second connection takes up the session of the first, and its certificate is judged again.
func TestTLSSessionIsResumed(t *testing.T) {
	t.Parallel()
	srv := smtptest.New(t, smtptest.Options{STARTTLS: true, Hostname: "mx1.b.test", CertificateOf: "other.test"})
	tr := newTransport(t, func(o *smtpclient.Options) { o.MaxIdle = -1 })
	p := planFor(srv)
	p.Hosts[0].TLS = smtpclient.TLSRequired
	for i := range 2 {
		res := send(tr, p, mailTo("a@b.test"))
		wantFates(t, res, "250")
		if res.TLS.Resumed != (i > 0) || res.TLS.Verified {
			t.Errorf("connection %d: %+v", i, res.TLS)
		}
	}
	p.Hosts[0].TLS = smtpclient.TLSVerified
	wantFates(t, send(tr, p, mailTo("a@b.test")), "temporary starttls -")
}

// That clear text was a fall-back is known of a kept connection too.
func TestFallBackOnAKeptConnection(t *testing.T) {
	t.Parallel()
	srv := smtptest.New(t, smtptest.Options{STARTTLS: true, Script: smtptest.Script{
		"STARTTLS": {smtptest.Reply("454 4.7.0 TLS not available")},
		"MAIL":     {smtptest.Pass(), smtptest.Reply("530 5.7.0 Must issue a STARTTLS command first")},
	}})
	tr := newTransport(t, nil)
	p := planFor(srv)
	p.Hosts[0].TLS = smtpclient.TLSOpportunistic
	wantFates(t, send(tr, p, mailTo("a@b.test")), "250")
	res := send(tr, p, mailTo("a@b.test"))
	wantFates(t, res, "temporary mail 530")
	if !res.Reused || !res.FellBack {
		t.Errorf("reused %v, fell back %v\n%s", res.Reused, res.FellBack, dialogue(res))
	}
}

// Octets behind the reply to STARTTLS end the connection, whatever the policy: they
// are not used, and nothing is sent in clear text to whoever put them there.
func TestSTARTTLSInjection(t *testing.T) {
	t.Parallel()
	for _, policy := range []smtpclient.TLSPolicy{smtpclient.TLSOpportunistic, smtpclient.TLSRequired, smtpclient.TLSVerified} {
		for _, injected := range []string{"250-EVIL\r\n250 AUTH PLAIN\r\n", "x", "250 ok\r\n"} {
			res, srv := tlsCase(t, policy, smtptest.Options{
				STARTTLS: true, Users: map[string]string{"u": "p"},
				Script: smtptest.Script{"STARTTLS": {smtptest.Garbage("220 go\r\n" + injected)}},
			})
			wantFates(t, res, "temporary starttls -")
			if !errors.Is(res.Recipients[0].Err, smtpclient.ErrProtocol) {
				t.Errorf("cause is %v", res.Recipients[0].Err)
			}
			if got := verbs(srv); got != "EHLO STARTTLS" {
				t.Errorf("%v: commands %q", policy, got)
			}
		}
	}
}

func TestHandshakeThatStalls(t *testing.T) {
	t.Parallel()
	srv := smtptest.New(t, smtptest.Options{STARTTLS: true, Script: smtptest.Script{"HANDSHAKE": {smtptest.Stall()}}})
	tr := newTransport(t, func(o *smtpclient.Options) { o.Timeouts.Handshake = 300 * time.Millisecond })
	p := planFor(srv)
	p.Hosts[0].TLS = smtpclient.TLSRequired
	wantFates(t, send(tr, p, mailTo("a@b.test")), "temporary starttls -")
}

// Why a certificate was not good enough is said in our own words.
func TestCertificateFaults(t *testing.T) {
	t.Parallel()
	srv := smtptest.New(t, smtptest.Options{STARTTLS: true, Hostname: "mx1.b.test"})
	tomorrow := func() time.Time { return time.Now().Add(48 * time.Hour) }
	for want, c := range map[string]*tls.Config{
		"certificate is signed by an unknown authority": {RootCAs: x509.NewCertPool()},
		"certificate has expired or is not yet valid":   {RootCAs: srv.RootCAs(), Time: tomorrow},
		"certificate is not valid for mx2.b.test":       {RootCAs: srv.RootCAs()},
		"no supported versions satisfy MinVersion and":  {RootCAs: srv.RootCAs(), MinVersion: tls.VersionTLS13, MaxVersion: tls.VersionTLS12},
	} {
		tr := newTransport(t, func(o *smtpclient.Options) { o.TLSConfig = c })
		p := planFor(srv)
		p.Hosts[0].TLS = smtpclient.TLSVerified
		if strings.Contains(want, "mx2") {
			p.Hosts[0].Name = "mx2.b.test"
		}
		res := send(tr, p, mailTo("a@b.test"))
		wantFates(t, res, "temporary starttls -")
		if e := res.Recipients[0].Err; !strings.Contains(e.Error(), "handshake failed: ") || !strings.Contains(e.Error(), want) {
			t.Errorf("%v, want %q", e, want)
		}
	}
}

// A certificate with very many names costs neither much time nor much text.
func TestHugeCertificate(t *testing.T) {
	t.Parallel()
	res, _ := tlsCase(t, smtpclient.TLSVerified, smtptest.Options{STARTTLS: true, TLSConfig: hugeCertificate(t)})
	wantFates(t, res, "temporary starttls -")
	if n := len(res.Recipients[0].Err.Error()); n > 500 {
		t.Errorf("error of %d octets", n)
	}
}

func hugeCertificate(t testing.TB) *tls.Config {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
	for i := range 10_000 {
		template.DNSNames = append(template.DNSNames, fmt.Sprintf("name-%05d.test", i))
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}
}
