package dns

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	wire "github.com/miekg/dns"
)

// serve starts a zone's server and a Client that asks it and forgets at once.
func serve(t testing.TB, z *Zone) *Client {
	t.Helper()
	s, err := z.Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return client(t, ClientOptions{Server: s.Addr(), MinTTL: -1, FailureTTL: -1})
}

func client(t testing.TB, o ClientOptions) *Client {
	t.Helper()
	c, err := NewClient(o)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// world is a zone with one name for each kind of answer.
func world() *Zone {
	names := map[string]Name{
		"example.org": {MX: []MX{{"mx2.example.org", 20}, {"MX1.example.org", 10}}, A: []string{"192.0.2.80"}},
		"mx1.example.org": {
			A:    []string{"192.0.2.1", "192.0.2.2", "192.0.2.1"},
			AAAA: []string{"2001:db8::1", "::ffff:192.0.2.9"},
		},
		"only4.example.org": {A: []string{"192.0.2.4"}},
		"null.example":      {MX: []MX{{".", 0}}},
		"empty.example":     {TXT: []string{"v=spf1 -all", ""}},
		"deep.below.here":   {},
		"alias.example":     {CNAME: "example.org"},
		"dangling.example":  {CNAME: "nowhere.example"},
		"loop.example":      {CNAME: "pool.example"},
		"pool.example":      {CNAME: "loop.example"},
		"self.example":      {CNAME: "self.example"},
		"servfail.example":  {Fault: Fault{ServFail: Always}},
		"refused.example":   {Fault: Fault{Refused: true}},
		"half.example":      {A: []string{"192.0.2.5"}, Fault: Fault{Only: "AAAA", ServFail: Always}},
		"half2.example":     {Fault: Fault{Only: "A", ServFail: Always}},
		"referral.example":  {MX: []MX{{"mx1.example.org", 1}}, A: []string{"192.0.2.80"}, Fault: Fault{Referral: true}},
		"litmx.example":     {MX: []MX{{"192.0.2.7", 1}, {"2001:db8::7", 2}}},
		"litnull.example":   {MX: []MX{{".", 1}, {"192.0.2.7", 2}}},
		"halflit.example":   {MX: []MX{{"192.0.2.7", 1}, {"mx1.example.org", 3}}},
		"badmx.example":     {MX: []MX{{"mail host.example", 1}, {"*.example", 5}, {"-.-!", 2}}},
		"mixedmx.example":   {MX: []MX{{"bad host.example", 1}, {".", 2}, {"mx1.example.org", 3}}},
		"text.example": {TXT: []string{
			strings.Repeat("long", 200), "back\\slash \"quote\" \x00\xff\r\n;", "v=DKIM1; k=rsa; p=AA\\032",
		}},
		"bad.example": {A: []string{"192.0.2.300"}},
	}
	for i := range 9 {
		names[fmt.Sprintf("chain%d.example", i)] = Name{CNAME: fmt.Sprintf("chain%d.example", i+1)}
	}
	names["chain9.example"] = Name{MX: []MX{{"mx1.example.org", 1}}}
	many := Name{}
	for i := range 1000 {
		many.MX = append(many.MX, MX{fmt.Sprintf("mx%d.many.example", i), uint16(1000 - i)})
		many.A = append(many.A, fmt.Sprintf("198.51.%d.%d", i/250, i%250))
		many.AAAA = append(many.AAAA, fmt.Sprintf("2001:db8::%x", i+1))
	}
	names["many.example"] = many
	return &Zone{Names: names}
}

// both runs test against the zone itself and against a Client over the wire.
func both(t *testing.T, z *Zone, test func(t *testing.T, r Resolver)) {
	t.Run("direct", func(t *testing.T) { test(t, z) })
	t.Run("wire", func(t *testing.T) { test(t, serve(t, z)) })
}

func check[T any](t *testing.T, what string, got T, err error, want T, wantErr error) {
	t.Helper()
	if !errors.Is(err, wantErr) {
		t.Errorf("%s: error %v, want %v", what, err, wantErr)
	}
	if diff := cmp.Diff(fmt.Sprint(want), fmt.Sprint(got)); diff != "" {
		t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

func TestMX(t *testing.T) {
	usual := []MX{{"mx1.example.org", 10}, {"mx2.example.org", 20}}
	both(t, world(), func(t *testing.T, r Resolver) {
		for name, c := range map[string]struct {
			want []MX
			err  error
		}{
			"example.org":                            {usual, nil},
			"EXAMPLE.org.":                           {usual, nil},
			"alias.example":                          {usual, nil},
			"null.example":                           {[]MX{{".", 0}}, nil},
			"empty.example":                          {nil, nil},
			"below.here":                             {nil, nil},
			"nowhere.example":                        {nil, ErrNXDomain},
			"dangling.example":                       {nil, ErrNXDomain},
			"loop.example":                           {nil, ErrTemporary},
			"self.example":                           {nil, ErrTemporary},
			"chain0.example":                         {nil, ErrTemporary}, // 9 CNAMEs
			"chain1.example":                         {[]MX{{"mx1.example.org", 1}}, nil},
			"servfail.example":                       {nil, ErrTemporary},
			"refused.example":                        {nil, ErrTemporary},
			"referral.example":                       {nil, ErrTemporary},
			"badmx.example":                          {nil, ErrNoHost},
			"litmx.example":                          {nil, ErrNoHost},
			"litnull.example":                        {nil, ErrNoHost},
			"halflit.example":                        {[]MX{{"mx1.example.org", 3}}, nil},
			"mixedmx.example":                        {[]MX{{".", 2}, {"mx1.example.org", 3}}, nil},
			"":                                       {nil, ErrNXDomain},
			".":                                      {nil, ErrNXDomain},
			"a..b":                                   {nil, ErrNXDomain},
			"under_score.org.":                       {nil, ErrNXDomain},
			"a b.example.org":                        {nil, ErrNXDomain},
			"line\r\nend.org":                        {nil, ErrNXDomain},
			"exämple.org":                            {nil, ErrNXDomain},
			strings.Repeat("a", 64) + ".example.org": {nil, ErrNXDomain},
			strings.Repeat("a.", 127) + "org":        {nil, ErrNXDomain},
		} {
			got, err := r.MX(t.Context(), name)
			check(t, "MX of "+name, got, err, c.want, c.err)
		}
	})
}

func TestAddrs(t *testing.T) {
	parse := func(list ...string) (addrs []netip.Addr) {
		for _, s := range list {
			addrs = append(addrs, netip.MustParseAddr(s))
		}
		return addrs
	}
	both(t, world(), func(t *testing.T, r Resolver) {
		for name, c := range map[string]struct {
			want []netip.Addr
			err  error
		}{
			"mx1.example.org":   {parse("2001:db8::1", "192.0.2.1", "192.0.2.2"), nil},
			"only4.example.org": {parse("192.0.2.4"), nil},
			"alias.example":     {parse("192.0.2.80"), nil},
			"empty.example":     {nil, nil},
			"nowhere.example":   {nil, ErrNXDomain},
			"half.example":      {parse("192.0.2.5"), ErrTemporary},
			"half2.example":     {nil, ErrTemporary},
			"servfail.example":  {nil, ErrTemporary},
			"referral.example":  {nil, ErrTemporary},
			"bad.example":       {nil, ErrTemporary},
		} {
			got, err := r.Addrs(t.Context(), name)
			check(t, "addresses of "+name, got, err, c.want, c.err)
		}
	})
}

func TestTXT(t *testing.T) {
	both(t, world(), func(t *testing.T, r Resolver) {
		for name, c := range map[string]struct {
			want []string
			err  error
		}{
			"text.example":    {world().Names["text.example"].TXT, nil},
			"empty.example":   {[]string{"v=spf1 -all", ""}, nil},
			"example.org":     {nil, nil},
			"nowhere.example": {nil, ErrNXDomain},
		} {
			got, err := r.TXT(t.Context(), name)
			if !errors.Is(err, c.err) || !cmp.Equal(got, c.want) {
				t.Errorf("TXT of %s = %q, %v; want %q, %v", name, got, err, c.want, c.err)
			}
		}
	})
}

// Large answers come by TCP and are cut to the caps.
func TestCaps(t *testing.T) {
	z := world()
	both(t, z, func(t *testing.T, r Resolver) {
		mx, err := r.MX(t.Context(), "many.example")
		if err != nil || len(mx) != maxMX || mx[0].Pref != 1 || mx[19].Pref != 20 {
			t.Errorf("MX: %v, %v; want the 20 most preferred", mx, err)
		}
		addrs, err := r.Addrs(t.Context(), "many.example")
		if err != nil || len(addrs) != maxAddrs {
			t.Fatalf("addresses: %d, %v", len(addrs), err)
		}
		for i, a := range addrs {
			if a.Is4() != (i%2 == 1) {
				t.Errorf("address %d is %s: want both families in turn", i, a)
			}
		}
	})
	m := new(wire.Msg)
	for range 300 {
		m.Answer = append(m.Answer, &wire.TXT{
			Hdr: wire.RR_Header{Name: "t.example.", Rrtype: wire.TypeTXT, Class: wire.ClassINET}, Txt: []string{strings.Repeat("x", 255)},
		})
	}
	a, err := read(m, question{"t.example", wire.TypeTXT}, 0)
	if err != nil || a.size() > maxTXT || len(a.txt) != maxTXT/255 {
		t.Errorf("TXT: %d records of %d octets, %v", len(a.txt), a.size(), err)
	}
}

// Chains are followed also if the server gives one CNAME at a time.
func TestOneCNAMEAtATime(t *testing.T) {
	z := world()
	z.OneStep = true
	both(t, z, func(t *testing.T, r Resolver) {
		for name, want := range map[string]error{
			"chain1.example": nil, "chain0.example": ErrTemporary, "loop.example": ErrTemporary, "self.example": ErrTemporary,
			"dangling.example": ErrNXDomain, "alias.example": nil,
		} {
			if _, err := r.MX(t.Context(), name); !errors.Is(err, want) {
				t.Errorf("%s: error %v, want %v", name, err, want)
			}
		}
	})
}

func TestErrorsNameTheQuestion(t *testing.T) {
	both(t, world(), func(t *testing.T, r Resolver) {
		_, err := r.MX(t.Context(), "servfail.example")
		for _, part := range []string{"MX of servfail.example", "SERVFAIL", "temporary DNS failure"} {
			if err == nil || !strings.Contains(err.Error(), part) {
				t.Errorf("error %v does not say %q", err, part)
			}
		}
		_, err = r.MX(t.Context(), "nowhere.example")
		if err == nil || !strings.Contains(err.Error(), "MX of nowhere.example") {
			t.Errorf("error %v does not name the question", err)
		}
	})
}

func TestZoneChanges(t *testing.T) {
	z := &Zone{}
	both(t, z, func(t *testing.T, r Resolver) {
		z.Remove("new.example")
		if _, err := r.TXT(t.Context(), "new.example"); !errors.Is(err, ErrNXDomain) {
			t.Fatalf("before: %v", err)
		}
		z.Set("new.example", Name{TXT: []string{"one"}, Fault: Fault{ServFail: 2}})
		for i := range 2 {
			if _, err := r.TXT(t.Context(), "new.example"); !errors.Is(err, ErrTemporary) {
				t.Fatalf("failure %d: %v", i, err)
			}
		}
		got, err := r.TXT(t.Context(), "new.example")
		check(t, "after two failures", got, err, []string{"one"}, nil)
		z.Change(func(names map[string]Name) { names["new.example"] = Name{TXT: []string{"two"}} })
		got, err = r.TXT(t.Context(), "new.example")
		check(t, "after the change", got, err, []string{"two"}, nil)
	})
	if n := z.Queries("new.example", "TXT"); n != 10 {
		t.Errorf("%d queries counted, want 10", n)
	}
}

func TestZoneSilentAndSlow(t *testing.T) {
	z := &Zone{Names: map[string]Name{
		"silent.example": {Fault: Fault{Silent: true}},
		"slow.example":   {MX: []MX{{"mx.example", 1}}, Fault: Fault{Delay: time.Millisecond}},
		"late.example":   {Fault: Fault{Delay: time.Hour}},
	}}
	if _, err := z.MX(t.Context(), "silent.example"); !errors.Is(err, ErrTemporary) {
		t.Errorf("silent: %v", err)
	}
	both(t, z, func(t *testing.T, r Resolver) {
		if mx, err := r.MX(t.Context(), "slow.example"); err != nil || len(mx) != 1 {
			t.Errorf("slow: %v, %v", mx, err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		defer cancel()
		_, err := r.MX(ctx, "late.example")
		if !errors.Is(err, ErrTemporary) || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("late: %v", err)
		}
	})
}
