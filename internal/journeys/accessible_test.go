package journeys

import (
	"strings"
	"testing"
)

// paths are the pages of a furnished house, by the names that their pictures have.
func (f *furnished) paths() [][2]string {
	return [][2]string{
		{"overview", "/"},
		{"messages", "/ui/messages"},
		{"message", "/ui/messages/" + f.Bounced},
		{"message-waits", "/ui/messages/" + f.Deferred},
		{"message-delivered", "/ui/messages/" + f.Delivered},
		{"inbox", "/ui/inbox"},
		{"jobs", "/ui/jobs"},
		{"queue", "/ui/jobs/bulk?state=pending"},
		{"quarantine", "/ui/jobs/quarantine"},
		{"webhooks", "/ui/webhooks"},
		{"webhook", "/ui/webhooks/" + f.Failing},
		{"delivery", f.Delivery},
		{"suppressions", "/ui/suppressions"},
		{"keys", "/ui/keys"},
		{"templates", "/ui/templates"},
		{"template", "/ui/templates/" + f.Template},
		{"template-diff", "/ui/templates/" + f.Template + "/diff"},
		{"domains", "/ui/domains"},
		{"domain", "/ui/domains/news.acme.example"},
		{"send", "/ui/send"},
		{"send-template", "/ui/send?template=" + f.Template},
		{"settings", "/ui/settings"},
		{"users", "/ui/users"},
		{"account", "/ui/account"},
	}
}

// empty are pages that have nothing to show.
func empty() []string {
	return []string{"/ui/messages?q=nobody@nowhere.example", "/ui/jobs/critical?state=pending", "/ui/templates?q=nothing", "/ui/nowhere"}
}

// TestAccessible: axe finds nothing serious on any page, light or dark, nor is one or a table
// of it wider than its screen.
func TestAccessible(t *testing.T) {
	f := openFurnished(t)
	b := startBrowser(t, f.URL())
	look := func(t *testing.T, s screen, paths []string) {
		t.Helper()
		var got struct {
			Passed int
			Found  []string
		}
		b.do(t, "accessible.pages", args{"width": s.width, "paths": paths}, &got)
		if got.Passed < 10*len(paths) {
			t.Errorf("only %d rules passed on %d pages", got.Passed, len(paths))
		}
		for _, finding := range got.Found {
			t.Errorf("%s: %s", s.name, finding)
		}
	}
	for _, s := range screens() {
		look(t, s, []string{"/ui/sign-in", strings.TrimPrefix(f.link(), f.URL())})
	}
	f.admit(t, b)
	inside := empty()
	for _, p := range f.paths() {
		inside = append(inside, p[1])
	}
	for _, s := range screens() {
		t.Run(s.name, func(t *testing.T) { look(t, s, inside) })
	}
}
