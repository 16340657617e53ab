package api

import (
	"bytes"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"postrider/internal/endpoint"

	"github.com/google/go-cmp/cmp"
)

// hookWith is the minimal endpoint with members put in front.
func hookWith(members string) string {
	return `{` + members + `,"url":"https://app.acme.com/hook","events":["*"]}`
}

// hookAt is an endpoint at a URL, as a JSON string without its quotes.
func hookAt(url string) string { return `{"url":"` + url + `","events":["*"]}` }

// Everything that may be wrong with an endpoint: the right answer, and nothing happened.
func TestWebhookRefuses(t *testing.T) {
	h := openHouse(t, func(o *Options) { o.Poster = nil }) // as in production
	for _, tt := range slices.Concat(wrongHooks(), wrongHookURLs(), wrongHookHeaders()) {
		t.Run(tt.name, func(t *testing.T) {
			a := h.post("/v1/webhooks", tt.body, header("Idempotency-Key", "refused"))
			h.want(a, tt.status, string(tt.code))
			if diff := cmp.Diff(tt.faults, a.faults()); diff != "" {
				t.Errorf("faults (-want +got):\n%s", diff)
			}
			for _, value := range []string{"canary", "169.254"} {
				if bytes.Contains(a.raw, []byte(value)) {
					t.Errorf("the answer repeats a value: %s", a.raw)
				}
			}
		})
	}
	if data := h.get("/v1/webhooks").data(); len(data) != 0 {
		t.Errorf("stored: %v", data)
	}
	if a := h.hook(minimalHook, header("Idempotency-Key", "refused")); a.header.Get("Idempotent-Replayed") != "" {
		t.Error("a refusal used its Idempotency-Key up")
	}
}

// A change is refused as a whole, for the same reasons.
func TestWebhookPatchRefuses(t *testing.T) {
	h := openHouse(t, func(o *Options) { o.Poster = nil })
	id := h.hook(`{"url":"https://u:p@app.acme.com/hook","events":["*"],"description":"d"}`).id()
	before := h.get("/v1/webhooks/" + id)
	for _, tt := range []refusal{
		{"no JSON", `{`, 400, malformedJSON, nil},
		{"twice", `{"url":"a","url":"b"}`, 400, duplicateMember, []string{"#/url duplicate_member"}},
		{"array", `[]`, 422, validationFailed, []string{"# invalid_type"}},
		{"unknown", `{"description":"e","secret":"whsec_x","id":"wh_x"}`, 422, validationFailed, []string{"#/secret unknown_member", "#/id unknown_member"}},
		{"no events", `{"description":"e","events":[]}`, 422, validationFailed, []string{"#/events required"}},
		{"private", `{"description":"e","url":"https://10.0.0.1/"}`, 422, validationFailed, []string{"#/url invalid_format"}},
		{"what was shown", `{"url":"https://redacted@app.acme.com/hook"}`, 422, validationFailed, []string{"#/url invalid_format"}},
		{"two authorizations", `{"headers":{"authorization":"Bearer x"}}`, 422, validationFailed, []string{"#/headers/Authorization mutually_exclusive"}},
		{"later", `{"batch":true}`, 422, validationFailed, []string{"#/batch unsupported_feature"}},
		{
			"filters", `{"tags_filter":["a b",1],"streams":["X"],"deferred":"none"}`, 422, validationFailed,
			[]string{"#/tags_filter/0 invalid_format", "#/tags_filter/1 invalid_type", "#/streams/0 invalid_format", "#/deferred invalid_format"},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a := h.patch(id, tt.body)
			h.want(a, tt.status, string(tt.code))
			if diff := cmp.Diff(tt.faults, a.faults()); diff != "" {
				t.Errorf("faults (-want +got):\n%s", diff)
			}
		})
	}
	if diff := cmp.Diff(before.body, h.get("/v1/webhooks/"+id).body); diff != "" {
		t.Errorf("changed by refused requests:\n%s", diff)
	}
}

