package webhook

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"postrider/internal/email"
)

func poster(cidrs ...string) *Poster {
	var o Options
	for _, s := range cidrs {
		o.AllowedNetworks = append(o.AllowedNetworks, netip.MustParsePrefix(s))
	}
	return New(o)
}

// Whatever is no usable URL, and every spelling of an address that may not be reached.
func TestCheckURLRefuses(t *testing.T) {
	production := poster()
	for _, raw := range []string{
		"", "x", "https://", "https:///hook", "https:app.acme.com", "//app.acme.com/hook", "app.acme.com", "/hook",
		"ftp://app.acme.com", "javascript:alert(1)", "file:///etc/passwd", "gopher://app.acme.com", "mailto:a@acme.com",
		"https://app.acme.com/#a", "https://app.acme.com/#", "https://app.acme.com/a b", "https://app.acme.com/a\n",
		"https://app.acme.com\\@127.0.0.1/", "https://app.acme.com:", "https://app.acme.com:0", "https://app.acme.com:65536",
		"https://app.acme.com:x", "https://app.acme.com:22", "https://app.acme.com/%zz", "https://[::1", "https://:443/",
		"https://@app.acme.com/", "https://:@app.acme.com/", "https://a%3ab:c@app.acme.com/", "https://a%00:c@app.acme.com/",
		"https://a:%0d%0ab@app.acme.com/", "https://redacted@app.acme.com/",
		"https://" + strings.Repeat("a", 2048) + ".com", "https://" + strings.Repeat("a", 64) + ".com/", "https://a..b.com/", "https://.acme.com/", "https://a!b.com/", "https://a%2eb.com/",
		"http://app.acme.com/", "http://93.184.216.34/",
		"https://127.0.0.1/", "https://127.0.0.1./", "https://127.1/", "https://127.0.1/", "https://2130706433/", "https://0x7f000001/",
		"https://0x7f.0.0.1/", "https://0177.0.0.1/", "https://017700000001/", "https://0/", "https://0x/", "https://0X7F.1/",
		"https://127.0.0.0x1/", "https://\uff11\uff12\uff17.0.0.1/", "https://127\u30020\u30020\u30021/", "https://127.0.0.1:443/",
		"https://1.2.3/", "https://1.2.3.4.5/", "https://256.1.1.1/", "https://1.2.3.04/", "https://./", "https://../",
		"https://[::1]/", "https://[0:0:0:0:0:0:0:1]/", "https://[::]/", "https://[::ffff:127.0.0.1]/", "https://[::127.0.0.1]/",
		"https://[fe80::1]/", "https://[fe80::1%25eth0]/", "https://[2606:4700::1%25eth0]/", "https://[fd00::1]/", "https://[64:ff9b::7f00:1]/",
		"https://[2002:7f00:1::]/", "https://0.0.0.0/", "https://10.1.2.3/", "https://100.64.0.1/", "https://169.254.169.254/",
		"https://172.16.0.1/", "https://192.168.0.1/", "https://198.18.0.1/", "https://224.0.0.1/", "https://255.255.255.255/",
		"https://localhost/", "https://LocalHost/", "https://localhost./", "https://a.localhost/", "https://\uff4c\uff4f\uff43\uff41\uff4c\uff48\uff4f\uff53\uff54/",
	} {
		err := production.CheckURL(raw)
		if err == nil {
			t.Errorf("%.80q passed", raw)
		} else if host := strings.Trim(strings.TrimPrefix(raw, "https://"), "/"); len(host) > 8 && strings.Contains(err.Error(), host) {
			t.Errorf("%.80q: the error repeats it: %v", raw, err)
		}
	}
}

func TestCheckURLTakes(t *testing.T) {
	for _, raw := range []string{
		"https://app.acme.com", "https://app.acme.com/", "https://app.acme.com:443/hook?a=b&c=d", "https://app.acme.com:8443/",
		"HTTPS://App.Acme.Com./", "https://user:pass%3aword@app.acme.com/", "https://user@app.acme.com/", "https://:token@app.acme.com/",
		"https://93.184.216.34/", "https://[2606:4700::1111]/", "https://b\u00fccher.example/", "https://xn--bcher-kva.example/",
		"https://my_app.acme.com/", "https://0x7f.acme.com/", "https://1.2.3.4.acme.com/", "https://app/",
	} {
		if err := poster().CheckURL(raw); err != nil {
			t.Errorf("%q: %v", raw, err)
		}
	}
}

func TestCheckURLByAllowedNetworks(t *testing.T) {
	for _, c := range []struct {
		raw     string
		allowed string
		ok      bool
	}{
		{"http://10.1.2.3:3000/", "10.0.0.0/8", true},
		{"http://app:3000/", "10.0.0.0/8", true}, // where it leads is seen when it is dialled
		{"https://app:22/", "10.0.0.0/8", true},
		{"http://192.168.0.1/", "10.0.0.0/8", false},
		{"http://93.184.216.34/", "10.0.0.0/8", false},
		{"https://93.184.216.34/", "10.0.0.0/8", true},
		{"http://localhost:3000/", "10.0.0.0/8", false},
		{"http://localhost:3000/", "127.0.0.0/8", true},
		{"http://localhost:3000/", "::1/128", true},
		{"http://127.0.0.1:3000/", "127.0.0.0/8", true},
		{"http://[::1]:3000/", "127.0.0.0/8", false},
		{"http://2130706433/", "127.0.0.0/8", false},
		{"http://127.0.0.1:3000/#a", "127.0.0.0/8", false},
	} {
		if err := poster(c.allowed).CheckURL(c.raw); (err == nil) != c.ok {
			t.Errorf("%s with %s allowed: %v", c.raw, c.allowed, err)
		}
	}
}

func FuzzCheckURL(f *testing.F) {
	for _, s := range []string{"https://app.acme.com/", "https://127.0.0.1/", "https://[::1]/", "http://a:b@c/", "https://0x7f.1#"} {
		f.Add(s)
	}
	production := poster()
	f.Fuzz(func(t *testing.T, raw string) {
		if production.CheckURL(raw) != nil {
			return
		}
		u, err := parse(raw)
		if err != nil || u.Scheme != "https" || u.Hostname() == "" {
			t.Fatalf("%q passed", raw)
		}
		if addr, err := netip.ParseAddr(u.Hostname()); err == nil && production.guard.Check(addr) != nil {
			t.Fatalf("%q passed", raw)
		}
	})
}

// What is shown of a request is what is sent, without what its owner keeps secret.
func TestShow(t *testing.T) {
	to := Endpoint{
		URL: "https://user:canary@app.acme.com/", Secrets: []string{NewSecret()},
		Headers: []email.Header{{Name: "X-Token", Value: "canary"}},
	}
	at := time.Unix(1787493909, 0)
	got, err := Show(to, Message{ID: "evt_1", Body: []byte("{}")}, at)
	if err != nil {
		t.Fatal(err)
	}
	signature, err := Sign(to.Secrets, "evt_1", at, []byte("{}"))
	if err != nil {
		t.Fatal(err)
	}
	want := []email.Header{
		{Name: "authorization", Value: "redacted"},
		{Name: "content-type", Value: "application/json"},
		{Name: "user-agent", Value: "Postrider-Webhooks/1"},
		{Name: "webhook-id", Value: "evt_1"},
		{Name: "webhook-signature", Value: signature},
		{Name: "webhook-timestamp", Value: "1787493909"},
		{Name: "x-token", Value: "redacted"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	to.Secrets = nil
	if _, err := Show(to, Message{ID: "evt_1"}, at); err == nil {
		t.Error("an endpoint without a secret can be shown")
	}
}
