package app

import (
	"context"
	"fmt"
	"net/http"
	"strings"

	"postrider/internal/config"
	"postrider/internal/dashboard"
	"postrider/internal/email"
	"postrider/internal/signin"
)

// Pages are the dashboard of this process, with o for what is not the same everywhere.
func (a *App) Pages(o dashboard.Options) http.Handler {
	o.Store, o.Queue, o.Desk, o.Domains, o.Poster = a.Store, a.Queue, a.Desk, a.Domains, a.poster
	o.Log, o.Version = a.options.Log, a.options.Version
	o.Health = func(ctx context.Context) []dashboard.Check {
		var list []dashboard.Check
		for _, c := range a.Checks(ctx) {
			list = append(list, dashboard.Check(c))
		}
		return list
	}
	if a.Sandbox != nil {
		o.Inbox = a.Sandbox.Inbox
	}
	return dashboard.New(o)
}

// Settings are the options in force, for people.
func Settings(c config.Config) []dashboard.Setting {
	var list []dashboard.Setting
	for _, option := range c.List() {
		list = append(list, dashboard.Setting{Name: option.Name, Value: option.Value, About: option.Help})
	}
	return list
}

// withDashboard puts the dashboard, which people sign in to, beside the API. Where
// nobody can administer yet, the log has a link for who will.
func (a *App) withDashboard(ctx context.Context, door http.Handler) (http.Handler, error) {
	c := a.options.Config
	proxies, err := config.Prefixes(c.TrustedProxies)
	if err != nil {
		return nil, fmt.Errorf("POSTRIDER_TRUSTED_PROXIES: %w", err)
	}
	desk := signin.New(signin.Options{Store: a.Store, Log: a.options.Log, Metrics: signin.NewMetrics(a.registry)})
	link, err := desk.First(ctx)
	if err != nil {
		return nil, fmt.Errorf("make a link for the first administrator: %w", err)
	}
	base := strings.TrimSuffix(c.PublicURL, "/")
	if link != "" {
		a.options.Log.Warn("nobody can administer the dashboard yet: who opens this link first does", "link", base+signin.LinkPath+link, "good_for", desk.LinkFor.String())
	}
	pages := a.Pages(dashboard.Options{
		SignIn: desk, Proxies: proxies, BaseURL: base, Worlds: []email.World{email.Live, email.Test}, Settings: Settings(a.options.Config),
	})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/" || strings.HasPrefix(r.URL.Path, "/ui/") {
			pages.ServeHTTP(w, r)
			return
		}
		door.ServeHTTP(w, r)
	}), nil
}
