package mx

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"postrider/smtpclient"
	"postrider/smtpclient/dns"
)

func TestParseRelay(t *testing.T) {
	for _, c := range []struct {
		in, str string
		policy  smtpclient.TLSPolicy
		auth    string
	}{
		{"smtp://relay.example", "smtp://relay.example:25", smtpclient.TLSOpportunistic, ""},
		{"smtp://relay.example:2525/", "smtp://relay.example:2525", smtpclient.TLSOpportunistic, ""},
		{"SMTP://Relay.Example.", "smtp://relay.example:25", smtpclient.TLSOpportunistic, ""},
		{"smtp://u:p@relay.example", "smtp://***@relay.example:587", smtpclient.TLSVerified, "u p"},
		{"smtp://u:p@relay.example:25", "smtp://***@relay.example:25", smtpclient.TLSVerified, "u p"},
		{"smtp://user%40acme.com:p%3A%2F%23%25s@relay.example", "smtp://***@relay.example:587", smtpclient.TLSVerified, "user@acme.com p:/#%s"},
		{"smtp://u:p@192.0.2.1", "smtp://***@192.0.2.1:587", smtpclient.TLSVerified, "u p"},
		{"smtp://u:p@127.0.0.1:2525", "smtp://***@127.0.0.1:2525", smtpclient.TLSOpportunistic, "u p"},
		{"smtp://u:p@[::1]:2525", "smtp://***@[::1]:2525", smtpclient.TLSOpportunistic, "u p"},
		{"smtp://u:p@localhost:2525", "smtp://***@localhost:2525", smtpclient.TLSOpportunistic, "u p"},
		{"smtps://relay.example", "smtps://relay.example:465", smtpclient.TLSImplicit, ""},
		{"smtps://u:p@relay.example:4465", "smtps://***@relay.example:4465", smtpclient.TLSImplicit, "u p"},
		{"smtps://u:p@127.0.0.1", "smtps://***@127.0.0.1:465", smtpclient.TLSImplicit, "u p"},
		{"smtp://bücher.example", "smtp://xn--bcher-kva.example:25", smtpclient.TLSOpportunistic, ""},
		{"smtp://my_postfix:25", "smtp://my_postfix:25", smtpclient.TLSOpportunistic, ""},
	} {
		r, err := ParseRelay(c.in)
		if err != nil {
			t.Errorf("%s: %v", c.in, err)
			continue
		}
		auth := ""
		if r.auth != nil {
			auth = r.auth.Username + " " + r.auth.Password
		}
		if r.String() != c.str || r.policy != c.policy || auth != c.auth {
			t.Errorf("%s: %s, policy %d, auth %q; want %s, %d, %q", c.in, r, r.policy, auth, c.str, c.policy, c.auth)
		}
	}
}

func TestParseRelayRefuses(t *testing.T) {
	for in, fault := range map[string]string{
		"":                                      "smtp:// or smtps://",
		"relay.example:25":                      "",
		"http://u:CANARY@relay.example":         "smtp:// or smtps://",
		"smtp:relay.example":                    "nothing may follow",
		"smtp://":                               "no valid host",
		"smtp://:25":                            "no valid host",
		"smtp://u:CANARY@":                      "no valid host",
		"smtp://u:CANARY@bad host":              "not of the form",
		"smtp://u:CANARY@a..b":                  "no valid host",
		"smtp://u:CANARY@.example":              "no valid host",
		"smtp://u:CANARY@ex!ample":              "no valid host",
		"smtp://u:CANARY@host:0":                "port",
		"smtp://u:CANARY@host:65536":            "port",
		"smtp://u:CANARY@host:smtp":             "not of the form",
		"smtp://u:CANARY@host:25:25":            "no valid host",
		"smtp://u:CANARY@host/path":             "nothing may follow",
		"smtp://u:CANARY@host?tls=no":           "nothing may follow",
		"smtp://u:CANARY@host#x":                "nothing may follow",
		"smtp://u:CAN/ARY@host":                 "",
		"smtp://u:1/CANARY@host":                "nothing may follow",
		"smtp://u:1#CANARY@host":                "nothing may follow",
		"smtp://u:CAN%zzARY@host":               "not of the form",
		"smtp://u:CANARY\n@host":                "not of the form",
		"smtp://u:CANARY%0aX@host":              "line ends",
		"smtp://u%00:CANARY@host":               "line ends",
		"smtp://CANARY@host":                    "user and a password",
		"smtp://CANARY:@host":                   "user and a password",
		"smtp://:CANARY@host":                   "user and a password",
		"smtp://u:CANARY@[::1":                  "not of the form",
		"smtp://u:CANARY@[fe80::1]x":            "not of the form",
		"u:CANARY@host:587":                     "",
		"smtp://" + strings.Repeat("a.", 150):   "no valid host",
		"smtp://u:CANARY@" + "\u202e" + ".test": "no valid host",
	} {
		r, err := ParseRelay(in)
		if err == nil || r != nil {
			t.Errorf("%q: no error", in)
			continue
		}
		if !strings.Contains(err.Error(), fault) || strings.Contains(err.Error(), "CAN") || strings.Contains(err.Error(), "ARY") {
			t.Errorf("%q: error %v; want one with %q that shows nothing of the URL", in, err, fault)
		}
	}
}

