package webhook

import (
	"context"
	"crypto/x509"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	standard "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"postrider/internal/email"
	"postrider/smtpclient/dns"
)

// canary is a listener that nobody may connect to.
type canary struct {
	addr netip.AddrPort
	hits atomic.Int64
}

func newCanary(t *testing.T, addr string) *canary {
	t.Helper()
	l, err := net.Listen("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	c := &canary{addr: l.Addr().(*net.TCPAddr).AddrPort()}
	var serving sync.WaitGroup
	serving.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			c.hits.Add(1)
			conn.Close()
		}
	})
	t.Cleanup(func() {
		l.Close()
		serving.Wait()
	})
	return c
}

// received is a request as an endpoint saw it.
type received struct {
	header http.Header
	body   []byte
}

// endpoint is an HTTPS server on loopback and a Poster that may reach it.
func endpoint(t *testing.T, answer http.HandlerFunc) (p *Poster, url string, got *[]received) {
	t.Helper()
	var mu sync.Mutex
	got = &[]received{}
	s := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		mu.Lock()
		*got = append(*got, received{r.Header, body})
		mu.Unlock()
		answer(w, r)
	}))
	t.Cleanup(s.Close)
	roots := x509.NewCertPool()
	roots.AddCert(s.Certificate())
	p = New(Options{AllowedNetworks: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}, RootCAs: roots})
	return p, s.URL, got
}

func ok(http.ResponseWriter, *http.Request) {}

func message() Message {
	return Message{ID: email.NewID(email.EventPrefix), Body: []byte(`{"id":"evt_1","text":"<a@b> ` + "\u2028" + `"}`)}
}

// The library of the standard verifies what we send, with either secret while one
// is exchanged for another, and nothing that was changed or is old.
func TestStandardLibraryVerifies(t *testing.T) {
	p, url, got := endpoint(t, ok)
	before, after, foreign := NewSecret(), NewSecret(), NewSecret()
	m := message()
	a := p.Post(t.Context(), Endpoint{URL: url + "/hook?x=1", Secrets: []string{after, before}}, m)
	if !a.OK() || a.Status != 200 || len(*got) != 1 {
		t.Fatalf("Post = %+v; %d requests", a, len(*got))
	}
	r := (*got)[0]
	if string(r.body) != string(m.Body) {
		t.Errorf("the body is %q, want %q", r.body, m.Body)
	}
	for name, want := range map[string]string{"Content-Type": "application/json", "User-Agent": "Postrider-Webhooks/1", "Webhook-Id": m.ID} {
		if got := r.header.Values(name); len(got) != 1 || got[0] != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	verify := func(secret string, body []byte, h http.Header) error {
		w, err := standard.NewWebhook(secret)
		if err != nil {
			t.Fatal(err)
		}
		return w.Verify(body, h)
	}
	for _, secret := range []string{before, after} {
		if err := verify(secret, r.body, r.header); err != nil {
			t.Errorf("not verified: %v", err)
		}
	}
	if verify(foreign, r.body, r.header) == nil {
		t.Error("verified with another secret")
	}
	changed := append([]byte(nil), r.body...)
	changed[3] ^= 1
	if verify(after, changed, r.header) == nil {
		t.Error("a changed body is verified")
	}
	for _, name := range []string{"Webhook-Id", "Webhook-Timestamp"} {
		h := r.header.Clone()
		h.Set(name, strings.TrimSuffix(h.Get(name), h.Get(name)[len(h.Get(name))-1:])+"0")
		if h.Get(name) != r.header.Get(name) && verify(after, r.body, h) == nil {
			t.Errorf("verified with another %s", name)
		}
	}
	old := New(p.o)
	old.secure, old.o.Now = p.secure, func() time.Time { return time.Now().Add(-6 * time.Minute) }
	old.Post(t.Context(), Endpoint{URL: url, Secrets: []string{after}}, m)
	if verify(after, (*got)[1].body, (*got)[1].header) == nil {
		t.Error("a post of six minutes ago is verified")
	}
}

func TestAnswers(t *testing.T) {
	var hits atomic.Int64
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { hits.Add(1) }))
	defer elsewhere.Close()
	p, url, _ := endpoint(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Location", elsewhere.URL)
		w.Header().Set("Retry-After", r.URL.Query().Get("after"))
		code, err := strconv.Atoi(r.URL.Query().Get("code"))
		if err != nil {
			t.Error(err)
		}
		w.WriteHeader(code)
		_, _ = io.WriteString(w, "said\x1b]0;\n")
	})
	for _, c := range []struct {
		code  int
		after string
		want  string
		wait  time.Duration
	}{
		{200, "", "", 0},
		{202, "5", "", 0},
		{301, "", "answered 301: redirects are not followed", 0},
		{302, "", "answered 302: redirects are not followed", 0},
		{307, "", "answered 307: redirects are not followed", 0},
		{400, "", "answered 400", 0},
		{410, "", "answered 410", 0},
		{429, "7", "answered 429", 7 * time.Second},
		{503, "100000000", "answered 503", 24 * time.Hour},
		{503, "-1", "answered 503", 0},
		{500, "soon", "answered 500", 0},
	} {
		a := p.Post(t.Context(), Endpoint{URL: url + "/?code=" + strconv.Itoa(c.code) + "&after=" + c.after, Secrets: []string{NewSecret()}}, message())
		if a.Status != c.code || a.Error != c.want || a.RetryAfter != c.wait || a.OK() != (c.want == "") || a.Body != "said?]0;\n" {
			t.Errorf("%d: %+v", c.code, a)
		}
	}
	if n := hits.Load(); n != 0 {
		t.Errorf("redirects led to %d requests", n)
	}
	at := time.Now().Add(time.Hour).UTC()
	if got := retryAfter(at.Format(http.TimeFormat), at.Add(-time.Minute)); got > time.Minute || got < 59*time.Second {
		t.Errorf("a date in a minute is %v", got)
	}
}

