package domains

import (
	"crypto"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/sha256"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/redis/go-redis/v9"

	"postrider/internal/dkim"
	"postrider/internal/redistest"
	"postrider/internal/secret"
	"postrider/internal/store"
	"postrider/smtpclient/dns"
)

// clock is a time that tests move.
type clock struct {
	mu sync.Mutex
	at time.Time
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *clock) pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
}

// house is Domains with everything real but DNS.
type house struct {
	*Domains
	zone  *dns.Zone
	clock *clock
}

func newHouse(t *testing.T) house {
	t.Helper()
	o, err := redis.ParseURL(redistest.InProcess(t))
	if err != nil {
		t.Fatal(err)
	}
	o.DisableIdentity = true
	client := redis.NewClient(o)
	t.Cleanup(func() { client.Close() })
	h := house{zone: &dns.Zone{}, clock: &clock{at: time.UnixMilli(1_750_000_000_000).UTC()}}
	h.Domains = &Domains{
		Store: store.New(client, store.Options{}).Domains, Secret: secret.New(), Resolver: h.zone,
		ReturnPathDomain: "rp.example.net", Now: h.clock.now,
	}
	return h
}

func (h house) add(t *testing.T, name string) (*store.Domain, []Record) {
	t.Helper()
	dom, records, err := h.Add(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	return dom, records
}

// publish puts a record into the zone as a careful operator does.
func (h house) publish(r Record) {
	h.zone.Change(func(names map[string]dns.Name) {
		n := names[r.FQDN]
		if r.Type == "MX" {
			n.MX = append(n.MX, dns.MX{Host: r.Value, Pref: r.Priority})
		} else {
			n.TXT = append(n.TXT, strings.Join(r.Chunks, ""))
		}
		names[r.FQDN] = n
	})
}

func find(t *testing.T, records []Record, purpose string, required bool) Record {
	t.Helper()
	for _, r := range records {
		if r.Purpose == purpose && r.Required == required {
			return r
		}
	}
	t.Fatalf("no record for %s", purpose)
	return Record{}
}

func TestAdd(t *testing.T) {
	h := newHouse(t)
	dom, records := h.add(t, " Bücher.Example. ")
	if dom.Name != "xn--bcher-kva.example" || dom.Status != Pending || !strings.HasPrefix(dom.ID, "dom_") || len(dom.Selectors) != 2 {
		t.Fatalf("%+v", dom)
	}
	stored, err := h.Store.Get(t.Context(), dom.Name)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(dom, stored); diff != "" {
		t.Errorf("returned and stored differ:\n%s", diff)
	}
	var lines []string
	for _, r := range records {
		if strings.Join(r.Chunks, "") != r.Value && r.Type == "TXT" || r.Status != Pending || r.FQDN != r.Name+"."+dom.Name {
			t.Errorf("%+v", r)
		}
		for _, c := range r.Chunks {
			if len(c) > 255 {
				t.Errorf("%s: a chunk of %d octets", r.Name, len(c))
			}
		}
		value := r.Value
		if before, _, ok := strings.Cut(value, "k=rsa; p=M"); ok {
			value = before + "k=rsa; p=M..."
		}
		lines = append(lines, fmt.Sprint(r.Purpose, " ", r.Required, " ", r.Type, " ", r.Name, " ", r.Priority, " ", value[:min(len(value), 50)]))
	}
	rsaName, edName := dom.Selectors[0].Name, dom.Selectors[1].Name
	want := []string{
		"dkim true TXT " + rsaName + "._domainkey 0 v=DKIM1; k=rsa; p=M...",
		"dkim false TXT " + edName + "._domainkey 0 " + ("v=DKIM1; k=ed25519; p=" + dom.Selectors[1].Public)[:50],
		"return_path_mx false MX bounce 10 mx.rp.example.net",
		"return_path_spf false TXT bounce 0 v=spf1 include:_spf.rp.example.net ~all",
		"dmarc false TXT _dmarc 0 v=DMARC1; p=none",
	}
	if diff := cmp.Diff(want, lines); diff != "" {
		t.Error(diff)
	}
	if !strings.HasSuffix(rsaName, "-rsa") || strings.TrimSuffix(rsaName, "rsa") != strings.TrimSuffix(edName, "ed") {
		t.Errorf("selectors %s and %s are no pair", rsaName, edName)
	}
}

func TestAddRefuses(t *testing.T) {
	h := newHouse(t)
	for _, name := range []string{
		"", "acme", "acme..com", "-acme.com", "a_b.com", "acme.com\r\nX: y", "1.2.3.4", "[1.2.3.4]", "co.uk",
		"ada@acme.com", "*.acme.com", strings.Repeat("a.", 100) + "com", strings.Repeat("x", 64) + ".com", "xn--a.com",
	} {
		if _, _, err := h.Add(t.Context(), name); !errors.Is(err, ErrName) || strings.ContainsAny(err.Error(), "\r\n") {
			t.Errorf("%q: error %v", name, err)
		}
	}
	dom, _ := h.add(t, "acme.com")
	if _, _, err := h.Add(t.Context(), "ACME.com"); !errors.Is(err, store.ErrAlreadyExists) {
		t.Errorf("twice: %v", err)
	}
	again, err := h.Store.Get(t.Context(), "acme.com")
	if err != nil || !cmp.Equal(again, dom) {
		t.Errorf("the second add changed the first: %v", err)
	}
}

func TestRecordsWithoutReturnPath(t *testing.T) {
	h := newHouse(t)
	dom, _ := h.add(t, "acme.com")
	for _, rp := range []string{"", "Bounce.acme.com."} {
		h.ReturnPathDomain = rp
		for _, r := range h.Records(dom) {
			if strings.HasPrefix(r.Purpose, "return_path") {
				t.Errorf("return path domain %q: %+v", rp, r)
			}
		}
	}
}

func TestKeysAreSealed(t *testing.T) {
	h := newHouse(t)
	dom, _ := h.add(t, "acme.com")
	for i, s := range dom.Selectors {
		private, err := h.Secret.Open(s.Sealed, "acme.com/"+s.Name)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(s.Sealed), string(private[len(private)-24:])) {
			t.Errorf("selector %d is stored in clear", i)
		}
	}
	// A sealed key moved to another selector does not open.
	moved := dom.Selectors[0]
	moved.Sealed = dom.Selectors[1].Sealed
	if _, err := h.open("acme.com", moved); err == nil {
		t.Error("a key moved to another selector opens")
	}
	h.Secret = secret.New()
	if _, err := h.Keys(t.Context(), "acme.com", []string{"acme.com/" + dom.Selectors[0].Name}); !errors.Is(err, secret.ErrOtherKey) {
		t.Errorf("another secret: %v", err)
	}
}

