package dashboard

import (
	"context"
	"errors"
	"strings"
	"time"

	"postrider/internal/domains"
	"postrider/internal/store"
)

// checkLimit bounds how long DNS is asked for one domain.
const checkLimit = 15 * time.Second

type domainsPage struct {
	frame
	part
	List []*store.Domain
	None bool // this process does not know them
}

// domains is all sending domains. They belong to the installation, not to a world.
func (d *dashboard) domains(v *visit) error {
	p := domainsPage{frame: d.frame(v, "Domains"), None: d.Domains == nil}
	list, err := d.Store.Domains.List(v.Context())
	if err == nil {
		p.List, p.part, err = partOf(v, "/ui/domains", list, func(dom *store.Domain) string { return dom.Name })
	}
	if err != nil {
		return err
	}
	return d.render(v, "domains.html", p)
}

type domainPage struct {
	frame
	Domain  *store.Domain
	Records []domains.Record
	Checked bool   // just now
	Failed  string // why it could not be looked up
}

// domain is one of them, with the records to publish.
func (d *dashboard) domain(v *visit) error {
	dom, err := d.Store.Domains.Get(v.Context(), v.PathValue("name"))
	if err != nil {
		return err
	}
	if d.Domains == nil {
		return store.ErrNotFound
	}
	return d.render(v, "domain.html", domainPage{frame: d.frame(v, dom.Name), Domain: dom, Records: d.Domains.Records(dom)})
}

// addDomain makes keys for a domain.
func (d *dashboard) addDomain(v *visit) (string, error) {
	if d.Domains == nil {
		return "", store.ErrNotFound
	}
	dom, _, err := d.Domains.Add(v.Context(), strings.TrimSpace(v.PostFormValue("name")))
	switch {
	case errors.Is(err, domains.ErrName):
		return "", refused("Mail cannot be sent from %q: it is no domain such as acme.com.", v.PostFormValue("name"))
	case errors.Is(err, store.ErrAlreadyExists):
		return "", refused("This domain is there already.")
	case err != nil:
		return "", err
	}
	v.did(dom.Name, "")
	return done("/ui/domains/"+dom.Name, "added"), nil
}

// checkDomain looks the records up and shows what was found.
func (d *dashboard) checkDomain(v *visit) (string, error) {
	if d.Domains == nil {
		return "", store.ErrNotFound
	}
	ctx, cancel := context.WithTimeout(v.Context(), checkLimit)
	defer cancel()
	dom, records, err := d.Domains.Check(ctx, v.PathValue("name"))
	if dom == nil {
		return "", err
	}
	p := domainPage{frame: d.frame(v, dom.Name), Domain: dom, Records: records, Checked: true}
	if err == nil {
		v.did(dom.Name, "")
	} else {
		p.Failed = "DNS could not be asked for all of it. What was known before stays."
	}
	return "", d.render(v, "domain.html", p)
}
