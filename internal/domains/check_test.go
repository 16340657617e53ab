package domains

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"postrider/internal/store"
	"postrider/smtpclient/dns"
)

func (h house) check(t *testing.T, name string) (*store.Domain, []Record) {
	t.Helper()
	dom, records, err := h.Check(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	return dom, records
}

func statuses(records []Record) string {
	var list []string
	for _, r := range records {
		list = append(list, r.Status)
	}
	return strings.Join(list, " ")
}

func TestCheckInSteps(t *testing.T) {
	h := newHouse(t)
	_, records := h.add(t, "acme.com")
	step := func(what, wantStatuses, wantDomain, wantReturnPath string) *store.Domain {
		t.Helper()
		h.clock.pass(time.Minute)
		dom, got := h.check(t, "ACME.com.")
		if statuses(got) != wantStatuses || dom.Status != wantDomain || dom.ReturnPath != wantReturnPath {
			t.Errorf("%s: %s; %s, return path %q", what, statuses(got), dom.Status, dom.ReturnPath)
		}
		if !dom.CheckedAt.Equal(h.clock.now()) {
			t.Errorf("%s: checked at %s", what, dom.CheckedAt)
		}
		return dom
	}
	step("nothing", "missing missing missing missing missing", Pending, "")
	h.publish(records[1])
	dom := step("Ed25519", "missing verified missing missing missing", Pending, "")
	if !dom.Selectors[0].SeenAt.IsZero() || dom.Selectors[1].SeenAt.IsZero() {
		t.Error("the wrong key was seen")
	}
	h.publish(records[0])
	step("RSA", "verified verified missing missing missing", Verified, "")
	h.publish(records[2])
	step("MX", "verified verified verified missing missing", Verified, "")
	h.publish(records[3])
	step("SPF", "verified verified verified verified missing", Verified, "bounce.acme.com")
	h.publish(records[4])
	dom = step("DMARC", "verified verified verified verified verified", Verified, "bounce.acme.com")
	if got := statuses(h.Records(dom)); got != "verified verified verified verified pending" {
		t.Errorf("known without asking: %s", got)
	}
	seenAt := dom.Selectors[0].SeenAt

	// Asking takes nothing back but a return path that leads nowhere.
	h.zone.Change(func(names map[string]dns.Name) { clear(names) })
	dom = step("all gone", "missing missing missing missing missing", Verified, "")
	if !dom.Selectors[0].SeenAt.Equal(seenAt) {
		t.Errorf("seen at %s, want %s: when it was last seen right", dom.Selectors[0].SeenAt, seenAt)
	}
}

func TestFailingDNSChangesNothing(t *testing.T) {
	for name, fault := range map[string]dns.Fault{
		"SERVFAIL": {ServFail: dns.Always}, "refused": {Refused: true}, "silent": {Silent: true},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHouse(t)
			_, records := h.add(t, "acme.com")
			for _, r := range records {
				h.publish(r)
			}
			before, _ := h.check(t, "acme.com")
			h.clock.pass(time.Hour)
			h.zone.Change(func(names map[string]dns.Name) {
				for key, n := range names {
					n.Fault = fault
					names[key] = n
				}
			})
			dom, got, err := h.Check(t.Context(), "acme.com")
			if !errors.Is(err, dns.ErrTemporary) {
				t.Fatalf("error %v", err)
			}
			if diff := cmp.Diff(before, dom); diff != "" {
				t.Errorf("the domain changed:\n%s", diff)
			}
			if statuses(got) != "verified verified verified verified pending" {
				t.Errorf("statuses %s", statuses(got))
			}
			for _, r := range got {
				if !strings.Contains(r.Hint, "DNS could not be asked") || r.Found != nil {
					t.Errorf("%s: hint %q, found %q", r.Purpose, r.Hint, r.Found)
				}
			}
		})
	}
}

// An MX that is there and names no host is wrong, not unknown.
func TestMXThatNamesNoHost(t *testing.T) {
	h := newHouse(t)
	_, records := h.add(t, "acme.com")
	for _, r := range records {
		h.publish(r)
	}
	h.zone.Change(func(names map[string]dns.Name) {
		n := names["bounce.acme.com"]
		n.MX = []dns.MX{{Host: "192.0.2.1", Pref: 10}}
		names["bounce.acme.com"] = n
	})
	dom, got := h.check(t, "acme.com")
	if statuses(got) != "verified verified mismatch verified verified" || dom.ReturnPath != "" {
		t.Errorf("%s, return path %q", statuses(got), dom.ReturnPath)
	}
	if mx := got[2]; !strings.Contains(mx.Hint, "another host") || len(mx.Found) != 1 {
		t.Errorf("hint %q, found %q", mx.Hint, mx.Found)
	}
}

// A domain that says that it takes no mail is none to send from (RFC 7505 4.2). One that
// was verified before stays so, and is told.
func TestNullMX(t *testing.T) {
	h := newHouse(t)
	_, records := h.add(t, "acme.com")
	for _, r := range records {
		h.publish(r)
	}
	mx := func(list ...dns.MX) {
		h.zone.Change(func(names map[string]dns.Name) {
			n := names["acme.com"]
			n.MX = list
			names["acme.com"] = n
		})
	}
	mx(dns.MX{Host: "."})
	dom, got := h.check(t, "acme.com")
	if got[0].Status != Mismatch || !strings.Contains(got[0].Hint, "null MX") || dom.Status != Pending {
		t.Errorf("null MX: %s (%s), domain %s", got[0].Status, got[0].Hint, dom.Status)
	}
	for _, list := range [][]dns.MX{{{Host: "mx.acme.com", Pref: 10}}, {{Host: "."}, {Host: "mx.acme.com", Pref: 10}}} {
		mx(list...)
		if dom, got = h.check(t, "acme.com"); got[0].Status != Verified || dom.Status != Verified {
			t.Errorf("%v: %s, domain %s", list, got[0].Status, dom.Status)
		}
	}
	mx(dns.MX{Host: "."})
	if dom, got = h.check(t, "acme.com"); got[0].Status != Mismatch || dom.Status != Verified {
		t.Errorf("null MX later: %s, domain %s", got[0].Status, dom.Status)
	}
}