// wrongHooks cannot be read, or have members of the wrong shape.
func wrongHooks() []refusal {
	return []refusal{
		{"no JSON", `hello`, 400, malformedJSON, nil},
		{"twice", hookWith(`"url":"https://b.acme.com"`), 400, duplicateMember, []string{"#/url duplicate_member"}},
		{"array", `[` + minimalHook + `]`, 422, validationFailed, []string{"# invalid_type"}},
		{"empty", `{}`, 422, validationFailed, []string{"#/url required", "#/events required"}},
		{"null is absent", `{"url":null,"events":null}`, 422, validationFailed, []string{"#/url required", "#/events required"}},
		{
			"types", `{"url":5,"events":"*","description":[],"enabled":"true","headers":["a"]}`, 422, validationFailed,
			[]string{"#/url invalid_type", "#/events invalid_type", "#/description invalid_type", "#/enabled invalid_type", "#/headers invalid_type"},
		},
		{"unknown members", hookWith(`"URL":"x","secret":"whsec_canary"`), 422, validationFailed, []string{"#/URL unknown_member", "#/secret unknown_member"}},
		{
			"later members", hookWith(`"batch":true,"format":"cloudevents"`), 422, validationFailed,
			[]string{"#/batch unsupported_feature", "#/format unsupported_feature"},
		},
		{"no events", `{"url":"https://app.acme.com","events":[]}`, 422, validationFailed, []string{"#/events required"}},
		{
			"events", `{"url":"https://app.acme.com","events":["message.sent",null,7,"message","Message.*","","mess*","*.*","webhook.test","message.opened","domain.*"]}`,
			422, validationFailed,
			[]string{
				"#/events/0 invalid_format", "#/events/1 invalid_type", "#/events/2 invalid_type", "#/events/3 invalid_format",
				"#/events/4 invalid_format", "#/events/5 invalid_format", "#/events/6 invalid_format", "#/events/7 invalid_format",
				"#/events/8 invalid_format", "#/events/9 unsupported_feature", "#/events/10 unsupported_feature",
			},
		},
		{"many events", `{"url":"https://app.acme.com","events":[` + strings.Repeat(`"*",`, endpoint.MaxEvents) + `"*"]}`, 422, validationFailed, []string{"#/events too_many"}},
		{"long description", hookWith(`"description":"` + strings.Repeat("é", endpoint.MaxDescription+1) + `"`), 422, validationFailed, []string{"#/description too_long"}},
		{"control in description", hookWith(`"description":"a\nb"`), 422, validationFailed, []string{"#/description invalid_format"}},
		{"crowd", hookWith(`"headers":{"a":[` + strings.Repeat("1,", maxValues) + `1]}`), 422, validationFailed, []string{"# too_many"}},
	}
}

// wrongHookURLs are some of each kind; package webhook has them all.
func wrongHookURLs() []refusal {
	out := []refusal{{"long URL", hookAt("https://app.acme.com/" + strings.Repeat("a", endpoint.MaxURL)), 422, validationFailed, []string{"#/url too_long"}}}
	for _, url := range []string{
		"", "canary", "https://", "ftp://canary.acme.com/", "javascript:canary", "/canary", "https:///canary", "http://canary.acme.com/",
		"https://canary.acme.com/#a", "https://canary.acme.com/ ", `https://canary.acme.com/\u0000`, `https://canary.acme.com/\n`, `https://canary.acme.com\\`,
		"https://@canary.acme.com/", "https://canary%3a:b@acme.com/", "https://redacted@acme.com/", "https://canary.acme.com:99999/",
		"https://canary.acme.com:25/", "https://127.0.0.1/", "https://2130706433/", "https://0x7f000001/", "https://127.1/", "https://localhost/",
		"https://[::1]/", "https://[::ffff:10.0.0.1]/", "https://169.254.169.254/latest", "https://10.0.0.1/", "https://[fe80::1%25eth0]/", `https://\uff11\uff12\uff17.0.0.1/`,
	} {
		out = append(out, refusal{"at " + url, hookAt(url), 422, validationFailed, []string{"#/url invalid_format"}})
	}
	return out
}

