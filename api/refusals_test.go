package api

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// refusal is a body that must be refused, and how.
type refusal struct {
	name, body string
	status     int
	code       code
	faults     []string
}

// with is the minimal message with members put in front.
func with(members string) string {
	return `{` + members + `,"from":"a@acme.com","to":"b@example.org","subject":"s","text":"t"}`
}

// instead is the minimal message with another value of one member.
func instead(name, value string) string {
	members := map[string]string{"from": `"a@acme.com"`, "to": `"b@example.org"`, "subject": `"s"`, "text": `"t"`}
	members[name] = value
	var parts []string
	for _, m := range []string{"from", "to", "subject", "text"} {
		parts = append(parts, fmt.Sprintf("%q:%s", m, members[m]))
	}
	return "{" + strings.Join(parts, ",") + "}"
}

// Everything that may be wrong with a request: the right answer, and nothing happened.
func TestSendRefuses(t *testing.T) {
	h := openHouse(t)
	for _, tt := range slices.Concat(wrongJSON(), wrongShape(), wrongValue()) {
		t.Run(tt.name, func(t *testing.T) {
			a := h.post("/v1/messages", tt.body, header("Idempotency-Key", "refused"))
			h.want(a, tt.status, string(tt.code))
			if diff := cmp.Diff(tt.faults, a.faults()); diff != "" {
				t.Errorf("faults (-want +got):\n%s", diff)
			}
			for _, secret := range []string{"x@y.example", "169.254", "tomorrow"} {
				if bytes.Contains(a.raw, []byte(secret)) {
					t.Errorf("the answer repeats a value: %s", a.raw)
				}
			}
		})
	}
	h.wantNothing()
	// The refused requests have not used their Idempotency-Key up.
	if a := h.post("/v1/messages", minimal, header("Idempotency-Key", "refused")); a.status != 202 || a.header.Get("Idempotent-Replayed") != "" {
		t.Errorf("after the refusals: %d %s", a.status, a.raw)
	}
}

// wrongJSON is what cannot be read, or is read as something else than a message.
func wrongJSON() []refusal {
	return []refusal{
		{"no JSON", `hello`, 400, malformedJSON, nil},
		{"cut JSON", minimal[:40], 400, malformedJSON, nil},
		{"two values", minimal + minimal, 400, malformedJSON, nil},
		{"lone surrogate", instead("subject", `"\ud800"`), 400, malformedJSON, nil},
		{"invalid UTF-8", instead("subject", "\"\xff\""), 400, malformedJSON, nil},
		{"too deep", with(`"metadata":` + strings.Repeat("[", 40) + strings.Repeat("]", 40)), 400, malformedJSON, nil},
		{"duplicate member", with(`"to":"c@example.org"`), 400, duplicateMember, []string{"#/to duplicate_member"}},
		{"duplicate inside", with(`"headers":{"X-A":"1","X-A":"2"}`), 400, duplicateMember, []string{"#/headers/X-A duplicate_member"}},
		{"array", `[` + minimal + `]`, 422, validationFailed, []string{"# invalid_type"}},
		{"string", `"hello"`, 422, validationFailed, []string{"# invalid_type"}},
		{"empty", `{}`, 422, validationFailed, []string{"#/from required", "#/to required", "#/subject required", "#/text required"}},
		{"null is absent", instead("to", "null"), 422, validationFailed, []string{"#/to required"}},
		{"unknown member", with(`"subjekt":"x"`), 422, validationFailed, []string{"#/subjekt unknown_member"}},
		{"wrong case", with(`"Subject":"x","TO":"x"`), 422, validationFailed, []string{"#/Subject unknown_member", "#/TO unknown_member"}},
		{"strange name", with(`"a/b~\u00e9":1`), 422, validationFailed, []string{"#/a~1b~0%C3%A9 unknown_member"}},
		{
			"url attachment", with(`"attachments":[{"filename":"a.txt","path":"http://169.254.169.254/"}]`), 422, validationFailed,
			[]string{"#/attachments/0/path unknown_member", "#/attachments/0/content required"},
		},
	}
}

