package dns

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"runtime"
	"strings"
	"testing"
	"time"

	wire "github.com/miekg/dns"
)

// overTCP serves truncated answers over UDP, and over TCP, at the same port, what
// answer writes to the connection for a request.
func overTCP(t *testing.T, answer func(conn net.Conn, req *wire.Msg)) *Client {
	t.Helper()
	truncated := func(req *wire.Msg, _ []byte) [][]byte {
		m := new(wire.Msg).SetReply(req)
		m.Truncated = true
		return [][]byte{pack(m)}
	}
	c := hostile(t, truncated)
	l, err := net.Listen("tcp", c.servers[0])
	for try := 1; err != nil && try < listenTries; try++ { // a port that both protocols have
		c = hostile(t, truncated)
		l, err = net.Listen("tcp", c.servers[0])
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				var length uint16
				if binary.Read(conn, binary.BigEndian, &length) != nil {
					return
				}
				raw, req := make([]byte, length), new(wire.Msg)
				if _, err := io.ReadFull(conn, raw); err == nil && req.Unpack(raw) == nil {
					answer(conn, req)
				}
			}()
		}
	}()
	c.cache.fault = 0 // ask each time
	return c
}

// framed is a packet as TCP carries it (RFC 7766 8).
func framed(packet []byte) []byte {
	return append(binary.BigEndian.AppendUint16(nil, uint16(len(packet))), packet...)
}

// The largest answers that fit into a message cost bounded memory, and what is kept of
// them is within the caps.
func TestHugeAnswersAreBounded(t *testing.T) {
	label := strings.Repeat("x", 60)
	for name, record := range map[string]func(h wire.RR_Header, i int) wire.RR{
		"MX": func(h wire.RR_Header, i int) wire.RR {
			return &wire.MX{Hdr: h, Preference: uint16(i), Mx: fmt.Sprintf("m%d.%s.%s.%s.", i, label, label, label)}
		},
		"A": func(h wire.RR_Header, i int) wire.RR {
			return &wire.A{Hdr: h, A: net.IPv4(198, 51, byte(i>>8), byte(i))}
		},
		"AAAA": func(h wire.RR_Header, i int) wire.RR {
			return &wire.AAAA{Hdr: h, AAAA: append(make(net.IP, 14), byte(i>>8), byte(i))}
		},
		"TXT": func(h wire.RR_Header, i int) wire.RR { return &wire.TXT{Hdr: h, Txt: []string{fmt.Sprint(i)}} },
		"CNAME": func(h wire.RR_Header, i int) wire.RR {
			return &wire.CNAME{Hdr: h, Target: fmt.Sprintf("c%d.%s.", i, label)}
		},
	} {
		t.Run(name, func(t *testing.T) {
			c := overTCP(t, func(conn net.Conn, req *wire.Msg) {
				m := new(wire.Msg).SetReply(req)
				m.Compress = true
				h := wire.RR_Header{Name: req.Question[0].Name, Rrtype: wire.StringToType[name], Class: wire.ClassINET, Ttl: 60}
				for i := range 3000 {
					m.Answer = append(m.Answer, record(h, i))
				}
				packet, err := m.Pack()
				for err != nil || len(packet) > wire.MaxMsgSize {
					m.Answer = m.Answer[:len(m.Answer)*9/10]
					packet, err = m.Pack()
				}
				_, _ = conn.Write(framed(packet))
			})
			q := question{"a.example", wire.StringToType[name]}
			if name == "CNAME" {
				q.qtype = wire.TypeMX
			}
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			a, err := c.query(t.Context(), q)
			runtime.ReadMemStats(&after)
			if (name == "CNAME") != errors.Is(err, ErrTemporary) || len(a.mx) > maxMX || len(a.addrs) > maxAddrs || a.size() > maxTXT {
				t.Errorf("%d MX, %d addresses, %d octets, %v", len(a.mx), len(a.addrs), a.size(), err)
			}
			// Server and client together, a CNAME chain of 8 answers among them.
			if used := after.TotalAlloc - before.TotalAlloc; used > 256<<20 {
				t.Errorf("%d octets allocated", used)
			}
		})
	}
}