// One that never answers, one that never ends, and one that is not there.
func TestBadEndpoints(t *testing.T) {
	done := make(chan struct{})
	defer close(done)
	p, url, _ := endpoint(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/never" {
			select {
			case <-done:
			case <-r.Context().Done():
			}
			return
		}
		page := strings.Repeat("x", 64<<10)
		for r.Context().Err() == nil {
			if _, err := io.WriteString(w, page); err != nil {
				return
			}
		}
	})
	o := p.o
	o.Total = 500 * time.Millisecond
	hasty := New(o)
	to := func(path string) Endpoint { return Endpoint{URL: url + path, Secrets: []string{NewSecret()}} }
	if a := hasty.Post(t.Context(), to("/never"), message()); a.OK() || a.Error != "no answer in time" || a.Status != 0 {
		t.Errorf("never: %+v", a)
	}
	if a := p.Post(t.Context(), to("/endless"), message()); !a.OK() || len(a.Body) != maxKept {
		t.Errorf("endless: %d octets kept, %q", len(a.Body), a.Error)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if a := p.Post(ended, to("/never"), message()); a.OK() {
		t.Errorf("ended: %+v", a)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	free := l.Addr().String()
	l.Close()
	a := p.Post(t.Context(), Endpoint{URL: "https://user:canary@" + free + "/canary?canary", Secrets: []string{NewSecret()}}, message())
	if a.OK() || strings.Contains(a.Error, "canary") {
		t.Errorf("nobody there: %+v", a)
	}
	if a := p.Post(t.Context(), Endpoint{URL: url, Secrets: []string{"whsec_canary!"}}, message()); a.OK() || strings.Contains(a.Error, "canary") {
		t.Errorf("a secret that is none: %+v", a)
	}
}

// A server whose certificate is not to be trusted is told nothing.
func TestCertificate(t *testing.T) {
	p, url, got := endpoint(t, ok)
	stranger := New(Options{AllowedNetworks: p.o.AllowedNetworks})
	a := stranger.Post(t.Context(), Endpoint{URL: url, Secrets: []string{NewSecret()}}, message())
	if a.OK() || !strings.Contains(a.Error, "certificate") || len(*got) != 0 {
		t.Errorf("%+v, %d requests", a, len(*got))
	}
}

func TestHeaders(t *testing.T) {
	p, raw, got := endpoint(t, ok)
	u, err := url.Parse(raw)
	if err != nil {
		t.Fatal(err)
	}
	u.User = url.UserPassword("ada", "pass")
	p.Post(t.Context(), Endpoint{URL: u.String(), Secrets: []string{NewSecret()}, Headers: []email.Header{
		{Name: "X-Token", Value: "abc"},
		{Name: "webhook-id", Value: "evt_forged"},
		{Name: "Content-Type", Value: "text/plain"},
		{Name: "X-Bad\r\nInjected", Value: "1"},
		{Name: "X-Worse", Value: "1\r\nInjected: 1"},
	}}, message())
	h := (*got)[0].header
	if h.Get("X-Token") != "abc" || h.Get("Webhook-Id") == "evt_forged" || h.Get("Content-Type") != "application/json" || h.Get("Injected") != "" {
		t.Errorf("the request has %v", h)
	}
	if h.Get("Authorization") != "Basic YWRhOnBhc3M=" {
		t.Errorf("Authorization: %s", h.Get("Authorization"))
	}
	if shown := Redact(u.String()); strings.Contains(shown, "ada") || strings.Contains(shown, "pass") || !strings.Contains(shown, u.Host) {
		t.Errorf("Redact = %s", shown)
	}
}

// lookups is a resolver that asks a zone.
func lookups(t *testing.T, z *dns.Zone) *net.Resolver {
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
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, network, s.Addr())
	}}
}

