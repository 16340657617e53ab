package api

import (
	"bytes"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"postrider/internal/compose"
	"postrider/internal/email"
)

// rawMinimal is the smallest composed mail.
const rawMinimal = "From: Acme <hi@acme.com>\r\nTo: Ada <ada@example.org>\r\nSubject: Hello\r\n\r\nHi\r\n"

// raw posts a composed mail.
func (h *house) raw(query, mail string, change ...asker) *answer {
	h.t.Helper()
	return h.post("/v1/messages/raw"+query, mail, append([]asker{header("Content-Type", "message/rfc822")}, change...)...)
}

// composed is the mail as it would go out, before signing.
func (h *house) composed(id string) string {
	h.t.Helper()
	m, err := h.store.Messages.Get(h.t.Context(), email.Test, id)
	if err != nil {
		h.t.Fatal(err)
	}
	content, err := h.store.Messages.Content(h.t.Context(), email.Test, id)
	if err != nil || content == nil {
		h.t.Fatalf("content: %v", err)
	}
	data, err := compose.Message(m, content)
	if err != nil {
		h.t.Fatal(err)
	}
	return string(data)
}

func TestRawKeepsWhatTheCallerWrote(t *testing.T) {
	h := openHouse(t)
	mail := "Return-Path: <x@y.example>\nDate: Mon, 02 Mar 2026 10:00:00 +0100\nMessage-ID: <own.1@acme.com>\nFrom: =?utf-8?q?Acm=C3=A9?= <hi@acme.com>\n" +
		"To: ada@example.org,\n bob@example.net\nCc: carol@example.com\nBcc: eve@example.org,\n mallory@example.org\nSubject: =?utf-8?b?SMOp?=\n" +
		"MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=b\n\n--b\n\nHi \xc3\xa9\n--b\nContent-Type: application/pdf; name=a.pdf\n\nx\r--b--\n"
	a := h.raw("", mail, header("Idempotency-Key", "raw"))
	if a.status != 202 || a.body["message_id"] != "<own.1@acme.com>" {
		t.Fatalf("answer %d %s", a.status, a.raw)
	}
	got := h.composed(a.id())
	want := strings.NewReplacer("\r\n", "\r\n", "\n", "\r\n", "\r", "\r\n").Replace(mail)
	want = strings.Replace(want, "Return-Path: <x@y.example>\r\n", "", 1)
	want = strings.Replace(want, "Bcc: eve@example.org,\r\n mallory@example.org\r\n", "", 1)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("mail (-want +got):\n%s", diff)
	}
	m := h.get("/v1/messages/" + a.id())
	var recipients []string
	for _, r := range m.body["recipients"].([]any) {
		r := r.(map[string]any)
		recipients = append(recipients, r["type"].(string)+" "+r["email"].(string))
	}
	if diff := cmp.Diff([]string{"to ada@example.org", "to bob@example.net", "cc carol@example.com", "bcc eve@example.org", "bcc mallory@example.org"}, recipients); diff != "" {
		t.Errorf("recipients (-want +got):\n%s", diff)
	}
	if m.body["subject"] != "Hé" || m.body["from"].(map[string]any)["name"] != "Acmé" {
		t.Errorf("message %s", m.raw)
	}
	m = h.get("/v1/messages/" + a.id() + "?include=content")
	if diff := cmp.Diff(map[string]any{
		"text": "Hi é", "html": nil, "headers": map[string]any{"Date": "Mon, 02 Mar 2026 10:00:00 +0100"},
		"attachments": []any{map[string]any{"filename": "a.pdf", "content_type": "application/pdf", "content_id": nil, "size_bytes": 1.0}},
	}, map[string]any{"text": m.body["text"], "html": m.body["html"], "headers": m.body["headers"], "attachments": m.body["attachments"]}); diff != "" {
		t.Errorf("content (-want +got):\n%s", diff)
	}
	again := h.raw("", mail, header("Idempotency-Key", "raw"))
	if again.header.Get("Idempotent-Replayed") != "true" || !bytes.Equal(again.raw, a.raw) {
		t.Errorf("replay %d %s", again.status, again.raw)
	}
	h.want(h.raw("?to=ada@example.org", mail, header("Idempotency-Key", "raw")), 422, string(idempotencyKeyReused))
}

func TestRawEnvelope(t *testing.T) {
	h := openHouse(t)
	a := h.raw("?to=other@example.org&to=ada@example.org", rawMinimal)
	var recipients []string
	for _, r := range a.body["recipients"].([]any) {
		r := r.(map[string]any)
		recipients = append(recipients, r["type"].(string)+" "+r["email"].(string))
	}
	if diff := cmp.Diff([]string{"to ada@example.org", "bcc other@example.org"}, recipients); diff != "" {
		t.Errorf("recipients (-want +got):\n%s", diff)
	}
	got := h.composed(a.id())
	if !strings.HasPrefix(got, "Date: ") || strings.Count(got, "Message-ID: <"+a.id()+"@acme.com>\r\n") != 1 || !strings.HasSuffix(got, rawMinimal) {
		t.Errorf("mail %q", got)
	}
}

