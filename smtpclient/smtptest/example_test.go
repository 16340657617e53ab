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

// A server that takes two recipients at a time, and that does not answer to the third mail.
func ExampleOptions_handle() {
	dots := 0
	srv, err := smtptest.Start(smtptest.Options{Handle: func(c smtptest.Command) smtptest.Action {
		switch {
		case c.Stage == "RCPT" && len(c.To) == 2:
			return smtptest.Reply("452 4.5.3 too many recipients")
		case c.Stage == "DOT":
			if dots++; dots == 3 {
				return smtptest.Close()
			}
		}
		return smtptest.Pass()
	}})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer srv.Close()
	client := smtpclient.NewTransport(smtpclient.Options{Hostname: "client.test"})
	defer client.Close()
	host := smtpclient.Host{Name: "mx.test", Addrs: []netip.AddrPort{srv.Addr()}, Trusted: true}
	res := client.Send(context.Background(), smtpclient.Plan{Hosts: []smtpclient.Host{host}}, &smtpclient.Mail{
		From: "a@a.test", To: []string{"b@b.test", "c@b.test", "d@b.test", "e@b.test", "f@b.test"}, Data: []byte("hello\r\n"),
	})
	for i, m := range srv.Mails() {
		fmt.Println("mail", i, "to", m.To, "accepted:", m.Accepted())
	}
	fmt.Println("the last is unknown:", res.Recipients[4].Err.Unknown)
	fmt.Println("violations:", len(srv.Violations()))
	// Output:
	// mail 0 to [b@b.test c@b.test] accepted: true
	// mail 1 to [d@b.test e@b.test] accepted: true
	// mail 2 to [f@b.test] accepted: false
	// the last is unknown: true
	// violations: 0
}