func names(keys []dkim.Key) []string {
	var list []string
	for _, k := range keys {
		list = append(list, k.Domain+"/"+k.Selector)
	}
	return list
}

func TestKeys(t *testing.T) {
	h := newHouse(t)
	dom, records := h.add(t, "acme.com")
	first, second := "acme.com/"+dom.Selectors[0].Name, "acme.com/"+dom.Selectors[1].Name
	if keys, err := h.Keys(t.Context(), "acme.com", nil); err != nil || len(keys) != 0 {
		t.Fatalf("before its record was seen: %v, %v", names(keys), err)
	}
	h.publish(find(t, records, "dkim", true))
	if _, _, err := h.Check(t.Context(), "acme.com"); err != nil {
		t.Fatal(err)
	}
	keys, err := h.Keys(t.Context(), "acme.com", nil)
	if err != nil || !cmp.Equal(names(keys), []string{first}) {
		t.Fatalf("with the RSA record: %v, %v", names(keys), err)
	}
	// Named keys come whether seen or not, in their order.
	for _, want := range [][]string{{}, {second}, {second, first}} {
		keys, err := h.Keys(t.Context(), "ACME.com", want)
		if err != nil || len(keys) != len(want) || len(want) > 0 && !cmp.Equal(names(keys), want) {
			t.Errorf("named %v: %v, %v", want, names(keys), err)
		}
	}
	for _, bad := range []string{"acme.com/none", "other.com/" + dom.Selectors[0].Name, dom.Selectors[0].Name, ""} {
		if keys, err := h.Keys(t.Context(), "acme.com", []string{first, bad}); !errors.Is(err, store.ErrNotFound) || keys != nil {
			t.Errorf("named %q: %v, %v", bad, names(keys), err)
		}
	}
	if keys, err := h.Keys(t.Context(), "unknown.com", nil); err != nil || len(keys) != 0 {
		t.Errorf("unknown domain: %v, %v", names(keys), err)
	}
	if _, err := h.Keys(t.Context(), "unknown.com", []string{first}); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("named key of an unknown domain: %v", err)
	}
}

