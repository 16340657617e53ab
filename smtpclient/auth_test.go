package smtpclient_test

import (
	"context"
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"testing"

	"postrider/smtpclient"
	"postrider/smtpclient/smtptest"
)

func TestAuth(t *testing.T) {
	t.Parallel()
	users := map[string]string{"rider": "s3cret pass"}
	onlyLogin := smtptest.Reply("250-mx1.b.test\r\n250 AUTH CRAM-MD5 LOGIN")
	long := strings.Repeat("p", 400)
	echo := smtptest.Reply("535 5.7.8 no, s3cret pass is wrong, so is " + base64.StdEncoding.EncodeToString([]byte("\x00rider\x00s3cret pass")))
	for _, c := range []struct {
		name string
		o    smtptest.Options
		pass string
		fate string
	}{
		{"plain", smtptest.Options{Users: users}, "s3cret pass", "250"},
		{"login", smtptest.Options{Users: users, Script: smtptest.Script{"EHLO": {onlyLogin}}}, "s3cret pass", "250"},
		{"plain, too long for one line", smtptest.Options{Users: map[string]string{"rider": long}}, long, "250"},
		{"wrong", smtptest.Options{Users: users}, "s3cret PASS", "temporary auth 535"},
		{"echoed", smtptest.Options{Users: users, Script: smtptest.Script{"AUTH": {echo}}}, "s3cret pass", "temporary auth 535"},
		{"answered by bare codes", smtptest.Options{Users: users, Script: smtptest.Script{"MAIL": {smtptest.Reply("250")}, "DOT": {smtptest.Reply("250-\r\n250")}}}, "s3cret pass", "250"},
		{"challenge without end", smtptest.Options{Users: users, Script: smtptest.Script{"AUTH": {smtptest.Reply("334 eA==")}}}, "s3cret pass", "temporary auth -"},
		{"not offered", smtptest.Options{}, "s3cret pass", "temporary auth -"},
		{"NUL", smtptest.Options{Users: users}, "a\x00b", "temporary auth -"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			srv := smtptest.New(t, c.o)
			p := planFor(srv)
			p.Hosts[0].Auth = &smtpclient.Auth{Username: "rider", Password: c.pass}
			res := send(newTransport(t, nil), p, mailTo("a@b.test"))
			wantFates(t, res, c.fate)
			if c.fate == "250" && srv.Sessions()[0].User != "rider" {
				t.Errorf("session %+v", srv.Sessions()[0])
			}
			wantNoSecret(t, fmt.Sprintf("%s%+v%v", dialogue(res), res.Recipients[0].Reply, res.Recipients[0].Err), c.pass)
			wantManners(t, srv)
		})
	}
}

func wantNoSecret(t *testing.T, text, password string) {
	t.Helper()
	for _, secret := range []string{
		password, base64.StdEncoding.EncodeToString([]byte(password)),
		base64.StdEncoding.EncodeToString([]byte("\x00rider\x00" + password)),
	} {
		if strings.Contains(text, secret) {
			t.Errorf("shows %q:\n%s", secret, text)
		}
	}
}

// Away from loopback, credentials need TLS with a verified certificate.
func TestAuthNeedsVerifiedTLS(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		o      smtptest.Options
		policy smtpclient.TLSPolicy
		fate   string
	}{
		"clear":      {smtptest.Options{}, smtpclient.TLSNone, "temporary auth -"},
		"unverified": {smtptest.Options{STARTTLS: true, CertificateOf: "other.test"}, smtpclient.TLSRequired, "temporary auth -"},
		"verified":   {smtptest.Options{STARTTLS: true, Hostname: "mx1.b.test"}, smtpclient.TLSVerified, "250"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c.o.Users = map[string]string{"rider": "s3cret"}
			srv := smtptest.New(t, c.o)
			tr := newTransport(t, func(o *smtpclient.Options) {
				o.TLSConfig = &tls.Config{RootCAs: srv.RootCAs()}
				o.Dial = func(ctx context.Context, network, _ string) (net.Conn, error) {
					return new(net.Dialer).DialContext(ctx, network, srv.Addr().String())
				}
			})
			p := planFor(srv)
			p.Hosts[0].Addrs = []netip.AddrPort{netip.MustParseAddrPort("192.0.2.1:587")}
			p.Hosts[0].TLS = c.policy
			p.Hosts[0].Auth = &smtpclient.Auth{Username: "rider", Password: "s3cret"}
			res := send(tr, p, mailTo("a@b.test"))
			wantFates(t, res, c.fate)
			if c.fate != "250" {
				if strings.Contains(verbs(srv), "AUTH") || !errors.Is(res.Recipients[0].Err, smtpclient.ErrTLSRequired) {
					t.Errorf("commands %q, cause %v", verbs(srv), res.Recipients[0].Err)
				}
			}
		})
	}
}

func TestAuthRedactsItself(t *testing.T) {
	t.Parallel()
	auth := smtpclient.Auth{Username: "the-user", Password: "the-password"}
	host := smtpclient.Host{Name: "relay.test", Auth: &auth}
	var log strings.Builder
	slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "auth", auth, "pointer", &auth, "host", host)
	asJSON, err := json.Marshal(host)
	if err != nil {
		t.Fatal(err)
	}
	all := fmt.Sprintf("%v %+v %#v %s %v %+v %#v %s %s", auth, auth, auth, auth, host, &host, host.Auth, asJSON, log.String())
	if strings.Contains(all, "the-user") || strings.Contains(all, "the-password") {
		t.Errorf("shows credentials: %s", all)
	}
}