// However our own addresses are spelled, nobody connects to them.
func TestAcceptance13NeverReachesOurselves(t *testing.T) {
	four, six := newCanary(t, "127.0.0.1:0"), newCanary(t, "[::1]:0")
	z := &dns.Zone{Names: map[string]dns.Name{
		"home.test":  {A: []string{"127.0.0.1"}, AAAA: []string{"::1"}},
		"alias.test": {CNAME: "home.test"}, "mapped.test": {AAAA: []string{"::ffff:127.0.0.1"}},
		"meta.test": {A: []string{"169.254.169.254"}},
	}}
	resolver := lookups(t, z)
	// With proxies in the environment, and although some network is allowed.
	t.Setenv("HTTP_PROXY", "http://"+four.addr.String())
	t.Setenv("HTTPS_PROXY", "http://"+four.addr.String())
	for _, allowed := range [][]netip.Prefix{nil, {netip.MustParsePrefix("10.0.0.0/8")}} {
		p := New(Options{AllowedNetworks: allowed, Resolver: resolver, Total: 5 * time.Second})
		for _, host := range []string{
			"127.0.0.1", "127.1", "2130706433", "0177.0.0.1", "0x7f000001", "0x7f.0.0.1", "127.0.0.1.", "127.0.0.2", "0.0.0.0", "0",
			"[::1]", "[::]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[::127.0.0.1]", "[64:ff9b::127.0.0.1]", "[2002:7f00:1::1]",
			"localhost", "localhost.", "home.test", "alias.test", "mapped.test", "meta.test", "169.254.169.254", "[fe80::1%25lo]",
		} {
			for _, c := range []*canary{four, six} {
				for _, scheme := range []string{"http", "https"} {
					to := scheme + "://" + host + ":" + strconv.Itoa(int(c.addr.Port())) + "/"
					a := p.Post(t.Context(), Endpoint{URL: to, Secrets: []string{NewSecret()}}, message())
					if a.OK() || a.Status != 0 {
						t.Errorf("%s: %+v", to, a)
					}
				}
			}
		}
	}
	if n := four.hits.Load() + six.hits.Load(); n != 0 {
		t.Errorf("%d connections were made", n)
	}
}

// A name that led to an allowed address at first leads nowhere once it changed.
func TestAcceptance13Rebinding(t *testing.T) {
	p, raw, got := endpoint(t, func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Connection", "close") })
	u, err := url.Parse(raw)
	if err != nil {
		t.Fatal(err)
	}
	target := newCanary(t, "127.0.0.2:"+u.Port())
	z := &dns.Zone{Names: map[string]dns.Name{"example.com": {A: []string{"127.0.0.1"}}}}
	p = New(Options{AllowedNetworks: []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}, RootCAs: p.o.RootCAs, Resolver: lookups(t, z)})
	to := Endpoint{URL: "https://example.com:" + u.Port(), Secrets: []string{NewSecret()}}
	if a := p.Post(t.Context(), to, message()); !a.OK() {
		t.Fatalf("before: %+v", a)
	}
	z.Set("example.com", dns.Name{A: []string{"127.0.0.2"}})
	if a := p.Post(t.Context(), to, message()); a.OK() || !strings.HasPrefix(a.Error, "refused by us") {
		t.Errorf("after: %+v", a)
	}
	if len(*got) != 1 || target.hits.Load() != 0 {
		t.Errorf("%d requests, %d connections to the other address", len(*got), target.hits.Load())
	}
}

// Outside the allowed networks there is no http and no odd port: the last look says
// so, whatever was checked before.
func TestControl(t *testing.T) {
	p := New(Options{AllowedNetworks: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}})
	for _, c := range []struct {
		address       string
		secure, plain bool
	}{
		{"8.8.8.8:443", true, false},
		{"8.8.8.8:8443", true, false},
		{"8.8.8.8:80", false, false},
		{"8.8.8.8:22", false, false},
		{"10.1.2.3:443", true, true},
		{"10.1.2.3:3000", true, true},
		{"192.168.0.1:443", false, false},
		{"[2606:4700::1]:443", true, false},
		{"[::ffff:10.1.2.3]:80", true, true},
		{"name:443", false, false},
	} {
		if err := p.controlSecure("tcp", c.address, nil); (err == nil) != c.secure {
			t.Errorf("TLS to %s: %v", c.address, err)
		}
		if err := p.controlPlain("tcp", c.address, nil); (err == nil) != c.plain {
			t.Errorf("clear text to %s: %v", c.address, err)
		}
	}
}

func TestPrintable(t *testing.T) {
	for _, c := range []struct {
		in    string
		limit int
		want  string
	}{
		{"a\x00b\x1bc\n", 100, "a?b?c\n"}, {"\xff\xfe", 100, "??"}, {"abcdef", 3, "abc"}, {"ab\u00e9", 3, "ab"},
	} {
		if got := printable(c.in, c.limit); got != c.want {
			t.Errorf("printable(%q, %d) = %q, want %q", c.in, c.limit, got, c.want)
		}
	}
}