func TestRelayPrintsNoCredentials(t *testing.T) {
	r, err := ParseRelay("smtp://USERCANARY:CANARY@relay.example")
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q"} {
		fmt.Fprintf(&out, verb, r)
		fmt.Fprintf(&out, verb, struct{ R *Relay }{r})
	}
	slog.New(slog.NewJSONHandler(&out, nil)).Info("relay", "relay", r)
	if strings.Contains(out.String(), "CANARY") || !strings.Contains(out.String(), "relay.example:587") {
		t.Error(out.String())
	}
}

func TestRelayPlan(t *testing.T) {
	z := zone()
	for in, want := range map[string]string{
		"smtp://mx1.example.org":         "mx1.example.org=[2001:db8::1]:25,192.0.2.1:25",
		"smtps://u:p@mx2.example.org":    "mx2.example.org=192.0.2.2:465",
		"smtp://192.0.2.44:26":           "192.0.2.44=192.0.2.44:26",
		"smtp://[2001:db8::44]":          "2001:db8::44=[2001:db8::44]:25",
		"smtp://localhost:1025":          "localhost=127.0.0.1:1025,[::1]:1025",
		"smtp://u:p@127.0.0.1:2525":      "127.0.0.1=127.0.0.1:2525",
		"smtp://u:p@mx1.example.org:587": "mx1.example.org=[2001:db8::1]:587,192.0.2.1:587",
	} {
		r, err := ParseRelay(in)
		if err != nil {
			t.Fatal(err)
		}
		plan, err := r.Plan(t.Context(), z)
		if err != nil || route(plan) != want {
			t.Errorf("%s: %s, %v; want %s", in, route(plan), err, want)
			continue
		}
		h := plan.Hosts[0]
		if !h.Trusted || h.Reason == "" || plan.Provider != h.Name || plan.Domain != h.Name || (h.Auth != nil) != strings.Contains(in, "u:p") {
			t.Errorf("%s: %+v", in, plan)
		}
	}
}

// A relay that is not found defers the mail; the host is looked up each time.
func TestRelayNotFoundIsTemporary(t *testing.T) {
	z := zone()
	for host, kind := range map[string]Kind{
		"nowhere.test": NoDomain, "nothing.test": NoAddress, "failing.test": NoAddress,
	} {
		r, err := ParseRelay("smtp://" + host)
		if err != nil {
			t.Fatal(err)
		}
		var fault *Error
		if _, err := r.Plan(t.Context(), z); !errors.As(err, &fault) || !fault.Temporary || fault.Kind != kind || fault.Enhanced != "4.4.3" {
			t.Errorf("%s: %+v", host, err)
		}
		z.Set(host, dns.Name{A: []string{"192.0.2.1"}})
		if _, err := r.Plan(t.Context(), z); err != nil {
			t.Errorf("%s, once it exists: %v", host, err)
		}
	}
}

func FuzzParseRelay(f *testing.F) {
	for _, seed := range []string{"smtp://u:p@relay.example:587", "smtps://[::1]:465", "smtp://u:%zz@h", "://", "smtp://a:b:c@d:e"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, in string) {
		r, err := ParseRelay(in)
		if err != nil {
			return
		}
		if r.port == 0 || r.host == "" || strings.ContainsAny(r.host, "\r\n\x00 /@<>") {
			t.Fatalf("%q: host %q, port %d", in, r.host, r.port)
		}
		if r.auth != nil && strings.ContainsAny(r.auth.Username+r.auth.Password, "\r\n\x00") {
			t.Fatalf("%q: credentials with line ends", in)
		}
		if r.auth != nil && len(r.auth.Password) > 12 && strings.Contains(r.String(), r.auth.Password) && !strings.Contains(r.host, r.auth.Password) {
			t.Fatalf("%q prints its password", in)
		}
	})
}
