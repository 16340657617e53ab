package main

import (
	"context"
	"net/netip"
	"time"

	"postrider/bench/load"
	"postrider/smtpclient"
)

// client is the subject: a Transport, as the service uses it.
type client struct {
	transport *smtpclient.Transport
	plan      smtpclient.Plan
}

func newClient(s setting, addr string) (sender, error) {
	at, err := netip.ParseAddrPort(addr)
	if err != nil {
		return nil, err
	}
	o := smtpclient.Options{Hostname: helo, MaxIdle: time.Minute, MaxTransactions: 1 << 30, TLSConfig: clientTLS()}
	if s.fresh {
		o.MaxIdle = -1
	}
	policy := smtpclient.TLSNone
	if s.tls {
		policy = smtpclient.TLSRequired
	}
	return &client{
		transport: smtpclient.NewTransport(o),
		plan: smtpclient.Plan{Domain: load.Domain, Provider: load.Domain, Hosts: []smtpclient.Host{{
			Name: sinkName, Addrs: []netip.AddrPort{at}, TLS: policy, Trusted: true,
		}}},
	}, nil
}

func (c *client) send(raw []byte, to string) error {
	res := c.transport.Send(context.Background(), c.plan, &smtpclient.Mail{
		From: load.From, To: []string{to}, Data: raw, Mark: func(context.Context, []int) error { return nil },
	})
	if err := res.Recipients[0].Err; err != nil {
		return err
	}
	return nil
}

func (c *client) close() { _ = c.transport.Close() }
