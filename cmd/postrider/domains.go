package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"postrider/internal/app"
	"postrider/internal/config"
	"postrider/internal/domains"
	"postrider/internal/store"
)

// domainsCommand is `postrider domains ...`.
type domainsCommand struct {
	Add   domainsAdd   `cmd:"" help:"Make DKIM keys for a sending domain and print the DNS records to publish."`
	Check domainsCheck `cmd:"" help:"Look the records of a sending domain up in DNS; with its DKIM record seen it counts as verified."`
	List  domainsList  `cmd:"" help:"List the sending domains."`
}

type domainsAdd struct {
	config.Config
	Domain string `arg:"" help:"Domain in the From address, such as acme.com."`
}

type domainsCheck struct {
	config.Config
	Domain string `arg:"" help:"A domain added before."`
}

type domainsList struct{ config.Config }

// errNotVerified makes `domains check` exit non-zero for scripts that wait.
var errNotVerified = errors.New("not verified yet: publish the required record as shown; DNS may take some minutes, up to the old record's TTL")

// Run implements the command.
func (d *domainsAdd) Run(ctx context.Context, t terminal) error {
	if strings.ContainsAny(d.Domain, "@/:") {
		return errors.New("give the domain alone, such as acme.com")
	}
	return administer(ctx, d.Config, func(a *app.Administration) error {
		domain, records, err := a.Domains.Add(ctx, d.Domain)
		if errors.Is(err, store.ErrAlreadyExists) {
			return fmt.Errorf("%s was added before; `postrider domains check %[1]s` shows its records", d.Domain)
		}
		if err != nil {
			return err
		}
		fmt.Fprintf(t.out, "%s is added. Publish these DNS records:\n\n", domain.Name)
		printRecords(t.out, records)
		fmt.Fprintf(t.out, "Then run: postrider domains check %s\n", domain.Name)
		return nil
	})
}

// Run implements the command.
func (d *domainsCheck) Run(ctx context.Context, t terminal) error {
	return administer(ctx, d.Config, func(a *app.Administration) error {
		domain, records, err := a.Domains.Check(ctx, d.Domain)
		if errors.Is(err, store.ErrNotFound) {
			return fmt.Errorf("%s is no sending domain yet; `postrider domains add %[1]s` makes it one", d.Domain)
		}
		if domain == nil {
			return err
		}
		fmt.Fprintf(t.out, "%s is %s.\n\n", domain.Name, domain.Status)
		printRecords(t.out, records)
		if err != nil {
			return err
		}
		if domain.Status != domains.Verified {
			return errNotVerified
		}
		return nil
	})
}

// Run implements the command.
func (d *domainsList) Run(ctx context.Context, t terminal) error {
	return administer(ctx, d.Config, func(a *app.Administration) error {
		list, err := a.Store.Domains.List(ctx)
		if err != nil {
			return fmt.Errorf("list domains: %w", err)
		}
		if len(list) == 0 {
			fmt.Fprintln(t.out, "No sending domains yet. Add one: postrider domains add acme.com")
		}
		for _, domain := range list {
			checked := "never checked"
			if !domain.CheckedAt.IsZero() {
				checked = "checked " + domain.CheckedAt.UTC().Format(time.RFC3339)
			}
			fmt.Fprintf(t.out, "%-40s %-10s %s\n", domain.Name, domain.Status, checked)
		}
		return nil
	})
}

func administer(ctx context.Context, c config.Config, do func(*app.Administration) error) error {
	a, err := app.Administer(ctx, c)
	if err != nil {
		return err
	}
	return errors.Join(do(a), a.Close())
}

func printRecords(w io.Writer, records []domains.Record) {
	for _, r := range records {
		need := "optional"
		if r.Required {
			need = "required"
		}
		fmt.Fprintf(w, "%s (%s) %s\n", strings.ReplaceAll(r.Purpose, "_", " "), need, r.Status)
		fmt.Fprintf(w, "  name   %s\n  type   %s\n", r.FQDN, r.Type)
		if r.Type == "MX" {
			fmt.Fprintf(w, "  value  %d %s\n", r.Priority, r.Value)
		} else {
			fmt.Fprintf(w, "  value  %s\n", r.Value)
		}
		// One string of a TXT record holds 255 octets (RFC 1035 3.3).
		if len(r.Chunks) > 1 {
			fmt.Fprintf(w, "  in a zone file  \"%s\"\n", strings.Join(r.Chunks, `" "`))
		}
		for _, found := range r.Found {
			fmt.Fprintf(w, "  found  %s\n", found)
		}
		if r.Hint != "" {
			fmt.Fprintf(w, "  hint   %s\n", r.Hint)
		}
		fmt.Fprintln(w)
	}
}
