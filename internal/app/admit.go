package app

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"postrider/internal/config"
	"postrider/internal/store"
)

// The words of the refusals that are decided here; the store has more.
const (
	noReturnPath = "no-return-path"
	noHostname   = "no-hostname"
)

// Refused is an installation that would lose mail or could not send it.
type Refused struct {
	Faults []store.Fault // fatal ones
}

// Error names each fault with its word.
func (r *Refused) Error() string {
	var b strings.Builder
	b.WriteString("this installation is not safe to run:")
	words := make([]string, len(r.Faults))
	for i, f := range r.Faults {
		fmt.Fprintf(&b, "\n  %s: %s", f.Word, f.Text)
		words[i] = f.Word
	}
	fmt.Fprintf(&b, "\nTo run it all the same: POSTRIDER_ALLOW_UNSAFE=%s", strings.Join(words, ","))
	return b.String()
}

// UnsafeWords lists all words that POSTRIDER_ALLOW_UNSAFE knows.
func UnsafeWords() []string {
	words := append(store.UnsafeWords(), noReturnPath, noHostname)
	slices.Sort(words)
	return words
}

// checkUnsafe refuses what is no word of UnsafeWords.
func checkUnsafe(words []string) error {
	for _, word := range words {
		if !slices.Contains(UnsafeWords(), word) {
			return fmt.Errorf("POSTRIDER_ALLOW_UNSAFE: there is no refusal %q; there are %s", word, strings.Join(UnsafeWords(), ", "))
		}
	}
	return nil
}

// openGuard watches Redis. Who brings a secret of its own, as dev does, keeps no
// files unless it says where.
func (a *App) openGuard() error {
	c := a.options.Config
	dir := c.DataDir
	if a.options.Secret == nil {
		var err error
		if dir, err = mirrorDir(c); err != nil {
			return err
		}
	}
	if dir == "" && !a.options.InProcess {
		a.options.Log.Warn("no POSTRIDER_DATA_DIR: a Redis that was emptied while every process was away is not noticed")
	}
	a.health.mirrored = dir != ""
	a.guard = a.Store.Guard(store.GuardOptions{Allowed: c.AllowUnsafe, DataDir: dir, Log: a.options.Log, Every: a.options.Pace.Inspect, Restarted: func() {
		if a.worker != nil {
			a.worker.SweepNow()
		}
	}})
	return nil
}

// admit refuses what is not safe and not allowed, and says in the log what is
// weaker than it could be.
func (a *App) admit(ctx context.Context) error {
	c := a.options.Config
	var fatal []store.Fault
	var unsafe *store.Refusal
	switch err := a.guard.Start(ctx); {
	case errors.As(err, &unsafe):
		fatal = unsafe.Faults
	case errors.Is(err, store.ErrEpoch):
		return fmt.Errorf("%w; look what became of it, then run `postrider fsck --accept-epoch`", err)
	case err != nil:
		return err
	}
	for _, f := range directFaults(c) {
		if f.Fatal && !c.Allows(f.Word) {
			fatal = append(fatal, f)
			continue
		}
		a.options.Log.Warn("not as safe as it could be", "fault", f.Word, "what", f.Text)
	}
	if len(fatal) > 0 {
		return &Refused{Faults: fatal}
	}
	return nil
}

// directFaults are what keeps this installation from delivering to MX hosts. A
// relay for all mail has a name and takes bounces in our place.
func directFaults(c config.Config) []store.Fault {
	var faults []store.Fault
	direct := c.Relay == ""
	if c.ReturnPathDomain == "" {
		faults = append(faults, store.Fault{Word: noReturnPath, Fatal: direct, Text: fmt.Sprintf(
			"POSTRIDER_RETURN_PATH_DOMAIN is not set, so bounces go to %s: set it to a domain whose mail reaches you", returnPathDomain(c))})
	}
	if name := hostname(c); c.Has(config.RoleWorker) && direct && !isFQDN(name) {
		faults = append(faults, store.Fault{Word: noHostname, Fatal: true, Text: fmt.Sprintf(
			"%q is no full host name to say EHLO with (RFC 5321 4.1.1.1), and many hosts refuse such mail: set POSTRIDER_HOSTNAME to a name that resolves to this machine, such as mail.acme.com", name)})
	}
	return faults
}

// returnPathDomain is the domain of reverse-paths; bounces of a machine without
// one return to the machine itself.
func returnPathDomain(c config.Config) string { return cmp.Or(c.ReturnPathDomain, hostname(c)) }

func hostname(c config.Config) string {
	name := c.Hostname
	if name == "" {
		name, _ = os.Hostname() // a machine without a name is localhost
	}
	return cmp.Or(strings.TrimSuffix(name, "."), "localhost")
}

// isFQDN tells a name that others can look up from one of this machine alone.
func isFQDN(name string) bool {
	labels := strings.Split(name, ".")
	top := labels[len(labels)-1]
	return len(labels) > 1 && top != "localdomain" && top != "local" && strings.Trim(top, "0123456789") != ""
}
