package smtpclient_test

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"sync/atomic"
	"testing"
	"time"

	"postrider/smtpclient"
	"postrider/smtpclient/smtptest"
)

// Where packets over IPv6 vanish, it is waited for a few times and not for each mail.
func TestADeadFamilyCostsLittle(t *testing.T) {
	srv := smtptest.New(t, smtptest.Options{})
	var waited atomic.Int64
	tr := newTransport(t, func(o *smtpclient.Options) {
		o.MaxIdle = -1
		o.AllowedNetworks = append(o.AllowedNetworks, netip.MustParsePrefix("2001:db8::/32"))
		o.Timeouts.Connect = 500 * time.Millisecond
		o.Dial = func(ctx context.Context, network, addr string) (net.Conn, error) {
			if netip.MustParseAddrPort(addr).Addr().Is6() {
				waited.Add(1)
				<-ctx.Done()
				return nil, ctx.Err()
			}
			return new(net.Dialer).DialContext(ctx, network, addr)
		}
	})
	for i := range 20 {
		p := planFor(srv)
		p.Hosts[0].Addrs = append([]netip.AddrPort{netip.AddrPortFrom(netip.AddrFrom16([16]byte{0x20, 0x01, 0x0d, 0xb8, 15: byte(i + 1)}), 25)}, p.Hosts[0].Addrs...)
		wantFates(t, send(tr, p, mailTo("a@b.test")), "250")
	}
	if n := waited.Load(); n != 3 {
		t.Errorf("waited for %d addresses of 20", n)
	}
}

// The first mail over a dead family does not wait the whole time for a connection, and
// where no other family is left it does.
func TestTheOtherFamilyIsTriedSoon(t *testing.T) {
	t.Parallel()
	srv := greeting(t, smtptest.Pass())
	dead := netip.MustParseAddrPort("[2001:db8::1]:25")
	var waited []time.Duration
	tr := newTransport(t, func(o *smtpclient.Options) {
		o.Timeouts.Connect, o.Timeouts.FallOver = time.Hour, 20*time.Millisecond
		o.Dial = func(ctx context.Context, network, addr string) (net.Conn, error) {
			if addr != dead.String() {
				return new(net.Dialer).DialContext(ctx, network, addr)
			}
			end, _ := ctx.Deadline()
			waited = append(waited, time.Until(end))
			if len(waited) > 1 {
				return nil, errors.New("refused")
			}
			<-ctx.Done()
			return nil, ctx.Err()
		}
	})
	p := planFor(srv)
	p.Hosts[0].Trusted = true
	p.Hosts[0].Addrs = []netip.AddrPort{dead, srv.Addr()}
	wantFates(t, send(tr, p, mailTo("a@b.test")), "250")
	p.Hosts[0].Addrs = []netip.AddrPort{dead}
	wantFates(t, send(tr, p, mailTo("a@b.test")), "temporary connect -")
	if len(waited) != 2 || waited[0] > time.Second || waited[1] < time.Minute {
		t.Errorf("waits of %v, want a short one and a long one", waited)
	}
}