// Whatever a server does behind a truncated answer, the lookup ends and is temporary.
func TestHostileTCPIsTemporary(t *testing.T) {
	for name, answer := range map[string]func(conn net.Conn, req *wire.Msg){
		"closes at once": func(net.Conn, *wire.Msg) {},
		"says nothing":   func(conn net.Conn, _ *wire.Msg) { _, _ = io.Copy(io.Discard, conn) },
		"trickles": func(conn net.Conn, req *wire.Msg) {
			for _, b := range framed(pack(reply(req, strings.Repeat("x", 200)))) {
				if _, err := conn.Write([]byte{b}); err != nil {
					return
				}
				time.Sleep(short / 4)
			}
		},
		"length without octets": func(conn net.Conn, _ *wire.Msg) {
			_, _ = conn.Write([]byte{0xff, 0xff})
			_, _ = io.Copy(io.Discard, conn)
		},
		"no length": func(conn net.Conn, _ *wire.Msg) { _, _ = conn.Write([]byte{0, 0}) },
		"garbage":   func(conn net.Conn, _ *wire.Msg) { _, _ = conn.Write(framed([]byte(strings.Repeat("\xff", 600)))) },
		"another id": func(conn net.Conn, req *wire.Msg) {
			m := reply(req, "forged")
			m.Id++
			_, _ = conn.Write(framed(pack(m)))
		},
		"another question": func(conn net.Conn, req *wire.Msg) {
			m := reply(req, "forged")
			m.Question[0].Name = "other.example."
			_, _ = conn.Write(framed(pack(m)))
		},
		"truncated again": func(conn net.Conn, req *wire.Msg) {
			m := reply(req, "part")
			m.Truncated = true
			_, _ = conn.Write(framed(pack(m)))
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := overTCP(t, answer)
			c.timeout = short
			if got, err := c.TXT(t.Context(), "a.example"); !errors.Is(err, ErrTemporary) || len(got) != 0 {
				t.Errorf("%q, %v", got, err)
			}
		})
	}
}

// A chain of CNAMEs whose every answer comes just in time is given up when the time for
// one question is over.
func TestSlowChainEnds(t *testing.T) {
	names := map[string]Name{}
	for i := range maxCNAME - 1 {
		names[fmt.Sprintf("c%d.example", i)] = Name{CNAME: fmt.Sprintf("c%d.example", i+1), Fault: Fault{Delay: short}}
	}
	z := &Zone{Names: names, OneStep: true}
	c := serve(t, z)
	c.timeout = short * 8 / 7 // six of them are less than the chain takes
	if _, err := c.MX(t.Context(), "c0.example"); !errors.Is(err, ErrTemporary) {
		t.Errorf("%v", err)
	}
}

// A flood of forged datagrams only costs the time of one question.
func TestFloodOfForgedAnswers(t *testing.T) {
	c := hostile(t, func(req *wire.Msg, _ []byte) [][]byte {
		var flood [][]byte
		for i := range 2000 {
			m := reply(req, "forged")
			m.Id += uint16(i + 1)
			flood = append(flood, pack(m))
		}
		return flood
	})
	c.timeout = short
	if got, err := c.TXT(t.Context(), "a.example"); !errors.Is(err, ErrTemporary) || len(got) != 0 {
		t.Errorf("%q, %v", got, err)
	}
}

// Of thousands of MX records those that are not kept hold no memory.
func TestManyMXAreNotHeld(t *testing.T) {
	m := new(wire.Msg)
	m.SetQuestion("b.test.", wire.TypeMX)
	for i := range 4000 {
		host := fmt.Sprintf("%s%d.b.test.", strings.Repeat(strings.Repeat("x", 50)+".", 4), i)
		m.Answer = append(m.Answer, &wire.MX{Hdr: wire.RR_Header{Name: "b.test.", Rrtype: wire.TypeMX, Class: wire.ClassINET, Ttl: 60}, Mx: host})
	}
	held := func() uint64 {
		runtime.GC()
		var s runtime.MemStats
		runtime.ReadMemStats(&s)
		return s.HeapAlloc
	}
	before := held()
	var kept []answer
	for range 100 {
		a, err := read(m, question{"b.test", wire.TypeMX}, maxCNAME)
		if err != nil || len(a.mx) != maxMX {
			t.Fatal(len(a.mx), err)
		}
		kept = append(kept, a)
	}
	if after := held(); after > before+100*2*maxKept {
		t.Errorf("%d answers hold %d octets", len(kept), after-before)
	}
	runtime.KeepAlive(kept)
	runtime.KeepAlive(m)
}