// wrongShape has members of the wrong type, number or size.
func wrongShape() []refusal {
	many := make([]string, 51)
	for i := range many {
		many[i] = fmt.Sprintf("\"u%d@example.org\"", i)
	}
	return []refusal{
		{"number as address", instead("from", "5"), 422, validationFailed, []string{"#/from invalid_type"}},
		{
			"types", with(`"html":1,"tags":"a","headers":[],"metadata":{"a":1},"scheduled_at":1,"ttl_seconds":"60"`), 422, validationFailed,
			[]string{
				"#/html invalid_type", "#/headers invalid_type", "#/tags invalid_type", "#/metadata/a invalid_type",
				"#/scheduled_at invalid_type", "#/ttl_seconds invalid_type",
			},
		},
		{
			"types inside lists", instead("to", `["b@example.org",null,7,{"name":"x"},{"email":true},{"email":"b@example.org","x":1}]`), 422, validationFailed,
			[]string{"#/to/1 invalid_type", "#/to/2 invalid_type", "#/to/3/email required", "#/to/4/email invalid_type", "#/to/5/x unknown_member"},
		},
		{"fraction", with(`"ttl_seconds":60.5`), 422, validationFailed, []string{"#/ttl_seconds invalid_type"}},
		{"huge number", with(`"ttl_seconds":1e999999999`), 422, validationFailed, []string{"#/ttl_seconds out_of_range"}},
		{"small number", with(`"ttl_seconds":59`), 422, validationFailed, []string{"#/ttl_seconds out_of_range"}},
		{"bad address", instead("to", `"nobody"`), 422, validationFailed, []string{"#/to invalid_email"}},
		{
			"bad address in a list", instead("to", `["b@example.org","a b@c","x@y.example, z@y.example"]`), 422, validationFailed,
			[]string{"#/to/1 invalid_email", "#/to/2 invalid_email"},
		},
		{"no recipients", instead("to", `[]`), 422, validationFailed, []string{"#/to required"}},
		{"too many recipients", instead("to", "["+strings.Join(many, ",")+"]"), 422, validationFailed, []string{"#/to too_many"}},
		{"crowd", instead("to", "["+strings.Repeat(`"b@example.org",`, maxValues)+`"b@example.org"]`), 422, validationFailed, []string{"# too_many"}},
	}
}

