package smtpclient_test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/netip"

	"postrider/smtpclient"
	"postrider/smtpclient/smtptest"
)

func ExampleTransport_Send() {
	// A server on loopback stands in for the MX host.
	srv, err := smtptest.Start(smtptest.Options{Script: smtptest.Script{
		"RCPT nobody@example.net": {smtptest.Reply("550 5.1.1 no such user")},
	}})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer srv.Close()

	t := smtpclient.NewTransport(smtpclient.Options{
		Hostname:        "mail.example.com",
		AllowedNetworks: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")},
	})
	defer t.Close()

	plan := smtpclient.Plan{
		Domain: "example.net",
		Hosts:  []smtpclient.Host{{Name: "mx.example.net", Addrs: []netip.AddrPort{srv.Addr()}}},
	}
	res := t.Send(context.Background(), plan, &smtpclient.Mail{
		From: "bounces@example.com",
		To:   []string{"somebody@example.net", "nobody@example.net"},
		Data: []byte("Subject: Hello\r\n\r\nWorld\r\n"),
	})
	for i, r := range res.Recipients {
		switch {
		case r.Err == nil:
			fmt.Println(i, "accepted:", r.Reply.Code)
		case r.Err.Temporary:
			fmt.Println(i, "later:", r.Err.Stage)
		default:
			fmt.Println(i, "refused:", r.Reply.Code, r.Reply.Enhanced, r.Reply.Text)
		}
	}
	fmt.Println("in clear text, because TLS was", res.TLSReason)
	// Output:
	// 0 accepted: 250
	// 1 refused: 550 5.1.1 no such user
	// in clear text, because TLS was not offered
}

// A relay takes mail for every domain, from whoever proves who they are. Credentials are
// only given to a host whose certificate is valid for its name.
func ExampleHost_relay() {
	relay, err := smtptest.Start(smtptest.Options{
		Hostname: "relay.example.com", ImplicitTLS: true, Users: map[string]string{"rider": "s3cret"},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer relay.Close()
	t := smtpclient.NewTransport(smtpclient.Options{
		Hostname:  "app.example.com",
		TLSConfig: &tls.Config{RootCAs: relay.RootCAs()}, // without it, those of the system
	})
	defer t.Close()
	plan := smtpclient.Plan{Hosts: []smtpclient.Host{{
		Name: "relay.example.com", Addrs: []netip.AddrPort{relay.Addr()},
		TLS:     smtpclient.TLSImplicit, // smtps, port 465; TLSVerified for STARTTLS on port 587
		Auth:    &smtpclient.Auth{Username: "rider", Password: "s3cret"},
		Trusted: true, // the operator named it: it may be in a private network
	}}}
	res := t.Send(context.Background(), plan, &smtpclient.Mail{
		From: "app@example.com", To: []string{"somebody@example.net"}, Data: []byte("Subject: Hello\r\n\r\nWorld\r\n"),
	})
	fmt.Println(res.Recipients[0].Reply.Code, res.TLS.Version, res.TLS.Verified)
	fmt.Println(plan.Hosts[0].Auth)
	// Output:
	// 250 TLS1.3 true
	// [redacted]
}

// An error tells where it happened, with whom, what the server said, and whether it
// is for now.
func ExampleError() {
	srv, err := smtptest.Start(smtptest.Options{Script: smtptest.Script{
		"RCPT busy@example.net": {smtptest.Reply("450 4.2.1 mailbox busy")},
		"RCPT gone@example.net": {smtptest.Reply("550 5.1.1 no such user")},
	}})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer srv.Close()
	t := smtpclient.NewTransport(smtpclient.Options{Hostname: "mail.example.com"})
	defer t.Close()
	host := smtpclient.Host{Name: "mx.example.net", Addrs: []netip.AddrPort{srv.Addr()}, Trusted: true}
	mail := &smtpclient.Mail{From: "bounces@example.com", To: []string{"busy@example.net", "gone@example.net"}, Data: []byte("Subject: Hello\r\n\r\nWorld\r\n")}

	res := t.Send(context.Background(), smtpclient.Plan{Hosts: []smtpclient.Host{host}}, mail)
	for _, r := range res.Recipients {
		fmt.Println(r.Err.Stage, r.Err.Host, r.Err.Reply.Code, r.Err.Reply.Enhanced, "temporary:", r.Err.Temporary)
	}

	host.TLS = smtpclient.TLSRequired // which this server does not offer
	res = t.Send(context.Background(), smtpclient.Plan{Hosts: []smtpclient.Host{host}}, mail)
	e := res.Recipients[0].Err
	fmt.Println(e.Stage, e.Reply == nil, errors.Is(e, smtpclient.ErrTLSRequired), "temporary:", e.Temporary)
	// Output:
	// rcpt mx.example.net 450 4.2.1 temporary: true
	// rcpt mx.example.net 550 5.1.1 temporary: false
	// starttls true true temporary: true
}

// Mark is where a queue writes down that a mail may be delivered from now on. If it
// cannot, the mail is not.
func ExampleMail_mark() {
	srv, err := smtptest.Start(smtptest.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer srv.Close()
	t := smtpclient.NewTransport(smtpclient.Options{Hostname: "mail.example.com"})
	defer t.Close()
	host := smtpclient.Host{Name: "mx.example.net", Addrs: []netip.AddrPort{srv.Addr()}, Trusted: true}
	res := t.Send(context.Background(), smtpclient.Plan{Hosts: []smtpclient.Host{host}}, &smtpclient.Mail{
		From: "bounces@example.com", To: []string{"somebody@example.net"}, Data: []byte("Subject: Hello\r\n\r\nWorld\r\n"),
		Mark: func(_ context.Context, accepted []int) error {
			return errors.New("the database is away")
		},
	})
	fmt.Println(res.Recipients[0].Err.Stage, res.Recipients[0].Err.Err)
	fmt.Println(len(srv.Mails()), "mails at the server")
	// Output:
	// mark the database is away
	// 0 mails at the server
}
