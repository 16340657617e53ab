package app_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"sync"
	"testing"
	"time"

	"postrider/internal/app"
	"postrider/internal/apptest"
	"postrider/internal/config"
	"postrider/internal/domains"
	"postrider/internal/email"
	"postrider/internal/secret"
	"postrider/internal/shape"
	"postrider/smtpclient"
	"postrider/smtpclient/dns"
	"postrider/smtpclient/smtptest"
	"postrider/worker"
)

// internet is a DNS zone and MX hosts on loopback addresses that share a port,
// as real ones share port 25.
type internet struct {
	t    *testing.T
	zone *dns.Zone
	dns  *dns.Server
	port uint16
	mxs  []*smtptest.Server
}

func newInternet(t *testing.T) *internet {
	t.Helper()
	zone := &dns.Zone{Names: map[string]dns.Name{}, TTL: time.Second}
	server, err := zone.Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { server.Close() })
	return &internet{t: t, zone: zone, dns: server}
}

// mx starts a server and gives it a name in DNS.
func (i *internet) mx(host string, o smtptest.Options) *smtptest.Server {
	i.t.Helper()
	ip := fmt.Sprintf("127.0.1.%d", len(i.mxs)+1)
	o.Addr, o.Hostname = fmt.Sprintf("%s:%d", ip, i.port), host
	server := smtptest.New(i.t, o)
	i.port = server.Addr().Port()
	i.mxs = append(i.mxs, server)
	i.zone.Set(host, dns.Name{A: []string{ip}})
	return server
}

// domain points a domain's MX at hosts, the first preferred.
func (i *internet) domain(name string, hosts ...string) {
	var records []dns.MX
	for n, h := range hosts {
		records = append(records, dns.MX{Host: h, Pref: uint16(10 * (n + 1))})
	}
	i.zone.Set(name, dns.Name{MX: records})
}

// service is a running Postrider and a key to it.
type service struct {
	*app.App
	t   *testing.T
	key string
}

// quick is a pace at which retries take seconds.
func quick() app.Pace {
	return app.Pace{
		DNS: 200 * time.Millisecond,
		Schedule: worker.Schedule{
			Delays:  []time.Duration{time.Second},
			RateMin: time.Second, FullMin: time.Second,
			Unknown: []time.Duration{time.Second},
		},
		Timeouts: smtpclient.Timeouts{Connect: 5 * time.Second},
		Shape:    shape.Options{Pause: 10 * time.Millisecond},
		Sweep:    time.Second,
		Notify:   worker.NotifyPace{Delays: []time.Duration{10 * time.Millisecond}, Pause: 10 * time.Millisecond, Step: time.Millisecond},
	}
}

func startService(t *testing.T, redisURL string, inProcess bool, net *internet) *service {
	t.Helper()
	return serve(t, app.Options{
		Config: config.Config{
			RedisURL: redisURL, HTTPAddr: "127.0.0.1:0", Hostname: "mail.acme.test",
			ReturnPathDomain: "bounces.acme.test", DNS: net.dns.Addr(), MXPort: net.port,
			AllowedMXNetworks: []string{"127.0.0.0/8"}, WebhookAllowedNetworks: []string{"127.0.0.0/8"}, AllowReservedDomains: true,
			RequireVerifiedDomains: true, Concurrency: 128, Envelope: "domain",
		},
		Secret: secret.New(), Pace: quick(), InProcess: inProcess,
	})
}

// serve runs a Postrider until the test ends.
func serve(t *testing.T, o app.Options) *service {
	t.Helper()
	a := apptest.Start(t, o)
	return &service{App: a, t: t, key: apptest.AddKey(t, a.Store, email.Live, "test")}
}

// verifyDomain makes keys for a domain, publishes them, and checks it. It returns
// the TXT records published.
func (s *service) verifyDomain(name string, net *internet) map[string]string {
	s.t.Helper()
	_, records, err := s.Domains.Add(s.t.Context(), name)
	if err != nil {
		s.t.Fatal(err)
	}
	published := make(map[string]string)
	for _, r := range records {
		if r.Purpose == "dkim" {
			net.zone.Set(r.FQDN, dns.Name{TXT: []string{r.Value}})
			published[r.FQDN] = r.Value
		}
	}
	domain, _, err := s.Domains.Check(s.t.Context(), name)
	if err != nil || domain.Status != domains.Verified {
		s.t.Fatalf("check %s: status %v, %v", name, domain, err)
	}
	return published
}

// call makes a request and decodes the answer into result.
func (s *service) call(method, path string, body, result any) int {
	var reader io.Reader
	if body != nil {
		raw, err := json.Marshal(body)
		if err != nil {
			s.t.Error(err)
			return 0
		}
		reader = bytes.NewReader(raw)
	}
	request, err := http.NewRequest(method, s.URL()+path, reader)
	if err != nil {
		s.t.Error(err)
		return 0
	}
	request.Header.Set("Authorization", "Bearer "+s.key)
	request.Header.Set("Content-Type", "application/json")
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		s.t.Error(err)
		return 0
	}
	defer response.Body.Close()
	raw, err := io.ReadAll(response.Body)
	if err != nil {
		s.t.Error(err)
	}
	if response.StatusCode >= 300 {
		s.t.Errorf("%s %s: %d %s", method, path, response.StatusCode, raw)
		return response.StatusCode
	}
	if err := json.Unmarshal(raw, result); err != nil {
		s.t.Errorf("%s %s: %v", method, path, err)
	}
	return response.StatusCode
}

// each runs do for 0..n-1 on a few goroutines.
func each(n int, do func(i int)) {
	var group sync.WaitGroup
	next := make(chan int)
	for range 8 {
		group.Go(func() {
			for i := range next {
				do(i)
			}
		})
	}
	for i := range n {
		next <- i
	}
	close(next)
	group.Wait()
}
