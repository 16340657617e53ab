package api

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"postrider/internal/apikey"
	"postrider/internal/email"
	"postrider/internal/store"
)

// Every code that can stand in errors (api.md 7 and what came after it) is produced by a
// request, and the contract lists exactly these.
func TestEveryCodeOfErrorsHappens(t *testing.T) {
	h := openHouse(t)
	h.template(receiptTemplate)
	h.addBound("narrow", email.Test, func(k *store.Key) {
		k.Scopes, k.FromDomains = []string{apikey.Send, apikey.KeysWrite}, []string{"acme.com"}
		k.Networks = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
	})
	cases := faultCases(h)
	listed, ok := h.contract.doc.Components.Schemas["Fault"].Value.Properties["code"].Value.Extensions["x-extensible-enum"].([]any)
	if !ok {
		t.Fatal("the contract lists no codes of errors")
	}
	want := make(map[string]bool)
	for _, code := range listed {
		want[fmt.Sprint(code)] = true
	}
	got := make(map[string]bool)
	for _, code := range slices.Sorted(maps.Keys(cases)) {
		got[code] = true
		a := cases[code]()
		if a.status < 400 || !slices.ContainsFunc(a.faults(), func(f string) bool { return strings.HasSuffix(f, " "+code) }) {
			t.Errorf("%s: %d %s", code, a.status, a.raw)
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("codes (-openapi.yaml +produced):\n%s", diff)
	}
}

// faultCases makes each code of errors happen.
func faultCases(h *house) map[string]func() *answer {
	post := func(path, body string, change ...asker) func() *answer {
		return func() *answer { return h.post(path, body, change...) }
	}
	send := func(body string, change ...asker) func() *answer { return post("/v1/messages", body, change...) }
	made := func(template string) func() *answer {
		return send(`{"to":"ada@acme.org","template":` + template + `}`)
	}
	live, narrow := as(h.keys["live"]), as(h.keys["narrow"])
	key := func(members string) func() *answer {
		return post("/v1/api-keys", `{"name":"x","scopes":["messages:send"],`+members+`}`, narrow)
	}
	return map[string]func() *answer{
		"required":                  send(`{}`),
		"unknown_member":            send(with(`"subjekt":"x"`)),
		"invalid_type":              send(instead("subject", "1")),
		"invalid_email":             send(instead("to", `"nobody"`)),
		"invalid_format":            send(with(`"tags":["a b"]`)),
		"too_long":                  send(instead("subject", `"`+strings.Repeat("s", 999)+`"`)),
		"too_many":                  send(with(`"tags":["` + strings.Join(strings.Split("abcdefghijk", ""), `","`) + `"]`)),
		"out_of_range":              send(with(`"ttl_seconds":1`)),
		"invalid_base64":            send(with(`"attachments":[{"filename":"a.txt","content":"*"}]`)),
		"header_not_allowed":        send(with(`"headers":{"Bcc":"x"}`)),
		"attachment_type_forbidden": send(with(`"attachments":[{"filename":"a.exe","content":"QQ=="}]`)),
		"recipient_domain_reserved": send(minimal, live),
		"scheduled_in_past":         send(with(`"scheduled_at":"2020-01-01T00:00:00Z"`)),
		"mutually_exclusive":        made(`{"id":"receipt"},"html":"<p>Hi"`),
		"unsupported_feature":       send(with(`"tracking":{"opens":true}`)),
		"smtputf8_not_supported":    send(instead("to", `"é@acme.org"`)),
		"duplicate_member":          send(with(`"to":"c@example.org"`)),
		"domain_not_verified":       send(strings.NewReplacer("acme.com", "unverified.example", "example.org", "acme.org").Replace(minimal), live),
		"unknown_parameter":         post("/v1/messages?x=1", minimal),
		"unknown_column":            func() *answer { return h.importCSV("address\na@acme.org\n") },
		"webhook_disabled": func() *answer {
			id := h.hook(minimalHook).id()
			h.patch(id, `{"enabled":false}`)
			return h.post("/v1/webhooks/"+id+"/replay", `{"since":"2026-01-01T00:00:00Z"}`)
		},
		"invalid_template":                post("/v1/templates", `{"name":"x","subject":"{{#if}}","text":"t"}`),
		"template_not_found":              made(`{"id":"nobody"}`),
		"template_not_published":          func() *answer { return h.unpublished(live) },
		"template_variables_missing":      made(`{"id":"receipt"}`),
		"template_render_failed":          func() *answer { return h.unrenderable() },
		"insufficient_scope":              post("/v1/api-keys", `{"name":"x","scopes":["messages:read"]}`, narrow),
		"from_domain_not_allowed_for_key": key(`"allowed_from_domains":["evil.example"]`),
		"ip_not_allowed":                  key(`"allowed_ips":["10.0.0.0/8"]`),
		"livemode_mismatch":               key(`"livemode":true`),
	}
}

// unpublished sends a draft with a live key.
func (h *house) unpublished(live asker) *answer {
	h.t.Helper()
	made := h.post("/v1/templates", minimalTemplate, live)
	return h.post("/v1/messages", `{"from":"a@acme.com","to":"ada@acme.org","template":{"id":"`+made.id()+`"}}`, live)
}

// unrenderable sends a template whose link is made no link by its variable.
func (h *house) unrenderable() *answer {
	h.t.Helper()
	made := h.post("/v1/templates", `{"name":"x","subject":"s","html":"<a href=\"{{url}}\">x</a>"}`)
	return h.post("/v1/messages", `{"from":"a@acme.com","to":"ada@acme.org","template":{"id":"`+made.id()+`","variables":{"url":"javascript:x"}}}`)
}
