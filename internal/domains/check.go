package domains

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/net/publicsuffix"

	"postrider/internal/email"
	"postrider/internal/store"
	"postrider/smtpclient/dns"
)

// checkTime is how long a check may take; what was not answered by then failed.
const checkTime = 10 * time.Second

// Check looks all records of a domain up, with fresh answers, and stores what it
// saw. It takes nothing back: a record that was seen keeps its key signing, and a
// verified domain stays verified; only a return path that is seen wrong is given
// up, because mail then has another. A lookup that fails changes nothing and is
// told in the record's Hint; if it was for a required record it is returned as an
// error that wraps dns.ErrTemporary, beside domain and records. Other errors wrap
// store.ErrNotFound or ErrName, or come from the store.
func (d *Domains) Check(ctx context.Context, name string) (*store.Domain, []Record, error) {
	name, err := parseName(name)
	if err != nil {
		return nil, nil, fmt.Errorf("check domain: %w", err)
	}
	dom, err := d.Store.Get(ctx, name)
	if err != nil {
		return nil, nil, fmt.Errorf("check domain %s: %w", name, err)
	}
	records := d.Records(dom)
	answered, failed := d.look(ctx, name, records)
	if answered {
		now := d.now()
		dom, err = d.Store.Update(ctx, name, func(dom *store.Domain) error {
			apply(dom, records, now)
			return nil
		})
		d.memory.forget(name)
		if err != nil {
			return nil, nil, fmt.Errorf("check domain %s: %w", name, err)
		}
	}
	if failed != nil {
		failed = fmt.Errorf("check domain %s: %w", name, failed)
	}
	return dom, records, failed
}

// look checks all records at once. answered: any could be; failed: the failures of
// required ones.
func (d *Domains) look(ctx context.Context, domain string, records []Record) (answered bool, failed error) {
	ctx, cancel := context.WithTimeout(ctx, checkTime)
	defer cancel()
	c := checker{resolver: d.Resolver, domain: domain, zone: domain}
	// The recursive resolver may still remember; what we remember we can skip.
	if r, ok := d.Resolver.(interface{ Fresh() dns.Resolver }); ok {
		c.resolver = r.Fresh()
	}
	if zone, err := publicsuffix.EffectiveTLDPlusOne(domain); err == nil {
		c.zone = zone
	}
	faults := make([]error, len(records))
	var group sync.WaitGroup
	for i := range records {
		group.Go(func() { faults[i] = c.check(ctx, &records[i]) })
	}
	group.Wait()
	for i, err := range faults {
		answered = answered || err == nil
		if err != nil && records[i].Required {
			failed = errors.Join(failed, err)
		}
	}
	return answered, failed
}

// apply writes what was seen into the domain. Records that could not be looked up
// still have the state they had before.
func apply(dom *store.Domain, records []Record, now time.Time) {
	dom.CheckedAt = now
	var mx, spf string
	for _, r := range records {
		switch {
		case r.Purpose == purposeMX:
			mx = r.Status
		case r.Purpose == purposeSPF:
			spf = r.Status
		case r.Purpose == purposeDKIM && r.Status == Verified && r.fresh():
			for i := range dom.Selectors {
				if dkimName(dom.Selectors[i]) == r.Name {
					dom.Selectors[i].SeenAt = now
				}
			}
			if r.Required {
				dom.Status = Verified
			}
		}
	}
	switch {
	case mx == Verified && spf == Verified:
		dom.ReturnPath = returnPathHost(dom.Name)
	case wrong(mx) || wrong(spf):
		dom.ReturnPath = ""
	}
}

func wrong(status string) bool { return status == Missing || status == Mismatch }

// fresh reports whether the state is from this check: then something was found.
func (r Record) fresh() bool { return len(r.Found) > 0 }

// checker compares records with DNS.
type checker struct {
	resolver dns.Resolver
	domain   string
	zone     string // the registered domain above, or the domain itself
}

// check sets Status, Found and Hint. On an error the Status stays as it was.
func (c checker) check(ctx context.Context, r *Record) error {
	found, err := c.lookup(ctx, r.Type, r.FQDN)
	if err != nil {
		r.Hint = printable("DNS could not be asked, and nothing was changed: " + err.Error())
		return err
	}
	r.Status, r.Hint = judge(r, found)
	if r.Required && r.Status == Verified && c.nullMX(ctx) {
		// RFC 7505 4.2: many receivers refuse mail from such a domain (5.7.27).
		r.Status = Mismatch
		r.Hint = "the domain says that it takes no mail (null MX), and many receivers then refuse mail from it: give it an MX that takes mail, or remove the null MX"
	}
	r.Found = show(found)
	if r.Status == Missing {
		c.lookElsewhere(ctx, r)
	}
	return nil
}

// nullMX reports whether the domain is seen to take no mail (RFC 7505 3): its only MX is
// the root. DNS that does not answer says nothing.
func (c checker) nullMX(ctx context.Context) bool {
	list, err := c.resolver.MX(ctx, c.domain)
	return err == nil && len(list) > 0 && !slices.ContainsFunc(list, func(mx dns.MX) bool { return mx.Host != "." })
}

// lookup gives the records of a name as text; none if the name does not exist.
func (c checker) lookup(ctx context.Context, kind, name string) (found []string, err error) {
	if kind == "MX" {
		var list []dns.MX
		list, err = c.resolver.MX(ctx, name)
		for _, mx := range list {
			found = append(found, mxText(mx))
		}
	} else {
		found, err = c.resolver.TXT(ctx, name)
	}
	switch {
	case errors.Is(err, dns.ErrNXDomain):
		return nil, nil
	case errors.Is(err, dns.ErrNoHost):
		return []string{"(" + dns.ErrNoHost.Error() + ")"}, nil
	}
	return found, err
}

// lookElsewhere looks for a missing record where the forms of DNS providers put it
// by mistake, and for the policy that a domain above sets (RFC 7489 6.6.3).
func (c checker) lookElsewhere(ctx context.Context, r *Record) {
	above := r.Name + "." + c.zone
	if r.Purpose == purposeDMARC && c.zone != c.domain && c.right(ctx, r, above) {
		r.Status = Verified
		r.Hint = "the policy of " + c.zone + " applies; publish one here only to differ from it"
		return
	}
	const appended = "your DNS provider's form appended the zone"
	places := []struct{ name, why string }{{r.FQDN + "." + c.zone, appended}}
	if c.zone != c.domain {
		places = append(places, struct{ name, why string }{r.FQDN + "." + c.domain, appended},
			struct{ name, why string }{above, "the domain's own label is missing in the name"})
	}
	for _, p := range places {
		if c.right(ctx, r, p.name) {
			r.Hint = fmt.Sprintf("the record exists at %s: %s; in the zone %s enter the name %s",
				p.name, p.why, c.zone, strings.TrimSuffix(r.FQDN, "."+c.zone))
			return
		}
	}
}

func (c checker) right(ctx context.Context, r *Record, name string) bool {
	found, err := c.lookup(ctx, r.Type, name)
	if err != nil {
		return false
	}
	status, _ := judge(r, found)
	return status == Verified
}

// Bounds of what is shown.
const (
	maxFound = 10
	maxShown = 1024
)

func show(found []string) []string {
	var shown []string
	for _, s := range found[:min(len(found), maxFound)] {
		shown = append(shown, printable(s))
	}
	return shown
}

// printable makes text from DNS fit for terminals and pages.
func printable(s string) string {
	if len(s) > maxShown {
		s = s[:maxShown] + "..."
	}
	return strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' || email.IsBidiControl(r) {
			return '?'
		}
		return r
	}, s)
}