func wrongHookHeaders() []refusal {
	var many []string
	for i := range maxWebhookHeaders + 1 {
		many = append(many, fmt.Sprintf(`"X-%d":"1"`, i))
	}
	out := []refusal{
		{"many headers", hookWith(`"headers":{` + strings.Join(many, ",") + `}`), 422, validationFailed, []string{"#/headers too_many"}},
		{"number as header", hookWith(`"headers":{"X-A":1}`), 422, validationFailed, []string{"#/headers/X-A invalid_type"}},
		{"header twice", hookWith(`"headers":{"X-A":"1","x-a":"2"}`), 422, validationFailed, []string{"#/headers/x-a invalid_format"}},
		{"long header", hookWith(`"headers":{"X-A":"` + strings.Repeat("a", maxHeaderValue+1) + `"}`), 422, validationFailed, []string{"#/headers/X-A too_long"}},
		{"long name", hookWith(`"headers":{"` + strings.Repeat("a", maxHeaderName+1) + `":"1"}`), 422, validationFailed, []string{"#/headers/" + strings.Repeat("a", maxHeaderName+1) + " invalid_format"}},
		{"name with a space", hookWith(`"headers":{"X A":"1"}`), 422, validationFailed, []string{"#/headers/X%20A invalid_format"}},
		{"name with a line break", hookWith(`"headers":{"X\r\nY":"1"}`), 422, validationFailed, []string{"#/headers/X%0D%0AY invalid_format"}},
		{"no name", hookWith(`"headers":{"":"1"}`), 422, validationFailed, []string{"#/headers/ invalid_format"}},
		{
			"two authorizations", `{"url":"https://u:p@app.acme.com","events":["*"],"headers":{"Authorization":"Bearer canary"}}`, 422, validationFailed,
			[]string{"#/headers/Authorization mutually_exclusive"},
		},
	}
	for _, value := range []string{`canary\r\nX: y`, `\ncanary`, `canary\u0000`, " canary", "canary ", "canary\u00e9", "redacted"} {
		out = append(out, refusal{"header " + value, hookWith(`"headers":{"X-A":"` + value + `"}`), 422, validationFailed, []string{"#/headers/X-A invalid_format"}})
	}
	for _, name := range []string{
		"Host", "content-type", "Content-Length", "Connection", "transfer-encoding", "TE", "Upgrade", "User-Agent",
		"webhook-id", "Webhook-Signature", "webhook-anything", "Proxy-Authorization",
	} {
		out = append(out, refusal{
			"header " + name, hookWith(`"headers":{"` + name + `":"canary"}`), 422, validationFailed, []string{"#/headers/" + name + " header_not_allowed"},
		})
	}
	return out
}

// What a test call may be wrong in. Nothing is sent.
func TestWebhookTestRefuses(t *testing.T) {
	h := openHouse(t)
	end := newEndpoint(t)
	id := h.hook(hookAt(end.URL)).id()
	for _, tt := range []refusal{
		{"no JSON", `{`, 400, malformedJSON, nil},
		{"twice", `{"type":"a","type":"b"}`, 400, duplicateMember, []string{"#/type duplicate_member"}},
		{"string", `"message.bounced"`, 422, validationFailed, []string{"# invalid_type"}},
		{"type of type", `{"type":5}`, 422, validationFailed, []string{"#/type invalid_type"}},
		{"unknown type", `{"type":"message.sent"}`, 422, validationFailed, []string{"#/type invalid_format"}},
		{"pattern", `{"type":"message.*"}`, 422, validationFailed, []string{"#/type invalid_format"}},
		{"later type", `{"type":"message.clicked"}`, 422, validationFailed, []string{"#/type unsupported_feature"}},
		{"crowd", `{"a":[` + strings.Repeat("1,", maxValues) + `1]}`, 422, validationFailed, []string{"# too_many"}},
		{"unknown member", `{"url":"https://b.acme.com"}`, 422, validationFailed, []string{"#/url unknown_member"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a := h.post("/v1/webhooks/"+id+"/test", tt.body, header("Idempotency-Key", "refused"))
			h.want(a, tt.status, string(tt.code))
			if diff := cmp.Diff(tt.faults, a.faults()); diff != "" {
				t.Errorf("faults (-want +got):\n%s", diff)
			}
		})
	}
	h.want(h.post("/v1/webhooks/"+id+"/test", "{}", header("Content-Type", "text/plain")), 415, string(unsupportedMediaType))
	h.want(h.do(http.MethodGet, "/v1/webhooks/"+id+"/test", nil), 405, string(methodNotAllowed))
	if n := len(end.received()); n != 0 {
		t.Errorf("%d requests", n)
	}
}
