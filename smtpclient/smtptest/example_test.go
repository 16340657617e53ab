package smtptest_test

import (
	"context"
	"fmt"
	"net/netip"

	"postrider/smtpclient"
	"postrider/smtpclient/smtptest"
)

func ExampleStart() {
	srv, err := smtptest.Start(smtptest.Options{Script: smtptest.Script{
		"RCPT busy@b.test": {smtptest.Reply("450 4.7.1 greylisted"), smtptest.Pass()},
	}})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer srv.Close()

	client := smtpclient.NewTransport(smtpclient.Options{Hostname: "client.test"})
	defer client.Close()
	host := smtpclient.Host{Name: "mx.test", Addrs: []netip.AddrPort{srv.Addr()}, Trusted: true}
	for range 2 {
		res := client.Send(context.Background(), smtpclient.Plan{Hosts: []smtpclient.Host{host}}, &smtpclient.Mail{
			From: "a@a.test", To: []string{"busy@b.test"}, Data: []byte("hello\r\n"),
		})
		fmt.Println(res.Recipients[0].Reply.Code)
	}
	for _, m := range srv.Mails() {
		fmt.Printf("from %s to %s: %q\n", m.From, m.To, m.Data)
	}
	// Output:
	// 450
	// 250
	// from a@a.test to [busy@b.test]: "hello\r\n"
}
