package dashboard

import (
	"net/http"
	"net/netip"
	"slices"
	"strings"

	"postrider/internal/signin"
)

// place is where a request comes from, and by which browser.
func (d *dashboard) place(r *http.Request) signin.Place {
	return signin.Place{Network: d.network(r), Browser: browser(r.UserAgent())}
}

// secure reports whether the browser came by https, perhaps to a proxy of ours.
func (d *dashboard) secure(r *http.Request) bool {
	return r.TLS != nil || strings.HasPrefix(d.BaseURL, "https://") ||
		d.trusted(peer(r)) && r.Header.Get("X-Forwarded-Proto") == "https"
}

func peer(r *http.Request) netip.Addr {
	a, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{}
	}
	return a.Addr().Unmap()
}

func (d *dashboard) trusted(a netip.Addr) bool {
	return slices.ContainsFunc(d.Proxies, func(p netip.Prefix) bool { return p.Contains(a) })
}

// network is where a request comes from: an IPv4 address, or the /64 of an IPv6 one,
// which one customer has whole. Of X-Forwarded-For counts what trusted proxies wrote.
func (d *dashboard) network(r *http.Request) string {
	a := peer(r)
	hops := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
	for i := len(hops) - 1; i >= 0 && d.trusted(a); i-- {
		hop, err := netip.ParseAddr(strings.TrimSpace(hops[i]))
		if err != nil {
			break
		}
		a = hop.Unmap()
	}
	if a.Is6() {
		p, _ := a.WithZone("").Prefix(64)
		return p.String()
	}
	return a.String()
}

// browser is in short what calls itself so; empty: it is none that people know. Of what
// stands in the header nothing is repeated.
func browser(agent string) string {
	name := firstOf(agent, [][2]string{
		{"Edg", "Edge"},
		{"OPR/", "Opera"},
		{"SamsungBrowser/", "Samsung Internet"},
		{"Firefox/", "Firefox"},
		{"FxiOS/", "Firefox"},
		{"Chrome/", "Chrome"},
		{"CriOS/", "Chrome"},
		{"Safari/", "Safari"},
	})
	system := firstOf(agent, [][2]string{
		{"Android", "Android"}, {"iPhone", "iPhone"}, {"iPad", "iPad"}, {"CrOS", "ChromeOS"}, {"Windows", "Windows"}, {"Macintosh", "Mac"}, {"Linux", "Linux"},
	})
	if name == "" || system == "" {
		return name
	}
	return name + " on " + system
}

// firstOf is the name of the first mark that is in a text.
func firstOf(text string, names [][2]string) string {
	for _, n := range names {
		if strings.Contains(text, n[0]) {
			return n[1]
		}
	}
	return ""
}