// api.md 18: one field for each option, and none of them in the mail.
func TestRawOptions(t *testing.T) {
	h := openHouse(t)
	at := time.Now().Add(time.Hour).UTC().Truncate(time.Millisecond)
	a := h.raw("", "X-Postrider-Tag: a\r\nX-POSTRIDER-TAG:\r\n b\r\nX-Postrider-Metadata-order: =?utf-8?q?n=C2=BA_42?=\r\nX-Postrider-Stream: bulk\r\n"+
		"X-Postrider-Scheduled-At: "+at.Format(time.RFC3339Nano)+"\r\nX-Postrider-TTL: 600\r\nX-Postrider-Supersede: s\r\nX-Postrider-Store-Content: False\r\n"+rawMinimal)
	if a.status != 202 || a.body["status"] != "scheduled" {
		t.Fatalf("answer %d %s", a.status, a.raw)
	}
	m, err := h.store.Messages.Get(t.Context(), email.Test, a.id())
	if err != nil {
		t.Fatal(err)
	}
	type options struct {
		Tags              []string
		Metadata          map[string]string
		Stream, Supersede string
		At, Until         time.Time
		Drop              bool
	}
	want := options{[]string{"a", "b"}, map[string]string{"order": "nº 42"}, "bulk", "s", at, at.Add(10 * time.Minute), true}
	if diff := cmp.Diff(want, options{m.Tags, m.Metadata, m.Stream, m.Supersede, m.ScheduledAt, m.ExpiresAt, m.DropContent}); diff != "" {
		t.Errorf("options (-want +got):\n%s", diff)
	}
	if got := h.composed(a.id()); !strings.HasSuffix(got, "\r\n"+rawMinimal) || strings.Contains(got, "ostrider-") {
		t.Errorf("mail %q", got)
	}
}

func TestRawRefuses(t *testing.T) {
	h := openHouse(t)
	and := func(fields string) string { return fields + rawMinimal }
	inPart := func(part string) string {
		return and("Content-Type: multipart/mixed; boundary=b\r\n") + "--b\r\n" + part + "--b--\r\n"
	}
	for name, c := range map[string]struct{ mail, fault string }{
		"no header":                  {"\r\nHi", " required"},
		"no field":                   {and("hello\r\n"), "# invalid_format"},
		"begins with a fold":         {and(" x\r\n"), "# invalid_format"},
		"two From":                   {and("From: b@acme.com\r\n"), " too_many"},
		"two mailboxes":              {strings.Replace(rawMinimal, "From: ", "From: b@acme.com, ", 1), " too_many"},
		"another Sender":             {and("Sender: a@other.example\r\n"), " header_not_allowed"},
		"bad recipient":              {and("Cc: x\r\n"), " invalid_email"},
		"Message-ID":                 {and("Message-ID: abc\r\n"), " invalid_format"},
		"Date":                       {and("Date: soon\r\n"), " invalid_format"},
		"UTF-8 in the header":        {and("X-Name: é\r\n"), " smtputf8_not_supported"},
		"signature":                  {and("DKIM-Signature: v=1\r\n"), " header_not_allowed"},
		"no option":                  {and("X-Postrider-Tags: a\r\n"), " header_not_allowed"},
		"the key as a field":         {and("X-Postrider-Idempotency-Key: a\r\n"), " header_not_allowed"},
		"a tag":                      {and("X-Postrider-Tag: a b\r\n"), " invalid_format"},
		"tags without end":           {and(strings.Repeat("X-Postrider-Tag: a\r\n", 11)), " too_many"},
		"metadata":                   {and("X-Postrider-Metadata-a!b: 1\r\n"), " invalid_format"},
		"metadata without key":       {and("X-Postrider-Metadata-: 1\r\n"), " header_not_allowed"},
		"metadata twice":             {and("X-Postrider-Metadata-a: 1\r\nX-Postrider-Metadata-a: 1\r\n"), " too_many"},
		"a stream":                   {and("X-Postrider-Stream: none\r\n"), " invalid_format"},
		"two streams":                {and("X-Postrider-Stream: bulk\r\nX-Postrider-Stream: bulk\r\n"), " too_many"},
		"a time":                     {and("X-Postrider-Scheduled-At: tomorrow\r\n"), " invalid_format"},
		"a lifetime":                 {and("X-Postrider-TTL: 1h\r\n"), " invalid_format"},
		"a short lifetime":           {and("X-Postrider-TTL: 5\r\n"), " out_of_range"},
		"store":                      {and("X-Postrider-Store-Content: no\r\n"), " invalid_format"},
		"resent":                     {and("Resent-To: a@example.org\r\n"), " header_not_allowed"},
		"NUL":                        {rawMinimal + "\x00", "# invalid_format"},
		"long line":                  {rawMinimal + strings.Repeat("x", 999), "# too_long"},
		"no subject":                 {strings.Replace(rawMinimal, "Subject: Hello\r\n", "", 1), " required"},
		"no boundary":                {and("Content-Type: multipart/mixed\r\n"), " invalid_format"},
		"a program":                  {and("Content-Type: application/x; name=a.exe\r\n"), " attachment_type_forbidden"},
		"a program in a part":        {and("Content-Type: multipart/mixed; boundary=b\r\n") + "--b\r\nContent-Disposition: attachment; filename*=utf-8''a%2Eexe\r\n\r\nx\r\n--b--\r\n", " attachment_type_forbidden"},
		"a program as a whole":       {and("Content-Disposition: attachment; filename=a.exe\r\n"), " attachment_type_forbidden"},
		"two dispositions":           {and("Content-Disposition: inline\r\nContent-Disposition: attachment; filename=a.exe\r\n"), " too_many"},
		"two dispositions of a part": {inPart("Content-Disposition: inline\r\nContent-Disposition: attachment; filename=a.exe\r\n\r\nx\r\n"), " too_many"},
		"two names of a file":        {inPart("Content-Disposition: attachment; filename=a.txt; filename=a.exe\r\n\r\nx\r\n"), " invalid_format"},
		"a program in a mail in it":  {inPart("Content-Type: message/rfc822\r\n\r\nContent-Type: application/x; name=a.exe\r\n\r\nx\r\n"), " attachment_type_forbidden"},
		"parts within parts":         {and("Content-Type: multipart/mixed; boundary=b0\r\n") + nested(30), "# too_many"},
		"parts without end":          {and("Content-Type: multipart/mixed; boundary=b\r\n") + strings.Repeat("--b\r\n\r\nx\r\n", 300) + "--b--\r\n", "# too_many"},
		"fields without end":         {and(strings.Repeat("X: 1\r\n", 600)), "# too_many"},
		"header without end":         {and(strings.Repeat("X: "+strings.Repeat("x", 900)+"\r\n", 400)), "# too_long"},
		"recipients in a group":      {strings.Replace(rawMinimal, "Ada <ada@example.org>", "undisclosed-recipients:;", 1), " required"},
	} {
		a := h.raw("", c.mail)
		h.want(a, 422, string(validationFailed))
		if !strings.Contains("|"+strings.Join(a.faults(), "|")+"|", "|"+c.fault+"|") {
			t.Errorf("%s: faults %q, want %q\n%s", name, a.faults(), c.fault, a.raw)
		}
		if bytes.Contains(a.raw, []byte("a.exe")) {
			t.Errorf("%s: the answer repeats a value", name)
		}
	}
	h.want(h.raw("?to=x", rawMinimal), 422, string(validationFailed))
	h.want(h.raw("", rawMinimal, as(h.keys["live"])), 422, string(validationFailed)) // example.org is reserved
	h.wantNothing()
}