// A failing lookup of one record keeps the others from nothing.
func TestOneFailure(t *testing.T) {
	h := newHouse(t)
	_, records := h.add(t, "acme.com")
	for _, r := range records {
		h.publish(r)
	}
	h.zone.Change(func(names map[string]dns.Name) {
		n := names["bounce.acme.com"]
		n.Fault = dns.Fault{Only: "TXT", ServFail: 1}
		names["bounce.acme.com"] = n
	})
	dom, got := h.check(t, "acme.com")
	if statuses(got) != "verified verified verified pending verified" || dom.Status != Verified || dom.ReturnPath != "" {
		t.Errorf("%s; %s, %q", statuses(got), dom.Status, dom.ReturnPath)
	}
	if dom, _ = h.check(t, "acme.com"); dom.ReturnPath != "bounce.acme.com" {
		t.Error("the next check did not see the return path")
	}
}

func TestCheckUnknown(t *testing.T) {
	h := newHouse(t)
	if _, _, err := h.Check(t.Context(), "acme.com"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("unknown: %v", err)
	}
	if _, _, err := h.Check(t.Context(), "acme"); !errors.Is(err, ErrName) {
		t.Errorf("no domain: %v", err)
	}
}

// Check sees what is published now, not what a resolver of ours remembers.
func TestCheckIsFresh(t *testing.T) {
	h := newHouse(t)
	h.zone.TTL = time.Hour
	server, err := h.zone.Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	if h.Resolver, err = dns.NewClient(dns.ClientOptions{Server: server.Addr()}); err != nil {
		t.Fatal(err)
	}
	_, records := h.add(t, "acme.com")
	if _, got := h.check(t, "acme.com"); got[0].Status != Missing {
		t.Fatalf("before: %s", got[0].Status)
	}
	h.publish(records[0])
	if dom, got := h.check(t, "acme.com"); got[0].Status != Verified || dom.Status != Verified {
		t.Errorf("after: %s", got[0].Status)
	}
}

func TestHintsAboutPlaces(t *testing.T) {
	for _, c := range []struct {
		name, domain string
		place        func(r Record) string
		hint         string
	}{
		{"zone appended", "acme.com", func(r Record) string { return r.FQDN + ".acme.com" }, "appended the zone; in the zone acme.com enter the name NAME"},
		{"zone appended to a subdomain", "mail.acme.com", func(r Record) string { return r.FQDN + ".acme.com" }, "appended the zone; in the zone acme.com enter the name NAME.mail"},
		{"domain appended to a subdomain", "mail.acme.com", func(r Record) string { return r.FQDN + ".mail.acme.com" }, "enter the name NAME.mail"},
		{"label forgotten", "mail.acme.com", func(r Record) string { return r.Name + ".acme.com" }, "label is missing in the name; in the zone acme.com enter the name NAME.mail"},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := newHouse(t)
			_, records := h.add(t, c.domain)
			for _, r := range records[:4] {
				r.FQDN = c.place(r)
				h.publish(r)
			}
			dom, got := h.check(t, c.domain)
			for _, r := range got[:4] {
				want := strings.ReplaceAll(c.hint, "NAME", r.Name)
				if r.Status != Missing || !strings.Contains(r.Hint, want) || !strings.Contains(r.Hint, c.place(r)) {
					t.Errorf("%s: %s, hint %q, want %q", r.Purpose, r.Status, r.Hint, want)
				}
			}
			if dom.Status != Pending {
				t.Error("verified by a record in the wrong place")
			}
		})
	}
}

func TestPolicyOfTheDomainAbove(t *testing.T) {
	h := newHouse(t)
	h.add(t, "mail.acme.com")
	h.zone.Set("_dmarc.acme.com", dns.Name{TXT: []string{"v=DMARC1; p=reject"}})
	_, got := h.check(t, "mail.acme.com")
	if r := find(t, got, "dmarc", false); r.Status != Verified || !strings.Contains(r.Hint, "policy of acme.com applies") {
		t.Errorf("%+v", r)
	}
}

func TestFoundIsBoundedAndPrintable(t *testing.T) {
	h := newHouse(t)
	_, records := h.add(t, "acme.com")
	texts := []string{"\x1b]0;evil\a\r\n\u202e" + strings.Repeat("x", 3000)}
	for range 30 {
		texts = append(texts, "k=\x1b[31m;p=\x00")
	}
	h.zone.Set(records[0].FQDN, dns.Name{TXT: texts})
	_, got := h.check(t, "acme.com")
	r := got[0]
	if r.Status != Mismatch || len(r.Found) != maxFound || len(r.Found[0]) > maxShown+3 {
		t.Errorf("%s, %d found, first of %d octets", r.Status, len(r.Found), len(r.Found[0]))
	}
	for _, s := range append(r.Found, r.Hint) {
		if strings.ContainsFunc(s, func(c rune) bool { return c < ' ' || c > '~' }) {
			t.Errorf("not printable: %q", s)
		}
	}
}