// wrongValue has values that must not come into a mail.
func wrongValue() []refusal {
	return []refusal{
		{"CR LF in the subject", instead("subject", `"a\r\nBcc: x@y.example"`), 422, validationFailed, []string{"#/subject invalid_format"}},
		{"LF in from", instead("from", `"A\nB <a@acme.com>"`), 422, validationFailed, []string{"#/from invalid_email"}},
		{"CR in a name", instead("from", `{"email":"a@acme.com","name":"A\rB"}`), 422, validationFailed, []string{"#/from/name invalid_format"}},
		{"NUL in to", instead("to", `"a\u0000@example.org"`), 422, validationFailed, []string{"#/to invalid_email"}},
		{"LF in reply_to", with(`"reply_to":"a\n@example.org"`), 422, validationFailed, []string{"#/reply_to invalid_email"}},
		{"CR LF in a header", with(`"headers":{"X-A":"a\r\nBcc: x@y.example"}`), 422, validationFailed, []string{"#/headers/X-A invalid_format"}},
		{"LF in a header's name", with(`"headers":{"X-A\nBcc":"a"}`), 422, validationFailed, []string{"#/headers/X-A%0ABcc invalid_format"}},
		{"NUL in a file name", with(`"attachments":[{"filename":"a\u0000.txt","content":"QQ=="}]`), 422, validationFailed, []string{"#/attachments/0/filename invalid_format"}},
		{"LF in a content id", with(`"attachments":[{"filename":"a.txt","content":"QQ==","content_id":"a\nb"}]`), 422, validationFailed, []string{"#/attachments/0/content_id invalid_format"}},
		{"CR in a content type", with(`"attachments":[{"filename":"a.txt","content":"QQ==","content_type":"text/plain\r\nX: y"}]`), 422, validationFailed, []string{"#/attachments/0/content_type invalid_format"}},
		{"LF in a tag", with(`"tags":["a\nb"]`), 422, validationFailed, []string{"#/tags/0 invalid_format"}},
		{"denied header", with(`"headers":{"Bcc":"x@y.example"}`), 422, validationFailed, []string{"#/headers/Bcc header_not_allowed"}},
		{"bad base64", with(`"attachments":[{"filename":"a.txt","content":"QQ="}]`), 422, validationFailed, []string{"#/attachments/0/content invalid_base64"}},
		{"program", with(`"attachments":[{"filename":"a.exe","content":"QQ=="}]`), 422, validationFailed, []string{"#/attachments/0/filename attachment_type_forbidden"}},
		{"oversize attachment", with(`"attachments":[{"filename":"a.txt","content":"` + strings.Repeat("QUFB", messageLimit/3) + `"}]`), 413, messageTooLarge, nil},
		{"past date", with(`"scheduled_at":"2020-01-01T00:00:00Z"`), 422, validationFailed, []string{"#/scheduled_at scheduled_in_past"}},
		{"no date", with(`"scheduled_at":"tomorrow"`), 422, validationFailed, []string{"#/scheduled_at invalid_format"}},
		{
			"stream, supersede, store_content", with(`"stream":"news","supersede":"","store_content":"no"`), 422, validationFailed,
			[]string{"#/stream invalid_format", "#/supersede invalid_format", "#/store_content invalid_type"},
		},
		{"supersede too long", with(`"supersede":"` + strings.Repeat("k", 256) + `"`), 422, validationFailed, []string{"#/supersede too_long"}},
		{
			"later features", with(`"tracking":{"opens":true}`), 422,
			validationFailed,
			[]string{
				"#/tracking unsupported_feature",
			},
		},
		{"hosted unsubscription", with(`"unsubscribe":{"url":"https://a.example/u","hosted":true}`), 422, validationFailed, []string{"#/unsubscribe/hosted unsupported_feature"}},
		{
			"unsubscribe and calendar", with(`"unsubscribe":"https://a.example/u","calendar":{"content":"x","method":"REQUEST"}`), 422, validationFailed,
			[]string{"#/calendar/method unknown_member", "#/calendar/content invalid_format", "#/unsubscribe invalid_type"},
		},
		{"LF in unsubscribe", with(`"unsubscribe":{"url":"https://a.example/u\nBcc: x@y.example"}`), 422, validationFailed, []string{"#/unsubscribe/url invalid_format"}},
		{"calendar of another type", with(`"calendar":"BEGIN:VCALENDAR"`), 422, validationFailed, []string{"#/calendar invalid_type"}},
		{
			"all at once", `{"from":5,"to":["b@example.org","x"],"subject":"a\nb","ttl":1}`, 422, validationFailed,
			[]string{"#/from invalid_type", "#/to/1 invalid_email", "#/subject invalid_format", "#/text required", "#/ttl unknown_member"},
		},
	}
}

// wantNothing fails if anything was stored or queued.
func (h *house) wantNothing() {
	h.t.Helper()
	for _, key := range []string{"full", "live"} {
		if a := h.get("/v1/messages", as(h.keys[key])); len(a.data()) != 0 {
			h.t.Errorf("%d messages are stored", len(a.data()))
		}
	}
	if n := h.jobs.count(); n != 0 {
		h.t.Errorf("%d jobs are queued", n)
	}
}
