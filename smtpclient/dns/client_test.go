package dns

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	wire "github.com/miekg/dns"
)

const short = 200 * time.Millisecond

func TestCacheWithinBounds(t *testing.T) {
	for _, c := range []struct {
		name, ask    string
		ttl, minTTL  time.Duration
		kept, beyond time.Duration
	}{
		{"short TTL", "a.example", 0, 0, 4 * time.Second, 6 * time.Second},
		{"usual TTL", "a.example", time.Minute, 0, 59 * time.Second, 61 * time.Second},
		{"long TTL", "a.example", 48 * time.Hour, 0, 59 * time.Minute, 61 * time.Minute},
		{"NXDOMAIN, long TTL", "b.example", 48 * time.Hour, 0, 4 * time.Minute, 6 * time.Minute},
		{"NXDOMAIN, short TTL", "b.example", 30 * time.Second, 0, 29 * time.Second, 31 * time.Second},
		{"own minimum", "a.example", 0, time.Minute, 59 * time.Second, 61 * time.Second},
	} {
		t.Run(c.name, func(t *testing.T) {
			z := &Zone{Names: map[string]Name{"a.example": {TXT: []string{"x"}}}, TTL: c.ttl}
			s, err := z.Listen("127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			var passed atomic.Int64
			start := time.Unix(1_000_000, 0)
			now := func() time.Time { return start.Add(time.Duration(passed.Load())) }
			r := client(t, ClientOptions{Server: s.Addr(), MinTTL: c.minTTL, Now: now})
			for _, step := range []struct {
				at      time.Duration
				queries int
			}{{0, 1}, {c.kept, 1}, {c.beyond, 2}} {
				passed.Store(int64(step.at))
				_, err := r.TXT(t.Context(), c.ask)
				if missing := errors.Is(err, ErrNXDomain); missing != (c.ask == "b.example") {
					t.Fatal(err)
				}
				if n := z.Queries(c.ask, "TXT"); n != step.queries {
					t.Errorf("after %s: %d queries, want %d", step.at, n, step.queries)
				}
			}
			if _, err := r.Fresh().TXT(t.Context(), c.ask); z.Queries(c.ask, "TXT") != 3 {
				t.Errorf("Fresh did not ask (%v)", err)
			}
		})
	}
}

func TestAKeptAnswerIsTheCallersOwn(t *testing.T) {
	c := serve(t, &Zone{Names: map[string]Name{"a.example": {TXT: []string{"x"}}}, TTL: time.Hour})
	if _, err := c.TXT(t.Context(), "a.example"); err != nil {
		t.Fatal(err)
	}
	got, _ := c.TXT(t.Context(), "a.example")
	got[0] = "changed"
	if got, _ = c.TXT(t.Context(), "a.example"); got[0] != "x" {
		t.Fatal("a caller changed what is kept")
	}
}

func TestCacheIsBounded(t *testing.T) {
	now := time.Unix(0, 0)
	c := cache{floor: minKept, now: func() time.Time { return now }, entries: map[question]entry{}}
	for i := range maxEntries + 500 {
		c.put(question{fmt.Sprint(i), 1}, answer{ttl: time.Minute})
	}
	if len(c.entries) != maxEntries {
		t.Errorf("%d entries", len(c.entries))
	}
	if _, ok := c.get(question{fmt.Sprint(maxEntries + 499), 1}); !ok {
		t.Error("the newest entry is gone")
	}
	now = now.Add(time.Hour)
	c.put(question{"new", 1}, answer{ttl: time.Minute})
	if len(c.entries) > maxEntries-evictLook+1 {
		t.Errorf("expired entries were kept: %d", len(c.entries))
	}
	big := question{"big", wire.TypeTXT}
	c.put(big, answer{ttl: time.Minute, txt: []string{strings.Repeat("x", maxKept+1)}})
	if _, ok := c.get(big); ok {
		t.Error("a large answer was kept")
	}
	none := question{"none", 1}
	c.put(none, answer{ttl: time.Minute})
	c.put(none, answer{ttl: time.Minute, negative: true, nosoa: true})
	if _, ok := c.get(none); ok {
		t.Error("nothing without a SOA was kept (RFC 2308 5)")
	}
}

// Lookups of one question at the same time are one query, and it outlives the
// caller who began it.
func TestLookupsAreShared(t *testing.T) {
	z := &Zone{Names: map[string]Name{"a.example": {MX: []MX{{"mx.example", 1}}, Fault: Fault{Delay: short}}}, TTL: time.Hour}
	c := serve(t, z)
	first, cancel := context.WithCancel(t.Context())
	gone := make(chan error)
	go func() {
		_, err := c.MX(first, "a.example")
		gone <- err
	}()
	for z.Queries("a.example", "MX") == 0 {
		time.Sleep(time.Millisecond)
	}
	var group sync.WaitGroup
	for range 20 {
		group.Go(func() {
			if mx, err := c.MX(t.Context(), "A.example."); err != nil || len(mx) != 1 {
				t.Errorf("%v, %v", mx, err)
			}
		})
	}
	cancel()
	if err := <-gone; !errors.Is(err, context.Canceled) || !errors.Is(err, ErrTemporary) {
		t.Errorf("canceled caller: %v", err)
	}
	group.Wait()
	if n := z.Queries("a.example", "MX"); n > 2 {
		t.Errorf("%d queries", n)
	}
}

func TestLookupsAreCapped(t *testing.T) {
	c := serve(t, &Zone{Names: map[string]Name{"a.example": {}}})
	for range cap(c.slots) {
		c.slots <- struct{}{}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := c.MX(ctx, "a.example"); !errors.Is(err, ErrTemporary) {
		t.Fatalf("all slots taken: %v", err)
	}
	<-c.slots
	if _, err := c.MX(t.Context(), "a.example"); err != nil {
		t.Fatalf("a slot is free: %v", err)
	}
}

func TestServersInOrder(t *testing.T) {
	good := &Zone{Names: map[string]Name{"a.example": {TXT: []string{"good"}}}}
	for name, bad := range map[string]Fault{
		"SERVFAIL": {ServFail: Always}, "REFUSED": {Refused: true}, "referral": {Referral: true}, "silent": {Silent: true},
	} {
		t.Run(name, func(t *testing.T) {
			failing := &Zone{Names: map[string]Name{"a.example": {Fault: bad}}}
			c := serve(t, good)
			c.servers = append(serve(t, failing).servers, c.servers...)
			if bad.Silent {
				c.timeout = 5 * short
			}
			got, err := c.TXT(t.Context(), "a.example")
			check(t, "TXT", got, err, []string{"good"}, nil)
			if n := failing.Queries("a.example", "TXT"); n != 1 {
				t.Errorf("the first server was asked %d times", n)
			}
		})
	}
	t.Run("closed port, twice silent", func(t *testing.T) {
		silent := &Zone{Names: map[string]Name{"a.example": {Fault: Fault{Silent: true}}}}
		c := serve(t, silent)
		c.servers = append([]string{"127.0.0.1:1"}, c.servers...)
		c.timeout = short / 4
		_, err := c.TXT(t.Context(), "a.example")
		if !errors.Is(err, ErrTemporary) || !strings.Contains(err.Error(), "no answer in time") {
			t.Errorf("error %v", err)
		}
		for silent.Queries("a.example", "TXT") != rounds { // the test's own limit ends this
			time.Sleep(time.Millisecond)
		}
	})
}

// hostile serves UDP with what answer makes of a request, packet by packet.
func hostile(t *testing.T, answer func(req *wire.Msg, raw []byte) [][]byte) *Client {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	go func() {
		buf := make([]byte, 4096)
		for {
			n, from, err := conn.ReadFrom(buf)
			if err != nil {
				return
			}
			req := new(wire.Msg)
			if req.Unpack(buf[:n]) != nil {
				continue
			}
			for _, packet := range answer(req, buf[:n]) {
				_, _ = conn.WriteTo(packet, from)
			}
		}
	}()
	return client(t, ClientOptions{Server: conn.LocalAddr().String(), MinTTL: -1})
}

func pack(m *wire.Msg) []byte {
	p, err := m.Pack()
	if err != nil {
		panic(err)
	}
	return p
}

func reply(req *wire.Msg, text string) *wire.Msg {
	m := new(wire.Msg).SetReply(req)
	m.Answer = []wire.RR{&wire.TXT{
		Hdr: wire.RR_Header{Name: req.Question[0].Name, Rrtype: wire.TypeTXT, Class: wire.ClassINET, Ttl: 60}, Txt: []string{text},
	}}
	return m
}

// Forged packets that arrive before the answer are passed over.
func TestForgedAnswersAreIgnored(t *testing.T) {
	c := hostile(t, func(req *wire.Msg, raw []byte) [][]byte {
		otherID, otherName, otherType, query := reply(req, "id"), reply(req, "name"), reply(req, "type"), reply(req, "query")
		otherID.Id++
		otherName.Question = []wire.Question{{Name: "evil.example.", Qtype: wire.TypeTXT, Qclass: wire.ClassINET}}
		otherType.Question = []wire.Question{{Name: req.Question[0].Name, Qtype: wire.TypeMX, Qclass: wire.ClassINET}}
		query.Response = false
		none := reply(req, "none")
		none.Question = nil
		return [][]byte{
			{}, {1, 2, 3}, raw, pack(otherID), pack(otherName), pack(otherType), pack(query), pack(none), pack(reply(req, "true")),
		}
	})
	got, err := c.TXT(t.Context(), "a.example")
	check(t, "TXT", got, err, []string{"true"}, nil)
}

func TestHostileAnswersAreTemporary(t *testing.T) {
	for name, answer := range map[string]func(req *wire.Msg, raw []byte) [][]byte{
		"cut in the middle": func(req *wire.Msg, _ []byte) [][]byte {
			p := pack(reply(req, "whole"))
			return [][]byte{p[:len(p)-3]}
		},
		"truncated, no TCP": func(req *wire.Msg, _ []byte) [][]byte {
			m := reply(req, "part")
			m.Truncated = true
			return [][]byte{pack(m)}
		},
		"FORMERR": func(req *wire.Msg, _ []byte) [][]byte {
			return [][]byte{pack(new(wire.Msg).SetRcode(req, wire.RcodeFormatError))}
		},
		"unknown code": func(req *wire.Msg, _ []byte) [][]byte {
			return [][]byte{pack(new(wire.Msg).SetRcode(req, 14))}
		},
		"only forged": func(req *wire.Msg, _ []byte) [][]byte {
			m := reply(req, "forged")
			m.Id++
			return [][]byte{pack(m)}
		},
		"referral beside a foreign record": func(req *wire.Msg, _ []byte) [][]byte {
			m := reply(req, "foreign")
			m.Answer[0].Header().Name = "other.example."
			m.Ns = []wire.RR{&wire.NS{Hdr: wire.RR_Header{Name: "example.", Rrtype: wire.TypeNS, Class: wire.ClassINET}, Ns: "ns.example."}}
			return [][]byte{pack(m)}
		},
		"CNAME to the root": func(req *wire.Msg, _ []byte) [][]byte {
			m := new(wire.Msg).SetReply(req)
			m.Answer = []wire.RR{&wire.CNAME{
				Hdr: wire.RR_Header{Name: req.Question[0].Name, Rrtype: wire.TypeCNAME, Class: wire.ClassINET}, Target: ".",
			}}
			return [][]byte{pack(m)}
		},
	} {
		t.Run(name, func(t *testing.T) {
			c := hostile(t, answer)
			c.timeout = short
			got, err := c.TXT(t.Context(), "a.example")
			if !errors.Is(err, ErrTemporary) || len(got) != 0 {
				t.Errorf("%q, %v", got, err)
			}
		})
	}
}

// RFC 6891 7: a server that does not know EDNS0 is asked without it.
func TestServerWithoutEDNS(t *testing.T) {
	c := hostile(t, func(req *wire.Msg, _ []byte) [][]byte {
		if req.IsEdns0() != nil {
			m := &wire.Msg{MsgHdr: wire.MsgHdr{Id: req.Id, Response: true, Rcode: wire.RcodeFormatError}}
			return [][]byte{pack(m)} // without the question, as old servers do
		}
		return [][]byte{pack(reply(req, "plain"))}
	})
	got, err := c.TXT(t.Context(), "a.example")
	check(t, "TXT", got, err, []string{"plain"}, nil)
}

// Records of other names and classes in an answer are not believed.
func TestForeignRecordsAreIgnored(t *testing.T) {
	c := hostile(t, func(req *wire.Msg, _ []byte) [][]byte {
		m := reply(req, "mine")
		for _, h := range []wire.RR_Header{
			{Name: "other.example.", Class: wire.ClassINET}, {Name: req.Question[0].Name, Class: wire.ClassCHAOS},
		} {
			h.Rrtype = wire.TypeTXT
			m.Answer = append(m.Answer, &wire.TXT{Hdr: h, Txt: []string{"foreign"}})
		}
		return [][]byte{pack(m)}
	})
	got, err := c.TXT(t.Context(), "a.example")
	check(t, "TXT", got, err, []string{"mine"}, nil)
}

func TestServerOption(t *testing.T) {
	for in, want := range map[string]string{
		"192.0.2.1": "192.0.2.1:53", "192.0.2.1:5353": "192.0.2.1:5353", "::1": "[::1]:53", "[::1]:5353": "[::1]:5353",
		"resolver": "resolver:53", "resolver.example:54": "resolver.example:54",
		"host:0": "", "host:99999": "", "host:x": "", "a b": "", "a:b:c": "", "http://x": "",
	} {
		c, err := NewClient(ClientOptions{Server: in})
		if want == "" {
			if err == nil || c != nil {
				t.Errorf("%s: no error", in)
			}
			continue
		}
		if err != nil || !cmp.Equal(c.servers, []string{want}) {
			t.Errorf("%s: %v, want %s", in, err, want)
		}
	}
}

func TestSystemServers(t *testing.T) {
	for _, c := range []struct {
		name, content string
		want          []string
	}{
		{"usual", "search x\nnameserver 192.0.2.1\nnameserver 2001:db8::1\n", []string{"192.0.2.1:53", "[2001:db8::1]:53"}},
		{"too many", strings.Repeat("nameserver 192.0.2.1\n", 5), []string{"192.0.2.1:53", "192.0.2.1:53", "192.0.2.1:53"}},
		{"none", "# nothing\n", []string{"127.0.0.1:53"}},
	} {
		path := filepath.Join(t.TempDir(), "resolv.conf")
		if err := os.WriteFile(path, []byte(c.content), 0o600); err != nil {
			t.Fatal(err)
		}
		got, err := systemServers(path)
		if err != nil || !cmp.Equal(got, c.want) {
			t.Errorf("%s: %v, %v; want %v", c.name, got, err, c.want)
		}
	}
	got, err := systemServers(filepath.Join(t.TempDir(), "absent"))
	if err != nil || !cmp.Equal(got, []string{"127.0.0.1:53"}) {
		t.Errorf("absent: %v, %v", got, err)
	}
}
