package dns

import (
	"context"
	"errors"
	"testing"

	wire "github.com/miekg/dns"
)

// FuzzAnswer feeds any octets as the reply to a question: whatever comes out is
// bounded, and made of valid names.
func FuzzAnswer(f *testing.F) {
	z := world()
	types := []uint16{wire.TypeMX, wire.TypeA, wire.TypeAAAA, wire.TypeTXT}
	for name := range z.Names {
		if name == "many.example" {
			continue
		}
		for i, qtype := range types {
			m, _, err := z.reply(question{name, qtype})
			if err != nil {
				continue
			}
			m.SetQuestion(wire.Fqdn(name), qtype)
			f.Add(pack(m), name, uint8(i))
		}
	}
	f.Fuzz(func(t *testing.T, packet []byte, name string, kind uint8) {
		m := new(wire.Msg)
		if m.Unpack(packet) != nil {
			return
		}
		q, err := newQuestion(name, types[int(kind)%len(types)])
		if err != nil {
			return
		}
		asked := 0
		a, err := resolve(context.Background(), func(context.Context, question) (*wire.Msg, error) {
			asked++
			return m, nil
		}, q)
		if asked > maxCNAME+1 {
			t.Fatalf("asked %d times", asked)
		}
		if err != nil {
			kinds := 0
			for _, kind := range []error{ErrTemporary, ErrNXDomain, ErrNoHost} {
				if errors.Is(err, kind) {
					kinds++
				}
			}
			if kinds != 1 || errors.Is(err, ErrNoHost) && q.qtype != wire.TypeMX {
				t.Fatalf("error is not one of its kinds: %v", err)
			}
			if len(a.mx)+len(a.addrs)+len(a.txt) > 0 {
				t.Fatalf("error %v with an answer", err)
			}
			return
		}
		if len(a.mx) > maxMX || len(a.addrs) > maxAddrs || a.size() > maxTXT+32*maxMX+256*maxMX {
			t.Fatalf("answer out of bounds: %d MX, %d addresses, %d octets", len(a.mx), len(a.addrs), a.size())
		}
		if a.ttl < 0 || a.ttl > maxTTL {
			t.Fatalf("kept for %s", a.ttl)
		}
		for i, mx := range a.mx {
			if mx.Host != "." && !validName(mx.Host) || i > 0 && mx.Pref < a.mx[i-1].Pref {
				t.Fatalf("MX %+v", a.mx)
			}
		}
		for _, addr := range a.addrs {
			if !addr.IsValid() || addr.Is4In6() || addr.Is4() != (q.qtype == wire.TypeA) {
				t.Fatalf("address %s", addr)
			}
		}
	})
}

// FuzzTXT: what is put into a zone comes out again, octet by octet.
func FuzzTXT(f *testing.F) {
	for _, seed := range []string{"", "v=DKIM1; p=", `a\b"c`, "\x00\xff", `\032`} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if len(text) > 4000 {
			return
		}
		z := &Zone{Names: map[string]Name{"t.example": {TXT: []string{text}}}}
		m, _, err := z.reply(question{"t.example", wire.TypeTXT})
		if err != nil {
			t.Fatal(err)
		}
		m.SetQuestion("t.example.", wire.TypeTXT)
		back := new(wire.Msg)
		if err := back.Unpack(pack(m)); err != nil {
			t.Fatal(err)
		}
		a, err := read(back, question{"t.example", wire.TypeTXT}, 0)
		if err != nil || len(a.txt) != 1 || a.txt[0] != text {
			t.Fatalf("%q came back as %q, %v", text, a.txt, err)
		}
	})
}
