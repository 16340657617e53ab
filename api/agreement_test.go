package api

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
)

// What a message may hold by the contract, the service takes, and the other way round:
// each value at an edge, as a member beside the minimal message.
func TestSchemaAndServiceAgree(t *testing.T) {
	h := openHouse(t)
	text := func(s string) string { b, _ := json.Marshal(s); return string(b) }
	rep := func(s string, n int) string { return text(strings.Repeat(s, n)) }
	field := func(name, value string) string { return fmt.Sprintf(`"headers":{%s:%s}`, text(name), value) }
	file := func(member, value string) string {
		return fmt.Sprintf(`"attachments":[{"filename":"a.txt","content":"QQ==",%q:%s}]`, member, value)
	}
	named := func(name string) string {
		return fmt.Sprintf(`"attachments":[{"filename":%s,"content":"QQ=="}]`, text(name))
	}
	from := func(value string) string { return `"from":` + value }
	list := func(name string, n int) string {
		return fmt.Sprintf(`%q:[%s"b@example.org"]`, name, strings.Repeat(`"b@example.org",`, n-1))
	}
	for members, ok := range map[string]bool{
		`"subject":"a\tb"`: true, `"subject":"a\nb"`: false, `"subject":"a\u007fb"`: false, `"subject":"a\u0085b"`: false,
		`"subject":"a\u202eb"`: false, `"subject":"a\u2066b"`: false, `"subject":"a\u200bb"`: true, `"subject":""`: false,
		`"subject":` + rep("é", 998): true, `"subject":` + rep("é", 999): false,
		field("X-A", text("a\tb")): true, field("X-A", text("a\vb")): false, field("X-A", text("\u202ea")): true, field("X-A", text("")): false,
		field("X-A", text(" \t ")): false, field("X-A", text("\t a ")): true, field("X-A", rep("a", 8192)): true, field("X-A", rep("a", 8193)): false,
		field(strings.Repeat("X", 76), `"a"`):                       true,
		from(`{"email":"a@acme.com","name":` + rep("名", 320) + `}`): true, from(`{"email":"a@acme.com","name":` + rep("n", 321) + `}`): false,
		from(`{"email":"a@acme.com","name":"a\tb"}`): false, from(`{"email":"a@acme.com","name":"a\u202eb"}`): false,
		from(`{"email":"a@acme.com","name":"a\u0001b"}`): false, from(`"A\u2069 <a@acme.com>"`): false, from(`"A\tB <a@acme.com>"`): false,
		list("to", 200): true, list("to", 201): false, list("cc", 200): true, list("cc", 201): false, list("bcc", 201): false,
		file("content_id", `"a.b@c.d"`): true, file("content_id", `""`): true, file("content_id", `"a..b"`): false, file("content_id", `".a"`): false,
		file("content_id", `"a@b@c"`): false, file("content_id", `"a@"`): false, file("content_id", rep("a", 128)): true, file("content_id", rep("a", 129)): false,
		file("content_type", `"a/b\u202e"`): false, file("content_type", `"a/b;c=`+strings.Repeat("x", 249)+`"`): true,
		file("content_type", `"a/b;c=`+strings.Repeat("x", 250)+`"`): false,
		named("a b.txt"): true, named("a\tb"): false, named("a/b"): false, named(`a\b`): false, named(" .. "): false, named("a\u2067b"): false,
		named(". a"): true, named(strings.Repeat("é", 255)): true, named(strings.Repeat("é", 256)): false,
	} {
		name := fmt.Sprintf("%.60s", members)
		body := "{" + members
		for _, m := range []string{`"from":"a@acme.com"`, `"to":"b@example.org"`, `"subject":"s"`, `"text":"t"`} {
			if member, _, _ := strings.Cut(m, ":"); !strings.HasPrefix(members, member+":") {
				body += "," + m
			}
		}
		body += "}"
		if err := h.contract.compare([]byte(body), "components", "schemas", "SendRequest"); (err == nil) != ok {
			t.Errorf("%s: the contract says %v, want %v: %.300v", name, err == nil, ok, err)
		}
		if a := h.post("/v1/messages", body); (a.status == 202) != ok || a.status != 202 && a.status != 422 {
			t.Errorf("%s: the service says %d, want %v: %s", name, a.status, ok, a.raw)
		}
	}
}

// api.md 7: the domain that is not verified is named, with its id if it has one.
func TestDomainNotVerifiedNamesTheDomain(t *testing.T) {
	h := openHouse(t)
	for domain, id := range map[string]any{"unverified.example": "dom_01k3b8v4z0e9x8d6w5s4r3q2p1", "unknown.example": nil} {
		a := h.post("/v1/messages", `{"from":"a@`+domain+`","to":"b@acme.org","subject":"s","text":"t"}`, as(h.keys["live"]))
		h.want(a, 422, string(domainNotVerified))
		got, given := a.body["domain_id"]
		if a.body["domain"] != domain || !given || got != id {
			t.Errorf("domain %v, domain_id %v (given %v), want %v", a.body["domain"], got, given, id)
		}
	}
	a := h.post("/v1/messages", `{}`)
	if _, given := a.body["domain_id"]; given {
		t.Errorf("another problem has a domain_id: %s", a.raw)
	}
}
