package app_test

import (
	"os/exec"
	"strings"
	"testing"
)

// importRule forbids imports to packages, and says why. A path that ends in
// "..." stands for all below it.
type importRule struct {
	reason string
	from   []string // the packages it binds
	except []string // of those, the ones it does not bind
	deny   []string // what they must not import ...
	allow  []string // ... unless it is one of these
}

// leaves are the rooms that know only the vocabulary.
func leaves() []string {
	return []string{"internal/store", "internal/bounce", "internal/shape", "internal/queue", "internal/webhook", "internal/track", "internal/events"}
}

func importRules() []importRule {
	return []importRule{
		{
			reason: "email is the vocabulary at the bottom: whoever speaks it must not drag another room in",
			from:   []string{"internal/email"}, deny: []string{"postrider/..."},
		},
		{
			reason: "store, bounce, shape, queue, webhook, track and events are leaves: joined only by those who use them, so that each can be read and tested alone",
			from:   leaves(), except: []string{"internal/webhook"}, deny: []string{"postrider/..."}, allow: []string{"postrider/internal/email"},
		},
		{
			reason: "webhook is a leaf too, but which addresses may not be dialled is said in one place",
			from:   []string{"internal/webhook"}, deny: []string{"postrider/..."}, allow: []string{"postrider/internal/email", "postrider/smtpclient/guard"},
		},
		{
			reason: "smtpclient is a library of its own: others use it without Postrider",
			from:   []string{"smtpclient/..."}, deny: []string{"postrider/..."}, allow: []string{"postrider/smtpclient/..."},
		},
		{
			reason: "templates is a library of its own",
			from:   []string{"templates/..."}, deny: []string{"postrider/..."}, allow: []string{"postrider/templates/..."},
		},
		{reason: "the Go client is for apps: standard library only", from: []string{"client/..."}, deny: []string{"postrider/..."}, allow: []string{"postrider/client/..."}},
		{
			reason: "the doors meet in intake, events and store: what one door can do must not hang on another, nor on the worker",
			from:   []string{"api/...", "internal/dashboard/...", "internal/smtpd/..."},
			deny:   []string{"postrider/api/...", "postrider/internal/dashboard/...", "postrider/internal/smtpd/...", "postrider/worker/..."},
		},
		{
			reason: "the worker is the queued half: it runs where no door is open",
			from:   []string{"worker/..."}, deny: []string{"postrider/api/...", "postrider/internal/dashboard/...", "postrider/internal/smtpd/...", "postrider/internal/intake/..."},
		},
		{
			reason: "only app knows both halves, so that the wiring is in one place",
			from:   []string{"..."}, except: []string{"internal/app", "bench/..."}, deny: []string{"postrider/worker/..."},
		},
		{
			reason: "asynq has one importer: jobs are typed, and its surprises are handled once",
			from:   []string{"..."}, except: []string{"internal/queue", "bench/..."}, deny: []string{"github.com/hibiken/asynq/..."},
		},
		{
			reason: "Gin is how the doors are built, nothing else",
			from:   []string{"..."}, except: []string{"api/...", "internal/dashboard/...", "bench/..."}, deny: []string{"github.com/gin-gonic/gin/..."},
		},
		{
			reason: "state is reached through store and queue: key names and scripts in one place",
			from:   []string{"..."}, except: []string{"internal/store", "internal/queue", "internal/convoy", "internal/app", "internal/dev", "bench/..."},
			deny: []string{"github.com/redis/go-redis/..."},
		},
		{
			reason: "net/smtp and net/textproto read without limits and must not meet hostile servers",
			from:   []string{"..."}, deny: []string{"net/smtp", "net/textproto"},
		},
		{
			reason: "test servers do not belong into the product",
			from:   []string{"..."}, except: []string{"bench/..."}, deny: []string{"postrider/smtpclient/smtptest", "postrider/internal/redistest", "postrider/internal/apptest", "postrider/internal/logtest", "postrider/internal/interop", "net/http/httptest"},
		},
	}
}

// TestImportRules holds the DAG of the packages (docs/architecture.md). It looks
// at what the packages themselves import; their tests may reach further.
func TestImportRules(t *testing.T) {
	packages := imports(t)
	if len(packages) < 10 {
		t.Fatalf("only %d packages found: is this the module's root?", len(packages))
	}
	for _, rule := range importRules() {
		for pkg, imported := range packages {
			if !matchAny(rule.from, pkg) || matchAny(rule.except, pkg) {
				continue
			}
			for _, path := range imported {
				if matchAny(rule.deny, path) && !matchAny(rule.allow, path) {
					t.Errorf("%s must not import %s: %s", pkg, path, rule.reason)
				}
			}
		}
	}
}

// TestImportRuleMatching keeps the rules from matching nothing.
func TestImportRuleMatching(t *testing.T) {
	for _, c := range []struct {
		pattern, path string
		want          bool
	}{
		{"postrider/...", "postrider/api", true},
		{"smtpclient/...", "smtpclient", true},
		{"smtpclient/...", "smtpclient/mx", true},
		{"smtpclient/...", "smtpclients", false},
		{"internal/store", "internal/store/x", false},
		{"...", "anything", true},
	} {
		if got := matchAny([]string{c.pattern}, c.path); got != c.want {
			t.Errorf("%s matches %s: %v, want %v", c.pattern, c.path, got, c.want)
		}
	}
}

// imports maps each package, without the module's name, to what it imports.
func imports(t *testing.T) map[string][]string {
	t.Helper()
	list := exec.Command("go", "list", "-tags", "nomsgpack", "-f", `{{.ImportPath}} {{join .Imports " "}}`, "postrider/...")
	out, err := list.CombinedOutput()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, out)
	}
	packages := make(map[string][]string)
	for line := range strings.Lines(string(out)) {
		words := strings.Fields(line)
		packages[strings.TrimPrefix(words[0], "postrider/")] = words[1:]
	}
	return packages
}

func matchAny(patterns []string, path string) bool {
	for _, p := range patterns {
		prefix, all := strings.CutSuffix(p, "...")
		switch {
		case p == path, all && prefix == "":
			return true
		case all && (path == strings.TrimSuffix(prefix, "/") || strings.HasPrefix(path, prefix)):
			return true
		}
	}
	return false
}