// nested is multiparts in each other.
func nested(n int) string {
	var b strings.Builder
	for i := range n {
		b.WriteString("--b" + strconv.Itoa(i) + "\r\nContent-Type: multipart/mixed; boundary=b" + strconv.Itoa(i+1) + "\r\n\r\n")
	}
	return b.String() + "--b" + strconv.Itoa(n) + "\r\n\r\nx\r\n--b" + strconv.Itoa(n) + "--\r\n"
}

func rawScenes() []scene {
	op := "sendRaw"
	raw := func(query, mail string, change ...asker) func(*house) *answer {
		return func(h *house) *answer { return h.raw(query, mail, change...) }
	}
	return []scene{
		{op, "", raw("", rawMinimal)},
		{op, requestTimeout, func(h *house) *answer { return h.stallRaw() }},
		{op, invalidIdempotencyKey, raw("", rawMinimal, header("Idempotency-Key", `"open`))},
		{op, invalidParameter, raw("?from=x", rawMinimal)},
		{op, requestTooLarge, func(h *house) *answer {
			return h.do("POST", "/v1/messages/raw", zeros(maxBody+1), header("Content-Type", "message/rfc822"))
		}},
		{op, messageTooLarge, raw("", rawMinimal+strings.Repeat(strings.Repeat("x", 76)+"\r\n", messageLimit/70))},
		{op, unsupportedMediaType, raw("", rawMinimal, header("Content-Type", "text/plain"))},
		{op, validationFailed, raw("", "x")},
		{op, domainNotVerified, func(h *house) *answer {
			return h.raw("", "From: a@unverified.example\r\nTo: b@acme.org\r\nSubject: s\r\n\r\nt\r\n", as(h.keys["live"]))
		}},
		{op, idempotencyKeyReused, func(h *house) *answer {
			h.send(minimal, header("Idempotency-Key", "raw scene"))
			return h.raw("", rawMinimal, header("Idempotency-Key", "raw scene"))
		}},
		{op, internalError, raw("", rawMinimal)},
		{op, serviceUnavailable, raw("", rawMinimal)},
		{op, queueFull, raw("", rawMinimal)},
	}
}

// stallRaw is stall with a composed mail.
func (h *house) stallRaw() *answer {
	h.t.Helper()
	return h.stall(http.MethodPost, "/v1/messages/raw", header("Content-Type", "message/rfc822"))
}
