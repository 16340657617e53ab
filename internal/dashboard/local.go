package dashboard

import (
	"net/http"
	"net/netip"
	"strings"
)

// LocalOnly hands requests that do not name this machine in their Host header
// (localhost, 127.0.0.0/8 or [::1], any port) to another handler, which refuses them.
//
// A foreign web page can point a name of its own at 127.0.0.1 and would then
// share an origin with what listens here (DNS rebinding); the Host header gives
// it away.
func LocalOnly(h, refusal http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if localHost(r.Host) {
			h.ServeHTTP(w, r)
			return
		}
		refusal.ServeHTTP(w, r)
	})
}

// localHost reads the Host header (RFC 9110 7.2): a name or address, and
// optionally a port.
func localHost(host string) bool {
	name, port := host, ""
	if i := strings.LastIndexByte(host, ':'); i >= 0 && !strings.HasSuffix(host, "]") {
		name, port = host[:i], host[i+1:]
	}
	if strings.Trim(port, "0123456789") != "" {
		return false
	}
	if strings.EqualFold(name, "localhost") {
		return true
	}
	if inner, ok := strings.CutPrefix(name, "["); ok {
		inner, ok = strings.CutSuffix(inner, "]")
		addr, err := netip.ParseAddr(inner)
		return ok && err == nil && addr == netip.IPv6Loopback()
	}
	addr, err := netip.ParseAddr(name)
	return err == nil && addr.Is4() && addr.IsLoopback()
}
