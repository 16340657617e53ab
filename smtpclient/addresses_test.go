package smtpclient_test

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"postrider/smtpclient"
	"postrider/smtpclient/smtptest"
)

// greeting is a server that greets in its own way, nil being one that takes mail.
func greeting(t *testing.T, a smtptest.Action) *smtptest.Server {
	t.Helper()
	return smtptest.New(t, smtptest.Options{Script: smtptest.Script{"GREETING": {a}}})
}

func TestNextAddress(t *testing.T) {
	t.Parallel()
	at := func(stage, reply string) smtptest.Options {
		return smtptest.Options{Script: smtptest.Script{stage: {smtptest.Reply(reply)}}}
	}
	ehlo := smtptest.Options{Script: smtptest.Script{"EHLO": {smtptest.Reply("550 no")}, "HELO": {smtptest.Reply("550 no")}}}
	good := smtptest.Options{}
	for _, c := range []struct {
		name    string
		servers []smtptest.Options
		fate    string
		tried   int
	}{
		{"greeting 421", []smtptest.Options{at("GREETING", "421 4.3.2 busy"), good}, "250", 1},
		{"greeting 554", []smtptest.Options{at("GREETING", "554 5.7.1 no"), good}, "250", 1},
		{"greeting 554 at the end", []smtptest.Options{at("GREETING", "554 5.7.1 no")}, "temporary greeting 554", 0},
		{"greeting 521", []smtptest.Options{at("GREETING", "521 5.3.2 no mail here"), good}, "250", 1},
		{"greeting 521 behind one that is busy", []smtptest.Options{at("GREETING", "421 4.3.2 busy"), at("GREETING", "521 5.3.2 no mail here")}, "temporary greeting 421", 1},
		{"greeting 521 before one that is busy", []smtptest.Options{at("GREETING", "521 5.3.2 no mail here"), at("GREETING", "421 4.3.2 busy")}, "temporary greeting 421", 1},
		{"greeting 521 from all", []smtptest.Options{at("GREETING", "521 5.3.2 no mail here"), at("GREETING", "521 5.3.2 no mail here")}, "permanent greeting 521", 1},
		{"greeting 521 at the end", []smtptest.Options{at("GREETING", "521 5.3.2 no mail here")}, "permanent greeting 521", 0},
		{"EHLO and HELO 550", []smtptest.Options{ehlo, good}, "250", 1},
		{"EHLO and HELO 550 at the end", []smtptest.Options{ehlo}, "temporary ehlo 550", 0},
		{"EHLO 450", []smtptest.Options{at("EHLO", "450 4.3.2 no"), good}, "250", 1},
		{"greeting 421 4.7.0 ends", []smtptest.Options{at("GREETING", "421 4.7.0 slow down"), good}, "temporary greeting 421", 0},
		{"MAIL 450 ends", []smtptest.Options{at("MAIL", "450 4.3.2 no"), good}, "temporary mail 450", 0},
		{"MAIL 550 ends", []smtptest.Options{at("MAIL", "550 5.7.1 no"), good}, "permanent mail 550", 0},
		{"RCPT 450 ends", []smtptest.Options{at("RCPT", "450 4.2.0 no"), good}, "temporary rcpt 450", 0},
		{"DATA 450 ends", []smtptest.Options{at("DOT", "450 4.2.0 no"), good}, "temporary dot 450", 0},
		{"five addresses", []smtptest.Options{
			at("GREETING", "554 1"), at("GREETING", "554 2"), at("GREETING", "554 3"),
			at("GREETING", "554 4"), at("GREETING", "554 5"), good,
		}, "temporary greeting 554", 4},
		{"two that greeted", []smtptest.Options{
			at("GREETING", "554 1"), at("EHLO", "450 1"), at("GREETING", "554 2"),
			at("EHLO", "450 2"), good,
		}, "temporary ehlo 450", 3},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			var servers []*smtptest.Server
			for _, o := range c.servers {
				servers = append(servers, smtptest.New(t, o))
			}
			res := send(newTransport(t, nil), planFor(servers...), mailTo("a@b.test"))
			wantFates(t, res, c.fate)
			if len(res.Tried) != c.tried {
				t.Errorf("tried %v", res.Tried)
			}
			wantManners(t, servers...)
		})
	}
}

func TestDeadHostThenLiveOne(t *testing.T) {
	t.Parallel()
	dead, live := greeting(t, smtptest.Pass()), greeting(t, smtptest.Pass())
	p := planFor(dead, live)
	dead.Close()
	res := send(newTransport(t, nil), p, mailTo("a@b.test"))
	wantFates(t, res, "250")
	if res.Host != "mx2.b.test" || res.Addr != live.Addr() || !res.Source.IsValid() || res.HELO != "client.test" {
		t.Errorf("result %+v", res)
	}
	if len(res.Tried) != 1 || res.Tried[0].Stage != smtpclient.StageConnect || res.Tried[0].Host != "mx1.b.test" {
		t.Errorf("tried %v", res.Tried)
	}
	live.Close()
	wantFates(t, send(newTransport(t, nil), p, mailTo("a@b.test", "b@b.test")), "temporary connect -", "temporary connect -")
}

