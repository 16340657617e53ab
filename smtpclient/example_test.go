package smtpclient_test

import (
	"context"
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
