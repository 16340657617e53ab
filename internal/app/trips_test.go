package app_test

import (
	"fmt"
	"math"
	"slices"
	"testing"

	"postrider/internal/app"
	"postrider/internal/config"
	"postrider/internal/redistest"
	"postrider/internal/secret"
	"postrider/smtpclient/dns"
)

// DESIGN.md 7: accepting costs the script that keeps the message and one more for its job;
// nothing for the key, its rate and its last use.
func TestRoundTripsOfAccepting(t *testing.T) {
	const messages, most, beside = 60, 2, 20
	s, proxy := countedService(t)
	send := func(i int) int64 {
		before := proxy.Trips()
		body := map[string]any{"from": "hi@acme.test", "to": "ada@plain.test", "subject": "s", "text": "t", "metadata": map[string]string{"i": fmt.Sprint(i)}}
		if status := s.call("POST", "/v1/messages", body, &struct{}{}); status != 202 {
			t.Fatalf("status %d", status)
		}
		return proxy.Trips() - before
	}
	send(-1) // the scripts, the key and a block of its rate are fetched
	var trips []int64
	var all int64
	for i := range messages {
		trips = append(trips, send(i))
		all += trips[i]
	}
	slices.Sort(trips)
	// What the process does of its own accord comes between now and then.
	if median := trips[messages/2]; median > most {
		t.Errorf("%d round trips for a message, want %d at most; all, sorted: %v", median, most, trips)
	}
	if all > messages*most+beside {
		t.Errorf("%d round trips for %d messages, want %d at most", all, messages, messages*most+beside)
	}
}

// The messages of a batch travel to Redis together, and so do their jobs, the keys of
// their own and what they supersede.
func TestRoundTripsOfABatch(t *testing.T) {
	const messages, most = 500, 60
	s, proxy := countedService(t)
	for _, member := range []string{"", "idempotency_key", "supersede"} {
		var fewest int64 = math.MaxInt64
		for round := range 4 { // the first fetches what the process then has
			items := make([]map[string]any, messages)
			for i := range items {
				items[i] = map[string]any{"to": fmt.Sprintf("user%d@plain.test", i)}
				if member != "" {
					items[i][member] = fmt.Sprintf("%d/%d", round, i)
				}
			}
			body := map[string]any{"defaults": map[string]any{"from": "hi@acme.test", "subject": "s", "text": "t"}, "messages": items}
			before := proxy.Trips()
			if status := s.call("POST", "/v1/messages/batch", body, &struct{}{}); status != 202 {
				t.Fatalf("status %d", status)
			}
			fewest = min(fewest, proxy.Trips()-before)
		}
		if fewest > most {
			t.Errorf("%d round trips for a batch of %d with %q, want %d at most", fewest, messages, member, most)
		}
	}
}

// countedService has no worker, and a proxy that counts what it asks Redis.
func countedService(t *testing.T) (*service, *redistest.Proxy) {
	t.Helper()
	zone := &dns.Zone{}
	server, err := zone.Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { server.Close() })
	proxy := redistest.NewProxy(t, redistest.Server(t))
	return serve(t, app.Options{
		Config: config.Config{
			RedisURL: proxy.URL, HTTPAddr: "127.0.0.1:0", Hostname: "mail.acme.test", DNS: server.Addr(),
			ReturnPathDomain: "bounces.acme.test", AllowReservedDomains: true, Envelope: "domain", RateLimit: 200,
			Roles: []string{config.RoleAPI},
		},
		Secret: secret.New(), Pace: quick(),
	}), proxy
}