func TestPlanWithoutAddresses(t *testing.T) {
	t.Parallel()
	tr := newTransport(t, nil)
	wantFates(t, send(tr, smtpclient.Plan{}, mailTo("a@b.test")), "temporary connect -")
	wantFates(t, send(tr, smtpclient.Plan{Hosts: []smtpclient.Host{{Name: "mx"}}}, mailTo("a@b.test")), "temporary connect -")
	wantFates(t, send(tr, smtpclient.Plan{}, mailTo()))
}

// No connection is made to an address that the guard denies.
func TestDeniedAddresses(t *testing.T) {
	t.Parallel()
	srv := greeting(t, smtptest.Pass())
	var dialled atomic.Int32
	for name, dial := range map[string]func(context.Context, string, string) (net.Conn, error){
		"own dialler": nil,
		"Options.Dial": func(ctx context.Context, network, addr string) (net.Conn, error) {
			dialled.Add(1)
			return new(net.Dialer).DialContext(ctx, network, addr)
		},
	} {
		tr := newTransport(t, func(o *smtpclient.Options) { o.AllowedNetworks, o.Dial = nil, dial })
		p := planFor(srv)
		port := srv.Addr().Port()
		p.Hosts[0].Addrs = append(p.Hosts[0].Addrs, netip.AddrPortFrom(netip.MustParseAddr("::ffff:127.0.0.1"), port))
		res := send(tr, p, mailTo("a@b.test"))
		wantFates(t, res, "permanent connect -")
		if e := res.Recipients[0].Err; !errors.Is(e, smtpclient.ErrDenied) || e.Enhanced != "5.4.4" {
			t.Errorf("%s: %v", name, e)
		}
		if n := len(srv.Sessions()) + int(dialled.Load()); n != 0 {
			t.Errorf("%s: %d connections", name, n)
		}
	}
	// A host that the operator named is not guarded.
	tr := newTransport(t, func(o *smtpclient.Options) { o.AllowedNetworks = nil })
	p := planFor(srv)
	p.Hosts[0].Trusted = true
	wantFates(t, send(tr, p, mailTo("a@b.test")), "250")
}

// Denied addresses neither count nor decide if there are others.
func TestSomeAddressesDenied(t *testing.T) {
	t.Parallel()
	dead, live := greeting(t, smtptest.Pass()), greeting(t, smtptest.Pass())
	p := planFor(dead, live)
	dead.Close()
	private := netip.MustParseAddrPort("10.0.0.1:25")
	p.Hosts[0].Addrs = []netip.AddrPort{private, private, private, private, private, p.Hosts[0].Addrs[0]}
	wantFates(t, send(newTransport(t, nil), p, mailTo("a@b.test")), "250")
	p.Hosts = p.Hosts[:1]
	p.Hosts[0].Addrs = append(p.Hosts[0].Addrs, private)
	res := send(newTransport(t, nil), p, mailTo("a@b.test"))
	wantFates(t, res, "temporary connect -")
	if errors.Is(res.Recipients[0].Err, smtpclient.ErrDenied) || len(res.Tried) != 6 {
		t.Errorf("%v, tried %d", res.Recipients[0].Err, len(res.Tried))
	}
}

// What ends for good may not, as long as an MX could not be looked up that may take the mail.
func TestIncompletePlan(t *testing.T) {
	t.Parallel()
	never := greeting(t, smtptest.Reply("521 5.3.2 no mail here"))
	ours := smtptest.New(t, smtptest.Options{Hostname: "client.test"})
	busy, good := greeting(t, smtptest.Reply("421 4.3.2 busy")), greeting(t, smtptest.Pass())
	servfail := errors.New("look up A of mx9.b.test: SERVFAIL")
	denied := planFor(good)
	denied.Hosts[0].Addrs = []netip.AddrPort{netip.MustParseAddrPort("10.0.0.1:25")}
	for _, c := range []struct {
		name       string
		plan       smtpclient.Plan
		complete   string
		incomplete string
	}{
		{"denied", denied, "permanent connect -", "temporary connect -"},
		{"521", planFor(never), "permanent greeting 521", "temporary connect -"},
		{"loop", planFor(ours), "permanent greeting -", "temporary connect -"},
		{"busy", planFor(busy), "temporary greeting 421", "temporary greeting 421"},
		{"good", planFor(never, good), "250", "250"},
	} {
		res := send(newTransport(t, nil), c.plan, mailTo("a@b.test"))
		wantFates(t, res, c.complete)
		c.plan.Incomplete = servfail
		res = send(newTransport(t, nil), c.plan, mailTo("a@b.test"))
		wantFates(t, res, c.incomplete)
		if e := res.Recipients[0].Err; c.complete != c.incomplete && (e.Enhanced != "4.4.3" || !errors.Is(e, servfail) || len(res.Tried) != 1) {
			t.Errorf("%s: %v, tried %v", c.name, e, res.Tried)
		}
	}
}

