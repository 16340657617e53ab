package app

import (
	"context"
	"fmt"

	"postrider/internal/email"
	"postrider/internal/sandbox"
	"postrider/smtpclient"
	"postrider/smtpclient/dns"
	"postrider/smtpclient/mx"
)

// routes says where an envelope goes: sandbox first, then a relay for its
// domain, the relay for all, or its MX hosts (DESIGN.md 5).
type routes struct {
	sandbox  *sandbox.Sandbox
	resolver dns.Resolver
	byDomain map[string]*mx.Relay
	relay    *mx.Relay // nil: none
	planner  *mx.Planner
}

func (a *App) routes(resolver dns.Resolver) (*routes, error) {
	c := a.options.Config
	r := &routes{
		sandbox: a.Sandbox, resolver: resolver, byDomain: make(map[string]*mx.Relay),
		planner: &mx.Planner{Resolver: resolver, Port: c.MXPort, Self: []string{hostname(c)}},
	}
	if c.Relay != "" {
		relay, err := mx.ParseRelay(c.Relay)
		if err != nil {
			return nil, fmt.Errorf("POSTRIDER_RELAY: %w", err)
		}
		r.relay = relay
	}
	urls, err := c.RouteURLs()
	if err != nil {
		return nil, fmt.Errorf("POSTRIDER_ROUTES: %w", err)
	}
	for domain, url := range urls {
		relay, err := mx.ParseRelay(url)
		if err != nil {
			return nil, fmt.Errorf("POSTRIDER_ROUTES for %s: %w", domain, err)
		}
		r.byDomain[domain] = relay
	}
	return r, nil
}

// relayConnections is how many connections a relay gets at once: it is the operator's
// own, and servers commonly give one client twice this many.
const relayConnections = 20

// rules are the providers that get another number of connections than the rest.
func (r *routes) rules() map[string]int {
	rules := make(map[string]int)
	for _, relay := range r.byDomain {
		rules[relay.Provider()] = relayConnections
	}
	if r.relay != nil {
		rules[r.relay.Provider()] = relayConnections
	}
	return rules
}

// Plan implements worker.Router.
func (r *routes) Plan(ctx context.Context, m *email.Message, envelope int) (smtpclient.Plan, error) {
	e := m.Envelopes[envelope]
	if e.Sandbox {
		return r.sandbox.Plan(ctx, m.Recipients[e.Recipients[0]].Address.Email)
	}
	if relay, ok := r.byDomain[e.Domain]; ok {
		return relay.Plan(ctx, r.resolver)
	}
	if r.relay != nil {
		return r.relay.Plan(ctx, r.resolver)
	}
	return r.planner.Plan(ctx, e.Domain)
}
