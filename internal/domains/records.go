package domains

import (
	"fmt"
	"strings"

	"postrider/internal/store"
)

// The purposes of a Record.
const (
	purposeDKIM  = "dkim"
	purposeMX    = "return_path_mx"
	purposeSPF   = "return_path_spf"
	purposeDMARC = "dmarc"
)

// maxChunk is the longest string of a TXT record (RFC 1035 3.3.14).
const maxChunk = 255

const mxPriority = 10

// Record is one DNS record to publish (api.md 16).
type Record struct {
	Purpose  string // dkim, return_path_mx, return_path_spf, dmarc
	Required bool   // to count as verified
	Type     string // TXT, MX
	Name     string // relative to the domain
	FQDN     string // without the trailing dot
	Value    string
	Chunks   []string // of at most 255 octets, for TXT: the strings of one record
	Priority uint16   // of MX
	Status   string   // pending, verified, missing, mismatch
	Found    []string // what stands in DNS, printable; after Check only
	Hint     string   // what is probably wrong, or why it could not be checked; for people
}

// Records lists what to publish for a domain, with the states known from earlier
// checks: the RSA key (required), the Ed25519 key, its own return path if there is
// a ReturnPathDomain, and a DMARC policy to start with.
func (d *Domains) Records(dom *store.Domain) []Record {
	var records []Record
	for _, s := range dom.Selectors {
		r := txt(purposeDKIM, dom.Name, dkimName(s), fmt.Sprintf("v=DKIM1; k=%s; p=%s", s.Algorithm, s.Public))
		r.Required = s.Algorithm == algorithmRSA
		r.Status = known(!s.SeenAt.IsZero())
		records = append(records, r)
	}
	host, target := returnPathHost(dom.Name), d.returnPathDomain()
	// A domain whose bounce host is the return path of all has no need of its own.
	if target != "" && target != host {
		status := known(dom.ReturnPath == host)
		mx := record(purposeMX, dom.Name, "bounce", "mx."+target)
		mx.Type, mx.Priority, mx.Status = "MX", mxPriority, status
		spf := txt(purposeSPF, dom.Name, "bounce", "v=spf1 include:"+spfHost(target)+" ~all")
		spf.Status = status
		records = append(records, mx, spf)
	}
	return append(records, txt(purposeDMARC, dom.Name, "_dmarc", "v=DMARC1; p=none"))
}

func record(purpose, domain, name, value string) Record {
	return Record{Purpose: purpose, Name: name, FQDN: name + "." + domain, Value: value, Status: Pending}
}

func txt(purpose, domain, name, value string) Record {
	r := record(purpose, domain, name, value)
	r.Type = "TXT"
	for rest := value; rest != ""; {
		n := min(len(rest), maxChunk)
		r.Chunks, rest = append(r.Chunks, rest[:n]), rest[n:]
	}
	return r
}

func known(seen bool) string {
	if seen {
		return Verified
	}
	return Pending
}

// dkimName is where a key stands (RFC 6376 3.6.2.1).
func dkimName(s store.Selector) string { return s.Name + "._domainkey" }

func returnPathHost(domain string) string { return "bounce." + domain }

func spfHost(returnPathDomain string) string { return "_spf." + returnPathDomain }

func (d *Domains) returnPathDomain() string {
	return strings.ToLower(strings.TrimSuffix(d.ReturnPathDomain, "."))
}