// unroutable is a dialler to which some addresses cannot be reached from here.
func unroutable(why error, addrs ...string) func(context.Context, string, string) (net.Conn, error) {
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		if slices.Contains(addrs, addr) {
			return nil, &net.OpError{Op: "dial", Net: network, Err: os.NewSyscallError("connect", why)}
		}
		return new(net.Dialer).DialContext(ctx, network, addr)
	}
}

// Addresses that no packet leaves for, as those of IPv6 on a host without it, cost
// nothing and leave the tries to the others.
func TestUnreachableAddressesDoNotCount(t *testing.T) {
	t.Parallel()
	dead, live := greeting(t, smtptest.Pass()), greeting(t, smtptest.Pass())
	p := planFor(dead, live)
	dead.Close()
	v6 := netip.MustParseAddrPort("[2a00:1450:4001::1]:25")
	p.Hosts[0].Addrs = []netip.AddrPort{v6, p.Hosts[0].Addrs[0], v6, p.Hosts[0].Addrs[0]}
	p.Hosts[1].Addrs = []netip.AddrPort{v6, v6, v6, live.Addr()}
	for _, why := range []error{syscall.ENETUNREACH, syscall.EHOSTUNREACH, syscall.EADDRNOTAVAIL, syscall.EAFNOSUPPORT} {
		tr := newTransport(t, func(o *smtpclient.Options) { o.Dial = unroutable(why, v6.String()) })
		res := send(tr, p, mailTo("a@b.test"))
		wantFates(t, res, "250")
		if len(res.Tried) != 7 {
			t.Errorf("%v: tried %v", why, res.Tried)
		}
	}
}

// What no packet left for says nothing about a host that refused at another of its
// addresses, but a host that could not be reached at all may yet take the mail.
func TestUnreachableBesideARefusal(t *testing.T) {
	t.Parallel()
	never := greeting(t, smtptest.Reply("521 5.3.2 no mail here"))
	v6 := netip.MustParseAddrPort("[2a00:1450:4001::1]:25")
	tr := newTransport(t, func(o *smtpclient.Options) { o.Dial = unroutable(syscall.ENETUNREACH, v6.String()) })
	p := planFor(never)
	for _, addrs := range [][]netip.AddrPort{{v6, never.Addr()}, {never.Addr(), v6}} {
		p.Hosts[0].Addrs = addrs
		wantFates(t, send(tr, p, mailTo("a@b.test")), "permanent greeting 521")
	}
	p.Hosts = append(p.Hosts, smtpclient.Host{Name: "mx2.b.test", Addrs: []netip.AddrPort{v6}})
	wantFates(t, send(tr, p, mailTo("a@b.test")), "temporary connect -")
	busy := greeting(t, smtptest.Reply("421 4.3.2 busy"))
	p = planFor(busy)
	p.Hosts[0].Addrs = append(p.Hosts[0].Addrs, v6)
	wantFates(t, send(tr, p, mailTo("a@b.test")), "temporary greeting 421")
}

func TestMailLoop(t *testing.T) {
	t.Parallel()
	ours := smtptest.New(t, smtptest.Options{Hostname: "Client.TEST"})
	byEHLO := smtptest.New(t, smtptest.Options{Hostname: "client.test", Script: smtptest.Script{"GREETING": {smtptest.Reply("220 hello")}}})
	good := greeting(t, smtptest.Pass())
	for _, srv := range []*smtptest.Server{ours, byEHLO} {
		res := send(newTransport(t, nil), planFor(srv, good), mailTo("a@b.test"))
		wantFates(t, res, "permanent "+map[bool]string{true: "greeting", false: "ehlo"}[srv == ours]+" -")
		if e := res.Recipients[0].Err; !errors.Is(e, smtpclient.ErrLoop) || e.Enhanced != "5.4.6" {
			t.Errorf("cause %v", e)
		}
		if strings.Contains(verbs(srv), "MAIL") {
			t.Errorf("commands %q", verbs(srv))
		}
	}
	// A better host that only failed for now may take the mail later.
	busy := greeting(t, smtptest.Reply("421 4.3.2 busy"))
	wantFates(t, send(newTransport(t, nil), planFor(busy, ours), mailTo("a@b.test")), "temporary greeting 421")
	// A relay on this machine may have its name.
	p := planFor(ours)
	p.Hosts[0].Trusted = true
	wantFates(t, send(newTransport(t, nil), p, mailTo("a@b.test")), "250")
}

func TestWithoutHostname(t *testing.T) {
	t.Parallel()
	srv := greeting(t, smtptest.Pass())
	res := send(newTransport(t, func(o *smtpclient.Options) { o.Hostname = "" }), planFor(srv), mailTo("a@b.test"))
	wantFates(t, res, "250")
	if got := srv.Sessions()[0].HELO; got != "[127.0.0.1]" || res.HELO != got {
		t.Errorf("EHLO %q, result %q", got, res.HELO)
	}
}