// The keys sign, and what they sign fits the published records.
func TestKeysSign(t *testing.T) {
	h := newHouse(t)
	dom, _ := h.add(t, "acme.com")
	digest := sha256.Sum256([]byte("mail"))
	keys, err := h.Keys(t.Context(), "acme.com", []string{"acme.com/" + dom.Selectors[0].Name, "acme.com/" + dom.Selectors[1].Name})
	if err != nil {
		t.Fatal(err)
	}
	public, ok := keys[0].Signer.Public().(*rsa.PublicKey)
	if !ok || public.N.BitLen() != 2048 {
		t.Fatalf("first key is %T", keys[0].Signer)
	}
	signature, err := keys[0].Signer.Sign(nil, digest[:], crypto.SHA256)
	if err != nil || rsa.VerifyPKCS1v15(public, crypto.SHA256, digest[:], signature) != nil {
		t.Errorf("RSA signature: %v", err)
	}
	edPublic, ok := keys[1].Signer.Public().(ed25519.PublicKey)
	if !ok {
		t.Fatalf("second key is %T", keys[1].Signer)
	}
	signature, err = keys[1].Signer.Sign(nil, digest[:], crypto.Hash(0))
	if err != nil || !ed25519.Verify(edPublic, digest[:], signature) {
		t.Errorf("Ed25519 signature: %v", err)
	}
	// Parsed once: the second call gives the same object.
	again, err := h.Keys(t.Context(), "acme.com", []string{"acme.com/" + dom.Selectors[0].Name})
	if err != nil || again[0].Signer != keys[0].Signer {
		t.Errorf("parsed again: %v", err)
	}
}

func TestVerifiedIsExactAndShortlyRemembered(t *testing.T) {
	h := newHouse(t)
	expect := func(when, name string, ok bool, returnPath string) {
		t.Helper()
		gotOK, gotPath, err := h.Verified(t.Context(), name)
		if err != nil || gotOK != ok || gotPath != returnPath {
			t.Errorf("%s: Verified(%s) = %v, %q, %v", when, name, gotOK, gotPath, err)
		}
	}
	expect("unknown", "acme.com", false, "")
	_, records := h.add(t, "acme.com")
	expect("added", "acme.com", false, "")
	for _, r := range records {
		h.publish(r)
	}
	if _, _, err := h.Check(t.Context(), "acme.com"); err != nil {
		t.Fatal(err)
	}
	expect("checked here: at once", "acme.com", true, "bounce.acme.com")
	expect("checked", "ACME.com", true, "bounce.acme.com")
	expect("its child", "mail.acme.com", false, "")
	expect("its parent", "com", false, "")

	dom, err := h.Store.Get(t.Context(), "acme.com")
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"ACME.com": dom.ID, "mail.acme.com": ""} {
		if id, err := h.ID(t.Context(), name); err != nil || id != want {
			t.Errorf("ID(%s) = %q, %v; want %q", name, id, err, want)
		}
	}

	// A change by another process is seen after some seconds.
	other := &Domains{Store: h.Store, Secret: h.Secret, Resolver: h.zone, Now: h.clock.now}
	set := func(status string) {
		if _, err := other.Store.Update(t.Context(), "acme.com", func(dom *store.Domain) error {
			dom.Status = status
			return nil
		}); err != nil {
			t.Fatal(err)
		}
	}
	set(Pending)
	expect("changed elsewhere", "acme.com", true, "bounce.acme.com")
	h.clock.pass(keptFor)
	expect("some seconds later", "acme.com", false, "bounce.acme.com")
}

func TestMemoryIsBounded(t *testing.T) {
	var m memory
	start := time.Unix(0, 0)
	for i := range 3 * maxDomains {
		m.keepDomain(fmt.Sprint(i), nil, start.Add(time.Duration(i)*time.Millisecond), 0)
		m.keepKey(fmt.Sprint(i), dkim.Key{})
		if len(m.domains) > maxDomains || len(m.keys) > maxKeys {
			t.Fatalf("%d domains, %d keys", len(m.domains), len(m.keys))
		}
	}
	// What was read before a change is not kept after it.
	before := m.generation()
	m.forget("x")
	m.keepDomain("x", nil, start, before)
	if _, ok := m.domain("x", start); ok {
		t.Error("an old answer was kept")
	}
}
